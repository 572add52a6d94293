//! What happens by itself: tickets arrive, and what follows on them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::event::{NewComment, NewTicket, TicketUpdate};
use super::super::text;
use super::super::tickets::{SimTicket, whole_second};
use super::update::{ACKNOWLEDGED, add_comment, created_events, new_audit, sorted};
use super::{State, later};
use crate::sim::world_file::{By, Channel, Then, TicketFile, TicketStatus, When};

impl State {
    pub(super) fn arrive(&mut self, at: Timestamp, id: i64) {
        self.due.retain(|(_, ticket, index)| *ticket != id || index.is_some());
        let files = self.files.clone();
        let Some(file) = files.ticket(id) else { return };
        let requester = self.user_for(&file.from, at);
        let ccs: Vec<i64> = file.cc.iter().map(|sender| self.user_for(sender, at)).collect();
        let person = file.assignee.as_deref().map(|id| self.person_or_bot(id));
        let created = file.history.first().map_or(at, |past| past.at.min(at));
        let status = match file.status {
            Some(status) => status,
            None if file.history.is_empty() && person.is_none() => TicketStatus::New,
            None => TicketStatus::Open,
        };
        let mut ticket = SimTicket {
            id,
            created: whole_second(created),
            updated: whole_second(at),
            generated: self.exported(at),
            subject: file.subject.clone(),
            channel: file.channel,
            requester,
            submitter: requester,
            assignee: person,
            group: person.and_then(|id| self.users.get(&id)).and_then(|user| user.group),
            status,
            priority: None,
            kind: None,
            external_id: None,
            tags: sorted(&file.tags),
            ccs,
            custom_fields: BTreeMap::new(),
            comments: Vec::new(),
            past_comments: file.history.len(),
            audits: Vec::new(),
            follows: None,
            followups: Vec::new(),
            origin: Some((id, None)),
            next_part: 0,
        };
        for (index, past) in file.history.iter().enumerate() {
            let author = match past.by {
                By::Requester => requester,
                By::Deskhand => self.bot,
                By::Person => self.some_person(person),
            };
            let channel = if past.by == By::Requester { file.channel } else { Channel::Web };
            let mut audit = new_audit(&mut ticket, past.at, author, channel);
            let comment = NewComment {
                author,
                public: past.public,
                body: past.body.clone(),
                html: text::to_html(&past.body),
                flags: Vec::new(),
            };
            if index == 0 {
                created_events(&mut ticket, &mut audit);
            }
            add_comment(&mut ticket, &mut audit, &comment, &[]);
            ticket.audits.push(audit);
        }
        let mut audit = new_audit(&mut ticket, at, requester, file.channel);
        audit.flags = self.flags(file, requester);
        audit.headers.clone_from(&file.headers);
        let (body, html) = match (&file.body, &file.html) {
            (Some(body), None) => (body.clone(), text::to_html(body)),
            (Some(body), Some(html)) => (body.clone(), html.clone()),
            (None, Some(html)) => (text::to_plain(html), html.clone()),
            (None, None) => (String::new(), String::new()),
        };
        let comment = NewComment { author: requester, public: true, body, html, flags: Vec::new() };
        if ticket.audits.is_empty() {
            created_events(&mut ticket, &mut audit);
        }
        add_comment(&mut ticket, &mut audit, &comment, &file.attachments);
        if file.history.is_empty() && !audit.flags.contains(&4) && status == TicketStatus::New {
            self.notify(&mut ticket, &mut audit, ACKNOWLEDGED);
        }
        ticket.audits.push(audit);
        self.tickets.insert(id, ticket);
        self.stands_for.insert(id, id);
        self.scheduled.insert(id, vec![false; file.then.len()]);
        for (index, then) in file.then.iter().enumerate().filter(|(_, then)| then.when == When::After) {
            self.schedule(id, index, later(at, then.after_s));
        }
    }

    /// Flags of Zendesk on a sender: 4 machine-generated, 14 sender doubtful (a known address, not authenticated),
    /// 22 unverified address (of nobody known, or never confirmed).
    pub(super) fn flags(&self, file: &TicketFile, requester: i64) -> Vec<u32> {
        let mut flags = Vec::new();
        if is_machine(&file.headers) {
            flags.push(4);
        }
        if file.channel == Channel::Email && !file.from.verified {
            let known = self.users.get(&requester).is_some_and(|user| {
                let same = |(address, verified): &(String, bool)| {
                    *verified && address.eq_ignore_ascii_case(&file.from.address)
                };
                user.addresses.iter().any(same)
            });
            flags.push(if known { 14 } else { 22 });
        }
        flags
    }

    pub(super) fn schedule(&mut self, ticket: i64, index: usize, at: Timestamp) {
        if let Some(scheduled) = self.scheduled.get_mut(&ticket).and_then(|all| all.get_mut(index)) {
            *scheduled = true;
            self.due.insert((at, ticket, Some(index)));
        }
    }

