//! From the bytes of a world's files to typed values. What one line means is decided here; whether ids that it mentions
//! exist is decided in `check.rs`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::read::{Book, Fields, object};
use super::{
    Address, Article, Attachment, Audience, BadWorld, By, Channel, Customer, CustomerStatus, Decision, Expect,
    ExpectedAnswer, ExpectedEffect, Item, Method, Mistake, Order, OrderStatus, Outcome, Past, PastRefund, Payment,
    Person, Place, Plan, ScriptTool, Sender, Shop, Subscription, SubscriptionStatus, Then, TicketFile, TicketStatus,
    Turn, Vendor, When, WorldFiles, check,
};
use crate::money::Currency;

/// The files of a world, besides `articles/*.md`.
pub(super) const FILES: &[&str] =
    &["world.json", "customers.jsonl", "orders.jsonl", "payments.jsonl", "subscriptions.jsonl", "tickets.jsonl"];

/// Without these there is no world.
const REQUIRED: &[&str] = &["world.json", "customers.jsonl", "tickets.jsonl"];

/// A parsed line with the place it stands at.
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// Everything that was parsed, for `check.rs`.
pub(super) struct Parsed {
    pub(super) head: Head,
    pub(super) head_place: Place,
    pub(super) customers: Vec<Placed<Customer>>,
    pub(super) orders: Vec<Placed<Order>>,
    pub(super) payments: Vec<Placed<Payment>>,
    pub(super) subscriptions: Vec<Placed<Subscription>>,
    pub(super) articles: Vec<Article>,
    pub(super) tickets: Vec<Placed<TicketFile>>,
}

/// What `world.json` holds.
pub(super) struct Head {
    pub(super) name: String,
    pub(super) now: jiff::Timestamp,
    pub(super) shop: Shop,
    pub(super) plans: Vec<Plan>,
    pub(super) people: Vec<Person>,
    pub(super) groups: Vec<String>,
    pub(super) config: serde_json::Map<String, Value>,
}

