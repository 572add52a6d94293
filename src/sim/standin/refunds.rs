//! Which payment a customer means, and how much of it. Only records that the tools returned are looked at.

use serde_json::Value;

use super::case::{Case, Want};
use super::figures;
use super::signals;
use super::text::{self, Language};
use crate::money::Currency;

/// What should be done about one payment.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The payment.
    pub payment: String,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// Whose minor units.
    pub currency: String,
    /// `duplicate` or `requested_by_customer`.
    pub reason: &'static str,
    /// Why it is this one.
    pub why: String,
}

/// What the records say to a wish for money.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding<'a> {
    /// These refunds.
    Refund(Vec<Planned>),
    /// Nothing is left of these payments.
    Already(Vec<&'a Value>),
    /// The cardholder disputes it.
    Disputed,
    /// No payment was charged twice.
    NoDuplicate,
    /// It is not clear which payment.
    Which,
    /// The named order is not there.
    NoSuchOrder,
}

fn minor(row: &Value, key: &str) -> i64 {
    row[key].as_i64().unwrap_or(0)
}

fn currency(payment: &Value) -> Option<Currency> {
    payment["currency"].as_str()?.parse().ok()
}

/// Finds out what a wish for money means.
pub fn find<'a>(case: &Case<'a>, want: &Want) -> Finding<'a> {
    let payments: Vec<&Value> = case.records("payments");
    if *want == Want::Duplicate {
        return duplicate(case, &payments);
    }
    let (meant, why) = meant(case, &payments);
    if meant.is_empty() {
        let not_found = case.used("get_order_status").any(|used| used.error);
        return if not_found || payments.is_empty() { Finding::NoSuchOrder } else { Finding::Which };
    }
    if meant.iter().any(|payment| payment["disputed"] == true) {
        return Finding::Disputed;
    }
    if meant.iter().all(|payment| minor(payment, "refundable_minor") <= 0) {
        return Finding::Already(meant);
    }
    let single = meant.len() == 1;
    let planned = meant
        .iter()
        .filter(|payment| minor(payment, "refundable_minor") > 0)
        .map(|payment| Planned {
            payment: payment["id"].as_str().unwrap_or("").to_owned(),
            amount_minor: if single { amount(case, payment) } else { minor(payment, "refundable_minor") },
            currency: payment["currency"].as_str().unwrap_or("usd").to_owned(),
            reason: "requested_by_customer",
            why: why.to_owned(),
        })
        .collect();
    Finding::Refund(planned)
}

/// How much of one payment: what the text names if it is less, half if it says so, one item if it names one, else the rest.
fn amount(case: &Case<'_>, payment: &Value) -> i64 {
    let rest = minor(payment, "refundable_minor");
    let Some(currency) = currency(payment) else { return rest };
    let named: Vec<i64> =
        figures::amounts(&case.about).iter().filter_map(|a| a.minor(currency)).filter(|n| *n > 0).collect();
    let smaller: Vec<i64> = named.iter().copied().filter(|n| *n < rest).collect();
    if figures::half(&case.about) && !signals::whole(&case.words) {
        return (minor(payment, "amount_minor") / 2).min(rest);
    }
    match smaller.as_slice() {
        // The whole payment is named beside a part: the part is what is asked for, unless all is meant.
        [] => {}
        _ if signals::whole(&case.words) && named.iter().any(|n| *n >= rest) => {}
        [one] => return *one,
        several => return several[several.len() - 1],
    }
    if named.iter().any(|n| *n >= rest) || signals::whole(&case.words) {
        return rest;
    }
    one_item(case, payment).unwrap_or(rest).min(rest)
}

/// The price of the items that the text names, when it names some of an order and not all.
fn one_item(case: &Case<'_>, payment: &Value) -> Option<i64> {
    let order = order_of(case, payment)?;
    let items = Case::rows(order, "items");
    let named: Vec<&Value> = items.iter().filter(|item| names(case, item["name"].as_str().unwrap_or(""))).collect();
    let whole_named =
        text::any(&case.words, &["order", "bestellung", "commande", "pedido", "encomenda"]) && named.len() != 1;
    (!named.is_empty() && named.len() < items.len() && !whole_named)
        .then(|| named.iter().map(|item| minor(item, "amount_minor")).sum())
}

