//! Changes of a subscription. To have less is a sign of leaving and belongs to a person; the rest may happen.

use crate::account::{AccountRead, Plan, Subscription};
use crate::intent::UpdateSubscription;
use crate::policy::facts::{ConfirmedEffect, Facts};
use crate::policy::{Judgement, RuleId, Verdict};

/// Judges a change.
pub(super) fn judge_change(facts: &Facts, update: &UpdateSubscription) -> Judgement {
    let refuse = |why: String, hint: &str| {
        let reason = format!("{why}; {hint}");
        Judgement::new(RuleId::None, Verdict::Refuse { reason }, why).with("subscription", update.subscription.as_str())
    };
    let Some((account, subscription)) =
        facts.account.and_then(|account| Some((account, account.subscription(&update.subscription)?)))
    else {
        return refuse(
            format!("subscription `{}` was not found", update.subscription),
            "use `get_customer` to see this customer's subscriptions",
        );
    };
    let done = serde_json::to_value(update).unwrap_or_default();
    let twin = facts.effects.iter().any(|effect| {
        matches!(effect, ConfirmedEffect::SubscriptionChange { subscription, change }
            if *subscription == update.subscription && same_change(change, &done))
    });
    if twin {
        let why = format!("subscription `{}` was already changed so in this run", subscription.id);
        return Judgement::new(RuleId::Repeated, Verdict::Escalate, why).with("subscription", subscription.id.as_str());
    }
    if matches!(subscription.status.as_str(), "canceled" | "canceling" | "incomplete_expired")
        || subscription.cancel_at_period_end
    {
        let why = format!("subscription `{}` is ending", subscription.id);
        return Judgement::new(RuleId::Churn, Verdict::Escalate, why)
            .with("subscription", subscription.id.as_str())
            .with("status", subscription.status.as_str());
    }
    if let Some(quantity) = update.quantity {
        return judge_quantity(subscription, quantity, refuse);
    }
    if let Some(plan) = &update.plan {
        return judge_plan(account, subscription, plan, refuse);
    }
    if let Some(paused) = update.paused
        && paused == subscription.paused
        && update.resumes_on.is_none()
    {
        let state = if paused { "paused already" } else { "not paused" };
        return refuse(format!("the subscription is {state}, so there is nothing to change"), "tell the customer");
    }
    Judgement::allow().with("subscription", subscription.id.as_str())
}

fn judge_quantity(now: &Subscription, quantity: i64, refuse: impl Fn(String, &str) -> Judgement) -> Judgement {
    let inputs = |judgement: Judgement| {
        judgement
            .with("subscription", now.id.as_str())
            .with("quantity_now", now.quantity)
            .with("quantity_asked", quantity)
    };
    if quantity < 1 {
        return inputs(Judgement::new(RuleId::Churn, Verdict::Escalate, "no seats at all means to leave"));
    }
    match quantity.cmp(&now.quantity) {
        std::cmp::Ordering::Equal => inputs(refuse(
            format!("the subscription already has {quantity}, so there is nothing to change"),
            "tell the customer",
        )),
        std::cmp::Ordering::Less => inputs(Judgement::new(
            RuleId::Churn,
            Verdict::Escalate,
            format!("{quantity} instead of {} seats is less than now", now.quantity),
        )),
        std::cmp::Ordering::Greater => inputs(Judgement::allow()),
    }
}

fn judge_plan(
    account: &AccountRead,
    now: &Subscription,
    wanted: &str,
    refuse: impl Fn(String, &str) -> Judgement,
) -> Judgement {
    let inputs = |judgement: Judgement| {
        judgement
            .with("subscription", now.id.as_str())
            .with("plan_now", now.plan.id.as_str())
            .with("plan_asked", wanted)
    };
    if wanted == now.plan.id {
        return inputs(refuse(
            format!("the subscription is on plan `{wanted}` already, so there is nothing to change"),
            "tell the customer",
        ));
    }
    let Some(plan) = account.plans.iter().find(|plan| plan.id == wanted) else {
        return inputs(refuse(format!("there is no plan `{wanted}`"), "use `get_customer` to see the plans on offer"));
    };
    let (Some(per_year_now), Some(per_year_then)) = (per_year(&now.plan), per_year(plan)) else {
        let why = format!("the prices of plans `{}` and `{wanted}` cannot be compared", now.plan.id);
        return inputs(Judgement::new(RuleId::Churn, Verdict::Escalate, why));
    };
    if plan.price.currency != now.plan.price.currency {
        let why = format!("plans `{}` and `{wanted}` have prices in different currencies", now.plan.id);
        return inputs(Judgement::new(RuleId::Churn, Verdict::Escalate, why));
    }
    // The same thing paid by the year costs less and is no sign of leaving: who pays for a year stays for one.
    let longer = interval_days(&plan.interval) > interval_days(&now.plan.interval);
    let cheaper = per_year_then < per_year_now;
    let upfront = longer && family(&plan.id) == family(&now.plan.id);
    let judgement = if cheaper && !upfront {
        let why = format!("plan `{wanted}` costs less than plan `{}`", now.plan.id);
        Judgement::new(RuleId::Churn, Verdict::Escalate, why)
    } else {
        Judgement::allow()
    };
    inputs(judgement).with("per_year_minor_now", per_year_now).with("per_year_minor_asked", per_year_then)
}

/// The name of a plan without its interval: `team_year` → `team`.
fn family(id: &str) -> &str {
    ["_yearly", "_year", "_annual", "_monthly", "_month", "-yearly", "-year", "-annual", "-monthly", "-month"]
        .iter()
        .find_map(|end| id.strip_suffix(end))
        .unwrap_or(id)
}

fn interval_days(interval: &str) -> Option<i64> {
    Some(match interval {
        "day" => 1,
        "week" => 7,
        "month" => 30,
        "quarter" => 91,
        "year" => 365,
        _ => return None,
    })
}

/// What a plan costs in a year, in minor units; `None` for an interval that is not known.
fn per_year(plan: &Plan) -> Option<i64> {
    let times = match plan.interval.as_str() {
        "day" => 365,
        "week" => 52,
        "month" => 12,
        "quarter" => 4,
        "year" => 1,
        _ => return None,
    };
    plan.price.minor.checked_mul(times)
}

/// Whether what was changed is what is asked again: each field that is asked stands in it with the same value.
fn same_change(done: &serde_json::Value, asked: &serde_json::Value) -> bool {
    let (Some(done), Some(asked)) = (done.as_object(), asked.as_object()) else { return false };
    let mut fields =
        asked.iter().filter(|(name, _)| !matches!(name.as_str(), "subscription" | "explanation")).peekable();
    fields.peek().is_some() && fields.all(|(name, value)| done.get(name) == Some(value))
}
