//! Reading JSON objects strictly: every mistake is kept with its place, and reading goes on with a stand-in value, so that
//! one look shows all mistakes. What the objects mean is decided in `parse.rs`.

use std::cell::RefCell;
use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::money::Currency;

/// One mistake in a world's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file inside the world's folder.
    pub file: String,
    /// The line, counted from 1; 0 when the whole file is meant.
    pub line: usize,
    /// What is wrong, the value in backticks.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what)?,
            line => write!(f, "{}:{line}: {}", self.file, self.what)?,
        }
        match &self.hint {
            Some(hint) => write!(f, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Where something stands in a world's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file inside the world's folder.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

/// Collects the mistakes of a whole world.
#[derive(Debug, Default)]
pub(super) struct Book {
    mistakes: RefCell<Vec<Mistake>>,
}

impl Book {
    pub(super) fn note(&self, place: &Place, what: impl Into<String>, hint: Option<String>) {
        let mistake = Mistake { file: place.file.clone(), line: place.line, what: what.into(), hint };
        self.mistakes.borrow_mut().push(mistake);
    }
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }
}

/// A JSON object being read; knows which keys were asked for.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    pub(super) place: Place,
    /// The text of the file, where the object spans lines: finds the line of a key.
    text: Option<&'a str>,
    path: String,
    book: &'a Book,
    asked: RefCell<Vec<&'static str>>,
}

/// Reads an object through `read`, then reports the keys that nobody asked for.
pub(super) fn object<'a, T>(
    value: &'a Value,
    place: &Place,
    text: Option<&'a str>,
    path: &str,
    book: &'a Book,
    read: impl FnOnce(&Fields<'a>) -> T,
) -> Option<T> {
    let Value::Object(map) = value else {
        let what =
            if path.is_empty() { "expected an object".to_owned() } else { format!("`{path}` must be an object") };
        book.note(place, what, Some("write it as { \"key\": value }".to_owned()));
        return None;
    };
    let asked = RefCell::new(Vec::new());
    let fields = Fields { map, place: place.clone(), text, path: path.to_owned(), book, asked };
    let out = read(&fields);
    fields.finish();
    Some(out)
}

impl<'a> Fields<'a> {
    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The line of a key: exact in JSON Lines; in a file of many lines the first that holds the key and its value.
    fn at(&self, key: &str) -> Place {
        let line = match self.text {
            None => self.place.line,
            Some(text) => {
                let quoted = format!("\"{key}\"");
                let value = self.map.get(key).map(Value::to_string);
                let holds = |line: &str, strict: bool| {
                    line.contains(&quoted) && (!strict || value.as_ref().is_some_and(|v| line.contains(v.as_str())))
                };
                let find = |strict| text.lines().position(|line| holds(line, strict));
                find(true).or_else(|| find(false)).map_or(self.place.line, |index| index + 1)
            }
        };
        Place { file: self.place.file.clone(), line }
    }

    pub(super) fn wrong(&self, key: &str, what: impl fmt::Display, hint: impl Into<String>) {
        self.book.note(&self.at(key), format!("`{}` {what}", self.name(key)), Some(hint.into()));
    }

    fn get(&self, key: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn missing(&self, key: &str, kind: &str) {
        self.book.note(&self.at(key), format!("`{}` is missing", self.name(key)), Some(format!("add {kind}")));
    }

    /// Whether the key is there (and not null).
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn text_or_none(&self, key: &'static str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.clone()),
            other => {
                self.wrong(key, format!("is `{other}`"), "it must be a text in quotes");
                None
            }
        }
    }

    pub(super) fn text(&self, key: &'static str) -> String {
        if self.get(key).is_none() {
            self.missing(key, "a text");
        }
        let text = self.text_or_none(key).unwrap_or_default();
        if text.is_empty() && self.map.get(key).is_some_and(|v| v.as_str() == Some("")) {
            self.wrong(key, "is empty", "give it a value");
        }
        text
    }

    /// A text that may be empty.
    pub(super) fn free_text(&self, key: &'static str) -> String {
        self.text_or_none(key).unwrap_or_default()
    }

