//! Rate limits: token buckets per model class, refilled continuously, and the headers that show them.
//!
//! Source: <https://platform.claude.com/docs/en/api/rate-limits>, 2026-11 (defaults: the tier "Build").

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::errors::ApiError;
use super::models::Class;

/// What one model class may use in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute.
    pub requests: u64,
    /// Input tokens a minute, cache reads not counted.
    pub input_tokens: u64,
    /// Output tokens a minute.
    pub output_tokens: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests: 5_000, input_tokens: 5_000_000, output_tokens: 1_000_000 }
    }
}

/// The level of one bucket: what is left, in millionths, so that a refill loses nothing to rounding.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    limit: u64,
    left_millionths: i128,
    at: Timestamp,
}

const MILLION: i128 = 1_000_000;

impl Bucket {
    fn full(limit: u64, at: Timestamp) -> Self {
        Self { limit, left_millionths: i128::from(limit) * MILLION, at }
    }

    fn refill(&mut self, now: Timestamp) {
        let passed = now.duration_since(self.at).as_micros().max(0);
        let most = i128::from(self.limit) * MILLION;
        self.left_millionths = (self.left_millionths + passed * i128::from(self.limit) / 60).min(most);
        self.at = self.at.max(now);
    }

    fn left(&self) -> u64 {
        u64::try_from(self.left_millionths.max(0) / MILLION).unwrap_or(u64::MAX)
    }

    fn take(&mut self, amount: u64) {
        self.left_millionths -= i128::from(amount) * MILLION;
    }

    /// Seconds until so much is there, rounded up, at least 1.
    fn wait_s(&self, amount: u64) -> u64 {
        let missing = (i128::from(amount.min(self.limit)) * MILLION - self.left_millionths).max(1);
        let per_second = (i128::from(self.limit) * MILLION / 60).max(1);
        u64::try_from((missing + per_second - 1) / per_second).unwrap_or(60).max(1)
    }

    fn reset(&self) -> Timestamp {
        let missing = i128::from(self.limit) * MILLION - self.left_millionths;
        let per_second = (i128::from(self.limit) * MILLION / 60).max(1);
        let seconds = i64::try_from((missing + per_second - 1) / per_second).unwrap_or(60);
        self.at.checked_add(SignedDuration::from_secs(seconds.max(0))).unwrap_or(self.at)
    }
}

#[derive(Debug, Clone, Copy)]
struct Buckets {
    requests: Bucket,
    input: Bucket,
    output: Bucket,
}

/// The buckets of all classes.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    classes: BTreeMap<Class, Buckets>,
}

impl Limiter {
    /// Full buckets.
    pub fn new(limits: Limits) -> Self {
        Self { limits, classes: BTreeMap::new() }
    }

    fn buckets(&mut self, class: Class, now: Timestamp) -> &mut Buckets {
        let limits = self.limits;
        let buckets = self.classes.entry(class).or_insert_with(|| Buckets {
            requests: Bucket::full(limits.requests, now),
            input: Bucket::full(limits.input_tokens, now),
            output: Bucket::full(limits.output_tokens, now),
        });
        buckets.requests.refill(now);
        buckets.input.refill(now);
        buckets.output.refill(now);
        buckets
    }

    /// Takes one request with so much input (what is not read from the cache).
    ///
    /// # Errors
    /// 429 with `retry-after` when a bucket is empty; nothing is taken then.
    pub fn admit(&mut self, class: Class, input: u64, now: Timestamp) -> Result<(), ApiError> {
        let limits = self.limits;
        let buckets = self.buckets(class, now);
        let refuse = |what: &str, limit: u64, wait: u64| {
            let message = format!(
                "This request would exceed your organization's rate limit of {limit} {what} per minute. Please reduce the \
                 prompt length or the number of requests, or try again later."
            );
            Err(ApiError::rate_limited(message, Some(wait)))
        };
        if buckets.requests.left() < 1 {
            return refuse("requests", limits.requests, buckets.requests.wait_s(1));
        }
        if buckets.input.left() < input.min(limits.input_tokens) {
            return refuse("input tokens", limits.input_tokens, buckets.input.wait_s(input));
        }
        if buckets.output.left() < 1 {
            return refuse("output tokens", limits.output_tokens, buckets.output.wait_s(1));
        }
        buckets.requests.take(1);
        buckets.input.take(input);
        Ok(())
    }

