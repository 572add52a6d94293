//! When a failed step is tried again: back-off as data. Pure and without chance: the spread comes from the run's id, so that
//! five hundred runs that failed together do not come back together.

use std::hash::{Hash, Hasher};

use crate::ids::{RunId, StepNo};

/// The shortest pause, in milliseconds.
const FIRST_MS: u64 = 500;
/// The longest pause, in milliseconds: ten minutes.
const LONGEST_MS: u64 = 600_000;

/// How long to wait after this failed try (counted from 1), in milliseconds: half a second, doubling to ten minutes, spread
/// over the upper half; never less than what the vendor asked for.
pub fn pause_ms(run: &RunId, step: StepNo, attempt: u32, vendor_asks_ms: Option<u64>) -> u64 {
    let doubled = FIRST_MS.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(LONGEST_MS);
    let mut hasher = Fnv::default();
    (run.as_str(), step.0, attempt).hash(&mut hasher);
    let spread = doubled / 2 + hasher.finish() % (doubled / 2 + 1);
    spread.max(vendor_asks_ms.map_or(0, |asked| asked + hasher.finish() % 250))
}

/// A part of `range_ms` that differs from run to run, step to step and time to time, and is the same on every machine.
pub fn spread_ms(run: &RunId, step: StepNo, time: u32, range_ms: u64) -> u64 {
    let mut hasher = Fnv::default();
    (run.as_str(), step.0, time).hash(&mut hasher);
    hasher.finish() % (range_ms + 1)
}

/// FNV-1a: the same on every machine and in every version, unlike the standard library's hasher.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CommentId, TicketId};

    #[test]
    fn pauses_grow_stay_bounded_and_respect_the_vendor() {
        let run = RunId::for_trigger(TicketId(1), CommentId(2));
        for attempt in 1..40 {
            let pause = pause_ms(&run, StepNo(3), attempt, None);
            let doubled = FIRST_MS.saturating_mul(1 << (attempt - 1).min(20)).min(LONGEST_MS);
            assert!((doubled / 2..=doubled).contains(&pause), "attempt {attempt}: {pause}");
        }
        assert!(pause_ms(&run, StepNo(3), 1, Some(30_000)) >= 30_000);
        let other = RunId::for_trigger(TicketId(2), CommentId(2));
        assert_ne!(pause_ms(&run, StepNo(3), 12, None), pause_ms(&other, StepNo(3), 12, None));
    }
}
