//! One shared world behind all simulators: customers and their money, tickets, sent mail, counters. Every change is an
//! [`Event`] that goes through [`Guard::apply`]; with a ledger it is on file before the answer leaves, so that a killed
//! process finds the world as its vendors left it. The vendors' wire is not here but in `zendesk.rs`, `stripe.rs` and so on.
//!
//! A handler locks, looks, decides and applies while it holds the guard; never across an `.await`:
//! ```ignore
//! let mut world = world.lock();            // due arrivals have happened, the time is `world.now()`
//! if world.refundable_minor("pay_1") < 500 { return refusal; }
//! let refund = Refund { id: world.next_refund_id(), at: world.now(), made_here: true, .. };
//! world.apply(Event::RefundCreated { refund });
//! ```

mod accessors;
mod deeds;
mod event;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
pub(in crate::sim) mod text;
mod tickets;

use std::collections::VecDeque;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::ledger::{Error, Ledger, Line};
use super::world_file::WorldFiles;
use crate::clock::Clock;

pub use deeds::{Deeds, ModelCalls, Totals};
pub use event::{Event, Mail, NewComment, NewTicket, Refund, SubscriptionPatch, TicketUpdate};
pub use state::{Arrival, State, StoredKey, SubscriptionChange, SubscriptionState, Token};
pub(in crate::sim) use tickets::stable_id;
pub use tickets::{Audit, AuditEvent, Comment, OutboxMail, SimTicket, User};

/// How tickets arrive.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Arrivals {
    /// Tickets per minute, evenly, in the order of the file, instead of their `arrives_s`.
    pub rate: Option<f64>,
    /// Only the first so many of the file.
    pub tickets: Option<usize>,
}

/// The shared world. Cheap to share as `Arc<World>`.
pub struct World {
    inner: Mutex<Inner>,
    clock: Clock,
    files: Arc<WorldFiles>,
    seed: u64,
    resume: Timestamp,
}

struct Inner {
    state: State,
    ledger: Option<Ledger>,
    /// What happened and could not be written yet, on a full disk; in order. While something waits, the vendors refuse.
    waiting: VecDeque<Line>,
}

impl Inner {
    /// Writes what waits. `false`: it still cannot be written.
    fn catch_up(&mut self) -> bool {
        let Some(ledger) = self.ledger.as_mut().filter(|_| !self.waiting.is_empty()) else { return true };
        while let Some(line) = self.waiting.front() {
            if ledger.append(line).is_err() {
                return false; // Said when it began.
            }
            self.waiting.pop_front();
        }
        tracing::warn!("the world's ledger is written again, and holds all that happened");
        true
    }

    /// Puts a line on file, behind those that wait.
    fn write_down(&mut self, line: &Line) {
        if !self.catch_up() {
            self.waiting.push_back(line.clone());
            return;
        }
        let Some(ledger) = self.ledger.as_mut() else { return };
        if let Err(error) = ledger.append(line) {
            tracing::error!(%error, "the simulated vendors refuse everything until their world's ledger can be written");
            self.waiting.push_back(line.clone());
        }
    }
}

/// The locked world: read the state through it, change it with [`Guard::apply`].
pub struct Guard<'a> {
    inner: MutexGuard<'a, Inner>,
    now: Timestamp,
}

impl Deref for Guard<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        &self.inner.state
    }
}

impl Guard<'_> {
    /// The world's time, read once when the world was locked.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Makes something happen now: first in the ledger, then in the state.
    pub fn apply(&mut self, event: Event) {
        self.apply_at(self.now, event);
    }

    fn apply_at(&mut self, at: Timestamp, event: Event) {
        let line = Line { at, event };
        let inner = &mut *self.inner;
        inner.write_down(&line);
        inner.state.apply(line.at, &line.event);
    }

    /// Lets everything happen that is due.
    fn tick(&mut self) {
        while let Some((at, event)) = self.inner.state.next_due().filter(|(at, _)| *at <= self.now) {
            self.apply_at(at, event);
        }
    }
}

/// A time so many seconds later.
fn shifted(at: Timestamp, by_s: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(by_s)).unwrap_or(at)
}

/// The last time in a ledger, jumps of the vendors' clock taken out.
fn last_time(lines: &[Line]) -> Option<Timestamp> {
    let mut skew_s = 0;
    let right = lines.iter().map(|line| {
        let at = shifted(line.at, -skew_s);
        if let Event::ClockJumped { by_s } = line.event {
            skew_s += by_s;
        }
        at
    });
    right.max()
}

