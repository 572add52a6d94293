//! Another server in the model's place: what it is sent, and what happens when it answers nonsense.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use deskhand::ids::TicketId;
use deskhand::journal::views::RunFilter;
use deskhand::policy::RuleId;
use deskhand::run::entry::{Body, Outcome};
use deskhand::run::row::{RunRow, RunStatus};
use deskhand::sim::claude::Limits;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Desk, refund_ticket, state};

/// A server that answers every request with this text.
async fn server(status: StatusCode, answer: &'static str) -> (String, Arc<Mutex<Vec<(HeaderMap, Value)>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    let take = move |headers: HeaderMap, body: Bytes| async move {
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        kept.lock().unwrap().push((headers, body));
        (status, answer)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(take))).await });
    (url, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_leads_to_a_person_and_the_customer_hears_of_it() {
    for (status, answer) in [
        (StatusCode::OK, "hello"),
        (StatusCode::OK, "{}"),
        (StatusCode::OK, "event: message_start\ndata: {\"type\":\"nonsense\"}\n\n"),
        (StatusCode::OK, ""),
        (StatusCode::BAD_REQUEST, "<html>no</html>"),
        (StatusCode::INTERNAL_SERVER_ERROR, "oops"),
    ] {
        let mut desk = Desk::new(&[refund_ticket(7001, 100)]).await;
        let (url, seen) = server(status, answer).await;
        desk.model_url = Some(url);
        let app = desk.start(None).await;
        let state = desk.settled(&app, 7001).await;
        let expected = Some(Outcome::Escalated { rule: RuleId::ModelFailed });
        assert_eq!(state.outcome, expected, "{status} {answer:?}: {:?}", state.failures);
        assert_eq!(desk.sim.world().public_replies(7001).len(), 1, "{status} {answer:?}: the holding message");
        assert!(desk.sim.world().refunds().is_empty());
        assert!(!seen.lock().unwrap().is_empty());
        app.stop(&desk.clock).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_carry_what_the_messages_api_asks_for() {
    let mut desk = Desk::new(&[refund_ticket(7001, 100)]).await;
    let (url, seen) = server(StatusCode::OK, "{}").await;
    desk.model_url = Some(url);
    let app = desk.start(None).await;
    desk.settled(&app, 7001).await;
    app.stop(&desk.clock).await;
    let seen = seen.lock().unwrap();
    // The start counts the prompts as well; that is another request.
    let (headers, body) = seen.iter().find(|(_, body)| body.get("stream").is_some()).unwrap();
    assert_eq!(headers["anthropic-version"], "2026-10-21");
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers.contains_key("x-api-key") ^ headers.contains_key("authorization"), "exactly one credential");
    assert_eq!(body["stream"], true);
    assert!(body["max_tokens"].as_u64().is_some_and(|n| n > 0));
    for banned in ["temperature", "top_p", "top_k"] {
        assert!(body.get(banned).is_none(), "{banned}");
    }
    assert_eq!(body["messages"].as_array().unwrap().last().unwrap()["role"], "user");
}

/// A ticket that one answer closes; `answered` says that the customer has had an answer before.
fn question(id: i64, answered: bool) -> Value {
    let past = json!([{"by": "requester", "public": true, "body": "Hello?", "at": "2026-11-19T09:00:00Z"},
                      {"by": "person", "public": true, "body": "We look at it.", "at": "2026-11-19T10:00:00Z"}]);
    json!({
        "id": id, "from": {"address": "ada@low.example", "name": "Ada Low"}, "channel": "email",
        "subject": format!("Question {id}"), "body": "Could you tell me your opening hours, please?",
        "history": if answered { past } else { json!([]) },
        "script": [{"tools": [{"name": "log_resolution", "input": {"answer": "Hello Ada,\n\nwhich shop do you mean?",
            "outcome": "waiting_for_customer", "category": "other", "summary": "Asked back.", "articles": [],
            "actions_claimed": []}}]}],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_runs_at_fifty_requests_a_minute_make_no_storm_and_all_end_waiting_customers_first() {
    let (runs, a_minute) = (200, 50);
    let tickets: Vec<Value> = (0..runs).map(|n| question(8_000 + n, n % 2 == 0)).collect();
    let limits = Limits { requests: a_minute, ..Limits::default() };
    let desk = Desk::with_model_limits(&tickets, limits).await;
    let began_ms = desk.clock.now_ms();
    let app = desk.start(None).await;
    let watch = desk.clock.stopwatch();
    let mut said = false;
    loop {
        assert!(watch.elapsed_ms() < 240_000, "the runs did not come to rest");
        let rows = app.views.runs(&RunFilter::default(), None, 2 * u32::try_from(runs).unwrap()).await.unwrap();
        said |= app.health.limited().is_some_and(|trouble| trouble.said.contains("50 requests"));
        let there = i64::try_from(rows.len()).unwrap() == runs;
        if there && rows.iter().all(|row| row.status == RunStatus::Closed) {
            break;
        }
        // The time moves on when every run rests: then they differ by their places in the line alone.
        let rests = |row: &RunRow| match row.status {
            RunStatus::Closed => true,
            RunStatus::WaitingVendor => row.wake_ms.is_some_and(|wake| wake > desk.clock.now_ms()),
            _ => false,
        };
        if there && rows.iter().all(rests) {
            let waiting = rows.iter().filter(|row| row.status == RunStatus::WaitingVendor);
            let next_ms = waiting.filter_map(|row| row.wake_ms).min().unwrap();
            desk.clock.advance_to(Timestamp::from_millisecond(next_ms + 2_000).unwrap());
        }
        desk.clock.sleep(Duration::from_millis(10)).await;
    }
    let passed_ms = (desk.clock.now_ms() - began_ms).unsigned_abs();
    let sent = desk.sim.world().counter("claude", "POST /v1/messages", "requests");
    let allowed = a_minute + a_minute * passed_ms / 60_000;
    assert!(sent * 100 <= allowed * 105, "{sent} requests were sent, {allowed} allowed");
    assert!(sent * 100 <= 2 * runs.unsigned_abs() * 105, "{sent} requests for {} calls", 2 * runs);
    assert!(said, "the page says why runs wait");
    // What left before anybody had to wait went as it came; after that, whoever waits for a first answer is in front.
    let mut ended = [Vec::new(), Vec::new()];
    for n in 0..runs {
        let row = app.views.runs_of_ticket(TicketId(8_000 + n)).await.unwrap().remove(0);
        let state = state(&*app.journal, &row.run).await;
        assert_eq!(state.outcome, Some(Outcome::WaitingCustomer), "{n}: {:?}", state.failures);
        let tries = app.journal.entries(&row.run).await.unwrap();
        assert!(tries.iter().all(|entry| !matches!(&entry.body, Body::StepDelayed { attempt: 1.., .. })), "{n}");
        ended[usize::from(n % 2 == 0)].push(row.closed_ms.unwrap());
    }
    ended.iter_mut().for_each(|times| times.sort_unstable());
    let [first, later] = ended;
    let before = first.iter().filter(|at| **at < later[later.len() / 4]).count();
    assert!(before * 10 >= first.len() * 9, "{before} of {} waiting customers came first", first.len());
    app.stop(&desk.clock).await;
}
