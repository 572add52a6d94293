//! What code writes when a rule, not the model, hands a ticket to a person: the note among colleagues and the sentence to the
//! customer. Pure; the texts come from `prompts/`.

use std::collections::BTreeMap;

use crate::intent::{EscalateToHuman, EscalationReason, Priority};
use crate::policy::facts::ConfirmedEffect;
use crate::policy::{Judgement, RuleId};
use crate::run::entry::{FailureClass, Work};
use crate::run::state::RunState;

/// The sentences to the customer, by language (two letters). `{{name}}` stands for the requester's first name.
pub type HoldingTexts = BTreeMap<String, String>;

/// The rule that stands for a reason of the model's own.
pub fn rule_of(reason: EscalationReason) -> RuleId {
    match reason {
        EscalationReason::NoGrounding => RuleId::NoGrounding,
        EscalationReason::Churn => RuleId::Churn,
        EscalationReason::AmbiguousAccount => RuleId::AmbiguousAccount,
        EscalationReason::AsksForPerson => RuleId::AsksForPerson,
        EscalationReason::Legal => RuleId::Legal,
        EscalationReason::OutOfScope | EscalationReason::Blocked => RuleId::ModelChoice,
    }
}

fn reason_of(rule: RuleId) -> EscalationReason {
    match rule {
        RuleId::NoGrounding => EscalationReason::NoGrounding,
        RuleId::Churn => EscalationReason::Churn,
        RuleId::AmbiguousAccount => EscalationReason::AmbiguousAccount,
        RuleId::AsksForPerson => EscalationReason::AsksForPerson,
        RuleId::Legal => EscalationReason::Legal,
        _ => EscalationReason::Blocked,
    }
}

fn priority_of(rule: RuleId) -> Priority {
    match rule {
        RuleId::Legal => Priority::Urgent,
        RuleId::Churn | RuleId::AsksForPerson | RuleId::EffectUnknown => Priority::High,
        _ => Priority::Normal,
    }
}

/// The hand-over of a run that a rule stops here.
pub fn compose(state: &RunState, stop: &Judgement, texts: &HoldingTexts) -> EscalateToHuman {
    EscalateToHuman {
        reason: reason_of(stop.rule),
        asked: match &state.route {
            Some(route) => route.summary.clone(),
            None => state.ticket.subject.clone(),
        },
        found: format!("{}: {}. {}", stop.rule.title(), stop.why, account_line(state)),
        done: effects_line(state),
        suggested_answer: String::new(),
        holding_message: holding(state, texts),
        priority: priority_of(stop.rule),
    }
}

/// Who the requester is, in one line for a colleague.
fn account_line(state: &RunState) -> String {
    match state.account.as_ref() {
        None => "The account was not read.".to_owned(),
        Some(account) => match account.customers.as_slice() {
            [] => "No account matches the requester.".to_owned(),
            [one] => format!(
                "Account {} ({}), {} payments and {} subscriptions read.",
                one.name,
                one.id,
                account.payments.len(),
                account.subscriptions.len()
            ),
            several => {
                let ids: Vec<_> = several.iter().map(|c| c.id.as_str()).collect();
                format!("{} accounts match: {}.", several.len(), ids.join(", "))
            }
        },
    }
}

/// What was done and what was not, in one line for a colleague.
pub fn effects_line(state: &RunState) -> String {
    if state.effects.is_empty() {
        return "Nothing was changed.".to_owned();
    }
    let lines: Vec<String> = state
        .effects
        .iter()
        .map(|effect| match effect {
            ConfirmedEffect::Refund { payment, amount, .. } => format!("refunded {amount} of payment {payment}"),
            ConfirmedEffect::SubscriptionChange { subscription, change } => {
                format!("changed subscription {subscription}: {change}")
            }
            ConfirmedEffect::Mail { sent: true, .. } => "sent a follow-up mail".to_owned(),
            ConfirmedEffect::Mail { sent: false, after_s } => format!("scheduled a follow-up mail in {after_s} s"),
        })
        .collect();
    format!("Done: {}.", lines.join("; "))
}

/// What a person who took the ticket must learn: what was done before, and what may have been. `None`: nothing was.
pub fn report(state: &RunState) -> Option<String> {
    let done = state.effects.iter().filter(|effect| !matches!(effect, ConfirmedEffect::Mail { sent: false, .. }));
    let unknown: Vec<String> = state
        .failures
        .iter()
        .filter(|(work, failure)| work.is_effect() && failure.class == FailureClass::Unknown)
        .filter_map(|(work, failure)| match work {
            Work::Tool { intent, .. } => Some(format!(
                "It is not known whether `{}` had an effect: {}. Look at {} before you repeat it.",
                intent.tool(),
                failure.message,
                failure.vendor
            )),
            _ => None,
        })
        .collect();
    let mut lines = Vec::new();
    if done.count() > 0 {
        lines.push(effects_line(state));
    }
    lines.extend(unknown);
    if lines.is_empty() {
        return None;
    }
    if state.next_mail().is_some() {
        lines.push("The follow-up mail that was scheduled will not be sent.".to_owned());
    }
    lines.push("The customer has not been told of it.".to_owned());
    Some(format!("The agent worked on this ticket until a person took it.\n\n{}", lines.join("\n\n")))
}

/// What happened after the run's end that a colleague must learn of: a promised mail that did not leave.
pub fn after_the_end(state: &RunState) -> Option<String> {
    (!state.untold.is_empty()).then(|| state.untold.join("\n\n"))
}

fn holding(state: &RunState, texts: &HoldingTexts) -> String {
    let language = match state.route.as_ref() {
        Some(route) => route.language.as_str(),
        None => "en",
    };
    let text = texts
        .get(language)
        .or_else(|| texts.get("en"))
        .map_or("Thank you for your message. A colleague is looking at it and will answer you here.", String::as_str);
    let first = state.ticket.requester.name.split_whitespace().next().unwrap_or_default();
    let plain_name: String = first.chars().filter(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '’')).collect();
    text.trim().replace("{{name}}", &plain_name).replace(" ,", ",")
}
