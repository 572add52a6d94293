//! Whether the parts of a world fit together: ids are unique, what is mentioned exists and belongs to the same customer,
//! sums agree.

use std::collections::BTreeMap;

use super::parse::{Parsed, Placed};
use super::read::{Book, list};
use super::{Place, nearest};

pub(super) fn references(world: &Parsed, book: &Book) {
    let plans: Vec<&str> = world.head.plans.iter().map(|plan| plan.id.as_str()).collect();
    let people: Vec<&str> = world.head.people.iter().map(|person| person.id.as_str()).collect();
    let groups: Vec<&str> = world.head.groups.iter().map(String::as_str).collect();
    unique(world.head.plans.iter().map(|plan| (plan.id.clone(), &world.head_place)), "plan", book);
    unique(world.head.people.iter().map(|person| (person.id.clone(), &world.head_place)), "person", book);
    unique(world.customers.iter().map(|c| (c.value.id.clone(), &c.place)), "customer", book);
    unique(world.orders.iter().map(|o| (o.value.id.clone(), &o.place)), "order", book);
    unique(world.payments.iter().map(|p| (p.value.id.clone(), &p.place)), "payment", book);
    unique(world.subscriptions.iter().map(|s| (s.value.id.clone(), &s.place)), "subscription", book);
    unique(world.tickets.iter().map(|t| (t.value.id.to_string(), &t.place)), "ticket", book);
    unique(world.articles.iter().map(|a| (a.id.to_string(), &a.place)), "article", book);
    let refunds = world.payments.iter().flat_map(|p| p.value.refunds.iter().map(|r| (r.id.clone(), &p.place)));
    unique(refunds, "refund", book);

    for person in &world.head.people {
        if let Some(group) = &person.group {
            known("group", group, &groups, &world.head_place, book);
        }
    }
    let customers: Vec<&str> = world.customers.iter().map(|c| c.value.id.as_str()).collect();
    for Placed { value, place } in &world.customers {
        if value.addresses.is_empty() {
            let hint = "a customer without an address can never be found; add { \"address\": … }";
            book.note(place, format!("customer `{}` has no address", value.id), Some(hint.to_owned()));
        }
    }
    for Placed { value, place } in &world.subscriptions {
        known("customer", &value.customer, &customers, place, book);
        known("plan", &value.plan, &plans, place, book);
    }
    orders_and_payments(world, &customers, book);
    let articles: Vec<String> = world.articles.iter().map(|article| article.id.to_string()).collect();
    let articles: Vec<&str> = articles.iter().map(String::as_str).collect();
    for Placed { value, place } in &world.tickets {
        let named = value.assignee.iter().chain(value.then.iter().filter_map(|then| then.assignee.as_ref()));
        for person in named.filter(|person| *person != "deskhand") {
            known("person", person, &people, place, book);
        }
        for article in value.expect.iter().flat_map(|e| e.answer.iter()).flat_map(|answer| &answer.articles) {
            known("article", &article.to_string(), &articles, place, book);
        }
    }
}