impl World {
    /// A world on this clock. With a ledger, what is in it happened already.
    ///
    /// # Errors
    /// The ledger cannot be read or written, or belongs to another world.
    pub fn open(
        files: WorldFiles,
        clock: Clock,
        seed: u64,
        arrivals: Arrivals,
        ledger: Option<&Path>,
    ) -> Result<Self, Error> {
        let files = Arc::new(files);
        let (ledger, lines) = match ledger {
            Some(path) => {
                let (ledger, lines) = Ledger::open(path)?;
                (Some(ledger), lines)
            }
            None => (None, Vec::new()),
        };
        if let Some(Line { event: Event::Started { world, .. }, .. }) = lines.first()
            && *world != files.name
        {
            let path = ledger.as_ref().map(Ledger::path).unwrap_or_default();
            return Err(Error::OtherWorld { path, found: world.clone(), wanted: files.name.clone() });
        }
        let started = lines.first().map(|line| line.at);
        let resume = last_time(&lines).unwrap_or(files.now);
        let mut state = State::new(files.clone(), started.unwrap_or_else(|| clock.now()), arrivals);
        for line in &lines {
            state.apply(line.at, &line.event);
        }
        let inner = Inner { state, ledger, waiting: VecDeque::new() };
        let world = Self { inner: Mutex::new(inner), clock, files, seed, resume };
        if started.is_none() {
            let event = Event::Started { world: world.files.name.clone(), seed };
            world.lock_without_tick().apply(event);
        }
        Ok(world)
    }

    /// The time at which a world with this ledger goes on: the last that it knew, or the start in the files. Read it before
    /// making the clock: `Clock::starting_at(World::resume_time_of(…)?)`.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn resume_time_of(files: &WorldFiles, ledger: Option<&Path>) -> Result<Timestamp, Error> {
        let Some(path) = ledger.filter(|path| path.exists()) else { return Ok(files.now) };
        let (_, lines) = Ledger::open(path)?;
        Ok(last_time(&lines).unwrap_or(files.now))
    }

    /// The last time in the ledger when this world was opened, or the start in the files.
    pub fn resume_time(&self) -> Timestamp {
        self.resume
    }

    /// Locks the world, after everything that is due has happened. Hold it for a moment only, never across an `.await`.
    pub fn lock(&self) -> Guard<'_> {
        let mut guard = self.lock_without_tick();
        guard.tick();
        guard
    }

    fn lock_without_tick(&self) -> Guard<'_> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = shifted(self.clock.now(), inner.state.skew_s);
        Guard { inner, now }
    }

    /// The time as the vendors have it: the clock's, and how far it has jumped.
    pub fn now(&self) -> Timestamp {
        self.lock_without_tick().now
    }

    /// Sets the vendors' clock off by so many seconds (less than 0: back), or right again when it is off by as many. From
    /// then on their `Date` headers and every new stamp are off; what is on file keeps its stamps, things still happen
    /// when they are due, and the export keeps its order. Before the first ticket the export is set off too, so that the
    /// vendors' clock is then simply wrong from the start. Rate limits and the Messages API's cache keep the true time.
    pub fn jump(&self, by_s: i64) {
        let mut world = self.lock_without_tick();
        let to_s = if world.skew_s == by_s { 0 } else { by_s };
        let by_s = to_s - world.skew_s;
        world.apply(Event::ClockJumped { by_s });
    }

    /// Puts another open file in the place of the ledger's.
    #[cfg(test)]
    pub(in crate::sim) fn swap_ledger(&self, file: std::fs::File) {
        self.lock_without_tick().inner.ledger.as_mut().unwrap().swap(file);
    }

    /// Whether all that happened is on file, where there is a file; tries to write what waits. While it is not, an answer must
    /// not leave: a process that is killed would find a world in which the deed was never done.
    pub fn is_on_file(&self) -> bool {
        self.lock_without_tick().inner.catch_up()
    }

    /// Lets everything happen that is due: arrivals, and what follows on them.
    pub fn tick(&self) {
        drop(self.lock());
    }

    /// When the next arrival or happening is due, so that a demo can move its clock; `None` when nothing more will come by
    /// itself (happenings that wait for an answer or an escalation come only after it).
    pub fn next_event_at(&self) -> Option<Timestamp> {
        let world = self.lock();
        world.next_due().map(|(at, _)| shifted(at, -world.skew_s))
    }

    /// What the world was made from.
    pub fn files(&self) -> &Arc<WorldFiles> {
        &self.files
    }
    /// The world's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Counts one request of a route.
    pub fn count(&self, vendor: &str, route: &str) {
        let add = [("requests".to_owned(), 1)].into();
        self.lock().apply(Event::Counted { vendor: vendor.to_owned(), route: route.to_owned(), add });
    }
}
