//! What can happen in a world. Events are the ledger's lines: add variants and optional fields, never change one.
//! What an event does to the state is in `state.rs`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::money::Currency;
use crate::sim::world_file::SubscriptionStatus;

/// One thing that happened. Every change of a world's state is one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The world began; always the first line.
    Started {
        /// The world's name.
        world: String,
        /// The seed of its faults.
        seed: u64,
    },
    /// A ticket of the file arrived.
    TicketArrived {
        /// Its number.
        ticket: i64,
    },
    /// The next happening of a ticket's `then` came.
    ThenHappened {
        /// The ticket.
        ticket: i64,
        /// Its place in the ticket's `then`, from 0.
        index: usize,
    },
    /// A ticket was opened over the API.
    TicketCreated {
        /// The ticket; its number is given by the state.
        ticket: NewTicket,
    },
    /// One `PUT /tickets/{id}` that passed: one audit.
    TicketUpdated {
        /// The ticket.
        ticket: i64,
        /// What it changed.
        update: TicketUpdate,
    },
    /// An access token was given out.
    TokenIssued {
        /// The token.
        token: String,
        /// Granted scopes, separated by spaces.
        scope: String,
        /// When it ends.
        expires: Timestamp,
    },
    /// An answer was stored under an idempotency key.
    KeyStored {
        /// `stripe`, `billing` or `zendesk`.
        vendor: String,
        /// The key as sent.
        key: String,
        /// What the key was used for; the same key with another fingerprint is a conflict.
        fingerprint: String,
        /// The HTTP status that was answered.
        status: u16,
        /// The body that was answered.
        body: Value,
    },
    /// A refund was made.
    RefundCreated {
        /// The refund.
        refund: Refund,
    },
    /// A refund's status changed (`pending` → `succeeded`, `failed` …).
    RefundChanged {
        /// The refund.
        id: String,
        /// The new status.
        status: String,
    },
    /// A subscription was changed.
    SubscriptionChanged {
        /// Which.
        subscription: String,
        /// The simulator that was asked: `stripe` or `billing`.
        vendor: String,
        /// The idempotency key, if one was sent.
        key: Option<String>,
        /// The change as asked, in the words of `update_subscription` where they fit.
        change: Value,
        /// What it left behind; absent fields stay as they were.
        after: SubscriptionPatch,
    },
    /// The SMTP sink accepted a mail.
    MailAccepted {
        /// The mail.
        mail: Mail,
    },
    /// The vendors' clock jumped.
    ClockJumped {
        /// By so many seconds; less than 0 is back.
        by_s: i64,
    },
    /// Numbers of a vendor's route grew: requests, tokens, refusals.
    Counted {
        /// The vendor.
        vendor: String,
        /// The route or kind, such as `GET /tickets/{id}`.
        route: String,
        /// What grew by how much; `requests` is the usual one.
        add: BTreeMap<String, u64>,
    },
    /// A vendor keeps something of its own over a restart; the newest value of a key counts.
    Kept {
        /// The vendor.
        vendor: String,
        /// The key.
        key: String,
        /// The value.
        value: Value,
    },
}

/// A refund of the world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refund {
    /// Its id.
    pub id: String,
    /// The payment that it hangs on.
    pub payment: String,
    /// Minor units.
    pub amount_minor: i64,
    /// Of this currency.
    pub currency: Currency,
    /// When.
    pub at: Timestamp,
    /// `succeeded`, `pending`, `requires_action`, `failed` or `canceled`.
    pub status: String,
    /// Stripe's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The key under which it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// What the caller attached.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// Made while the world ran (not from `payments.jsonl`).
    #[serde(default)]
    pub made_here: bool,
}

impl Refund {
    /// Whether the money is gone or on its way.
    pub fn counts(&self) -> bool {
        self.status != "failed" && self.status != "canceled"
    }
}

/// What a change leaves behind on a subscription.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubscriptionPatch {
    /// The plan's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Seats or units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// The state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<SubscriptionStatus>,
    /// The end of the paid period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_end: Option<Timestamp>,
    /// Whether it ends then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_at_period_end: Option<bool>,
    /// Whether it rests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Until when it rests; `Some(None)` is no end.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub paused_until: Option<Option<Timestamp>>,
    /// What the caller attached, merged over what was there.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// A mail that the sink accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mail {
    /// The envelope's sender; empty for a bounce.
    pub envelope_from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// The `Subject`, decoded.
    pub subject: String,
    /// The `Message-ID`, with its angle brackets; empty when the mail has none.
    pub message_id: String,
    /// When it was accepted.
    pub at: Timestamp,
    /// The header block: names as written, values unfolded, in order.
    pub headers: Vec<(String, String)>,
    /// The whole mail as it came, dots unstuffed.
    pub raw: String,
}

impl Mail {
    /// The value of the first header with this name, whatever the case of its letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A comment to write.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NewComment {
    /// The user who is shown as its author.
    pub author: i64,
    /// Whether the customer can read it.
    pub public: bool,
    /// Plain text.
    pub body: String,
    /// HTML, without the wrapping element.
    pub html: String,
    /// Zendesk's warnings about the author.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<u32>,
}

/// A ticket opened over the API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NewTicket {
    /// The subject.
    pub subject: String,
    /// Who asks.
    pub requester: i64,
    /// Who opened it.
    pub submitter: i64,
    /// The first comment.
    pub comment: NewComment,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The status, `new` unless given.
    #[serde(default)]
    pub status: Option<String>,
    /// The closed ticket that this one follows.
    #[serde(default)]
    pub follows: Option<i64>,
    /// Free text of the caller.
    #[serde(default)]
    pub external_id: Option<String>,
    /// Low, normal, high, urgent.
    #[serde(default)]
    pub priority: Option<String>,
    /// The owner.
    #[serde(default)]
    pub assignee: Option<i64>,
    /// The group.
    #[serde(default)]
    pub group: Option<i64>,
    /// What the caller attached; goes to `metadata.custom`.
    #[serde(default)]
    pub custom: Map<String, Value>,
    /// The caller's `User-Agent`.
    #[serde(default)]
    pub client: String,
}

/// What one update of a ticket changes; absent fields stay as they were.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TicketUpdate {
    /// Who updates.
    pub author: i64,
    /// A comment.
    pub comment: Option<NewComment>,
    /// The status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The owner; `Some(None)` unassigns.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub assignee: Option<Option<i64>>,
    /// The group; `Some(None)` takes it away.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub group: Option<Option<i64>>,
    /// The whole new list of tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// The subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Problem, incident, question, task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Free text of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Fields: id → value, merged.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_fields: BTreeMap<i64, Value>,
    /// What the caller attached; goes to `metadata.custom`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub custom: Map<String, Value>,
    /// The caller's `User-Agent`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// `api`, `email` or `web`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub channel: String,
}

/// Tells a null that is there from a key that is not.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}
