//! Stripe's form encoding with brackets. The order is the order of adding, so that a repeated request has the same bytes.

use crate::clients::encode;

/// Pairs, encoded as they are added.
#[derive(Default)]
pub struct Form {
    text: String,
}

impl Form {
    /// Adds `key=value`; a nested key is written with its brackets: `metadata[run_id]`.
    pub fn add(&mut self, key: &str, value: &str) {
        if !self.text.is_empty() {
            self.text.push('&');
        }
        self.text += &encode(key);
        self.text.push('=');
        self.text += &encode(value);
    }

    /// The body.
    pub fn finish(self) -> String {
        self.text
    }
}