    /// A text or a number, as text: ids that people write either way.
    pub(super) fn text_or_number(&self, key: &'static str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            other => {
                self.wrong(key, format!("is `{other}`"), "it must be a text or a number");
                None
            }
        }
    }

    pub(super) fn int_or_none(&self, key: &'static str) -> Option<i64> {
        let value = self.get(key)?;
        let int = value.as_i64();
        if int.is_none() {
            self.wrong(key, format!("is `{value}`"), "it must be a whole number; amounts are in minor units (cents)");
        }
        int
    }

    pub(super) fn int(&self, key: &'static str) -> i64 {
        if self.get(key).is_none() {
            self.missing(key, "a whole number");
        }
        self.int_or_none(key).unwrap_or_default()
    }

    /// An amount in minor units: not negative.
    pub(super) fn amount(&self, key: &'static str) -> i64 {
        let amount = self.int(key);
        if amount < 0 {
            self.wrong(key, format!("is `{amount}`"), "an amount is not negative; write refunds under `refunds`");
        }
        amount
    }

    pub(super) fn seconds(&self, key: &'static str) -> Option<f64> {
        let value = self.get(key)?;
        match value.as_f64() {
            Some(seconds) if (0.0..=1e9).contains(&seconds) => Some(seconds),
            _ => {
                self.wrong(key, format!("is `{value}`"), "it must be a number of seconds, 0 or more");
                None
            }
        }
    }

    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        match self.get(key) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                self.wrong(key, format!("is `{other}`"), "it must be true or false");
                default
            }
        }
    }

    pub(super) fn time_or_none(&self, key: &'static str) -> Option<Timestamp> {
        let text = self.text_or_none(key)?;
        match text.parse() {
            Ok(time) => Some(time),
            Err(_) => {
                self.wrong(
                    key,
                    format!("is `{text}`, which is no time"),
                    "write RFC 3339 in UTC: 2026-11-20T09:00:00Z",
                );
                None
            }
        }
    }

    pub(super) fn time(&self, key: &'static str) -> Timestamp {
        if self.get(key).is_none() {
            self.missing(key, "a time such as 2026-11-20T09:00:00Z");
        }
        self.time_or_none(key).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    pub(super) fn currency(&self, key: &'static str) -> Currency {
        let text = self.text(key);
        match text.parse::<Currency>() {
            Ok(currency) if currency.as_str() == text => currency,
            _ if text.is_empty() => Currency::USD,
            _ => {
                self.wrong(key, format!("is `{text}`"), "write a lower-case ISO 4217 code: usd");
                Currency::USD
            }
        }
    }

    /// A word of a closed set; `parse` knows it, `all` lists it for the hint.
    pub(super) fn word<T: Copy>(&self, key: &'static str, all: &[(&str, T)], default: Option<T>) -> T {
        let fallback = default.unwrap_or(all[0].1);
        if self.get(key).is_none() {
            if default.is_none() {
                self.missing(key, &format!("one of {}", list(all.iter().map(|(word, _)| *word))));
            }
            return fallback;
        }
        let Some(text) = self.text_or_none(key) else { return fallback };
        match all.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => *value,
            None => {
                let hint = match nearest(&text, all.iter().map(|(word, _)| *word)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it must be one of {}", list(all.iter().map(|(word, _)| *word))),
                };
                self.wrong(key, format!("is `{text}`"), hint);
                fallback
            }
        }
    }

    pub(super) fn values(&self, key: &'static str) -> &'a [Value] {
        match self.get(key) {
            None => &[],
            Some(Value::Array(values)) => values,
            Some(other) => {
                self.wrong(key, format!("is `{}`", short(other)), "it must be a list: [ … ]");
                &[]
            }
        }
    }

    pub(super) fn required(&self, key: &'static str) {
        if self.get(key).is_none() {
            self.missing(key, "it; the format says what it holds");
        }
    }

    pub(super) fn texts(&self, key: &'static str) -> Vec<String> {
        let mut out = Vec::new();
        for value in self.values(key) {
            match value {
                Value::String(text) => out.push(text.clone()),
                other => self.wrong(key, format!("holds `{}`", short(other)), "its members must be texts in quotes"),
            }
        }
        out
    }

    /// A list of objects.
    pub(super) fn each<T>(&self, key: &'static str, mut read: impl FnMut(&Fields<'a>) -> T) -> Vec<T> {
        let values = self.values(key);
        let place = self.at(key);
        let read_one = |(index, value)| {
            let path = format!("{}[{index}]", self.name(key));
            object(value, &place, self.text, &path, self.book, &mut read)
        };
        values.iter().enumerate().filter_map(read_one).collect()
    }

    /// An object under a key, if it is there.
    pub(super) fn inner<T>(&self, key: &'static str, read: impl FnOnce(&Fields<'a>) -> T) -> Option<T> {
        let value = self.get(key)?;
        object(value, &self.at(key), self.text, &self.name(key), self.book, read)
    }

    /// A free object (`facts`, `config`): its keys are not checked.
    pub(super) fn free_object(&self, key: &'static str) -> Option<Map<String, Value>> {
        match self.get(key)? {
            Value::Object(map) => Some(map.clone()),
            other => {
                self.wrong(key, format!("is `{}`", short(other)), "it must be an object: { \"key\": value }");
                None
            }
        }
    }

    /// Any value, as it stands.
    pub(super) fn raw(&self, key: &'static str) -> Option<&'a Value> {
        self.get(key)
    }

    fn finish(&self) {
        let asked = self.asked.borrow();
        for key in self.map.keys() {
            if asked.contains(&key.as_str()) {
                continue;
            }
            let hint = match nearest(key, asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let mut known = asked.clone();
                    known.sort_unstable();
                    known.dedup();
                    format!("known keys are {}", list(known))
                }
            };
            self.book.note(&self.at(key), format!("unknown key `{}`", self.name(key)), Some(hint));
        }
    }
}

/// `a`, `b` and `c`.
pub(super) fn list<'s>(words: impl IntoIterator<Item = &'s str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The word that is most likely meant: at most a third of the letters differ.
pub(crate) fn nearest<'s>(text: &str, words: impl IntoIterator<Item = &'s str>) -> Option<&'s str> {
    let best = words.into_iter().map(|word| (distance(text, word), word)).min()?;
    (best.0 <= text.chars().count().max(3) / 3).then_some(best.1)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
