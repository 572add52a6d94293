//! Does one step under its key. Knows vendors and models, knows nothing of the journal.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::account::{AccountRead, Refund};
use crate::agent::cache::{Cache, Kind, Seen};
use crate::agent::conversation::{self, Asking, Request, Shop};
use crate::agent::facts;
use crate::agent::prompts::Prompts;
use crate::clients::claude::{self, Claude};
use crate::clients::{self, Acting};
use crate::clock::Clock;
use crate::failure::{Failure, FailureClass};
use crate::ids::{IdempotencyKey, StepNo};
use crate::intent::{Intent, ToolKind};
use crate::limiter::{self, Limiter, Place, Urgency};
use crate::policy::facts::{Complexity, Facts, Route};
use crate::policy::{RuleId, rules};
use crate::run::cost::PriceTable;
use crate::run::entry::{LostCall, ModelCall, StepResult, Work};
use crate::run::handover;
use crate::run::next::{Limits, is_allowed_by};
use crate::run::state::{RULE_CALL, RunState};
use crate::run::ttl::Ttl;
use crate::ticket::{Author, Ticket};
use crate::tools::{self, Context, Performed, Tools, search_knowledge_base};
use crate::usage::Usage;

/// Everything that a step is done with; built once, shared by all workers.
pub struct Performer {
    /// The nine tools with their clients.
    pub tools: Tools,
    /// The model.
    pub claude: Claude,
    /// What the models read first.
    pub prompts: Prompts,
    /// What tokens cost.
    pub prices: PriceTable,
    /// How the router is asked.
    pub ask_router: Asking,
    /// How the model for simple tickets is asked.
    pub ask_simple: Asking,
    /// How the model for complex tickets is asked.
    pub ask_complex: Asking,
    /// The model for simple tickets, by id.
    pub simple_model: String,
    /// The model for complex tickets, by id.
    pub complex_model: String,
    /// The prefixes in the vendor's cache.
    pub cache: Arc<Cache>,
    /// The shop, as the model is told of it.
    pub shop: Shop,
    /// How many model calls may be in flight at once, over all runs.
    pub model_calls: Semaphore,
    /// What the model's vendor lets through; shared by all runs.
    pub limiter: Limiter,
    /// Limits of one run.
    pub limits: Limits,
    /// The time.
    pub clock: Clock,
}

/// One try of a step.
#[derive(Debug)]
pub struct Try<'a> {
    /// Which step.
    pub step: StepNo,
    /// What it does.
    pub work: &'a Work,
    /// It was started before: an effect may have happened.
    pub again: bool,
    /// Such an earlier try may still be running at the vendor.
    pub may_still_run: bool,
    /// The ticket's stamp when the step was started, and how many of its messages were known.
    pub known: (Timestamp, usize),
    /// When it was first started.
    pub started_at: Timestamp,
    /// How often it was put off already.
    pub attempts: u32,
    /// The journal was put back from a backup: what the run did since then stands in no entry.
    pub forgot_since: Option<Timestamp>,
    /// The permission to act; `None` in shadow mode.
    pub acting: Option<Acting>,
}

/// What came of a try.
#[derive(Debug)]
pub enum Tried {
    /// The step has ended.
    Finished(StepResult),
    /// The same, by what is known alone: the answer says nothing of how a vendor does now.
    Known(StepResult),
    /// It is to be tried again under the same key.
    Later {
        /// Why.
        failure: Failure,
        /// How long the vendor asks to wait.
        after: Option<Duration>,
        /// The call whose answer was lost, where one had begun.
        lost: Option<Box<LostCall>>,
    },
    /// The model's rate limit holds it back: it has a place in the line and is no failed try.
    InLine {
        /// Why.
        failure: Failure,
        /// Until when, in milliseconds since the Unix epoch.
        until_ms: i64,
        /// The vendor was asked and said so.
        asked: bool,
    },
}

impl Try<'_> {
    /// The ticket as it was known when the step was started: what was decided rests on that. News that came in since is
    /// found by the look before the effect, like any other.
    fn ticket<'a>(&self, state: &'a RunState) -> Cow<'a, Ticket> {
        let (stamp, messages) = self.known;
        if stamp == state.ticket.updated_at && messages == state.ticket.messages.len() {
            return Cow::Borrowed(&state.ticket);
        }
        let mut ticket = state.ticket.clone();
        ticket.updated_at = stamp;
        ticket.messages.truncate(messages);
        Cow::Owned(ticket)
    }
}

