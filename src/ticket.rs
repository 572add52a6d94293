//! A ticket as it stood when it walked in: who wrote what, and how the helpdesk filed it. No wire shapes: the client of the
//! helpdesk turns its JSON into these.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{CommentId, GroupId, TicketId, UserId};

/// Where a ticket stands at the helpdesk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketStatus {
    /// Nobody looked at it yet.
    New,
    /// Our turn.
    Open,
    /// The requester's turn.
    Pending,
    /// A third party's turn.
    Hold,
    /// Answered; a reply reopens it.
    Solved,
    /// For good: any write is refused.
    Closed,
    /// Deleted.
    Deleted,
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The ticket's requester.
    Requester,
    /// Another customer-side person: someone in copy, a forwarder.
    OtherEndUser,
    /// A colleague at the helpdesk.
    Agent,
    /// Ourselves.
    Deskhand,
}

/// A file that came with a message; its content is not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its name, as the sender chose it.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Its size in bytes.
    pub size: u64,
}

/// One comment of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The comment's number.
    pub id: CommentId,
    /// Whose words these are.
    pub author: Author,
    /// The helpdesk's number of the author.
    pub author_id: UserId,
    /// `false`: a note among colleagues.
    pub public: bool,
    /// When it was written.
    pub at: Timestamp,
    /// The text, made from HTML with hidden parts dropped, at most [`TEXT_MAX_BYTES`].
    pub text: String,
    /// Whether `text` was cut.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Files that came with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The helpdesk's warnings about the sender (4 machine mail, 14 doubtful sender, 20 and 21 reply-to mismatch, 22
    /// unverified address).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<i64>,
    /// Our marker, if we wrote it: the effect's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
}

/// The longest text of one message that is kept, in bytes; the rest is cut. A model never needs more.
pub const TEXT_MAX_BYTES: usize = 24_000;

/// The person whose ticket it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// The helpdesk's number.
    pub id: UserId,
    /// As the person or their mail program wrote it.
    pub name: String,
    /// Mail address, lower case; absent for users without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether the helpdesk has confirmed the address.
    pub verified: bool,
    /// The team's own id of the user, if they keep one at the helpdesk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// A ticket, as first read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Its number.
    pub id: TicketId,
    /// Its subject line.
    pub subject: String,
    /// Where it stands.
    pub status: TicketStatus,
    /// How it came in: `email`, `web`, `api` and others.
    pub channel: String,
    /// Whose it is.
    pub requester: Requester,
    /// Addresses in copy, lower case: they receive public answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<String>,
    /// The colleague it is assigned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<UserId>,
    /// The group it is filed under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Its tags, as filed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// The stamp: when it last changed, to the second. `safe_update` compares it.
    pub updated_at: Timestamp,
    /// The closed ticket that this one follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<TicketId>,
    /// All comments that were read, oldest first.
    pub messages: Vec<Message>,
}

impl Ticket {
    /// The newest public comment of the requester: what a run answers.
    pub fn newest_request(&self) -> Option<&Message> {
        self.messages.iter().rev().find(|m| m.public && m.author == Author::Requester)
    }

    /// The newest public comment of anybody.
    pub fn newest_public(&self) -> Option<&Message> {
        self.messages.iter().rev().find(|m| m.public)
    }
}

/// What happened on a ticket since it was read.
#[derive(Debug, PartialEq)]
pub enum Overtaken {
    /// Nothing that matters: tags, fields, our own writes.
    No,
    /// The requester wrote again.
    Customer {
        /// What, oldest first.
        messages: Vec<Message>,
    },
    /// A person has it, or it is closed.
    Person {
        /// Who, where known.
        agent: Option<UserId>,
        /// `assigned`, `replied`, `solved`, `closed`, `merged`, `deleted`.
        how: &'static str,
    },
}

/// The tag that the helpdesk leaves on a ticket that was merged into another.
const MERGED: &str = "closed_by_merge";

/// Compares a ticket as it is known with how it stands now. Pure; `me` is the user that we act as.
pub fn overtaken(known: &Ticket, now: &Ticket, me: UserId) -> Overtaken {
    let ended = |how| Overtaken::Person { agent: None, how };
    match now.status {
        TicketStatus::Deleted => return ended("deleted"),
        TicketStatus::Closed if now.tags.iter().any(|tag| tag == MERGED) => return ended("merged"),
        TicketStatus::Closed => return ended("closed"),
        _ => {}
    }
    let newest_known = known.messages.iter().map(|message| message.id).max().unwrap_or(CommentId(0));
    let fresh = || now.messages.iter().filter(|message| message.public && message.id > newest_known);
    if let Some(reply) = fresh().find(|message| message.author == Author::Agent) {
        return Overtaken::Person { agent: Some(reply.author_id), how: "replied" };
    }
    if let Some(person) = now.assignee.filter(|assignee| *assignee != me && known.assignee != Some(*assignee)) {
        return Overtaken::Person { agent: Some(person), how: "assigned" };
    }
    let ours = fresh().any(|message| message.author == Author::Deskhand);
    if now.status == TicketStatus::Solved && known.status != TicketStatus::Solved && !ours {
        return Overtaken::Person { agent: now.assignee.filter(|assignee| *assignee != me), how: "solved" };
    }
    let messages: Vec<Message> = fresh().filter(|message| message.author == Author::Requester).cloned().collect();
    if messages.is_empty() { Overtaken::No } else { Overtaken::Customer { messages } }
}

/// One of the requester's other tickets, as the list of the helpdesk shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierTicket {
    /// Its number.
    pub id: TicketId,
    /// Its subject line.
    pub subject: String,
    /// Where it stands.
    pub status: TicketStatus,
    /// When it was opened.
    pub created_at: Timestamp,
}
