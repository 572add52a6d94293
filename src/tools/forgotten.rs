//! A run whose journal was put back from a backup may have done more than it remembers. It may even come to the same effect
//! under another step, and so under another key, because a model need not say the same twice; or under another run, because a
//! comment that had joined the forgotten run opens one of its own now. So before each effect everything that was done for this
//! ticket since the backup is looked for, whatever its key. The very effect of this run is taken as done: under the step's own
//! key the tool finds it, under another key it is found here. What cannot be found out goes to a person.

use jiff::{SignedDuration, Timestamp};

use super::create_refund;
use super::update_subscription;
use super::{Context, Error, Performed, Tools};
use crate::clock::CLOCKS_DIFFER_S;
use crate::ids::IdempotencyKey;
use crate::intent::{CreateRefund, Intent, ToolKind};

/// `Some`: the effect must not happen, or it has happened.
pub(super) async fn look(tools: &Tools, context: &Context<'_>, intent: &Intent) -> Result<Option<Performed>, Error> {
    let Some(since) = context.forgot_since else { return Ok(None) };
    if intent.tool().kind() == ToolKind::Read || context.made.is_some() {
        return Ok(None);
    }
    // The effect itself first: that the run also answered the customer does not undo it.
    let met = match intent {
        Intent::CreateRefund(refund) => refund_met(tools, context, refund, since).await?,
        Intent::UpdateSubscription(change) => {
            update_subscription::find_forgotten(tools, context, change).await?.map_or(Met::Unsure, Met::Done)
        }
        _ => Met::Nothing,
    };
    if let Met::Done(done) = met {
        return Ok(done);
    }
    if let Some(ended) = written(tools, context, since).await? {
        return Ok(Some(ended));
    }
    Ok(match met {
        Met::Other(refused) => Some(refused),
        Met::Unsure if tools.billing.is_some() => Some(Performed::refusal(
            "whether this change was made already cannot be seen",
            "do not claim it; escalate with what the customer asked for",
        )),
        Met::Done(_) | Met::Unsure | Met::Nothing => None,
    })
}

/// What was found of an effect.
enum Met {
    /// This very effect of this run: what it came to, or `None` where the tool finds it under the step's own key.
    Done(Option<Performed>),
    /// One like it, which must not be followed by this one.
    Other(Performed),
    /// It cannot be known.
    Unsure,
    /// It was not made.
    Nothing,
}

async fn refund_met(
    tools: &Tools,
    context: &Context<'_>,
    refund: &CreateRefund,
    since: Timestamp,
) -> Result<Met, Error> {
    let mut made = tools.stripe.refunds_for_ticket(&refund.payment, context.ticket.id, since).await?;
    if made.iter().any(|(key, _)| key == context.key.as_str()) {
        return Ok(Met::Done(None));
    }
    // One that the entries know is no forgotten one, and an equal one may follow it: a person allowed that, seeing the first.
    made.retain(|(_, done)| !context.refunds_known.contains(done.id.as_str()));
    let is_this = |key: &str, amount| IdempotencyKey::is_of(key, context.run) && amount == refund.amount();
    if let Some((_, done)) = made.iter().find(|(key, done)| is_this(key, done.amount) && done.counts()) {
        return Ok(Met::Done(Some(create_refund::confirmed(context, refund, done))));
    }
    Ok(made.first().map_or(Met::Nothing, |(_, other)| {
        Met::Other(Performed::refusal(
            format!("{} of this payment was given back already, as refund {}", other.amount, other.id),
            "do not refund again; escalate with what you found",
        ))
    }))
}

/// Whether a forgotten step has written to the ticket: it was ending, and whoever reads the ticket sees how.
async fn written(tools: &Tools, context: &Context<'_>, since: Timestamp) -> Result<Option<Performed>, Error> {
    let own = context.key.as_str();
    let of_ticket = format!("eff_{}_", context.ticket.id);
    let is_own = |mark: &str| mark == own || mark.strip_prefix(own).is_some_and(|part| part.starts_with('.'));
    // What was written before the customer's newest words answered others. Both times are the helpdesk's.
    let asked_at = context.ticket.newest_request().map_or(Timestamp::MIN, |message| message.at);
    let earliest = since.saturating_sub(SignedDuration::from_secs(CLOCKS_DIFFER_S)).unwrap_or(since);
    let marks = tools.zendesk.marks_since(context.ticket.id, &of_ticket, earliest.max(asked_at)).await?;
    let is_forgotten = marks.iter().any(|mark| !is_own(mark));
    Ok(is_forgotten.then(|| Performed::Person { agent: None, how: "restored".to_owned() }))
}