/// Whether the text names this thing: at least half of the words of its name, one of them long.
fn names(case: &Case<'_>, name: &str) -> bool {
    let wanted = text::content_words(name);
    let hits: Vec<&String> = wanted.iter().filter(|word| case.words.iter().any(|w| text::same_stem(w, word))).collect();
    !hits.is_empty() && hits.len() * 2 >= wanted.len() && hits.iter().any(|word| word.chars().count() >= 4)
}

fn order_of<'a>(case: &Case<'a>, payment: &Value) -> Option<&'a Value> {
    case.records("orders").into_iter().find(|order| {
        order["id"] == payment["order"] && !payment["order"].is_null()
            || Case::rows(order, "payments").contains(&payment["id"])
    })
}

/// The payments that the text means, and by what it was told.
fn meant<'a>(case: &Case<'a>, payments: &[&'a Value]) -> (Vec<&'a Value>, &'static str) {
    let by_id: Vec<&Value> =
        payments.iter().copied().filter(|p| p["id"].as_str().is_some_and(|id| case.about.contains(id))).collect();
    if !by_id.is_empty() {
        return (by_id, "named by its id");
    }
    let orders = case.records("orders");
    let of = |order: &Value| -> Vec<&'a Value> {
        let belongs = |p: &&&Value| p["order"] == order["id"] || Case::rows(order, "payments").contains(&p["id"]);
        payments.iter().filter(belongs).copied().collect()
    };
    let is_named = |id: &Value| id.as_str().is_some_and(|id| contains_id(&case.about, id));
    let through_orders = orders.iter().filter(|order| is_named(&order["id"])).flat_map(|order| of(order));
    let mut named: Vec<&Value> = through_orders.collect();
    for payment in payments.iter().filter(|p| is_named(&p["order"])) {
        if !named.iter().any(|known| known["id"] == payment["id"]) {
            named.push(payment);
        }
    }
    if !named.is_empty() {
        let exact = with_amount(case, &named);
        let narrowed = if exact.is_empty() || signals::whole(&case.words) { named } else { exact };
        return (narrowed, "named by the order");
    }
    if !figures::order_ids(&case.about).is_empty() && case.used("get_order_status").any(|used| used.error) {
        return (Vec::new(), "");
    }
    let exact = with_amount(case, payments);
    if !exact.is_empty() {
        let dated = with_day(case, &exact);
        return (if dated.is_empty() { exact } else { dated }, "named by the amount");
    }
    let dated = with_day(case, payments);
    if dated.len() == 1 {
        return (dated, "named by the day");
    }
    let by_item: Vec<&Value> = orders
        .iter()
        .filter(|order| Case::rows(order, "items").iter().any(|item| names(case, item["name"].as_str().unwrap_or(""))))
        .copied()
        .collect();
    if let [order] = by_item.as_slice() {
        return (of(order), "named by the item");
    }
    let open: Vec<&Value> = payments.iter().copied().filter(|p| minor(p, "refundable_minor") > 0).collect();
    if let [one] = open.as_slice() {
        return (vec![one], "the only payment that can go back");
    }
    let newest = |list: Vec<&'a Value>| list.into_iter().max_by_key(|p| p["created"].as_str().unwrap_or("").to_owned());
    if signals::renewal(&case.words) && !signals::latest(&case.words) {
        let renewals: Vec<&Value> = payments.iter().copied().filter(|p| p["subscription"].is_string()).collect();
        if let Some(one) = newest(renewals) {
            return (vec![one], "the latest payment of the subscription");
        }
    }
    if signals::latest(&case.words) {
        let of_orders: Vec<&Value> = payments.iter().copied().filter(|p| p["order"].is_string()).collect();
        if let Some(one) = newest(of_orders) {
            return (vec![one], "the latest order");
        }
    }
    (Vec::new(), "")
}