pub(super) fn world(
    from: &str,
    files: &BTreeMap<String, Vec<u8>>,
    unreadable: Vec<Mistake>,
) -> Result<WorldFiles, BadWorld> {
    let book = Book::default();
    for name in REQUIRED {
        if !files.contains_key(*name) && !unreadable.iter().any(|mistake| mistake.file == *name) {
            let place = Place { file: (*name).to_owned(), line: 0 };
            let hint =
                "a world needs `world.json`, `customers.jsonl` and `tickets.jsonl`; the other files may be absent";
            book.note(&place, "is missing", Some(hint.to_owned()));
        }
    }
    let texts: BTreeMap<&str, &str> = files
        .iter()
        .filter_map(|(name, bytes)| match std::str::from_utf8(bytes) {
            Ok(text) => Some((name.as_str(), text.trim_start_matches('\u{feff}'))),
            Err(bad) => {
                let line = 1 + bytes[..bad.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
                let place = Place { file: name.clone(), line };
                book.note(&place, "is not UTF-8", Some("save the file as UTF-8".to_owned()));
                None
            }
        })
        .collect();
    let text = |name: &str| texts.get(name).copied().unwrap_or_default();

    let parsed = Parsed {
        head: head(text("world.json"), &book),
        head_place: Place { file: "world.json".to_owned(), line: 1 },
        customers: lines("customers.jsonl", text("customers.jsonl"), &book, customer),
        orders: lines("orders.jsonl", text("orders.jsonl"), &book, order),
        payments: lines("payments.jsonl", text("payments.jsonl"), &book, payment),
        subscriptions: lines("subscriptions.jsonl", text("subscriptions.jsonl"), &book, subscription),
        articles: texts
            .iter()
            .filter(|(name, _)| name.starts_with("articles/") && name.ends_with(".md"))
            .filter_map(|(name, text)| article(name, text, &book))
            .collect(),
        tickets: lines("tickets.jsonl", text("tickets.jsonl"), &book, ticket),
    };
    check::references(&parsed, &book);

    let mut mistakes = unreadable;
    mistakes.extend(book.into_mistakes());
    if !mistakes.is_empty() {
        mistakes.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        return Err(BadWorld { from: from.to_owned(), mistakes });
    }
    let Parsed { head, customers, orders, payments, subscriptions, articles, tickets, .. } = parsed;
    Ok(WorldFiles {
        name: head.name,
        now: head.now,
        shop: head.shop,
        plans: head.plans,
        people: head.people,
        groups: head.groups,
        config: head.config,
        customers: values(customers),
        orders: values(orders),
        payments: values(payments),
        subscriptions: values(subscriptions),
        articles,
        tickets: values(tickets),
    })
}

fn values<T>(placed: Vec<Placed<T>>) -> Vec<T> {
    placed.into_iter().map(|placed| placed.value).collect()
}

/// Reads JSON Lines: one object a line, empty lines skipped.
fn lines<T>(file: &str, text: &str, book: &Book, read: impl Fn(&Fields<'_>) -> T) -> Vec<Placed<T>> {
    let mut out = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = Place { file: file.to_owned(), line: index + 1 };
        let value: Value = match serde_json::from_str(line) {
            Ok(value) => value,
            Err(bad) => {
                let hint = "each line is one JSON object, with no comma after it".to_owned();
                book.note(&place, format!("is not JSON: {} at column {}", reason(&bad), bad.column()), Some(hint));
                continue;
            }
        };
        if let Some(value) = object(&value, &place, None, "", book, &read) {
            out.push(Placed { value, place });
        }
    }
    out
}

/// serde_json's reason without its own line and column.
fn reason(bad: &serde_json::Error) -> String {
    let text = bad.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

fn head(text: &str, book: &Book) -> Head {
    let empty_shop = || Shop {
        name: String::new(),
        support_address: String::new(),
        currency: Currency::USD,
        time_zone: "UTC".to_owned(),
        languages: Vec::new(),
        link_domains: Vec::new(),
    };
    let empty = || Head {
        name: String::new(),
        now: jiff::Timestamp::UNIX_EPOCH,
        shop: empty_shop(),
        plans: Vec::new(),
        people: Vec::new(),
        groups: Vec::new(),
        config: serde_json::Map::new(),
    };
    if text.is_empty() {
        return empty();
    }
    let file = "world.json".to_owned();
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(bad) => {
            let place = Place { file, line: bad.line() };
            let hint = "the file is one JSON object: { … }".to_owned();
            book.note(&place, format!("is not JSON: {} at column {}", reason(&bad), bad.column()), Some(hint));
            return empty();
        }
    };
    let read = |f: &Fields<'_>| {
        for key in ["shop", "people", "groups"] {
            f.required(key);
        }
        Head {
            name: f.text("name"),
            now: f.time("now"),
            shop: f.inner("shop", shop).unwrap_or_else(empty_shop),
            plans: f.each("plans", plan),
            people: f.each("people", person),
            groups: groups(f),
            config: f.free_object("config").unwrap_or_default(),
        }
    };
    object(&value, &Place { file, line: 1 }, Some(text), "", book, read).unwrap_or_else(empty)
}

fn shop(f: &Fields<'_>) -> Shop {
    let time_zone = f.text_or_none("time_zone").unwrap_or_else(|| "UTC".to_owned());
    if jiff::tz::TimeZone::get(&time_zone).is_err() {
        f.wrong("time_zone", format!("is `{time_zone}`, which is no time zone"), "write an IANA name: Europe/Berlin");
    }
    Shop {
        name: f.text("name"),
        support_address: address(f, "support_address"),
        currency: f.currency("currency"),
        time_zone,
        languages: f.texts("languages"),
        link_domains: f.texts("link_domains"),
    }
}

