//! What the zero-latency vendors say: one customer with two payments, two orders and a subscription for each ticket, a small
//! help center, and a model that works every ticket in the same six calls and seven tool uses. The shapes are those that the
//! real clients read; the sizes are those of a real shop.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// The first ticket's number; all have seven digits.
pub const FIRST_TICKET: u64 = 1_000_001;
/// Stands in every text where the ticket's number goes.
const NUMBER: &str = "{N}";
/// The number that we act as at the helpdesk.
const ME: i64 = 77;
/// How much a payment was, in cents.
const PAID_MINOR: i64 = 120_000;
/// How many bytes of an answer one piece of the stream carries; a real one carries a few words.
const PIECE: usize = 40;

/// A text with places for the ticket's number between its parts.
pub struct Template {
    /// One more than there are places.
    pub parts: Vec<Vec<u8>>,
}

impl Template {
    fn new(text: &str) -> Template {
        Template { parts: text.split(NUMBER).map(|part| part.as_bytes().to_vec()).collect() }
    }
}

/// All answers.
pub struct Answers {
    /// Part of the path after the first one, and what is answered. The first that fits counts.
    rows: Vec<(&'static str, &'static str, Template)>,
    routed: Template,
    turns: Vec<Template>,
    nothing: Template,
    stamp: Timestamp,
}

impl Answers {
    /// Refunds are of so many cents.
    pub fn new(refund_minor: i64) -> Answers {
        let now = Timestamp::now();
        let stamp = now - SignedDuration::from_hours(1);
        let json = |value: Value| Template::new(&text_of(&value));
        let rows = vec![
            ("POST", "/z/oauth/tokens", json(json!({"access_token": "t", "expires_in": 7200, "scope": "read write"}))),
            ("GET", "/z/api/v2/users/me", json(json!({"user": {"id": ME, "name": "Deskhand", "role": "agent"}}))),
            ("GET", "/z/api/v2/help_center", Template { parts: vec![articles().to_string().into_bytes()] }),
            ("GET", "/z/api/v2/users/", json(earlier(stamp))),
            ("GET", "/comments.json", json(comments(stamp))),
            ("GET", "/z/api/v2/tickets.json", json(json!({"tickets": [], "users": [], "meta": {"has_more": false}}))),
            ("GET", "/z/api/v2/tickets/", json(json!({"ticket": ticket(stamp), "users": [requester()]}))),
            ("PUT", "/z/api/v2/tickets/", json(written(now))),
            ("GET", "/b/v1/plans", json(json!({"data": [plan()]}))),
            ("GET", "/orders", json(json!({"data": [order("A"), order("B")]}))),
            ("GET", "/subscriptions", json(json!({"data": [subscription()]}))),
            ("GET", "/entitlements", json(json!({"entitlements": [{"feature": "seats", "value": 12}]}))),
            ("GET", "/b/v1/customers", json(json!({"data": [billing_customer()]}))),
            ("GET", "/s/v1/customers", json(json!({"data": [stripe_customer()], "has_more": false}))),
            ("GET", "/s/v1/charges?payment_intent", json(json!({"data": [charge("A")], "has_more": false}))),
            ("GET", "/s/v1/charges", json(json!({"data": [charge("A"), charge("B")], "has_more": false}))),
            ("GET", "/s/v1/payment_intents?", json(json!({"data": [intent("A"), intent("B")], "has_more": false}))),
            ("GET", "/s/v1/payment_intents/", json(intent("A"))),
            ("POST", "/s/v1/refunds", json(refund(refund_minor, now))),
        ];
        Answers {
            rows,
            routed: Template::new(&stream(&[("text", json!(routed().to_string()))], "end_turn")),
            turns: turns(refund_minor).iter().map(|blocks| Template::new(&stream(blocks, "tool_use"))).collect(),
            nothing: Template::new("{}"),
            stamp,
        }
    }