/// Whether an id stands in a text as a word of its own.
pub fn contains_id(text: &str, id: &str) -> bool {
    let (text, id) = (text.to_lowercase(), id.to_lowercase());
    let bare = id.trim_start_matches(|c: char| !c.is_ascii_digit());
    let inside = |needle: &str| {
        text.match_indices(needle).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + needle.len()..].chars().next();
            before.is_none_or(|c| !c.is_alphanumeric()) && after.is_none_or(|c| !c.is_alphanumeric())
        })
    };
    !id.is_empty() && (inside(&id) || (bare.len() >= 4 && inside(bare)))
}

fn with_amount<'a>(case: &Case<'_>, payments: &[&'a Value]) -> Vec<&'a Value> {
    let amounts = figures::amounts(&case.about);
    payments
        .iter()
        .copied()
        .filter(|p| {
            let Some(currency) = currency(p) else { return false };
            let whole = [minor(p, "amount_minor"), minor(p, "refundable_minor")];
            amounts.iter().filter_map(|a| a.minor(currency)).any(|n| n > 0 && whole.contains(&n))
        })
        .collect()
}

fn with_day<'a>(case: &Case<'_>, payments: &[&'a Value]) -> Vec<&'a Value> {
    let days = figures::days(&case.about, case.today, case.language != Language::En);
    payments
        .iter()
        .copied()
        .filter(|p| {
            let created: String = p["created"].as_str().unwrap_or("").chars().take(10).collect();
            let Ok(created) = created.parse::<jiff::civil::Date>() else { return false };
            days.iter().any(|(month, day)| *month == Some(created.month()) && *day == created.day())
        })
        .collect()
}

/// Two equal payments for the same thing within three days: the later one goes back.
fn duplicate<'a>(case: &Case<'a>, payments: &[&'a Value]) -> Finding<'a> {
    let day = |p: &Value| {
        p["created"].as_str().unwrap_or("").chars().take(10).collect::<String>().parse::<jiff::civil::Date>().ok()
    };
    let mut sorted: Vec<&Value> = payments.to_vec();
    // Newest last; of the same day, the order of ids tells which came later.
    sorted.sort_by_key(|p| (p["created"].as_str().unwrap_or("").to_owned(), p["id"].as_str().unwrap_or("").to_owned()));
    let mut pairs: Vec<(&Value, &Value)> = Vec::new();
    for (n, later) in sorted.iter().enumerate() {
        for earlier in &sorted[..n] {
            let same =
                ["amount_minor", "currency", "order", "subscription"].iter().all(|key| earlier[*key] == later[*key]);
            let near = matches!((day(earlier), day(later)), (Some(a), Some(b)) if (b - a).get_days().abs() <= 3);
            if same && near {
                pairs.push((earlier, later));
            }
        }
    }
    let wanted = with_amount(case, payments);
    let fits =
        |(_, later): &&(&'a Value, &'a Value)| wanted.is_empty() || wanted.iter().any(|p| p["id"] == later["id"]);
    let found = pairs.iter().rev().find(fits).or(pairs.last());
    let Some((earlier, later)) = found else { return Finding::NoDuplicate };
    if later["disputed"] == true || earlier["disputed"] == true {
        return Finding::Disputed;
    }
    // The records may show that one of the two went back already.
    if minor(earlier, "refundable_minor") <= 0 || minor(later, "refundable_minor") <= 0 {
        let gone = if minor(later, "refundable_minor") <= 0 { later } else { earlier };
        return Finding::Already(vec![gone]);
    }
    Finding::Refund(vec![Planned {
        payment: later["id"].as_str().unwrap_or("").to_owned(),
        amount_minor: minor(later, "refundable_minor"),
        currency: later["currency"].as_str().unwrap_or("usd").to_owned(),
        reason: "duplicate",
        why: format!("equal to {} and for the same thing", earlier["id"].as_str().unwrap_or("another payment")),
    }])
}
