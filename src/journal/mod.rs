//! The journal: append-only entries of runs, and the rows beside them. The only room with SQL in it.
//!
//! A store only compares and stores; what a run does is decided in `run/`. An answer of `Ok` means on disk. Every write says
//! what it saw (`expected_len`); a wake-up (`bell`) is a hint and carries no data.

pub mod accounts;
pub mod brake;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod tests;
pub mod views;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::ids::{PaymentId, RunId, TicketId};
use crate::money::{Currency, Money};
use crate::run::entry::Entry;
use crate::run::row::{Projection, RunStatus};

/// Why the journal did not do as asked. Nothing was written unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run has other entries than the caller saw: read again and decide anew.
    #[error("`{run}` has {found} entries, not {expected}")]
    Moved {
        /// Which run.
        run: RunId,
        /// What the caller saw.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The lease is no longer the run's newest: another worker has it, or it ran out and was taken.
    #[error("the lease on `{run}` (token {token}) is stale")]
    StaleLease {
        /// Which run.
        run: RunId,
        /// The stale token.
        token: u64,
    },
    /// A switch that had to be off is on: see [`Conditions::switches_off`].
    #[error("the switch `{switch}` is on: {reason}")]
    SwitchedOn {
        /// Which switch.
        switch: String,
        /// What stands in it.
        reason: String,
    },
    /// Another refund is in the way: see [`Conditions::only_refund`].
    #[error("`{run}` has a refund of {amount} of the same payment, {state}")]
    Twin {
        /// Whose refund it is.
        run: RunId,
        /// How it stands: `in_flight`, `done`, `unknown`.
        state: String,
        /// How much.
        amount: Money,
    },
    /// A sum would pass its limit: see [`Conditions::refund_day`].
    #[error("{asked_minor} more would pass the limit of {limit_minor}: {sum_minor} {currency} are taken already")]
    DayFull {
        /// Whose minor units.
        currency: Currency,
        /// What was to be added.
        asked_minor: i64,
        /// What is taken.
        sum_minor: i64,
        /// What may be taken.
        limit_minor: i64,
    },
    /// There is no such run.
    #[error("there is no run `{0}`")]
    NoSuchRun(RunId),
    /// The file cannot be written or read now: full disk, read-only file, IO error.
    #[error("the journal cannot be {doing}: {reason}\nhint: {hint}")]
    Storage {
        /// `written` or `read`.
        doing: &'static str,
        /// The store's words.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// The file holds what this version cannot read.
    #[error("the journal holds what cannot be read: {0}")]
    Corrupt(String),
    /// A claimed run whose entries cannot be read; the lease is good to park it.
    #[error("the entries of `{}` cannot be read: {why}", .lease.run)]
    Unreadable {
        /// The claim.
        lease: Lease,
        /// Why not.
        why: String,
    },
    /// The data was written by a newer version.
    #[error(
        "the journal has schema {found}, this version knows {known}\nhint: use the version that wrote it, or restore a backup from before"
    )]
    NewerSchema {
        /// The schema of the file.
        found: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// Another process has the file.
    #[error("another process uses `{path}`\nhint: stop it first; one data folder serves one process")]
    InUse {
        /// The file.
        path: String,
    },
    /// The journal is shutting down.
    #[error("the journal is closed")]
    Closed,
}

/// What must hold in the very commit of an append; otherwise nothing of it is written. Comparisons only: what follows from
/// a refusal is decided by the caller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// Switches of which none may be on. [`Error::SwitchedOn`]
    pub switches_off: &'static [&'static str],
    /// A refund that must repeat no other. [`Error::Twin`]
    pub only_refund: Option<OnlyRefund>,
    /// A refund that must fit under the day's limit. [`Error::DayFull`]
    pub refund_day: Option<RefundDay>,
}

/// A refund of whose payment no other one may be of unknown outcome, whatever its amount, nor an equal one of another run be
/// in flight or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlyRefund {
    /// Of which payment.
    pub payment: PaymentId,
    /// How much.
    pub amount: Money,
}

