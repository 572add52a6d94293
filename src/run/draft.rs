//! Entries that are not on disk yet, folded as they come, with the rows that belong to them.

use std::sync::Arc;

use crate::ids::StepNo;
use crate::intent::Intent;
use crate::policy::RuleId;
use crate::run::entry::{Body, Entry, LostCall, ModelCall, Outcome, StepResult, Work};
use crate::run::next::stop;
use crate::run::row::{ApprovalRow, CallRow, LOST, Projection, RunRow, RunStatus, ToolRow};
use crate::run::state::{Approval, Broken, RunState};

/// A run with lines that wait to be written.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The run as it stands with the waiting lines. Steps in flight look at the state that they were started from, so it is
    /// shared with them and copied only when a line is added while one of them still looks.
    pub state: Arc<RunState>,
    seen_len: u64,
    entries: Vec<Entry>,
    calls: Vec<CallRow>,
    tools: Vec<ToolRow>,
}

impl Draft {
    /// A run with nothing waiting.
    pub fn new(state: RunState) -> Self {
        Self { seen_len: state.len, state: Arc::new(state), entries: Vec::new(), calls: Vec::new(), tools: Vec::new() }
    }

    /// The first lines of a new run: opened, and whatever follows at once.
    pub fn open(entries: Vec<Entry>) -> Result<Self, Broken> {
        let state = Arc::new(RunState::fold(&entries)?);
        Ok(Self { seen_len: 0, state, entries, calls: Vec::new(), tools: Vec::new() })
    }

