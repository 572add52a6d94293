//! What a person may do to a run, as entries: decide an approval, undo a decision in time, take the ticket over. Pure; the
//! caller appends what comes back, with the length that it saw, so that a second click finds the run moved.

use jiff::Timestamp;

use crate::ids::ApprovalId;
use crate::intent::Intent;
use crate::money::Money;
use crate::run::draft::Draft;
use crate::run::entry::{Body, Decision, Entry, Outcome};
use crate::run::row::{ApprovalState, Projection};
use crate::run::state::{Approval, Broken, RunState};

/// Why a person's act cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such approval in this run.
    #[error("there is no approval `{0}`")]
    NoSuchApproval(ApprovalId),
    /// Somebody was faster.
    #[error("already decided by {by}")]
    AlreadyDecided {
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// It no longer waits: expired, withdrawn, carried out.
    #[error("it no longer waits: it is {}", .0.as_str())]
    NotWaiting(ApprovalState),
    /// The amount cannot be given back.
    #[error("{0}")]
    BadAmount(String),
    /// The time for it is over.
    #[error("the time to undo it is over")]
    TooLate,
    /// The run has ended.
    #[error("the run has ended")]
    Ended,
    /// Only a parked run can be retried.
    #[error("the run is not parked")]
    NotParked,
    /// The journal breaks its own rules.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// What to append: how many entries the run must have, the entries, the rows.
pub type Recorded = (u64, Vec<Entry>, Projection);

/// A person answers an approval. `hold` is the undo window, in milliseconds.
pub fn decide(
    entries: &[Entry],
    approval: &ApprovalId,
    decision: Decision,
    by: &str,
    note: &str,
    now: Timestamp,
    hold_ms: i64,
) -> Result<Recorded, Refused> {
    let state = RunState::fold(entries)?;
    let found = find(&state, approval)?;
    match (found.state, &found.decided) {
        // Past its time it has expired, whether or not that is written down yet.
        (ApprovalState::Waiting, _) if state.outcome.is_none() && now.as_millisecond() >= found.due_ms => {
            return Err(Refused::NotWaiting(ApprovalState::Expired));
        }
        (ApprovalState::Waiting, _) if state.outcome.is_none() && !state.taken_over => {}
        (_, Some(decided)) => return Err(Refused::AlreadyDecided { by: decided.by.clone(), at: decided.at }),
        (other, None) => return Err(Refused::NotWaiting(other)),
    }
    if let Decision::Amount { amount } = &decision {
        check_amount(&state, found, *amount)?;
    }
    let body = Body::ApprovalDecided {
        approval: approval.clone(),
        decision,
        by: by.to_owned(),
        note: note.to_owned(),
        hold_until_ms: now.as_millisecond().saturating_add(hold_ms),
    };
    record(state, body, now)
}

/// The person takes the decision back while its effect rests.
pub fn undo(entries: &[Entry], approval: &ApprovalId, by: &str, now: Timestamp) -> Result<Recorded, Refused> {
    let state = RunState::fold(entries)?;
    let found = find(&state, approval)?;
    match (found.state, &found.decided) {
        (ApprovalState::Held, Some(decided)) if now.as_millisecond() < decided.hold_until_ms => {}
        (ApprovalState::Held | ApprovalState::Executing | ApprovalState::Done, _) => return Err(Refused::TooLate),
        (other, _) => return Err(Refused::NotWaiting(other)),
    }
    record(state, Body::DecisionUndone { approval: approval.clone(), by: by.to_owned() }, now)
}

/// The person takes the ticket: the agent's part ends at its next move. A parked run is theirs at once.
pub fn take_over(entries: &[Entry], by: &str, now: Timestamp) -> Result<Recorded, Refused> {
    let state = RunState::fold(entries)?;
    if let Some(Outcome::Failed { .. }) = state.outcome {
        let mut draft = Draft::new(state);
        draft.push(Entry::new(now, Body::Reopened { by: by.to_owned() }))?;
        draft
            .push(Entry::new(now, Body::TakenOver { by: Some(by.to_owned()), agent: None, how: "page".to_owned() }))?;
        draft.push(Entry::new(now, Body::RunClosed { outcome: Outcome::TakenOver }))?;
        return Ok(draft.take());
    }
    if state.outcome.is_some() || state.taken_over {
        return Err(Refused::Ended);
    }
    record(state, Body::TakenOver { by: Some(by.to_owned()), agent: None, how: "page".to_owned() }, now)
}

/// A person lets a parked run go on where it stopped.
pub fn retry(entries: &[Entry], by: &str, now: Timestamp) -> Result<Recorded, Refused> {
    let state = RunState::fold(entries)?;
    match state.outcome {
        Some(Outcome::Failed { .. }) => record(state, Body::Reopened { by: by.to_owned() }, now),
        _ => Err(Refused::NotParked),
    }
}

fn find<'a>(state: &'a RunState, approval: &ApprovalId) -> Result<&'a Approval, Refused> {
    state.approval(approval).ok_or_else(|| Refused::NoSuchApproval(approval.clone()))
}

fn check_amount(state: &RunState, approval: &Approval, amount: Money) -> Result<(), Refused> {
    let Intent::CreateRefund(refund) = &approval.intent else {
        return Err(Refused::BadAmount("this approval has no amount".to_owned()));
    };
    if amount.currency != refund.currency || amount.minor <= 0 {
        return Err(Refused::BadAmount(format!("enter an amount above 0 in {}", refund.currency)));
    }
    // What a person adds has passed no limit and no second person; a larger refund is asked for anew.
    let asked = refund.amount();
    if amount.minor > asked.minor {
        return Err(Refused::BadAmount(format!("enter an amount of {asked} or less: more was not asked for")));
    }
    let records = state.fresh.as_ref().map(|(account, _)| account).or(state.account.as_ref());
    let rest = records.and_then(|account| account.payment(&refund.payment)).map(|payment| payment.refundable);
    match rest {
        Some(rest) if amount.minor > rest.minor => {
            Err(Refused::BadAmount(format!("enter an amount of {rest} or less: that is all that is left to refund")))
        }
        _ => Ok(()),
    }
}

fn record(state: RunState, body: Body, now: Timestamp) -> Result<Recorded, Refused> {
    let mut draft = Draft::new(state);
    draft.push(Entry::new(now, body))?;
    Ok(draft.take())
}
