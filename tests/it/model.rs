//! Another server in the model's place: what it is sent, and what happens when it answers nonsense.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use deskhand::policy::RuleId;
use deskhand::run::entry::Outcome;
use serde_json::Value;

use crate::harness::{Desk, refund_ticket};

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
