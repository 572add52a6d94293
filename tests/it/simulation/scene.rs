//! The world of a seed: three to eight tickets of customers who want different things, with scripts for the model that do
//! what a model may do, sense and nonsense alike.

use serde_json::{Value, json};

use super::dice::Dice;

/// What a ticket is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A refund that needs nobody.
    Refund,
    /// A refund that a person must allow.
    LargeRefund,
    /// Two refunds in one answer, together above the limit.
    SplitRefund,
    /// More seats.
    Seats,
    /// A mail at once.
    Mail,
    /// A mail in an hour.
    LaterMail,
    /// A refund, more seats and a mail in one answer.
    Everything,
    /// A question that an article answers.
    Question,
    /// The model hands over.
    HandedOver,
    /// A rule hands over.
    AsksForPerson,
    /// The model calls what does not exist, is not allowed, or is not this customer's.
    Nonsense,
    /// The model forgets to close and is reminded.
    Forgetful,
    /// Mail of a machine: never answered.
    Machine,
}

/// All kinds, each as often as it is worth.
const KINDS: [(usize, Kind); 13] = [
    (4, Kind::Refund),
    (4, Kind::LargeRefund),
    (2, Kind::SplitRefund),
    (3, Kind::Seats),
    (3, Kind::Mail),
    (3, Kind::LaterMail),
    (3, Kind::Everything),
    (2, Kind::Question),
    (2, Kind::HandedOver),
    (2, Kind::AsksForPerson),
    (2, Kind::Nonsense),
    (1, Kind::Forgetful),
    (1, Kind::Machine),
];

/// The tickets of a seed.
pub fn tickets(dice: &mut Dice) -> Vec<(Kind, Value)> {
    let count = dice.between(3, 8);
    (0..count)
        .map(|at| {
            let kind = dice.weighted(&KINDS);
            // Now and then a second ticket of the customer before.
            let customer = if at > 0 && dice.percent(15) { at - 1 } else { at };
            let arrives_s = at * dice.between(0, 20);
            (kind, ticket(dice, 7_001 + at, customer, kind, arrives_s))
        })
        .collect()
}

/// A ticket of this kind.
pub fn ticket(dice: &mut Dice, id: i64, customer: i64, kind: Kind, arrives_s: i64) -> Value {
    let (subject, body) = words(kind, customer);
    let mut ticket = json!({
        "id": id, "arrives_s": arrives_s, "channel": "email", "subject": subject, "body": body,
        "from": {"address": format!("customer{customer}@mail.example"), "name": format!("Customer {customer}")},
        "script": script(dice, kind, customer),
    });
    if kind == Kind::Machine {
        ticket["headers"] = json!({"Auto-Submitted": "auto-replied"});
    }
    if dice.percent(25) {
        let (when, after_s) = *dice.pick(&[("answered", 3), ("answered", 90), ("after_s", 2), ("after_s", 40)]);
        let body = *dice.pick(&["Thank you very much!", "One more thing: please answer by mail.", "Any news?"]);
        ticket["then"] = json!([{"when": when, "after_s": after_s, "by": "requester", "body": body}]);
    }
    ticket
}

fn words(kind: Kind, customer: i64) -> (String, String) {
    let order = format!("T-{customer}");
    match kind {
        Kind::Refund | Kind::LargeRefund | Kind::SplitRefund | Kind::Nonsense | Kind::Forgetful => (
            format!("Refund for {order}"),
            format!("Hello, please refund part of my order {order}. The reader was scratched."),
        ),
        Kind::Seats => ("Seats".into(), "Hello, please add one more seat to my subscription.".into()),
        Kind::Mail | Kind::LaterMail => {
            ("Set-up guide".into(), format!("Hello, please mail me the details of my order {order}."))
        }
        Kind::Everything => (
            format!("Order {order}"),
            format!("Hello, the reader of order {order} was scratched. And please add one more seat."),
        ),
        Kind::Question => ("Returns".into(), "Hello, within how many days can I send a reader back?".into()),
        Kind::HandedOver => ("Photo".into(), "Hello, can you look at the photo of my damaged box?".into()),
        Kind::AsksForPerson => ("Please".into(), "I want to speak to a human being, please.".into()),
        Kind::Machine => ("Out of office".into(), "I am away until Monday.".into()),
    }
}