/// A refund and the limit of all refunds in its currency since a time: done, in flight, of unknown outcome, awaiting a
/// person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundDay {
    /// What is to be added.
    pub amount: Money,
    /// When the shop's day began, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// What may be given back from then on, in minor units; exactly this much may.
    pub limit_minor: i64,
}

/// A switch that is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Which.
    pub name: String,
    /// What stands in it: the reason, for brakes.
    pub value: String,
    /// Who set it: a user's address, `command line`, `deskhand`.
    pub by: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// The right to write to a run until a time. What moves a run takes `&Lease`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Which run.
    pub run: RunId,
    /// Grows with every claim of the run; an older one is refused.
    pub token: u64,
    /// Until when it holds, in milliseconds since the Unix epoch.
    pub until_ms: i64,
}

/// A claimed run with all its entries.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The right to write to it.
    pub lease: Lease,
    /// Its entries, oldest first.
    pub entries: Vec<Entry>,
    /// How often it was claimed, this time included, since something was last appended under a lease; the claim under which that
    /// was done counts as the first. That a step is tried again is no progress. A run that is claimed again and again without
    /// progress kills its workers.
    pub claims_without_progress: u32,
    /// The journal was put back from a backup after this run's customer had written. What the run did since this time, in
    /// milliseconds since the Unix epoch, may stand in no entry: each effect is looked for at the vendor before it is sent.
    pub forgot_since_ms: Option<i64>,
}

/// What intake brings for one ticket.
#[derive(Debug, Clone)]
pub enum Arrival {
    /// A new run. Admitting the same run again changes nothing.
    Open {
        /// Its first entries (`RunOpened`, and `RunClosed` for one that is skipped).
        entries: Vec<Entry>,
        /// How it stands with them.
        projection: Box<Projection>,
    },
    /// News for a run that is open.
    Join {
        /// Which run.
        run: RunId,
        /// How many entries the caller saw.
        expected_len: u64,
        /// What is new.
        entries: Vec<Entry>,
        /// How it stands with them.
        projection: Box<Projection>,
    },
    /// A ticket that cannot be read, or whose run cannot: it is tried again until it can be.
    SetAside {
        /// Which.
        ticket: TicketId,
        /// Why, for people; no address or message text.
        why: String,
        /// When, in milliseconds since the Unix epoch.
        at_ms: i64,
    },
    /// A ticket that was set aside was read after all.
    BackIn {
        /// Which.
        ticket: TicketId,
    },
}

/// A ticket that intake could not take in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Which.
    pub ticket: TicketId,
    /// Why, for people.
    pub why: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
}

/// What became of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// A run was opened.
    Opened,
    /// The run was there already; nothing was written.
    Known,
    /// The news joined their run.
    Joined,
    /// A ticket was set aside, or is no longer.
    Noted,
}

/// How far a lane of intake has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Which lane: `incremental`, `list`.
    pub lane: String,
    /// The vendor's cursor, opaque.
    pub position: String,
}

/// A ticket's run that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// Its id.
    pub run: RunId,
    /// How many entries it has.
    pub len: u64,
    /// How it stands.
    pub status: RunStatus,
}

/// What the journal knows of a ticket; intake decides with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TicketHistory {
    /// Its run that has not ended; there is at most one.
    pub open: Option<OpenRun>,
    /// All runs that it ever had, oldest first.
    pub runs: Vec<RunId>,
    /// How many of them were opened since the asked time and were not skipped.
    pub recent: u32,
    /// One of them was parked because its entries cannot be read: what it did is not known.
    pub unreadable: bool,
}

