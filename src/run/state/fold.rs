//! The fold itself: what each entry does to the state, and which may not follow. What the state is stands in `state.rs`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::{Approval, Broken, Call, CallState, Decided, Lost, OpenStep, RULE_CALL, RunState, ScheduledMail, Turn};
use crate::ids::{ApprovalId, ArticleId, StepNo, ToolCallId};
use crate::intent::{Intent, ResolutionOutcome, ToolKind};
use crate::money::Cost;
use crate::policy::facts::ConfirmedEffect;
use crate::policy::{Judgement, Verdict};
use crate::run::cost::Usage;
use crate::run::entry::{Body, Entry, FailureClass, LostCall, ModelCall, Outcome, StepResult, Work};
use crate::run::row::ApprovalState;
use crate::run::{handover, shadow};
use crate::ticket::Message;

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