fn call(name: &str, input: Value) -> Value {
    json!({"name": name, "input": input})
}

fn refund(customer: i64, cents: i64) -> Value {
    let (payment, explanation) = (format!("pay_{customer}"), "The reader was scratched.");
    let input = json!({"payment": payment, "amount_minor": cents, "currency": "usd",
                       "reason": "requested_by_customer", "explanation": explanation});
    call("create_refund", input)
}

fn seats(customer: i64) -> Value {
    let input = json!({"subscription": format!("sub_{customer}"), "quantity": 3, "explanation": "One more seat."});
    call("update_subscription", input)
}

fn mail(after_s: i64) -> Value {
    call("send_followup_email", json!({"after_s": after_s, "subject": "Your order", "body": "Here are the details."}))
}

fn close(answer: &str, claims: &[&str], articles: &[i64]) -> Value {
    let input = json!({"answer": answer, "outcome": "solved", "category": "order", "summary": "Settled.",
                       "articles": articles, "actions_claimed": claims});
    json!({"tools": [call("log_resolution", input)]})
}

fn hand_over() -> Value {
    let input = json!({"reason": "out_of_scope", "asked": "To look at a photo.", "found": "A photo.", "done": "Nothing.",
                       "suggested_answer": "We look at it.", "holding_message": "A colleague takes a look.",
                       "priority": "normal"});
    json!({"tools": [call("escalate_to_human", input)]})
}

fn script(dice: &mut Dice, kind: Kind, customer: i64) -> Value {
    // The first search is made by code, before the first turn: what is left is two reads side by side.
    let search = |query: &str| call("search_knowledge_base", json!({"query": query}));
    let look = json!({"tools": [search("send a reader back"), search("photo of a box"), search("days")]});
    let refunded = "Hello,\n\nthe refund has been issued to your card.";
    let turns = match kind {
        Kind::Refund => {
            vec![
                look,
                json!({"tools": [refund(customer, dice.between(100, 12_000))]}),
                close(refunded, &["refund"], &[]),
            ]
        }
        Kind::LargeRefund => {
            let amount = *dice.pick(&[50_001, 60_000, 120_000]);
            vec![look, json!({"tools": [refund(customer, amount)]}), close(refunded, &["refund"], &[])]
        }
        Kind::SplitRefund => {
            let both = json!({"tools": [refund(customer, 30_000), refund(customer, 25_000)]});
            vec![look, both, close(refunded, &["refund"], &[])]
        }
        Kind::Seats => vec![
            look,
            json!({"tools": [seats(customer)]}),
            close("Hello,\n\nyour subscription has been changed.", &["subscription_change"], &[]),
        ],
        Kind::Mail => vec![
            look,
            json!({"tools": [mail(0)]}),
            close("Hello,\n\nI have sent you a mail with the details.", &["followup_email"], &[]),
        ],
        Kind::LaterMail => vec![
            json!({"tools": [mail(3_600)]}),
            close("Hello,\n\nyou will get a mail with the details.", &["followup_email"], &[]),
        ],
        Kind::Everything => vec![
            json!({"tools": [call("get_recent_tickets", json!({})), refund(customer, 700), seats(customer), mail(0)]}),
            close(
                "Hello,\n\nthe refund has been issued and your subscription has been changed.",
                &["refund", "subscription_change"],
                &[],
            ),
        ],
        Kind::Question => vec![
            json!({"tools": [search("send back days")]}),
            close("Hello,\n\nyou can send a reader back within 30 days.", &[], &[101]),
        ],
        Kind::HandedOver => vec![look, hand_over()],
        Kind::AsksForPerson | Kind::Machine => vec![hand_over()],
        Kind::Nonsense => {
            let calls = [
                call("delete_customer", json!({})),
                call("create_refund", json!({"payment": "pay_1"})),
                refund(customer + 1, 900),
                refund(customer, -5),
                refund(customer, 99_000_000),
                call("log_resolution", json!({"answer": "I have refunded you."})),
            ];
            let first = dice.pick(&calls).clone();
            let second = dice.pick(&calls).clone();
            vec![json!({"tools": [first, second]}), hand_over()]
        }
        Kind::Forgetful => vec![look, json!({"text": "That is done."}), close("Hello,\n\nwe look into it.", &[], &[])],
    };
    Value::Array(turns)
}

