//! Questions that vendors, checkers and the stand-in ask a world.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::state::{State, SubscriptionChange};
use super::tickets::{Comment, SimTicket, User};
use super::{Mail, Refund, World};
use crate::sim::world_file::{Decision, Expect, Payment, TicketFile, Turn};

impl State {
    /// The refunds of a payment, oldest first.
    pub fn refunds_of<'a>(&'a self, payment: &'a str) -> impl Iterator<Item = &'a Refund> + 'a {
        self.refunds.iter().filter(move |refund| refund.payment == payment)
    }

    /// What was given back of a payment, in minor units; failed and canceled refunds do not count.
    pub fn refunded_minor(&self, payment: &str) -> i64 {
        self.refunds_of(payment).filter(|refund| refund.counts()).map(|refund| refund.amount_minor).sum()
    }

    /// What can still be given back of a payment, in minor units; 0 when it did not succeed or is not known.
    pub fn refundable_minor(&self, payment: &str) -> i64 {
        match self.files.payment(payment) {
            Some(paid) if is_paid(paid) => (paid.amount_minor - self.refunded_minor(payment)).max(0),
            _ => 0,
        }
    }

    /// The refund with this id.
    pub fn refund(&self, id: &str) -> Option<&Refund> {
        self.refunds.iter().find(|refund| refund.id == id)
    }

    /// A free id for the next refund of a payment: the same in every run that asks in the same order.
    pub fn next_refund_id(&self, payment: &str) -> String {
        let free = |n: &usize| self.refund(&format!("re_{payment}_{n}")).is_none();
        let first = self.refunds_of(payment).count() + 1;
        let n = (first..).find(free).unwrap_or(first);
        format!("re_{payment}_{n}")
    }

    /// The requester's newest public comment of a ticket.
    pub fn newest_requester_comment(&self, ticket: i64) -> Option<&Comment> {
        self.tickets.get(&ticket)?.newest_requester_comment(|author| self.is_staff(author))
    }

    /// Whether a user is an agent or an admin.
    pub fn is_staff(&self, user: i64) -> bool {
        self.users.get(&user).is_some_and(User::is_staff)
    }

    /// Public comments that Deskhand wrote on a ticket, oldest first, earlier conversations of the file left out.
    pub fn public_replies(&self, ticket: i64) -> Vec<&Comment> {
        let Some(ticket) = self.tickets.get(&ticket) else { return Vec::new() };
        let ours = |comment: &&Comment| comment.public && comment.author == self.bot;
        ticket.comments.iter().skip(ticket.past_comments).filter(ours).collect()
    }
}

/// Whether the money of a payment came in.
fn is_paid(payment: &Payment) -> bool {
    !matches!(payment.status.as_str(), "failed" | "canceled" | "pending" | "processing" | "requires_payment_method")
}

impl World {
    /// The refunds that were made while the world ran, oldest first.
    pub fn refunds(&self) -> Vec<Refund> {
        self.lock().refunds.iter().filter(|refund| refund.made_here).cloned().collect()
    }

    /// Changes to subscriptions, oldest first.
    pub fn subscription_changes(&self) -> Vec<SubscriptionChange> {
        self.lock().subscription_changes.clone()
    }

    /// Mails that the SMTP sink accepted, duplicates included.
    pub fn mails(&self) -> Vec<Mail> {
        self.lock().mails.clone()
    }

    /// The ticket as it stands, if it has arrived.
    pub fn ticket(&self, ticket: i64) -> Option<SimTicket> {
        self.lock().tickets.get(&ticket).cloned()
    }

    /// Public comments that Deskhand wrote on a ticket while the world ran, oldest first.
    pub fn public_replies(&self, ticket: i64) -> Vec<Comment> {
        self.lock().public_replies(ticket).into_iter().cloned().collect()
    }

    /// How many public comments stand on a ticket whose update carried this value in its metadata.
    pub fn public_replies_under(&self, ticket: i64, value: &str) -> usize {
        let world = self.lock();
        let Some(ticket) = world.tickets.get(&ticket) else { return 0 };
        let marked = ticket.audits.iter().filter(|audit| audit.custom.values().any(|custom| custom == value));
        let audits: Vec<i64> = marked.map(|audit| audit.id).collect();
        ticket.comments.iter().filter(|comment| comment.public && audits.contains(&comment.audit)).count()
    }

    /// How often a route (or kind) of a vendor was counted, by what was counted; 0 when never.
    pub fn counter(&self, vendor: &str, route: &str, what: &str) -> u64 {
        let world = self.lock();
        let count = world.counters.get(vendor).and_then(|routes| routes.get(route)).and_then(|route| route.get(what));
        count.copied().unwrap_or(0)
    }

    /// The right end of a ticket of the file, for checking.
    pub fn expectations(&self, ticket: i64) -> Option<Expect> {
        self.files().ticket(ticket).and_then(|file| file.expect.clone())
    }

    /// What the reviewing person answers on a ticket of the file (or one that follows it).
    pub fn decision(&self, ticket: i64) -> Decision {
        self.file_of(ticket).map_or(Decision::None, |file| file.decision)
    }

    /// The ticket of the file behind a ticket: itself, or the one whose customer opened this follow-up.
    pub fn file_of(&self, ticket: i64) -> Option<TicketFile> {
        let origin = self.lock().tickets.get(&ticket).and_then(|ticket| ticket.origin).map(|(file, _)| file);
        self.files().ticket(origin.unwrap_or(ticket)).cloned()
    }

    /// The stand-in's script and routing for the run that the newest requester message of a ticket triggers. Absent parts
    /// are left to heuristics.
    pub fn script(&self, ticket: i64) -> (Option<Vec<Turn>>, Option<Map<String, Value>>) {
        let origin = self.lock().tickets.get(&ticket).and_then(|ticket| ticket.origin);
        let Some(file) = self.files().ticket(origin.map_or(ticket, |(file, _)| file)) else { return (None, None) };
        match origin.and_then(|(_, index)| index).and_then(|index| file.then.get(index)) {
            Some(then) => (then.script.clone(), then.route.clone()),
            None => (file.script.clone(), file.route.clone()),
        }
    }

    /// Whether every ticket of the file that takes part has arrived.
    pub fn all_arrived(&self) -> bool {
        !self.lock().has_arrivals()
    }

    /// When this world began.
    pub fn started(&self) -> Timestamp {
        self.lock().started
    }
}
