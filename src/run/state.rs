//! What is known of a run now. `state/fold.rs` folds it from the run's entries and refuses one that cannot follow: a journal that
//! breaks its own rules is reported, never guessed at.

mod fold;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::account::AccountRead;
use crate::ids::{ApprovalId, ArticleId, CommentId, RunId, StepNo, ToolCallId};
use crate::intent::{BadIntent, Intent, SendFollowupEmail};
use crate::money::Cost;
use crate::policy::facts::{ConfirmedEffect, Facts, Route};
use crate::policy::{Judgement, RuleId};
use crate::run::cost::Usage;
use crate::run::entry::{Decision, Failure, Outcome, Work};
use crate::run::row::{ApprovalState, RunStatus};
use crate::run::shadow;
use crate::run::ttl::Ttl;
use crate::ticket::{Message, Ticket};

/// An entry that cannot follow the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq} of `{run}` cannot stand there: {why}")]
pub struct Broken {
    /// Which run; `?` before its first entry.
    pub run: String,
    /// Which entry, counted from 1.
    pub seq: u64,
    /// Why not.
    pub why: String,
}

/// The call that a rule makes when no model asked: an escalation.
pub const RULE_CALL: &str = "rule";

/// A step that was started and not finished.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenStep {
    /// Its number.
    pub step: StepNo,
    /// What it does.
    pub work: Work,
    /// When it was first started.
    pub started_at: Timestamp,
    /// How often it was tried and put off.
    pub attempts: u32,
    /// When to try again, in milliseconds since the Unix epoch; `None`: now.
    pub retry_at_ms: Option<i64>,
    /// Why it was put off last.
    pub failure: Option<Failure>,
    /// A try began whose end is not known: found like this, its worker died in it.
    pub under_way: bool,
    /// An earlier try may have acted: its answer was lost.
    pub unsure: bool,
    /// When the newest entry about it was written.
    pub touched_at: Timestamp,
    /// The ticket's stamp as it was known when the step was started: what was decided rests on it.
    pub stamp: Timestamp,
    /// How many of the ticket's messages were known then.
    pub messages: usize,
}

impl OpenStep {
    /// Whether a try of this step may have acted already, told before the next one begins.
    pub fn may_have_acted(&self) -> bool {
        self.under_way || self.unsure
    }
}

/// What became of a call of the model.
#[derive(Debug, Clone, PartialEq)]
pub enum CallState {
    /// Nothing yet.
    Waiting,
    /// A step does it.
    Running(StepNo),
    /// A person is asked.
    Asked(ApprovalId),
    /// The model reads this.
    Answered {
        /// Compact JSON.
        output: Value,
        /// Whether it is a refusal or failure.
        is_error: bool,
    },
}

/// One tool call of one turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The model's id of it.
    pub id: ToolCallId,
    /// The tool's name as the model wrote it.
    pub name: String,
    /// What it asks for, or why it is no intent.
    pub intent: Result<Intent, BadIntent>,
    /// What the rules said of it.
    pub judgement: Option<Judgement>,
    /// What became of it.
    pub state: CallState,
}

/// One answer of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The step that brought it.
    pub step: StepNo,
    /// Which model.
    pub model: String,
    /// The content, byte for byte: a JSON array.
    pub content: String,
    /// Its calls, in order; empty when the turn cannot be used.
    pub calls: Vec<Call>,
    /// Why the turn cannot be used: cut off, refused, unknown stop reason.
    pub unusable: Option<String>,
    /// Whether the model was reminded after it.
    pub reminded: bool,
    /// What the customer wrote after it, shown to the model with the results.
    pub news: Vec<Message>,
}

/// An approval that this run asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// The number it takes among the steps.
    pub step: StepNo,
    /// The call that waits.
    pub call: ToolCallId,
    /// What is asked for.
    pub intent: Intent,
    /// What the rules said.
    pub judgement: Judgement,
    /// Binds a decision to what was shown.
    pub digest: String,
    /// When it was asked.
    pub requested_at: Timestamp,
    /// When it expires, in milliseconds since the Unix epoch.
    pub due_ms: i64,
    /// How it stands.
    pub state: ApprovalState,
    /// The answer: what, who, their note, when, until when it can be undone.
    pub decided: Option<Decided>,
    /// The customer wrote after the decision: it was made before those words.
    pub news: bool,
}