impl Performer {
    /// Tries a step once.
    pub async fn perform(&self, state: &RunState, this: &Try<'_>) -> Tried {
        match this.work {
            Work::ReadFacts => match facts::read(&self.tools, &state.ticket).await {
                Ok(account) => Tried::Finished(StepResult::Facts { account: Box::new(account) }),
                Err(error) => self.failed(this, &error),
            },
            Work::Route { model } => self.route(state, this, model).await,
            Work::Model { model } => self.turn(state, this, model).await,
            Work::Tool { intent, .. } => self.tool(state, this, intent).await,
            Work::Mail { scheduled } => self.scheduled_mail(state, this, *scheduled).await,
            Work::Note { text } => {
                let (nobody, ticket) = (AccountRead::default(), this.ticket(state));
                let context = self.context(state, this, &ticket, &nobody);
                self.settle(this, self.tools.tell(&context, text).await)
            }
        }
    }

    async fn route(&self, state: &RunState, this: &Try<'_>, model: &str) -> Tried {
        let asking = Asking { prefix_ttl: self.cache.ttl(Kind::Route, model), ..self.ask_router.clone() };
        let request = conversation::route_request(state, model, &asking, &self.prompts);
        let began_ms = self.clock.now_ms();
        let asked = self.ask(state, this, model, &request).await;
        if let Ok(answer) = &asked {
            self.saw(Kind::Route, began_ms, asking.prefix_ttl, &answer.call);
        }
        match asked {
            Err(tried) => *tried,
            Ok(answer) => match conversation::read_route(&answer.content, &answer.stop_reason) {
                Ok(route) => {
                    let passages = self.look_up(&route).await.map(Box::new);
                    let worked_by = match route.complexity {
                        Complexity::Simple => &self.simple_model,
                        Complexity::Complex => &self.complex_model,
                    };
                    let prefix_ttl = Some(self.cache.ttl(Kind::Turn, worked_by));
                    Tried::Finished(StepResult::Routed { route, call: answer.call, passages, prefix_ttl })
                }
                Err(message) => {
                    let failure = Failure { class: FailureClass::Refused, vendor: "claude".to_owned(), message };
                    Tried::Finished(StepResult::Failed { failure, call: Some(answer.call) })
                }
            },
        }
    }

    /// What the help center says to the router's search: given to the model with the ticket, so that the common question
    /// needs no turn to ask for it. A search that fails is left to the model.
    async fn look_up(&self, route: &Route) -> Option<serde_json::Value> {
        let query = route.search.trim();
        if query.is_empty() || route.spam {
            return None;
        }
        let found = search_knowledge_base::look_up(&self.tools, query, &route.language).await;
        found.ok().filter(|output| output["passages"].as_array().is_some_and(|passages| !passages.is_empty()))
    }

    async fn turn(&self, state: &RunState, this: &Try<'_>, model: &str) -> Tried {
        let asking = if model == self.complex_model { &self.ask_complex } else { &self.ask_simple };
        let prefix_ttl = state.prefix_ttl.unwrap_or(asking.prefix_ttl);
        let asking = Asking { prefix_ttl, ..asking.clone() };
        let request = conversation::turn_request(state, model, &asking, &self.prompts, &self.shop);
        let began_ms = self.clock.now_ms();
        let asked = self.ask(state, this, model, &request).await;
        if let Ok(answer) = &asked
            && state.turns.is_empty()
        {
            self.saw(Kind::Turn, began_ms, prefix_ttl, &answer.call);
        }
        match asked {
            Err(tried) => *tried,
            Ok(Asked { content, stop_reason, call }) => {
                Tried::Finished(StepResult::Model { content, stop_reason, call })
            }
        }
    }

    fn saw(&self, kind: Kind, began_ms: i64, ttl: Ttl, call: &ModelCall) {
        let ended_ms = self.clock.now_ms();
        self.cache.saw(kind, &call.model, Seen { began_ms, ended_ms, ttl, usage: call.usage });
    }

