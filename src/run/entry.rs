//! The journal's lines. A storage format: add variants and optional fields, never change one; old journals must fold for
//! ever. Amounts are minor units, costs micro-dollars, times milliseconds since the Unix epoch or RFC 3339.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::account::AccountRead;
pub use crate::failure::{Failure, FailureClass};
use crate::ids::{ApprovalId, CommentId, RunId, StepNo, ToolCallId, UserId};
use crate::intent::{Intent, ToolKind};
use crate::money::{Cost, Money};
use crate::policy::facts::{ConfirmedEffect, Route};
use crate::policy::{Judgement, RuleId};
use crate::run::cost::Usage;
use crate::run::ttl::Ttl;
use crate::ticket::{Message, Ticket};

/// One line of a run's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was written, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

impl Entry {
    /// A line of this moment.
    pub fn new(at: Timestamp, body: Body) -> Self {
        Self { at_ms: at.as_millisecond(), body }
    }
    /// When it was written.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_millisecond(self.at_ms).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Body {
    /// The first line of every run.
    RunOpened {
        /// Its id.
        run: RunId,
        /// The ticket as first read.
        ticket: Box<Ticket>,
        /// The comment that this run answers.
        trigger: CommentId,
        /// Hash of the prompts in force.
        prompts: String,
    },
    /// The requester wrote again while the run was open.
    CustomerWrote {
        /// The new comments, oldest first.
        messages: Vec<Message>,
        /// The ticket's stamp now.
        stamp: Timestamp,
    },
    /// On disk before anything leaves the process.
    StepStarted {
        /// Which step.
        step: StepNo,
        /// What will be done.
        work: Work,
    },
    /// The step was tried and will be tried again under the same key: back-off as data.
    StepDelayed {
        /// Which step.
        step: StepNo,
        /// How often it was tried.
        attempt: u32,
        /// What went wrong.
        failure: Failure,
        /// When to try again, in milliseconds since the Unix epoch.
        retry_at_ms: i64,
    },
    /// A model was asked and its answer was lost: it is asked again, and what was lost is paid for all the same. Written with
    /// the line that says how the step's try ended.
    CallLost {
        /// Which step.
        step: StepNo,
        /// What is known of the call.
        call: LostCall,
    },
    /// A further try of an effect begins: on disk before it leaves, so that a death in it is seen. (The first try begins with
    /// `StepStarted`; reads and model calls need no such line.)
    StepRetried {
        /// Which step.
        step: StepNo,
        /// Which try, counted from 2.
        attempt: u32,
    },
    /// On disk before anything builds on it.
    StepFinished {
        /// Which step.
        step: StepNo,
        /// What came of it.
        result: StepResult,
        /// How long the step's last try took, in milliseconds.
        took_ms: u64,
    },
    /// The rules spoke: of the ticket, or of one call of the model.
    Judged {
        /// The call; absent when the ticket as a whole was judged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<ToolCallId>,
        /// What they said.
        judgement: Judgement,
    },
    /// A person is asked; the run waits.
    ApprovalRequested {
        /// Its id.
        approval: ApprovalId,
        /// The number it takes among the run's steps.
        step: StepNo,
        /// The call that waits.
        call: ToolCallId,
        /// What is asked for.
        intent: Intent,
        /// Binds a decision to what was shown: tool, payment, amount, currency, policy version, ticket stamp.
        digest: String,
        /// When it expires, in milliseconds since the Unix epoch.
        due_ms: i64,
    },
    /// A person answered.
    ApprovalDecided {
        /// Which approval.
        approval: ApprovalId,
        /// What.
        decision: Decision,
        /// Who.
        by: String,
        /// In their words; empty when they gave none.
        note: String,
        /// Until when it can be undone, in milliseconds since the Unix epoch.
        hold_until_ms: i64,
    },
    /// The person took the answer back in time; the approval waits again.
    DecisionUndone {
        /// Which approval.
        approval: ApprovalId,
        /// Who.
        by: String,
    },
    /// What the decision rests on changed before it was carried out: nothing was done, and the same is asked anew.
    ApprovalReopened {
        /// Which approval.
        approval: ApprovalId,
        /// Why it is asked anew, and what the rule looks at now.
        judgement: Judgement,
        /// Binds the next decision to what is shown now.
        digest: String,
        /// When it expires now, in milliseconds since the Unix epoch.
        due_ms: i64,
    },
    /// Nobody answered in time.
    ApprovalExpired {
        /// Which approval.
        approval: ApprovalId,
    },
    /// The model ended its turn without closing the ticket and is reminded.
    Reminded {
        /// After which model step.
        step: StepNo,
    },
    /// A person took the ticket; the agent's part ends.
    TakenOver {
        /// Who, when the helpdesk or the page says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// The helpdesk's number of that person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<UserId>,
        /// How it was noticed: `assigned`, `replied`, `solved`, `closed`, `merged`, `deleted`, `page`.
        how: String,
    },
    /// What was promised before the run's end is due, and is not sent in shadow mode; it goes on if the mode returns.
    HeldBack {
        /// What, in a sentence for people.
        what: String,
    },
    /// A person lets a parked run go on where it stopped, or takes it.
    Reopened {
        /// Who.
        by: String,
    },
    /// The run is over (a scheduled mail may still be due).
    RunClosed {
        /// How.
        outcome: Outcome,
    },
}

