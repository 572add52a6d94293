//! Refunds: arithmetic on the charge, the errors of a refund call, and the idempotency layer in front of it. Sources:
//! <https://docs.stripe.com/api/refunds>, <https://docs.stripe.com/api/idempotent_requests>, read 2026-11.

use axum::http::header;
use jiff::SignedDuration;
use serde_json::{Map, json};

use super::form::Form;
use super::{Answer, Asked, page, shape};
use crate::sim::world::{Event, Guard, Refund};
use crate::sim::world_file::Payment;

/// A key may be forgotten after a day; this simulator forgets at once then, which is the case to be ready for.
const KEY_LIVES: SignedDuration = SignedDuration::from_hours(24);

pub fn list(world: &Guard<'_>, query: &Form) -> Answer {
    let charge = query.get("charge").map(|charge| charge.trim_start_matches("ch_"));
    let of = query.get("payment_intent").or(charge);
    let rows = world.refunds.iter().filter(|refund| of.is_none_or(|id| refund.payment == id));
    let rows = rows.map(|refund| shape::refund(world, refund)).collect();
    page(rows, "/v1/refunds", query, &["charge", "payment_intent"])
}

pub fn one(world: &Guard<'_>, id: &str) -> Answer {
    match world.refund(id) {
        Some(refund) => Answer::ok(shape::refund(world, refund)),
        None => Answer::missing("refund", id, "id"),
    }
}

pub(super) fn create(world: &mut Guard<'_>, request: &Asked<'_>) -> Answer {
    let Asked { headers, body, strikes, .. } = *request;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::CONTENT_TYPE.as_str()).is_none_or(|kind| !kind.starts_with("application/x-www-form-urlencoded")) {
        return Answer::refusal(400, None, None, "Send the parameters form-encoded.");
    }
    let form = match std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned()).and_then(Form::parse) {
        Ok(form) => form,
        Err(bad) => return Answer::refusal(400, None, None, bad),
    };
    let key = text("idempotency-key");
    if key.is_some_and(|key| key.is_empty() || key.len() > 255) {
        return Answer::refusal(400, None, None, "An idempotency key has 1 to 255 characters.");
    }
    let fingerprint = format!("POST /v1/refunds {}", form.fingerprint());
    if let Some(key) = key
        && !strikes.has("key_forgotten")
        && let Some(stored) = world.stored_key("stripe", key)
        && world.now().duration_since(stored.at) < KEY_LIVES
    {
        if stored.fingerprint != fingerprint {
            let message =
                "Keys for idempotent requests can only be used with the same parameters they were first used with.";
            return Answer::error(400, "idempotency_error", None, None, message);
        }
        return Answer { status: stored.status, body: stored.body.clone(), replayed: true };
    }
    // What fails validation never began: it is not stored under the key.
    let refund = match validate(&form) {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let mut answer = execute(world, &refund, key);
    if strikes.has("500_stored") {
        let message = "Sorry! There was an error while talking to one of our backends.";
        answer = Answer::error(500, "api_error", None, None, message);
    }
    if let Some(key) = key {
        world.apply(Event::KeyStored {
            vendor: "stripe".to_owned(),
            key: key.to_owned(),
            fingerprint,
            status: answer.status,
            body: answer.body.clone(),
        });
    }
    answer
}

struct Wanted<'a> {
    payment: &'a str,
    amount_minor: Option<i64>,
    reason: Option<&'a str>,
    metadata: Map<String, serde_json::Value>,
}

fn validate(form: &Form) -> Result<Wanted<'_>, Answer> {
    let known = ["payment_intent", "charge", "amount", "reason", "instructions_email"];
    for name in form.names() {
        if !known.contains(&name) && !name.starts_with("metadata[") && !name.starts_with("expand[") {
            let message = format!("Received unknown parameter: {name}");
            return Err(Answer::refusal(400, Some("parameter_unknown"), Some(name), message));
        }
    }
    let payment = match (form.get("payment_intent"), form.get("charge")) {
        (Some(intent), None) => intent,
        (None, Some(charge)) => charge.trim_start_matches("ch_"),
        _ => {
            let message = "One of the following params should be provided for this request: payment_intent or charge.";
            return Err(Answer::refusal(400, Some("parameter_missing"), Some("payment_intent"), message));
        }
    };
    let amount_minor = match form.get("amount").map(str::parse::<i64>) {
        None => None,
        Some(Ok(amount)) if amount > 0 => Some(amount),
        Some(_) => {
            let message = "Invalid integer: amount must be a positive integer.";
            return Err(Answer::refusal(400, Some("parameter_invalid_integer"), Some("amount"), message));
        }
    };
    let reason = form.get("reason");
    if reason.is_some_and(|reason| !["duplicate", "fraudulent", "requested_by_customer"].contains(&reason)) {
        return Err(Answer::refusal(400, None, Some("reason"), "Invalid reason."));
    }
    let metadata: Map<String, _> = form.hash("metadata").map(|(key, value)| (key.to_owned(), json!(value))).collect();
    let fits = |(key, value): (&String, &serde_json::Value)| {
        key.len() <= 40 && value.as_str().is_some_and(|value| value.chars().count() <= 500)
    };
    if metadata.len() > 50 || !metadata.iter().all(fits) {
        return Err(Answer::refusal(
            400,
            None,
            Some("metadata"),
            "Metadata holds 50 keys of 40 and values of 500 characters.",
        ));
    }
    Ok(Wanted { payment, amount_minor, reason, metadata })
}

fn execute(world: &mut Guard<'_>, asked: &Wanted<'_>, key: Option<&str>) -> Answer {
    let found: Option<Payment> = shape::payments(world, None).find(|payment| payment.id == asked.payment).cloned();
    let Some(payment) = found else {
        return Answer::missing("payment_intent", asked.payment, "payment_intent");
    };
    if !shape::paid(&payment) {
        let message = "This PaymentIntent does not have a successful charge to refund.";
        return Answer::refusal(400, Some("charge_not_refundable"), None, message);
    }
    if payment.disputed {
        let message = "This charge is disputed and cannot be refunded.";
        return Answer::refusal(400, Some("charge_disputed"), None, message);
    }
    let rest = world.refundable_minor(&payment.id);
    if rest == 0 {
        let message = format!("Charge ch_{} has already been refunded.", payment.id);
        return Answer::refusal(400, Some("charge_already_refunded"), None, message);
    }
    let amount_minor = asked.amount_minor.unwrap_or(rest);
    if amount_minor > rest {
        let message = format!("Refund amount ({amount_minor}) is greater than unrefunded amount on charge ({rest}).");
        return Answer::refusal(400, None, Some("amount"), message);
    }
    let refund = Refund {
        id: world.next_refund_id(&payment.id),
        payment: payment.id.clone(),
        amount_minor,
        currency: payment.currency,
        at: world.now(),
        status: "succeeded".to_owned(),
        reason: asked.reason.map(str::to_owned),
        idempotency_key: key.map(str::to_owned),
        metadata: asked.metadata.clone(),
        made_here: true,
    };
    world.apply(Event::RefundCreated { refund: refund.clone() });
    Answer::ok(shape::refund(world, &refund))
}
