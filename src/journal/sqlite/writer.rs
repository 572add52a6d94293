//! The one writing thread. Jobs queue on a bounded channel; the thread drains them into one `BEGIN IMMEDIATE`, each in a
//! savepoint of its own, and answers only after `COMMIT`. A job is a sync closure, so nothing is ever awaited in between.
//!
//! It knows nothing of runs: what a job does stands in `write.rs` and `accounts.rs`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::fault::{FREE_SPACE, Fault, is_full, storage};
use super::mark::Mark;
use super::open::{BUSY_TIMEOUT_MS, Opened};
use super::space::{Room, Space};
use crate::clock::{Clock, Stopwatch};
use crate::crash;
use crate::journal::Error;

/// How many jobs may wait. A caller beyond that waits for room, which slows it down to the pace of the disk.
const QUEUE_MAX: usize = 1024;
/// How many jobs share a commit at most, so that the first of them is not kept waiting by the last.
const GROUP_MAX: usize = 256;
/// Frames in the write-ahead log at which it is copied into the file in between: 4 MiB of pages.
const CHECKPOINT_FRAMES: u64 = 4096;
/// After this long without a job the write-ahead log is copied into the file.
const IDLE: Duration = Duration::from_secs(1);
/// A page of the write-ahead log carries a header of this many bytes, the log itself one of 32.
const FRAME_HEADER_BYTES: u64 = 24;

/// After this long without a job the room is looked at again and a write tried, while something is wrong.
const PATIENCE: Duration = Duration::from_secs(1);
/// Frames in the write-ahead log at which its start is waited for: 64 MiB of pages. Readers that overlap keep it from
/// starting over by itself.
const RESTART_FRAMES: u64 = 65_536;
/// How long readers are waited for then, in milliseconds. Nobody can write meanwhile.
const RESTART_PATIENCE_MS: u64 = 100;

/// Why nothing of a group was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) hint: &'static str,
}

impl Refusal {
    fn of(error: &rusqlite::Error) -> Self {
        match storage("written", error) {
            Error::Storage { reason, hint, .. } => Self { reason, hint },
            other => Self { reason: other.to_string(), hint: "" },
        }
    }
    fn into_error(self) -> Error {
        Error::Storage { doing: "written", reason: self.reason, hint: self.hint }
    }
}

/// A write that waits: what it does, and who is told.
struct Job {
    kind: Kind,
    work: Box<dyn Work>,
}

/// Whether a write may be refused when there is little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It begins something: a run, a claim, a step. Then it waits until there is room.
    Starts,
    /// It goes on with something, or ends it. It is written for as long as there is any room.
    GoesOn,
}

/// The work of a job. It may be done twice: when the first transaction was rolled back for want of room.
trait Work: Send {
    /// Does it in the open savepoint. `true`: it succeeded; otherwise its savepoint is rolled back.
    fn perform(&mut self, connection: &Connection) -> bool;
    /// What the file said, when it was the file that refused.
    fn refusal(&self) -> Option<Refusal>;
    /// Tells its caller, once it is known whether that lasts. Without an answer of its own it has panicked.
    fn answer(self: Box<Self>, group: Result<(), Refusal>);
}

struct Waiting<T, F> {
    work: F,
    result: Option<Result<T, Error>>,
    tell: oneshot::Sender<Result<T, Error>>,
    /// Its place in the queue.
    _room: OwnedSemaphorePermit,
}

impl<T, F> Work for Waiting<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> Result<T, Fault> + Send,
{
    fn perform(&mut self, connection: &Connection) -> bool {
        self.result = None;
        let result = (self.work)(connection).map_err(|fault| fault.into_error("written"));
        let kept = result.is_ok();
        self.result = Some(result);
        kept
    }

    fn refusal(&self) -> Option<Refusal> {
        match &self.result {
            Some(Err(Error::Storage { reason, hint, .. })) => Some(Refusal { reason: reason.clone(), hint }),
            _ => None,
        }
    }

