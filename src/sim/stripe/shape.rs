//! The world's payments in Stripe's shapes (basil and later). Source: <https://docs.stripe.com/api>, read 2026-11.

use serde_json::{Map, Value, json};

use crate::sim::world::{Refund, State, SubscriptionState};
use crate::sim::world_file::{Customer, CustomerStatus, Payment, Vendor};

/// Payments of customers that Stripe knows: all, or those of one customer.
pub fn payments<'a>(world: &'a State, customer: Option<&'a str>) -> impl Iterator<Item = &'a Payment> {
    world.files.payments.iter().filter(move |payment| {
        let owner = world.files.customer(&payment.customer).filter(|owner| owner.known_to(Vendor::Stripe));
        owner.is_some_and(|owner| customer.is_none_or(|id| owner.stripe_id() == id))
    })
}

pub fn customer(customer: &Customer) -> Value {
    json!({
        "id": customer.stripe_id(),
        "object": "customer",
        "balance": 0,
        "created": customer.created.as_second(),
        "currency": null,
        "delinquent": customer.status == CustomerStatus::Unpaid,
        "email": customer.addresses.first().map(|address| address.address.as_str()),
        "livemode": false,
        "metadata": {},
        "name": customer.name,
    })
}

fn metadata(payment: &Payment) -> Value {
    let mut map = Map::new();
    if let Some(order) = &payment.order {
        map.insert("order".to_owned(), json!(order));
    }
    if let Some(subscription) = &payment.subscription {
        map.insert("subscription".to_owned(), json!(subscription));
    }
    Value::Object(map)
}

fn owner(world: &State, payment: &Payment) -> Option<String> {
    world.files.customer(&payment.customer).map(Customer::stripe_id)
}

/// Whether the money came in.
pub fn paid(payment: &Payment) -> bool {
    payment.status == "succeeded"
}

pub fn intent(world: &State, payment: &Payment, expand: bool) -> Value {
    let status = match payment.status.as_str() {
        "failed" => "requires_payment_method",
        other => other,
    };
    let charge = if expand { charge(world, payment) } else { json!(format!("ch_{}", payment.id)) };
    json!({
        "id": payment.id,
        "object": "payment_intent",
        "amount": payment.amount_minor,
        "amount_received": if paid(payment) { payment.amount_minor } else { 0 },
        "created": payment.created.as_second(),
        "currency": payment.currency,
        "customer": owner(world, payment),
        "latest_charge": charge,
        "livemode": false,
        "metadata": metadata(payment),
        "status": status,
    })
}

pub fn charge(world: &State, payment: &Payment) -> Value {
    let refunded = world.refunded_minor(&payment.id);
    let captured = if paid(payment) { payment.amount_minor } else { 0 };
    let mut method = json!({ "type": payment.method.kind });
    if payment.method.kind == "card" {
        method["card"] = json!({ "brand": payment.method.brand, "last4": payment.method.last4 });
    }
    json!({
        "id": format!("ch_{}", payment.id),
        "object": "charge",
        "amount": payment.amount_minor,
        "amount_captured": captured,
        "amount_refunded": refunded,
        "balance_transaction": format!("txn_{}", payment.id),
        "captured": paid(payment),
        "created": payment.created.as_second(),
        "currency": payment.currency,
        "customer": owner(world, payment),
        "description": null,
        "disputed": payment.disputed,
        "livemode": false,
        "metadata": metadata(payment),
        "paid": paid(payment),
        "payment_intent": payment.id,
        "payment_method_details": method,
        "receipt_url": null,
        "refunded": captured > 0 && refunded >= captured,
        "status": if payment.status == "failed" { "failed" } else if paid(payment) { "succeeded" } else { "pending" },
    })
}

pub fn refund(world: &State, refund: &Refund) -> Value {
    let payment = world.files.payment(&refund.payment);
    json!({
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount_minor,
        "balance_transaction": format!("txn_{}", refund.id),
        "charge": format!("ch_{}", refund.payment),
        "created": refund.at.as_second(),
        "currency": refund.currency,
        "customer": payment.and_then(|payment| owner(world, payment)),
        "customer_account": null,
        "metadata": refund.metadata,
        "payment_intent": refund.payment,
        "reason": refund.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": refund.status,
        "transfer_reversal": null,
    })
}

pub fn subscription(world: &State, subscription: &SubscriptionState) -> Value {
    let now = &subscription.now;
    let plan = world.files.plan(&now.plan);
    let owner = world.files.customer(&now.customer).map(Customer::stripe_id);
    let pause = now
        .paused
        .then(|| json!({ "behavior": "void", "resumes_at": subscription.paused_until.map(|until| until.as_second()) }));
    json!({
        "id": now.id,
        "object": "subscription",
        "cancel_at_period_end": now.cancel_at_period_end,
        "created": now.started.as_second(),
        "currency": plan.map(|plan| plan.currency),
        "customer": owner,
        "items": { "object": "list", "has_more": false, "data": [{
            "id": format!("si_{}", now.id),
            "object": "subscription_item",
            "current_period_end": now.period_end.as_second(),
            "price": {
                "id": now.plan,
                "object": "price",
                "currency": plan.map(|plan| plan.currency),
                "nickname": plan.map(|plan| plan.name.as_str()),
                "recurring": { "interval": plan.map(|plan| plan.interval.as_str()), "interval_count": 1 },
                "unit_amount": plan.map(|plan| plan.amount_minor),
            },
            "quantity": now.quantity,
        }]},
        "livemode": false,
        "metadata": subscription.metadata,
        "pause_collection": pause,
        "schedule": null,
        "status": now.status.as_str(),
    })
}
