//! The rows that stand beside a run's entries, written in the same commit: how it stands, its approval, its model calls. All
//! derived; a store writes them as they are and never looks inside.

use serde::{Deserialize, Serialize};

use crate::ids::{ApprovalId, RunId, StepNo, TicketId};
use crate::intent::Intent;
use crate::money::Money;
use crate::policy::RuleId;
use crate::run::cost::Usage;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Something can be done now.
    Open,
    /// A person must decide.
    WaitingApproval,
    /// A time must come: an undo window.
    WaitingTime,
    /// A vendor is to be tried again later.
    WaitingVendor,
    /// It has ended. A scheduled mail may still be due.
    Closed,
}

impl RunStatus {
    /// As stored and as pages filter by.
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Open => "open",
            RunStatus::WaitingApproval => "waiting_approval",
            RunStatus::WaitingTime => "waiting_time",
            RunStatus::WaitingVendor => "waiting_vendor",
            RunStatus::Closed => "closed",
        }
    }
    /// Back from the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::WaitingApproval, Self::WaitingTime, Self::WaitingVendor, Self::Closed]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// How a run stands, as lists show it and claims look for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// Its id.
    pub run: RunId,
    /// The ticket's number.
    pub ticket: TicketId,
    /// The ticket's subject.
    pub subject: String,
    /// The requester's name.
    pub requester: String,
    /// How it stands.
    pub status: RunStatus,
    /// How it ended: `resolved`, `waiting_customer`, `escalated`, `skipped`, `taken_over`, `failed`.
    pub outcome: Option<String>,
    /// The rule that stopped it, or that it waits for.
    pub rule: Option<RuleId>,
    /// The skip reason, the failure, or what it waits for, in words.
    pub reason: Option<String>,
    /// The router's category.
    pub category: Option<String>,
    /// The language it is answered in.
    pub language: Option<String>,
    /// The model that works it.
    pub model: Option<String>,
    /// When the customer's comment was written, in milliseconds since the Unix epoch.
    pub asked_ms: i64,
    /// When it was opened.
    pub opened_ms: i64,
    /// When the first public answer left.
    pub first_answer_ms: Option<i64>,
    /// When it ended.
    pub closed_ms: Option<i64>,
    /// What a person must look at although the run has ended; `None`: nothing.
    pub attention: Option<String>,
    /// When it can be claimed; `None`: not until something is appended.
    pub wake_ms: Option<i64>,
    /// Steps so far.
    pub steps: u32,
    /// Tokens so far.
    pub usage: Usage,
    /// Micro-dollars so far, of the calls with known prices.
    pub cost_micros: i64,
    /// Calls whose price is not known.
    pub unpriced_calls: u32,
}

/// How an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// A person is asked.
    Waiting,
    /// Decided; can still be undone.
    Held,
    /// Being carried out.
    Executing,
    /// Carried out, or the refusal passed on.
    Done,
    /// Nobody answered in time.
    Expired,
    /// No longer needed: the customer wrote again, a person took over.
    Withdrawn,
}

impl ApprovalState {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            ApprovalState::Waiting => "waiting",
            ApprovalState::Held => "held",
            ApprovalState::Executing => "executing",
            ApprovalState::Done => "done",
            ApprovalState::Expired => "expired",
            ApprovalState::Withdrawn => "withdrawn",
        }
    }
    /// Back from the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Waiting, Self::Held, Self::Executing, Self::Done, Self::Expired, Self::Withdrawn]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// An approval, as the inbox shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalRow {
    /// Its id.
    pub approval: ApprovalId,
    /// The run that waits.
    pub run: RunId,
    /// The number it takes among the run's steps.
    pub step: StepNo,
    /// How it stands.
    pub state: ApprovalState,
    /// The rule that asks.
    pub rule: RuleId,
    /// That rule's sentence.
    pub why: String,
    /// What is asked for.
    pub intent: Intent,
    /// The amount at stake, for refunds.
    pub amount: Option<Money>,
    /// Who the money goes to, or whose ticket it is.
    pub customer: String,
    /// The ticket's subject.
    pub subject: String,
    /// When it was asked, in milliseconds since the Unix epoch.
    pub requested_ms: i64,
    /// When it expires.
    pub due_ms: i64,
    /// `approve`, `amount`, `reject`, once decided.
    pub decision: Option<String>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_ms: Option<i64>,
    /// Until when it can be undone.
    pub hold_until_ms: Option<i64>,
}

/// The kind of a call whose answer was lost.
pub const LOST: &str = "lost";

/// A model call, as the ledger of costs counts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRow {
    /// Which step.
    pub step: StepNo,
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// `route` or `turn`; [`LOST`] for a call whose answer was lost.
    pub kind: String,
    /// Which model answered.
    pub model: String,
    /// Tokens by kind.
    pub usage: Usage,
    /// Micro-dollars; absent when the price is not known.
    pub cost_micros: Option<i64>,
    /// Until the first byte, in milliseconds.
    pub first_byte_ms: u64,
    /// The whole call, in milliseconds.
    pub took_ms: u64,
}

/// A tool's use, as the ledger counts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolRow {
    /// Which step.
    pub step: StepNo,
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Which tool.
    pub tool: String,
    /// Whether it was refused or failed.
    pub is_error: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How much the model had to read of it, in bytes.
    pub output_bytes: u64,
}

/// Everything derived that one append writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// The run's row, as it stands after the append.
    pub row: RunRow,
    /// Approvals that changed with it.
    pub approvals: Vec<ApprovalRow>,
    /// Model calls that ended with it.
    pub calls: Vec<CallRow>,
    /// Tool uses that ended with it.
    pub tools: Vec<ToolRow>,
}
