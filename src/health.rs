//! What keeps work from going on right now, in the memory of this process: vendors that count as away, a journal that cannot
//! be written, an intake that cannot read, money that is used up, a rate
//! limit that model calls wait for. Workers and intake write it, pages and `/readyz` read it.
//! After a restart it is empty and the first failures fill it again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::breaker::{Asked, Breaker};
use crate::ids::RunId;

/// So many runs' last panics are remembered.
const PANICS_MAX: usize = 200;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// What, for people; no secret, address or message body.
    pub said: String,
}

/// A vendor that must be left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Who.
    pub vendor: &'static str,
    /// Until when, in milliseconds since the Unix epoch.
    pub until_ms: i64,
    /// Since when it does not answer.
    pub since_ms: i64,
    /// What was heard last.
    pub said: String,
}

/// How a prefix that all tickets share stands in the vendor's cache.
#[derive(Debug, Clone, PartialEq)]
pub struct PrefixLine {
    /// What it is used for: `answers` or `routing`.
    pub used_for: &'static str,
    /// Which model reads it.
    pub model: String,
    /// Its length; `None`: not known.
    pub tokens: Option<u64>,
    /// Whether the vendor counted it; otherwise it is estimated.
    pub counted: bool,
    /// The shortest prefix that the vendor caches, in tokens; `None`: not known.
    pub floor: Option<u64>,
    /// Whether it is longer than the floor with some room.
    pub is_long_enough: Option<bool>,
    /// How long it lives: `5m` or `1h`.
    pub ttl: &'static str,
    /// Whether that was set by hand.
    pub is_fixed: bool,
    /// Tickets an hour that need it.
    pub per_hour: Option<f64>,
    /// The rate above which an hour is cheaper than five minutes.
    pub break_even: Option<f64>,
    /// It stood in the cache and was not read.
    pub cold: Option<Trouble>,
}

/// Shared by everything in the process.
#[derive(Debug, Default)]
pub struct Health {
    inner: Mutex<Inner>,
    store: OnceLock<Watch>,
}

/// Asks a store what keeps it from being written.
struct Watch(Box<dyn Fn() -> Option<Trouble> + Send + Sync>);

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// The permission to ask some vendors, of which one that counts as away may be asked by this one alone.
#[derive(Debug)]
#[must_use = "a probe is given back when this is dropped"]
pub struct Probes<'a> {
    health: &'a Health,
    vendors: &'a [&'static str],
    taken_ms: i64,
}

