//! The hold on the one writing thread (`thread.rs`): jobs queue on a bounded channel, and their callers wait until the work is on
//! disk. A job is a sync closure, so nothing is ever awaited inside a transaction.
//!
//! It knows nothing of runs: what a job does stands in `write.rs` and `accounts.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot, watch};

use super::fault::{Fault, storage};
use super::job::{Job, Kind, Waiting};
use super::mark::Mark;
use super::meter::Meter;
use super::open::Opened;
use super::space::{Room, Space};
use super::thread::{Company, Since, Thread};
use crate::journal::Error;

/// How many jobs may wait. A caller beyond that waits for room, which slows it down to the pace of the disk.
const QUEUE_MAX: usize = 1024;

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
pub(super) struct Counters {
    pub(super) jobs: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) fsyncs: AtomicU64,
    pub(super) wal_bytes: AtomicU64,
    pub(super) checkpoints: AtomicU64,
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
            company: Company::default(),
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