    /// Schedules the next happening of a ticket that waits for this.
    pub(super) fn woke(&mut self, at: Timestamp, ticket: i64, when: When) {
        let files = self.files.clone();
        let Some(origin) = self.tickets.get(&ticket).and_then(|ticket| ticket.origin).map(|(file, _)| file) else {
            return;
        };
        let (Some(file), Some(scheduled)) = (files.ticket(origin), self.scheduled.get(&origin)) else { return };
        let waits = |(index, then): &(usize, &Then)| then.when == when && !scheduled[*index];
        if let Some((index, then)) = file.then.iter().enumerate().find(waits) {
            self.schedule(origin, index, later(at, then.after_s));
        }
    }

    pub(super) fn happen(&mut self, at: Timestamp, file_ticket: i64, index: usize) {
        self.due.retain(|(_, ticket, place)| *ticket != file_ticket || *place != Some(index));
        let files = self.files.clone();
        let Some(then) = files.ticket(file_ticket).and_then(|file| file.then.get(index)) else { return };
        let id = self.stands_for.get(&file_ticket).copied().unwrap_or(file_ticket);
        let Some(ticket) = self.tickets.get(&id) else { return };
        let (requester, status, channel) = (ticket.requester, ticket.status, ticket.channel);
        let body = then.body.clone().filter(|body| !body.is_empty());
        let closed = status == TicketStatus::Closed;
        match then.by {
            By::Requester if closed => self.follow_up(at, file_ticket, id, index, then),
            By::Requester => {
                let reopened = matches!(status, TicketStatus::Pending | TicketStatus::Solved | TicketStatus::Hold);
                let new_status = then.status.or_else(|| (reopened && body.is_some()).then_some(TicketStatus::Open));
                let wrote = body.is_some();
                self.update(
                    at,
                    id,
                    &TicketUpdate {
                        author: requester,
                        comment: body.map(|body| comment_of(requester, then.public, body)),
                        status: new_status.map(|status| status.as_str().to_owned()),
                        channel: channel.as_str().to_owned(),
                        ..TicketUpdate::default()
                    },
                );
                if let Some(ticket) = self.tickets.get_mut(&id).filter(|_| wrote) {
                    ticket.origin = Some((file_ticket, Some(index)));
                }
            }
            By::Person | By::Deskhand if closed => {}
            By::Person | By::Deskhand => {
                let named = then.assignee.as_deref().map(|id| self.person_or_bot(id));
                let owner = self.tickets.get(&id).and_then(|ticket| ticket.assignee);
                let author = self.some_person(named.or(owner));
                self.update(
                    at,
                    id,
                    &TicketUpdate {
                        author,
                        comment: body.map(|body| comment_of(author, then.public, body)),
                        status: then.status.map(|status| status.as_str().to_owned()),
                        assignee: named.map(Some),
                        channel: Channel::Web.as_str().to_owned(),
                        ..TicketUpdate::default()
                    },
                );
            }
        }
    }

    /// A reply to a closed ticket opens a new one that copies its tags.
    pub(super) fn follow_up(&mut self, at: Timestamp, file_ticket: i64, source: i64, index: usize, then: &Then) {
        let Some(old) = self.tickets.get(&source) else { return };
        let new = NewTicket {
            subject: old.subject.clone(),
            requester: old.requester,
            submitter: old.requester,
            comment: comment_of(old.requester, true, then.body.clone().unwrap_or_default()),
            tags: old.tags.clone(),
            follows: Some(source),
            ..NewTicket::default()
        };
        let channel = old.channel;
        let id = self.next_ticket;
        self.create(at, &new);
        if let Some(ticket) = self.tickets.get_mut(&id) {
            ticket.channel = channel;
            ticket.origin = Some((file_ticket, Some(index)));
            for audit in &mut ticket.audits {
                audit.channel = channel;
            }
            for comment in &mut ticket.comments {
                comment.channel = channel;
            }
        }
        self.stands_for.insert(file_ticket, id);
    }
}

pub(super) fn comment_of(author: i64, public: bool, body: String) -> NewComment {
    NewComment { author, public, html: text::to_html(&body), body, flags: Vec::new() }
}

/// Whether headers say that no person wrote this. Source: RFC 3834 section 5; `Precedence` and the `X-` names are custom.
pub(super) fn is_machine(headers: &BTreeMap<String, String>) -> bool {
    headers.iter().any(|(name, value)| {
        let value = value.trim().to_ascii_lowercase();
        match name.to_ascii_lowercase().as_str() {
            "auto-submitted" => !value.is_empty() && !value.starts_with("no"),
            "precedence" => matches!(value.as_str(), "bulk" | "junk" | "list" | "auto_reply"),
            "x-auto-response-suppress"
            | "x-autoreply"
            | "x-autorespond"
            | "list-id"
            | "list-unsubscribe"
            | "x-failed-recipients"
            | "feedback-id" => !value.is_empty(),
            "return-path" => value == "<>",
            _ => false,
        }
    })
}
