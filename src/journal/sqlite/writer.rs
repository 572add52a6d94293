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
use tokio::sync::{Semaphore, oneshot, watch};

use super::fault::{Fault, storage};
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

/// Given no connection, a job does nothing and its caller is told why.
type Job = Box<dyn FnOnce(Result<&Connection, Refusal>) -> Performed + Send>;
type Answer = Box<dyn FnOnce(Result<(), Refusal>) + Send>;

/// What a job did, and how to tell its caller once it is known whether that lasts.
struct Performed {
    /// It succeeded; otherwise its savepoint is rolled back.
    kept: bool,
    /// What the file said, when it was the file that refused.
    refusal: Option<Refusal>,
    answer: Answer,
}

/// Why nothing of a group was written.
#[derive(Clone)]
struct Refusal {
    reason: String,
    hint: &'static str,
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
    bell: watch::Sender<u64>,
}

impl Writer {
    /// Starts the thread on a connection. It keeps `lock` until the connection is closed.
    pub(super) fn start(connection: Connection, wal: PathBuf, lock: Option<File>) -> Result<Self, Error> {
        let (queue, jobs) = mpsc::channel();
        let counters = Arc::new(Counters::default());
        let bell = watch::Sender::new(0);
        let page_bytes = connection
            .query_row("PRAGMA page_size", [], |row| row.get::<_, u64>(0))
            .map_err(|error| storage("opened", &error))?;
        let mut thread = Thread {
            connection,
            jobs,
            counters: counters.clone(),
            bell: bell.clone(),
            meter: Meter { wal, file: None, salt: [0; 8], frames: 0, page_bytes },
            unsaved: true,
            copied_frames: 0,
        };
        let handle = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                thread.run();
                thread.checkpoint("TRUNCATE");
                drop(lock);
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
            bell,
        })
    }

    /// Does a job in the next commit and answers when it is on disk. When it is dropped while it waits, the job may still
    /// be done.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let room = self.room.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = match connection {
                Ok(connection) => work(connection).map_err(|fault| fault.into_error("written")),
                Err(refusal) => Err(refusal.into_error()),
            };
            let refusal = match &result {
                Err(Error::Storage { reason, hint, .. }) => Some(Refusal { reason: reason.clone(), hint }),
                _ => None,
            };
            let kept = result.is_ok();
            let answer = Box::new(move |group: Result<(), Refusal>| {
                drop(room);
                // A caller that went away has no use for the answer.
                let _ = tell.send(match group {
                    Ok(()) => result,
                    Err(refusal) => Err(refusal.into_error()),
                });
            });
            Performed { kept, refusal, answer }
        });
        match &*self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(queue) => queue.send(job).map_err(|_| Error::Closed)?,
            None => return Err(Error::Closed),
        }
        told.await.unwrap_or_else(|_| {
            Err(Error::Storage {
                doing: "written",
                reason: "the write broke off".to_owned(),
                hint: "this is a mistake in deskhand: please report it with the log's last lines",
            })
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

struct Thread {
    connection: Connection,
    jobs: mpsc::Receiver<Job>,
    counters: Arc<Counters>,
    bell: watch::Sender<u64>,
    meter: Meter,
    /// The write-ahead log may hold pages that the file does not.
    unsaved: bool,
    /// How much of the log was there at the last checkpoint.
    copied_frames: u64,
}

impl Thread {
    fn run(&mut self) {
        // What opening and migrating wrote is not counted.
        self.meter.written(&self.connection);
        loop {
            let next = match self.unsaved {
                true => self.jobs.recv_timeout(IDLE),
                false => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(job) => self.group(job),
                Err(RecvTimeoutError::Timeout) => {
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
        if let Err(error) = self.connection.execute_batch("BEGIN IMMEDIATE") {
            let refusal = Refusal::of(&error);
            (first(Err(refusal.clone())).answer)(Ok(()));
            return self.give_up(Vec::new(), &refusal);
        }
        let mut answers = Vec::new();
        let mut kept = 0;
        let mut changes = 0;
        let mut next = Some(first);
        while let Some(job) = next.take() {
            let before = self.connection.total_changes();
            match self.perform(job) {
                Ok(Some(performed)) => {
                    if performed.kept {
                        kept += 1;
                        changes += self.connection.total_changes() - before;
                    }
                    answers.push(performed.answer);
                }
                Ok(None) => {} // It panicked; its caller knows, because the answer was dropped.
                Err(refusal) => return self.give_up(answers, &refusal),
            }
            if answers.len() < GROUP_MAX {
                next = self.jobs.try_recv().ok();
            }
            if next.is_some() {
                crash::point("journal.group.between", || "journal".to_owned());
            }
        }
        if let Err(error) = self.connection.execute_batch("COMMIT") {
            return self.give_up(answers, &Refusal::of(&error));
        }
        if changes > 0 {
            self.count(kept);
            self.bell.send_modify(|rung| *rung += 1);
        }
        for answer in answers {
            answer(Ok(()));
        }
        if self.meter.frames >= self.copied_frames + CHECKPOINT_FRAMES {
            self.checkpoint("PASSIVE");
        }
    }

    /// One job in its savepoint. `None` when it panicked; a refusal when the whole transaction is gone.
    fn perform(&self, job: Job) -> Result<Option<Performed>, Refusal> {
        let run = |sql: &str| match self.connection.prepare_cached(sql).and_then(|mut known| known.execute([])) {
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::of(&error)),
        };
        run("SAVEPOINT job")?;
        let outcome = catch_unwind(AssertUnwindSafe(|| job(Ok(&self.connection)))).ok();
        if outcome.is_none() {
            tracing::error!("a write to the journal panicked; nothing of it was kept");
        }
        if self.connection.is_autocommit() {
            // A full disk and the like end the transaction by themselves. Whatever the group did is gone.
            let unknown = Refusal { reason: "the commit was broken off".to_owned(), hint: "try again" };
            return Err(match outcome {
                Some(performed) => {
                    let refusal = performed.refusal.unwrap_or(unknown);
                    (performed.answer)(Err(refusal.clone()));
                    refusal
                }
                None => unknown,
            });
        }
        if !outcome.as_ref().is_some_and(|performed| performed.kept) {
            run("ROLLBACK TO job")?;
        }
        run("RELEASE job")?;
        Ok(outcome)
    }

    /// Nothing of the group was written: tells everybody in it. Those that wait behind them get their own try.
    fn give_up(&self, answers: Vec<Answer>, refusal: &Refusal) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!("the journal cannot roll back: {error}");
        }
        tracing::error!("the journal cannot be written: {}", refusal.reason);
        for answer in answers {
            answer(Err(refusal.clone()));
        }
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
