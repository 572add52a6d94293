//! The world's ledger as JSON: what really happened at the vendors, for `GET /_world` and for whoever checks a run.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::World;
use super::state::State;
use super::tickets::SimTicket;

impl World {
    /// Everything that happened, keyed by ticket id where it belongs to one. Keys stand in a fixed order.
    pub fn snapshot(&self) -> Value {
        let deeds = self.deeds();
        let world = self.lock();
        let tickets: serde_json::Map<String, Value> =
            world.tickets.iter().map(|(id, one)| (id.to_string(), ticket(&world, one))).collect();
        let refunds: Vec<Value> = world
            .refunds
            .iter()
            .filter(|refund| refund.made_here)
            .map(|refund| {
                json!({
                    "id": refund.id, "payment": refund.payment, "amount_minor": refund.amount_minor,
                    "currency": refund.currency, "status": refund.status, "reason": refund.reason, "at": refund.at,
                    "idempotency_key": refund.idempotency_key, "metadata": refund.metadata,
                })
            })
            .collect();
        let changes: Vec<Value> = world
            .subscription_changes
            .iter()
            .map(|change| {
                json!({
                    "subscription": change.subscription, "vendor": change.vendor, "key": change.key,
                    "change": change.change, "at": change.at,
                })
            })
            .collect();
        let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
        for mail in &world.mails {
            *copies.entry(&mail.message_id).or_default() += 1;
        }
        let mails: Vec<Value> = world
            .mails
            .iter()
            .map(|mail| {
                json!({
                    "to": mail.to, "subject": mail.subject, "message_id": mail.message_id, "at": mail.at,
                    "auto_submitted": mail.header("Auto-Submitted"), "reply_to": mail.header("Reply-To"),
                    "headers": mail.headers,
                })
            })
            .collect();
        let duplicates: Vec<Value> = copies
            .iter()
            .filter(|(id, count)| **count > 1 && !id.is_empty())
            .map(|(id, count)| json!({ "message_id": id, "count": count }))
            .collect();
        let outbox: Vec<Value> = world
            .outbox
            .iter()
            .map(|mail| {
                json!({
                    "ticket": mail.ticket, "comment": mail.comment, "trigger": mail.trigger, "to": mail.to,
                    "at": mail.at,
                })
            })
            .collect();
        json!({
            "world": world.files.name,
            "started": world.started,
            "now": world.now(),
            "skew_s": world.skew_s,
            "seed": self.seed(),
            "all_arrived": !world.has_arrivals(),
            "next_event_at": world.next_due().map(|(at, _)| at),
            "bot": world.bot,
            "tickets": tickets,
            "refunds": refunds,
            "subscription_changes": changes,
            "mails": mails,
            "duplicate_mails": duplicates,
            "outbox": outbox,
            "counters": world.counters,
            "deeds": deeds,
            "doubled": deeds.doubled(),
        })
    }
}

fn ticket(world: &State, ticket: &SimTicket) -> Value {
    let name = |id: Option<i64>| id.and_then(|id| world.users.get(&id)).map(|user| user.name.clone());
    let group = ticket.group.and_then(|id| world.groups.iter().find(|(known, _)| *known == id)).map(|(_, name)| name);
    let comments: Vec<Value> = ticket
        .comments
        .iter()
        .map(|comment| {
            let by = match world.users.get(&comment.author) {
                Some(_) if comment.author == world.bot => "deskhand",
                Some(user) if user.is_staff() => "person",
                _ => "requester",
            };
            let audit = ticket.audit_of(comment);
            json!({
                "id": comment.id, "author": comment.author, "by": by, "name": name(Some(comment.author)),
                "public": comment.public, "body": comment.body, "at": comment.at,
                "marker": audit.map(|audit| &audit.custom), "flags": audit.map(|audit| &audit.flags),
            })
        })
        .collect();
    json!({
        "subject": ticket.subject, "status": ticket.status, "assignee": name(ticket.assignee),
        "assignee_id": ticket.assignee, "group": group, "tags": ticket.tags, "priority": ticket.priority,
        "requester": world.users.get(&ticket.requester).and_then(|user| user.email()),
        "created": ticket.created, "updated": ticket.updated, "follows": ticket.follows,
        "followups": ticket.followups, "updates": ticket.audits.len(), "comments": comments,
    })
}
