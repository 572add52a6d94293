//! The clock. Everything that asks for the time or waits for one does it here; nobody else reads the time.
//!
//! One type serves three uses: the system's time, a world's time that starts elsewhere and runs on (`demo`), and a frozen
//! time that a test moves. Waiting wakes when the time comes or when somebody moves the clock past it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// By how much a vendor's clock and ours may differ, in seconds, where a time of one is compared with a time of the other.
pub const CLOCKS_DIFFER_S: i64 = 3 * 3_600;

/// Tells the time and waits for it. Cheap to clone; clones share their time.
#[derive(Clone)]
pub struct Clock {
    origin: Arc<Origin>,
}

struct Origin {
    /// The time at `started`, before any move.
    base: Timestamp,
    /// `None`: the clock stands still unless moved.
    started: Option<Instant>,
    /// How far it was moved since.
    moved: watch::Sender<SignedDuration>,
    /// How many wait for which moment, of a clock that stands still: whoever moves it asks for the earliest.
    awaited: Mutex<BTreeMap<Timestamp, usize>>,
}

impl Origin {
    fn awaited(&self) -> MutexGuard<'_, BTreeMap<Timestamp, usize>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits on a clock that stands still; counted as long as it lives.
struct Waiter<'a> {
    origin: &'a Origin,
    when: Timestamp,
}

impl<'a> Waiter<'a> {
    fn new(origin: &'a Origin, when: Timestamp) -> Self {
        *origin.awaited().entry(when).or_default() += 1;
        Self { origin, when }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut awaited = self.origin.awaited();
        if let Some(count) = awaited.get_mut(&self.when) {
            *count -= 1;
            if *count == 0 {
                awaited.remove(&self.when);
            }
        }
    }
}

impl Clock {
    /// The system's time.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the time")]
        let base = Timestamp::now();
        Self::starting_at(base)
    }

    /// A time that starts here and runs on with the system's pace.
    pub fn starting_at(base: Timestamp) -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the time")]
        let started = Instant::now();
        Self::new(base, Some(started))
    }

    /// A time that stands still until it is moved.
    pub fn manual(base: Timestamp) -> Self {
        Self::new(base, None)
    }

    fn new(base: Timestamp, started: Option<Instant>) -> Self {
        let moved = watch::Sender::new(SignedDuration::ZERO);
        Self { origin: Arc::new(Origin { base, started, moved, awaited: Mutex::default() }) }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        let ran = self.origin.started.map_or(Duration::ZERO, |started| started.elapsed());
        let ran = SignedDuration::try_from(ran).unwrap_or(SignedDuration::MAX);
        let passed = ran.saturating_add(*self.origin.moved.borrow());
        self.origin.base.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// Milliseconds since the Unix epoch, as the journal stores times.
    pub fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }

    /// Moves the time forward and wakes whoever waited for a moment that has now come.
    pub fn advance(&self, by: Duration) {
        self.jump(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX));
    }

    /// Sets the time forward or back, as a machine's clock may be set, and wakes whoever waited for a moment that has now come.
    pub fn jump(&self, by: SignedDuration) {
        self.origin.moved.send_modify(|moved| *moved = moved.saturating_add(by));
    }

    /// Moves the time forward to this moment; does nothing when it has passed.
    pub fn advance_to(&self, to: Timestamp) {
        if let Ok(by) = Duration::try_from(to.duration_since(self.now())) {
            self.advance(by);
        }
    }

    /// The earliest moment that somebody waits for on a clock that stands still: moved there and no further, it leaves out
    /// nothing that would have happened in between. `None` on a clock that runs, and when nobody waits.
    pub fn next_awaited(&self) -> Option<Timestamp> {
        self.origin.awaited().first_key_value().map(|(when, _)| *when)
    }

    /// Returns when the time has come. Safe to drop.
    pub async fn sleep_until(&self, when: Timestamp) {
        let mut moved = self.origin.moved.subscribe();
        let _waiter = match self.origin.started {
            None if when > self.now() => Some(Waiter::new(&self.origin, when)),
            _ => None,
        };
        loop {
            let left = match Duration::try_from(when.duration_since(self.now())) {
                Ok(left) if !left.is_zero() => left,
                _ => return,
            };
            match self.origin.started {
                Some(_) => {
                    #[expect(clippy::disallowed_methods, reason = "this is the one place that waits for a time")]
                    let sleep = tokio::time::sleep(left.min(Duration::from_secs(86_400)));
                    tokio::select! {
                        () = sleep => {}
                        changed = moved.changed() => { if changed.is_err() { return; } }
                    }
                }
                None => {
                    if moved.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Returns after this long.
    pub async fn sleep(&self, for_: Duration) {
        let until = self.now().checked_add(for_).unwrap_or(Timestamp::MAX);
        self.sleep_until(until).await;
    }

    /// A reading to measure a span with: real time on a running clock, so that a latency is what was really waited.
    pub fn stopwatch(&self) -> Stopwatch {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the time")]
        let started = Instant::now();
        Stopwatch { started }
    }
}

/// Measures a span of real time.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    /// Since it was started.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Milliseconds since it was started.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_who_waits_when_a_test_moves_time() {
        let clock = Clock::manual("2026-11-20T09:00:00Z".parse().unwrap());
        let due = clock.now() + Duration::from_secs(86_400);
        let waiter = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(due).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        clock.advance_to(due);
        waiter.await.unwrap();
        assert_eq!(clock.now(), due);
    }

    #[tokio::test]
    async fn who_moves_a_manual_clock_learns_what_is_awaited_first() {
        let clock = Clock::manual("2026-11-20T09:00:00Z".parse().unwrap());
        let at = |seconds| clock.now() + Duration::from_secs(seconds);
        assert_eq!(clock.next_awaited(), None);
        let mut late = Box::pin(clock.sleep_until(at(20)));
        let mut soon = Box::pin(clock.sleep_until(at(10)));
        assert!(futures_util::poll!(&mut late).is_pending() && futures_util::poll!(&mut soon).is_pending());
        assert_eq!(clock.next_awaited(), Some(at(10)));
        drop(soon);
        assert_eq!(clock.next_awaited(), Some(at(20)), "who stopped waiting is not waited for");
        let due = at(20);
        clock.advance_to(due);
        late.await;
        assert_eq!(clock.next_awaited(), None);
    }

    #[test]
    fn a_clock_can_be_set_back() {
        let clock = Clock::manual("2026-11-20T09:00:00Z".parse().unwrap());
        clock.advance(Duration::from_secs(10));
        clock.jump(SignedDuration::from_hours(-1));
        assert_eq!(clock.now(), "2026-11-20T08:00:10Z".parse().unwrap());
    }
}
