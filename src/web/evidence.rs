//! What a person needs to decide an approval, from the run's entries alone: the rule, what the records say, what the agent
//! and the router read, what is left to weigh.

use crate::account::{AccountRead, AccountStatus, Payment};
use crate::ids::{ApprovalId, PaymentId, StepNo, ToolCallId};
use crate::intent::Intent;
use crate::money::Money;
use crate::policy::Judgement;
use crate::run::entry::{Body, Decision, Entry, StepResult, Work};
use crate::ticket::Ticket;
use crate::web::format::{self, Times};

/// Earlier refunds are told this far back, in days.
const REFUNDS_DAYS: i64 = 365;
const DAY_MS: i64 = 86_400_000;

/// How sure a claim is: checked against records, read into a text by a model, or left to the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Checked,
    Reading,
    Weigh,
}

impl Kind {
    pub(super) fn icon(self) -> &'static str {
        match self {
            Kind::Checked => "ok",
            Kind::Reading => "read",
            Kind::Weigh => "warn",
        }
    }
    pub(super) fn lead(self) -> &'static str {
        match self {
            Kind::Checked => "",
            Kind::Reading => "The agent’s reading: ",
            Kind::Weigh => "For you to weigh: ",
        }
    }
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Checked => "Matches the records.",
            Kind::Reading => "A model’s reading.",
            Kind::Weigh => "To weigh.",
        }
    }
}

/// One piece of evidence.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) source: &'static str,
    pub(super) step: Option<StepNo>,
}

/// What was decided.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    pub(super) decision: Decision,
    pub(super) by: String,
    pub(super) note: String,
    pub(super) at_ms: i64,
    pub(super) hold_until_ms: i64,
}

/// How a part of the effect stands, as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    NotStarted,
    Running,
    Done(String),
    Failed(String),
}

/// An approval with everything that the run's entries say about it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) intent: Intent,
    pub(super) asked_ms: i64,
    pub(super) due_ms: i64,
    pub(super) judgement: Option<Judgement>,
    pub(super) ticket: Option<Ticket>,
    pub(super) account: Option<AccountRead>,
    facts_step: Option<StepNo>,
    summary: Option<(String, StepNo)>,
    call_step: Option<StepNo>,
    /// The last decision that was not undone.
    pub(super) decided: Option<Decided>,
    /// The approved effect.
    pub(super) effect: Progress,
    /// The answer to the customer after it.
    pub(super) answer: Progress,
    /// How many entries the run has.
    pub(super) len: u64,
}

impl Case {
    /// Reads the case; `None` when the run never asked for this approval.
    pub(super) fn read(entries: &[Entry], wanted: &ApprovalId) -> Option<Self> {
        let (call, mut case) = entries.iter().find_map(|entry| match &entry.body {
            Body::ApprovalRequested { approval, call, intent, due_ms, .. } if approval == wanted => {
                Some((call.clone(), Self::new(intent.clone(), entry.at_ms, *due_ms)))
            }
            _ => None,
        })?;
        case.len = entries.len() as u64;
        let mut effect_step = None;
        let mut answer_step = None;
        for entry in entries {
            case.take(entry, wanted, &call);
            if case.decided.is_none() {
                continue;
            }
            match &entry.body {
                Body::StepStarted { step, work: Work::Tool { approval: Some(by), .. } } if by == wanted => {
                    effect_step = Some(*step);
                    case.effect = Progress::Running;
                }
                Body::StepStarted {
                    step,
                    work: Work::Tool { intent: Intent::LogResolution(_) | Intent::EscalateToHuman(_), .. },
                } => {
                    answer_step = Some(*step);
                    case.answer = Progress::Running;
                }
                Body::StepFinished { step, result, .. } if Some(*step) == effect_step => {
                    case.effect = progress(result);
                }
                Body::StepFinished { step, result, .. } if Some(*step) == answer_step => {
                    case.answer = progress(result);
                }
                _ => {}
            }
        }
        Some(case)
    }

