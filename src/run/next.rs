//! The one place that decides what a run does now. Pure: same state, same rules, same time, same answer. First try and
//! recovery are the same path.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::{ApprovalId, ToolCallId};
use crate::intent::{Intent, ToolKind, ToolName};
use crate::money::Cost;
use crate::policy::facts::Complexity;
use crate::policy::{Judgement, Policy, RULES_VERSION, RuleId, Verdict, rules};
use crate::run::entry::{Body, Decision, FailureClass, Outcome, Work};
use crate::run::handover::{self, HoldingTexts};
use crate::run::recheck::{Recheck, recheck};
use crate::run::row::ApprovalState;
use crate::run::shadow;
use crate::run::state::{Approval, Call, CallState, OpenStep, RULE_CALL, RunState, Turn};

/// Limits of one run, each a setting. At a limit the ticket goes to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Steps, reads and model calls included. A ticket that needs more is not one for a machine.
    pub steps_max: u32,
    /// Tokens of all model calls together, prompt and answer.
    pub tokens_max: u64,
    /// Cost of all model calls together, in micro-dollars.
    pub cost_max_micros: i64,
    /// From the run's start, in seconds, the time that people took to decide not counted.
    pub wall_time_max_s: i64,
    /// How long a person may take to decide before the ticket goes to a person as a whole, in seconds.
    pub approval_due_s: i64,
    /// How often a step is tried again after failures at the vendor, before it counts as failed.
    pub retries_max: u32,
    /// The same for the model: an outage delays tickets and must not lose them, so this is long.
    pub model_retries_max: u32,
    /// How old a run may be, in seconds, that waits because the money for model calls is used up; then it goes to a person.
    pub spend_wait_max_s: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps_max: 40,
            tokens_max: 400_000,
            cost_max_micros: 1_000_000,
            wall_time_max_s: 2 * 86_400,
            approval_due_s: 7 * 86_400,
            retries_max: 8,
            model_retries_max: 200,
            spend_wait_max_s: 4 * 3_600,
        }
    }
}

/// Which model does what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// Reads each ticket once.
    pub router: String,
    /// Works simple tickets.
    pub simple: String,
    /// Works complex tickets, and simple ones that turned out not to be.
    pub complex: String,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            router: "claude-sonnet-4-6".to_owned(),
            simple: "claude-sonnet-4-6".to_owned(),
            complex: "claude-opus-4-7".to_owned(),
        }
    }
}

/// After how many refused or failed calls Sonnet hands over to Opus.
const TROUBLES_BEFORE_MOVING_UP: u32 = 3;
/// After how many turns it does.
const TURNS_BEFORE_MOVING_UP: usize = 8;

/// Whether effects happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing leaves: a run ends where its first effect would have been.
    Shadow,
    /// Effects happen, as the rules allow.
    Auto,
}

impl Mode {
    /// As configured and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Shadow => "shadow",
            Mode::Auto => "auto",
        }
    }
}

/// Everything that a run's next move depends on besides the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whether effects happen.
    pub mode: Mode,
    /// What the policy compares with.
    pub policy: Policy,
    /// Limits of one run.
    pub limits: Limits,
    /// Which model does what.
    pub models: Models,
    /// What a customer reads when a rule hands over.
    pub holding: HoldingTexts,
}

/// What happens now.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Nothing leaves the process: these lines follow from what is known.
    Record(Vec<Body>),
    /// These steps start: one effect or model call, or reads side by side.
    Start(Vec<Work>),
    /// These steps were started before and are done again under the same key.
    Resume(Vec<OpenStep>),
    /// Nothing until then (milliseconds since the Unix epoch), or until something is appended.
    Wait {
        /// When.
        until_ms: i64,
    },
    /// Nothing, ever.
    Done,
}

/// Decides what a run does now.
pub fn next(state: &RunState, rules: &Rules, now: Timestamp) -> Next {
    match decide(state, rules, now) {
        Next::Start(works) if rules.mode == Mode::Shadow => shadow::instead(state, works, now),
        next => next,
    }
}