    fn answer(self: Box<Self>, group: Result<(), Refusal>) {
        let result = match (group, self.result) {
            (Err(refusal), _) => Err(refusal.into_error()),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::Storage {
                doing: "written",
                reason: "the write broke off".to_owned(),
                hint: "this is a mistake in deskhand: please report it with the log's last lines",
            }),
        };
        // A caller that went away has no use for the answer.
        let _ = self.tell.send(result);
    }
}

/// What keeps the journal from being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Nothing can be written. Otherwise what was started still ends, and nothing is started.
    pub writes_fail: bool,
    /// In words.
    pub reason: String,
    /// What to do.
    pub hint: &'static str,
    /// For how long, in milliseconds.
    pub for_ms: u64,
}

/// [`Trouble`] as the thread sees it.
struct Since {
    writes_fail: bool,
    refusal: Refusal,
    since: Stopwatch,
}

/// What was written since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Jobs whose work is on disk.
    pub jobs: u64,
    /// Commits that wrote something.
    pub commits: u64,
    /// Synchronisations of a file, by SQLite's rules for a write-ahead log with `synchronous=FULL`: one a commit, one when
    /// the log starts over, two a checkpoint.
    pub fsyncs: u64,
    /// Bytes written to the write-ahead log. A checkpoint writes each page that changed since the last one once more.
    pub wal_bytes: u64,
    /// Checkpoints that copied something.
    pub checkpoints: u64,
}

#[derive(Default)]
struct Counters {
    jobs: AtomicU64,
    commits: AtomicU64,
    fsyncs: AtomicU64,
    wal_bytes: AtomicU64,
    checkpoints: AtomicU64,
}

/// The hold on the writing thread.
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    room: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
    counters: Arc<Counters>,
    trouble: Arc<Mutex<Option<Since>>>,
    bell: watch::Sender<u64>,
}