fn orders_and_payments(world: &Parsed, customers: &[&str], book: &Book) {
    let orders: BTreeMap<&str, &Placed<super::Order>> =
        world.orders.iter().map(|order| (order.value.id.as_str(), order)).collect();
    let payments: BTreeMap<&str, &Placed<super::Payment>> =
        world.payments.iter().map(|payment| (payment.value.id.as_str(), payment)).collect();
    let subscriptions: BTreeMap<&str, &Placed<super::Subscription>> =
        world.subscriptions.iter().map(|subscription| (subscription.value.id.as_str(), subscription)).collect();
    let (order_ids, payment_ids) = (keys(&orders), keys(&payments));

    for Placed { value: order, place } in &world.orders {
        known("customer", &order.customer, customers, place, book);
        let sum = order.items.iter().try_fold(0i64, |sum, item| sum.checked_add(item.amount_minor));
        if sum != Some(order.total_minor) && !order.items.is_empty() {
            let sum = sum.map_or("too large".to_owned(), |sum| sum.to_string());
            let hint = "`total_minor` is the sum of the items' `amount_minor` (each for all pieces of its line)";
            let what =
                format!("order `{}`: `total_minor` is {} and the items' sum is {sum}", order.id, order.total_minor);
            book.note(place, what, Some(hint.to_owned()));
        }
        for id in &order.payments {
            known("payment", id, &payment_ids, place, book);
            let Some(payment) = payments.get(id.as_str()) else { continue };
            if payment.value.customer != order.customer {
                let what = format!(
                    "order `{}` of customer `{}` names payment `{id}` of customer `{}`",
                    order.id, order.customer, payment.value.customer
                );
                book.note(place, what, Some("an order is paid by its own customer".to_owned()));
            }
            if payment.value.currency != order.currency {
                let what = format!(
                    "order `{}` is in {} and its payment `{id}` in {}",
                    order.id, order.currency, payment.value.currency
                );
                book.note(place, what, Some("use one currency for both".to_owned()));
            }
        }
    }
    for Placed { value: payment, place } in &world.payments {
        known("customer", &payment.customer, customers, place, book);
        if let Some(id) = &payment.order {
            known("order", id, &order_ids, place, book);
            if let Some(order) = orders.get(id.as_str()) {
                belongs("payment", &payment.id, &payment.customer, "order", id, &order.value.customer, place, book);
            }
        }
        if let Some(id) = &payment.subscription {
            known("subscription", id, &keys(&subscriptions), place, book);
            if let Some(of) = subscriptions.get(id.as_str()) {
                belongs("payment", &payment.id, &payment.customer, "subscription", id, &of.value.customer, place, book);
            }
        }
        let live = |status: &str| status != "failed" && status != "canceled";
        let returned: i64 = payment.refunds.iter().filter(|r| live(&r.status)).map(|r| r.amount_minor).sum();
        if returned > payment.amount_minor {
            let what =
                format!("payment `{}`: its refunds sum to {returned}, more than {}", payment.id, payment.amount_minor);
            book.note(place, what, Some("a payment cannot give back more than was paid".to_owned()));
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "two ends of one link, each with kind, id and owner")]
fn belongs(
    kind: &str,
    id: &str,
    owner: &str,
    other_kind: &str,
    other: &str,
    other_owner: &str,
    place: &Place,
    book: &Book,
) {
    if owner != other_owner {
        let what =
            format!("{kind} `{id}` of customer `{owner}` names {other_kind} `{other}` of customer `{other_owner}`");
        book.note(place, what, Some("both must belong to the same customer".to_owned()));
    }
}

fn keys<'a, T>(map: &BTreeMap<&'a str, T>) -> Vec<&'a str> {
    map.keys().copied().collect()
}

fn known(kind: &str, id: &str, all: &[&str], place: &Place, book: &Book) {
    if id.is_empty() || all.contains(&id) {
        return; // An empty id was reported as missing.
    }
    let hint = match nearest(id, all.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if all.is_empty() => format!("this world has no {kind} at all"),
        None if all.len() <= 8 => format!("known are {}", list(all.iter().copied())),
        None => format!("add the {kind} or name one that exists"),
    };
    book.note(place, format!("{kind} `{id}` does not exist"), Some(hint));
}

fn unique<'a>(ids: impl Iterator<Item = (String, &'a Place)>, kind: &str, book: &Book) {
    let mut seen: BTreeMap<String, &Place> = BTreeMap::new();
    for (id, place) in ids.filter(|(id, _)| !id.is_empty()) {
        if let Some(first) = seen.get(&id) {
            let hint = format!("it stands first at {}:{}; ids are unique", first.file, first.line);
            book.note(place, format!("{kind} `{id}` stands twice"), Some(hint));
        } else {
            seen.insert(id, place);
        }
    }
}
