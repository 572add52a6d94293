//! A run whose journal was put back from a backup may have done more than it remembers. It may even come to the same effect
//! under another step, and so under another key, because a model need not say the same twice; or under another run, because a
//! comment that had joined the forgotten run opens one of its own now. So before each effect everything that was done for this
//! ticket since the backup is looked for, whatever its key; the step's own key is then looked for by the tool itself. What
//! cannot be found out goes to a person.

use jiff::{SignedDuration, Timestamp};

use super::{Context, Error, Performed, Tools};
use crate::clock::CLOCKS_DIFFER_S;
use crate::intent::{Intent, ToolKind};

/// `Some`: the effect must not happen.
pub(super) async fn look(tools: &Tools, context: &Context<'_>, intent: &Intent) -> Result<Option<Performed>, Error> {
    let Some(since) = context.forgot_since else { return Ok(None) };
    if intent.tool().kind() == ToolKind::Read {
        return Ok(None);
    }
    let own = context.key.as_str();
    let of_ticket = format!("eff_{}_", context.ticket.id);
    let is_own = |mark: &str| mark == own || mark.strip_prefix(own).is_some_and(|part| part.starts_with('.'));
    // What was written before the customer's newest words answered others. Both times are the helpdesk's.
    let asked_at = context.ticket.newest_request().map_or(Timestamp::MIN, |message| message.at);
    let earliest = since.saturating_sub(SignedDuration::from_secs(CLOCKS_DIFFER_S)).unwrap_or(since);
    let marks = tools.zendesk.marks_since(context.ticket.id, &of_ticket, earliest.max(asked_at)).await?;
    if marks.iter().any(|mark| !is_own(mark)) {
        // It has written to the ticket: it was ending, and whoever reads the ticket sees how.
        return Ok(Some(Performed::Person { agent: None, how: "restored".to_owned() }));
    }
    match intent {
        Intent::CreateRefund(refund) => {
            let made = tools.stripe.refunds_for_ticket(&refund.payment, context.ticket.id, since).await?;
            let other = made.iter().find(|(key, _)| key != own);
            Ok(other.map(|(_, refund)| {
                Performed::refusal(
                    format!("{} of this payment was given back already, as refund {}", refund.amount, refund.id),
                    "do not refund again; escalate with what you found",
                )
            }))
        }
        Intent::UpdateSubscription(_) => {
            let Some(billing) = &tools.billing else { return Ok(None) };
            match billing.operation(&context.key).await? {
                Some(_) => Ok(None),
                None => Ok(Some(Performed::refusal(
                    "whether this change was made already cannot be seen",
                    "do not claim it; escalate with what the customer asked for",
                ))),
            }
        }
        _ => Ok(None),
    }
}
