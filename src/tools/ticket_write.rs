//! Writing to a ticket once, and only while it is still ours: every write carries our mark and the stamp that was read, and
//! before any other effect the ticket is looked at again.
//!
//! A write whose answer was lost may still be running. It carries the stamp that it was sent under: once the ticket has
//! another stamp it either has landed, or it will be refused. So the order never changes: read the stamp, then look for our
//! mark, then send under that stamp. Whatever landed before the stamp was read is found by its mark; whatever lands after it
//! moves the stamp, and our write is refused.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Answer, Context, Error, Performed, STILL_RUNNING, Tools};
use crate::clients::zendesk::{Assignee, CLOSED, TicketHead, TicketUpdate, UPDATE_CONFLICT, Updated};
use crate::ids::{CommentId, GroupId, TicketId};
use crate::intent::Priority;
use crate::ticket::{Message, Overtaken, Ticket, TicketStatus, overtaken};

/// A ticket's stamp counts whole seconds: a write in the second of the last change would leave the stamp as it was, and a
/// second write under the same stamp would pass. So a write waits until so much later by the helpdesk's own time, in
/// milliseconds.
const STAMP_SETTLES_MS: i64 = 1_500;
/// How often a write is tried again at once because something that does not matter moved the stamp.
const STAMP_TRIES: u32 = 4;

/// Looks at the ticket before an effect elsewhere: `Some` when the effect must not happen.
pub(super) async fn guard(tools: &Tools, context: &Context<'_>) -> Result<Option<Performed>, Error> {
    if context.taken_over {
        return Ok(Some(taken_over()));
    }
    let Some(head) = head(tools, context.ticket.id).await? else { return Ok(Some(gone("deleted"))) };
    let known = context.ticket;
    if head.updated_at == known.updated_at && head.status == known.status && head.assignee == known.assignee {
        return Ok(None);
    }
    let now = whole(tools, context, head).await?;
    let stamp = now.updated_at;
    Ok(match overtaken(known, &now, tools.me) {
        Overtaken::No => None,
        Overtaken::Customer { messages } => Some(Performed::CustomerWrote { messages, stamp }),
        Overtaken::Person { agent, how } => Some(Performed::Person { agent, how: how.to_owned() }),
    })
}

/// Looks once more between the two writes of a hand-over: a person who took the ticket in the very second of the first one
/// did not move its stamp.
pub(super) async fn taken_meanwhile(tools: &Tools, context: &Context<'_>) -> Result<Option<Performed>, Error> {
    settle(tools, context.ticket.updated_at).await;
    let Some(head) = head(tools, context.ticket.id).await? else { return Ok(Some(gone("deleted"))) };
    let now = whole(tools, context, head).await?;
    Ok(match overtaken(context.ticket, &now, tools.me) {
        Overtaken::Person { agent, how } => Some(Performed::Person { agent, how: how.to_owned() }),
        Overtaken::No | Overtaken::Customer { .. } => None,
    })
}

