//! Writing to a ticket once, and only while it is still ours: every write carries our mark and the stamp that was read, and
//! before any other effect the ticket is looked at again.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Answer, Context, Error, Performed, Tools};
use crate::clients::zendesk::{Assignee, TicketHead, TicketUpdate, UPDATE_CONFLICT, Updated};
use crate::ids::{CommentId, GroupId, UserId};
use crate::intent::Priority;
use crate::ticket::{Author, Message, Ticket, TicketStatus};

/// What happened on a ticket since it was read.
#[derive(Debug, PartialEq)]
pub enum Overtaken {
    /// Nothing that matters: tags, fields, our own writes.
    No {
        /// The stamp now.
        stamp: Timestamp,
    },
    /// The requester wrote again.
    Customer {
        /// What, oldest first.
        messages: Vec<Message>,
        /// The stamp now.
        stamp: Timestamp,
    },
    /// A person has it, or it is closed.
    Person {
        /// Who, where known.
        agent: Option<UserId>,
        /// `assigned`, `replied`, `closed`.
        how: &'static str,
    },
}

/// Compares a ticket as the run knows it with how it stands now. Pure.
pub fn overtaken(known: &Ticket, head: &TicketHead, messages: &[Message], me: UserId) -> Overtaken {
    if matches!(head.status, TicketStatus::Closed | TicketStatus::Deleted) {
        return Overtaken::Person { agent: None, how: "closed" };
    }
    let newest_known = known.messages.iter().map(|message| message.id).max().unwrap_or(CommentId(0));
    let fresh = || messages.iter().filter(|message| message.public && message.id > newest_known);
    if let Some(reply) = fresh().find(|message| message.author == Author::Agent) {
        return Overtaken::Person { agent: Some(reply.author_id), how: "replied" };
    }
    if let Some(person) = head.assignee.filter(|assignee| *assignee != me && known.assignee != Some(*assignee)) {
        return Overtaken::Person { agent: Some(person), how: "assigned" };
    }
    let wrote: Vec<Message> = fresh().filter(|message| message.author == Author::Requester).cloned().collect();
    if wrote.is_empty() {
        Overtaken::No { stamp: head.updated_at }
    } else {
        Overtaken::Customer { messages: wrote, stamp: head.updated_at }
    }
}

impl From<Overtaken> for Option<Performed> {
    fn from(overtaken: Overtaken) -> Self {
        match overtaken {
            Overtaken::No { .. } => None,
            Overtaken::Customer { messages, stamp } => Some(Performed::CustomerWrote { messages, stamp }),
            Overtaken::Person { agent, how } => Some(Performed::Person { agent, how: how.to_owned() }),
        }
    }
}

/// Looks at the ticket before an effect elsewhere: `Some` when the effect must not happen.
pub(super) async fn guard(tools: &Tools, context: &Context<'_>) -> Result<Option<Performed>, Error> {
    let head = tools.zendesk.head(context.ticket.id).await?;
    if head.updated_at == context.ticket.updated_at && head.status == context.ticket.status {
        return Ok(None);
    }
    look(tools, context, head).await.map(Into::into)
}

async fn look(tools: &Tools, context: &Context<'_>, head: TicketHead) -> Result<Overtaken, Error> {
    let messages = tools.zendesk.messages(head.id, context.ticket.requester.id, tools.me).await?;
    Ok(overtaken(context.ticket, &head, &messages, tools.me))
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
    /// The stamp is of a write that this very step made a moment ago.
    pub stamp_is_ours: bool,
}

/// A ticket's stamp counts whole seconds: a write in the second of the last change would leave the stamp as it was, and a
/// second write under the same stamp would pass. So the first write waits until so much later, in milliseconds; the margin is
/// for the difference between two clocks.
const STAMP_SETTLES_MS: i64 = 1_500;
/// How often a write is tried again at once because something that does not matter moved the stamp.
const STAMP_TRIES: u32 = 4;

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
    match put(tools, context, update, write.stamp_is_ours).await? {
        Ok((stamp, reference)) => Ok(Performed::Answer(Answer {
            output: json!({ "written": true }),
            reference: Some(reference),
            stamp: Some(stamp),
            ..Answer::default()
        })),
        Err(overtaken) => Ok(overtaken),
    }
}

/// Writes a note among colleagues, once; returns the stamp after it.
pub(super) async fn note(
    tools: &Tools,
    context: &Context<'_>,
    html: &str,
) -> Result<Result<Timestamp, Performed>, Error> {
    let update = TicketUpdate {
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
    };
    Ok(put(tools, context, update, false).await?.map(|(stamp, _)| stamp))
}

/// One marked, guarded write. A conflict is looked into: ours (an earlier try landed), someone else's, or nothing that
/// matters, which is tried again with the new stamp.
async fn put(
    tools: &Tools,
    context: &Context<'_>,
    mut update: TicketUpdate,
    stamp_is_ours: bool,
) -> Result<Result<(Timestamp, String), Performed>, Error> {
    let written = |done: Updated| (done.stamp, done.audit.map_or_else(String::new, |audit| format!("audit {audit}")));
    if context.again
        && let Some(done) = tools.zendesk.find_marker_part(update.ticket, &update.marker, update.part).await?
    {
        return Ok(Ok(written(done)));
    }
    if !stamp_is_ours {
        tools.clock.sleep_until(update.stamp + SignedDuration::from_millis(STAMP_SETTLES_MS)).await;
    }
    let mut tries = 0;
    loop {
        let conflict = match tools.zendesk.update(&update).await {
            Ok(done) => return Ok(Ok(written(done))),
            Err(error) if error.code() == Some(UPDATE_CONFLICT) => error,
            Err(error) => return Err(error),
        };
        tries += 1;
        if let Some(done) = tools.zendesk.find_marker_part(update.ticket, &update.marker, update.part).await? {
            return Ok(Ok(written(done)));
        }
        if tries >= STAMP_TRIES {
            return Err(conflict);
        }
        let head = tools.zendesk.head(update.ticket).await?;
        if let Some(tags) = &mut update.tags {
            tags.extend(head.tags.iter().filter(|tag| !context.ticket.tags.contains(tag)).cloned());
            tags.dedup();
        }
        match look(tools, context, head).await? {
            Overtaken::No { stamp } => update.stamp = stamp,
            other => {
                let overtaken: Option<Performed> = other.into();
                return Ok(Err(overtaken.expect("only `No` yields nothing")));
            }
        }
    }
}