fn decide(state: &RunState, rules: &Rules, now: Timestamp) -> Next {
    let now_ms = now.as_millisecond();
    if !state.open.is_empty() {
        return resume(state, now_ms); // A crash, or a vendor's outage, came between start and finish.
    }
    if state.outcome.is_some() {
        if let Some(text) = handover::after_the_end(state) {
            return Next::Start(vec![Work::Note { text }]);
        }
        return match state.next_mail() {
            Some(mail) if mail.due_ms <= now_ms => Next::Start(vec![Work::Mail { scheduled: mail.step }]),
            Some(mail) => Next::Wait { until_ms: mail.due_ms },
            None => Next::Done,
        };
    }
    if state.taken_over {
        return taken_over(state);
    }
    if let Some(outcome) = &state.ended {
        return Next::Record(vec![Body::RunClosed { outcome: outcome.clone() }]);
    }
    if let Some(failed) = closing_failed(state) {
        return Next::Record(vec![Body::RunClosed { outcome: Outcome::Failed { message: failed } }]);
    }
    if let Some(stop) = stop(state) {
        return stopped(state, stop, rules);
    }
    if let Some(judgement) = failure_judgement(state) {
        return Next::Record(vec![Body::Judged { call: None, judgement }]);
    }
    if state.account.is_none() {
        return Next::Start(vec![Work::ReadFacts]);
    }
    if state.route.is_none() {
        return Next::Start(vec![Work::Route { model: rules.models.router.clone() }]);
    }
    if state.ticket_judgement.is_none() {
        let judgement = rules::judge_ticket(&state.facts(), &rules.policy);
        return Next::Record(vec![Body::Judged { call: None, judgement }]);
    }
    if let Some(next) = pending_approval(state, rules, now) {
        return next;
    }
    match state.turns.last() {
        None => model_step(state, rules, now_ms),
        Some(turn) => after_turn(state, turn, rules, now_ms),
    }
}

/// A person has the ticket: they are told once what was done before, then the run is over. Where they cannot be told on the
/// ticket (it is closed or gone), the run is parked with it, for a person to see on the page.
fn taken_over(state: &RunState) -> Next {
    let report = handover::report(state);
    if let Some(text) = report.clone().filter(|_| !state.told) {
        return Next::Start(vec![Work::Note { text }]);
    }
    let outcome = match (state.failures.last(), report) {
        (Some((Work::Note { .. }, failure)), Some(report)) => Outcome::Failed {
            message: format!("the colleagues could not be told on the ticket ({}): {report}", failure.message),
        },
        _ => Outcome::TakenOver,
    };
    Next::Record(vec![Body::RunClosed { outcome }])
}

/// Why a rule stops the run here: the judgement of the ticket, or of a call of the newest turn. `None`: nothing stops it.
pub fn stop(state: &RunState) -> Option<&Judgement> {
    let stops = |judgement: &&Judgement| matches!(judgement.verdict, Verdict::Escalate | Verdict::Quiet { .. });
    let of_calls =
        state.turns.last().into_iter().flat_map(|turn| &turn.calls).filter_map(|call| call.judgement.as_ref());
    state.ticket_judgement.iter().chain(of_calls).find(stops)
}

fn stopped(state: &RunState, stop: &Judgement, rules: &Rules) -> Next {
    match &stop.verdict {
        Verdict::Quiet { reason } => {
            Next::Record(vec![Body::RunClosed { outcome: Outcome::Skipped { reason: reason.clone() } }])
        }
        _ => {
            let intent = Intent::EscalateToHuman(handover::compose(state, stop, &rules.holding));
            Next::Start(vec![Work::Tool { call: ToolCallId::new(RULE_CALL), intent, approval: None }])
        }
    }
}

