//! Whether an approved effect may still be carried out: everything that the decision rested on is looked at again in the
//! second of execution, be that a minute or a month later. Pure.
//!
//! The customer's words, the vendors' records (read anew), the rules and limits of now. What got worse since the person was
//! asked is not theirs to have agreed to: the approval is not used up, and they are asked anew with the reason. The ticket's
//! stamp and the payment itself are compared once more by the tool, at the last moment.

use jiff::Timestamp;
use serde_json::Value;

use crate::intent::Intent;
use crate::policy::facts::Facts;
use crate::policy::{Judgement, Policy, RULES_VERSION, RuleId, Verdict, rules};
use crate::run::state::{Approval, RunState};

/// For how long records that were read again count as those of now, in seconds.
const FRESH_S: i64 = 300;

/// What follows for an approval whose decision is to be carried out.
#[derive(Debug, Clone, PartialEq)]
pub enum Recheck {
    /// Read the vendors' records again first.
    Read,
    /// Carry it out.
    Go,
    /// Ask the person anew; the judgement says why and what the rule sees now.
    Ask(Judgement),
    /// The ticket as a whole is a person's now.
    HandOver(Judgement),
}

/// Looks at an approved effect at the second of its execution.
pub fn recheck(state: &RunState, approval: &Approval, policy: &Policy, now: Timestamp) -> Recheck {
    if approval.news {
        return ask(&approval.judgement, "the customer wrote again after the decision");
    }
    if approval.judgement.version != RULES_VERSION {
        return ask(&approval.judgement, "the rules changed since the decision");
    }
    let since = approval.decided.as_ref().map_or(now, |decided| decided.at);
    let fresh = state
        .fresh
        .as_ref()
        .filter(|(_, read_at)| *read_at >= since && now.duration_since(*read_at).as_secs().abs() < FRESH_S);
    let Some((account, _)) = fresh else { return Recheck::Read };
    // What will be sent: with the amount as decided.
    let intent = approval.allowed_intent().unwrap_or_else(|| approval.intent.clone());
    // A journal that was put back may not know that it was carried out. Then it is taken as done, whatever the rules say of
    // doing it now.
    if let Intent::CreateRefund(refund) = &intent
        && rules::made_already(&Facts { account: Some(account), ..state.facts() }, refund).is_some()
    {
        return Recheck::Go;
    }
    // What this run did before stands in the vendor's records by now.
    let facts = Facts { account: Some(account), effects: &[], ..state.facts() };
    let ticket = rules::judge_ticket(&facts, policy);
    if matches!(ticket.verdict, Verdict::Escalate | Verdict::Quiet { .. }) {
        return Recheck::HandOver(Judgement { verdict: Verdict::Escalate, ..ticket });
    }
    let seen = rules::judge_intent(&facts, &intent, policy);
    match &seen.verdict {
        Verdict::Allow | Verdict::NeedsApproval => match worse(&approval.judgement, &seen) {
            None => Recheck::Go,
            Some(why) => ask(&seen, &why),
        },
        Verdict::Refuse { .. } | Verdict::Escalate | Verdict::Quiet { .. } => ask(&seen, &seen.why),
    }
}

fn ask(judgement: &Judgement, why: &str) -> Recheck {
    let rule = if judgement.rule == RuleId::None { RuleId::RefundLimit } else { judgement.rule };
    Recheck::Ask(Judgement {
        rule,
        version: RULES_VERSION,
        verdict: Verdict::NeedsApproval,
        why: format!("asked again, because {why}"),
        inputs: judgement.inputs.clone(),
    })
}

/// What got worse between two looks of the same rule, in words; `None`: nothing.
fn worse(asked: &Judgement, seen: &Judgement) -> Option<String> {
    let number = |judgement: &Judgement, name: &str| judgement.inputs.get(name).and_then(Value::as_i64);
    let less = |name: &str| Some((number(asked, name)?, number(seen, name)?)).filter(|(then, now)| now < then);
    let more = |name: &str| Some((number(asked, name)?, number(seen, name)?)).filter(|(then, now)| now > then);
    if let Some((then, now)) = less("refundable_minor") {
        return Some(format!("only {now} minor units can still go back, {then} when it was asked"));
    }
    if let Some((then, now)) = less("limit_minor") {
        return Some(format!("the limit is {now} minor units now, {then} when it was asked"));
    }
    if let Some((then, now)) = more("order_refunded_minor") {
        return Some(format!("{now} minor units of the order went back by now, {then} when it was asked"));
    }
    if let Some((then, now)) = more("customer_refunded_minor") {
        return Some(format!("{now} minor units went back to the customer by now, {then} when it was asked"));
    }
    if seen.rule == RuleId::Repeated && asked.rule != RuleId::Repeated {
        return Some(seen.why.clone());
    }
    let name = "currency";
    (asked.inputs.get(name) != seen.inputs.get(name)).then(|| "the currency is another one now".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_got_worse_is_named_and_what_got_better_is_not() {
        let judged = |rest: i64, limit: i64, order: i64, customer: i64| {
            Judgement::new(RuleId::RefundLimit, Verdict::NeedsApproval, "above the limit")
                .with("refundable_minor", rest)
                .with("limit_minor", limit)
                .with("order_refunded_minor", order)
                .with("customer_refunded_minor", customer)
                .with("currency", "usd")
        };
        let asked = judged(1_000, 500, 20, 30);
        let check = |seen: Judgement, words: Option<&str>| {
            let said = worse(&asked, &seen);
            assert_eq!(said.is_some(), words.is_some(), "{said:?}");
            assert!(said.unwrap_or_default().contains(words.unwrap_or_default()));
        };
        check(asked.clone(), None);
        check(judged(2_000, 600, 10, 0), None);
        check(judged(999, 500, 20, 30), Some("only 999 minor units can still go back"));
        check(judged(1_000, 499, 20, 30), Some("the limit is 499"));
        check(judged(1_000, 500, 21, 30), Some("of the order"));
        check(judged(1_000, 500, 20, 31), Some("to the customer"));
    }
}