    /// What is answered, and for which ticket's number.
    pub fn find<'a>(&self, method: &str, path: &'a str, body: &'a str) -> (&Template, &'a str) {
        if path.starts_with("/a/") {
            let ticket = body.find("Ticket 1").map_or("", |at| &body[at..]);
            // The first word of the model is the calls that code made for it; without any it is the router that is asked.
            let turn = ticket.matches("\"role\":\"assistant\"").count();
            let template = match turn.checked_sub(1) {
                None => &self.routed,
                Some(turn) => self.turns.get(turn).unwrap_or(&self.nothing),
            };
            return (template, number(ticket));
        }
        let row = self.rows.iter().find(|(verb, part, _)| *verb == method && path.contains(part));
        let from_path = number(path);
        (row.map_or(&self.nothing, |row| &row.2), if from_path.is_empty() { number(body) } else { from_path })
    }

    /// Tickets of the export, counted from 0.
    pub fn export(&self, from: u64, to: u64, last: bool) -> Value {
        let numbers = from..to;
        let put = |value: Value, at: u64| -> Value {
            let text = text_of(&value).replace(NUMBER, &(FIRST_TICKET + at).to_string());
            serde_json::from_str(&text).expect("JSON stays JSON")
        };
        let tickets: Vec<Value> = numbers.clone().map(|at| put(ticket(self.stamp), at)).collect();
        let users: Vec<Value> = numbers.map(|at| put(requester(), at)).collect();
        json!({ "tickets": tickets, "users": users, "after_cursor": format!("after{to}"), "end_of_stream": last })
    }
}

/// The first number of seven digits or more; of a longer one the last seven.
fn number(text: &str) -> &str {
    let digits = text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() >= 7);
    digits.map_or("", |run| &run[run.len() - 7..])
}

/// As text; `"#9{N}#"` becomes the number `9{N}`, which no JSON value can hold before the ticket's number is known.
fn text_of(value: &Value) -> String {
    value.to_string().replace("\"#", "").replace("#\"", "")
}

fn ticket(stamp: Timestamp) -> Value {
    json!({
        "id": "#{N}#", "subject": "Refund for order A-{N}", "status": "open", "via": {"channel": "email"},
        "requester_id": "#9{N}#", "assignee_id": null, "group_id": 31, "email_cc_ids": [], "collaborator_ids": [],
        "tags": ["web_widget", "plan_pro"], "created_at": stamp, "updated_at": stamp,
        "custom_fields": [{"id": 1, "value": null}, {"id": 2, "value": "pro"}], "priority": null, "type": null,
        "satisfaction_rating": {"score": "unoffered"}, "is_public": true, "from_messaging_channel": false,
    })
}

fn requester() -> Value {
    json!({
        "id": "#9{N}#", "name": "Ada Low", "email": "c{N}@low.example", "verified": true, "role": "end-user",
        "locale": "en-US", "time_zone": "Eastern Time (US & Canada)", "external_id": null,
    })
}

fn comments(stamp: Timestamp) -> Value {
    let text = "Hello,\n\nplease refund the adapter of my order A-{N}, it came to $1.00. It arrived scratched, and the shop \
                where I bought the reader gave me another one. The reader itself is fine and I would like to keep it. \
                The order went to my office, I can send it back with your label if you need it, just tell me where to \
                drop it off.\n\nThank you and best regards\nAda Low";
    json!({
        "comments": [{
            "id": "#8{N}#", "author_id": "#9{N}#", "public": true, "created_at": stamp, "plain_body": text,
            "html_body": format!("<div class=\"zd-comment\" dir=\"auto\"><p>{}</p></div>", text.replace("\n\n", "</p><p>")),
            "body": text, "attachments": [], "audit_id": "#7{N}#", "via": {"channel": "email"},
            "metadata": {"system": {"client": "Mail", "location": "Boston, MA, United States"}, "custom": {}},
        }],
        "users": [requester()], "meta": {"has_more": false},
    })
}

fn earlier(stamp: Timestamp) -> Value {
    let one = |id: &str, subject: &str| json!({"id": id, "subject": subject, "status": "closed", "created_at": stamp, "updated_at": stamp});
    json!({
        "tickets": [one("#{N}#", "Refund for order A-{N}"), one("#6{N}#", "Change of the delivery address"), one("#5{N}#", "Invoice with VAT number")],
        "meta": {"has_more": false},
    })
}

fn written(now: Timestamp) -> Value {
    json!({
        "ticket": {"id": "#{N}#", "subject": "Refund for order A-{N}", "status": "solved", "requester_id": "#9{N}#",
                   "created_at": now, "updated_at": now},
        "audit": {"id": "#4{N}#", "created_at": now, "metadata": {"custom": {}},
                  "events": [{"id": "#3{N}#", "type": "Comment", "public": true},
                             {"id": "#2{N}#", "type": "Notification", "recipients": ["#9{N}#"]}]},
    })
}

/// The help center of the shipped shop.
fn articles() -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sim/worlds/brightslot/articles");
    let mut paths: Vec<_> = std::fs::read_dir(folder).expect(folder).flatten().map(|file| file.path()).collect();
    paths.sort();
    let articles: Vec<Value> =
        paths.iter().map(|path| article(&std::fs::read_to_string(path).expect("text"))).collect();
    json!({"articles": articles, "sections": [{"id": 9, "name": "Help"}], "meta": {"has_more": false}})
}

