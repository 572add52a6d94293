//! The permission to act. What performs an effect at a vendor takes `&Acting`; whoever holds none (shadow mode) cannot call
//! it, by type. It is asked again right before each effect leaves: a worker that stood still past its lease sends nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::Error;
use crate::clock::Clock;

/// How much of a lease must be left when an effect leaves. A living worker renews in time and so always has more (see
/// `agent/worker.rs`); what is in flight longer than this is covered by the renewals beside it.
pub const LEASE_LEFT_MIN: Duration = Duration::from_secs(2);

/// Who is named where we hold ourselves back.
pub const OURSELVES: &str = "deskhand";

/// Until when effects may leave. Clones share the time.
#[derive(Clone)]
pub struct Acting {
    clock: Clock,
    /// When the lease ends, in milliseconds since the Unix epoch.
    until_ms: Arc<AtomicI64>,
}

impl Acting {
    /// Effects may leave while a lease holds that ends then, in milliseconds since the Unix epoch.
    pub fn until(clock: Clock, until_ms: i64) -> Self {
        Self { clock, until_ms: Arc::new(AtomicI64::new(until_ms)) }
    }

    /// The lease was renewed.
    pub fn extend(&self, until_ms: i64) {
        self.until_ms.store(until_ms, Ordering::Release);
    }

    /// To be asked right before an effect leaves. [`Error::Retry`]: too little of the lease is left, nothing may be sent.
    pub fn may_leave(&self) -> Result<(), Error> {
        let least_ms = i64::try_from(LEASE_LEFT_MIN.as_millis()).unwrap_or(i64::MAX);
        let left_ms = self.until_ms.load(Ordering::Acquire).saturating_sub(self.clock.now_ms());
        if left_ms >= least_ms {
            return Ok(());
        }
        Err(Error::retry(OURSELVES, None, "the worker stood still and its lease on the run is over or nearly so"))
    }
}

impl std::fmt::Debug for Acting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acting").field("until_ms", &self.until_ms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_under_a_lease_that_is_over_until_it_is_renewed() {
        let clock = Clock::manual("2026-11-20T09:00:00Z".parse().unwrap());
        let acting = Acting::until(clock.clone(), clock.now_ms() + 9_000);
        assert!(acting.may_leave().is_ok());
        clock.advance(Duration::from_millis(7_001));
        assert!(matches!(acting.may_leave(), Err(Error::Retry { .. })));
        acting.clone().extend(clock.now_ms() + 9_000);
        assert!(acting.may_leave().is_ok());
        clock.advance(Duration::from_secs(60));
        assert!(acting.may_leave().is_err());
    }
}