    fn new(intent: Intent, asked_ms: i64, due_ms: i64) -> Self {
        Self {
            intent,
            asked_ms,
            due_ms,
            judgement: None,
            ticket: None,
            account: None,
            facts_step: None,
            summary: None,
            call_step: None,
            decided: None,
            effect: Progress::NotStarted,
            answer: Progress::NotStarted,
            len: 0,
        }
    }

    fn take(&mut self, entry: &Entry, wanted: &ApprovalId, wanted_call: &ToolCallId) {
        match &entry.body {
            Body::RunOpened { ticket, .. } => self.ticket = Some((**ticket).clone()),
            Body::StepFinished { step, result, .. } => match result {
                StepResult::Facts { account } => {
                    self.account = Some((**account).clone());
                    self.facts_step = Some(*step);
                }
                StepResult::Routed { route, .. } => self.summary = Some((route.summary.clone(), *step)),
                StepResult::Model { content, .. } if content.contains(wanted_call.as_str()) => {
                    self.call_step = Some(*step);
                }
                _ => {}
            },
            Body::Judged { call: Some(call), judgement } if call == wanted_call => {
                self.judgement = Some(judgement.clone());
            }
            Body::ApprovalDecided { approval, decision, by, note, hold_until_ms } if approval == wanted => {
                self.decided = Some(Decided {
                    decision: decision.clone(),
                    by: by.clone(),
                    note: note.clone(),
                    at_ms: entry.at_ms,
                    hold_until_ms: *hold_until_ms,
                });
            }
            Body::DecisionUndone { approval, .. } if approval == wanted => self.decided = None,
            Body::ApprovalReopened { approval, judgement, due_ms, .. } if approval == wanted => {
                self.decided = None;
                self.judgement = Some(judgement.clone());
                self.due_ms = *due_ms;
            }
            _ => {}
        }
    }

    /// The amount that is asked for, for refunds.
    pub(super) fn amount(&self) -> Option<Money> {
        match &self.intent {
            Intent::CreateRefund(refund) => Some(refund.amount()),
            _ => None,
        }
    }

    /// The payment that a refund would come from, as the records knew it.
    pub(super) fn payment(&self) -> Option<&Payment> {
        let Intent::CreateRefund(refund) = &self.intent else { return None };
        self.payment_of(&refund.payment)
    }

    fn payment_of(&self, id: &PaymentId) -> Option<&Payment> {
        self.account.as_ref()?.payment(id)
    }

    /// The evidence, the surest first.
    pub(super) fn claims(&self, times: &Times) -> Vec<Claim> {
        let mut claims = Vec::new();
        let records = |kind, text| Claim { kind, text, source: "Records", step: self.facts_step };
        if let Some(payment) = self.payment() {
            let method = if payment.method.is_empty() { String::new() } else { format!(" by {}", payment.method) };
            claims.push(records(
                Kind::Checked,
                format!(
                    "Payment {} of {} on {}{method}; {} of it can still go back.",
                    payment.id,
                    payment.amount,
                    times.day(payment.created_at),
                    payment.refundable
                ),
            ));
            if payment.disputed {
                claims.push(records(Kind::Weigh, "The charge is disputed at the bank.".to_owned()));
            }
        } else if let Intent::CreateRefund(refund) = &self.intent {
            claims.push(records(
                Kind::Weigh,
                format!("Payment {} is not in the records that were read.", refund.payment),
            ));
        }
        claims.extend(self.order_claims(times).into_iter().map(|text| records(Kind::Checked, text)));
        if let Some(account) = &self.account {
            match account.customer() {
                Some(customer) => {
                    claims.push(records(
                        Kind::Checked,
                        format!("The account is {}, a customer since {}.", customer.name, times.day(customer.since)),
                    ));
                    if customer.status != AccountStatus::Active {
                        let status = serde_json::to_value(customer.status).unwrap_or_default();
                        claims.push(records(
                            Kind::Weigh,
                            format!("The account is {}.", crate::web::run::compact_json(&status)),
                        ));
                    }
                    if !customer.flags.is_empty() {
                        claims.push(records(
                            Kind::Weigh,
                            format!("The account is marked: {}.", customer.flags.join(", ")),
                        ));
                    }
                }
                None => claims.push(records(Kind::Weigh, "It is not certain whose account this is.".to_owned())),
            }
            claims.push(self.refund_claim(account, times));
            claims.extend(account.contradictions.iter().map(|text| records(Kind::Weigh, text.clone())));
            if !account.strangers_in_copy.is_empty() {
                let text = format!("In copy, and not of this account: {}.", account.strangers_in_copy.join(", "));
                claims.push(records(Kind::Weigh, text));
            }
        }
        if let Some((summary, step)) = &self.summary {
            claims.push(Claim { kind: Kind::Reading, text: summary.clone(), source: "Triage", step: Some(*step) });
        }
        if let Some(text) = explanation(&self.intent) {
            claims.push(Claim { kind: Kind::Reading, text: text.to_owned(), source: "Agent", step: self.call_step });
        }
        claims.sort_by_key(|claim| match claim.kind {
            Kind::Checked => 0,
            Kind::Reading => 1,
            Kind::Weigh => 2,
        });
        claims
    }