    async fn ask(&self, state: &RunState, this: &Try<'_>, model: &str, request: &Request) -> Result<Asked, Box<Tried>> {
        let _permit = self.model_calls.acquire().await.expect("the semaphore is never closed");
        let in_line = |message: String, until_ms, asked| {
            let failure = Failure { class: FailureClass::Retry, vendor: "claude".to_owned(), message };
            Box::new(Tried::InLine { failure, until_ms, asked })
        };
        let place = place(state, this);
        let pass = match self.limiter.ask(model, place, input_least(state), self.clock.now_ms()) {
            Ok(pass) => pass,
            Err(wait) => return Err(in_line(wait.said, wait.until_ms, false)),
        };
        let heard = |limits: &claude::Limits| pass.heard(&told(limits), self.clock.now_ms());
        let sent = self.claude.send(request.body.clone(), heard).await;
        let now_ms = self.clock.now_ms();
        match sent {
            // Within an answer that had begun it is a lost answer like any other, and the breaker's.
            Err(failed) if failed.rate_limited && failed.usage == Usage::default() => {
                let asks_ms = failed.retry_after.map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
                let until_ms = pass.refused(asks_ms, now_ms);
                return Err(in_line(said(&failed), until_ms, true));
            }
            Err(claude::CallError { spend_cap: true, retry_after: Some(after), .. }) => {
                pass.capped(i64::try_from(after.as_millis()).unwrap_or(i64::MAX), now_ms);
            }
            Ok(ref answer) => pass.answered(&answer.usage, now_ms),
            Err(_) => drop(pass),
        }
        match sent {
            Ok(answer) => Ok(Asked {
                content: answer.content,
                stop_reason: answer.stop_reason,
                call: ModelCall {
                    cost: self.prices.cost(model, &answer.usage),
                    model: model.to_owned(),
                    request_id: answer.request_id,
                    usage: answer.usage,
                    first_byte_ms: answer.first_byte_ms,
                    request_digest: request.digest.clone(),
                },
            }),
            Err(failed) => {
                let usage = (failed.usage != Usage::default()).then_some(failed.usage);
                let mut tried = with_request_id(self.failed(this, &failed.error), failed.request_id.clone());
                match (usage, &mut tried) {
                    (Some(usage), Tried::Later { lost, .. }) => {
                        let (model, request_id) = (model.to_owned(), failed.request_id);
                        let cost = self.prices.cost(&model, &usage);
                        let call = LostCall { model, request_id, usage: Some(usage), cost, by_death: false };
                        *lost = Some(Box::new(call));
                    }
                    // Given up; it is paid for all the same.
                    (Some(usage), Tried::Finished(StepResult::Failed { call, .. })) => {
                        *call = Some(ModelCall {
                            model: model.to_owned(),
                            cost: self.prices.cost(model, &usage),
                            request_id: failed.request_id,
                            usage,
                            first_byte_ms: 0,
                            request_digest: request.digest.clone(),
                        });
                    }
                    _ => {}
                }
                Err(Box::new(tried))
            }
        }
    }

    async fn tool(&self, state: &RunState, this: &Try<'_>, intent: &Intent) -> Tried {
        let Work::Tool { approval, .. } = this.work else { unreachable!("called for tools only") };
        if let Some(id) = approval
            && !is_allowed_by(state, id, intent)
        {
            let message = format!("approval `{id}` does not allow this");
            let failure = Failure { class: FailureClass::Refused, vendor: "deskhand".to_owned(), message };
            return Tried::Finished(StepResult::Failed { failure, call: None });
        }
        let (nobody, ticket) = (AccountRead::default(), this.ticket(state));
        let context = self.context(state, this, &ticket, &nobody);
        self.settle(this, self.tools.perform(&context, intent).await)
    }