/// The journal. SQLite now; PostgreSQL will be its second implementation.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Opens and joins runs and moves a cursor, all in one commit. Fails as a whole: then nothing of it is written.
    async fn admit(&self, arrivals: Vec<Arrival>, cursor: Option<Cursor>) -> Result<Vec<Admitted>, Error>;

    /// How far a lane has read.
    async fn cursor(&self, lane: &str) -> Result<Option<String>, Error>;

    /// The tickets that were set aside, the longest first.
    async fn set_aside(&self) -> Result<Vec<Aside>, Error>;

    /// What is known of a ticket.
    async fn ticket_history(&self, ticket: TicketId, since_ms: i64) -> Result<TicketHistory, Error>;

    /// Claims the run that has been claimable longest, if there is one: woken (`wake_ms` has come) and without a lease that
    /// still holds.
    async fn claim(&self, owner: &str, now_ms: i64, ttl: Duration) -> Result<Option<Claimed>, Error>;

    /// Makes a lease hold longer; its token stays. [`Error::StaleLease`] if another worker has the run.
    async fn renew(&self, lease: &Lease, until_ms: i64) -> Result<Lease, Error>;

    /// Gives a lease back. Does nothing when it is stale.
    async fn release(&self, lease: Lease) -> Result<(), Error>;

    /// Gives a lease back as if the run had not been claimed; it can be claimed again from then on, in milliseconds since the
    /// Unix epoch. Does nothing when it is stale.
    async fn put_back(&self, lease: Lease, wake_ms: i64) -> Result<(), Error>;

    /// Appends to a run under a lease and writes the rows beside it.
    async fn append(
        &self,
        lease: &Lease,
        expected_len: u64,
        entries: Vec<Entry>,
        projection: Projection,
    ) -> Result<(), Error> {
        self.append_if(lease, expected_len, &entries, projection, Conditions::default()).await
    }

    /// The same, if the conditions hold in the same commit.
    async fn append_if(
        &self,
        lease: &Lease,
        expected_len: u64,
        entries: &[Entry],
        projection: Projection,
        conditions: Conditions,
    ) -> Result<(), Error>;

    /// Ends a run whose entries cannot be read or folded, so that it is not claimed for ever: its row says `failed` and why,
    /// its entries stay as they are. Its approvals are withdrawn; a refund in flight counts as unknown from then on, one that
    /// awaited a person is released. Its ticket is set aside, so that intake looks for words that only this run knew.
    /// [`Error::StaleLease`] if another worker has it.
    async fn park(&self, lease: &Lease, reason: &str, now_ms: i64) -> Result<(), Error>;

    /// Appends without a lease: a person's decision, a take-over, news. The worker that holds the run sees
    /// [`Error::Moved`] at its next append and reads again.
    async fn interject(
        &self,
        run: &RunId,
        expected_len: u64,
        entries: Vec<Entry>,
        projection: Projection,
    ) -> Result<(), Error>;

    /// All entries of a run, oldest first. [`Error::NoSuchRun`] if there are none.
    async fn entries(&self, run: &RunId) -> Result<Vec<Entry>, Error>;

    /// When the next run can be claimed, in milliseconds since the Unix epoch: the earliest wake time, or end of a lease.
    async fn next_wake(&self) -> Result<Option<i64>, Error>;

    /// A switch of the pages or the command line (`paused`), with who set it and when; `None` when it was never set.
    async fn switch(&self, name: &str) -> Result<Option<String>, Error>;

    /// All switches that are on: set, and not to the empty text.
    async fn switches(&self) -> Result<Vec<Switch>, Error>;

    /// What model calls with known prices cost since a time (to the quarter of an hour in which it lies), in micro-dollars.
    async fn spent_since(&self, since_ms: i64) -> Result<i64, Error>;

    /// What refunds in a currency take of a day that began then, in minor units: see [`RefundDay`].
    async fn refunded_since(&self, currency: Currency, since_ms: i64) -> Result<i64, Error>;

    /// Sets a switch and writes the audit line in the same commit.
    async fn set_switch(&self, name: &str, value: &str, by: &str, now_ms: i64) -> Result<(), Error>;

    /// Sets a switch unless it is on, in one commit with an audit line that keeps `value` either way. When it returns, the
    /// switch is on; one that was on stays as it was and comes back.
    async fn switch_on(&self, name: &str, value: &str, by: &str, now_ms: i64) -> Result<Option<Switch>, Error>;

    /// Rings after every commit. Register, then look.
    fn bell(&self) -> watch::Receiver<u64>;
}