    fn order_claims(&self, times: &Times) -> Vec<String> {
        let (Some(account), Some(payment)) = (&self.account, self.payment()) else { return Vec::new() };
        let mut texts = Vec::new();
        for order in account.orders.iter().filter(|order| order.payments.contains(&payment.id)) {
            let items: Vec<_> = order.items.iter().map(|item| format!("{} × {}", item.quantity, item.name)).collect();
            texts.push(format!(
                "It settled order {} of {}, {}: {}.",
                order.number.as_deref().unwrap_or(order.id.as_str()),
                times.day(order.placed_at),
                order.status,
                items.join(", ")
            ));
        }
        if let Some(id) = &payment.subscription
            && let Some(subscription) = account.subscription(id)
        {
            texts.push(format!(
                "It is for the subscription {} ({}), until {}.",
                subscription.plan.name,
                subscription.status,
                times.day(subscription.period_end)
            ));
        }
        texts
    }

    fn refund_claim(&self, account: &AccountRead, times: &Times) -> Claim {
        let since_ms = times.now.as_millisecond() - REFUNDS_DAYS * DAY_MS;
        let earlier: Vec<_> = account
            .payments
            .iter()
            .flat_map(|payment| &payment.refunds)
            .filter(|refund| refund.counts() && refund.created_at.as_millisecond() >= since_ms)
            .collect();
        let claim = |kind, text| Claim { kind, text, source: "Records", step: self.facts_step };
        if earlier.is_empty() {
            return claim(Kind::Checked, "No earlier refund in the last 12 months.".to_owned());
        }
        let listed: Vec<_> = earlier
            .iter()
            .rev()
            .take(5)
            .map(|refund| format!("{} on {}", refund.amount, times.day(refund.created_at)))
            .collect();
        let count = format::count(earlier.len() as u64, "earlier refund", "earlier refunds");
        claim(Kind::Weigh, format!("{count} in the last 12 months: {}.", listed.join(", ")))
    }
}

/// The agent's own words for an intent.
fn explanation(intent: &Intent) -> Option<&str> {
    match intent {
        Intent::CreateRefund(refund) => Some(&refund.explanation),
        Intent::UpdateSubscription(change) => Some(&change.explanation),
        _ => None,
    }
}

fn progress(result: &StepResult) -> Progress {
    match result {
        StepResult::Tool { is_error: false, reference, .. } => Progress::Done(reference.clone().unwrap_or_default()),
        StepResult::Tool { output, .. } => {
            let words = output.get("error").and_then(|error| error.as_str()).unwrap_or("it was refused");
            Progress::Failed(words.to_owned())
        }
        StepResult::Failed { failure, .. } => Progress::Failed(failure.message.clone()),
        StepResult::CustomerWroteFirst { .. } => Progress::Failed("the customer wrote again first".to_owned()),
        StepResult::HeldBack { .. } => Progress::Failed("shadow mode came in between; it was not done".to_owned()),
        StepResult::PersonFirst { .. } => Progress::Failed("a person has the ticket".to_owned()),
        _ => Progress::Done(String::new()),
    }
}
