//! Tickets, comments, audits and users as the world holds them. Their JSON is in `zendesk.rs`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::sim::world_file::{Channel, TicketStatus};

/// A user of the helpdesk.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// The number.
    pub id: i64,
    /// The name.
    pub name: String,
    /// The addresses, the first being the main one, each with whether it is verified.
    pub addresses: Vec<(String, bool)>,
    /// `end-user`, `agent` or `admin`.
    pub role: &'static str,
    /// The id in the shop's own records.
    pub external_id: Option<String>,
    /// The organization, by name.
    pub organization: Option<String>,
    /// The main group of an agent.
    pub group: Option<i64>,
    /// Since when.
    pub created: Timestamp,
    /// The customer of the world that this is, if one.
    pub customer: Option<String>,
}

impl User {
    /// The main address.
    pub fn email(&self) -> Option<&str> {
        self.addresses.first().map(|(address, _)| address.as_str())
    }
    /// Whether the main address is verified.
    pub fn verified(&self) -> bool {
        self.addresses.first().is_some_and(|(_, verified)| *verified)
    }
    /// Whether this is an agent or an admin.
    pub fn is_staff(&self) -> bool {
        self.role != "end-user"
    }
}

/// A comment of a ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    /// The number; larger means later within a ticket.
    pub id: i64,
    /// The audit that brought it.
    pub audit: i64,
    /// Who is shown as its author.
    pub author: i64,
    /// Whether the customer can read it.
    pub public: bool,
    /// Plain text.
    pub body: String,
    /// HTML, without the wrapping element.
    pub html: String,
    /// When, to the second.
    pub at: Timestamp,
    /// How it came in.
    pub channel: Channel,
    /// Names, media types and texts of files with it.
    pub attachments: Vec<(i64, String, String, Option<String>)>,
}

/// What one update did.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// The number.
    pub id: i64,
    /// When, to the second.
    pub at: Timestamp,
    /// Who updated.
    pub author: i64,
    /// How it came in.
    pub channel: Channel,
    /// The caller's `User-Agent`.
    pub client: String,
    /// What the caller attached: `metadata.custom`.
    pub custom: Map<String, Value>,
    /// Zendesk's warnings about the author: `metadata.flags`.
    pub flags: Vec<u32>,
    /// The mail's headers, where the world gives them.
    pub headers: BTreeMap<String, String>,
    /// Its events, with their numbers.
    pub events: Vec<(i64, AuditEvent)>,
}

/// One event of an audit.
#[derive(Debug, Clone, PartialEq)]
pub enum AuditEvent {
    /// A comment, by number.
    Comment(i64),
    /// A field's first value.
    Create(&'static str, Value),
    /// A field's change: new, then old value.
    Change(String, Value, Value),
    /// A trigger mailed somebody.
    Notification {
        /// The trigger's title.
        trigger: &'static str,
        /// The users who were mailed.
        recipients: Vec<i64>,
    },
}

/// A mail that a trigger sent to people outside: what a customer really gets to see.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxMail {
    /// The ticket.
    pub ticket: i64,
    /// The comment that it carries.
    pub comment: i64,
    /// The trigger's title.
    pub trigger: &'static str,
    /// The addresses.
    pub to: Vec<String>,
    /// When.
    pub at: Timestamp,
}

/// A ticket as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct SimTicket {
    /// The number.
    pub id: i64,
    /// When it was made, to the second.
    pub created: Timestamp,
    /// When it last changed, to the second: the stamp of `safe_update`.
    pub updated: Timestamp,
    /// When the export saw it last, to the second: like `updated`, but without the jumps of the vendors' clock.
    pub generated: Timestamp,
    /// The subject.
    pub subject: String,
    /// How it came in.
    pub channel: Channel,
    /// Who asks.
    pub requester: i64,
    /// Who opened it.
    pub submitter: i64,
    /// Who owns it.
    pub assignee: Option<i64>,
    /// The group that it is in.
    pub group: Option<i64>,
    /// The status.
    pub status: TicketStatus,
    /// Low, normal, high, urgent.
    pub priority: Option<String>,
    /// Problem, incident, question, task.
    pub kind: Option<String>,
    /// Free text of a caller.
    pub external_id: Option<String>,
    /// The tags, sorted.
    pub tags: Vec<String>,
    /// Users in copy.
    pub ccs: Vec<i64>,
    /// Fields that were set.
    pub custom_fields: BTreeMap<i64, Value>,
    /// All comments, oldest first.
    pub comments: Vec<Comment>,
    /// How many of them stood on it before the world began.
    pub past_comments: usize,
    /// All audits, oldest first.
    pub audits: Vec<Audit>,
    /// The closed ticket that it follows.
    pub follows: Option<i64>,
    /// The tickets that follow it.
    pub followups: Vec<i64>,
    /// The ticket of the file, and the happening, that wrote the newest requester comment.
    pub origin: Option<(i64, Option<usize>)>,
    pub(super) next_part: i64,
}

impl SimTicket {
    /// The next number for a part (comment, audit, event) of this ticket: 14 digits, the same in every run of a world.
    pub(super) fn part(&mut self) -> i64 {
        self.next_part += 1;
        10_000_000_000_000 + self.id * 10_000 + self.next_part
    }
    /// The newest public comment of somebody else than staff.
    pub fn newest_requester_comment(&self, is_staff: impl Fn(i64) -> bool) -> Option<&Comment> {
        self.comments.iter().rev().find(|comment| comment.public && !is_staff(comment.author))
    }
    /// The audit that brought a comment.
    pub fn audit_of(&self, comment: &Comment) -> Option<&Audit> {
        self.audits.iter().find(|audit| audit.id == comment.audit)
    }
}

/// A number that depends on a text alone: 14 digits, stable over restarts and seeds.
pub(in crate::sim) fn stable_id(kind: &str, text: &str) -> i64 {
    // FNV-1a, 64 bits.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in kind.bytes().chain([0]).chain(text.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    20_000_000_000_000 + i64::try_from(hash % 70_000_000_000_000).expect("the remainder fits")
}

/// A time without its fraction: Zendesk's stamps have a resolution of one second.
pub(in crate::sim) fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
