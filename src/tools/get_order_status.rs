//! `get_order_status`: one order of the run's customer, or the latest few, with the payments and what can still go back. An
//! order of someone else is answered like one that does not exist.

use serde_json::{Value, json};

use super::{Context, Error, Performed, Tools};
use crate::account::{AccountRead, Order, Payment};
use crate::ids::OrderId;
use crate::intent::GetOrderStatus;

/// How many orders and payments the model reads when it names none.
const LATEST_MAX: usize = 6;

pub(super) async fn perform(tools: &Tools, context: &Context<'_>, asked: &GetOrderStatus) -> Result<Performed, Error> {
    let account = context.account;
    let Some(customer) = account.customer() else {
        return Ok(Performed::refusal(
            "no account is certain for this requester",
            "escalate with reason ambiguous_account",
        ));
    };
    let Some(wanted) = &asked.order else { return Ok(Performed::answer(latest(account, ""))) };
    let bare = wanted.as_str().trim().trim_start_matches('#');
    let known = account.orders.iter().find(|order| {
        order.id.as_str().eq_ignore_ascii_case(bare)
            || order.number.as_deref().is_some_and(|number| number.eq_ignore_ascii_case(bare))
    });
    let fetched = match (known, &tools.billing) {
        (None, Some(billing)) => billing.order(&customer.id, &OrderId::new(bare)).await?,
        _ => None,
    };
    let Some(order) = known.or(fetched.as_ref()) else {
        return Ok(Performed::refusal(
            "not found",
            "this customer has no such order. Call get_order_status without `order` to see theirs; if none fits, ask the \
             customer for the right order number and say nothing about orders of others",
        ));
    };
    let payments = account
        .payments
        .iter()
        .filter(|payment| payment.order.as_ref() == Some(&order.id) || order.payments.contains(&payment.id));
    Ok(Performed::answer(output([order].into_iter(), payments)))
}

/// The latest orders and payments, after those orders that the text names, with their payments.
pub fn latest(account: &AccountRead, text: &str) -> Value {
    let text = text.to_uppercase();
    let names = |order: &&Order| {
        let stands = |id: &str| !id.is_empty() && text.contains(&id.to_uppercase());
        stands(order.id.as_str()) || order.number.as_deref().is_some_and(stands)
    };
    let (named, others): (Vec<&Order>, Vec<&Order>) = account.orders.iter().partition(names);
    let paid = |payment: &&Payment| {
        let of = |order: &&Order| payment.order.as_ref() == Some(&order.id) || order.payments.contains(&payment.id);
        named.iter().any(of)
    };
    let (first, rest): (Vec<&Payment>, Vec<&Payment>) = account.payments.iter().partition(paid);
    output(named.into_iter().chain(others).take(LATEST_MAX), first.into_iter().chain(rest).take(LATEST_MAX))
}

/// What the model reads of orders and payments.
pub fn output<'a>(orders: impl Iterator<Item = &'a Order>, payments: impl Iterator<Item = &'a Payment>) -> Value {
    json!({
        "orders": orders.map(order_output).collect::<Vec<_>>(),
        "payments": payments.map(payment_output).collect::<Vec<_>>(),
    })
}

fn order_output(order: &Order) -> Value {
    let items = order.items.iter().map(|item| {
        json!({ "sku": item.sku, "name": item.name, "quantity": item.quantity, "amount_minor": item.total.minor })
    });
    let mut out = json!({
        "id": order.id,
        "status": order.status,
        "placed": order.placed_at.strftime("%Y-%m-%d").to_string(),
        "items": items.collect::<Vec<_>>(),
        "total_minor": order.total.minor,
        "currency": order.total.currency,
        "payments": order.payments,
    });
    if let Some(tracking) = &order.tracking {
        out["tracking"] = json!(tracking);
    }
    out
}

fn payment_output(payment: &Payment) -> Value {
    let refunds = payment.refunds.iter().map(|refund| {
        json!({
            "id": refund.id,
            "amount_minor": refund.amount.minor,
            "created": refund.created_at.strftime("%Y-%m-%d").to_string(),
            "status": refund.status,
        })
    });
    let mut out = json!({
        "id": payment.id,
        "amount_minor": payment.amount.minor,
        "refundable_minor": payment.refundable.minor,
        "currency": payment.amount.currency,
        "created": payment.created_at.strftime("%Y-%m-%d").to_string(),
        "status": payment.status,
    });
    // What is usual is left out: the model pays for every word of it.
    if !payment.method.is_empty() {
        out["method"] = json!(payment.method);
    }
    if payment.disputed {
        out["disputed"] = json!(true);
    }
    if !payment.refunds.is_empty() {
        out["refunds"] = refunds.collect();
    }
    if let Some(order) = &payment.order {
        out["order"] = json!(order);
    }
    if let Some(subscription) = &payment.subscription {
        out["subscription"] = json!(subscription);
    }
    out
}