/// Groups are names, or objects with a `name`.
fn groups(f: &Fields<'_>) -> Vec<String> {
    let named = |value: &Value| match value {
        Value::String(name) => Some(name.clone()),
        Value::Object(map) => map.get("name").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    let mut out = Vec::new();
    for value in f.values("groups") {
        match named(value) {
            Some(name) => out.push(name),
            None => f.wrong("groups", format!("holds `{value}`"), "write the names: [\"Support\", \"Billing\"]"),
        }
    }
    out
}

fn plan(f: &Fields<'_>) -> Plan {
    const INTERVALS: &[(&str, &str)] = &[("month", "month"), ("year", "year"), ("week", "week"), ("day", "day")];
    Plan {
        id: f.text("id"),
        name: f.text("name"),
        amount_minor: f.amount("amount_minor"),
        currency: f.currency("currency"),
        interval: f.word("interval", INTERVALS, None).to_owned(),
    }
}

fn person(f: &Fields<'_>) -> Person {
    const ROLES: &[(&str, &str)] = &[("agent", "agent"), ("admin", "admin")];
    if !f.has("id") {
        f.wrong("id", "is missing", "add a text; tickets name it as `assignee`");
    }
    Person {
        id: f.text_or_number("id").unwrap_or_default(),
        name: f.text("name"),
        address: address(f, "address"),
        role: f.word("role", ROLES, Some("agent")).to_owned(),
        group: f.text_or_none("group"),
    }
}

fn address(f: &Fields<'_>, key: &'static str) -> String {
    let text = f.text(key);
    let good = text.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if !text.is_empty() && (!good || text.contains(char::is_whitespace)) {
        f.wrong(key, format!("is `{text}`, which is no mail address"), "write name@domain");
    }
    text
}

fn customer(f: &Fields<'_>) -> Customer {
    let read = |f: &Fields<'_>| Address { address: address(f, "address"), verified: f.flag("verified", true) };
    let mut known_to = Vec::new();
    for word in f.texts("known_to") {
        match Vendor::ALL.iter().find(|(name, _)| *name == word) {
            Some((_, vendor)) => known_to.push(*vendor),
            None => f.wrong("known_to", format!("holds `{word}`"), "it may hold `zendesk`, `stripe`, `billing`"),
        }
    }
    if !f.has("known_to") {
        known_to = Vendor::ALL.iter().map(|(_, vendor)| *vendor).collect();
    }
    f.required("addresses");
    Customer {
        id: f.text("id"),
        name: f.text("name"),
        addresses: f.each("addresses", read),
        external_id: f.text_or_number("external_id"),
        organization: f.text_or_none("organization"),
        created: f.time("created"),
        status: f.word("status", CustomerStatus::ALL, Some(CustomerStatus::Active)),
        flags: f.texts("flags"),
        known_to,
        facts: f.free_object("facts").unwrap_or_default(),
    }
}

fn order(f: &Fields<'_>) -> Order {
    let item = |f: &Fields<'_>| Item {
        sku: f.text("sku"),
        name: f.text("name"),
        quantity: f.int_or_none("quantity").unwrap_or(1),
        amount_minor: f.amount("amount_minor"),
        facts: f.free_object("facts").unwrap_or_default(),
    };
    f.required("items");
    Order {
        id: f.text_or_number("id").unwrap_or_else(|| f.text("id")),
        customer: f.text("customer"),
        created: f.time("created"),
        status: f.word("status", OrderStatus::ALL, None),
        items: f.each("items", item),
        currency: f.currency("currency"),
        total_minor: f.amount("total_minor"),
        payments: f.texts("payments"),
        tracking: f.raw("tracking").cloned(),
    }
}

fn payment(f: &Fields<'_>) -> Payment {
    let refund = |f: &Fields<'_>| PastRefund {
        id: f.text("id"),
        amount_minor: f.amount("amount_minor"),
        created: f.time("created"),
        status: f.text_or_none("status").unwrap_or_else(|| "succeeded".to_owned()),
        reason: f.text_or_none("reason"),
    };
    let method = |f: &Fields<'_>| Method {
        kind: f.text("kind"),
        brand: f.text_or_none("brand"),
        last4: f.text_or_number("last4"),
    };
    Payment {
        id: f.text("id"),
        customer: f.text("customer"),
        amount_minor: f.amount("amount_minor"),
        currency: f.currency("currency"),
        created: f.time("created"),
        status: f.text("status"),
        method: f.inner("method", method).unwrap_or(Method { kind: "card".to_owned(), brand: None, last4: None }),
        refunds: f.each("refunds", refund),
        disputed: f.flag("disputed", false),
        order: f.text_or_number("order"),
        subscription: f.text_or_none("subscription"),
    }
}

fn subscription(f: &Fields<'_>) -> Subscription {
    let quantity = f.int_or_none("quantity").unwrap_or(1);
    if quantity < 1 {
        f.wrong("quantity", format!("is `{quantity}`"), "a subscription has at least one unit");
    }
    Subscription {
        id: f.text("id"),
        customer: f.text("customer"),
        plan: f.text("plan"),
        quantity,
        status: f.word("status", SubscriptionStatus::ALL, None),
        started: f.time("started"),
        period_end: f.time("period_end"),
        cancel_at_period_end: f.flag("cancel_at_period_end", false),
        paused: f.flag("paused", false),
    }
}

