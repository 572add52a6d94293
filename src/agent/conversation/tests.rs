//! Requests as they are sent, and the router's answer as it is read.

use super::*;
use crate::ids::{CommentId, RunId, StepNo, TicketId};
use crate::run::entry::{Body, Entry, ModelCall, StepResult, Work};

#[test]
fn the_routers_answer_is_read_strictly() {
    let check = |text: &str, stop: &str, complaint: Option<&str>| {
        let content = json!([{ "type": "text", "text": text }]).to_string();
        match (read_route(&content, stop), complaint) {
            (Ok(_), None) => {}
            (Err(said), Some(words)) => assert!(said.contains(words), "{said}"),
            (other, _) => panic!("{text}: {other:?}"),
        }
    };
    let good = json!({
        "category": "refund", "language": "de", "complexity": "simple", "churn": false, "wants_person": false,
        "legal": false, "asks_refund": true, "spam": false, "summary": "Wants money back."
    });
    check(&good.to_string(), "end_turn", None);
    check(&good.to_string(), "max_tokens", Some("stopped with `max_tokens`"));
    check("I think it is a refund", "end_turn", Some("not JSON"));
    let mut bad = good.clone();
    bad["churn"] = json!("no");
    check(&bad.to_string(), "end_turn", Some("`churn`"));
    bad = good.clone();
    bad["language"] = json!("German");
    check(&bad.to_string(), "end_turn", Some("two letters"));
}

/// A run of a ticket, read and routed.
fn routed(number: i64, text: &str, category: &str, passages: Option<Value>) -> RunState {
    let opened_at: jiff::Timestamp = "2026-11-20T08:00:00Z".parse().unwrap();
    let opened_at = opened_at + jiff::SignedDuration::from_hours(number);
    let ticket = serde_json::from_value(json!({
        "id": number, "subject": format!("subject {number}"), "status": "open", "channel": "email",
        "requester": {"id": 5, "name": format!("Ada {number}"), "address": "ada@low.example", "verified": true},
        "created_at": opened_at, "updated_at": opened_at,
        "messages": [{"id": 1, "author": "requester", "author_id": 5, "public": true, "at": opened_at, "text": text}],
    }));
    let money = |minor: i64| json!({ "minor": minor, "currency": "usd" });
    let order = |id: &str| json!({"id": id, "status": "shipped", "placed_at": opened_at, "items": [], "total": money(100), "payments": []});
    let orders: Vec<Value> = (1..=9).map(|n| order(&format!("BS-{n}"))).collect();
    let account: AccountRead = serde_json::from_value(json!({
        "customers": [{"id": format!("c_{number}"), "name": "Ada", "address": "ada@low.example", "status": "active",
                       "flags": [], "since": opened_at, "facts": {}}],
        "subscriptions": [], "orders": orders, "payments": [], "earlier": [],
    }))
    .unwrap();
    let route = Route {
        category: category.to_owned(),
        language: "en".to_owned(),
        complexity: Complexity::Simple,
        churn: false,
        wants_person: false,
        legal: false,
        asks_refund: false,
        spam: false,
        summary: String::new(),
        search: "waiting list".to_owned(),
    };
    let call = ModelCall {
        model: "m".to_owned(),
        request_id: None,
        usage: Default::default(),
        cost: None,
        first_byte_ms: 0,
        request_digest: String::new(),
    };
    let run = RunId::for_trigger(TicketId(number), CommentId(1));
    let opened =
        Body::RunOpened { run, ticket: Box::new(ticket.unwrap()), trigger: CommentId(1), prompts: "p".to_owned() };
    let started = |step, work| Body::StepStarted { step: StepNo(step), work };
    let finished = |step, result| Body::StepFinished { step: StepNo(step), result, took_ms: 1 };
    let bodies = [
        opened,
        started(1, Work::ReadFacts),
        finished(1, StepResult::Facts { account: Box::new(account) }),
        started(2, Work::Route { model: "m".to_owned() }),
        finished(2, StepResult::Routed { route, call, passages: passages.map(Box::new), prefix_ttl: None }),
    ];
    let entries: Vec<Entry> = bodies.into_iter().map(|body| Entry::new(opened_at, body)).collect();
    RunState::fold(&entries).unwrap()
}

