//! How long a shared prefix should live in the vendor's cache, and whether it is long enough to be kept there at all. Pure.
//!
//! Tickets come as they like: at a rate of `l` an hour, the next one comes more than `t` hours later with a chance of
//! `exp(-l t)`, and then pays for writing the prefix anew; otherwise it pays for reading it. So a ticket pays, for each token
//! of the prefix, `read + exp(-l t) (write - read)`, and the two lives cost the same where
//! `exp(-l / 12) (write_5m - read) = exp(-l) (write_1h - read)`. Above that rate an hour is cheaper, below it five minutes.

use serde::{Deserialize, Serialize};

use crate::run::cost::Prices;

/// How far the rate must lie from the break-even before another life is chosen, as a share of it: switching writes anew.
const CLEARLY: f64 = 0.25;

/// A prefix should be longer than the floor by this much, in percent: counts of tokens are estimates, floors have moved.
pub const FLOOR_MARGIN_PERCENT: u64 = 110;

/// The shortest prefix that the vendor caches, and the hidden tokens that come with tools, by model. The latter may or may not
/// count toward the former; they are left out where the two are compared.
///
/// Source: <https://platform.claude.com/docs/en/build-with-claude/prompt-caching> and
/// <https://platform.claude.com/docs/en/about-claude/pricing>, read 2026-11-22.
const MODELS: [(&str, u64, u64); 5] = [
    ("claude-opus-4-7", 2_048, 675),
    ("claude-opus-4-8", 1_024, 290),
    ("claude-sonnet-4-6", 1_024, 497),
    ("claude-haiku-4-5", 4_096, 496),
    ("claude-opus-4-6", 4_096, 497),
];

/// How long a prefix lives after it was written or last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Ttl {
    /// Five minutes.
    #[default]
    #[serde(rename = "5m")]
    FiveMinutes,
    /// An hour.
    #[serde(rename = "1h")]
    OneHour,
}

impl Ttl {
    /// As the vendor writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Ttl::FiveMinutes => "5m",
            Ttl::OneHour => "1h",
        }
    }

    /// In milliseconds.
    pub fn ms(self) -> i64 {
        match self {
            Ttl::FiveMinutes => 300_000,
            Ttl::OneHour => 3_600_000,
        }
    }
}

/// The default floor of a model, in tokens; `None`: not known.
pub fn floor(model: &str) -> Option<u64> {
    known(model).map(|(_, floor, _)| *floor)
}

/// The hidden tokens that tools bring; 0 for a model that is not known.
pub fn preamble(model: &str) -> u64 {
    known(model).map_or(0, |(_, _, preamble)| *preamble)
}

fn known(model: &str) -> Option<&'static (&'static str, u64, u64)> {
    MODELS.iter().find(|(id, ..)| model.starts_with(id))
}

/// Tickets an hour above which an hour is the cheaper life; `None` where the prices know no such rate.
pub fn break_even(prices: &Prices) -> Option<f64> {
    let (short, long) = (prices.cache_write_5m - prices.cache_read, prices.cache_write_1h - prices.cache_read);
    // From `exp(-l/12) short = exp(-l) long`.
    (short > 0 && long > short).then(|| (long as f64 / short as f64).ln() * 12.0 / 11.0)
}

/// The life for this rate. What is chosen already stays while the rate is near the break-even; without prices or a rate it is
/// the shorter one, whose write costs less.
pub fn choose(prices: Option<&Prices>, per_hour: Option<f64>, now: Ttl) -> Ttl {
    let (Some(even), Some(per_hour)) = (prices.and_then(break_even), per_hour) else { return Ttl::FiveMinutes };
    if (per_hour - even).abs() < even * CLEARLY {
        now
    } else if per_hour > even {
        Ttl::OneHour
    } else {
        Ttl::FiveMinutes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::cost::PriceTable;

    /// What a ticket pays for a token of the prefix, in thousandths of a micro-dollar.
    fn pays(prices: &Prices, per_hour: f64, ttl: Ttl) -> f64 {
        let (hours, write) = match ttl {
            Ttl::FiveMinutes => (1.0 / 12.0, prices.cache_write_5m),
            Ttl::OneHour => (1.0, prices.cache_write_1h),
        };
        prices.cache_read as f64 + (-per_hour * hours).exp() * (write - prices.cache_read) as f64
    }

    #[test]
    fn the_chosen_life_is_the_cheaper_one() {
        for prices in PriceTable::default().models.values() {
            let even = break_even(prices).unwrap();
            assert!((0.54..0.56).contains(&even), "{even}");
            assert!((pays(prices, even, Ttl::FiveMinutes) - pays(prices, even, Ttl::OneHour)).abs() < 1e-6);
            for per_hour in [0.01, 0.1, 0.3, 0.8, 2.0, 10.0, 100.0] {
                let chosen = choose(Some(prices), Some(per_hour), Ttl::FiveMinutes);
                let other = if chosen == Ttl::OneHour { Ttl::FiveMinutes } else { Ttl::OneHour };
                assert!(pays(prices, per_hour, chosen) <= pays(prices, per_hour, other), "{per_hour} an hour");
            }
        }
    }

    #[test]
    fn what_is_chosen_stays_near_the_break_even_and_what_is_not_known_is_short() {
        let prices = PriceTable::default().models["claude-opus-4-7"];
        for now in [Ttl::FiveMinutes, Ttl::OneHour] {
            assert_eq!(choose(Some(&prices), Some(0.55), now), now);
            assert_eq!(choose(None, Some(50.0), now), Ttl::FiveMinutes);
            assert_eq!(choose(Some(&prices), None, now), Ttl::FiveMinutes);
        }
        // A vendor that takes the same for both lives has no break-even.
        assert_eq!(break_even(&Prices { cache_write_1h: prices.cache_write_5m, ..prices }), None);
        assert_eq!((floor("claude-opus-4-7"), floor("some-model"), preamble("some-model")), (Some(2_048), None, 0));
    }
}
