//! Token usage × dated price table → cost. Pure; prices are configuration with dated defaults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::money::Cost;

pub use crate::usage::Usage;

/// The five prices of a model, in micro-dollars per 1,000 tokens (the same number as dollars per million, times 1,000).
/// None is derived from another: the multipliers differ between models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Plain input.
    pub input: i64,
    /// Output.
    pub output: i64,
    /// Write to the five-minute cache.
    pub cache_write_5m: i64,
    /// Write to the one-hour cache.
    pub cache_write_1h: i64,
    /// Read from the cache.
    pub cache_read: i64,
}

/// The price table in force: what it was taken from, and the prices by model id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceTable {
    /// The day on which the prices were read, `YYYY-MM-DD`.
    pub as_of: String,
    /// Prices by model id.
    pub models: BTreeMap<String, Prices>,
}

impl Default for PriceTable {
    /// Source: <https://platform.claude.com/docs/en/about-claude/pricing>, read 2026-11-22.
    fn default() -> Self {
        let opus =
            Prices { input: 5_000, output: 25_000, cache_write_5m: 6_250, cache_write_1h: 10_000, cache_read: 500 };
        let sonnet =
            Prices { input: 3_000, output: 15_000, cache_write_5m: 3_750, cache_write_1h: 6_000, cache_read: 300 };
        Self {
            as_of: "2026-11-22".to_owned(),
            models: BTreeMap::from([("claude-opus-4-7".to_owned(), opus), ("claude-sonnet-4-6".to_owned(), sonnet)]),
        }
    }
}

impl Prices {
    /// Why these prices cannot be right; `None`: they may be. A model that costs nothing at all may be one of one's own.
    pub fn doubt(&self) -> Option<&'static str> {
        let all = [self.input, self.output, self.cache_write_5m, self.cache_write_1h, self.cache_read];
        if all == [0; 5] {
            None
        } else if all.iter().any(|price| *price <= 0) {
            Some("one of the five prices is not above zero")
        } else if self.cache_read > self.input {
            Some("reading from the cache costs more than new input")
        } else if self.cache_write_5m < self.input || self.cache_write_1h < self.cache_write_5m {
            Some("writing to the cache costs less than new input, or less for an hour than for five minutes")
        } else {
            None
        }
    }
}

impl PriceTable {
    /// The prices of a model, if they are known and may be right.
    pub fn of(&self, model: &str) -> Option<&Prices> {
        self.models.get(model).filter(|prices| prices.doubt().is_none())
    }

    /// Models whose prices cannot be right, each with the reason: their calls are counted without dollars.
    pub fn doubts(&self) -> Vec<(&str, &'static str)> {
        self.models.iter().filter_map(|(model, prices)| Some((model.as_str(), prices.doubt()?))).collect()
    }

    /// What this usage costs, rounded half up to a micro-dollar; `None` for a model whose prices are not known or cannot be
    /// right: never a guess.
    pub fn cost(&self, model: &str, usage: &Usage) -> Option<Cost> {
        let prices = self.of(model)?;
        let part = |tokens: u64, price: i64| i128::from(tokens) * i128::from(price);
        let thousandths = part(usage.input, prices.input)
            + part(usage.output, prices.output)
            + part(usage.cache_write_5m, prices.cache_write_5m)
            + part(usage.cache_write_1h, prices.cache_write_1h)
            + part(usage.cache_read, prices.cache_read);
        i64::try_from((thousandths + 500) / 1_000).ok().map(Cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_exact_to_the_micro_dollar() {
        let table = PriceTable::default();
        let check = |model: &str, usage: Usage, micros: Option<i64>| {
            assert_eq!(table.cost(model, &usage).map(Cost::micros), micros, "{model} {usage:?}");
        };
        let usage = Usage { input: 61, cache_write_5m: 412, cache_write_1h: 0, cache_read: 3530, output: 118 };
        // 61·5 + 412·6.25 + 3530·0.5 + 118·25 = 305 + 2575 + 1765 + 2950
        check("claude-opus-4-7", usage, Some(7_595));
        check("claude-sonnet-4-6", Usage { output: 1, ..Usage::default() }, Some(15));
        check("claude-sonnet-4-6", Usage { cache_read: 1, ..Usage::default() }, Some(0));
        check("claude-sonnet-4-6", Usage { cache_read: 2, ..Usage::default() }, Some(1));
        check("some-model", usage, None);
    }

    #[test]
    fn prices_that_cannot_be_right_give_no_dollars() {
        let good = PriceTable::default().models["claude-sonnet-4-6"];
        let check = |change: fn(&mut Prices), doubtful: bool| {
            let mut table = PriceTable::default();
            change(table.models.get_mut("claude-sonnet-4-6").unwrap());
            let cost = table.cost("claude-sonnet-4-6", &Usage { input: 1_000, ..Usage::default() });
            assert_eq!(cost.is_none(), doubtful, "{:?}", table.models["claude-sonnet-4-6"]);
            assert_eq!(table.doubts().len(), usize::from(doubtful));
        };
        check(|_| {}, false);
        check(|prices| prices.output = 0, true);
        check(|prices| prices.cache_read = 30_000, true);
        check(|prices| prices.cache_write_1h = 3_000, true);
        check(
            |prices| *prices = Prices { input: 0, output: 0, cache_write_5m: 0, cache_write_1h: 0, cache_read: 0 },
            false,
        );
        assert_eq!(good.doubt(), None);
    }
}