/// An article of the shipped world: `---`, lines of `key: value`, `---`, Markdown.
fn article(file: &str) -> Value {
    let (head, text) = file.trim_start_matches("---").split_once("\n---").expect("a head between two lines");
    let key =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default();
    let mut body = String::new();
    pulldown_cmark::html::push_html(&mut body, pulldown_cmark::Parser::new(text));
    let id: i64 = key("id").parse().expect("an article's number");
    json!({"id": id, "title": key("title"), "html_url": format!("https://help.bench.example/articles/{id}"), "body": body,
           "locale": key("locale"), "section_id": 9, "draft": false, "updated_at": key("updated")})
}

fn money(minor: i64) -> Value {
    json!({"minor": minor, "currency": "usd", "scale": 2})
}

fn plan() -> Value {
    json!({"id": "pro", "name": "Pro", "price": money(4_900), "interval": "month"})
}

fn order(letter: &str) -> Value {
    json!({
        "id": format!("{letter}-{{N}}"), "customer_id": "c_{N}", "placed_at": recent(12), "stage": "delivered",
        "total": money(PAID_MINOR), "stripe_payment_intent_id": format!("pi_{letter}{{N}}"),
        "items": [{"sku": "RD-2", "name": "Card reader", "quantity": 1, "total": money(PAID_MINOR - 100)},
                  {"sku": "AD-1", "name": "Adapter", "quantity": 1, "total": money(100)}],
        "shipments": [{"carrier": "ups", "tracking_number": "1Z999AA10123456784", "status": "delivered"}],
    })
}

fn subscription() -> Value {
    json!({"id": "sub_{N}", "customer_id": "c_{N}", "plan": plan(), "quantity": 2, "status": "active", "version": "3",
           "current_period": {"start": recent(20), "end": recent(-10)}})
}

fn billing_customer() -> Value {
    json!({"id": "c_{N}", "email": "c{N}@low.example", "name": "Ada Low", "created_at": "2024-01-01T00:00:00Z",
           "stripe_customer_id": "cus_{N}", "status": "active", "tags": ["newsletter"]})
}

fn stripe_customer() -> Value {
    json!({"id": "cus_{N}", "object": "customer", "email": "c{N}@low.example", "name": "Ada Low", "created": 1_704_067_200,
           "delinquent": false, "metadata": {}, "livemode": false})
}

fn charge(letter: &str) -> Value {
    let created = recent(12).as_second();
    json!({
        "id": format!("ch_{letter}{{N}}"), "object": "charge", "amount": PAID_MINOR, "amount_captured": PAID_MINOR,
        "amount_refunded": 0, "captured": true, "paid": true, "status": "succeeded", "currency": "usd",
        "created": created, "customer": "cus_{N}", "payment_intent": format!("pi_{letter}{{N}}"), "disputed": false,
        "livemode": false, "metadata": {"order": format!("{letter}-{{N}}")}, "refunded": false, "receipt_email": null,
        "payment_method_details": {"type": "card", "card": {"brand": "visa", "last4": "4242", "country": "US"}},
        "billing_details": {"email": "c{N}@low.example", "name": "Ada Low"}, "statement_descriptor": "BENCH",
    })
}

fn intent(letter: &str) -> Value {
    json!({
        "id": format!("pi_{letter}{{N}}"), "object": "payment_intent", "customer": "cus_{N}", "amount": PAID_MINOR,
        "currency": "usd", "status": "succeeded", "metadata": {"order": format!("{letter}-{{N}}")},
        "latest_charge": format!("ch_{letter}{{N}}"), "livemode": false,
    })
}

fn refund(minor: i64, now: Timestamp) -> Value {
    json!({"id": "re_{N}", "object": "refund", "amount": minor, "currency": "usd", "created": now.as_second(),
           "status": "succeeded", "payment_intent": "pi_A{N}", "metadata": {"effect_key": "eff_{N}_8{N}"}})
}

fn recent(days: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(24 * days)
}

fn routed() -> Value {
    json!({"category": "refund", "language": "en", "complexity": "simple", "churn": false, "wants_person": false,
           "legal": false, "asks_refund": true, "spam": false, "summary": "Asks for the money of a scratched adapter back."})
}

