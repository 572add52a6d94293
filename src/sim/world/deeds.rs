//! What was done at the vendors, counted by the key under which it was asked: the ledger that judges a run. It is made from
//! the world's own state, never from what the product says of itself.

use std::collections::BTreeMap;

use serde::Serialize;

use super::World;
use super::state::State;
use super::tickets::Audit;

/// How often something was done, by its key.
pub type Counts = BTreeMap<String, u64>;

/// Everything that was done through the vendors' APIs while the world ran.
///
/// A key is the effect's own mark where the caller attached one: the value in a ticket update's metadata, `effect_key` in a
/// refund's metadata (else its idempotency key), the idempotency key of a subscription change, a mail's `Message-ID`. What
/// carries no key at all is counted under `""`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Deeds {
    /// Refunds by key.
    pub refunds: Counts,
    /// Public comments by ticket, then by the marker of their update.
    pub replies: BTreeMap<i64, Counts>,
    /// Internal notes by ticket, then by the marker of their update.
    pub notes: BTreeMap<i64, Counts>,
    /// Updates of tickets with or without a comment, by ticket, then by marker.
    pub updates: BTreeMap<i64, Counts>,
    /// Changes of subscriptions by key.
    pub subscriptions: Counts,
    /// Mails by `Message-ID`, with its angle brackets.
    pub mails: Counts,
    /// What each vendor was asked and did.
    pub vendors: BTreeMap<String, Totals>,
    /// Calls of the model.
    pub model: ModelCalls,
}

/// What one vendor was asked and did. Requests that a fault of the line kept away from it are not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Requests by method and path pattern, such as `PUT /tickets/{id}`.
    pub requests: Counts,
    /// Deeds that were done: changes that others can see.
    pub done: u64,
    /// Requests to write that were refused.
    pub refused: u64,
    /// Deeds that were done more than once under one key: how many too many.
    pub doubled: u64,
}

/// Calls of the model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ModelCalls {
    /// Requests for a message that reached the API.
    pub requests: u64,
    /// Requests whose answer was begun, and is billed.
    pub answered: u64,
    /// Answers that were sent to their end. A caller that died in the meantime may not have read them.
    pub finished: u64,
}

impl Deeds {
    /// Keys under which something was done more than once: kind, key and count. Empty when every effect happened at most
    /// once. What carries no key is not judged.
    pub fn doubled(&self) -> Vec<(&'static str, String, u64)> {
        let mut out = Vec::new();
        let mut look = |kind: &'static str, counts: &Counts| {
            let more = counts.iter().filter(|(key, count)| !key.is_empty() && **count > 1);
            out.extend(more.map(|(key, count)| (kind, key.clone(), *count)));
        };
        look("refund", &self.refunds);
        look("subscription", &self.subscriptions);
        look("mail", &self.mails);
        for (kind, tickets) in [("reply", &self.replies), ("note", &self.notes), ("update", &self.updates)] {
            for counts in tickets.values() {
                look(kind, counts);
            }
        }
        out
    }
}

impl World {
    /// What was done so far.
    pub fn deeds(&self) -> Deeds {
        let world = self.lock();
        let mut deeds = Deeds::default();
        for refund in world.refunds.iter().filter(|refund| refund.made_here) {
            let marked = refund.metadata.get("effect_key").and_then(|key| key.as_str());
            let key = marked.or(refund.idempotency_key.as_deref()).unwrap_or_default();
            *deeds.refunds.entry(key.to_owned()).or_default() += 1;
        }
        for change in &world.subscription_changes {
            *deeds.subscriptions.entry(change.key.clone().unwrap_or_default()).or_default() += 1;
        }
        for mail in &world.mails {
            *deeds.mails.entry(mail.message_id.clone()).or_default() += 1;
        }
        tickets(&world, &mut deeds);
        vendors(&world, &mut deeds);
        deeds
    }
}

/// Whether an update came over the API, from the product and not from a happening of the world.
fn over_the_api(world: &State, audit: &Audit) -> bool {
    audit.author == world.bot && audit.channel == crate::sim::world_file::Channel::Api
}

fn tickets(world: &State, deeds: &mut Deeds) {
    for (id, ticket) in &world.tickets {
        for audit in ticket.audits.iter().filter(|audit| over_the_api(world, audit)) {
            let marker = audit.custom.values().find_map(|value| value.as_str()).unwrap_or_default();
            let add = |counts: &mut BTreeMap<i64, Counts>| {
                *counts.entry(*id).or_default().entry(marker.to_owned()).or_default() += 1;
            };
            add(&mut deeds.updates);
            for comment in ticket.comments.iter().filter(|comment| comment.audit == audit.id) {
                add(if comment.public { &mut deeds.replies } else { &mut deeds.notes });
            }
        }
    }
}

fn vendors(world: &State, deeds: &mut Deeds) {
    for (vendor, routes) in &world.counters {
        let totals = deeds.vendors.entry(vendor.clone()).or_default();
        for (route, counts) in routes {
            let requests = counts.get("requests").copied().unwrap_or(0);
            if requests > 0 {
                totals.requests.insert(route.clone(), requests);
            }
            let writes = !route.starts_with("GET ") && !route.ends_with("/oauth/tokens") && vendor != "claude";
            let refused = |(what, _): &(&String, &u64)| what.parse::<u16>().is_ok_and(|status| status >= 400);
            if writes {
                totals.refused += counts.iter().filter(refused).map(|(_, count)| count).sum::<u64>();
            }
        }
    }
    let all = |counts: &Counts| (counts.values().sum(), more_than_one(counts));
    let of_tickets = |tickets: &BTreeMap<i64, Counts>| {
        tickets.values().map(all).fold((0, 0), |(sum, more): (u64, u64), (s, m): (u64, u64)| (sum + s, more + m))
    };
    let by_vendor = |vendor: &str| {
        let changes = world.subscription_changes.iter().filter(|change| change.vendor == vendor);
        let mut counts = Counts::new();
        for change in changes {
            *counts.entry(change.key.clone().unwrap_or_default()).or_default() += 1;
        }
        counts
    };
    let (refunds, refunds_doubled) = all(&deeds.refunds);
    let sums = [
        ("zendesk", of_tickets(&deeds.updates)),
        ("stripe", {
            let (changes, doubled) = all(&by_vendor("stripe"));
            (refunds + changes, refunds_doubled + doubled)
        }),
        ("billing", all(&by_vendor("billing"))),
        ("smtp", all(&deeds.mails)),
    ];
    for (vendor, (done, doubled)) in sums {
        let totals = deeds.vendors.entry(vendor.to_owned()).or_default();
        (totals.done, totals.doubled) = (done, doubled);
    }
    if let Some(routes) = world.counters.get("claude") {
        let sum = |what: &str| routes.values().filter_map(|counts| counts.get(what)).sum();
        let requests = routes.get("POST /v1/messages").and_then(|counts| counts.get("requests"));
        deeds.model = ModelCalls {
            requests: requests.copied().unwrap_or(0),
            answered: sum("answers"),
            finished: sum("finished"),
        };
    }
}

fn more_than_one(counts: &Counts) -> u64 {
    counts.iter().filter(|(key, count)| !key.is_empty() && **count > 1).map(|(_, count)| count - 1).sum()
}