impl Drop for Probes<'_> {
    fn drop(&mut self) {
        let mut inner = self.health.lock();
        for vendor in self.vendors {
            if let Some(breaker) = inner.breakers.get_mut(vendor) {
                breaker.give_back(self.taken_ms);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    breakers: BTreeMap<&'static str, Breaker>,
    journal: Option<Trouble>,
    intake: Option<Trouble>,
    spend: Option<Trouble>,
    prefixes: Vec<PrefixLine>,
    limited: Option<Trouble>,
    panics: BTreeMap<RunId, String>,
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here is left half-changed by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all of these vendors may be asked now; otherwise which one must be left alone the longest. Whoever is told to go
    /// must say how it ended, by [`Health::answered`] or [`Health::failed`]; a probe of a vendor that was not asked after all
    /// is given back when the answer is dropped.
    pub fn ask<'a>(&'a self, vendors: &'a [&'static str], now_ms: i64) -> Result<Probes<'a>, Wait> {
        let mut inner = self.lock();
        let waits = vendors.iter().filter_map(|vendor| {
            let breaker = inner.breakers.get(vendor)?;
            match (breaker.look(now_ms), breaker.away()) {
                (Asked::Wait { until_ms }, Some(away)) => {
                    Some(Wait { vendor, until_ms, since_ms: away.since_ms, said: away.said.clone() })
                }
                _ => None,
            }
        });
        if let Some(longest) = waits.max_by_key(|wait| wait.until_ms) {
            return Err(longest);
        }
        for vendor in vendors {
            if let Some(breaker) = inner.breakers.get_mut(vendor) {
                breaker.ask(now_ms);
            }
        }
        Ok(Probes { health: self, vendors, taken_ms: now_ms })
    }

    /// These vendors answered, if only to refuse. Returns those that had counted as away.
    pub fn answered(&self, vendors: &[&'static str]) -> Vec<&'static str> {
        let mut inner = self.lock();
        let back = |vendor: &&&'static str| inner.breakers.get_mut(**vendor).is_some_and(Breaker::answered);
        vendors.iter().filter(back).copied().collect()
    }

    /// This vendor is busy, away, or its answer was lost. Returns whether it counts as away from now on.
    pub fn failed(&self, vendor: &'static str, now_ms: i64, said: &str, asks_ms: Option<i64>) -> bool {
        self.lock().breakers.entry(vendor).or_default().failed(now_ms, said, asks_ms)
    }

    /// Whether this vendor counts as away.
    pub fn is_away(&self, vendor: &str) -> bool {
        self.lock().breakers.get(vendor).is_some_and(|breaker| breaker.away().is_some())
    }

    /// The vendors that count as away.
    pub fn away(&self) -> Vec<(&'static str, Trouble)> {
        let inner = self.lock();
        let away = inner.breakers.iter().filter_map(|(vendor, breaker)| {
            let away = breaker.away()?;
            Some((*vendor, Trouble { since_ms: away.since_ms, said: away.said.clone() }))
        });
        away.collect()
    }

    /// From now on the store itself is asked what keeps it from being written, whether anybody tries to write or not. Once;
    /// later calls do nothing.
    pub fn watch_journal(&self, ask: impl Fn() -> Option<Trouble> + Send + Sync + 'static) {
        let _ = self.store.set(Watch(Box::new(ask)));
    }

    /// The journal could not be written (`Some`), or was written again. Shown where no store is watched.
    pub fn set_journal(&self, now_ms: i64, said: Option<String>) {
        set(&mut self.lock().journal, now_ms, said);
    }

    /// Why the journal cannot be written.
    pub fn journal(&self) -> Option<Trouble> {
        match self.store.get() {
            Some(Watch(ask)) => ask(),
            None => self.lock().journal.clone(),
        }
    }

    /// Intake could not read the helpdesk (`Some`), or read it again.
    pub fn set_intake(&self, now_ms: i64, said: Option<String>) {
        set(&mut self.lock().intake, now_ms, said);
    }

    /// Why intake does not read.
    pub fn intake(&self) -> Option<Trouble> {
        self.lock().intake.clone()
    }

    /// No model call starts because the money for it is used up (`Some`), or one may start again.
    pub fn set_spend(&self, now_ms: i64, said: Option<String>) {
        set(&mut self.lock().spend, now_ms, said);
    }

    /// Which limit of spending is reached.
    pub fn spend(&self) -> Option<Trouble> {
        self.lock().spend.clone()
    }

    /// How the prefixes stand in the vendor's cache.
    pub fn set_prefixes(&self, lines: Vec<PrefixLine>) {
        self.lock().prefixes = lines;
    }

    /// The same.
    pub fn prefixes(&self) -> Vec<PrefixLine> {
        self.lock().prefixes.clone()
    }

    /// Model calls wait for the vendor's rate limit (`Some`), or none does any more.
    pub fn set_limited(&self, now_ms: i64, said: Option<String>) {
        set(&mut self.lock().limited, now_ms, said);
    }

    /// Which rate limit model calls wait for.
    pub fn limited(&self) -> Option<Trouble> {
        self.lock().limited.clone()
    }

    /// Remembers what a run's worker said when it broke, for the person who will read of it.
    pub fn note_panic(&self, run: &RunId, message: &str) {
        let mut inner = self.lock();
        if inner.panics.len() >= PANICS_MAX {
            inner.panics.pop_first();
        }
        inner.panics.insert(run.clone(), message.to_owned());
    }

    /// What the run's worker said when it broke last, in the life of this process.
    pub fn last_panic(&self, run: &RunId) -> Option<String> {
        self.lock().panics.get(run).cloned()
    }
}

fn set(place: &mut Option<Trouble>, now_ms: i64, said: Option<String>) {
    match (said, place) {
        (None, place) => *place = None,
        (Some(said), Some(trouble)) => trouble.said = said,
        (Some(said), place) => *place = Some(Trouble { since_ms: now_ms, said }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_needs_several_vendors_takes_a_probe_only_when_all_may_be_asked() {
        let health = Health::default();
        for vendor in ["zendesk", "stripe"] {
            for _ in 0..crate::breaker::FAILURES_BEFORE_AWAY {
                health.failed(vendor, 0, "busy", None);
            }
        }
        health.failed("stripe", 0, "busy", None);
        let wait = health.ask(&["zendesk", "stripe"], 500).unwrap_err();
        assert_eq!((wait.until_ms, wait.since_ms), (1_000, 0));
        // The probe of Stripe goes; a step that needs both must not use up Zendesk's.
        let stripe = health.ask(&["stripe"], 1_000).unwrap();
        assert!(health.ask(&["zendesk", "stripe"], 1_000).is_err());
        let zendesk = health.ask(&["zendesk"], 1_000).unwrap();
        assert!(health.ask(&["stripe"], 1_001).is_err());
        drop(stripe); // It was not asked.
        drop(health.ask(&["stripe"], 1_002).unwrap());
        drop(zendesk);
        assert_eq!(health.answered(&["zendesk", "claude"]), ["zendesk"]);
        assert_eq!(health.away().iter().map(|(vendor, _)| *vendor).collect::<Vec<_>>(), ["stripe"]);
    }

    #[test]
    fn a_trouble_keeps_the_time_at_which_it_began() {
        let health = Health::default();
        health.set_journal(10, Some("disk full".to_owned()));
        health.set_journal(20, Some("disk still full".to_owned()));
        assert_eq!(health.journal(), Some(Trouble { since_ms: 10, said: "disk still full".to_owned() }));
        health.set_journal(30, None);
        assert_eq!(health.journal(), None);
    }
}