    /// Takes the output that was really produced.
    pub fn spend_output(&mut self, class: Class, output: u64, now: Timestamp) {
        self.buckets(class, now).output.take(output);
    }

    /// The headers of an answer.
    pub fn headers(&mut self, class: Class, now: Timestamp) -> Vec<(&'static str, String)> {
        let buckets = *self.buckets(class, now);
        let tightest = if u128::from(buckets.input.left()) * u128::from(buckets.output.limit)
            <= u128::from(buckets.output.left()) * u128::from(buckets.input.limit)
        {
            buckets.input
        } else {
            buckets.output
        };
        let reset = |bucket: &Bucket| bucket.reset().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        vec![
            ("anthropic-ratelimit-requests-limit", buckets.requests.limit.to_string()),
            ("anthropic-ratelimit-requests-remaining", buckets.requests.left().to_string()),
            ("anthropic-ratelimit-requests-reset", reset(&buckets.requests)),
            ("anthropic-ratelimit-tokens-limit", tightest.limit.to_string()),
            ("anthropic-ratelimit-tokens-remaining", tightest.left().to_string()),
            ("anthropic-ratelimit-tokens-reset", reset(&tightest)),
            ("anthropic-ratelimit-input-tokens-limit", buckets.input.limit.to_string()),
            ("anthropic-ratelimit-input-tokens-remaining", buckets.input.left().to_string()),
            ("anthropic-ratelimit-input-tokens-reset", reset(&buckets.input)),
            ("anthropic-ratelimit-output-tokens-limit", buckets.output.limit.to_string()),
            ("anthropic-ratelimit-output-tokens-remaining", buckets.output.left().to_string()),
            ("anthropic-ratelimit-output-tokens-reset", reset(&buckets.output)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_empty_and_refill() {
        let at = |second: i64| Timestamp::from_second(1_790_000_000 + second).unwrap();
        let mut limiter = Limiter::new(Limits { requests: 60, input_tokens: 600, output_tokens: 60 });
        for n in 0..60 {
            limiter.admit(Class::Opus, 1, at(0)).unwrap_or_else(|e| panic!("request {n}: {e}"));
        }
        let error = limiter.admit(Class::Opus, 1, at(0)).unwrap_err();
        assert_eq!((error.status, error.headers), (429, vec![("retry-after", "1".to_owned())]));
        assert!(limiter.admit(Class::Sonnet, 1, at(0)).is_ok(), "another class has its own bucket");
        assert!(limiter.admit(Class::Opus, 1, at(1)).is_ok(), "one comes back each second");
        assert!(limiter.admit(Class::Opus, 1, at(1)).is_err());
        let error = limiter.admit(Class::Sonnet, 600, at(0)).unwrap_err();
        assert!(error.message.contains("input tokens"), "{error}");
        limiter.spend_output(Class::Haiku, 70, at(0));
        let error = limiter.admit(Class::Haiku, 1, at(0)).unwrap_err();
        assert_eq!(error.headers, vec![("retry-after", "11".to_owned())]);
    }

    #[test]
    fn headers_count_down() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let mut limiter = Limiter::new(Limits::default());
        let remaining = |limiter: &mut Limiter, name: &str| {
            let headers = limiter.headers(Class::Opus, now);
            headers.iter().find(|(n, _)| *n == name).unwrap().1.clone()
        };
        assert_eq!(remaining(&mut limiter, "anthropic-ratelimit-requests-remaining"), "5000");
        limiter.admit(Class::Opus, 1_234, now).unwrap();
        limiter.spend_output(Class::Opus, 200_000, now);
        assert_eq!(remaining(&mut limiter, "anthropic-ratelimit-requests-remaining"), "4999");
        assert_eq!(remaining(&mut limiter, "anthropic-ratelimit-input-tokens-remaining"), "4998766");
        assert_eq!(remaining(&mut limiter, "anthropic-ratelimit-tokens-remaining"), "800000", "the tightest one");
    }
}
