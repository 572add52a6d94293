//! `create_refund`: gives back a payment of the run's customer, whole or part, once. The amount is re-read at the vendor in
//! the second of execution; the vendor's key and our mark in its metadata find a refund whose answer was lost.

use serde_json::json;

use super::ticket_write::guard;
use super::{Answer, Context, Error, Performed, Tools};
use crate::account::Refund;
use crate::intent::CreateRefund;
use crate::policy::facts::ConfirmedEffect;

/// For how long the vendor surely remembers a key, in seconds: it may forget after 24 hours.
///
/// Source: <https://docs.stripe.com/api/idempotent_requests>, 2026-11.
const KEY_LIVES_S: i64 = 23 * 3_600;

pub(super) async fn perform(tools: &Tools, context: &Context<'_>, refund: &CreateRefund) -> Result<Performed, Error> {
    if context.again {
        // It may have happened: look before anything else, whatever changed on the ticket since.
        if let Some(done) = tools.stripe.find_refund(&refund.payment, &context.key, context.started_at).await? {
            return Ok(confirmed(context, refund, &done));
        }
        let age_s = tools.clock.now().as_second() - context.started_at.as_second();
        if age_s >= KEY_LIVES_S {
            return Ok(Performed::refusal(
                "the refund was not made and its key has expired",
                "do not claim it; escalate with what you found",
            ));
        }
    }
    if let Some(overtaken) = guard(tools, context).await? {
        return Ok(overtaken);
    }
    let Some(found) = tools.stripe.payment(&refund.payment).await? else {
        return Ok(Performed::refusal("not found", "use a payment id from get_order_status"));
    };
    let owner = context.account.customer().and_then(|customer| customer.stripe.as_ref());
    if found.customer.as_ref() != owner {
        return Ok(Performed::refusal("not found", "use a payment id from get_order_status"));
    }
    let payment = found.payment;
    let amount = refund.amount();
    if payment.disputed {
        return Ok(Performed::refusal(
            "the cardholder disputes this payment",
            "escalate with reason ambiguous_account",
        ));
    }
    if payment.refundable.currency != amount.currency || payment.refundable.minor < amount.minor {
        let rest = payment.refundable;
        return Ok(Performed::refusal(
            format!("only {rest} of this payment can still go back"),
            "someone may have refunded it already; call get_order_status and decide anew",
        ));
    }
    let (ticket, run) = (context.ticket.id, context.run);
    let done = tools.stripe.refund(&context.key, &refund.payment, amount, refund.reason, ticket, run).await?;
    Ok(confirmed(context, refund, &done.refund))
}

fn confirmed(context: &Context<'_>, refund: &CreateRefund, done: &Refund) -> Performed {
    if !done.counts() {
        return Performed::refusal(
            format!("the refund ended as `{}`", done.status),
            "no money went back; do not claim it; escalate",
        );
    }
    let mut output = json!({ "refund": {
        "id": done.id,
        "amount_minor": done.amount.minor,
        "currency": done.amount.currency,
        "status": done.status,
        "shown": done.amount.to_string(),
    }});
    if context.approved_by.is_some() {
        output["approved_by"] = json!("a colleague");
    }
    let order = context.account.payment(&refund.payment).and_then(|payment| payment.order.clone());
    Performed::Answer(Answer {
        output,
        is_error: false,
        effect: Some(ConfirmedEffect::Refund {
            payment: refund.payment.clone(),
            order,
            amount: done.amount,
            status: done.status.clone(),
        }),
        reference: Some(done.id.to_string()),
        stamp: None,
    })
}
