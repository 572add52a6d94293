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

impl PriceTable {
    /// What this usage costs, rounded half up to a micro-dollar; `None` for a model without prices: never a guess.
    pub fn cost(&self, model: &str, usage: &Usage) -> Option<Cost> {
        let prices = self.models.get(model)?;
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
}