    /// A mail that is due is looked at once more: it is not sent when the customer wrote since, or a person has the ticket.
    async fn scheduled_mail(&self, state: &RunState, this: &Try<'_>, scheduled: StepNo) -> Tried {
        let Some(due) = state.mails.iter().find(|mail| mail.step == scheduled) else {
            let message = format!("step {scheduled} scheduled no mail");
            let failure = Failure { class: FailureClass::Refused, vendor: "deskhand".to_owned(), message };
            return Tried::Finished(StepResult::Failed { failure, call: None });
        };
        let (nobody, ticket) = (AccountRead::default(), this.ticket(state));
        let context = self.context(state, this, &ticket, &nobody);
        self.settle(this, tools::send_followup_email::send(&self.tools, &context, &due.mail).await)
    }

    fn context<'a>(
        &self,
        state: &'a RunState,
        this: &'a Try<'_>,
        ticket: &'a Ticket,
        nobody: &'a AccountRead,
    ) -> Context<'a> {
        let (rule, approved_by) = match this.work {
            Work::Tool { call, intent: Intent::EscalateToHuman(escalation), .. } if call.as_str() != RULE_CALL => {
                (handover::rule_of(escalation.reason), None)
            }
            Work::Tool { approval: Some(id), .. } => {
                let by = state.approval(id).and_then(|a| a.decided.as_ref()).map(|decided| decided.by.as_str());
                (RuleId::None, by)
            }
            Work::Tool { call, .. } if call.as_str() == RULE_CALL => (state.stopping_rule(), None),
            _ => (RuleId::None, None),
        };
        Context {
            run: &state.run,
            step: this.step,
            key: IdempotencyKey::for_step(&state.run, this.step),
            ticket,
            account: state.account.as_ref().unwrap_or(nobody),
            approved_by,
            rule,
            again: this.again,
            may_still_run: this.may_still_run,
            taken_over: state.taken_over,
            acting: this.acting.as_ref(),
            started_at: this.started_at,
            forgot_since: this.forgot_since,
            made: self.made_already(state, this),
            refunds_known: &state.refunds_known,
            done_line: handover::effects_line(state),
            language: state.language(),
        }
    }

    /// The refund that a step asks for, as the newest records show it under another step of this run, or under this one.
    fn made_already(&self, state: &RunState, this: &Try<'_>) -> Option<Refund> {
        let Work::Tool { intent: Intent::CreateRefund(refund), .. } = this.work else { return None };
        let account = state.fresh.as_ref().map(|(account, _)| account).or(state.account.as_ref());
        rules::made_already(&Facts { account, ..state.facts() }, refund).cloned()
    }

    fn settle(&self, this: &Try<'_>, performed: Result<Performed, clients::Error>) -> Tried {
        Tried::Finished(match performed {
            Ok(Performed::Answer(answer)) => StepResult::Tool {
                output: answer.output,
                is_error: answer.is_error,
                effect: answer.effect,
                reference: answer.reference,
                stamp: answer.stamp,
            },
            Ok(Performed::CustomerWrote { messages, stamp }) => StepResult::CustomerWroteFirst { messages, stamp },
            Ok(Performed::Person { agent, how }) => StepResult::PersonFirst { agent, how },
            Ok(Performed::HeldBack { found }) => return Tried::Known(StepResult::HeldBack { found }),
            Ok(Performed::Lost { vendor, message }) => {
                let failure = Failure { class: FailureClass::Unknown, vendor: vendor.to_owned(), message };
                return Tried::Known(StepResult::Failed { failure, call: None });
            }
            Err(error) => return self.failed(this, &error),
        })
    }

    fn failed(&self, this: &Try<'_>, error: &clients::Error) -> Tried {
        let failure = error.failure();
        let tries_max = match this.work {
            Work::Route { .. } | Work::Model { .. } => self.limits.model_retries_max,
            _ => self.limits.retries_max,
        };
        let waited_s = self.clock.now().duration_since(this.started_at).as_secs();
        let is_early = waited_s < self.limits.wall_time_max_s;
        if is_tried_again(&failure, this.attempts < tries_max, is_early) {
            let after = error.retry_after().or_else(|| lost_write_pause(this.work, failure.class));
            return Tried::Later { failure, after, lost: None };
        }
        Tried::Finished(StepResult::Failed { failure, call: None })
    }
}

