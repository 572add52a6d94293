//! Amounts, dates, delays, quantities and ids in plain text, in five languages. No decisions about tickets.

use jiff::civil::Date;
use jiff::{Span, ToSpan};

use super::text::{any, fold, folded_words, matches};
use crate::money::Currency;

/// An amount that a text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    whole: u64,
    fraction: String,
    /// The currency that stands beside it.
    pub currency: Option<Currency>,
}

impl Amount {
    /// The amount in minor units of a currency; `None` when the text names another currency or too many digits.
    pub fn minor(&self, currency: Currency) -> Option<i64> {
        // A dollar sign is also written by people who pay in another dollar; other signs are exact.
        if self.currency.is_some_and(|named| named != currency) {
            return None;
        }
        let scale = currency.scale() as usize;
        if self.fraction.len() > scale {
            return None;
        }
        format!("{}{:0<scale$}", self.whole, self.fraction).parse().ok()
    }
}

/// All amounts of money in a text, in order. A bare number counts only with two decimals.
pub fn amounts(text: &str) -> Vec<Amount> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if !chars[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let start = at;
        while at < chars.len()
            && (chars[at].is_ascii_digit()
                || (matches!(chars[at], '.' | ',' | '\'') && chars.get(at + 1).is_some_and(char::is_ascii_digit)))
        {
            at += 1;
        }
        let before: String = chars[start.saturating_sub(5)..start].iter().collect();
        let after: String = chars[at..(at + 9).min(chars.len())].iter().collect();
        if before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '#' | '/' | ':'))
            || after.starts_with([':', '%', '/', '-', '_'])
        {
            continue;
        }
        let number: String = chars[start..at].iter().collect();
        let currency = currency_before(&before).or_else(|| currency_after(&after));
        if let Some((whole, fraction)) = split_number(&number)
            && (currency.is_some() || (fraction.len() == 2 && !looks_like_date(&number, &after)))
        {
            out.push(Amount { whole, fraction, currency });
        }
    }
    out
}

fn looks_like_date(number: &str, after: &str) -> bool {
    let small = |part: &str| part.parse::<u32>().is_ok_and(|n| (1..=31).contains(&n));
    after.starts_with('.') && number.split('.').count() == 2 && number.split('.').all(small)
}

fn split_number(number: &str) -> Option<(u64, String)> {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let (whole, fraction) = match number.rfind(['.', ',']) {
        Some(at) if number.len() - at - 1 <= 2 => (digits(&number[..at]), number[at + 1..].to_owned()),
        _ => (digits(number), String::new()),
    };
    Some((whole.parse().ok()?, fraction))
}

fn currency_before(before: &str) -> Option<Currency> {
    let before = before.trim_end().to_lowercase();
    let code = match before.chars().last()? {
        '$' if before.ends_with("r$") => "brl",
        '$' => "usd",
        '€' => "eur",
        '£' => "gbp",
        '¥' => "jpy",
        _ => {
            ["usd", "eur", "gbp", "jpy", "chf", "brl", "cad", "aud"].into_iter().find(|code| before.ends_with(code))?
        }
    };
    code.parse().ok()
}

fn currency_after(after: &str) -> Option<Currency> {
    let after = after.trim_start().to_lowercase();
    const NAMES: &[(&str, &str)] = &[
        ("$", "usd"),
        ("€", "eur"),
        ("£", "gbp"),
        ("¥", "jpy"),
        ("usd", "usd"),
        ("eur", "eur"),
        ("gbp", "gbp"),
        ("jpy", "jpy"),
        ("chf", "chf"),
        ("brl", "brl"),
        ("dollar", "usd"),
        ("bucks", "usd"),
        ("dólar", "usd"),
        ("dolar", "usd"),
        ("pound", "gbp"),
        ("yen", "jpy"),
        ("reais", "brl"),
    ];
    NAMES.iter().find(|(name, _)| after.starts_with(name)).and_then(|(_, code)| code.parse().ok())
}

