//! The world's records in the contract's shapes: money with its scale, times in RFC 3339, `version` on what can be written.

use serde_json::{Value, json};

use crate::money::Currency;
use crate::sim::world::{State, SubscriptionState};
use crate::sim::world_file::{Customer, Order, OrderStatus, Plan, SubscriptionStatus, Vendor};

pub fn money(minor: i64, currency: Currency) -> Value {
    json!({ "minor": minor, "currency": currency, "scale": currency.scale() })
}

pub fn customer(customer: &Customer) -> Value {
    json!({
        "id": customer.id,
        "external_id": customer.external_id,
        "email": customer.addresses.first().map(|address| address.address.as_str()),
        "name": customer.name,
        "created_at": customer.created,
        "stripe_customer_id": customer.known_to(Vendor::Stripe).then(|| customer.stripe_id()),
        "status": customer.status.as_str(),
        "tags": customer.flags,
        "test": false,
    })
}

pub fn plan(plan: &Plan) -> Value {
    json!({
        "id": plan.id, "name": plan.name, "price": money(plan.amount_minor, plan.currency), "interval": plan.interval,
    })
}

pub fn order(world: &State, order: &Order) -> Value {
    let refunded: i64 = order.payments.iter().map(|payment| world.refunded_minor(payment)).sum();
    let disputed = order.payments.iter().any(|id| world.files.payment(id).is_some_and(|payment| payment.disputed));
    let payment_status = match refunded {
        _ if disputed => "disputed",
        0 if order.payments.is_empty() => "unpaid",
        0 => "paid",
        refunded if refunded >= order.total_minor => "refunded",
        _ => "partially_refunded",
    };
    let (status, fulfillment) = match order.status {
        OrderStatus::Pending | OrderStatus::Processing => ("open", "unfulfilled"),
        OrderStatus::Shipped => ("open", "shipped"),
        OrderStatus::Delivered => ("completed", "delivered"),
        OrderStatus::Cancelled => ("canceled", "not_applicable"),
        OrderStatus::Returned => ("completed", "returned"),
    };
    let items = order.items.iter().map(|item| {
        json!({
            "sku": item.sku, "name": item.name, "quantity": item.quantity,
            "total": money(item.amount_minor, order.currency),
        })
    });
    json!({
        "id": order.id,
        "number": order.id,
        "customer_id": order.customer,
        "placed_at": order.created,
        "status": status,
        "payment_status": payment_status,
        "fulfillment_status": fulfillment,
        "stage": order.status.as_str(),
        "total": money(order.total_minor, order.currency),
        "refunded_total": money(refunded, order.currency),
        "stripe_payment_intent_id": order.payments.first(),
        "items": items.collect::<Vec<_>>(),
        "shipments": order.tracking.iter().map(|tracking| shipment(tracking, order.status)).collect::<Vec<_>>(),
        "updated_at": order.created,
        "version": "1",
    })
}

fn shipment(tracking: &Value, status: OrderStatus) -> Value {
    let status = if status == OrderStatus::Delivered { "delivered" } else { "in_transit" };
    let text = |name: &str| tracking.get(name).and_then(Value::as_str);
    json!({
        "carrier": text("carrier"),
        "tracking_number": tracking.as_str().or_else(|| text("number")),
        "tracking_url": text("url"),
        "status": text("status").unwrap_or(status),
        "eta": text("eta"),
    })
}

pub fn subscription(world: &State, subscription: &SubscriptionState) -> Value {
    let now = &subscription.now;
    let plan = world.files.plan(&now.plan);
    let status = match now.status {
        _ if now.paused => "paused",
        SubscriptionStatus::Canceled | SubscriptionStatus::IncompleteExpired => "canceled",
        SubscriptionStatus::PastDue | SubscriptionStatus::Unpaid | SubscriptionStatus::Incomplete => "past_due",
        SubscriptionStatus::Paused => "paused",
        _ if now.cancel_at_period_end => "canceling",
        SubscriptionStatus::Trialing => "trialing",
        SubscriptionStatus::Active => "active",
    };
    let allowed: &[&str] = match status {
        "canceled" => &[],
        "paused" => &["resume", "cancel_at_period_end", "cancel_now"],
        "canceling" => &["undo_cancel", "cancel_now"],
        _ => &[
            "change_plan",
            "set_quantity",
            "pause",
            "set_billing_date",
            "extend_trial",
            "cancel_at_period_end",
            "cancel_now",
        ],
    };
    json!({
        "id": now.id,
        "customer_id": now.customer,
        "plan": {
            "code": now.plan,
            "name": plan.map(|plan| plan.name.as_str()),
            "price": plan.map(|plan| money(plan.amount_minor, plan.currency)),
            "interval": plan.map(|plan| plan.interval.as_str()),
            "interval_count": 1,
        },
        "quantity": now.quantity,
        "status": status,
        "current_period": { "start": now.started, "end": now.period_end },
        "cancel_at": now.cancel_at_period_end.then_some(now.period_end),
        "paused_until": subscription.paused_until,
        "trial_end": null,
        "pending_change": null,
        "stripe_subscription_id": now.id,
        "allowed_actions": allowed,
        "version": subscription.version.to_string(),
    })
}
