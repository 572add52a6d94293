//! Opening and changing tickets: one audit each, and the mails of triggers.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::event::{NewComment, NewTicket, TicketUpdate};
use super::super::tickets::{Audit, AuditEvent, Comment, OutboxMail, SimTicket, User, whole_second};
use super::State;
use crate::sim::world_file::{Attachment, Channel, TicketStatus, When};

/// Trigger titles of a new Zendesk account.
pub(super) const ACKNOWLEDGED: &str = "Notify requester and CCs of received request";
const COMMENTED: &str = "Notify requester and CCs of comment update";
const PROACTIVE: &str = "Notify requester of new proactive ticket";

impl State {
    pub(super) fn create(&mut self, at: Timestamp, new: &NewTicket) {
        let id = self.next_ticket;
        self.next_ticket += 1;
        let mut ticket = SimTicket {
            id,
            created: whole_second(at),
            updated: whole_second(at),
            generated: self.exported(at),
            subject: new.subject.clone(),
            channel: Channel::Api,
            requester: new.requester,
            submitter: new.submitter,
            assignee: new.assignee,
            group: new.group,
            status: status_of(new.status.as_deref()).unwrap_or(TicketStatus::New),
            priority: new.priority.clone(),
            kind: None,
            external_id: new.external_id.clone(),
            tags: sorted(&new.tags),
            ccs: Vec::new(),
            custom_fields: BTreeMap::new(),
            comments: Vec::new(),
            past_comments: 0,
            audits: Vec::new(),
            follows: new.follows,
            followups: Vec::new(),
            origin: None,
            next_part: 0,
        };
        if ticket.assignee.is_some() && ticket.status == TicketStatus::New {
            ticket.status = TicketStatus::Open;
        }
        let mut audit = new_audit(&mut ticket, at, new.submitter, Channel::Api);
        audit.custom = new.custom.clone();
        audit.client.clone_from(&new.client);
        created_events(&mut ticket, &mut audit);
        add_comment(&mut ticket, &mut audit, &new.comment, &[]);
        if new.comment.public {
            let by_staff = self.users.get(&new.comment.author).is_some_and(User::is_staff);
            self.notify(&mut ticket, &mut audit, if by_staff { PROACTIVE } else { ACKNOWLEDGED });
        }
        ticket.audits.push(audit);
        if let Some(source) = new.follows.and_then(|source| self.tickets.get_mut(&source)) {
            source.followups.push(id);
        }
        self.tickets.insert(id, ticket);
    }

    pub(super) fn update(&mut self, at: Timestamp, id: i64, update: &TicketUpdate) {
        let Some(mut ticket) = self.tickets.remove(&id) else { return };
        let channel = Channel::ALL.iter().find(|(word, _)| *word == update.channel).map_or(Channel::Api, |(_, c)| *c);
        let mut audit = new_audit(&mut ticket, at, update.author, channel);
        audit.custom = update.custom.clone();
        audit.client.clone_from(&update.client);
        if let Some(comment) = &update.comment {
            audit.flags.clone_from(&comment.flags);
            add_comment(&mut ticket, &mut audit, comment, &[]);
        }
        self.change_fields(&mut ticket, &mut audit, update);
        let public = update.comment.as_ref().is_some_and(|comment| comment.public);
        let from_staff = self.users.get(&update.author).is_some_and(User::is_staff);
        if public && from_staff {
            self.notify(&mut ticket, &mut audit, COMMENTED);
        }
        // A stamp never goes back, and an update without an event moves nothing.
        if !audit.events.is_empty() {
            ticket.updated = ticket.updated.max(whole_second(at));
            ticket.generated = ticket.generated.max(self.exported(at));
        }
        let escalated = update.author == self.bot
            && matches!(update.group, Some(Some(_)))
            && !matches!(ticket.status, TicketStatus::Solved | TicketStatus::Closed);
        ticket.audits.push(audit);
        self.tickets.insert(id, ticket);
        if public && update.author == self.bot {
            self.woke(at, id, When::Answered);
        }
        if escalated {
            self.woke(at, id, When::Escalated);
        }
    }

