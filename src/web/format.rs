//! How pages write money, durations, times and shares. Pure; the words and decimals are the same on every page.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::money::{Cost, group};

/// A moment as a page shows it: for the machine, in full, and short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// RFC 3339, for `datetime`.
    pub iso: String,
    /// Day and time in full, for `title`.
    pub full: String,
    /// `14:31`, with the day when it is not today.
    pub text: String,
    /// How far it is from now, either way: `1 h 45 min`.
    pub away: String,
}

/// Writes moments in the shop's time zone, seen from one "now".
#[derive(Debug, Clone)]
pub struct Times {
    /// The shop's zone.
    pub zone: TimeZone,
    /// The time at which the page is written.
    pub now: Timestamp,
}

impl Times {
    /// A moment, from milliseconds since the Unix epoch.
    pub fn ms(&self, ms: i64) -> Moment {
        self.at(Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// A moment.
    pub fn at(&self, at: Timestamp) -> Moment {
        let zoned = at.to_zoned(self.zone.clone());
        let today = self.now.to_zoned(self.zone.clone());
        let text = if zoned.date() == today.date() {
            zoned.strftime("%H:%M").to_string()
        } else if zoned.year() == today.year() {
            zoned.strftime("%-d %b, %H:%M").to_string()
        } else {
            zoned.strftime("%-d %b %Y, %H:%M").to_string()
        };
        let away_ms = (self.now.as_millisecond() - at.as_millisecond()).unsigned_abs();
        Moment {
            iso: zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            full: zoned.strftime("%-d %B %Y, %H:%M:%S").to_string(),
            text,
            away: age(away_ms),
        }
    }

    /// The day of a moment: `14 Nov 2026`.
    pub fn day(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%-d %b %Y").to_string()
    }

    /// When the day began that lies so many days back, in milliseconds since the Unix epoch.
    pub fn days_ago_ms(&self, days: i32) -> i64 {
        let today = self.now.to_zoned(self.zone.clone());
        let start = today.start_of_day().unwrap_or(today);
        let then = start.checked_sub(jiff::Span::new().days(days)).unwrap_or(start);
        then.timestamp().as_millisecond()
    }

    /// How far the shop's time is ahead of UTC now, in seconds.
    pub fn utc_offset_s(&self) -> i32 {
        self.zone.to_offset(self.now).seconds()
    }

    /// Now, for `data-now`.
    pub fn now_iso(&self) -> String {
        self.now.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

/// A count of things with its noun: `1 step`, `15 steps`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", group(n), if n == 1 { one } else { many })
}

/// How long ago or until, as the script counts it on: `12 s`, `5 min`, `1 h 45 min`, `3 d`.
pub fn age(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min", s / 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d", s / 86_400),
    }
}

/// How long something took: `2 ms`, `0.21 s`, `21.0 s`, `3 min 5 s`, `1 h 45 min`.
pub fn duration(ms: u64) -> String {
    match ms {
        0..10 => format!("{ms} ms"),
        10..9_995 => {
            let hundredths = (ms + 5) / 10;
            format!("{}.{:02} s", hundredths / 100, hundredths % 100)
        }
        9_995..59_950 => {
            let tenths = (ms + 50) / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        59_950..3_600_000 => {
            let s = (ms + 500) / 1_000;
            if s.is_multiple_of(60) { format!("{} min", s / 60) } else { format!("{} min {} s", s / 60, s % 60) }
        }
        _ => age(ms),
    }
}

/// The cost of a step or a run, four decimals: `$0.0294`.
pub fn cost(micros: i64) -> String {
    Cost(micros).to_string()
}

/// A sum of costs in dollars and cents: `$34.56`.
pub fn dollars(micros: i64) -> String {
    let cents = (micros + 5_000).div_euclid(10_000);
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}${}.{:02}", group(cents / 100), cents % 100)
}

/// An average cost, in cents with one decimal: `4.3`; `None` when there is nothing to divide by.
pub fn average_cents(micros: i64, by: u64) -> Option<String> {
    let by = i64::try_from(by).ok().filter(|by| *by > 0)?;
    let tenths = (micros / by + 500).div_euclid(1_000);
    Some(format!("{}.{}", tenths / 10, tenths % 10))
}

/// A share in whole percent: `77%`; a dash when there is no whole.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{}%", (part * 200 + whole) / (whole * 2)) }
}

/// A share for a `width` attribute: `57.6%`.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "0%".to_owned() } else { format!("{:.1}%", part as f64 * 100.0 / whole as f64) }
}

