//! What the same work would have cost otherwise: without the cache, on one model alone, begun anew after each death. Pure;
//! computed from the same sums that the page shows, by formulas that it shows beside them.

use crate::run::cost::{PriceTable, Usage};

/// How many characters a token of these models stands for, in tenths. The same text is more tokens on a model with fewer
/// characters a token.
///
/// Source: <https://platform.claude.com/docs/en/about-claude/models/overview>, read 2026-11-22 (1M tokens: about 3.4M or 2.5M
/// characters).
const TENTHS_PER_TOKEN: [(&str, u64); 5] = [
    ("claude-opus-4-7", 25),
    ("claude-opus-4-8", 25),
    ("claude-sonnet-4-6", 34),
    ("claude-haiku-4-5", 34),
    ("claude-opus-4-6", 34),
];

/// Other ways to have done the same work, in micro-dollars. `None` where a price or a tokenizer is not known: never a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Otherwise {
    /// Every prompt token at the price of new input.
    pub no_cache: Option<i64>,
    /// All calls by the one model, cached as they were.
    pub one_model: Option<i64>,
    /// Both: the loop that one would write first.
    pub one_model_no_cache: Option<i64>,
}

/// What these tokens, by model, would have cost otherwise; `one` is the model that would have done everything.
pub fn otherwise(by_model: &[(String, Usage)], one: &str, prices: &PriceTable) -> Otherwise {
    let sum = |of: &dyn Fn(&str, &Usage) -> Option<i64>| {
        by_model.iter().try_fold(0_i64, |sum, (model, usage)| sum.checked_add(of(model, usage)?))
    };
    let cost = |model: &str, usage: &Usage| Some(prices.cost(model, usage)?.micros());
    Otherwise {
        no_cache: sum(&|model, usage| cost(model, &uncached(usage))),
        one_model: sum(&|model, usage| cost(one, &retold(usage, model, one)?)),
        one_model_no_cache: sum(&|model, usage| cost(one, &uncached(&retold(usage, model, one)?))),
    }
}

/// The same tokens, none of them written to the cache or read from it.
fn uncached(usage: &Usage) -> Usage {
    Usage { input: usage.prompt(), output: usage.output, ..Usage::default() }
}

/// The same text in tokens of another model, rounded up.
fn retold(usage: &Usage, from: &str, to: &str) -> Option<Usage> {
    if from == to {
        return Some(*usage);
    }
    let (from, to) = (tenths(from)?, tenths(to)?);
    let told = |tokens: u64| (tokens * from).div_ceil(to);
    Some(Usage {
        input: told(usage.input),
        cache_write_5m: told(usage.cache_write_5m),
        cache_write_1h: told(usage.cache_write_1h),
        cache_read: told(usage.cache_read),
        output: told(usage.output),
    })
}

fn tenths(model: &str) -> Option<u64> {
    TENTHS_PER_TOKEN.iter().find(|(known, _)| model.starts_with(known)).map(|(_, tenths)| *tenths)
}

/// How many tokens a text of so many bytes is about; `None` for a model whose tokenizer is not known.
pub fn about_tokens(model: &str, bytes: usize) -> Option<u64> {
    Some((bytes as u64 * 10).div_ceil(tenths(model)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_tokens_otherwise() {
        let table = PriceTable::default();
        let sonnet = Usage { input: 100, cache_write_5m: 0, cache_write_1h: 250, cache_read: 1_000, output: 50 };
        let rows = |model: &str| vec![(model.to_owned(), sonnet)];
        let found = otherwise(&rows("claude-sonnet-4-6"), "claude-opus-4-7", &table);
        // 1,350 at 3.00, 50 at 15.00.
        assert_eq!(found.no_cache, Some(4_050 + 750));
        // 136, 340, 1,360 and 68 tokens of Opus, at 5.00, 10.00, 0.50 and 25.00.
        assert_eq!(found.one_model, Some(680 + 3_400 + 680 + 1_700));
        assert_eq!(found.one_model_no_cache, Some((136 + 340 + 1_360) * 5 + 1_700));
        // The one model's own calls stay as they are.
        let own = otherwise(&rows("claude-opus-4-7"), "claude-opus-4-7", &table);
        assert_eq!(own.one_model, table.cost("claude-opus-4-7", &sonnet).map(|cost| cost.micros()));
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let table = PriceTable::default();
        let usage = Usage { input: 1, ..Usage::default() };
        let rows = [("claude-sonnet-4-6".to_owned(), usage), ("some-model".to_owned(), usage)];
        assert_eq!(otherwise(&rows, "claude-opus-4-7", &table), Otherwise::default());
        assert_eq!(otherwise(&[], "claude-opus-4-7", &table).no_cache, Some(0));
        assert_eq!(about_tokens("some-model", 10), None);
        assert_eq!(about_tokens("claude-sonnet-4-6", 34), Some(10));
    }
}