fn sender(f: &Fields<'_>) -> Sender {
    let address = address(f, "address");
    let name = f.text_or_none("name").filter(|name| !name.is_empty());
    let local = || address.split('@').next().unwrap_or_default().to_owned();
    Sender { name: name.unwrap_or_else(local), verified: f.flag("verified", true), address }
}

/// Somebody in copy: an address, or an object like `from`.
fn copies(f: &Fields<'_>) -> Vec<Sender> {
    if f.values("cc").iter().any(Value::is_object) {
        return f.each("cc", sender);
    }
    let plain = |address: String| {
        let name = address.split('@').next().unwrap_or_default().to_owned();
        Sender { name, verified: true, address }
    };
    f.texts("cc").into_iter().map(plain).collect()
}

fn ticket(f: &Fields<'_>) -> TicketFile {
    let nobody = || Sender { address: String::new(), name: String::new(), verified: true };
    if !f.has("from") {
        f.wrong("from", "is missing", "add { \"address\": …, \"name\": … }");
    }
    let headers = f.free_object("headers").unwrap_or_default();
    let header = |(name, value): (String, Value)| match value {
        Value::String(text) => Some((name, text)),
        other => {
            f.wrong("headers", format!("holds `{name}`: `{other}`"), "a header's value is a text");
            None
        }
    };
    let attachment =
        |f: &Fields<'_>| Attachment { name: f.text("name"), kind: f.text("type"), text: f.text_or_none("text") };
    let past = |f: &Fields<'_>| Past {
        by: f.word("by", By::ALL, None),
        public: f.flag("public", true),
        body: f.free_text("body"),
        at: f.time("at"),
    };
    let id = f.int("id");
    if id < 1 && f.has("id") {
        f.wrong("id", format!("is `{id}`"), "ticket numbers start at 1");
    }
    if !f.has("body") && !f.has("html") && !f.has("attachments") {
        f.wrong("body", "is missing", "add `body` or `html`; an empty message is \"body\": \"\"");
    }
    TicketFile {
        id,
        arrives_s: f.seconds("arrives_s").unwrap_or(0.0),
        from: f.inner("from", sender).unwrap_or_else(nobody),
        cc: copies(f),
        channel: f.word("channel", Channel::ALL, Some(Channel::Email)),
        subject: f.free_text("subject"),
        body: f.text_or_none("body"),
        html: f.text_or_none("html"),
        headers: headers.into_iter().filter_map(header).collect(),
        attachments: f.each("attachments", attachment),
        tags: f.texts("tags"),
        status: status(f),
        assignee: f.text_or_number("assignee"),
        history: f.each("history", past),
        then: f.each("then", then),
        decision: decision(f),
        script: script(f),
        route: f.free_object("route"),
        expect: f.inner("expect", expect),
        place: f.place.clone(),
    }
}

fn status(f: &Fields<'_>) -> Option<TicketStatus> {
    f.has("status").then(|| f.word("status", TicketStatus::ALL, None))
}

fn then(f: &Fields<'_>) -> Then {
    // `"when": "after_s", "after_s": 30` and `"when": { "after_s": 30 }` say the same.
    let nested = f.raw("when").filter(|value| value.is_object());
    let (when, after_s) = match nested {
        Some(_) => (When::After, f.inner("when", |f| f.seconds("after_s")).flatten()),
        None => (f.word("when", When::ALL, f.has("after_s").then_some(When::After)), f.seconds("after_s")),
    };
    if when == When::After && after_s.is_none() {
        f.wrong("after_s", "is missing", "say how many seconds after the ticket's arrival: \"after_s\": 30");
    }
    let by = f.word("by", By::ALL, Some(By::Requester));
    if by == By::Deskhand {
        f.wrong("by", "is `deskhand`", "it may be `requester` or `person`; what Deskhand does is its own affair");
    }
    Then {
        when,
        after_s: after_s.unwrap_or(0.0),
        by,
        body: f.text_or_none("body"),
        public: f.flag("public", true),
        status: status(f),
        assignee: f.text_or_number("assignee"),
        script: script(f),
        route: f.free_object("route"),
    }
}

fn decision(f: &Fields<'_>) -> Decision {
    const WORDS: &[(&str, Decision)] =
        &[("none", Decision::None), ("approve", Decision::Approve), ("reject", Decision::Reject)];
    match f.raw("decision") {
        Some(Value::Object(_)) => {
            f.inner("decision", |f| Decision::AmountMinor(f.amount("amount_minor"))).unwrap_or(Decision::None)
        }
        _ => f.word("decision", WORDS, Some(Decision::None)),
    }
}