/// A block of an answer: its type, and its text or its call.
type Block = (&'static str, Value);

/// Five turns: three reads side by side, two searches, a refund, the answer.
fn turns(refund_minor: i64) -> Vec<Vec<Block>> {
    let call = |id: &str, name: &str, input: Value| {
        ("tool_use", json!({"id": format!("toolu_{{N}}{id}"), "name": name, "input": input}))
    };
    let says = |text: &str| ("text", json!(text));
    let answer = "Hello Ada,\n\nthank you for writing, and I am sorry that the adapter arrived scratched. I have refunded $1.00 \
                  for it to the Visa card ending in 4242 that paid for order A-{N}. Depending on your bank it shows up \
                  within five to ten working days. You do not need to send anything back, and the reader stays with you \
                  as it is.\n\nIf anything else about the order is not as it should be, just answer this message.\n\n\
                  Best regards\nBench support";
    vec![
        vec![
            says(
                "I will look at the order, the account and what this customer wrote before, so that I see what was delivered and paid.",
            ),
            call("a", "get_order_status", json!({"order": "A-{N}"})),
            call("b", "get_customer", json!({})),
            call("c", "get_recent_tickets", json!({})),
        ],
        vec![
            says(
                "The order was delivered twelve days ago and paid by card; nothing of it has gone back yet. I will look up what the policy says about damaged goods.",
            ),
            call("d", "search_knowledge_base", json!({"query": "refund after a charge that was not wanted"})),
        ],
        vec![
            says(
                "Damaged goods are refunded within thirty days. One more look at partial refunds and how long they take, so that the answer is exact.",
            ),
            call("e", "search_knowledge_base", json!({"query": "how long a refund to the card takes"})),
        ],
        vec![
            says(
                "The adapter is one item of $1.00 of the order, within thirty days of the delivery, and the customer keeps the reader: a partial refund is right.",
            ),
            call(
                "f",
                "create_refund",
                json!({
                    "payment": "pi_A{N}", "amount_minor": refund_minor, "currency": "usd", "reason": "requested_by_customer",
                    "explanation": "The customer reports a scratched adapter, $1.00 of order A-{N}, delivered 12 days ago; the policy allows it.",
                }),
            ),
        ],
        vec![
            says("The refund is made. I will tell the customer and close the ticket."),
            call(
                "g",
                "log_resolution",
                json!({
                    "answer": answer, "outcome": "solved", "category": "refund", "articles": [],
                    "summary": "The customer asked for the money of a scratched adapter; it was refunded.", "actions_claimed": ["refund"],
                }),
            ),
        ],
    ]
}

/// An answer of the model as the stream of events that the Messages API sends.
fn stream(blocks: &[Block], stop_reason: &str) -> String {
    let mut out = String::new();
    let mut event = |data: Value| {
        let kind = data["type"].as_str().unwrap_or_default();
        out += &format!("event: {kind}\ndata: {data}\n\n");
    };
    let usage = json!({"input_tokens": 412, "cache_creation_input_tokens": 310, "cache_read_input_tokens": 7_460,
                       "cache_creation": {"ephemeral_5m_input_tokens": 310, "ephemeral_1h_input_tokens": 0}, "output_tokens": 1});
    event(json!({"type": "message_start", "message": {
        "id": "msg_{N}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage}}));
    for (index, (kind, value)) in blocks.iter().enumerate() {
        let (begun, whole) = match *kind {
            "text" => (json!({"type": "text", "text": ""}), value.as_str().unwrap_or_default().to_owned()),
            _ => (
                json!({"type": "tool_use", "id": value["id"], "name": value["name"], "input": {}}),
                value["input"].to_string(),
            ),
        };
        event(json!({"type": "content_block_start", "index": index, "content_block": begun}));
        for piece in pieces(&whole) {
            let delta = match *kind {
                "text" => json!({"type": "text_delta", "text": piece}),
                _ => json!({"type": "input_json_delta", "partial_json": piece}),
            };
            event(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        event(json!({"type": "content_block_stop", "index": index}));
    }
    event(
        json!({"type": "message_delta", "delta": {"stop_reason": stop_reason, "stop_sequence": null}, "usage": {"output_tokens": 140}}),
    );
    event(json!({"type": "message_stop"}));
    out
}

/// Cuts a text into pieces, never through the place of a number.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut at = rest.len().min(PIECE);
        while at < rest.len() && (!rest.is_char_boundary(at) || cuts_number(rest, at)) {
            at += 1;
        }
        let (piece, more) = rest.split_at(at);
        pieces.push(piece);
        rest = more;
    }
    pieces
}

fn cuts_number(text: &str, at: usize) -> bool {
    (1..NUMBER.len()).any(|back| at >= back && text.as_bytes()[at - back..].starts_with(NUMBER.as_bytes()))
}