fn resume(state: &RunState, now_ms: i64) -> Next {
    // What was put off after now was put off by a clock that was set back since: it is not waited for a second time.
    let is_due =
        |open: &&OpenStep| open.retry_at_ms.is_none_or(|at| at <= now_ms) || open.touched_at.as_millisecond() > now_ms;
    let ready: Vec<OpenStep> = state.open.values().filter(is_due).cloned().collect();
    if !ready.is_empty() {
        return Next::Resume(ready);
    }
    let until_ms = state.open.values().filter_map(|open| open.retry_at_ms).min().unwrap_or(now_ms);
    Next::Wait { until_ms }
}

/// Handing over failed as well: the run is parked, and a page shows it to a person.
fn closing_failed(state: &RunState) -> Option<String> {
    let (work, failure) = state.failures.last()?;
    let Work::Tool { intent, .. } = work else { return None };
    if intent.tool() == ToolName::LogResolution && failure.class == FailureClass::Refused {
        return None; // Surely not written: the ticket is handed over instead.
    }
    (intent.tool().kind() == ToolKind::Ends).then(|| format!("{}: {}", failure.vendor, failure.message))
}

/// What a failed step means for the ticket.
fn failure_judgement(state: &RunState) -> Option<Judgement> {
    let (work, failure) = state.failures.last()?;
    let said = format!("{}: {}", failure.vendor, failure.message);
    let rule = match work {
        // Our own refusal: the money for model calls is used up.
        Work::Route { .. } | Work::Model { .. }
            if failure.vendor == "deskhand" && failure.class == FailureClass::Refused =>
        {
            RuleId::Limits
        }
        Work::ReadFacts => RuleId::VendorFailed,
        Work::Route { .. } | Work::Model { .. } => RuleId::ModelFailed,
        Work::Tool { intent, .. }
            if intent.tool().kind() == ToolKind::Effect && failure.class == FailureClass::Unknown =>
        {
            RuleId::EffectUnknown
        }
        Work::Tool { intent, .. } if intent.tool().kind() == ToolKind::Ends => RuleId::VendorFailed,
        Work::Tool { .. } | Work::Mail { .. } | Work::Note { .. } => return None, // The model reads of it and decides.
    };
    Some(Judgement::new(rule, Verdict::Escalate, said))
}

fn pending_approval(state: &RunState, rules: &Rules, now: Timestamp) -> Option<Next> {
    let now_ms = now.as_millisecond();
    let approval = state.pending_approval()?;
    let Some(decided) = &approval.decided else {
        if now_ms < approval.due_ms {
            return Some(Next::Wait { until_ms: approval.due_ms });
        }
        let days = rules.limits.approval_due_s / 86_400;
        let why = format!("nobody decided within {days} days: {}", approval.judgement.why);
        let judgement = Judgement::new(approval.judgement.rule, Verdict::Escalate, why);
        return Some(Next::Record(vec![
            Body::ApprovalExpired { approval: approval.id.clone() },
            Body::Judged { call: None, judgement },
        ]));
    };
    if now_ms < decided.hold_until_ms && !approval.is_outdated() {
        return Some(Next::Wait { until_ms: decided.hold_until_ms });
    }
    Some(match approval.allowed_intent() {
        Some(intent) => match recheck(state, approval, &rules.policy, now) {
            Recheck::Read => Next::Start(vec![Work::ReadFacts]),
            Recheck::Go => {
                let (call, approval) = (approval.call.clone(), Some(approval.id.clone()));
                Next::Start(vec![Work::Tool { call, intent, approval }])
            }
            Recheck::Ask(judgement) => Next::Record(vec![ask_anew(approval, judgement, state, rules, now)]),
            Recheck::HandOver(judgement) => Next::Record(vec![Body::Judged { call: None, judgement }]),
        },
        None => {
            let note = match decided.note.trim() {
                "" => String::new(),
                note => format!(" Their note: {note}"),
            };
            let reason = format!(
                "a colleague decided against it; do not ask again. Tell the customer honestly that it was not approved, \
                 or escalate.{note}"
            );
            let why = format!("{} decided against it", decided.by);
            let judgement = Judgement::new(approval.judgement.rule, Verdict::Refuse { reason }, why);
            Next::Record(vec![Body::Judged { call: Some(approval.call.clone()), judgement }])
        }
    })
}