/// Many tokens, short: `8.6 M`, `230.1 k`, `812`.
pub fn compact(n: u64) -> String {
    match n {
        0..10_000 => group(n),
        10_000..1_000_000 => format!("{:.1} k", n as f64 / 1e3),
        _ => format!("{:.1} M", n as f64 / 1e6),
    }
}

/// Bytes, short: `812 B`, `4.1 kB`, `2.0 MB`.
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        _ => format!("{:.1} MB", n as f64 / 1e6),
    }
}

/// The first letter in upper case: `how_to` → `How to`.
pub fn sentence(word: &str) -> String {
    let plain = word.replace('_', " ");
    let mut chars = plain.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => plain,
    }
}

/// A text cut to so many characters, with an ellipsis where something was cut.
pub fn clip(text: &str, max: usize) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", one_line[..at].trim_end()),
        None => one_line,
    }
}

/// The paragraphs of a plain text; lines stay within them.
pub fn paragraphs(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for line in text.lines() {
        if line.trim().is_empty() {
            all.push(String::new());
        } else {
            let last = all.last_mut().expect("it starts with one");
            if !last.is_empty() {
                last.push('\n');
            }
            last.push_str(line.trim_end());
        }
    }
    all.retain(|paragraph| !paragraph.is_empty());
    all
}

/// A model's name, short: `claude-sonnet-4-6` → `Sonnet 4.6`. Other names stay as they are.
pub fn model(id: &str) -> String {
    let Some(rest) = id.strip_prefix("claude-") else {
        return id.to_owned();
    };
    let mut parts = rest.split('-');
    let family = sentence(parts.next().unwrap_or(rest));
    let version: Vec<_> =
        parts.take_while(|part| part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit())).collect();
    if version.is_empty() { family } else { format!("{family} {}", version.join(".")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_ages() {
        let check = |ms: u64, took: &str, ago: &str| assert_eq!((duration(ms), age(ms)), (took.into(), ago.into()));
        check(2, "2 ms", "0 s");
        check(210, "0.21 s", "0 s");
        check(9_994, "9.99 s", "9 s");
        check(21_000, "21.0 s", "21 s");
        check(59_960, "1 min", "59 s");
        check(185_000, "3 min 5 s", "3 min");
        check(6_300_000, "1 h 45 min", "1 h 45 min");
        check(260_000_000, "3 d", "3 d");
    }

    #[test]
    fn money_and_shares() {
        assert_eq!(cost(29_400), "$0.0294");
        assert_eq!(dollars(34_556_000), "$34.56");
        assert_eq!(dollars(1_234_565_000), "$1,234.57");
        assert_eq!(average_cents(4_320_000, 100).as_deref(), Some("4.3"));
        assert_eq!(average_cents(1, 0), None);
        assert_eq!((percent(77, 100), percent(1, 0), percent(2, 3)), ("77%".into(), "–".into(), "67%".into()));
        assert_eq!(
            (compact(8_600_000), compact(230_100), compact(812)),
            ("8.6 M".into(), "230.1 k".into(), "812".into())
        );
    }

    #[test]
    fn words() {
        assert_eq!(model("claude-sonnet-4-6"), "Sonnet 4.6");
        assert_eq!(model("claude-opus-4-7-20260101"), "Opus 4.7");
        assert_eq!(model("local"), "local");
        assert_eq!(sentence("how_to"), "How to");
        assert_eq!(clip("one  two\nthree", 7), "one two…");
        assert_eq!(paragraphs("a\nb\n\n \nc "), vec!["a\nb", "c"]);
    }

    #[test]
    fn times_are_of_the_zone() {
        let times = Times {
            zone: TimeZone::get("America/Chicago").unwrap_or(TimeZone::UTC),
            now: "2026-11-22T20:32:10Z".parse().unwrap(),
        };
        if times.zone == TimeZone::UTC {
            return; // A machine without the time zone database has nothing to check here.
        }
        let asked = times.at("2026-11-22T18:46:20Z".parse().unwrap());
        assert_eq!(asked.iso, "2026-11-22T12:46:20-06:00");
        assert_eq!((asked.text.as_str(), asked.away.as_str()), ("12:46", "1 h 45 min"));
        assert_eq!(times.at("2026-11-21T18:46:20Z".parse().unwrap()).text, "21 Nov, 12:46");
        assert_eq!(times.days_ago_ms(0), "2026-11-22T06:00:00Z".parse::<Timestamp>().unwrap().as_millisecond());
        assert_eq!(times.utc_offset_s(), -21_600);
    }
}