impl Body {
    /// The word that tells it from the other kinds, as it is stored.
    pub fn kind(&self) -> &'static str {
        match self {
            Body::RunOpened { .. } => "run_opened",
            Body::CustomerWrote { .. } => "customer_wrote",
            Body::StepStarted { .. } => "step_started",
            Body::StepDelayed { .. } => "step_delayed",
            Body::CallLost { .. } => "call_lost",
            Body::StepRetried { .. } => "step_retried",
            Body::StepFinished { .. } => "step_finished",
            Body::Judged { .. } => "judged",
            Body::ApprovalRequested { .. } => "approval_requested",
            Body::ApprovalDecided { .. } => "approval_decided",
            Body::DecisionUndone { .. } => "decision_undone",
            Body::ApprovalReopened { .. } => "approval_reopened",
            Body::ApprovalExpired { .. } => "approval_expired",
            Body::Reminded { .. } => "reminded",
            Body::TakenOver { .. } => "taken_over",
            Body::Reopened { .. } => "reopened",
            Body::RunClosed { .. } => "run_closed",
            Body::HeldBack { .. } => "held_back",
        }
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// Reads the requester's account and records.
    ReadFacts,
    /// Asks the router.
    Route {
        /// Which model.
        model: String,
    },
    /// Asks the model for the next turn.
    Model {
        /// Which model.
        model: String,
    },
    /// Does what the model (or a rule, for an escalation) asked for.
    Tool {
        /// The model's call; `rule` for one that a rule made.
        call: ToolCallId,
        /// What.
        intent: Intent,
        /// The approval that allows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval: Option<ApprovalId>,
    },
    /// Sends the mail that an earlier step scheduled.
    Mail {
        /// The step that scheduled it.
        scheduled: StepNo,
    },
    /// Tells the colleagues on the ticket, in a note of its own, what was done before the agent's part ended.
    Note {
        /// What.
        text: String,
    },
}

