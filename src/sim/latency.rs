//! How long the simulated vendors take when nothing goes wrong, so that response times can be studied: a named profile, or
//! one number of milliseconds for every answer. The same seed and order of requests give the same times.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::claude;
use super::faults::fraction;
use crate::clock::Clock;

/// How long answers take. The default is no time at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// The Messages API.
    pub claude: Option<claude::Latency>,
    /// Zendesk, Stripe and the billing API, in milliseconds a request.
    pub records_ms: u64,
    /// How far the latter may be faster or slower, in percent.
    pub spread_percent: u64,
}

/// The named profiles. No vendor publishes such figures; those of Zendesk's writes in recordings are 240 to 850 ms, the
/// others are plausible and not measured.
const PROFILES: [(&str, Latency); 4] = [
    ("none", Latency { claude: None, records_ms: 0, spread_percent: 0 }),
    ("quick", profile(300, 20, 200, 40)),
    ("typical", profile(900, 60, 70, 250)),
    ("slow", profile(3_000, 150, 30, 850)),
];

const fn profile(first_byte_ms: u64, per_kilotoken_ms: u64, tokens_per_s: u64, records_ms: u64) -> Latency {
    let spread_percent = 25;
    let tokens_per_s = Some(tokens_per_s);
    let claude = claude::Latency { first_byte_ms, per_kilotoken_ms, tokens_per_s, spread_percent, burst_ms: 0 };
    Latency { claude: Some(claude), records_ms, spread_percent }
}

impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, latency)) = PROFILES.iter().find(|(name, _)| *name == text) {
            return Ok(*latency);
        }
        let Ok(ms) = text.parse() else {
            let names = PROFILES.map(|(name, _)| name).join(", ");
            return Err(format!(
                "there is no such profile\nhint: write one of {names}, or the milliseconds that every answer takes"
            ));
        };
        let claude = claude::Latency {
            first_byte_ms: ms,
            per_kilotoken_ms: 0,
            tokens_per_s: None,
            spread_percent: 0,
            burst_ms: 0,
        };
        Ok(Self { claude: Some(claude), records_ms: ms, spread_percent: 0 })
    }
}

/// What the layer around a vendor's router needs to wait.
#[derive(Clone)]
pub(super) struct Pause {
    latency: Latency,
    clock: Clock,
    seed: u64,
    count: Arc<AtomicU64>,
}

impl Pause {
    pub(super) fn new(latency: Latency, clock: Clock, seed: u64) -> Self {
        Self { latency, clock, seed, count: Arc::default() }
    }

    /// The time that the next request takes.
    fn next(&self) -> Duration {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let percent = claude::percent(self.latency.spread_percent, fraction(self.seed, 2_000, count));
        Duration::from_millis(self.latency.records_ms * percent / 100)
    }
}

/// The layer: each request waits its time, then is served.
pub(super) async fn pause(State(pause): State<Pause>, request: Request, next: Next) -> Response {
    let wait = pause.next();
    if !wait.is_zero() {
        pause.clock.sleep(wait).await;
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_and_milliseconds_parse() {
        assert_eq!("none".parse(), Ok(Latency::default()));
        let typical: Latency = "typical".parse().unwrap();
        assert_eq!((typical.records_ms, typical.claude.unwrap().first_byte_ms), (250, 900));
        let plain: Latency = "120".parse().unwrap();
        assert_eq!((plain.records_ms, plain.claude.unwrap().tokens_per_s), (120, None));
        assert!("fast".parse::<Latency>().unwrap_err().contains("none, quick, typical, slow"));
    }

    #[test]
    fn the_same_seed_gives_the_same_times_within_the_spread() {
        let times = |seed: u64| -> Vec<u128> {
            let clock = Clock::manual("2026-11-20T09:00:00Z".parse().unwrap());
            let pause = Pause::new("typical".parse().unwrap(), clock, seed);
            (0..100).map(|_| pause.next().as_millis()).collect()
        };
        let first = times(7);
        assert_eq!(first, times(7));
        assert_ne!(first, times(8));
        assert!(first.iter().all(|ms| (187..313).contains(ms)), "{first:?}");
    }
}