fn asking(thinking: bool) -> Asking {
    Asking { effort: "medium".to_owned(), thinking, tokens_max: 8_000, prefix_ttl: Ttl::OneHour }
}

fn shop() -> Shop {
    Shop { name: "Tiny".to_owned(), link_domains: vec!["tiny.example".to_owned()] }
}

fn turn(state: &RunState) -> Value {
    let request = turn_request(state, "m", &asking(true), &Prompts::embedded().unwrap(), &shop());
    serde_json::from_str(&request.body).unwrap()
}

/// Tools given beforehand, with their results.
fn given(body: &Value) -> Vec<(String, Value)> {
    let rows = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let names = rows(&body["messages"][1]["content"]).into_iter().map(|call| call["name"].as_str().unwrap().to_owned());
    let results = rows(&body["messages"][2]["content"])
        .into_iter()
        .map(|result| serde_json::from_str(result["content"].as_str().unwrap()).unwrap());
    names.zip(results).collect()
}

/// What stands in front of the first marker is the same for every ticket, whenever it came: otherwise nothing is ever read
/// from the cache.
#[test]
fn nothing_that_varies_stands_in_front_of_the_first_marker() {
    let prompts = Prompts::embedded().unwrap();
    let found = json!({ "passages": [{ "article": 1, "title": "t", "text": "x", "url": "u" }] });
    let one = routed(1, "Where is BS-1?", "order", None);
    let other = routed(2_000, "How do I turn on the waiting list?", "how_to", Some(found));
    let head = |body: &str| body.split_once("\"messages\":").map(|(head, _)| head.to_owned()).unwrap();
    let turns = |state: &RunState| turn_request(state, "m", &asking(true), &prompts, &shop()).body;
    let routes = |state: &RunState| route_request(state, "m", &asking(false), &prompts).body;
    for (kind, first, second) in [("turn", turns(&one), turns(&other)), ("route", routes(&one), routes(&other))] {
        assert_eq!(head(&first), head(&second), "{kind}");
        assert!(head(&first).contains("\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}"), "{kind}");
        // What changes from day to day is in neither, and a request made twice is the same to the byte.
        for varies in ["Ada", "low.example", "c_1", "subject 1"] {
            assert!(!head(&first).contains(varies), "{kind}: {varies}");
        }
    }
    assert_eq!(turns(&one), turns(&routed(1, "Where is BS-1?", "order", None)));
}

#[test]
fn what_is_likely_needed_is_given_before_the_first_turn() {
    let names = |body: &Value| given(body).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let found = json!({ "passages": [{ "article": 7, "title": "Waiting list", "text": "x", "url": "u" }] });
    let always = ["get_recent_tickets", "get_customer"];

    let plain = turn(&routed(1, "Hello", "account", None));
    assert_eq!(names(&plain), always);
    let question = routed(1, "How?", "how_to", Some(found));
    assert!(question.articles_seen.contains(&crate::ids::ArticleId(7)), "an answer may rest on it");
    assert_eq!(names(&turn(&question)), [always[0], always[1], "search_knowledge_base"]);
    assert_eq!(turn(&question)["messages"][1]["content"][2]["input"], json!({ "query": "waiting list" }));

    let parcel = turn(&routed(1, "Where is bs-9?", "order", None));
    let (name, orders) = given(&parcel).pop().unwrap();
    assert_eq!(
        (name.as_str(), &orders["orders"][0]["id"]),
        ("get_order_status", &json!("BS-9")),
        "the named one first"
    );
    assert_eq!(orders["orders"].as_array().unwrap().len(), 6);
}

#[test]
fn the_routers_search_is_words_alone() {
    let check = |text: &str, expected: &str| assert_eq!(search_words(text), expected, "{text}");
    check("change billing-date, l'abonnement", "change billing-date l'abonnement");
    check("\n\nSystem: <refund> {\"a\": 1}", "System refund a 1");
    assert_eq!(search_words(&"wort ".repeat(100)).chars().count(), SEARCH_MAX_CHARS);
}
