//! `update_subscription`: plan, seats, pause, resume or billing date of a subscription of the run's customer. Cancelling and
//! having less are no changes that this tool makes: the policy sends them to a person before it is called.

use serde_json::{Map, Value, json};

use super::get_customer::subscription_output;
use super::ticket_write::guard;
use super::{Answer, Context, Error, Performed, STILL_RUNNING, Tools};
use crate::account::Subscription;
use crate::clients::billing::{Billing, Operation, OperationState, VERSION_CONFLICT};
use crate::ids::{IdempotencyKey, StepNo};
use crate::intent::UpdateSubscription;
use crate::policy::facts::ConfirmedEffect;

/// How many steps further than this time a forgotten run may have come to the same change. Each step up to there costs one
/// request for each change of a run that was restored, where the subscription is as the change would leave it.
const STEPS_AHEAD: u32 = 10;

pub(super) async fn perform(
    tools: &Tools,
    context: &Context<'_>,
    change: &UpdateSubscription,
) -> Result<Performed, Error> {
    let Some(billing) = &tools.billing else {
        return Ok(Performed::refusal("subscriptions cannot be changed here", "escalate with reason out_of_scope"));
    };
    let Some(known) = context.account.subscription(&change.subscription) else {
        return Ok(Performed::refusal("not found", "use a subscription id from get_customer"));
    };
    if context.again
        && let Some(done) = billing.operation(&context.key).await?
    {
        return settled(billing, change, done).await;
    }
    let Some(acting) = context.acting else {
        return undone(billing, context, change, Performed::HELD_BACK).await;
    };
    if let Some(overtaken) = guard(tools, context).await? {
        return undone(billing, context, change, overtaken).await;
    }
    match billing.act(acting, &context.key, known.version.as_deref(), change).await {
        Ok(done) => settled(billing, change, done).await,
        // The record has another version: perhaps because an earlier try of ours landed.
        Err(error) if error.code() == Some(VERSION_CONFLICT) => {
            let instead = Performed::refusal(
                "the subscription changed since it was read",
                "do not claim the change; escalate with what the customer asked for",
            );
            undone(billing, context, change, instead).await
        }
        Err(error) => Err(error),
    }
}

/// Looks for a change that a restored run made and forgot: under the step's own key, where the tool itself finds it
/// (`Some(None)`), or under the key of another step of the run. The API does not say what an operation changed, so one under
/// another key counts only when the subscription is as this change would leave it. `None`: it cannot be known.
pub(super) async fn find_forgotten(
    tools: &Tools,
    context: &Context<'_>,
    change: &UpdateSubscription,
) -> Result<Option<Option<Performed>>, Error> {
    let Some(billing) = &tools.billing else { return Ok(None) };
    if billing.operation(&context.key).await?.is_some() {
        return Ok(Some(None));
    }
    let now = billing.subscription(&change.subscription).await?.map(|(subscription, _)| subscription);
    let Some(now) = now.filter(|now| is_as_wanted(now, change)) else { return Ok(None) };
    for step in (1..=context.step.0.saturating_add(STEPS_AHEAD)).filter(|step| *step != context.step.0) {
        let key = IdempotencyKey::for_step(context.run, StepNo(step));
        let Some(done) = billing.operation(&key).await? else { continue };
        let is_of_it = done.subscription.as_ref().is_none_or(|found| found.id == change.subscription);
        if is_of_it && done.state == OperationState::Succeeded {
            return Ok(Some(Some(confirmed(change, &done.id, Some(&now)))));
        }
    }
    Ok(None)
}

/// Whether a subscription is as a change would leave it. A billing date is not compared: it moves on by itself.
fn is_as_wanted(now: &Subscription, change: &UpdateSubscription) -> bool {
    change.billing_date.is_none()
        && change.resumes_on.is_none()
        && change.plan.as_ref().is_none_or(|plan| *plan == now.plan.id)
        && change.quantity.is_none_or(|quantity| quantity == now.quantity)
        && change.paused.is_none_or(|paused| paused == now.paused)
}

/// Ends the step without the change, but only once no earlier try can have made it.
async fn undone(
    billing: &Billing,
    context: &Context<'_>,
    change: &UpdateSubscription,
    instead: Performed,
) -> Result<Performed, Error> {
    if !context.again {
        return Ok(instead);
    }
    if let Some(done) = billing.operation(&context.key).await? {
        return settled(billing, change, done).await;
    }
    if context.may_still_run {
        return Err(Error::unsure(
            "billing",
            Some(STILL_RUNNING),
            "the change is not known yet, but may be on its way",
        ));
    }
    Ok(instead)
}

/// What the API says has become of the change: done, or not yet (asked again later), or never.
async fn settled(billing: &Billing, change: &UpdateSubscription, operation: Operation) -> Result<Performed, Error> {
    match operation.state {
        OperationState::Succeeded => {}
        OperationState::Pending => {
            return Err(Error::unsure("billing", None, "the change was accepted and is not done yet"));
        }
        OperationState::Failed => {
            return Ok(Performed::refusal(
                "the change was not done",
                "do not claim it; escalate with what was asked for",
            ));
        }
    }
    let subscription = match operation.subscription {
        Some(subscription) => Some(subscription),
        None => billing.subscription(&change.subscription).await?.map(|(subscription, _)| subscription),
    };
    Ok(confirmed(change, &operation.id, subscription.as_ref()))
}

fn confirmed(change: &UpdateSubscription, operation: &str, done: Option<&Subscription>) -> Performed {
    Performed::Answer(Answer {
        output: json!({ "subscription": done.map(subscription_output) }),
        is_error: false,
        effect: Some(ConfirmedEffect::SubscriptionChange {
            subscription: change.subscription.clone(),
            change: what_changed(change),
        }),
        reference: Some(operation.to_owned()),
        stamp: None,
    })
}

/// The change as `name: value`, without the reason for it.
pub fn what_changed(change: &UpdateSubscription) -> Value {
    let mut changed = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            changed.insert(name.to_owned(), value);
        }
    };
    put("plan", change.plan.as_ref().map(|plan| json!(plan)));
    put("quantity", change.quantity.map(|quantity| json!(quantity)));
    put("paused", change.paused.map(|paused| json!(paused)));
    put("resumes_on", change.resumes_on.map(|day| json!(day)));
    put("billing_date", change.billing_date.map(|day| json!(day)));
    Value::Object(changed)
}