/// Whether a step that failed is tried again: while tries are left, or, where it was no try, while a run may take.
fn is_tried_again(failure: &Failure, tries_left: bool, is_early: bool) -> bool {
    match failure.class {
        FailureClass::Refused => false,
        // Nothing was sent, because this worker was too slow.
        FailureClass::Retry if is_own_delay(failure) => is_early,
        FailureClass::Retry => tries_left,
        // A mail has no key: it is never sent twice. Other effects are looked for, then repeated under theirs.
        FailureClass::Unknown => tries_left && failure.vendor != "email",
    }
}

/// We held ourselves back before anything left: no vendor failed, and the step was not tried.
pub fn is_own_delay(failure: &Failure) -> bool {
    failure.vendor == clients::OURSELVES && failure.class == FailureClass::Retry
}

/// The run's place before the model's limits: customers who wait for the first answer go first, the oldest of them in front.
fn place(state: &RunState, this: &Try<'_>) -> Place {
    let answered = |author: Author| matches!(author, Author::Agent | Author::Deskhand);
    let had_one = state.ticket.messages.iter().any(|message| message.public && answered(message.author));
    // In shadow mode nothing is sent, so nobody waits for it.
    let waits = this.acting.is_some() && state.first_answer_at.is_none() && !had_one;
    let urgency = if waits { Urgency::FirstAnswer } else { Urgency::Later };
    Place { urgency, since_ms: state.opened_at.as_millisecond(), run: state.run.clone() }
}

/// What a prompt is known to add at least, in tokens: a ticket that no model has read yet, at three bytes a token.
fn input_least(state: &RunState) -> u64 {
    if !state.turns.is_empty() {
        return 0;
    }
    let bytes: usize = state.ticket.messages.iter().map(|message| message.text.len()).sum();
    bytes as u64 / 3
}

fn told(limits: &claude::Limits) -> limiter::Told {
    let level = |of: &claude::Limit| Some(limiter::Level { limit: of.limit?, remaining: of.remaining? });
    limiter::Told {
        requests: level(&limits.requests),
        input: level(&limits.input_tokens),
        output: level(&limits.output_tokens),
    }
}

fn said(failed: &claude::CallError) -> String {
    match &failed.request_id {
        Some(id) => format!("{failed} (request {id})"),
        None => failed.to_string(),
    }
}

/// The vendor's id of the request that failed goes into the journal: it is what their support asks for.
fn with_request_id(mut tried: Tried, id: Option<String>) -> Tried {
    if let (
        Some(id),
        Tried::Later { failure, .. }
        | Tried::Finished(StepResult::Failed { failure, .. })
        | Tried::InLine { failure, .. },
    ) = (id, &mut tried)
    {
        failure.message.push_str(&format!(" (request {id})"));
    }
    tried
}

/// After a lost answer to a write of a ticket the first request may still be running; it is looked for only after a while.
///
/// Source: reference of the helpdesk's API, "exactly-once public reply": the client's timeout at least.
fn lost_write_pause(work: &Work, class: FailureClass) -> Option<Duration> {
    match work {
        Work::Tool { intent, .. } if class == FailureClass::Unknown && intent.tool().kind() == ToolKind::Ends => {
            Some(Duration::from_secs(5))
        }
        _ => None,
    }
}

struct Asked {
    content: String,
    stop_reason: String,
    call: ModelCall,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_no_try_uses_up_none() {
        let check = |class, vendor: &str, tries_left, is_early, again| {
            let failure = Failure { class, vendor: vendor.to_owned(), message: "x".to_owned() };
            assert_eq!(is_tried_again(&failure, tries_left, is_early), again, "{failure:?} {tries_left} {is_early}");
        };
        use FailureClass::{Refused, Retry, Unknown};
        check(Retry, "stripe", true, true, true);
        check(Retry, "stripe", false, true, false);
        check(Unknown, "stripe", true, true, true);
        check(Unknown, "stripe", false, true, false);
        check(Unknown, "email", true, true, false);
        check(Refused, "stripe", true, true, false);
        // The lease was nearly over when the effect was to leave.
        let late = crate::clients::Error::retry(clients::OURSELVES, None, "late").failure();
        assert!(is_own_delay(&late));
        check(late.class, &late.vendor, false, true, true);
        check(late.class, &late.vendor, true, false, false);
    }
}
