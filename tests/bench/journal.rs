//! The journal alone: every run appends the start and the end of one step after the other, a model call with an answer of
//! usual size, exactly as a worker would (folded, with the rows that go with it).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deskhand::ids::{CommentId, RunId, TicketId, UserId};
use deskhand::journal::sqlite::SqliteJournal;
use deskhand::journal::{Arrival, Journal};
use deskhand::run::draft::Draft;
use deskhand::run::entry::{Body, Entry, ModelCall, StepResult, Work};
use deskhand::run::state::RunState;
use deskhand::ticket::{Author, Message, Requester, Ticket, TicketStatus};
use deskhand::usage::Usage;
use jiff::Timestamp;

use crate::{disk, process};

/// Steps of one run: as many as a run with six model calls and seven tool uses has.
pub const STEPS: u32 = 13;
/// A lease that outlasts the measurement.
const LEASE: Duration = Duration::from_secs(600);
const MODEL: &str = "claude-sonnet-4-6";

/// What was measured.
pub struct Measured {
    /// Runs that moved at once.
    pub at_once: usize,
    /// Steps in all.
    pub steps: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Processor time of the process, in milliseconds.
    pub cpu_ms: f64,
    /// Of these, the writing thread's.
    pub writer_cpu_ms: f64,
    /// Appends that shared a commit.
    pub group: f64,
    /// Commits.
    pub commits: u64,
    /// Synchronisations of a file.
    pub fsyncs: u64,
    /// Bytes written to the write-ahead log.
    pub wal_bytes: u64,
    /// Bytes that the process handed to the disk, checkpoints included.
    pub disk_bytes: u64,
    /// `fdatasync` a second of this disk with 1 KiB appended: before and after.
    pub disk_syncs: (f64, f64),
    /// The same with as much appended as a commit here writes.
    pub disk_syncs_same_size: f64,
}

/// Moves so many runs at once until each worker has done its share.
pub async fn measure(folder: &Path, at_once: usize, runs: usize) -> Measured {
    let data = tempfile::tempdir_in(folder).expect("a folder that can be written");
    let journal = Arc::new(SqliteJournal::open(data.path()).expect("a journal"));
    let arrivals = (0..runs).map(|number| open(number as i64 + 1)).collect();
    journal.admit(arrivals, None).await.expect("runs that open");

    let before = disk::syncs_per_second(data.path(), 1_024);
    let (stats, cpu, writer, bytes) =
        (journal.stats(), process::cpu_ms(), process::cpu_ms_of_threads("journal"), process::written_bytes());
    let began = Instant::now();
    let share = runs.div_ceil(at_once);
    let workers: Vec<_> =
        (0..at_once).map(|number| tokio::spawn(work(journal.clone(), format!("worker-{number}"), share))).collect();
    for worker in workers {
        worker.await.expect("a worker that ends well");
    }
    let seconds = began.elapsed().as_secs_f64();
    let (cpu_ms, writer_cpu_ms) = (process::cpu_ms() - cpu, process::cpu_ms_of_threads("journal") - writer);
    let now = journal.stats();
    let disk_bytes = process::written_bytes() - bytes;
    let (jobs, commits) = (now.jobs - stats.jobs, now.commits - stats.commits);
    let wal_bytes = now.wal_bytes - stats.wal_bytes;
    let after = disk::syncs_per_second(data.path(), 1_024);
    let same_size = disk::syncs_per_second(data.path(), usize::try_from(wal_bytes / commits.max(1)).unwrap_or(1_024));
    journal.close().await;
    Measured {
        at_once,
        steps: (runs as u64) * u64::from(STEPS),
        seconds,
        cpu_ms,
        writer_cpu_ms,
        group: jobs as f64 / commits.max(1) as f64,
        commits,
        fsyncs: now.fsyncs - stats.fsyncs,
        wal_bytes,
        disk_bytes,
        disk_syncs: (before, after),
        disk_syncs_same_size: same_size,
    }
}

async fn work(journal: Arc<SqliteJournal>, name: String, share: usize) {
    for _ in 0..share {
        let now_ms = Timestamp::now().as_millisecond();
        let Some(claimed) = journal.claim(&name, now_ms, LEASE).await.expect("a claim") else { return };
        let mut draft = Draft::new(RunState::fold(&claimed.entries).expect("entries that fold"));
        for _ in 0..STEPS {
            let step = draft.state.next_step;
            let started = Body::StepStarted { step, work: Work::Model { model: MODEL.to_owned() } };
            let result = StepResult::Model { content: content(), stop_reason: "end_turn".to_owned(), call: call() };
            let finished = Body::StepFinished { step, result, took_ms: 1_200 };
            for body in [started, finished] {
                draft.push(Entry::new(Timestamp::now(), body)).expect("an entry that can follow");
                let (expected_len, entries, projection) = draft.take();
                journal.append(&claimed.lease, expected_len, entries, projection).await.expect("an append");
            }
        }
        // The lease is kept: a run that is given back would be claimed again.
    }
}

/// Some 3 KB.
fn content() -> String {
    let words =
        "The order was delivered twelve days ago and paid by card; nothing of it has gone back yet. ".repeat(32);
    serde_json::json!([{ "type": "text", "text": words }]).to_string()
}

fn call() -> ModelCall {
    ModelCall {
        model: MODEL.to_owned(),
        request_id: Some("req_011CSHoEeqs5C35K2UUqR7Fy".to_owned()),
        usage: Usage { input: 412, cache_write_5m: 310, cache_write_1h: 0, cache_read: 7_460, output: 640 },
        cost: None,
        first_byte_ms: 640,
        request_digest: "0f".repeat(32),
    }
}

fn open(number: i64) -> Arrival {
    let now = Timestamp::now();
    let (ticket, comment) = (TicketId(number), CommentId(number));
    let requester = Requester {
        id: UserId(1),
        name: "Ada Low".to_owned(),
        address: Some("ada@low.example".to_owned()),
        verified: true,
        external_id: None,
    };
    let message = Message {
        id: comment,
        author: Author::Requester,
        author_id: UserId(1),
        public: true,
        at: now,
        text: "Please refund the adapter of my order. It arrived scratched.".to_owned(),
        cut: false,
        attachments: Vec::new(),
        flags: Vec::new(),
        marker: None,
    };
    let ticket = Ticket {
        id: ticket,
        subject: "Refund".to_owned(),
        status: TicketStatus::Open,
        channel: "email".to_owned(),
        requester,
        cc: Vec::new(),
        assignee: None,
        group: None,
        tags: Vec::new(),
        created_at: now,
        updated_at: now,
        follows: None,
        messages: vec![message],
    };
    let opened = Body::RunOpened {
        run: RunId::for_trigger(ticket.id, comment),
        ticket: Box::new(ticket),
        trigger: comment,
        prompts: "bench".to_owned(),
    };
    let (_, entries, projection) = Draft::open(vec![Entry::new(now, opened)]).expect("a first entry").take();
    Arrival::Open { entries, projection: Box::new(projection) }
}