fn after_turn(state: &RunState, turn: &Turn, rules: &Rules, now_ms: i64) -> Next {
    if let Some(why) = &turn.unusable {
        return match model_for_turn(state, rules) {
            model if model != turn.model => model_step(state, rules, now_ms),
            _ => escalate(RuleId::ModelFailed, why),
        };
    }
    if turn.calls.is_empty() {
        let reminded = state.turns.iter().any(|turn| turn.reminded);
        return match (turn.reminded, reminded) {
            (true, _) => model_step(state, rules, now_ms),
            (false, false) => Next::Record(vec![Body::Reminded { step: turn.step }]),
            (false, true) => escalate(RuleId::ModelFailed, "the model ended its turn twice without closing the ticket"),
        };
    }
    let Some(at) = turn.calls.iter().position(|call| !matches!(call.state, CallState::Answered { .. })) else {
        return model_step(state, rules, now_ms);
    };
    let rest = &turn.calls[at..];
    let is_read = |call: &&Call| matches!(&call.intent, Ok(intent) if intent.tool().kind() == ToolKind::Read);
    let reads: Vec<&Call> = rest.iter().take_while(is_read).collect();
    if reads.is_empty() { one_call(state, &rest[0], rules, now_ms) } else { side_by_side(state, &reads, rules) }
}

fn side_by_side(state: &RunState, reads: &[&Call], rules: &Rules) -> Next {
    let mut works = Vec::with_capacity(reads.len());
    for call in reads {
        let Ok(intent) = &call.intent else { break };
        match &call.judgement {
            None => return Next::Record(vec![judged(state, call, intent, rules)]),
            Some(_) => works.push(Work::Tool { call: call.id.clone(), intent: intent.clone(), approval: None }),
        }
    }
    Next::Start(works)
}

fn one_call(state: &RunState, call: &Call, rules: &Rules, now_ms: i64) -> Next {
    let intent = match &call.intent {
        Ok(intent) => intent,
        Err(bad) => {
            let verdict = Verdict::Refuse { reason: bad.0.clone() };
            let judgement = Judgement::new(RuleId::None, verdict, "the call is not valid");
            return Next::Record(vec![Body::Judged { call: Some(call.id.clone()), judgement }]);
        }
    };
    let Some(judgement) = &call.judgement else {
        return Next::Record(vec![judged(state, call, intent, rules)]);
    };
    if judgement.verdict != Verdict::NeedsApproval {
        return Next::Start(vec![Work::Tool { call: call.id.clone(), intent: intent.clone(), approval: None }]);
    }
    Next::Record(vec![Body::ApprovalRequested {
        approval: ApprovalId::for_step(&state.run, state.next_step),
        step: state.next_step,
        call: call.id.clone(),
        intent: intent.clone(),
        digest: digest(intent, state.ticket.updated_at),
        due_ms: now_ms.saturating_add(rules.limits.approval_due_s.saturating_mul(1_000)),
    }])
}

fn judged(state: &RunState, call: &Call, intent: &Intent, rules: &Rules) -> Body {
    let judgement = rules::judge_call(&state.facts(), intent, &rules.policy);
    Body::Judged { call: Some(call.id.clone()), judgement }
}

/// What follows for refunds that were not started because another one of the same payment, described by `other`, is in the
/// way: a person is asked, or asked anew if they did not know of it.
pub fn ask_for_a_twin(state: &RunState, works: &[Work], other: &str, rules: &Rules, now: Timestamp) -> Vec<Body> {
    let ask = |work: &Work| {
        let Work::Tool { call, intent: Intent::CreateRefund(refund), approval } = work else { return None };
        let judgement = rules::judge_twin(&state.facts(), refund, other, &rules.policy);
        Some(match approval.as_ref().and_then(|id| state.approval(id)) {
            Some(approval) => ask_anew(approval, judgement, state, rules, now),
            None => Body::Judged { call: Some(call.clone()), judgement },
        })
    };
    works.iter().filter_map(ask).collect()
}

