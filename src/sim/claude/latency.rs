//! How long answers take. Deterministic: the same seed and the same requests in the same order take the same time.

/// A profile. No vendor publishes such figures: those of the named profiles are plausible, not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Milliseconds to the first byte, whatever the prompt.
    pub first_byte_ms: u64,
    /// Further milliseconds to the first byte per 1,000 prompt tokens that were not read from the cache.
    pub per_kilotoken_ms: u64,
    /// Output tokens a second; `None`: all at once.
    pub tokens_per_s: Option<u64>,
    /// How far an answer may be faster or slower than that, in percent, 0 to 90.
    pub spread_percent: u64,
    /// What is ready within so many milliseconds is sent together; 0: each event when it is ready.
    pub burst_ms: u64,
}

/// The share of the usual time that an answer takes, in percent, for a spread and a chance from 0 to 1.
pub(in crate::sim) fn percent(spread_percent: u64, chance: f64) -> u64 {
    let spread = spread_percent.min(90);
    // From 0 to 180, so that nothing is cut off.
    let above = (chance.clamp(0.0, 1.0) * 2.0 * spread as f64) as u64;
    100 - spread + above
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_kept() {
        let check = |chance: f64, expected: u64| assert_eq!(percent(25, chance), expected, "{chance}");
        check(0.0, 75);
        check(0.5, 100);
        check(0.999_999, 124);
    }
}
