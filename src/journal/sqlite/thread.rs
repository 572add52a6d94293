//! The writing thread itself: drains jobs into one `BEGIN IMMEDIATE`, each in a savepoint of its own, and answers only after
//! `COMMIT`. It looks after the disk's room, the log's length and the mark, and finds out by itself when trouble is over.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use super::fault::{FREE_SPACE, is_full};
use super::job::{Job, Kind, Refusal, turn_away};
use super::mark::Mark;
use super::meter::Meter;
use super::open::BUSY_TIMEOUT_MS;
use super::space::Space;
use super::writer::Counters;
use crate::clock::{Clock, Stopwatch};
use crate::crash;

/// How many jobs share a commit at most, so that the first of them is not kept waiting by the last.
const GROUP_MAX: usize = 256;
/// How long a commit waits at most for the writes that usually share it. A model's answer takes a thousand times as long; a
/// commit costs a synchronisation, a wake-up of everybody who listens, and pages that the next write changes again.
const GATHER: Duration = Duration::from_millis(3);
/// Frames in the write-ahead log at which it is copied into the file in between: 4 MiB of pages.
const CHECKPOINT_FRAMES: u64 = 4096;
/// After this long without a job the write-ahead log is copied into the file.
const IDLE: Duration = Duration::from_secs(1);
/// After this long without a job the room is looked at again and a write tried, while something is wrong.
const PATIENCE: Duration = Duration::from_secs(1);
/// Frames in the write-ahead log at which its start is waited for: 64 MiB of pages. Readers that overlap keep it from
/// starting over by itself.
const RESTART_FRAMES: u64 = 65_536;
/// How long readers are waited for then, in milliseconds. Nobody can write meanwhile.
const RESTART_PATIENCE_MS: u64 = 100;

/// [`super::Trouble`] as the thread sees it.
pub(super) struct Since {
    pub(super) writes_fail: bool,
    pub(super) refusal: Refusal,
    pub(super) since: Stopwatch,
}

pub(super) struct Thread {
    pub(super) connection: Connection,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) counters: Arc<Counters>,
    pub(super) trouble: Arc<Mutex<Option<Since>>>,
    pub(super) bell: watch::Sender<u64>,
    pub(super) meter: Meter,
    pub(super) space: Option<Space>,
    pub(super) mark: Mark,
    /// The write-ahead log may hold pages that the file does not.
    pub(super) unsaved: bool,
    /// How much of the log was there at the last checkpoint.
    pub(super) copied_frames: u64,
    /// How many writes the next commit waits for.
    pub(super) company: Company,
}

/// How many writes come about the same time. While runs move side by side, each of them writes again soon after its last
/// write: as many as shared the last commit will be there again in a moment. A lone run never waits.
#[derive(Debug, Default)]
pub(super) struct Company {
    expected: usize,
}

impl Company {
    /// Whether a commit of so many waits for more.
    fn waits(&self, came: usize) -> bool {
        came < self.expected
    }

    /// So many shared a commit. Those that were waited for came: perhaps one more will, the next time.
    fn shared(&mut self, came: usize) {
        self.expected = match came {
            0 | 1 => 1,
            _ if came >= self.expected => came + 1,
            _ => came,
        };
    }
}

/// What a group came to.
enum Came {
    /// On disk: how many jobs of it, and how many rows changed.
    Written { kept: u64, changes: u64 },
    /// Nothing of it.
    Refused { refusal: Refusal, full: bool },
}