impl Work {
    /// Whether a repeated try is harmless: nothing is changed by it, or a key or our mark guards it. Mail has neither, so
    /// one that may have left is never sent again.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Work::Tool { intent: Intent::SendFollowupEmail(mail), .. } => mail.after_s > 0,
            Work::Mail { .. } => false,
            Work::ReadFacts | Work::Route { .. } | Work::Model { .. } | Work::Tool { .. } | Work::Note { .. } => true,
        }
    }

    /// The model that it asks, if it asks one.
    pub fn model(&self) -> Option<&str> {
        match self {
            Work::Route { model } | Work::Model { model } => Some(model),
            _ => None,
        }
    }

    /// Whether others can see what it does.
    pub fn is_effect(&self) -> bool {
        match self {
            Work::Tool { intent, .. } => intent.tool().kind() != ToolKind::Read,
            Work::Mail { .. } | Work::Note { .. } => true,
            Work::ReadFacts | Work::Route { .. } | Work::Model { .. } => false,
        }
    }
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum StepResult {
    /// The records.
    Facts {
        /// What they say.
        account: Box<AccountRead>,
    },
    /// The router's answer.
    Routed {
        /// What it read.
        route: Route,
        /// The call's figures.
        call: ModelCall,
        /// What code found in the help center for the router's search, as the model reads it; absent when nothing was
        /// looked for or found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passages: Option<Box<serde_json::Value>>,
        /// How long the prefix of this run's turns lives in the cache, as chosen now; absent: as configured.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prefix_ttl: Option<Ttl>,
    },
    /// The model's turn.
    Model {
        /// The assistant message's content, byte for byte as received: a JSON array.
        content: String,
        /// Why it stopped, as received.
        stop_reason: String,
        /// The call's figures.
        call: ModelCall,
    },
    /// What a tool returned to the model.
    Tool {
        /// Compact JSON.
        output: serde_json::Value,
        /// Whether it is a refusal or failure.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        /// What is now known to have happened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        effect: Option<ConfirmedEffect>,
        /// A vendor's reference: refund id, audit id, request id, queue id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// The ticket's stamp after our write.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stamp: Option<Timestamp>,
    },
    /// The effect was not sent: the customer wrote again in between.
    CustomerWroteFirst {
        /// The new comments, oldest first.
        messages: Vec<Message>,
        /// The ticket's stamp now.
        stamp: Timestamp,
    },
    /// The effect was not sent: a person has the ticket, or it is closed.
    PersonFirst {
        /// The helpdesk's number of the person, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<UserId>,
        /// `assigned`, `replied`, `solved`, `closed`, `merged`, `deleted`, `page`.
        how: String,
    },
    /// The effect was not sent, and no earlier try has done it to its end: shadow mode came in between.
    HeldBack {
        /// What an earlier try did of it, in a sentence for people; absent: nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<String>,
    },
    /// Given up.
    Failed {
        /// Why.
        failure: Failure,
        /// What the model call cost all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<ModelCall>,
    },
}

/// The figures of a model call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCall {
    /// Which model answered.
    pub model: String,
    /// The vendor's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Tokens by kind.
    pub usage: Usage,
    /// What it cost; absent when the price table does not know the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Until the first byte of the answer, in milliseconds.
    pub first_byte_ms: u64,
    /// Digest of the request that was sent.
    pub request_digest: String,
}

/// What is known of a model call whose answer was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostCall {
    /// Which model was asked.
    pub model: String,
    /// The vendor's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Tokens, as far as known: as the stream told before it broke; after a death, the prompt of the same request when it was
    /// asked again. What the lost answer itself was long is never known. Absent: nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What these tokens cost; absent when they, or the model's prices, are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// The process died in the call: whether it left, and what it used, is taken from the call that repeated it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_death: bool,
}

/// What a person decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// As asked.
    Approve,
    /// Another amount.
    Amount {
        /// How much instead.
        amount: Money,
    },
    /// No.
    Reject,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Answered and solved.
    Resolved,
    /// Answered with a question; the customer's turn.
    WaitingCustomer,
    /// Handed to a person.
    Escalated {
        /// By which rule.
        rule: RuleId,
    },
    /// Not answered on purpose.
    Skipped {
        /// Why: `machine_mail`, `spam`, `own_write`, `private_note`, `closed`, `person_owns`, `too_many_runs`.
        reason: String,
    },
    /// A person took it.
    TakenOver,
    /// In shadow mode: not done, only noted.
    Shadowed {
        /// What would have been done first.
        would: Intent,
    },
    /// Parked; a person must look.
    Failed {
        /// Why.
        message: String,
    },
}

impl Outcome {
    /// One word, as stored and shown.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Resolved => "resolved",
            Outcome::WaitingCustomer => "waiting_customer",
            Outcome::Escalated { .. } => "escalated",
            Outcome::Skipped { .. } => "skipped",
            Outcome::TakenOver => "taken_over",
            Outcome::Shadowed { .. } => "shadowed",
            Outcome::Failed { .. } => "failed",
        }
    }
}