/// A person's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// What.
    pub decision: Decision,
    /// Who.
    pub by: String,
    /// Their note.
    pub note: String,
    /// When.
    pub at: Timestamp,
    /// Until when it can be undone, in milliseconds since the Unix epoch.
    pub hold_until_ms: i64,
}

impl Approval {
    /// An approval that was given before the customer wrote again: it does not stand, and is asked anew at once.
    pub fn is_outdated(&self) -> bool {
        self.news && self.allowed_intent().is_some()
    }

    /// What may be carried out: the intent with the amount as decided. `None` while undecided, or rejected.
    pub fn allowed_intent(&self) -> Option<Intent> {
        match (&self.decided.as_ref()?.decision, &self.intent) {
            (Decision::Approve, intent) => Some(intent.clone()),
            (Decision::Amount { amount }, Intent::CreateRefund(refund)) => {
                let mut refund = refund.clone();
                refund.amount_minor = amount.minor;
                refund.currency = amount.currency;
                Some(Intent::CreateRefund(refund))
            }
            (Decision::Amount { .. } | Decision::Reject, _) => None,
        }
    }
}

/// A mail that was scheduled for later.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduledMail {
    /// The step that scheduled it.
    pub step: StepNo,
    /// When it is due, in milliseconds since the Unix epoch.
    pub due_ms: i64,
    /// The mail.
    pub mail: SendFollowupEmail,
    /// Sent, dropped on purpose, or given up.
    pub settled: bool,
}

/// What is known of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// Its id.
    pub run: RunId,
    /// The comment that it answers.
    pub trigger: CommentId,
    /// Hash of the prompts in force when it was opened.
    pub prompts: String,
    /// The ticket, with what the customer wrote since and the newest stamp.
    pub ticket: Ticket,
    /// How many of the ticket's messages the model is shown at the start.
    pub shown_at_start: usize,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The latest time of its entries.
    pub now: Timestamp,
    /// The time of the newest entry: before `now` when the clock was set back since.
    pub touched_at: Timestamp,
    /// How many entries it has.
    pub len: u64,
    /// The number of the next step.
    pub next_step: StepNo,
    /// What the vendors' records said when the run began: what the model was shown.
    pub account: Option<AccountRead>,
    /// What they said when they were read again before an approved effect, and when that was.
    pub fresh: Option<(AccountRead, Timestamp)>,
    /// What the router read.
    pub route: Option<Route>,
    /// What code found in the help center before the first turn, as the model reads it.
    pub passages: Option<Value>,
    /// How long the prefix of its turns lives in the cache; `None`: as configured.
    pub prefix_ttl: Option<Ttl>,
    /// What the rules said of the ticket as it stands.
    pub ticket_judgement: Option<Judgement>,
    /// The model's answers.
    pub turns: Vec<Turn>,
    /// Steps that were started and not finished, by number.
    pub open: BTreeMap<StepNo, OpenStep>,
    /// The step that was to end the run and failed for good.
    pub closing_failed: Option<OpenStep>,
    /// Steps that failed for good, with what they did.
    pub failures: Vec<(Work, Failure)>,
    /// Effects that are known to have happened.
    pub effects: Vec<ConfirmedEffect>,
    /// The vendor's ids of the refunds among them.
    pub refunds_known: BTreeSet<String>,
    /// Mails for later.
    pub mails: Vec<ScheduledMail>,
    /// Approvals, in the order asked.
    pub approvals: Vec<Approval>,
    /// Articles that searches returned.
    pub articles_seen: BTreeSet<ArticleId>,
    /// Links that searches returned.
    pub links_seen: BTreeSet<String>,
    /// How often an answer was refused.
    pub answer_refusals: u32,
    /// How often calls were refused or failed.
    pub troubles: u32,
    /// When the first public answer left.
    pub first_answer_at: Option<Timestamp>,
    /// How the closing step ended the run; `RunClosed` follows.
    pub ended: Option<Outcome>,
    /// A person has it.
    pub taken_over: bool,
    /// The colleagues were told what was done before that, or it was tried; `false`: not yet.
    pub told: bool,
    /// What happened after the run's end that a colleague must learn of.
    pub untold: Vec<String>,
    /// What of that could not be written to the ticket: a page shows it.
    pub unheard: Vec<String>,
    /// What shadow mode holds back after the run's end, and since when.
    pub held_back: Option<(String, Timestamp)>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
    /// Steps started so far.
    pub steps: u32,
    /// Tokens so far.
    pub usage: Usage,
    /// Cost so far, of the calls with known prices.
    pub cost: Cost,
    /// Calls whose price is not known.
    pub unpriced_calls: u32,
    /// What of all this went for answers that were lost.
    pub lost: Lost,
}

