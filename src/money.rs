//! Money as vendors count it (integer minor units and a currency) and the cost of model calls (integer micro-dollars).
//! No floating point; sums are checked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An ISO 4217 code in lower case, as Stripe writes it: `usd`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// A text that is not a currency code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a currency code of three letters")]
pub struct BadCurrency(pub String);

impl Currency {
    /// US dollars.
    pub const USD: Currency = Currency(*b"usd");

    /// The code, lower case.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("three ASCII letters by construction")
    }

    /// How many decimal digits the minor unit stands for, as Stripe counts (which differs from ISO 4217 for ISK and UGX).
    ///
    /// Source: <https://docs.stripe.com/currencies>, 2026-11.
    pub fn scale(&self) -> u32 {
        match self.as_str() {
            "bif" | "clp" | "djf" | "gnf" | "jpy" | "kmf" | "krw" | "mga" | "pyg" | "rwf" | "vnd" | "vuv" | "xaf"
            | "xof" | "xpf" => 0,
            "bhd" | "jod" | "kwd" | "omr" | "tnd" => 3,
            _ => 2,
        }
    }
}

impl FromStr for Currency {
    type Err = BadCurrency;
    fn from_str(text: &str) -> Result<Self, BadCurrency> {
        let lower = text.to_ascii_lowercase();
        match <[u8; 3]>::try_from(lower.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_lowercase) => Ok(Self(code)),
            _ => Err(BadCurrency(text.to_owned())),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount of money: minor units (cents, yen) of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units; negative only for differences.
    pub minor: i64,
    /// Whose minor units.
    pub currency: Currency,
}

impl Money {
    /// So many minor units of a currency.
    pub fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }
    /// US dollars, in cents.
    pub fn usd(cents: i64) -> Self {
        Self::new(cents, Currency::USD)
    }
    /// The sum; `None` when the currencies differ or the sum overflows.
    pub fn checked_add(self, other: Money) -> Option<Money> {
        if self.currency != other.currency {
            return None;
        }
        Some(Money::new(self.minor.checked_add(other.minor)?, self.currency))
    }
    /// The difference; `None` when the currencies differ or it overflows.
    pub fn checked_sub(self, other: Money) -> Option<Money> {
        self.checked_add(Money::new(other.minor.checked_neg()?, other.currency))
    }
    /// Parses what a person types (`12.50`, `12`, `$1,250.00`) as an amount of this currency; `None` when it is not one.
    pub fn parse_major(text: &str, currency: Currency) -> Option<Money> {
        let plain: String = text.trim().trim_start_matches('$').chars().filter(|c| *c != ',').collect();
        let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
        let scale = currency.scale() as usize;
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > scale {
            return None;
        }
        let minor: i64 = format!("{whole}{fraction:0<scale$}").parse().ok()?;
        Some(Money::new(minor, currency))
    }
}

impl fmt::Display for Money {
    /// `$740.00` for dollars, `740.00 EUR` for the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = self.currency.scale();
        let unit = 10u64.pow(scale);
        let sign = if self.minor < 0 { "-" } else { "" };
        let all = self.minor.unsigned_abs();
        let whole = group(all / unit);
        let number = match scale {
            0 => whole,
            _ => format!("{whole}.{:0width$}", all % unit, width = scale as usize),
        };
        if self.currency == Currency::USD {
            write!(f, "{sign}${number}")
        } else {
            write!(f, "{sign}{number} {}", self.currency.as_str().to_ascii_uppercase())
        }
    }
}

/// Digits in groups of three: `31840` → `31,840`.
pub fn group(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// What model calls cost, in micro-dollars (millionths of a US dollar).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cost(pub i64);

impl Cost {
    /// Nothing.
    pub const ZERO: Cost = Cost(0);
    /// From whole US cents.
    pub fn from_cents(cents: i64) -> Self {
        Self(cents.saturating_mul(10_000))
    }
    /// Micro-dollars.
    pub fn micros(self) -> i64 {
        self.0
    }
}

impl std::ops::Add for Cost {
    type Output = Cost;
    /// Saturates: a bill of nine trillion dollars is wrong for other reasons.
    fn add(self, other: Cost) -> Cost {
        Cost(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::ZERO, |a, b| a + b)
    }
}

impl fmt::Display for Cost {
    /// Four decimals, rounded half up: `$0.0294`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths_of_milli = (self.0 + 50).div_euclid(100);
        write!(f, "${}.{:04}", tenths_of_milli / 10_000, tenths_of_milli % 10_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_the_pages_show_it() {
        let check = |minor: i64, currency: &str, shown: &str| {
            assert_eq!(Money::new(minor, currency.parse().unwrap()).to_string(), shown);
        };
        check(74_000, "usd", "$740.00");
        check(123_456_789, "usd", "$1,234,567.89");
        check(5, "eur", "0.05 EUR");
        check(-150, "usd", "-$1.50");
        check(5000, "jpy", "5,000 JPY");
        check(1234, "kwd", "1.234 KWD");
    }

    #[test]
    fn parses_what_people_type() {
        let check = |text: &str, minor: Option<i64>| {
            assert_eq!(Money::parse_major(text, Currency::USD).map(|m| m.minor), minor, "{text}");
        };
        check("740.00", Some(74_000));
        check("$1,250", Some(125_000));
        check("0.5", Some(50));
        check("0.505", None);
        check("-3", None);
        check("", None);
        check("99999999999999999999", None);
    }

    #[test]
    fn sums_are_checked() {
        let eur = "eur".parse().unwrap();
        assert_eq!(Money::usd(1).checked_add(Money::new(1, eur)), None);
        assert_eq!(Money::usd(i64::MAX).checked_add(Money::usd(1)), None);
        assert_eq!(Money::usd(3).checked_sub(Money::usd(1)), Some(Money::usd(2)));
    }

    #[test]
    fn cost_rounds_to_four_decimals() {
        assert_eq!(Cost(29_449).to_string(), "$0.0294");
        assert_eq!(Cost(29_450).to_string(), "$0.0295");
        assert_eq!(Cost(0).to_string(), "$0.0000");
    }
}
