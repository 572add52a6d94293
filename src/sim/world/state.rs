//! The state of a world and what each event does to it. `apply` is the only way to change it, and it is pure: the same
//! events lead to the same state, which is what a restart relies on. Here stand the state, its beginning and the small
//! changes; people, happenings and updates of tickets have files of their own.

mod happen;
mod people;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Arrivals;
use super::event::{Event, Mail, Refund, SubscriptionPatch};
use super::tickets::{OutboxMail, SimTicket, User, stable_id, whole_second};
use crate::sim::world_file::{Subscription, WorldFiles};

/// Numbers of tickets that were not in the file start this far above the largest one.
const NEW_TICKETS_ABOVE: i64 = 10_000;

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

fn later(at: Timestamp, seconds: f64) -> Timestamp {
    let by = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
