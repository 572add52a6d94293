//! How one value is read and checked: what kind it must be, its bounds, its default. Collects mistakes instead of stopping.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;

use super::{Layers, Mistake};

/// Reads values out of the layers, remembers what was asked for, collects mistakes.
pub(super) struct Reader {
    values: BTreeMap<String, toml::Value>,
    mistakes: RefCell<Vec<Mistake>>,
    asked: RefCell<BTreeSet<String>>,
}

impl Reader {
    pub(super) fn new(layers: Layers) -> Self {
        Self { values: layers.values, mistakes: RefCell::new(layers.mistakes), asked: RefCell::new(BTreeSet::new()) }
    }

    /// All mistakes, keys that nobody asked for included.
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.unknown_keys();
        self.mistakes.into_inner()
    }

    /// Whether a key stands anywhere; does not count as reading it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub(super) fn mistake(&self, key: &str, what: impl Into<String>, hint: impl Into<String>) {
        self.mistakes.borrow_mut().push(Mistake { key: key.to_owned(), what: what.into(), hint: hint.into() });
    }

    pub(super) fn value(&self, key: &str) -> Option<&toml::Value> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.values.get(key)
    }

    pub(super) fn given(&self, section: &str) -> bool {
        let prefix = format!("{section}.");
        self.values.keys().any(|key| key.starts_with(&prefix))
    }

    pub(super) fn text_or_none(&self, key: &str) -> Option<String> {
        match self.value(key)? {
            toml::Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            other => {
                self.mistake(key, format!("must be a text, not {}", other.type_str()), "put it in quotes");
                None
            }
        }
    }

    pub(super) fn text(&self, key: &str, default: &str) -> String {
        self.text_or_none(key).unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn required(&self, key: &str, hint: &str) -> String {
        let wrong_kind = matches!(self.values.get(key), Some(value) if !value.is_str());
        self.text_or_none(key).unwrap_or_else(|| {
            if !wrong_kind {
                self.mistake(key, "is missing", hint);
            }
            String::new()
        })
    }

    pub(super) fn secret_or_none(&self, key: &str) -> Option<SecretString> {
        let file_key = format!("{key}_file");
        let direct = self.text_or_none(key);
        let file = self.text_or_none(&file_key);
        match (direct, file) {
            (Some(_), Some(_)) => {
                self.mistake(key, format!("is given twice, also as `{file_key}`"), "keep one of the two");
                None
            }
            (Some(secret), None) => Some(secret.into()),
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(secret) if !secret.trim().is_empty() => Some(secret.trim().to_owned().into()),
                Ok(_) => {
                    self.mistake(&file_key, format!("`{path}` is empty"), "write the secret into it");
                    None
                }
                Err(error) => {
                    self.mistake(
                        &file_key,
                        format!("`{path}` cannot be read: {error}"),
                        "check the path and its rights",
                    );
                    None
                }
            },
            (None, None) => None,
        }
    }

    pub(super) fn secret(&self, key: &str, hint: &str) -> SecretString {
        let before = self.mistakes.borrow().len();
        self.secret_or_none(key).unwrap_or_else(|| {
            if self.mistakes.borrow().len() == before {
                self.mistake(key, "is missing", format!("{hint}; or give `{key}_file`"));
            }
            SecretString::default()
        })
    }

    pub(super) fn whole(&self, key: &str, default: i64, range: std::ops::RangeInclusive<i64>) -> i64 {
        let Some(value) = self.value(key) else { return default };
        let number = match value {
            toml::Value::Integer(number) => Some(*number),
            toml::Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let bounds = format!("give a whole number between {} and {}", range.start(), range.end());
        match number {
            Some(number) if range.contains(&number) => number,
            Some(number) => {
                self.mistake(key, format!("`{number}` is out of bounds"), bounds);
                default
            }
            None => {
                self.mistake(key, format!("`{value}` is no whole number"), bounds);
                default
            }
        }
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        match self.value(key) {
            None => default,
            Some(toml::Value::Boolean(flag)) => *flag,
            Some(toml::Value::String(text)) if text == "true" || text == "false" => text == "true",
            Some(other) => {
                self.mistake(key, format!("`{other}` is neither true nor false"), "give true or false");
                default
            }
        }
    }

    pub(super) fn list(&self, key: &str, default: &[&str]) -> Vec<String> {
        let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        match self.value(key) {
            None => owned(default),
            Some(toml::Value::String(text)) => {
                text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
            }
            Some(toml::Value::Array(items)) => {
                let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
                texts.unwrap_or_else(|| {
                    self.mistake(key, "must be a list of texts", "for example [\"email\", \"web\"]");
                    owned(default)
                })
            }
            Some(other) => {
                self.mistake(
                    key,
                    format!("must be a list, not {}", other.type_str()),
                    "for example [\"email\", \"web\"]",
                );
                owned(default)
            }
        }
    }

    pub(super) fn choice(&self, key: &str, default: &str, choices: &[&str]) -> String {
        let text = self.text(key, default);
        if !choices.contains(&text.as_str()) {
            self.mistake(
                key,
                format!("`{text}` is not one of the choices"),
                format!("give one of: {}", choices.join(", ")),
            );
            return default.to_owned();
        }
        text
    }

    /// An address of a server: `https`, or `http` on this machine.
    pub(super) fn url(&self, key: &str, default: Option<&str>, hint: &str) -> String {
        let text = match default {
            Some(default) => self.text(key, default),
            None => self.required(key, hint),
        };
        if text.is_empty() {
            return text;
        }
        match reqwest::Url::parse(&text) {
            Ok(url) if url.host_str().is_some() => {
                let host = url.host_str().unwrap_or_default();
                let local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
                if url.scheme() != "https" && !(url.scheme() == "http" && local) {
                    self.mistake(key, format!("`{text}` is not encrypted"), "use https; http is for this machine only");
                }
            }
            _ => self.mistake(key, format!("`{text}` is no address of a server"), hint),
        }
        text.trim_end_matches('/').to_owned()
    }

    /// All keys below a section, with their last part.
    pub(super) fn below(&self, section: &str) -> Vec<(String, String)> {
        let prefix = format!("{section}.");
        let keys = self.values.keys().filter_map(|key| Some((key.clone(), key.strip_prefix(&prefix)?.to_owned())));
        keys.collect()
    }

    fn unknown_keys(&self) {
        let asked = self.asked.borrow().clone();
        for key in self.values.keys().filter(|key| !asked.contains(*key)) {
            let near = asked
                .iter()
                .map(|known| (strsim::normalized_damerau_levenshtein(key, known), known))
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .filter(|(likeness, _)| *likeness > 0.7);
            let hint = match near {
                Some((_, known)) => format!("did you mean `{known}`?"),
                None => "remove it; README.md lists all keys".to_owned(),
            };
            self.mistake(key, "is not a key that anything reads", hint);
        }
    }
}