    pub(super) fn change_fields(&self, ticket: &mut SimTicket, audit: &mut Audit, update: &TicketUpdate) {
        let mut change = |ticket: &mut SimTicket, field: &str, new: Value, old: Value| {
            if new != old {
                let id = ticket.part();
                audit.events.push((id, AuditEvent::Change(field.to_owned(), new, old)));
            }
        };
        let id_text = |id: Option<i64>| id.map_or(Value::Null, |id| json!(id.to_string()));
        if let Some(subject) = &update.subject {
            let old = std::mem::replace(&mut ticket.subject, subject.clone());
            change(ticket, "subject", json!(subject), json!(old));
        }
        if let Some(assignee) = update.assignee {
            let old = std::mem::replace(&mut ticket.assignee, assignee);
            change(ticket, "assignee_id", id_text(assignee), id_text(old));
            if ticket.group.is_none() && update.group.is_none() {
                ticket.group = assignee.and_then(|id| self.users.get(&id)).and_then(|user| user.group);
                change(ticket, "group_id", id_text(ticket.group), Value::Null);
            }
        }
        if let Some(group) = update.group {
            let old = std::mem::replace(&mut ticket.group, group);
            change(ticket, "group_id", id_text(group), id_text(old));
        }
        let status = status_of(update.status.as_deref()).or_else(|| {
            (ticket.status == TicketStatus::New && ticket.assignee.is_some()).then_some(TicketStatus::Open)
        });
        if let Some(status) = status {
            let old = std::mem::replace(&mut ticket.status, status);
            change(ticket, "status", json!(status.as_str()), json!(old.as_str()));
        }
        if let Some(priority) = &update.priority {
            let old = ticket.priority.replace(priority.clone());
            change(ticket, "priority", json!(priority), json!(old));
        }
        if let Some(kind) = &update.kind {
            let old = ticket.kind.replace(kind.clone());
            change(ticket, "type", json!(kind), json!(old));
        }
        if let Some(external) = &update.external_id {
            let old = ticket.external_id.replace(external.clone());
            change(ticket, "external_id", json!(external), json!(old));
        }
        if let Some(tags) = &update.tags {
            let new = sorted(tags);
            let old = std::mem::replace(&mut ticket.tags, new.clone());
            change(ticket, "tags", json!(new), json!(old));
        }
        for (field, value) in &update.custom_fields {
            let old = ticket.custom_fields.insert(*field, value.clone()).unwrap_or(Value::Null);
            change(ticket, &field.to_string(), value.clone(), old);
        }
    }

    /// A trigger mails the requester and those in copy.
    pub(super) fn notify(&mut self, ticket: &mut SimTicket, audit: &mut Audit, trigger: &'static str) {
        let Some(comment) = ticket.comments.last().map(|comment| comment.id) else { return };
        let mut recipients = vec![ticket.requester];
        recipients.extend(ticket.ccs.iter().filter(|id| **id != ticket.requester));
        let addresses = recipients.iter().filter_map(|id| self.users.get(id)?.email().map(str::to_owned)).collect();
        let id = ticket.part();
        audit.events.push((id, AuditEvent::Notification { trigger, recipients }));
        self.outbox.push(OutboxMail { ticket: ticket.id, comment, trigger, to: addresses, at: audit.at });
    }
}

pub(in crate::sim) fn status_of(word: Option<&str>) -> Option<TicketStatus> {
    TicketStatus::ALL.iter().find(|(known, _)| Some(*known) == word).map(|(_, status)| *status)
}

/// Tags in Zendesk's form: lower case, no spaces, sorted, each once.
pub(super) fn sorted(tags: &[String]) -> Vec<String> {
    let clean = |tag: &String| tag.trim().to_lowercase().replace(char::is_whitespace, "_");
    let set: BTreeSet<String> = tags.iter().map(clean).filter(|tag| !tag.is_empty()).collect();
    set.into_iter().collect()
}

pub(super) fn new_audit(ticket: &mut SimTicket, at: Timestamp, author: i64, channel: Channel) -> Audit {
    Audit {
        id: ticket.part(),
        at: whole_second(at),
        author,
        channel,
        client: String::new(),
        custom: Map::new(),
        flags: Vec::new(),
        headers: BTreeMap::new(),
        events: Vec::new(),
    }
}

pub(super) fn created_events(ticket: &mut SimTicket, audit: &mut Audit) {
    let values = [
        ("subject", json!(ticket.subject)),
        ("requester_id", json!(ticket.requester.to_string())),
        ("priority", json!(ticket.priority)),
        ("type", json!(ticket.kind)),
        ("status", json!(ticket.status.as_str())),
    ];
    for (field, value) in values {
        let id = ticket.part();
        audit.events.push((id, AuditEvent::Create(field, value)));
    }
}

pub(super) fn add_comment(ticket: &mut SimTicket, audit: &mut Audit, new: &NewComment, attachments: &[Attachment]) {
    let id = ticket.part();
    let attachments = attachments
        .iter()
        .map(|file| (ticket.part(), file.name.clone(), file.kind.clone(), file.text.clone()))
        .collect();
    audit.events.push((id, AuditEvent::Comment(id)));
    ticket.comments.push(Comment {
        id,
        audit: audit.id,
        author: new.author,
        public: new.public,
        body: new.body.clone(),
        html: new.html.clone(),
        at: audit.at,
        channel: audit.channel,
        attachments,
    });
}
