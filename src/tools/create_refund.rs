//! `create_refund`: gives back a payment of the run's customer, whole or part, once. The amount is re-read at the vendor in
//! the second of execution; the vendor's key and our mark in its metadata find a refund whose answer was lost.

use serde_json::json;

use super::ticket_write::guard;
use super::{Answer, Context, Error, Performed, STILL_RUNNING, Tools};
use crate::account::Refund;
use crate::clients::stripe::{ALREADY_REFUNDED, AMOUNT_TOO_LARGE};
use crate::intent::CreateRefund;
use crate::policy::facts::ConfirmedEffect;

/// For how long the vendor surely remembers a key, in seconds. It may forget after 24 hours; an hour is for a clock that was
/// set right in between, another for slowness.
///
/// Source: <https://docs.stripe.com/api/idempotent_requests>, 2026-11.
const KEY_LIVES_S: i64 = 22 * 3_600;

pub(super) async fn perform(tools: &Tools, context: &Context<'_>, refund: &CreateRefund) -> Result<Performed, Error> {
    if let Some(made) = &context.made {
        return made_already(tools, context, refund, made).await;
    }
    if context.again {
        // It may have happened: look before anything else, whatever changed on the ticket since.
        if let Some(done) = find(tools, context, refund).await? {
            return Ok(confirmed(context, refund, &done));
        }
        let age_s = tools.clock.now().as_second() - context.started_at.as_second();
        if age_s >= KEY_LIVES_S {
            let message = "the refund was begun too long ago for its key to guard it, and was not found among the \
                           payment's refunds; it was not repeated";
            return Ok(Performed::Lost { vendor: "stripe", message: message.to_owned() });
        }
    }
    let Some(acting) = context.acting else {
        return undone(tools, context, refund, Performed::HELD_BACK).await;
    };
    if let Some(instead) = forbidden(tools, context, refund).await? {
        return undone(tools, context, refund, instead).await;
    }
    let origin = (context.ticket.id, context.run);
    match tools.stripe.refund(acting, &context.key, &refund.payment, refund.amount(), refund.reason, origin).await {
        Ok(done) => Ok(confirmed(context, refund, &done.refund)),
        // Nothing is left of the payment: perhaps because of an earlier try of ours.
        Err(error) if matches!(error.code(), Some(ALREADY_REFUNDED | AMOUNT_TOO_LARGE)) => {
            match find(tools, context, refund).await? {
                Some(done) => Ok(confirmed(context, refund, &done)),
                None => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// Takes a refund of this run that its journal forgot as done, once the vendor has been asked how it stands. Never makes one:
/// the rules were not asked whether it might be made now.
async fn made_already(
    tools: &Tools,
    context: &Context<'_>,
    refund: &CreateRefund,
    made: &Refund,
) -> Result<Performed, Error> {
    let all = tools.stripe.refunds_for_ticket(&refund.payment, context.ticket.id, made.created_at).await?;
    Ok(match all.into_iter().find(|(_, found)| found.id == made.id) {
        Some((_, found)) => confirmed(context, refund, &found),
        None => Performed::refusal(
            format!("refund {} of this payment was made already and cannot be found any more", made.id),
            "do not refund again; escalate with what you found",
        ),
    })
}

async fn find(tools: &Tools, context: &Context<'_>, refund: &CreateRefund) -> Result<Option<Refund>, Error> {
    tools.stripe.find_refund(&refund.payment, &context.key, context.started_at).await
}

/// What speaks against the refund in this second; `None`: nothing does.
async fn forbidden(tools: &Tools, context: &Context<'_>, refund: &CreateRefund) -> Result<Option<Performed>, Error> {
    if let Some(overtaken) = guard(tools, context).await? {
        return Ok(Some(overtaken));
    }
    let not_found = || Some(Performed::refusal("not found", "use a payment id from get_order_status"));
    let Some(found) = tools.stripe.payment(&refund.payment).await? else { return Ok(not_found()) };
    let owner = context.account.customer().and_then(|customer| customer.stripe.as_ref());
    if found.customer.as_ref() != owner {
        return Ok(not_found());
    }
    let (payment, amount) = (found.payment, refund.amount());
    if payment.disputed {
        let why = "the cardholder disputes this payment";
        return Ok(Some(Performed::refusal(why, "escalate with reason ambiguous_account")));
    }
    if payment.refundable.currency != amount.currency || payment.refundable.minor < amount.minor {
        let rest = payment.refundable;
        return Ok(Some(Performed::refusal(
            format!("only {rest} of this payment can still go back"),
            "someone may have refunded it already; call get_order_status and decide anew",
        )));
    }
    Ok(None)
}

/// Ends the step without a refund, but only once no earlier try can have made it: one that was on its way while we looked is
/// found by the second look, and one that may still be running is waited for. Otherwise nobody would learn of it.
async fn undone(
    tools: &Tools,
    context: &Context<'_>,
    refund: &CreateRefund,
    instead: Performed,
) -> Result<Performed, Error> {
    if !context.again {
        return Ok(instead);
    }
    if let Some(done) = find(tools, context, refund).await? {
        return Ok(confirmed(context, refund, &done));
    }
    if context.may_still_run {
        return Err(Error::unsure(
            "stripe",
            Some(STILL_RUNNING),
            "the refund was not found, but may still be on its way",
        ));
    }
    Ok(instead)
}

pub(super) fn confirmed(context: &Context<'_>, refund: &CreateRefund, done: &Refund) -> Performed {
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
