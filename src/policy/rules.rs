//! The table of rules: what may happen to a ticket and to an intent. Pure; each judgement carries what it looked at.
//!
//! `rules/ticket.rs` judges a ticket once its facts and its route are known, `rules/money.rs` refunds, `rules/change.rs`
//! subscriptions. What words give away is in `signals`, what an answer must not say in `answer`.

use crate::intent::{CreateRefund, Intent};
use crate::money::Money;
use crate::policy::facts::Facts;
use crate::policy::{Judgement, Policy, RuleId, Verdict, answer};

mod change;
mod money;
mod ticket;

pub use money::made_already;
pub use ticket::judge_ticket;

/// Judges what the model asks for, before it is performed. What was done already and forgotten is taken as done, whatever the
/// rules say of doing it now. The facts hold all effects of the run.
pub fn judge_call(facts: &Facts, intent: &Intent, policy: &Policy) -> Judgement {
    let made = match intent {
        Intent::CreateRefund(refund) => money::judge_made(facts, refund),
        _ => None,
    };
    made.unwrap_or_else(|| judge_intent(facts, intent, policy))
}

/// Judges what is to be done now: what the model asks for, and an approved effect once more at the second of execution.
pub fn judge_intent(facts: &Facts, intent: &Intent, policy: &Policy) -> Judgement {
    match intent {
        Intent::GetCustomer(_)
        | Intent::GetOrderStatus(_)
        | Intent::GetRecentTickets(_)
        | Intent::SearchKnowledgeBase(_)
        | Intent::EscalateToHuman(_) => Judgement::allow(),
        Intent::CreateRefund(refund) => money::judge_refund(facts, refund, policy),
        Intent::UpdateSubscription(update) => change::judge_change(facts, update),
        Intent::SendFollowupEmail(mail) => match answer::check_mail(facts, &mail.subject, &mail.body, policy) {
            Ok(()) => Judgement::allow(),
            Err(fault) => refuse_or_hand_over(facts, fault, policy, "send_followup_email"),
        },
        Intent::LogResolution(resolution) => match answer::check(facts, resolution, policy) {
            Ok(()) => Judgement::allow(),
            Err(fault) => refuse_or_hand_over(facts, fault, policy, "log_resolution"),
        },
    }
}

/// The day's refunds leave no room for this one: a person must agree. Called when the journal refused to start it.
pub fn judge_day(amount: Money, taken_minor: i64, policy: &Policy) -> Judgement {
    let limit = policy.refund_daily_limit(amount.currency).unwrap_or(0);
    let shown = |minor| Money::new(minor, amount.currency);
    let why = format!(
        "{} of {} for refunds without approval are taken today, {amount} more do not fit",
        shown(taken_minor),
        shown(limit)
    );
    Judgement::new(RuleId::RefundDay, Verdict::NeedsApproval, why)
        .with("amount_minor", amount.minor)
        .with("currency", amount.currency.as_str())
        .with("taken_minor", taken_minor)
        .with("day_limit_minor", limit)
}

/// Another refund of the same payment is in flight, done or of unknown outcome, and the records at hand do not show it: a
/// person must agree. `other` describes it. Called when the journal refused to start this one.
pub fn judge_twin(facts: &Facts, refund: &CreateRefund, other: &str, policy: &Policy) -> Judgement {
    let amount = refund.amount();
    let why =
        format!("{amount} of payment `{}` may go back twice: there is another refund of it, {other}", refund.payment);
    // What the rule for refunds looked at stays, so that it can be compared when the refund is carried out.
    let seen = money::judge_refund(facts, refund, policy);
    Judgement { rule: RuleId::Repeated, verdict: Verdict::NeedsApproval, why, ..seen }
}