/// The files of a world with these tickets and as many customers, each with a paid order and a subscription.
pub fn write(tickets: &[Value]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("articles")).expect("a writable folder");
    let put = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("a writable folder");
    let person = |id: i64, name: &str| json!({"id": id, "name": name, "address": format!("{name}@tiny.example"), "role": "agent", "group": "Support"});
    let world = json!({
        "name": "seeded", "now": "2026-11-20T09:00:00Z",
        "shop": {"name": "Tiny", "support_address": "support@tiny.example", "currency": "usd", "time_zone": "UTC",
                 "languages": ["en"], "link_domains": ["tiny.example"]},
        "plans": [{"id": "basic", "name": "Basic", "amount_minor": 1000, "currency": "usd", "interval": "month"}],
        "people": [person(20_001, "Pat"), person(20_002, "Kim")], "groups": ["Support"],
    });
    put("world.json", world.to_string());
    put(
        "articles/101-returns.md",
        "---\nid: 101\ntitle: Returns\nsection: Billing\nlocale: en-us\nupdated: 2026-10-01T08:00:00Z\n---\n\
         You can send a reader back within 30 days.\n"
            .to_owned(),
    );
    let each = |one: &dyn Fn(usize) -> Value| {
        let lines: Vec<String> = (0..=tickets.len()).map(|n| one(n).to_string()).collect();
        lines.join("\n")
    };
    let customers = each(&|n| {
        json!({"id": format!("c_{n}"), "name": format!("Customer {n}"), "created": "2024-01-01T00:00:00Z",
               "addresses": [{"address": format!("customer{n}@mail.example"), "verified": true}],
               "status": "active", "flags": []})
    });
    put("customers.jsonl", customers);
    let orders = each(&|n| {
        json!({"id": format!("T-{n}"), "customer": format!("c_{n}"), "created": "2026-11-10T10:00:00Z",
               "status": "delivered", "currency": "usd", "total_minor": 120_000, "payments": [format!("pay_{n}")],
               "items": [{"sku": "X", "name": "Reader", "quantity": 1, "amount_minor": 120_000}]})
    });
    put("orders.jsonl", orders);
    let payments = each(&|n| {
        json!({"id": format!("pay_{n}"), "customer": format!("c_{n}"), "amount_minor": 120_000, "currency": "usd",
               "created": "2026-11-10T10:00:00Z", "status": "succeeded", "refunds": [], "order": format!("T-{n}"),
               "method": {"kind": "card", "brand": "visa", "last4": "4242"}})
    });
    put("payments.jsonl", payments);
    let subscriptions = each(&|n| {
        json!({"id": format!("sub_{n}"), "customer": format!("c_{n}"), "plan": "basic", "quantity": 2,
               "status": "active", "started": "2024-01-01T00:00:00Z", "period_end": "2026-12-01T00:00:00Z"})
    });
    put("subscriptions.jsonl", subscriptions);
    let lines: Vec<String> = tickets.iter().map(Value::to_string).collect();
    put("tickets.jsonl", lines.join("\n"));
    folder
}