fn ask_anew(approval: &Approval, judgement: Judgement, state: &RunState, rules: &Rules, now: Timestamp) -> Body {
    Body::ApprovalReopened {
        approval: approval.id.clone(),
        judgement,
        digest: digest(&approval.intent, state.ticket.updated_at),
        due_ms: now.as_millisecond().saturating_add(rules.limits.approval_due_s.saturating_mul(1_000)),
    }
}

fn model_step(state: &RunState, rules: &Rules, now_ms: i64) -> Next {
    if let Some(why) = limit_reached(state, &rules.limits, now_ms) {
        return escalate(RuleId::Limits, &why);
    }
    Next::Start(vec![Work::Model { model: model_for_turn(state, rules) }])
}

fn escalate(rule: RuleId, why: &str) -> Next {
    Next::Record(vec![Body::Judged { call: None, judgement: Judgement::new(rule, Verdict::Escalate, why) }])
}

/// Which model takes the next turn: as routed, moved up once when the simple one struggles, never back.
fn model_for_turn(state: &RunState, rules: &Rules) -> String {
    let complex = state.route.as_ref().is_some_and(|route| route.complexity == Complexity::Complex);
    let moved_up = state.turns.iter().any(|turn| turn.model == rules.models.complex);
    let struggles = state.troubles >= TROUBLES_BEFORE_MOVING_UP
        || state.turns.len() >= TURNS_BEFORE_MOVING_UP
        || state.turns.last().is_some_and(|turn| turn.unusable.is_some());
    if complex || moved_up || struggles { rules.models.complex.clone() } else { rules.models.simple.clone() }
}

fn limit_reached(state: &RunState, limits: &Limits, now_ms: i64) -> Option<String> {
    let tokens = state.usage.prompt() + state.usage.output;
    let waited_ms: i64 = state
        .approvals
        .iter()
        .filter_map(|approval| Some(approval.decided.as_ref()?.hold_until_ms - approval.requested_at.as_millisecond()))
        .sum();
    let worked_s = (now_ms - state.opened_at.as_millisecond() - waited_ms) / 1_000;
    if state.steps >= limits.steps_max {
        Some(format!("{} steps are used up", limits.steps_max))
    } else if tokens >= limits.tokens_max {
        Some(format!("{tokens} tokens were used, {} are allowed", limits.tokens_max))
    } else if state.cost.micros() >= limits.cost_max_micros {
        Some(format!("{} was spent, {} is allowed", state.cost, Cost(limits.cost_max_micros)))
    } else if worked_s >= limits.wall_time_max_s {
        Some(format!("{worked_s} s have passed, {} are allowed", limits.wall_time_max_s))
    } else {
        None
    }
}

/// Binds a decision to what was shown: tool, payment, amount, currency, version of the rules, the ticket's stamp.
pub fn digest(intent: &Intent, stamp: Timestamp) -> String {
    let shown = serde_json::json!({ "intent": intent, "rules": RULES_VERSION, "stamp": stamp });
    let hash = Sha256::digest(shown.to_string().as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether an approval allows a step: decided, not rejected, and for this run's call.
pub fn is_allowed_by(state: &RunState, approval: &ApprovalId, intent: &Intent) -> bool {
    state.approval(approval).is_some_and(|found| {
        matches!(found.state, ApprovalState::Held | ApprovalState::Executing)
            && found.decided.as_ref().is_some_and(|decided| decided.decision != Decision::Reject)
            && found.allowed_intent().as_ref() == Some(intent)
    })
}

#[cfg(test)]
mod tests;