/// Order numbers that a text may name, in order: `BS-10401`, `o_1`, `#10401`, `order 10401`.
pub fn order_ids(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut after_order_word = false;
    for token in text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '"' | '?' | '!' | ':')) {
        let hash = token.starts_with('#');
        let plain = token.trim_matches(|c: char| !c.is_alphanumeric());
        if plain.is_empty() {
            after_order_word &= token.is_empty() || hash;
            continue;
        }
        let digits = plain.chars().filter(char::is_ascii_digit).count();
        let all_digits = digits == plain.chars().count();
        let letters_first = plain.starts_with(|c: char| c.is_ascii_alphabetic());
        let joined = plain.contains(['-', '_']) && plain.ends_with(|c: char| c.is_ascii_digit());
        let is_id = (all_digits && digits >= 3 && (hash || after_order_word))
            || (letters_first && joined && (digits >= 3 || after_order_word || plain.contains('_')))
            || (letters_first && after_order_word && digits >= 3);
        if is_id && !out.iter().any(|known| known.eq_ignore_ascii_case(plain)) {
            out.push(plain.to_owned());
        }
        let word = fold(&plain.to_lowercase());
        let order_word = ["order", "bestellung", "auftrag", "commande", "pedido", "encomenda", "bestellnummer"];
        let goes_on = ["number", "no", "nr", "nummer", "numero", "n"];
        after_order_word =
            order_word.contains(&word.as_str()) || (after_order_word && goes_on.contains(&word.as_str()));
    }
    out
}

const MONTHS: [[&str; 5]; 12] = [
    ["jan", "jan", "janv", "ener", "jane"],
    ["feb", "feb", "fevr", "febr", "feve"],
    ["mar", "marz", "mars", "marz", "marc"],
    ["apr", "apr", "avri", "abri", "abri"],
    ["may", "mai", "mai", "mayo", "maio"],
    ["jun", "jun", "juin", "juni", "junh"],
    ["jul", "jul", "juil", "juli", "julh"],
    ["aug", "aug", "aout", "agos", "agos"],
    ["sep", "sep", "sept", "sept", "sete"],
    ["oct", "okt", "octo", "octu", "outu"],
    ["nov", "nov", "nove", "novi", "nove"],
    ["dec", "dez", "dece", "dici", "deze"],
];

fn month(word: &str) -> Option<i8> {
    const NO_MONTHS: &[&str] =
        &["may", "mark", "market", "marked", "marketing", "mais", "marque", "maria", "mayor", "decide", "decided"];
    let exact = word == "may" || word == "mar";
    if word.chars().count() < 3 || (NO_MONTHS.contains(&word) && !exact) {
        return None;
    }
    MONTHS
        .iter()
        .position(|names| {
            names.iter().any(|name| word.starts_with(name) && word.chars().count() <= 10 && plausible(word, name))
        })
        .and_then(|n| i8::try_from(n + 1).ok())
}

/// A month's short name must be the whole word or go on like a month.
fn plausible(word: &str, name: &str) -> bool {
    const ENDS: &[&str] = &[
        "", "uary", "ruary", "ch", "il", "e", "y", "ust", "tember", "t", "ober", "ember", "uar", "ruar", "i", "ier",
        "s", "l", "let", "o", "iembre", "re", "bre", "mbro", "mbre", "iro", "reiro", "ero", "rero", "eiro", "emb",
        "tembre", "tiembre", "to", "ubro", "ubre", "embro", "ho", "ereiro", "zo", "co", "iro", "z", "rier", "vier",
    ];
    word.strip_prefix(name).is_some_and(|rest| ENDS.contains(&rest))
}

/// The first day that a text names, as it lies next after `today` (or on it). `12.11.` is day first except in English.
pub fn next_day(text: &str, today: Date, day_first: bool) -> Option<Date> {
    days(text, today, day_first).into_iter().next().map(|(month, day)| next_month_day(month, day, today))
}