/// A text that must not go out goes back to the model, at most so often; then the ticket goes to a person.
fn refuse_or_hand_over(facts: &Facts, fault: answer::AnswerFault, policy: &Policy, tool: &str) -> Judgement {
    let verdict = if facts.answer_refusals < policy.answer_refusals_max {
        Verdict::Refuse {
            reason: format!("{}; correct it and call `{tool}` again, or call `escalate_to_human`", fault.reason),
        }
    } else {
        Verdict::Escalate
    };
    Judgement::new(fault.rule, verdict, fault.reason)
        .with("answer_refusals", facts.answer_refusals)
        .with("answer_refusals_max", policy.answer_refusals_max)
}

/// A row of the table of rules, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RuleLine {
    /// Which rule.
    pub id: RuleId,
    /// Its name, in sentence case.
    pub title: &'static str,
    /// What it says, in one or two sentences.
    pub text: String,
    /// The setting in force, where it has one.
    pub setting: Option<String>,
}

/// The rules in force, in the order in which people read them.
pub fn table(policy: &Policy) -> Vec<RuleLine> {
    let limits = policy
        .refund_limit_minor
        .iter()
        .map(|(currency, minor)| crate::money::Money::new(*minor, *currency).to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let daily = policy
        .refund_limit_minor
        .keys()
        .chain(policy.refund_daily_limit_minor.keys())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .filter_map(|currency| Some(Money::new(policy.refund_daily_limit(*currency)?, *currency).to_string()))
        .collect::<Vec<_>>()
        .join(", ");
    let line = |id: RuleId, text: &str, setting: Option<String>| RuleLine {
        id,
        title: id.title(),
        text: text.to_owned(),
        setting,
    };
    let window = policy.refund_window_days;
    vec![
        line(
            RuleId::RefundLimit,
            "A refund above the limit waits for a person. Exactly the limit is allowed.",
            Some(limits.clone()),
        ),
        line(
            RuleId::RefundSum,
            &format!(
                "Refunds of one order, and of one customer within {window} days, count together against the same limit. Refunds that colleagues made count too; failed and canceled ones do not."
            ),
            Some(format!("{limits}; {window} days")),
        ),
        line(
            RuleId::RefundDay,
            "When the refunds of the shop's day pass its ceiling, each further one waits for a person. Counted are those that are done, in flight, of unknown outcome, and waiting for a person.",
            Some(daily),
        ),
        line(RuleId::CurrencyWithoutLimit, "A refund in a currency that has no limit goes to a person.", None),
        line(
            RuleId::NotRefundable,
            "Only what the vendor's records show can go back: a payment of this customer, paid, not disputed, up to its refundable rest, in its own currency.",
            None,
        ),
        line(
            RuleId::Repeated,
            "A second equal refund of a payment waits for a person, whoever made the first one, and so does any refund of a payment of which another one has an unknown outcome. Within one run the ticket goes to a person.",
            None,
        ),
        line(
            RuleId::Churn,
            "A customer who wants to leave or to have less goes to a person: found by the router or by the lexicon, or implied by a change to fewer seats or a cheaper plan.",
            None,
        ),
        line(
            RuleId::AmbiguousAccount,
            "No account, several accounts, a sender who is not verified or not on record, strangers in copy, a locked or unpaid account, a fraud mark, a disputed payment, records that contradict each other: a person decides.",
            None,
        ),
        line(RuleId::AsksForPerson, "Who asks for a person gets one.", None),
        line(
            RuleId::Legal,
            "Legal threats, safety, requests about personal data and announced chargebacks go to a person.",
            None,
        ),
        line(
            RuleId::ProofOfEffect,
            "An answer claims only what the journal or the vendor's records show, promises nothing that nobody will keep, and holds no placeholder, secret, card number, other people's data or unknown link.",
            Some(format!("{} refusals, then a person", policy.answer_refusals_max)),
        ),
        line(
            RuleId::NoGrounding,
            "An answer about the product names the articles that it rests on, and the run has read them.",
            Some(format!("{} refusals, then a person", policy.answer_refusals_max)),
        ),
        line(
            RuleId::Quiet,
            "Machine mail and spam are not answered. Mail of a known customer is never taken for spam by the router alone.",
            None,
        ),
    ]
}

#[cfg(test)]
mod tests;
