//! The state of a world and what each event does to it. `apply` is the only way to change it, and it is pure: the same
//! events lead to the same state, which is what a restart relies on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::event::{Event, Mail, NewComment, NewTicket, Refund, SubscriptionPatch, TicketUpdate};
use super::tickets::{Audit, AuditEvent, Comment, OutboxMail, SimTicket, User, stable_id, whole_second};
use super::{Arrivals, text};
use crate::sim::world_file::{
    Attachment, By, Channel, Sender, Subscription, Then, TicketFile, TicketStatus, Vendor, When, WorldFiles,
};

/// Numbers of tickets that were not in the file start this far above the largest one.
const NEW_TICKETS_ABOVE: i64 = 10_000;

/// Trigger titles of a new Zendesk account.
const ACKNOWLEDGED: &str = "Notify requester and CCs of received request";
const COMMENTED: &str = "Notify requester and CCs of comment update";
const PROACTIVE: &str = "Notify requester of new proactive ticket";

/// A ticket that has not arrived yet: when it is due, and its number.
pub type Arrival = (Timestamp, i64);

/// What was stored under an idempotency key.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredKey {
    /// What the key was used for.
    pub fingerprint: String,
    /// The HTTP status that was answered.
    pub status: u16,
    /// The body that was answered.
    pub body: Value,
    /// When.
    pub at: Timestamp,
}

/// An access token that was given out.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Granted scopes, separated by spaces.
    pub scope: String,
    /// When it ends.
    pub expires: Timestamp,
}

/// A subscription as it stands.
#[derive(Debug, Clone)]
pub struct SubscriptionState {
    /// What the file says, with all changes since.
    pub now: Subscription,
    /// Counts the changes, from 1.
    pub version: u64,
    /// What callers attached.
    pub metadata: Map<String, Value>,
    /// Until when it rests, where it rests until a time.
    pub paused_until: Option<Timestamp>,
}

/// A change that was made to a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionChange {
    /// Which.
    pub subscription: String,
    /// The simulator that was asked.
    pub vendor: String,
    /// The idempotency key, if one was sent.
    pub key: Option<String>,
    /// The change as asked.
    pub change: Value,
    /// When.
    pub at: Timestamp,
}

/// Everything that is so in a world. Read-only outside; see [`super::Guard::apply`].
#[derive(Debug)]
pub struct State {
    /// What the world was made from.
    pub files: Arc<WorldFiles>,
    /// When it began.
    pub started: Timestamp,
    /// How far the vendors' clock is off, in seconds.
    pub skew_s: i64,
    /// How far the time of the export is off; it does not follow a jump once there are tickets.
    pub export_skew_s: i64,
    /// The number of Deskhand's own user, an admin.
    pub bot: i64,
    /// Users of the helpdesk by number.
    pub users: BTreeMap<i64, User>,
    /// Groups of the helpdesk in the order of the file: number and name.
    pub groups: Vec<(i64, String)>,
    /// Tickets that have arrived, by number.
    pub tickets: BTreeMap<i64, SimTicket>,
    /// Mails that triggers sent to people outside.
    pub outbox: Vec<OutboxMail>,
    /// All refunds: those of the file first, then as made.
    pub refunds: Vec<Refund>,
    /// Subscriptions by id.
    pub subscriptions: BTreeMap<String, SubscriptionState>,
    /// Changes to subscriptions, as made.
    pub subscription_changes: Vec<SubscriptionChange>,
    /// Mails that the SMTP sink accepted, duplicates included.
    pub mails: Vec<Mail>,
    /// Access tokens of the helpdesk.
    pub tokens: BTreeMap<String, Token>,
    /// Counters: vendor → route → what → how many.
    pub counters: BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>,
    keys: BTreeMap<(String, String), StoredKey>,
    kept: BTreeMap<(String, String), Value>,
    by_address: BTreeMap<String, i64>,
    /// What will happen by itself: (when, ticket, `None` for its arrival or the place in its `then`).
    due: BTreeSet<(Timestamp, i64, Option<usize>)>,
    /// Which happenings of `then` wait or came, by ticket of the file: `true` once scheduled.
    scheduled: BTreeMap<i64, Vec<bool>>,
    /// The newest ticket that stands for a ticket of the file: itself, or a follow-up.
    stands_for: BTreeMap<i64, i64>,
    next_ticket: i64,
}