/// The days of a year that a text names: (month if named, day).
pub fn days(text: &str, today: Date, day_first: bool) -> Vec<(Option<i8>, i8)> {
    let mut out = Vec::new();
    for token in text.split_whitespace() {
        let token = token.trim_matches(|c: char| !c.is_ascii_digit());
        let parts: Vec<i16> = token.split(['-', '.', '/']).filter_map(|part| part.parse().ok()).collect();
        let separators = token.matches(['-', '.', '/']).count();
        match parts.as_slice() {
            [year, month, day] if *year > 1_000 && separators == 2 => out.push((narrow(*month, 12), narrow(*day, 31))),
            [a, b] | [a, b, _] if separators + 1 == parts.len() && !token.contains('-') => {
                let (day, month) = if day_first || token.contains('.') || *a > 12 { (*a, *b) } else { (*b, *a) };
                out.push((narrow(month, 12), narrow(day, 31)));
            }
            _ => {}
        }
    }
    let mut found: Vec<(Option<i8>, i8)> =
        out.into_iter().filter_map(|(month, day)| Some((Some(month?), day?))).collect();
    let words = folded_words(text);
    for (n, word) in words.iter().enumerate() {
        let Some(month) = month(word) else { continue };
        let number = |word: Option<&String>| word.and_then(|w| day_number(w));
        let before = n.checked_sub(1).and_then(|i| words.get(i));
        let before = if before.is_some_and(|w| w == "de" || w == "of") {
            n.checked_sub(2).and_then(|i| words.get(i))
        } else {
            before
        };
        if let Some(day) = number(before).or_else(|| number(words.get(n + 1))) {
            found.push((Some(month), day));
        }
    }
    if found.is_empty() {
        const MARKS: &[&str] = &["the", "zum", "am", "le", "el", "dia", "jeden", "chaque", "au", "al", "ao"];
        for pair in words.windows(2) {
            let ordinal = ["st", "nd", "rd", "th", "er"].iter().any(|end| pair[1].ends_with(end));
            let marked = MARKS.contains(&pair[0].as_str());
            let bare = !ordinal && (text.contains(&format!("{}.", pair[1])) || pair[0] == "dia" || pair[0] == "le");
            if marked
                && (ordinal || bare)
                && let Some(day) = day_number(&pair[1])
            {
                found.push((None, day));
            }
        }
        const FIRST: &[&str] = &[
            "first of .. month",
            "monatsanfang",
            "ersten .. monats",
            "premier du mois",
            "primero de mes",
            "primeiro dia do mes",
        ];
        if found.is_empty() && any(&words, FIRST) {
            found.push((None, 1));
        }
    }
    let _ = today;
    found
}

fn narrow(n: i16, most: i8) -> Option<i8> {
    i8::try_from(n).ok().filter(|n| (1..=most).contains(n))
}

fn day_number(word: &str) -> Option<i8> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let rest = &word[digits.len()..];
    let good = ["", "st", "nd", "rd", "th", "er"].contains(&rest);
    digits.parse().ok().filter(|day| good && (1..=31).contains(day))
}

fn next_month_day(month: Option<i8>, day: i8, today: Date) -> Date {
    let mut at = today;
    // At most two years ahead: the 29th of February may be far.
    for _ in 0..800 {
        if at.day() == day && month.is_none_or(|month| at.month() == month) {
            return at;
        }
        at = at.tomorrow().unwrap_or(at);
    }
    today
}

/// How far ahead a text points: `in two days`, `tomorrow`, `next week`, `in 3 Wochen`.
pub fn delay(text: &str) -> Option<Span> {
    let words = folded_words(text);
    for pair in words.windows(2) {
        let Some(count) = count(&pair[0]) else { continue };
        let span = match pair[1].as_str() {
            "hour" | "hours" | "stunde" | "stunden" | "heure" | "heures" | "hora" | "horas" => count.hours(),
            "day" | "days" | "tag" | "tage" | "tagen" | "jour" | "jours" | "dia" | "dias" => count.days(),
            "week" | "weeks" | "woche" | "wochen" | "semaine" | "semaines" | "semana" | "semanas" => (count * 7).days(),
            "month" | "months" | "monat" | "monate" | "monaten" | "mois" | "mes" | "meses" => count.months(),
            _ => continue,
        };
        return Some(span);
    }
    let has = |patterns: &[&str]| any(&words, patterns);
    if has(&["day after tomorrow", "ubermorgen", "apres demain", "pasado manana", "depois de amanha"]) {
        return Some(2.days());
    }
    if has(&["tomorrow", "morgen", "demain", "manana", "amanha"]) {
        return Some(1.days());
    }
    if has(&[
        "next week",
        "nachste woche",
        "nachsten woche",
        "nachster woche",
        "semaine prochaine",
        "proxima semana",
        "semana que viene",
        "semana que vem",
    ]) {
        return Some(7.days());
    }
    if has(&["next month", "nachsten monat", "mois prochain", "proximo mes", "mes que viene", "mes que vem"]) {
        return Some(1.months());
    }
    None
}