    /// Adds a line.
    pub fn push(&mut self, entry: Entry) -> Result<(), Broken> {
        if let Body::StepFinished { step, result, took_ms } = &entry.body {
            self.note_figures(*step, result, *took_ms, entry.at_ms);
        }
        if let Body::CallLost { step, call } = &entry.body {
            self.calls.push(lost_row(*step, call, entry.at_ms));
        }
        Arc::make_mut(&mut self.state).apply(&entry)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes what waits: how many entries the journal must hold before it, the lines, and the rows.
    pub fn take(&mut self) -> (u64, Vec<Entry>, Projection) {
        let expected_len = std::mem::replace(&mut self.seen_len, self.state.len);
        let projection = Projection {
            row: row_of(&self.state),
            approvals: approval_rows(&self.state),
            calls: std::mem::take(&mut self.calls),
            tools: std::mem::take(&mut self.tools),
        };
        (expected_len, std::mem::take(&mut self.entries), projection)
    }

    fn note_figures(&mut self, step: StepNo, result: &StepResult, took_ms: u64, at_ms: i64) {
        let work = self.state.open.get(&step).map(|open| &open.work);
        let mut call_row = |kind: &str, call: &ModelCall| {
            self.calls.push(CallRow {
                step,
                at_ms,
                kind: kind.to_owned(),
                model: call.model.clone(),
                usage: call.usage,
                cost_micros: call.cost.map(|cost| cost.micros()),
                first_byte_ms: call.first_byte_ms,
                took_ms,
            });
        };
        match (work, result) {
            (_, StepResult::Routed { call, .. }) => call_row("route", call),
            (Some(Work::Route { .. }), StepResult::Failed { call: Some(call), .. }) => call_row("route", call),
            (_, StepResult::Model { call, .. } | StepResult::Failed { call: Some(call), .. }) => call_row("turn", call),
            (Some(Work::Tool { intent, .. }), result) => {
                let (is_error, output_bytes) = match result {
                    StepResult::Tool { output, is_error, .. } => (*is_error, output.to_string().len()),
                    _ => (true, 0),
                };
                self.tools.push(ToolRow {
                    step,
                    at_ms,
                    tool: intent.tool().as_str().to_owned(),
                    is_error,
                    took_ms,
                    output_bytes: output_bytes as u64,
                });
            }
            _ => {}
        }
    }
}

/// A lost call in the ledger. One of which nothing is known counts as a call without tokens: it withholds no dollars.
fn lost_row(step: StepNo, call: &LostCall, at_ms: i64) -> CallRow {
    CallRow {
        step,
        at_ms,
        kind: LOST.to_owned(),
        model: call.model.clone(),
        usage: call.usage.unwrap_or_default(),
        cost_micros: if call.usage.is_some() { call.cost.map(|cost| cost.micros()) } else { Some(0) },
        first_byte_ms: 0,
        took_ms: 0,
    }
}

/// How a run stands, as lists show it.
pub fn row_of(state: &RunState) -> RunRow {
    let (status, wake_ms) = state.rest();
    let (rule, reason) = rule_and_reason(state, status);
    let model = state.turns.last().map(|turn| turn.model.clone());
    RunRow {
        run: state.run.clone(),
        ticket: state.ticket.id,
        subject: state.ticket.subject.clone(),
        requester: state.ticket.requester.name.clone(),
        status,
        outcome: state.outcome.as_ref().map(|outcome| outcome.as_str().to_owned()),
        rule,
        reason,
        category: state.route.as_ref().map(|route| route.category.clone()),
        language: state.route.as_ref().map(|route| route.language.clone()),
        model,
        asked_ms: asked_ms(state),
        opened_ms: state.opened_at.as_millisecond(),
        first_answer_ms: state.first_answer_at.map(|at| at.as_millisecond()),
        closed_ms: state.closed_at.map(|at| at.as_millisecond()),
        attention: state.attention(),
        wake_ms,
        steps: state.steps,
        usage: state.usage,
        cost_micros: state.cost.micros(),
        unpriced_calls: state.unpriced_calls,
    }
}

/// How a run's approvals stand, as the inbox shows them.
pub fn approval_rows(state: &RunState) -> Vec<ApprovalRow> {
    state.approvals.iter().map(|approval| approval_row(state, approval)).collect()
}

fn asked_ms(state: &RunState) -> i64 {
    let trigger = state.ticket.messages.iter().find(|message| message.id == state.trigger);
    trigger.map_or(state.opened_at, |message| message.at).as_millisecond()
}

fn rule_and_reason(state: &RunState, status: RunStatus) -> (Option<RuleId>, Option<String>) {
    match &state.outcome {
        Some(Outcome::Escalated { rule }) => (Some(*rule), stop(state).map(|judgement| judgement.why.clone())),
        Some(Outcome::Skipped { reason }) => (Some(RuleId::Quiet), Some(reason.clone())),
        Some(Outcome::Failed { message }) => (stop(state).map(|judgement| judgement.rule), Some(message.clone())),
        Some(Outcome::TakenOver) => (Some(RuleId::TakenOver), None),
        Some(Outcome::Shadowed { would }) => (None, Some(format!("would have called {}", would.tool()))),
        Some(Outcome::Resolved | Outcome::WaitingCustomer) => (None, None),
        None => match status {
            RunStatus::WaitingApproval | RunStatus::WaitingTime => {
                let approval = state.pending_approval();
                (approval.map(|a| a.judgement.rule), approval.map(|a| a.judgement.why.clone()))
            }
            RunStatus::WaitingVendor => {
                let failure = state.open.values().find_map(|open| open.failure.as_ref());
                (None, failure.map(|failure| format!("{}: {}", failure.vendor, failure.message)))
            }
            RunStatus::Open | RunStatus::Closed => (None, None),
        },
    }
}

fn approval_row(state: &RunState, approval: &Approval) -> ApprovalRow {
    let decided = approval.decided.as_ref();
    let amount = match approval.allowed_intent().as_ref().unwrap_or(&approval.intent) {
        Intent::CreateRefund(refund) => Some(refund.amount()),
        _ => None,
    };
    let customer = state.account.as_ref().and_then(|account| account.customer()).map(|customer| customer.name.clone());
    ApprovalRow {
        approval: approval.id.clone(),
        run: state.run.clone(),
        step: approval.step,
        state: approval.state,
        rule: approval.judgement.rule,
        why: approval.judgement.why.clone(),
        intent: approval.intent.clone(),
        amount,
        customer: customer.unwrap_or_else(|| state.ticket.requester.name.clone()),
        subject: state.ticket.subject.clone(),
        requested_ms: approval.requested_at.as_millisecond(),
        due_ms: approval.due_ms,
        decision: decided.map(|decided| decision_word(&decided.decision).to_owned()),
        decided_by: decided.map(|decided| decided.by.clone()),
        decided_ms: decided.map(|decided| decided.at.as_millisecond()),
        hold_until_ms: decided.map(|decided| decided.hold_until_ms),
    }
}

fn decision_word(decision: &crate::run::entry::Decision) -> &'static str {
    use crate::run::entry::Decision;
    match decision {
        Decision::Approve => "approve",
        Decision::Amount { .. } => "amount",
        Decision::Reject => "reject",
    }
}