impl Thread {
    pub(super) fn run(&mut self) {
        // What opening and migrating wrote is not counted.
        self.meter.written(&self.connection);
        self.mark.note(&self.connection);
        self.look_at_room();
        loop {
            let troubled = self.is_troubled();
            let next = match (troubled, self.unsaved) {
                (true, _) => self.jobs.recv_timeout(PATIENCE),
                (false, true) => self.jobs.recv_timeout(IDLE),
                (false, false) => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(job) => self.group(job),
                Err(RecvTimeoutError::Timeout) => {
                    if troubled {
                        self.try_again();
                    }
                    self.checkpoint("PASSIVE");
                    // What a reader still held back is copied after the next commit.
                    self.unsaved = false;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// One commit: this job and all that wait behind it.
    fn group(&mut self, first: Job) {
        let Some(first) = self.let_in(first) else { return };
        let mut group = vec![first];
        let mut came = self.attempt(&mut group, GROUP_MAX);
        if let Came::Refused { full: true, refusal } = &came
            && self.space.as_mut().is_some_and(Space::spend)
        {
            // What was started can still end. What would start waits until there is room.
            group = turn_away(group, refusal);
            came = self.attempt(&mut group, 0);
            self.look_at_room();
        }
        match came {
            Came::Written { kept, changes } => {
                if changes > 0 {
                    self.count(kept);
                    self.mark.note(&self.connection);
                    self.bell.send_modify(|rung| *rung += 1);
                    self.writes_succeed();
                }
                for job in group {
                    job.work.answer(Ok(()));
                }
            }
            Came::Refused { refusal, .. } => {
                self.writes_fail(&refusal);
                for job in group {
                    job.work.answer(Err(refusal.clone()));
                }
            }
        }
        if self.meter.frames >= RESTART_FRAMES {
            self.start_log_over();
        } else if self.meter.frames >= self.copied_frames + CHECKPOINT_FRAMES {
            self.checkpoint("PASSIVE");
        }
    }

    /// A job that may be done now; one that would begin something while there is little room is told so.
    fn let_in(&mut self, job: Job) -> Option<Job> {
        if job.kind == Kind::Starts
            && let Some(refusal) = self.look_at_room()
        {
            job.work.answer(Err(refusal));
            return None;
        }
        Some(job)
    }

    /// Does the jobs of a group in one transaction, with all that come meanwhile, up to so many.
    fn attempt(&mut self, group: &mut Vec<Job>, upto: usize) -> Came {
        let refused = |error: &rusqlite::Error| Came::Refused { refusal: Refusal::of(error), full: is_full(error) };
        if group.is_empty() {
            return Came::Written { kept: 0, changes: 0 };
        }
        if let Err(error) = self.connection.execute_batch("BEGIN IMMEDIATE") {
            return refused(&error);
        }
        let (mut kept, mut changes) = (0, 0);
        let mut nth = 0;
        let watch = Clock::system().stopwatch();
        loop {
            while nth == group.len()
                && nth < upto
                && let Some(job) = self.next_of(nth, &watch)
            {
                group.extend(self.let_in(job));
            }
            let Some(job) = group.get_mut(nth) else { break };
            if nth > 0 {
                crash::point("journal.group.between", || "journal".to_owned());
            }
            nth += 1;
            let before = self.connection.total_changes();
            match self.perform(job) {
                Ok(true) => {
                    kept += 1;
                    changes += self.connection.total_changes() - before;
                }
                Ok(false) => {}
                Err(came) => {
                    self.roll_back();
                    return came;
                }
            }
        }
        self.company.shared(nth);
        match self.connection.execute_batch("COMMIT") {
            Ok(()) => Came::Written { kept, changes },
            Err(error) => {
                self.roll_back();
                refused(&error)
            }
        }
    }

    /// The next job for a commit of so many: one that waits, or comes while the commit waits for it.
    fn next_of(&self, came: usize, watch: &Stopwatch) -> Option<Job> {
        match GATHER.checked_sub(watch.elapsed()) {
            Some(left) if self.company.waits(came) => self.jobs.recv_timeout(left).ok(),
            _ => self.jobs.try_recv().ok(),
        }
    }

    /// One job in its savepoint. Says whether it is kept; fails when the whole transaction is gone.
    fn perform(&self, job: &mut Job) -> Result<bool, Came> {
        let run = |sql: &str| match self.connection.prepare_cached(sql).and_then(|mut known| known.execute([])) {
            Ok(_) => Ok(()),
            Err(error) => Err(Came::Refused { refusal: Refusal::of(&error), full: is_full(&error) }),
        };
        run("SAVEPOINT job")?;
        let outcome = catch_unwind(AssertUnwindSafe(|| job.work.perform(&self.connection)));
        if outcome.is_err() {
            tracing::error!("a write to the journal panicked; nothing of it was kept");
        }
        if self.connection.is_autocommit() {
            // A full disk and the like end the transaction by themselves. Whatever the group did is gone.
            let unknown = Refusal { reason: "the commit was broken off".to_owned(), hint: "try again" };
            let refusal = job.work.refusal().unwrap_or(unknown);
            let full = refusal.hint == FREE_SPACE;
            return Err(Came::Refused { refusal, full });
        }
        let kept = outcome.unwrap_or(false);
        if !kept {
            run("ROLLBACK TO job")?;
        }
        run("RELEASE job")?;
        Ok(kept)
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!("the journal cannot roll back: {error}");
        }
    }

    fn is_troubled(&self) -> bool {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn writes_fail(&self, refusal: &Refusal) {
        self.set_trouble(true, refusal);
    }

    fn writes_succeed(&self) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.as_ref().is_some_and(|trouble| trouble.writes_fail) {
            tracing::info!("the journal can be written again");
            *trouble = None;
        }
    }

    /// Says why nothing may be started, if so, and remembers it.
    fn look_at_room(&mut self) -> Option<Refusal> {
        let refusal = self.space.as_mut()?.refusal(self.meter.used_bytes());
        match &refusal {
            Some(refusal) => {
                let failing = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
                if !failing.as_ref().is_some_and(|trouble| trouble.writes_fail) {
                    drop(failing);
                    self.set_trouble(false, refusal);
                }
            }
            None => {
                let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
                if trouble.as_ref().is_some_and(|trouble| !trouble.writes_fail) {
                    tracing::info!("there is room for the journal again; runs go on");
                    *trouble = None;
                    drop(trouble);
                    self.bell.send_modify(|rung| *rung += 1);
                }
            }
        }
        refusal
    }

    fn set_trouble(&self, writes_fail: bool, refusal: &Refusal) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match trouble.take() {
            Some(before) if before.writes_fail == writes_fail => before.since,
            _ => {
                let what = if writes_fail { "cannot be written" } else { "starts nothing new" };
                tracing::error!("the journal {what}: {}\nhint: {}", refusal.reason, refusal.hint);
                Clock::system().stopwatch()
            }
        };
        *trouble = Some(Since { writes_fail, refusal: refusal.clone(), since });
    }

    /// Nobody writes while something is wrong: finds out by itself whether it is over. The number that it writes is read by
    /// nobody; the commit is what counts.
    fn try_again(&mut self) {
        let beat = self
            .connection
            .query_row("PRAGMA user_version", [], |row| row.get::<_, i32>(0))
            .and_then(|last| self.connection.pragma_update(None, "user_version", last.wrapping_add(1) & 0xffff));
        match beat {
            Ok(()) => {
                self.count(0);
                self.writes_succeed();
            }
            Err(error) => self.writes_fail(&Refusal::of(&error)),
        }
        self.look_at_room();
        if !self.is_troubled() {
            self.bell.send_modify(|rung| *rung += 1);
        }
    }

    /// The log is long although it was copied again and again: readers that overlap keep it from starting over. They are
    /// waited for, shortly.
    fn start_log_over(&mut self) {
        let patience = |ms| self.connection.busy_timeout(Duration::from_millis(ms));
        if patience(RESTART_PATIENCE_MS).is_err() {
            return;
        }
        self.checkpoint("RESTART");
        // It only sets a number; what cannot fail is not handled.
        let _ = self.connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS));
    }