/// A small number in figures or words.
pub fn count(word: &str) -> Option<i64> {
    const NAMES: &[(&str, i64)] = &[
        ("a", 1),
        ("an", 1),
        ("one", 1),
        ("two", 2),
        ("three", 3),
        ("four", 4),
        ("five", 5),
        ("six", 6),
        ("seven", 7),
        ("eight", 8),
        ("nine", 9),
        ("ten", 10),
        ("twelve", 12),
        ("couple", 2),
        ("ein", 1),
        ("eine", 1),
        ("einen", 1),
        ("einem", 1),
        ("einer", 1),
        ("zwei", 2),
        ("drei", 3),
        ("vier", 4),
        ("funf", 5),
        ("sechs", 6),
        ("sieben", 7),
        ("acht", 8),
        ("neun", 9),
        ("zehn", 10),
        ("un", 1),
        ("une", 1),
        ("deux", 2),
        ("trois", 3),
        ("quatre", 4),
        ("cinq", 5),
        ("sept", 7),
        ("huit", 8),
        ("neuf", 9),
        ("dix", 10),
        ("una", 1),
        ("dos", 2),
        ("tres", 3),
        ("cuatro", 4),
        ("cinco", 5),
        ("seis", 6),
        ("siete", 7),
        ("ocho", 8),
        ("diez", 10),
        ("um", 1),
        ("uma", 1),
        ("dois", 2),
        ("duas", 2),
        ("quatro", 4),
        ("sete", 7),
        ("oito", 8),
        ("dez", 10),
    ];
    match word.parse::<i64>() {
        Ok(n) if (0..100_000).contains(&n) => Some(n),
        _ => NAMES.iter().find(|(name, _)| *name == word).map(|(_, n)| *n),
    }
}

/// A wanted number of seats: (to this many, or by this many more).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seats {
    /// This many in all.
    To(i64),
    /// This many more.
    More(i64),
    /// Fewer, or this many fewer: never done by a tool.
    Fewer,
}

const SEAT_WORDS: &[&str] = &[
    "seat",
    "seats",
    "user",
    "users",
    "license",
    "licenses",
    "licence",
    "licences",
    "platz",
    "platze",
    "sitz",
    "sitze",
    "lizenz",
    "lizenzen",
    "nutzer",
    "benutzer",
    "arbeitsplatze",
    "siege",
    "sieges",
    "place",
    "places",
    "poste",
    "postes",
    "utilisateur",
    "utilisateurs",
    "asiento",
    "asientos",
    "plaza",
    "plazas",
    "puesto",
    "puestos",
    "licencia",
    "licencias",
    "usuario",
    "usuarios",
    "lugar",
    "lugares",
    "assento",
    "assentos",
    "licenca",
    "licencas",
    "utilizador",
    "utilizadores",
];

/// The change of seats that a text asks for.
pub fn seats(text: &str) -> Option<Seats> {
    let words = folded_words(text);
    let at = words.iter().position(|word| SEAT_WORDS.contains(&word.as_str()))?;
    const FEWER: &[&str] = &[
        "remove",
        "reduce",
        "fewer",
        "drop .. seat*",
        "less",
        "reduzier*",
        "weniger",
        "entfern*",
        "reduire",
        "retirer",
        "moins",
        "reducir",
        "quitar",
        "menos",
        "reduzir",
        "remover",
    ];
    if any(&words, FEWER) {
        return Some(Seats::Fewer);
    }
    const TO: &[&str] = &["to", "auf", "a", "hasta", "para", "total", "insgesamt"];
    // A subject may name the seats as well: every place counts.
    let places =
        words.iter().enumerate().filter(|(_, word)| SEAT_WORDS.contains(&word.as_str())).map(|(place, _)| place);
    for place in places {
        let around = &words[place.saturating_sub(8)..(place + 8).min(words.len())];
        for pair in around.windows(2) {
            if TO.contains(&pair[0].as_str())
                && let Some(n) = pair[1].parse::<i64>().ok().or_else(|| count(&pair[1]).filter(|n| *n > 1))
            {
                return Some(Seats::To(n));
            }
        }
    }
    const MORE: &[&str] = &[
        "add",
        "adding",
        "another",
        "more",
        "additional",
        "extra",
        "hinzufug*",
        "weiter*",
        "zusatzlich*",
        "mehr",
        "dazu",
        "hinzu",
        "ajouter",
        "ajoutez",
        "de plus",
        "supplementaire*",
        "anadir",
        "agregar",
        "anade*",
        "mas",
        "adicional*",
        "adicionar",
        "acrescentar",
        "mais",
        "raise",
        "increase",
        "erhoh*",
        "augment*",
        "aument*",
    ];
    if !any(&words, MORE) {
        return None;
    }
    // The number nearest to the word for seats, looking backwards first.
    let near = words[at.saturating_sub(4)..at].iter().rev().chain(words[at..(at + 4).min(words.len())].iter());
    let by = near.filter_map(|word| count(word)).find(|n| *n > 0).unwrap_or(1);
    Some(Seats::More(by))
}

