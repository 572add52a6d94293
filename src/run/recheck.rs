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
    use serde_json::json;

    use super::*;
    use crate::account::AccountRead;
    use crate::ids::{ApprovalId, CommentId, RefundId, RunId, StepNo, TicketId, ToolCallId};
    use crate::money::{Currency, Money};
    use crate::policy::facts::ConfirmedEffect;
    use crate::run::entry::{Body, Decision, Entry};
    use crate::run::row::ApprovalState;
    use crate::run::state::Decided;

    /// A run that gave back $100.00 of a payment, asked for $450.00 more of it, and was allowed $100.00 instead.
    fn allowed_less(effect_known: bool) -> RunState {
        let account: AccountRead = serde_json::from_value(json!({
            "customers": [{"id": "c_1", "name": "Ada", "address": "ada@low.example", "status": "active", "flags": [],
                "since": "2024-01-01T00:00:00Z"}],
            "subscriptions": [], "orders": [], "earlier": [],
            "payments": [{"id": "pay_1", "amount": {"minor": 120_000, "currency": "usd"},
                "refundable": {"minor": 110_000, "currency": "usd"}, "created_at": "2026-11-10T10:00:00Z",
                "status": "succeeded", "method": "visa 4242", "order": "T-1", "disputed": false,
                "refunds": [{"id": "re_1", "amount": {"minor": 10_000, "currency": "usd"},
                    "created_at": "2026-11-20T09:00:00Z", "status": "succeeded", "effect_key": "eff_7_1_3"}]}],
        }))
        .unwrap();
        let ticket = serde_json::from_value(json!({
            "id": 7, "subject": "x", "status": "open", "channel": "email",
            "requester": {"id": 5, "name": "Ada", "address": "ada@low.example", "verified": true},
            "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z", "messages": [],
        }));
        let run = RunId::for_trigger(TicketId(7), CommentId(1));
        let (ticket, trigger) = (Box::new(ticket.unwrap()), CommentId(1));
        let opened = Body::RunOpened { run, ticket, trigger, prompts: "p".to_owned() };
        let mut state = RunState::fold(&[Entry::new(now(), opened)]).unwrap();
        let payment = account.payments[0].id.clone();
        if effect_known {
            let (amount, status) = (Money::new(10_000, Currency::USD), "succeeded".to_owned());
            state.effects.push(ConfirmedEffect::Refund { payment, order: None, amount, status });
        }
        state.account = Some(account.clone());
        state.fresh = Some((account, now()));
        state
    }

    fn now() -> Timestamp {
        "2026-11-20T10:00:00Z".parse().unwrap()
    }

    fn approval(state: &RunState, amount: Option<i64>) -> Approval {
        let intent = json!({"payment": "pay_1", "amount_minor": 45_000, "currency": "usd",
            "reason": "requested_by_customer", "explanation": "scratched"});
        let intent = Intent::CreateRefund(serde_json::from_value(intent).unwrap());
        let account = state.account.as_ref();
        // As it was judged when it was asked for.
        let asked = rules::judge_call(&Facts { account, effects: &[], ..state.facts() }, &intent, &Policy::default());
        let amount = amount.map(|minor| Money::new(minor, Currency::USD));
        let decision = amount.map_or(Decision::Approve, |amount| Decision::Amount { amount });
        Approval {
            id: ApprovalId::for_step(&state.run, StepNo(5)),
            step: StepNo(5),
            call: ToolCallId::new("toolu_1"),
            intent,
            judgement: asked,
            digest: String::new(),
            requested_at: now(),
            due_ms: i64::MAX,
            state: ApprovalState::Held,
            decided: Some(Decided { decision, by: "Pat".into(), note: String::new(), at: now(), hold_until_ms: 0 }),
            news: false,
        }
    }

    /// What the entries know is no forgotten refund: the one that is allowed now is judged like any other.
    #[test]
    fn an_amount_that_equals_an_earlier_refund_of_the_run_is_judged_like_any_other() {
        let check = |known: bool, change: &dyn Fn(&mut RunState, &mut Policy), expected: Result<(), &str>| {
            let mut state = allowed_less(known);
            let approval = approval(&state, Some(10_000));
            assert_eq!(approval.judgement.rule, RuleId::RefundSum, "{:?}", approval.judgement);
            let mut policy = Policy::default();
            change(&mut state, &mut policy);
            match (recheck(&state, &approval, &policy, now()), expected) {
                (Recheck::Go, Ok(())) => {}
                (Recheck::Ask(judgement), Err(words)) => assert!(judgement.why.contains(words), "{}", judgement.why),
                (other, expected) => panic!("{other:?}, not {expected:?}"),
            }
        };
        let lower = |_: &mut RunState, policy: &mut Policy| {
            policy.refund_limit_minor.insert(Currency::USD, 15_000);
        };
        let colleague = |state: &mut RunState, _: &mut Policy| {
            let (account, _) = state.fresh.as_mut().unwrap();
            let mut more = account.payments[0].refunds[0].clone();
            (more.id, more.effect_key) = (RefundId::new("re_2"), None);
            more.amount.minor = 30_000;
            account.payments[0].refundable.minor -= 30_000;
            account.payments[0].refunds.insert(0, more);
        };
        check(true, &|_, _| {}, Ok(()));
        check(true, &lower, Err("the limit is 15000"));
        check(true, &colleague, Err("can still go back"));
        // One that the entries do not know was made and forgotten: it is done, whatever the rules say of it now.
        check(false, &lower, Ok(()));
    }

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
