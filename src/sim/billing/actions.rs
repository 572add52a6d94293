//! The one write, guarded by key and version, and what became of it.

use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Answer, known, shape};
use crate::sim::world::{Event, Guard, SubscriptionPatch};
use crate::sim::world_file::SubscriptionStatus;

/// What became of a write: 404 means that the key was never seen, so it is safe to send.
pub fn operation(world: &Guard<'_>, key: &str) -> Answer {
    match world.stored_key("billing", key) {
        Some(stored) if stored.status < 300 => Answer::ok(stored.body.clone()),
        _ => Answer::not_found("operation"),
    }
}

/// `POST /v1/subscriptions/{id}/actions`.
pub fn act(world: &mut Guard<'_>, id: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(key) = text("idempotency-key").filter(|key| (1..=255).contains(&key.len())) else {
        return Answer::problem(422, "validation_failed", "send an Idempotency-Key of 1 to 255 characters");
    };
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return Answer::problem(422, "validation_failed", "the body is not JSON");
    };
    let fingerprint = format!("{id} {asked}");
    if let Some(stored) = world.stored_key("billing", key) {
        if stored.fingerprint != fingerprint {
            return Answer::problem(422, "idempotency_mismatch", "this key was used with another request");
        }
        let mut body = stored.body.clone();
        body["operation"]["replayed"] = json!(true);
        return Answer { status: stored.status, body };
    }
    let found = world.subscriptions.get(id).filter(|found| known(world, &found.now.customer).is_some());
    let Some(found) = found.cloned() else { return Answer::not_found("subscription") };
    let before = shape::subscription(world, &found);
    if let Some(version) = text(header::IF_MATCH.as_str())
        && version.trim_matches('"') != found.version.to_string()
    {
        let mut answer = Answer::problem(412, "version_conflict", "the subscription changed since it was read");
        answer.body["current"] = before;
        return answer;
    }
    let action = asked["action"].as_str().unwrap_or_default();
    let allowed = before["allowed_actions"].as_array().is_some_and(|all| all.iter().any(|known| known == action));
    if !allowed {
        return Answer::problem(422, "action_not_allowed", format!("`{action}` is not allowed now")).field("action");
    }
    let (change, after) = match patch(world, &asked["params"], action, found.now.period_end) {
        Ok(patch) => patch,
        Err(refusal) => return refusal,
    };
    if asked["dry_run"] == true {
        let operation = json!({ "id": null, "idempotency_key": key, "state": "succeeded", "replayed": false });
        return Answer::ok(json!({ "operation": operation, "subscription": before }));
    }
    world.apply(Event::SubscriptionChanged {
        subscription: id.to_owned(),
        vendor: "billing".to_owned(),
        key: Some(key.to_owned()),
        change,
        after,
    });
    let subscription = world.subscriptions.get(id).map(|now| shape::subscription(world, now));
    let operation = json!({
        "id": format!("op_{key}"), "idempotency_key": key, "state": "succeeded", "replayed": false,
        "effect": { "charge_now": null, "credit": null, "effective_at": world.now() },
    });
    let body = json!({ "operation": operation, "subscription": subscription });
    world.apply(Event::KeyStored {
        vendor: "billing".to_owned(),
        key: key.to_owned(),
        fingerprint,
        status: 200,
        body: body.clone(),
    });
    Answer::ok(body)
}

/// What an action changes, in the words of the product's own tool, and what it leaves behind.
fn patch(
    world: &Guard<'_>,
    params: &Value,
    action: &str,
    period_end: Timestamp,
) -> Result<(Value, SubscriptionPatch), Answer> {
    let wrong = |field: &str, detail: &str| Answer::problem(422, "validation_failed", detail).field(field);
    let day = |name: &str| -> Result<Option<Timestamp>, Answer> {
        let Some(text) = params[name].as_str() else { return Ok(None) };
        let moment = text.parse::<Timestamp>().ok().or_else(|| {
            let date = text.parse::<Date>().ok()?;
            date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
        });
        moment.map(Some).ok_or_else(|| wrong(&format!("params.{name}"), "give a day or a time"))
    };
    let mut after = SubscriptionPatch::default();
    let change = match action {
        "change_plan" => {
            let code = params["plan_code"].as_str().filter(|code| world.files.plan(code).is_some());
            let Some(code) = code else {
                return Err(
                    Answer::problem(422, "plan_not_available", "there is no such plan").field("params.plan_code")
                );
            };
            after.plan = Some(code.to_owned());
            json!({ "plan": code })
        }
        "set_quantity" => {
            let quantity = params["quantity"].as_i64().filter(|quantity| *quantity >= 1);
            let quantity = quantity.ok_or_else(|| wrong("params.quantity", "give a number from 1 on"))?;
            after.quantity = Some(quantity);
            json!({ "quantity": quantity })
        }
        "pause" => {
            let until = day("resumes_at")?;
            if until.is_some_and(|until| until <= world.now()) {
                return Err(wrong("params.resumes_at", "the day has passed"));
            }
            after.paused = Some(true);
            after.paused_until = Some(until);
            json!({ "paused": true })
        }
        "resume" => {
            after.paused = Some(false);
            after.paused_until = Some(None);
            json!({ "paused": false })
        }
        "set_billing_date" => {
            let date = day("date")?.ok_or_else(|| wrong("params.date", "give the day of the next bill"))?;
            if date <= world.now() {
                return Err(wrong("params.date", "the day has passed"));
            }
            after.period_end = Some(date);
            json!({ "billing_date": params["date"] })
        }
        "extend_trial" => {
            let until = day("trial_end")?.filter(|until| *until > period_end);
            after.period_end = Some(until.ok_or_else(|| wrong("params.trial_end", "give a later end"))?);
            json!({ "trial_end": params["trial_end"] })
        }
        "cancel_at_period_end" | "undo_cancel" => {
            after.cancel_at_period_end = Some(action == "cancel_at_period_end");
            json!({ "cancel_at_period_end": after.cancel_at_period_end })
        }
        "cancel_now" => {
            after.status = Some(SubscriptionStatus::Canceled);
            json!({ "status": "canceled" })
        }
        other => return Err(wrong("action", &format!("`{other}` is no action"))),
    };
    Ok((change, after))
}