/// Whether half of something is meant.
pub fn half(text: &str) -> bool {
    let words = folded_words(text);
    ["half", "halfte", "moitie", "mitad", "metade", "50 percent"].iter().any(|word| matches(&words, word))
        || text.contains("50%")
        || text.contains("50 %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        let check = |text: &str, currency: &str, expected: &[i64]| {
            let currency = currency.parse().unwrap();
            let got: Vec<i64> = amounts(text).iter().filter_map(|amount| amount.minor(currency)).collect();
            assert_eq!(got, expected, "{text}");
        };
        check("Can I have $10 back?", "usd", &[1_000]);
        check("It was $500.01 with shipping", "usd", &[50_001]);
        check("What we paid incl. express was 499.99.", "usd", &[49_999]);
        check("zweimal 49,00 $ abgebucht", "usd", &[4_900]);
        check("order BS-10407, 1,200 USD", "usd", &[120_000]);
        check("110,00 € ... soit 55 €", "eur", &[11_000, 5_500]);
        check("1.250,50 EUR", "eur", &[125_050]);
        check("JPY 38,300 or 38,300 yen", "jpy", &[38_300, 38_300]);
        check("on 12.11. at 14:30, 3 boxes, 20%", "usd", &[]);
        check("£49 would do", "gbp", &[4_900]);
        check("£49 would do", "usd", &[]);
        check("$300 and $260", "usd", &[30_000, 26_000]);
    }

    #[test]
    fn order_numbers_are_found() {
        let check = |text: &str, expected: &[&str]| assert_eq!(order_ids(text), expected, "{text}");
        check("Where is order BS-10401?", &["BS-10401"]);
        check("one pin of order o_1 is broken", &["o_1"]);
        check("Bestellung Nr. 10423, bitte", &["10423"]);
        check("my order #8812 and #8813", &["8812", "8813"]);
        check("a CR-3 reader and 10 inch tablet", &[]);
        check("(BS-10401) bs-10401", &["BS-10401"]);
        check("since 2024 we pay 300", &[]);
    }

    #[test]
    fn days_and_delays_are_read() {
        let today = jiff::civil::date(2026, 11, 20);
        let check = |text: &str, day_first: bool, expected: Option<&str>| {
            let got = next_day(text, today, day_first).map(|day| day.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        };
        check("move my billing date to the 1st of the month", false, Some("2026-12-01"));
        check("please bill us on December 15", false, Some("2026-12-15"));
        check("until 3 January please", false, Some("2027-01-03"));
        check("auf den 5. Dezember verschieben", true, Some("2026-12-05"));
        check("le 1er décembre", true, Some("2026-12-01"));
        check("al 10 de enero", true, Some("2027-01-10"));
        check("para o dia 10", true, Some("2026-12-10"));
        check("2026-12-24", false, Some("2026-12-24"));
        check("12/24", false, Some("2026-12-24"));
        check("24/12", true, Some("2026-12-24"));
        check("may I ask something", false, None);
        let check = |text: &str, expected: Option<Span>| {
            assert_eq!(delay(text).map(|s| s.fieldwise()), expected.map(|s| s.fieldwise()), "{text}");
        };
        check("write to me again in two days", Some(2.days()));
        check("remind me tomorrow", Some(1.days()));
        check("nächste Woche bitte", Some(7.days()));
        check("dans 3 semaines", Some(21.days()));
        check("en dos días", Some(2.days()));
        check("em um mês", Some(1.months()));
        check("soon", None);
    }

    #[test]
    fn seats_are_read() {
        let check = |text: &str, expected: Option<Seats>| assert_eq!(seats(text), expected, "{text}");
        check("Please add one seat to our Team plan", Some(Seats::More(1)));
        check("raise our Team plan from 4 to 6 seats", Some(Seats::To(6)));
        check("we need 3 more seats", Some(Seats::More(3)));
        check("Bitte zwei weitere Lizenzen", Some(Seats::More(2)));
        check("auf 8 Plätze erhöhen", Some(Seats::To(8)));
        check("ajouter deux sièges", Some(Seats::More(2)));
        check("añadir 2 licencias", Some(Seats::More(2)));
        check("mais dois lugares", Some(Seats::More(2)));
        check("please remove two seats", Some(Seats::Fewer));
        check("how many seats do we have?", None);
    }
}
