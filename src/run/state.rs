//! Folds a run's entries into what is known now. Refuses an entry that cannot follow: a journal that breaks its own rules is
//! reported, never guessed at.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::account::AccountRead;
use crate::ids::{ApprovalId, ArticleId, CommentId, RunId, StepNo, ToolCallId};
use crate::intent::{BadIntent, Intent, ResolutionOutcome, SendFollowupEmail, ToolKind};
use crate::money::Cost;
use crate::policy::facts::{ConfirmedEffect, Facts, Route};
use crate::policy::{Judgement, RuleId, Verdict};
use crate::run::cost::Usage;
use crate::run::entry::{Body, Decision, Entry, Failure, FailureClass, LostCall, ModelCall, Outcome, StepResult, Work};
use crate::run::handover;
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
    /// Folds all entries of a run.
    pub fn fold(entries: &[Entry]) -> Result<Self, Broken> {
        let broken = |why: &str| Broken { run: "?".to_owned(), seq: 1, why: why.to_owned() };
        let first = entries.first().ok_or_else(|| broken("there is no entry"))?;
        let Body::RunOpened { run, ticket, trigger, prompts } = &first.body else {
            return Err(broken("the first entry must be `run_opened`"));
        };
        let mut state = RunState {
            run: run.clone(),
            trigger: *trigger,
            prompts: prompts.clone(),
            shown_at_start: ticket.messages.len(),
            ticket: (**ticket).clone(),
            opened_at: first.at(),
            now: first.at(),
            touched_at: first.at(),
            len: 1,
            next_step: StepNo(1),
            account: None,
            fresh: None,
            route: None,
            passages: None,
            prefix_ttl: None,
            ticket_judgement: None,
            turns: Vec::new(),
            open: BTreeMap::new(),
            closing_failed: None,
            failures: Vec::new(),
            effects: Vec::new(),
            refunds_known: BTreeSet::new(),
            mails: Vec::new(),
            approvals: Vec::new(),
            articles_seen: BTreeSet::new(),
            links_seen: BTreeSet::new(),
            answer_refusals: 0,
            troubles: 0,
            first_answer_at: None,
            ended: None,
            taken_over: false,
            told: false,
            untold: Vec::new(),
            unheard: Vec::new(),
            held_back: None,
            outcome: None,
            closed_at: None,
            steps: 0,
            usage: Usage::default(),
            cost: Cost::ZERO,
            unpriced_calls: 0,
            lost: Lost::default(),
        };
        for entry in &entries[1..] {
            state.apply(entry)?;
        }
        Ok(state)
    }

    /// Folds one more entry.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Broken> {
        let seq = self.len + 1;
        let at = entry.at();
        self.now = self.now.max(at);
        self.apply_body(&entry.body, at).map_err(|why| Broken { run: self.run.to_string(), seq, why })?;
        self.touched_at = at;
        self.len = seq;
        Ok(())
    }

    fn apply_body(&mut self, body: &Body, at: Timestamp) -> Result<(), String> {
        if self.outcome.is_some()
            && !matches!(
                body,
                Body::StepStarted { .. }
                    | Body::StepFinished { .. }
                    | Body::StepDelayed { .. }
                    | Body::StepRetried { .. }
                    | Body::HeldBack { .. }
                    | Body::Reopened { .. }
            )
        {
            return Err("the run has ended".to_owned());
        }
        match body {
            Body::RunOpened { .. } => return Err("a run is opened once".to_owned()),
            Body::CustomerWrote { messages, stamp } => self.customer_wrote(messages, *stamp),
            Body::StepStarted { step, work } => self.step_started(*step, work, at)?,
            Body::StepDelayed { step, attempt, failure, retry_at_ms } => {
                let open = self.open.get_mut(step).ok_or_else(|| format!("step {step} is not open"))?;
                open.attempts = *attempt;
                open.failure = Some(failure.clone());
                open.retry_at_ms = Some(*retry_at_ms);
                open.under_way = false;
                open.unsure |= failure.class == FailureClass::Unknown;
                open.touched_at = at;
            }
            Body::CallLost { step, call } => {
                if self.open.get(step).is_none_or(|open| open.work.model().is_none()) {
                    return Err(format!("step {step} asks no model"));
                }
                self.count_lost(call);
            }
            Body::StepRetried { step, .. } => {
                let open = self.open.get_mut(step).ok_or_else(|| format!("step {step} is not open"))?;
                if open.under_way {
                    return Err(format!("a try of step {step} is under way"));
                }
                open.under_way = true;
                open.retry_at_ms = None;
                open.touched_at = at;
            }
            Body::StepFinished { step, result, .. } => self.step_finished(*step, result, at)?,
            Body::Judged { call: None, judgement } => self.ticket_judgement = Some(judgement.clone()),
            Body::Judged { call: Some(id), judgement } => self.call_judged(id, judgement)?,
            Body::ApprovalRequested { approval, step, call, intent, digest, due_ms } => {
                if *step != self.next_step {
                    return Err(format!("step {step} is not the next one, {}", self.next_step));
                }
                self.next_step = StepNo(step.0 + 1);
                self.steps += 1;
                let waiting = self.call_mut(call)?;
                let judgement = waiting.judgement.clone().ok_or("an approval needs a judgement before it")?;
                waiting.state = CallState::Asked(approval.clone());
                self.approvals.push(Approval {
                    id: approval.clone(),
                    step: *step,
                    call: call.clone(),
                    intent: intent.clone(),
                    judgement,
                    digest: digest.clone(),
                    requested_at: at,
                    due_ms: *due_ms,
                    state: ApprovalState::Waiting,
                    decided: None,
                    news: false,
                });
            }
            Body::ApprovalDecided { approval, decision, by, note, hold_until_ms } => {
                let found = self.approval_in(approval, ApprovalState::Waiting)?;
                found.state = ApprovalState::Held;
                found.news = false;
                found.decided = Some(Decided {
                    decision: decision.clone(),
                    by: by.clone(),
                    note: note.clone(),
                    at,
                    hold_until_ms: *hold_until_ms,
                });
            }
            Body::DecisionUndone { approval, .. } => {
                let found = self.approval_in(approval, ApprovalState::Held)?;
                found.state = ApprovalState::Waiting;
                found.decided = None;
            }
            Body::ApprovalReopened { approval, judgement, digest, due_ms } => {
                let found = self.approval_in(approval, ApprovalState::Held)?;
                found.state = ApprovalState::Waiting;
                found.decided = None;
                found.news = false;
                found.judgement = judgement.clone();
                found.digest.clone_from(digest);
                found.due_ms = *due_ms;
            }
            Body::ApprovalExpired { approval } => {
                self.approval_in(approval, ApprovalState::Waiting)?.state = ApprovalState::Expired;
            }
            Body::Reminded { step } => {
                let turn = self.turns.last_mut().filter(|turn| turn.step == *step).ok_or("there is no such turn")?;
                turn.reminded = true;
            }
            Body::TakenOver { .. } => self.taken_over = true,
            Body::HeldBack { what } => {
                if self.outcome.is_none() {
                    return Err("the run has not ended".to_owned());
                }
                self.held_back = Some((what.clone(), at));
            }
            Body::Reopened { .. } => {
                if !matches!(self.outcome, Some(Outcome::Failed { .. })) {
                    return Err("only a parked run is reopened".to_owned());
                }
                // What failed was looked at by a person and is tried anew. The step that was to end the run is the same step
                // still, under its own key: nobody knows whether it landed, so it is looked for first.
                self.outcome = None;
                self.closed_at = None;
                self.ended = None;
                self.held_back = None;
                self.failures.clear();
                if let Some(closing) = self.closing_failed.take() {
                    if let Work::Tool { call, .. } = &closing.work
                        && call.as_str() != RULE_CALL
                    {
                        self.call_mut(call)?.state = CallState::Running(closing.step);
                    }
                    let again = OpenStep {
                        attempts: 0,
                        retry_at_ms: None,
                        failure: None,
                        under_way: false,
                        unsure: true,
                        ..closing
                    };
                    self.open.insert(again.step, again);
                }
            }
            Body::RunClosed { outcome } => {
                if !self.open.is_empty() {
                    return Err("a run with open steps cannot end".to_owned());
                }
                for approval in &mut self.approvals {
                    if matches!(approval.state, ApprovalState::Waiting | ApprovalState::Held) {
                        approval.state = ApprovalState::Withdrawn;
                    }
                }
                self.outcome = Some(outcome.clone());
                self.closed_at = Some(at);
            }
        }
        Ok(())
    }

    fn customer_wrote(&mut self, messages: &[Message], stamp: Timestamp) {
        let fresh: Vec<Message> =
            messages.iter().filter(|m| self.ticket.messages.iter().all(|known| known.id != m.id)).cloned().collect();
        self.ticket.updated_at = stamp;
        if fresh.is_empty() {
            return;
        }
        self.ticket.messages.extend(fresh.iter().cloned());
        match self.turns.last_mut() {
            None => self.shown_at_start = self.ticket.messages.len(),
            Some(turn) => turn.news.extend(fresh),
        }
        self.ticket_judgement = None; // The new words may call for a person.
        self.answer_is_not_the_last();
        for approval in self.approvals.iter_mut().filter(|approval| approval.state == ApprovalState::Held) {
            approval.news = true;
        }
    }

    /// The customer wrote while an answer was on its way, or before the run was closed behind it: the run goes on with the new
    /// words. (A hand-over stays one: the colleague reads them.)
    fn answer_is_not_the_last(&mut self) {
        self.ended.take_if(|ended| matches!(ended, Outcome::Resolved | Outcome::WaitingCustomer));
    }

    fn step_started(&mut self, step: StepNo, work: &Work, at: Timestamp) -> Result<(), String> {
        if step != self.next_step {
            return Err(format!("step {step} is not the next one, {}", self.next_step));
        }
        let beside_others =
            |work: &Work| matches!(work, Work::Tool { intent, .. } if intent.tool().kind() == ToolKind::Read);
        let all_reads = beside_others(work) && self.open.values().all(|open| beside_others(&open.work));
        if !self.open.is_empty() && !all_reads {
            return Err(format!("step {step} cannot run beside the open ones"));
        }
        if let Work::Tool { call, approval, .. } = work {
            if call.as_str() != RULE_CALL {
                self.call_mut(call)?.state = CallState::Running(step);
            }
            if let Some(id) = approval {
                self.approval_in(id, ApprovalState::Held)?.state = ApprovalState::Executing;
            }
        }
        if matches!(work, Work::Mail { .. } | Work::Note { .. }) {
            self.held_back = None;
        }
        self.next_step = StepNo(step.0 + 1);
        self.steps += 1;
        let open = OpenStep {
            step,
            work: work.clone(),
            started_at: at,
            attempts: 0,
            retry_at_ms: None,
            failure: None,
            under_way: true,
            unsure: false,
            touched_at: at,
            stamp: self.ticket.updated_at,
            messages: self.ticket.messages.len(),
        };
        self.open.insert(step, open);
        Ok(())
    }

    fn step_finished(&mut self, step: StepNo, result: &StepResult, at: Timestamp) -> Result<(), String> {
        let open = self.open.remove(&step).ok_or_else(|| format!("step {step} is not open"))?;
        if let Work::Tool { approval: Some(id), .. } = &open.work {
            let not_sent = matches!(
                result,
                StepResult::CustomerWroteFirst { .. }
                    | StepResult::PersonFirst { .. }
                    | StepResult::HeldBack { .. }
                    | StepResult::Tool { is_error: true, .. }
            );
            self.approval_in(id, ApprovalState::Executing)?.state =
                if not_sent { ApprovalState::Withdrawn } else { ApprovalState::Done };
        }
        match (&open.work, result) {
            (Work::ReadFacts, StepResult::Facts { account }) => match self.account {
                None => self.account = Some((**account).clone()),
                Some(_) => self.fresh = Some(((**account).clone(), at)),
            },
            (Work::Route { .. }, StepResult::Routed { route, call, passages, prefix_ttl }) => {
                self.count(call);
                self.prefix_ttl = *prefix_ttl;
                self.route = Some(route.clone());
                if let Some(passages) = passages {
                    self.remember_passages(passages);
                    self.passages = Some((**passages).clone());
                }
            }
            (Work::Model { model }, StepResult::Model { content, stop_reason, call }) => {
                self.count(call);
                self.turns.push(read_turn(step, model, content, stop_reason));
            }
            (Work::Tool { call, intent, .. }, StepResult::Tool { output, is_error, effect, reference, stamp }) => {
                if matches!(effect, Some(ConfirmedEffect::Refund { .. })) {
                    self.refunds_known.extend(reference.clone());
                }
                self.tool_finished(step, call, intent, output, *is_error, effect.as_ref(), *stamp, at)?;
                if open.messages < self.ticket.messages.len() {
                    self.answer_is_not_the_last();
                }
            }
            (Work::Mail { scheduled }, StepResult::Tool { effect, output, is_error, .. }) => {
                self.settle_mail(*scheduled)?;
                if *is_error {
                    self.untold.push(format!("A follow-up mail was due and was not sent: {}", output["error"]));
                }
                if let Some(ConfirmedEffect::Mail { after_s, .. }) = effect {
                    let sent = self
                        .effects
                        .iter_mut()
                        .find(|e| matches!(e, ConfirmedEffect::Mail { after_s: a, sent: false } if a == after_s));
                    if let Some(ConfirmedEffect::Mail { sent, .. }) = sent {
                        *sent = true;
                    }
                }
            }
            (Work::Mail { scheduled }, StepResult::Failed { failure, .. }) => {
                self.settle_mail(*scheduled)?;
                let how = match failure.class {
                    FailureClass::Unknown => "may have been sent, and is not sent again",
                    FailureClass::Refused | FailureClass::Retry => "was not sent",
                };
                self.untold.push(format!("A follow-up mail was due. It {how}: {}", failure.message));
                self.failures.push((open.work.clone(), failure.clone()));
            }
            (Work::Mail { .. } | Work::Note { .. }, StepResult::HeldBack { .. }) => {} // It stays due.
            (Work::Mail { scheduled }, StepResult::PersonFirst { how, .. }) => {
                self.settle_mail(*scheduled)?;
                self.mail_not_sent(how);
            }
            (Work::Mail { scheduled }, _) => self.settle_mail(*scheduled)?,
            (Work::Note { .. }, StepResult::Tool { stamp, .. }) => {
                self.told = true;
                self.untold.clear();
                self.ticket.updated_at = stamp.unwrap_or(self.ticket.updated_at);
            }
            (Work::Note { .. }, StepResult::Failed { failure, .. }) => {
                self.told = true;
                self.unheard.append(&mut self.untold);
                self.failures.push((open.work.clone(), failure.clone()));
            }
            (Work::Tool { .. }, StepResult::CustomerWroteFirst { messages, stamp }) => {
                self.customer_wrote(messages, *stamp);
                let told = serde_json::json!({
                    "error": "nothing was done: the customer wrote again in between",
                    "hint": "read the new message below and decide anew",
                });
                self.answer_all(&told);
            }
            (Work::Tool { .. }, StepResult::PersonFirst { .. }) => self.taken_over = true,
            (Work::Tool { call, intent, .. }, StepResult::HeldBack { found }) => {
                if call.as_str() != RULE_CALL {
                    self.call_mut(call)?.state = CallState::Waiting; // A retry judges and starts it anew.
                }
                self.ended = Some(shadow::end(self, intent, found.as_deref()));
                // What was begun goes on as the same step, should a person let the run go on: under its key it is found.
                if found.is_some() && intent.tool().kind() == ToolKind::Ends {
                    self.closing_failed = Some(open);
                }
            }
            (work, StepResult::Failed { failure, call }) => {
                if let Some(call) = call {
                    self.count(call);
                }
                if let Work::Tool { call, intent, .. } = work
                    && call.as_str() != RULE_CALL
                {
                    self.troubles += 1;
                    let hint = match intent.tool().kind() {
                        ToolKind::Read => "go on without it if the answer does not need it, else escalate",
                        ToolKind::Effect | ToolKind::Ends => "do not claim that it happened; escalate",
                    };
                    let output = serde_json::json!({ "error": failure.message, "hint": hint });
                    self.call_mut(call)?.state = CallState::Answered { output, is_error: true };
                }
                self.failures.push((open.work.clone(), failure.clone()));
                // An answer that was surely not written gives way to a hand-over; anything else parks the run.
                self.closing_failed = match work {
                    Work::Tool { intent: Intent::EscalateToHuman(_), .. } => Some(open),
                    Work::Tool { intent: Intent::LogResolution(_), .. } if failure.class != FailureClass::Refused => {
                        Some(open)
                    }
                    _ => None,
                };
            }
            (work, _) => return Err(format!("step {step} cannot end like this: {work:?}")),
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one result, taken apart by the match above")]
    fn tool_finished(
        &mut self,
        step: StepNo,
        call: &ToolCallId,
        intent: &Intent,
        output: &Value,
        is_error: bool,
        effect: Option<&ConfirmedEffect>,
        stamp: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), String> {
        if let Some(effect) = effect {
            if let (ConfirmedEffect::Mail { after_s, sent: false }, Intent::SendFollowupEmail(mail)) = (effect, intent)
            {
                let due_ms = at.as_millisecond().saturating_add(after_s.saturating_mul(1_000));
                self.mails.push(ScheduledMail { step, due_ms, mail: mail.clone(), settled: false });
            }
            self.effects.push(effect.clone());
        }
        if let Some(stamp) = stamp {
            self.ticket.updated_at = stamp;
        }
        if call.as_str() != RULE_CALL {
            self.call_mut(call)?.state = CallState::Answered { output: output.clone(), is_error };
            if is_error {
                self.troubles += 1;
            }
        }
        if is_error {
            return Ok(());
        }
        match intent {
            Intent::SearchKnowledgeBase(_) => self.remember_passages(output),
            Intent::LogResolution(resolution) => {
                self.first_answer_at.get_or_insert(at);
                self.ended = Some(match resolution.outcome {
                    ResolutionOutcome::Solved => Outcome::Resolved,
                    ResolutionOutcome::WaitingForCustomer => Outcome::WaitingCustomer,
                });
            }
            Intent::EscalateToHuman(escalation) => {
                let rule = match call.as_str() {
                    RULE_CALL => self.stopping_rule(),
                    _ => handover::rule_of(escalation.reason),
                };
                self.ended = Some(Outcome::Escalated { rule });
            }
            _ => {}
        }
        Ok(())
    }

    /// The rule that sends the ticket to a person, as far as the entries say; `ModelFailed` when only the model is to blame.
    pub fn stopping_rule(&self) -> RuleId {
        crate::run::next::stop(self).map_or(RuleId::ModelFailed, |stop| stop.rule)
    }

    fn remember_passages(&mut self, output: &Value) {
        for passage in output["passages"].as_array().into_iter().flatten() {
            if let Some(id) = passage["article"].as_i64() {
                self.articles_seen.insert(ArticleId(id));
            }
            if let Some(url) = passage["url"].as_str() {
                self.links_seen.insert(url.to_owned());
            }
        }
    }

    fn call_judged(&mut self, id: &ToolCallId, judgement: &Judgement) -> Result<(), String> {
        let call = self.call_mut(id)?;
        call.judgement = Some(judgement.clone());
        if let Verdict::Refuse { reason } = &judgement.verdict {
            let output = serde_json::json!({ "error": judgement.why, "hint": reason });
            call.state = CallState::Answered { output, is_error: true };
            let is_answer = matches!(call.intent, Ok(Intent::LogResolution(_)));
            self.troubles += 1;
            if is_answer {
                self.answer_refusals += 1;
            }
            for approval in &mut self.approvals {
                if approval.call == *id && approval.state == ApprovalState::Held {
                    approval.state = ApprovalState::Done; // A rejection that was passed on.
                }
            }
        }
        Ok(())
    }

    /// Gives every call of the newest turn that has no result yet this one.
    fn answer_all(&mut self, output: &Value) {
        for call in self.turns.last_mut().into_iter().flat_map(|turn| &mut turn.calls) {
            if !matches!(call.state, CallState::Answered { .. }) {
                call.state = CallState::Answered { output: output.clone(), is_error: true };
            }
        }
    }

    fn settle_mail(&mut self, scheduled: StepNo) -> Result<(), String> {
        let mail = self.mails.iter_mut().find(|mail| mail.step == scheduled && !mail.settled);
        mail.ok_or_else(|| format!("step {scheduled} scheduled no mail that is due"))?.settled = true;
        Ok(())
    }

    /// A mail was due when the ticket was no longer ours to write to. Whoever has it learns that it did not leave; where
    /// nobody can be told on the ticket, a page says so.
    fn mail_not_sent(&mut self, how: &str) {
        let why = match how {
            "closed" | "merged" => "the ticket is closed",
            "deleted" => "the ticket was deleted",
            "restored" => "the journal was put back from a backup, and the ticket was written to since",
            _ => "a person has the ticket",
        };
        let said = format!("A follow-up mail was promised to the customer and was not sent when it was due: {why}.");
        match how {
            "closed" | "merged" | "deleted" => self.unheard.push(said),
            _ => self.untold.push(said),
        }
    }

    /// What a person must look at after the run's end, in sentences; `None`: nothing.
    pub fn attention(&self) -> Option<String> {
        let held = self.held_back.as_ref().map(|(what, _)| what);
        let all: Vec<&str> = self.unheard.iter().chain(held).map(String::as_str).collect();
        (self.outcome.is_some() && !all.is_empty()).then(|| all.join(" "))
    }

    fn count(&mut self, call: &ModelCall) {
        self.usage = self.usage + call.usage;
        match call.cost {
            Some(cost) => self.cost = self.cost + cost,
            None => self.unpriced_calls += 1,
        }
    }

    fn count_lost(&mut self, call: &LostCall) {
        self.lost.calls += 1;
        let Some(usage) = call.usage else {
            self.lost.unknown += 1;
            return;
        };
        self.usage = self.usage + usage;
        self.lost.usage = self.lost.usage + usage;
        match call.cost {
            Some(cost) => {
                self.cost = self.cost + cost;
                self.lost.cost = self.lost.cost + cost;
            }
            None => self.unpriced_calls += 1,
        }
    }

    fn call_mut(&mut self, id: &ToolCallId) -> Result<&mut Call, String> {
        let calls = self.turns.last_mut().map(|turn| turn.calls.as_mut_slice()).unwrap_or_default();
        calls.iter_mut().find(|call| call.id == *id).ok_or_else(|| format!("the newest turn has no call `{id}`"))
    }

    fn approval_in(&mut self, id: &ApprovalId, wanted: ApprovalState) -> Result<&mut Approval, String> {
        let found =
            self.approvals.iter_mut().find(|a| a.id == *id).ok_or_else(|| format!("there is no approval `{id}`"))?;
        if found.state == wanted {
            Ok(found)
        } else {
            Err(format!("approval `{id}` is {}, not {}", found.state.as_str(), wanted.as_str()))
        }
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

/// Reads the calls out of an assistant message. A turn that was cut off, refused or stopped for a reason that we do not know
/// yields no calls: a truncated call is never run.
fn read_turn(step: StepNo, model: &str, content: &str, stop_reason: &str) -> Turn {
    let mut turn = Turn {
        step,
        model: model.to_owned(),
        content: content.to_owned(),
        calls: Vec::new(),
        unusable: None,
        reminded: false,
        news: Vec::new(),
    };
    let blocks: Vec<Value> = match serde_json::from_str(content) {
        Ok(blocks) => blocks,
        Err(_) => {
            turn.unusable = Some("the model's answer is not a list of content blocks".to_owned());
            return turn;
        }
    };
    if !matches!(stop_reason, "end_turn" | "tool_use" | "stop_sequence") {
        turn.unusable = Some(format!("the model stopped with `{stop_reason}`"));
        return turn;
    }
    for block in &blocks {
        if block["type"] != "tool_use" {
            continue;
        }
        let (Some(id), Some(name)) = (block["id"].as_str(), block["name"].as_str()) else {
            turn.unusable = Some("a tool call has no id or no name".to_owned());
            turn.calls.clear();
            return turn;
        };
        let call = Call {
            id: ToolCallId::new(id),
            name: name.to_owned(),
            intent: Intent::parse(name, &block["input"]),
            judgement: None,
            state: CallState::Waiting,
        };
        turn.calls.push(call);
    }
    turn
}