impl Writer {
    /// Starts the thread on a data folder that was opened. It keeps the folder's lock until the connection is closed.
    pub(super) fn start(opened: Opened, room: Room) -> Result<Self, Error> {
        let Opened { connection, folder, wal, lock, .. } = opened;
        let (queue, jobs) = mpsc::channel();
        let counters = Arc::new(Counters::default());
        let trouble = Arc::new(Mutex::new(None));
        let bell = watch::Sender::new(0);
        let page_bytes = connection
            .query_row("PRAGMA page_size", [], |row| row.get::<_, u64>(0))
            .map_err(|error| storage("opened", &error))?;
        let mut thread = Thread {
            connection,
            jobs,
            counters: counters.clone(),
            trouble: trouble.clone(),
            bell: bell.clone(),
            meter: Meter { wal, file: None, salt: [0; 8], frames: 0, page_bytes },
            // Who works beside the process that has the folder leaves its reserve alone.
            space: lock.is_some().then(|| Space::new(&folder, room)),
            mark: Mark::new(&folder),
            unsaved: true,
            copied_frames: 0,
        };
        let handle = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                thread.run();
                // Beside the process that has the folder, the log is that one's business.
                if let Some(lock) = lock {
                    thread.checkpoint("TRUNCATE");
                    drop(thread);
                    drop(lock);
                }
            })
            .map_err(|error| Error::Storage {
                doing: "opened",
                reason: error.to_string(),
                hint: "the machine allows no further thread: raise its limit",
            })?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            room: Arc::new(Semaphore::new(QUEUE_MAX)),
            thread: Mutex::new(Some(handle)),
            counters,
            trouble,
            bell,
        })
    }

    /// Does a job in the next commit and answers when it is on disk. When it is dropped while it waits, the job may still
    /// be done.
    pub(super) async fn write<T, F>(&self, kind: Kind, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let room = self.room.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        let (tell, told) = oneshot::channel();
        let job = Job { kind, work: Box::new(Waiting { work, result: None, tell, _room: room }) };
        match &*self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(queue) => queue.send(job).map_err(|_| Error::Closed)?,
            None => return Err(Error::Closed),
        }
        told.await.unwrap_or(Err(Error::Closed))
    }

    /// What keeps it from writing; `None`: nothing.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.as_ref().map(|Since { writes_fail, refusal, since }| Trouble {
            writes_fail: *writes_fail,
            reason: refusal.reason.clone(),
            hint: refusal.hint,
            for_ms: since.elapsed_ms(),
        })
    }

    /// Rings after every commit.
    pub(super) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// What was written so far.
    pub(super) fn stats(&self) -> Stats {
        let Counters { jobs, commits, fsyncs, wal_bytes, checkpoints } = &*self.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            jobs: read(jobs),
            commits: read(commits),
            fsyncs: read(fsyncs),
            wal_bytes: read(wal_bytes),
            checkpoints: read(checkpoints),
        }
    }

    /// Takes no more jobs, does those that wait, copies the log into the file and ends the thread. Blocks until then.
    pub(super) fn close(&self) {
        self.room.close();
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the journal's writing thread broke off");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Tells the jobs of a group that would begin something that they may not; the others stay.
fn turn_away(group: Vec<Job>, refusal: &Refusal) -> Vec<Job> {
    let (turned_away, rest): (Vec<Job>, Vec<Job>) = group.into_iter().partition(|job| job.kind == Kind::Starts);
    for job in turned_away {
        job.work.answer(Err(refusal.clone()));
    }
    rest
}

struct Thread {
    connection: Connection,
    jobs: mpsc::Receiver<Job>,
    counters: Arc<Counters>,
    trouble: Arc<Mutex<Option<Since>>>,
    bell: watch::Sender<u64>,
    meter: Meter,
    space: Option<Space>,
    mark: Mark,
    /// The write-ahead log may hold pages that the file does not.
    unsaved: bool,
    /// How much of the log was there at the last checkpoint.
    copied_frames: u64,
}

/// What a group came to.
enum Came {
    /// On disk: how many jobs of it, and how many rows changed.
    Written { kept: u64, changes: u64 },
    /// Nothing of it.
    Refused { refusal: Refusal, full: bool },
}

impl Thread {
    fn run(&mut self) {
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
        loop {
            while nth == group.len()
                && nth < upto
                && let Ok(job) = self.jobs.try_recv()
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
        match self.connection.execute_batch("COMMIT") {
            Ok(()) => Came::Written { kept, changes },
            Err(error) => {
                self.roll_back();
                refused(&error)
            }
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
    fn checkpoint(&mut self, mode: &str) {
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

/// Measures what a commit wrote to the write-ahead log.
struct Meter {
    wal: PathBuf,
    file: Option<File>,
    /// Changes whenever the log starts over.
    salt: [u8; 8],
    frames: u64,
    page_bytes: u64,
}

impl Meter {
    /// How much of the log's file is in use.
    fn used_bytes(&self) -> u64 {
        self.frames * (self.page_bytes + FRAME_HEADER_BYTES)
    }

    /// Bytes since the last call, and whether the log started over in between.
    fn written(&mut self, connection: &Connection) -> (u64, bool) {
        let log: u64 = connection
            .prepare_cached("PRAGMA wal_checkpoint(NOOP)")
            .and_then(|mut statement| statement.query_row([], |row| row.get(1)))
            .unwrap_or(self.frames);
        if self.file.is_none() {
            self.file = File::open(&self.wal).ok();
        }
        let mut salt = self.salt;
        if let Some(file) = &self.file {
            // Bytes 16 to 24 of the header. Source: <https://sqlite.org/fileformat2.html#the_write_ahead_log>.
            let _ = file.read_exact_at(&mut salt, 16);
        }
        let restarted = salt != self.salt;
        let frames = if restarted { log } else { log.saturating_sub(self.frames) };
        self.salt = salt;
        self.frames = log;
        (frames * (self.page_bytes + FRAME_HEADER_BYTES) + if restarted { 32 } else { 0 }, restarted)
    }
}