/// The ticket without its messages; `None` when it is gone.
async fn head(tools: &Tools, id: TicketId) -> Result<Option<TicketHead>, Error> {
    match tools.zendesk.head(id).await {
        Ok(head) if head.status == TicketStatus::Deleted => Ok(None),
        Ok(head) => Ok(Some(head)),
        Err(error) if error.status() == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn whole(tools: &Tools, context: &Context<'_>, head: TicketHead) -> Result<Ticket, Error> {
    let messages: Vec<Message> = tools.zendesk.messages(head.id, context.ticket.requester.id, tools.me).await?;
    Ok(head.into_ticket(messages))
}

fn gone(how: &str) -> Performed {
    Performed::Person { agent: None, how: how.to_owned() }
}

fn taken_over() -> Performed {
    gone("page")
}

/// What a refusal says of the ticket: it is closed or gone, and no write will ever pass.
fn ended(error: &Error) -> Option<&'static str> {
    match (error.status(), error.code()) {
        (Some(404), _) => Some("deleted"),
        (_, Some(CLOSED)) => Some("closed"),
        _ => None,
    }
}

/// What a closing write changes besides its comment.
pub(super) struct Write {
    /// The public comment.
    pub html: String,
    /// The status after it.
    pub status: TicketStatus,
    /// Who has it after.
    pub assignee: Assignee,
    /// The group after; `None`: as it is.
    pub group: Option<GroupId>,
    /// The priority after; `None`: as it is.
    pub priority: Option<Priority>,
    /// A tag that says what we did.
    pub tag: &'static str,
    /// It hands the ticket over: new words of the customer do not stop it, the colleague reads them.
    pub hands_over: bool,
}

/// Writes a public comment and closes the agent's part, once.
pub(super) async fn write(tools: &Tools, context: &Context<'_>, write: Write) -> Result<Performed, Error> {
    let mut tags = context.ticket.tags.clone();
    if !tags.iter().any(|tag| tag == write.tag) {
        tags.push(write.tag.to_owned());
    }
    let update = TicketUpdate {
        ticket: context.ticket.id,
        requester: context.ticket.requester.id,
        comment: Some((write.html, true)),
        status: Some(write.status),
        assignee: write.assignee,
        group: write.group,
        priority: write.priority,
        tags: Some(tags),
        marker: context.key.clone(),
        part: None,
        stamp: context.ticket.updated_at,
    };
    match put(tools, context, update, write.hands_over).await? {
        Ok((stamp, reference)) => Ok(written(stamp, reference)),
        Err(overtaken) => Ok(overtaken),
    }
}

fn written(stamp: Timestamp, reference: String) -> Performed {
    Performed::Answer(Answer {
        output: json!({ "written": true }),
        reference: Some(reference),
        stamp: Some(stamp),
        ..Answer::default()
    })
}

/// Writes a note among colleagues before a hand-over, once; returns the stamp after it.
pub(super) async fn note(
    tools: &Tools,
    context: &Context<'_>,
    html: &str,
) -> Result<Result<Timestamp, Performed>, Error> {
    Ok(put(tools, context, note_update(context, html), true).await?.map(|(stamp, _)| stamp))
}

fn note_update(context: &Context<'_>, html: &str) -> TicketUpdate {
    TicketUpdate {
        ticket: context.ticket.id,
        requester: context.ticket.requester.id,
        comment: Some((html.to_owned(), false)),
        status: None,
        assignee: Assignee::Keep,
        group: None,
        priority: None,
        tags: None,
        marker: context.key.clone(),
        part: Some("note"),
        stamp: context.ticket.updated_at,
    }
}

/// Writes a note among colleagues, once, whoever has the ticket now: nothing in it depends on how the ticket stands. Refused
/// when the ticket is closed or gone.
pub(super) async fn tell(tools: &Tools, context: &Context<'_>, html: &str) -> Result<Performed, Error> {
    let mut update = note_update(context, html);
    for _ in 0..STAMP_TRIES {
        update.stamp = tools.zendesk.head(update.ticket).await?.updated_at;
        if let Some((stamp, reference)) = find(tools, &update).await? {
            return Ok(written(stamp, reference));
        }
        let Some(acting) = context.acting else { return not_sent(context, Performed::HELD_BACK) };
        settle(tools, update.stamp).await;
        match tools.zendesk.update(acting, &update).await {
            Ok(done) => {
                let (stamp, reference) = told(done);
                return Ok(written(stamp, reference));
            }
            Err(error) if error.code() == Some(UPDATE_CONFLICT) => {}
            Err(error) => return Err(error),
        }
    }
    Err(moving())
}

/// Our earlier try was not found: ends the step without it, but only once it cannot land any more. (Nobody's write moved the
/// stamp, so a try that is still running may.)
fn not_sent(context: &Context<'_>, instead: Performed) -> Result<Performed, Error> {
    if context.may_still_run {
        return Err(Error::unsure("zendesk", Some(STILL_RUNNING), "an earlier try may still be running"));
    }
    Ok(instead)
}

/// One marked, guarded write. A conflict is looked into: ours (an earlier try landed), someone else's, or nothing that
/// matters, which is tried again with the new stamp.
async fn put(
    tools: &Tools,
    context: &Context<'_>,
    mut update: TicketUpdate,
    hands_over: bool,
) -> Result<Result<(Timestamp, String), Performed>, Error> {
    if context.again
        && let Some(done) = find(tools, &update).await?
    {
        return Ok(Ok(done));
    }
    if context.taken_over {
        return not_sent(context, taken_over()).map(Err);
    }
    let Some(acting) = context.acting else { return not_sent(context, Performed::HELD_BACK).map(Err) };
    // Also behind a write of our own: the line may deliver this one twice, within the second of that stamp.
    settle(tools, update.stamp).await;
    for _ in 0..STAMP_TRIES {
        match tools.zendesk.update(acting, &update).await {
            Ok(done) => return Ok(Ok(told(done))),
            Err(error) if error.code() == Some(UPDATE_CONFLICT) => {}
            Err(error) => {
                return match ended(&error) {
                    Some(how) => Ok(Err(gone(how))),
                    None => Err(error),
                };
            }
        }
        // The stamp first, then the mark: see the head of this file.
        let Some(head) = head(tools, update.ticket).await? else { return Ok(Err(gone("deleted"))) };
        if let Some(done) = find(tools, &update).await? {
            return Ok(Ok(done));
        }
        if let Some(tags) = &mut update.tags {
            tags.extend(head.tags.iter().filter(|tag| !context.ticket.tags.contains(tag)).cloned());
            tags.sort();
            tags.dedup();
        }
        let stamp = head.updated_at;
        let now = whole(tools, context, head).await?;
        match overtaken(context.ticket, &now, tools.me) {
            Overtaken::Customer { messages } if !hands_over => {
                return Ok(Err(Performed::CustomerWrote { messages, stamp }));
            }
            Overtaken::No | Overtaken::Customer { .. } => update.stamp = stamp,
            Overtaken::Person { agent, how } => return Ok(Err(Performed::Person { agent, how: how.to_owned() })),
        }
        settle(tools, stamp).await;
    }
    Err(moving())
}

/// The ticket changes faster than we can write; nothing was done.
fn moving() -> Error {
    Error::retry("zendesk", None, "the ticket changed each time while it was written to")
}

/// Our write, if it is there.
async fn find(tools: &Tools, update: &TicketUpdate) -> Result<Option<(Timestamp, String)>, Error> {
    match tools.zendesk.find_marker_part(update.ticket, &update.marker, update.part).await {
        Ok(found) => Ok(found.map(told)),
        Err(error) if error.status() == Some(404) => Ok(None), // The ticket is gone; the write will say so.
        Err(error) => Err(error),
    }
}

fn told(done: Updated) -> (Timestamp, String) {
    let comment = done.comment.map_or_else(String::new, |CommentId(id)| format!("comment {id}"));
    (done.stamp, done.audit.map_or(comment, |audit| format!("audit {audit}")))
}

/// Waits until the second of a stamp has passed at the helpdesk. The stamp was read before, so its second has begun there:
/// the wait is never longer than the time to settle, whatever any clock says.
async fn settle(tools: &Tools, stamp: Timestamp) {
    let longest = SignedDuration::from_millis(STAMP_SETTLES_MS);
    let left = (stamp + longest).duration_since(tools.zendesk.now()).clamp(SignedDuration::ZERO, longest);
    tools.clock.sleep(left.unsigned_abs()).await;
}