    fn count(&mut self, kept: u64) {
        let add = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
        let (bytes, restarted) = self.meter.written(&self.connection);
        add(&self.counters.jobs, kept);
        add(&self.counters.commits, 1);
        add(&self.counters.fsyncs, 1 + u64::from(restarted));
        add(&self.counters.wal_bytes, bytes);
        self.unsaved = true;
        if restarted {
            self.copied_frames = 0;
        }
    }

    /// Copies the write-ahead log into the file. A failure is no loss: the log keeps what it has, and the next commit says
    /// what is wrong.
    pub(super) fn checkpoint(&mut self, mode: &str) {
        crash::point("journal.checkpoint.before", || mode.to_owned());
        let copied = self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        match copied {
            Ok((_, _, copied)) if copied != 0 => {
                self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
                self.counters.fsyncs.fetch_add(2, Ordering::Relaxed);
                self.copied_frames = self.meter.frames;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("the journal's write-ahead log cannot be copied into its file: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_waits_for_as_many_as_shared_the_last_one() {
        let mut company = Company::default();
        let mut check = |came: usize, waits_for: usize| {
            company.shared(came);
            assert!(!company.waits(waits_for) && (waits_for == 0 || company.waits(waits_for - 1)), "{company:?}");
        };
        check(1, 1);
        check(1, 1);
        // One more than came, until they no longer come.
        check(2, 3);
        check(3, 4);
        check(9, 10);
        check(6, 6);
        check(6, 7);
        check(1, 1);
    }
}
