//! A write that waits for its commit: what it does, whether it begins something, and who is told.

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::fault::{Fault, storage};
use crate::journal::Error;

/// Why nothing of a group was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) hint: &'static str,
}

impl Refusal {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        match storage("written", error) {
            Error::Storage { reason, hint, .. } => Self { reason, hint },
            other => Self { reason: other.to_string(), hint: "" },
        }
    }
    pub(super) fn into_error(self) -> Error {
        Error::Storage { doing: "written", reason: self.reason, hint: self.hint }
    }
}

/// A write that waits: what it does, and who is told.
pub(super) struct Job {
    pub(super) kind: Kind,
    pub(super) work: Box<dyn Work>,
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
pub(super) trait Work: Send {
    /// Does it in the open savepoint. `true`: it succeeded; otherwise its savepoint is rolled back.
    fn perform(&mut self, connection: &Connection) -> bool;
    /// What the file said, when it was the file that refused.
    fn refusal(&self) -> Option<Refusal>;
    /// Tells its caller, once it is known whether that lasts. Without an answer of its own it has panicked.
    fn answer(self: Box<Self>, group: Result<(), Refusal>);
}

pub(super) struct Waiting<T, F> {
    pub(super) work: F,
    pub(super) result: Option<Result<T, Error>>,
    pub(super) tell: oneshot::Sender<Result<T, Error>>,
    /// Its place in the queue.
    pub(super) _room: OwnedSemaphorePermit,
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

/// Tells the jobs of a group that would begin something that they may not; the others stay.
pub(super) fn turn_away(group: Vec<Job>, refusal: &Refusal) -> Vec<Job> {
    let (turned_away, rest): (Vec<Job>, Vec<Job>) = group.into_iter().partition(|job| job.kind == Kind::Starts);
    for job in turned_away {
        job.work.answer(Err(refusal.clone()));
    }
    rest
}