/// What was paid for answers that were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// Calls.
    pub calls: u32,
    /// Of these, calls of which no tokens are known.
    pub unknown: u32,
    /// Tokens, as far as known.
    pub usage: Usage,
    /// What they cost, where the price is known.
    pub cost: Cost,
}

impl RunState {
    /// The rule that sends the ticket to a person, as far as the entries say; `ModelFailed` when only the model is to blame.
    pub fn stopping_rule(&self) -> RuleId {
        crate::run::next::stop(self).map_or(RuleId::ModelFailed, |stop| stop.rule)
    }

    /// What a person must look at after the run's end, in sentences; `None`: nothing.
    pub fn attention(&self) -> Option<String> {
        let held = self.held_back.as_ref().map(|(what, _)| what);
        let all: Vec<&str> = self.unheard.iter().chain(held).map(String::as_str).collect();
        (self.outcome.is_some() && !all.is_empty()).then(|| all.join(" "))
    }

    /// An approval of this run.
    pub fn approval(&self, id: &ApprovalId) -> Option<&Approval> {
        self.approvals.iter().find(|approval| approval.id == *id)
    }

    /// The approval that this run waits for, or that is held, if there is one.
    pub fn pending_approval(&self) -> Option<&Approval> {
        self.approvals.iter().find(|a| matches!(a.state, ApprovalState::Waiting | ApprovalState::Held))
    }

    /// What the rules may look at now.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            run: &self.run,
            ticket: &self.ticket,
            account: self.account.as_ref(),
            route: self.route.as_ref(),
            effects: &self.effects,
            articles_seen: &self.articles_seen,
            links_seen: &self.links_seen,
            answer_refusals: self.answer_refusals,
            now: self.now,
        }
    }

    /// The language to answer in, two letters; English when nobody knows.
    pub fn language(&self) -> &str {
        self.route.as_ref().map_or("en", |route| route.language.as_str())
    }

    /// The next mail that is due, if there is one. Once a person has the ticket, none is sent any more.
    pub fn next_mail(&self) -> Option<&ScheduledMail> {
        if self.outcome == Some(Outcome::TakenOver) {
            return None;
        }
        self.mails.iter().filter(|mail| !mail.settled).min_by_key(|mail| mail.due_ms)
    }

    /// How the run stands, and when it can be claimed (milliseconds since the Unix epoch; `None`: not until something is
    /// appended).
    pub fn rest(&self) -> (RunStatus, Option<i64>) {
        let retry = self.open.values().filter_map(|open| open.retry_at_ms).min();
        if self.outcome.is_some() {
            let mail = self.next_mail().map(|mail| mail.due_ms);
            if let Some((_, since)) = &self.held_back
                && self.open.is_empty()
            {
                let look = since.as_millisecond().saturating_add(shadow::LOOK_AGAIN_MS);
                return (RunStatus::Closed, Some(look));
            }
            let due_now = !self.open.is_empty() || !self.untold.is_empty();
            let started = due_now.then_some(self.touched_at.as_millisecond());
            return (RunStatus::Closed, retry.or(started).or(mail));
        }
        if let Some(retry_at_ms) = retry
            && self.open.values().all(|open| open.retry_at_ms.is_some())
        {
            return (RunStatus::WaitingVendor, Some(retry_at_ms));
        }
        if self.open.is_empty() && !self.taken_over {
            match self.pending_approval() {
                Some(approval) if approval.state == ApprovalState::Waiting => {
                    return (RunStatus::WaitingApproval, Some(approval.due_ms));
                }
                Some(approval) if approval.is_outdated() => {}
                Some(Approval { decided: Some(decided), .. }) => {
                    return (RunStatus::WaitingTime, Some(decided.hold_until_ms));
                }
                _ => {}
            }
        }
        (RunStatus::Open, Some(self.touched_at.as_millisecond()))
    }
}
