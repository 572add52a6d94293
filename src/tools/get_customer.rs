//! `get_customer`: the run's customer as the records stood at the start of the run. Never somebody else's account: it takes
//! no identity.

use serde_json::{Map, Value, json};

use super::{Context, Performed};
use crate::account::{AccountRead, Subscription};

pub(super) fn perform(context: &Context<'_>) -> Performed {
    match context.account.customer() {
        Some(_) => Performed::answer(output(context.account)),
        None => {
            Performed::refusal("no account is certain for this requester", "escalate with reason ambiguous_account")
        }
    }
}

/// What the model reads of an account.
pub fn output(account: &AccountRead) -> Value {
    let Some(customer) = account.customer() else {
        return json!({ "customer": null, "accounts_found": account.customers.len() });
    };
    let mut out = Map::new();
    out.insert(
        "customer".to_owned(),
        json!({
            "id": customer.id,
            "name": customer.name,
            "status": customer.status,
            "since": customer.since.strftime("%Y-%m-%d").to_string(),
            "flags": customer.flags,
        }),
    );
    out.insert("subscriptions".to_owned(), account.subscriptions.iter().map(subscription_output).collect());
    if !account.plans.is_empty() {
        let plans = account.plans.iter().map(|plan| {
            json!({
                "id": plan.id,
                "name": plan.name,
                "amount_minor": plan.price.minor,
                "currency": plan.price.currency,
                "interval": plan.interval,
            })
        });
        out.insert("plans".to_owned(), plans.collect());
    }
    if !customer.facts.is_empty() {
        out.insert("facts".to_owned(), json!(customer.facts));
    }
    Value::Object(out)
}

/// What the model reads of a subscription.
pub fn subscription_output(subscription: &Subscription) -> Value {
    json!({
        "id": subscription.id,
        "plan": subscription.plan.id,
        "plan_name": subscription.plan.name,
        "quantity": subscription.quantity,
        "status": subscription.status,
        "period_end": subscription.period_end.strftime("%Y-%m-%d").to_string(),
        "amount_minor": subscription.plan.price.minor,
        "currency": subscription.plan.price.currency,
        "interval": subscription.plan.interval,
        "paused": subscription.paused,
        "cancel_at_period_end": subscription.cancel_at_period_end,
    })
}