fn script(f: &Fields<'_>) -> Option<Vec<Turn>> {
    // A script may call a tool that does not exist: models do that too.
    let tool = |f: &Fields<'_>| ScriptTool {
        name: f.text("name"),
        input: f.raw("input").cloned().unwrap_or_else(|| Value::Object(Default::default())),
    };
    let turn = |f: &Fields<'_>| Turn { text: f.text_or_none("text"), tools: f.each("tools", tool) };
    f.has("script").then(|| f.each("script", turn))
}

fn expect(f: &Fields<'_>) -> Expect {
    const EFFECTS: &[(&str, &str)] = &[
        ("create_refund", "create_refund"),
        ("update_subscription", "update_subscription"),
        ("send_followup_email", "send_followup_email"),
    ];
    let effect = |f: &Fields<'_>| ExpectedEffect {
        tool: f.word("tool", EFFECTS, None).to_owned(),
        args: f.free_object("args").unwrap_or_default(),
    };
    let answer = |f: &Fields<'_>| ExpectedAnswer {
        must: f.texts("must"),
        must_not: f.texts("must_not"),
        articles: f.values("articles").iter().filter_map(Value::as_i64).collect(),
        language: f.text_or_none("language"),
    };
    Expect {
        outcome: f.word("outcome", Outcome::ALL, None),
        rule: f.text_or_none("rule"),
        effects: f.has("effects").then(|| f.each("effects", effect)),
        answer: f.inner("answer", answer),
    }
}

/// Front matter between two lines of `---`, `key: value` a line; then Markdown.
fn article(name: &str, text: &str, book: &Book) -> Option<Article> {
    let place = |line: usize| Place { file: name.to_owned(), line };
    let mut lines = text.lines().enumerate();
    if lines.next().is_none_or(|(_, line)| line.trim() != "---") {
        let hint = "start with a line of `---`, then `id:`, `title:`, `section:`, `locale:`, `updated:`, then `---`";
        book.note(&place(1), "has no front matter", Some(hint.to_owned()));
        return None;
    }
    let mut map = serde_json::Map::new();
    let mut places = BTreeMap::new();
    let mut end = None;
    for (index, line) in lines {
        let line_no = index + 1;
        match line.trim() {
            "---" => {
                end = Some(index);
                break;
            }
            "" => {}
            trimmed => match trimmed.split_once(':') {
                None => book.note(
                    &place(line_no),
                    format!("`{trimmed}` is no front matter"),
                    Some("write `key: value`".into()),
                ),
                Some((key, value)) => {
                    let key = key.trim().to_owned();
                    let value = value.trim();
                    let unquoted = value.trim_matches('"').trim_matches('\'');
                    let value = match value {
                        "true" => Value::Bool(true),
                        "false" => Value::Bool(false),
                        number if key == "id" && number.parse::<i64>().is_ok() => {
                            Value::from(number.parse::<i64>().unwrap_or_default())
                        }
                        _ => Value::String(unquoted.to_owned()),
                    };
                    if map.insert(key.clone(), value).is_some() {
                        book.note(&place(line_no), format!("`{key}` stands twice"), Some("keep one".to_owned()));
                    }
                    places.insert(key, line_no);
                }
            },
        }
    }
    let Some(end) = end else {
        book.note(&place(1), "the front matter does not end", Some("close it with a line of `---`".to_owned()));
        return None;
    };
    let markdown = text.lines().skip(end + 1).collect::<Vec<_>>().join("\n").trim().to_owned();
    if markdown.is_empty() {
        book.note(&place(end + 1), "has no text", Some("write the article below the front matter".to_owned()));
    }
    let read = |f: &Fields<'_>| Article {
        id: f.int("id"),
        title: f.text("title"),
        section: f.text("section"),
        locale: f.text("locale"),
        updated: f.time("updated"),
        draft: f.flag("draft", false),
        audience: f.word("audience", Audience::ALL, Some(Audience::Public)),
        markdown,
        place: place(1),
    };
    // Each mistake is reported at the line of its key.
    let own = Book::default();
    let value = Value::Object(map);
    let article = object(&value, &place(1), None, "", &own, read);
    for mistake in own.into_mistakes() {
        let key = mistake.what.split('`').nth(1).unwrap_or_default();
        let line = places.get(key).copied().unwrap_or(1);
        book.note(&place(line), mistake.what, mistake.hint);
    }
    article
}
