//! What a model call used, as the vendor counts it. A word of its own, so that the client that reads it and the price table
//! that multiplies it need not know each other.

use serde::{Deserialize, Serialize};

/// What a model call used, as the vendor counts it. The four input counts do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens that were neither read from the cache nor written to it.
    pub input: u64,
    /// Tokens written to the five-minute cache.
    pub cache_write_5m: u64,
    /// Tokens written to the one-hour cache.
    pub cache_write_1h: u64,
    /// Tokens read from the cache.
    pub cache_read: u64,
    /// Tokens that the model wrote, thinking included.
    pub output: u64,
}

impl Usage {
    /// All tokens of the prompt, however they were billed.
    pub fn prompt(&self) -> u64 {
        self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read
    }
}

impl std::ops::Add for Usage {
    type Output = Usage;
    fn add(self, other: Usage) -> Usage {
        Usage {
            input: self.input + other.input,
            cache_write_5m: self.cache_write_5m + other.cache_write_5m,
            cache_write_1h: self.cache_write_1h + other.cache_write_1h,
            cache_read: self.cache_read + other.cache_read,
            output: self.output + other.output,
        }
    }
}
