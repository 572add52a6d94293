//! Zendesk's rate limits, in fixed windows on the world's clock.
//! Source: <https://developer.zendesk.com/api-reference/introduction/rate-limits>, 2026-11.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::json;

use super::Answer;

/// How many requests each bucket takes in its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All requests of the account, a minute.
    pub account: u32,
    /// Updates of tickets of the account, a minute.
    pub updates: u32,
    /// Updates of one ticket by one user, in ten minutes.
    pub per_ticket: u32,
    /// Incremental exports of the account, a minute.
    pub incremental: u32,
}

impl Default for Limits {
    /// An Enterprise plan.
    fn default() -> Self {
        Self { account: 700, updates: 100, per_ticket: 30, incremental: 10 }
    }
}

impl Limits {
    /// With the High Volume add-on.
    pub fn high_volume() -> Self {
        Self { account: 2500, updates: 300, per_ticket: 30, incremental: 30 }
    }
}

const MINUTE: i64 = 60;

#[derive(Debug)]
pub(super) struct Buckets {
    limits: Limits,
    used: Mutex<BTreeMap<String, (i64, u32)>>,
}

/// What is left of a bucket: total, remaining, seconds to its reset.
type Left = (u32, u32, i64);

impl Buckets {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, used: Mutex::new(BTreeMap::new()) }
    }

    fn look(&self, name: &str, total: u32, window: i64, now: Timestamp, take: bool) -> Result<Left, i64> {
        let now = now.as_second();
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, used) = all.entry(name.to_owned()).or_insert((now, 0));
        if now >= *start + window || now < *start {
            (*start, *used) = (now, 0);
        }
        let reset = *start + window - now;
        if take && *used >= total {
            return Err(reset);
        }
        *used += u32::from(take);
        Ok((total, total.saturating_sub(*used), reset))
    }

    pub(super) fn account(&self, now: Timestamp) -> Left {
        self.look("account", self.limits.account, MINUTE, now, false).unwrap_or((self.limits.account, 0, MINUTE))
    }

    pub(super) fn take_account(&self, now: Timestamp) -> Result<(), Answer> {
        self.look("account", self.limits.account, MINUTE, now, true).map(drop).map_err(|reset| {
            let body = json!("Number of allowed API requests per minute exceeded");
            Answer::new(429, body).with("retry-after", reset.to_string())
        })
    }

    pub(super) fn take_incremental(&self, now: Timestamp) -> Result<(&'static str, String), Answer> {
        self.take("zendesk-ratelimit-incremental-exports", "incremental", self.limits.incremental, MINUTE, now)
    }

    /// One update of a ticket: both of its buckets.
    pub(super) fn take_update(
        &self,
        user: i64,
        ticket: i64,
        now: Timestamp,
    ) -> Result<[(&'static str, String); 2], Answer> {
        let each = format!("ticket {user} {ticket}");
        let per_ticket =
            self.take("zendesk-ratelimit-per-ticket-updates", &each, self.limits.per_ticket, 10 * MINUTE, now)?;
        let all = self.take("zendesk-ratelimit-tickets-update", "updates", self.limits.updates, MINUTE, now)?;
        Ok([per_ticket, all])
    }

    fn take(
        &self,
        header: &'static str,
        name: &str,
        total: u32,
        window: i64,
        now: Timestamp,
    ) -> Result<(&'static str, String), Answer> {
        let text = |remaining: u32, reset: i64| format!("total={total}; remaining={remaining}; resets={reset}");
        match self.look(name, total, window, now, true) {
            Ok((_, remaining, reset)) => Ok((header, text(remaining, reset))),
            Err(reset) => {
                let body = json!({
                    "error": "APIRateLimitExceeded",
                    "description": "Number of allowed API requests per minute exceeded",
                });
                Err(Answer::new(429, body).with("retry-after", reset.to_string()).with(header, text(0, reset)))
            }
        }
    }
}