impl State {
    pub(super) fn new(files: Arc<WorldFiles>, started: Timestamp, arrivals: Arrivals) -> Self {
        let largest = files.tickets.iter().map(|ticket| ticket.id).max().unwrap_or(0);
        let domain = files.shop.support_address.rsplit('@').next().unwrap_or("support.example");
        let bot_address = format!("deskhand@{domain}");
        let mut state = Self {
            started,
            skew_s: 0,
            export_skew_s: 0,
            bot: stable_id("user", &bot_address),
            users: BTreeMap::new(),
            groups: files.groups.iter().map(|name| (stable_id("group", name), name.clone())).collect(),
            tickets: BTreeMap::new(),
            outbox: Vec::new(),
            refunds: Vec::new(),
            subscriptions: BTreeMap::new(),
            subscription_changes: Vec::new(),
            mails: Vec::new(),
            tokens: BTreeMap::new(),
            counters: BTreeMap::new(),
            keys: BTreeMap::new(),
            kept: BTreeMap::new(),
            by_address: BTreeMap::new(),
            due: BTreeSet::new(),
            scheduled: BTreeMap::new(),
            stands_for: BTreeMap::new(),
            next_ticket: (largest / NEW_TICKETS_ABOVE + 1) * NEW_TICKETS_ABOVE,
            files: files.clone(),
        };
        state.add_people(&bot_address);
        state.add_customers();
        for payment in &files.payments {
            state.refunds.extend(payment.refunds.iter().map(|refund| Refund {
                id: refund.id.clone(),
                payment: payment.id.clone(),
                amount_minor: refund.amount_minor,
                currency: payment.currency,
                at: refund.created,
                status: refund.status.clone(),
                reason: refund.reason.clone(),
                idempotency_key: None,
                metadata: Map::new(),
                made_here: false,
            }));
        }
        for subscription in &files.subscriptions {
            let now = subscription.clone();
            let state_of = SubscriptionState { now, version: 1, metadata: Map::new(), paused_until: None };
            state.subscriptions.insert(subscription.id.clone(), state_of);
        }
        let count = arrivals.tickets.unwrap_or(usize::MAX);
        for (index, ticket) in files.tickets.iter().take(count).enumerate() {
            let after_s = match arrivals.rate.filter(|rate| *rate > 0.0) {
                Some(rate) => index as f64 * 60.0 / rate,
                None => ticket.arrives_s,
            };
            state.due.insert((later(started, after_s), ticket.id, None));
        }
        state
    }

    fn add_people(&mut self, bot_address: &str) {
        let created = self.files.now;
        let first_group = self.groups.first().map(|(id, _)| *id);
        let staff = |id, name: &str, address: &str, role, group| User {
            id,
            name: name.to_owned(),
            addresses: vec![(address.to_owned(), true)],
            role,
            external_id: None,
            organization: None,
            group,
            created,
            customer: None,
        };
        let bot = staff(self.bot, "Deskhand", bot_address, "admin", first_group);
        self.add_user(bot);
        for person in self.files.clone().people.iter() {
            let group = person.group.as_deref().and_then(|name| self.group_named(name)).or(first_group);
            let role = if person.role == "admin" { "admin" } else { "agent" };
            let user = staff(person_id(&person.id), &person.name, &person.address, role, group);
            self.add_user(user);
        }
    }

    fn add_customers(&mut self) {
        for customer in self.files.clone().customers.iter().filter(|customer| customer.known_to(Vendor::Zendesk)) {
            // An address belongs to one user only: the first customer who has it keeps it.
            let free = |address: &str| !self.by_address.contains_key(&address.to_ascii_lowercase());
            let addresses: Vec<(String, bool)> = customer
                .addresses
                .iter()
                .filter(|address| free(&address.address))
                .map(|address| (address.address.clone(), address.verified))
                .collect();
            let Some((main, _)) = addresses.first() else { continue };
            self.add_user(User {
                id: stable_id("user", &main.to_ascii_lowercase()),
                name: customer.name.clone(),
                role: "end-user",
                external_id: customer.external_id.clone(),
                organization: customer.organization.clone(),
                group: None,
                created: customer.created,
                customer: Some(customer.id.clone()),
                addresses,
            });
        }
    }

    fn add_user(&mut self, user: User) {
        for (address, _) in &user.addresses {
            self.by_address.insert(address.to_ascii_lowercase(), user.id);
        }
        self.users.insert(user.id, user);
    }

    /// The user of a sender, made if there is none.
    fn user_for(&mut self, sender: &Sender, at: Timestamp) -> i64 {
        if let Some(id) = self.by_address.get(&sender.address.to_ascii_lowercase()) {
            return *id;
        }
        let id = stable_id("user", &sender.address.to_ascii_lowercase());
        self.add_user(User {
            id,
            name: sender.name.clone(),
            addresses: vec![(sender.address.clone(), sender.verified)],
            role: "end-user",
            external_id: None,
            organization: None,
            group: None,
            created: whole_second(at),
            customer: None,
        });
        id
    }

    /// What happens next by itself.
    pub(super) fn next_due(&self) -> Option<(Timestamp, Event)> {
        let (at, ticket, index) = *self.due.first()?;
        let event = match index {
            None => Event::TicketArrived { ticket },
            Some(index) => Event::ThenHappened { ticket, index },
        };
        Some((at, event))
    }

    /// Whether tickets of the file are still to arrive.
    pub(super) fn has_arrivals(&self) -> bool {
        self.due.iter().any(|(_, _, index)| index.is_none())
    }

    pub(super) fn apply(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::Started { .. } => {}
            Event::TicketArrived { ticket } => self.arrive(at, *ticket),
            Event::ThenHappened { ticket, index } => self.happen(at, *ticket, *index),
            Event::TicketCreated { ticket } => self.create(at, ticket),
            Event::TicketUpdated { ticket, update } => self.update(at, *ticket, update),
            Event::TokenIssued { token, scope, expires } => {
                self.tokens.insert(token.clone(), Token { scope: scope.clone(), expires: *expires });
            }
            Event::KeyStored { vendor, key, fingerprint, status, body } => {
                let (fingerprint, body) = (fingerprint.clone(), body.clone());
                let stored = StoredKey { fingerprint, status: *status, body, at };
                self.keys.insert((vendor.clone(), key.clone()), stored);
            }
            Event::RefundCreated { refund } => self.refunds.push(refund.clone()),
            Event::RefundChanged { id, status } => {
                if let Some(refund) = self.refunds.iter_mut().find(|refund| refund.id == *id) {
                    refund.status.clone_from(status);
                }
            }
            Event::SubscriptionChanged { subscription, vendor, key, change, after } => {
                self.patch(subscription, after);
                self.subscription_changes.push(SubscriptionChange {
                    subscription: subscription.clone(),
                    vendor: vendor.clone(),
                    key: key.clone(),
                    change: change.clone(),
                    at,
                });
            }
            Event::ClockJumped { by_s } => self.jump(*by_s),
            Event::MailAccepted { mail } => self.mails.push(mail.clone()),
            Event::Counted { vendor, route, add } => {
                let counter = self.counters.entry(vendor.clone()).or_default().entry(route.clone()).or_default();
                for (what, by) in add {
                    *counter.entry(what.clone()).or_default() += by;
                }
            }
            Event::Kept { vendor, key, value } => {
                self.kept.insert((vendor.clone(), key.clone()), value.clone());
            }
        }
    }

    fn jump(&mut self, by_s: i64) {
        self.skew_s += by_s;
        if self.tickets.is_empty() {
            self.export_skew_s += by_s;
        }
        let due = std::mem::take(&mut self.due);
        self.due = due.into_iter().map(|(at, ticket, index)| (super::shifted(at, by_s), ticket, index)).collect();
    }

    /// A time of the vendors' clock as the export has it, to the second.
    pub fn exported(&self, at: Timestamp) -> Timestamp {
        whole_second(super::shifted(at, self.export_skew_s - self.skew_s))
    }

    fn patch(&mut self, id: &str, after: &SubscriptionPatch) {
        let Some(state) = self.subscriptions.get_mut(id) else { return };
        let now = &mut state.now;
        if let Some(plan) = &after.plan {
            now.plan.clone_from(plan);
        }
        now.quantity = after.quantity.unwrap_or(now.quantity);
        now.status = after.status.unwrap_or(now.status);
        now.period_end = after.period_end.unwrap_or(now.period_end);
        now.cancel_at_period_end = after.cancel_at_period_end.unwrap_or(now.cancel_at_period_end);
        now.paused = after.paused.unwrap_or(now.paused);
        state.paused_until = after.paused_until.unwrap_or(state.paused_until);
        state.metadata.extend(after.metadata.clone());
        state.version += 1;
    }

    fn arrive(&mut self, at: Timestamp, id: i64) {
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
    fn flags(&self, file: &TicketFile, requester: i64) -> Vec<u32> {
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

    fn schedule(&mut self, ticket: i64, index: usize, at: Timestamp) {
        if let Some(scheduled) = self.scheduled.get_mut(&ticket).and_then(|all| all.get_mut(index)) {
            *scheduled = true;
            self.due.insert((at, ticket, Some(index)));
        }
    }

    /// Schedules the next happening of a ticket that waits for this.
    fn woke(&mut self, at: Timestamp, ticket: i64, when: When) {
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

    fn happen(&mut self, at: Timestamp, file_ticket: i64, index: usize) {
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
    fn follow_up(&mut self, at: Timestamp, file_ticket: i64, source: i64, index: usize, then: &Then) {
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

    fn create(&mut self, at: Timestamp, new: &NewTicket) {
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

    fn update(&mut self, at: Timestamp, id: i64, update: &TicketUpdate) {
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

    fn change_fields(&self, ticket: &mut SimTicket, audit: &mut Audit, update: &TicketUpdate) {
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
    fn notify(&mut self, ticket: &mut SimTicket, audit: &mut Audit, trigger: &'static str) {
        let Some(comment) = ticket.comments.last().map(|comment| comment.id) else { return };
        let mut recipients = vec![ticket.requester];
        recipients.extend(ticket.ccs.iter().filter(|id| **id != ticket.requester));
        let addresses = recipients.iter().filter_map(|id| self.users.get(id)?.email().map(str::to_owned)).collect();
        let id = ticket.part();
        audit.events.push((id, AuditEvent::Notification { trigger, recipients }));
        self.outbox.push(OutboxMail { ticket: ticket.id, comment, trigger, to: addresses, at: audit.at });
    }

    fn person_or_bot(&self, id: &str) -> i64 {
        if id == "deskhand" { self.bot } else { person_id(id) }
    }

    /// This user if it is a person of the helpdesk, else the first one.
    fn some_person(&self, wanted: Option<i64>) -> i64 {
        let person = wanted.filter(|id| *id != self.bot && self.users.get(id).is_some_and(User::is_staff));
        person.or_else(|| self.files.people.first().map(|person| person_id(&person.id))).unwrap_or(self.bot)
    }

    /// The number of the group with this name.
    pub fn group_named(&self, name: &str) -> Option<i64> {
        self.groups.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(id, _)| *id)
    }

    /// The user with this address, whatever the case of its letters.
    pub fn user_at(&self, address: &str) -> Option<&User> {
        self.users.get(self.by_address.get(&address.to_ascii_lowercase())?)
    }

    /// What was answered under an idempotency key of a vendor.
    pub fn stored_key(&self, vendor: &str, key: &str) -> Option<&StoredKey> {
        self.keys.get(&(vendor.to_owned(), key.to_owned()))
    }

    /// What a vendor keeps under a key of its own.
    pub fn kept(&self, vendor: &str, key: &str) -> Option<&Value> {
        self.kept.get(&(vendor.to_owned(), key.to_owned()))
    }

    /// The number that the next ticket over the API gets.
    pub fn next_ticket(&self) -> i64 {
        self.next_ticket
    }
}

/// The helpdesk's number of a person of the file.
fn person_id(id: &str) -> i64 {
    match id.parse() {
        Ok(number) if number > 0 => number,
        _ => stable_id("person", id),
    }
}

fn comment_of(author: i64, public: bool, body: String) -> NewComment {
    NewComment { author, public, html: text::to_html(&body), body, flags: Vec::new() }
}

pub(in crate::sim) fn status_of(word: Option<&str>) -> Option<TicketStatus> {
    TicketStatus::ALL.iter().find(|(known, _)| Some(*known) == word).map(|(_, status)| *status)
}

/// Tags in Zendesk's form: lower case, no spaces, sorted, each once.
fn sorted(tags: &[String]) -> Vec<String> {
    let clean = |tag: &String| tag.trim().to_lowercase().replace(char::is_whitespace, "_");
    let set: BTreeSet<String> = tags.iter().map(clean).filter(|tag| !tag.is_empty()).collect();
    set.into_iter().collect()
}

fn later(at: Timestamp, seconds: f64) -> Timestamp {
    let by = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn new_audit(ticket: &mut SimTicket, at: Timestamp, author: i64, channel: Channel) -> Audit {
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

fn created_events(ticket: &mut SimTicket, audit: &mut Audit) {
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

fn add_comment(ticket: &mut SimTicket, audit: &mut Audit, new: &NewComment, attachments: &[Attachment]) {
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

/// Whether headers say that no person wrote this. Source: RFC 3834 section 5; `Precedence` and the `X-` names are custom.
fn is_machine(headers: &BTreeMap<String, String>) -> bool {
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
