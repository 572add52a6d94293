//! The API over real HTTP: heads, refusals, counting, the cache over two requests, streams and faults.

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

async fn serve(settings: Settings) -> (String, Arc<Claude>) {
    let clock = Clock::manual("2026-11-20T09:00:00Z".parse().unwrap());
    let claude = Arc::new(Claude::new(settings, clock, Scripts::none(), no_recorder()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = router(claude.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{address}"), claude)
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

fn post(base: &str, path: &str) -> reqwest::RequestBuilder {
    client().post(format!("{base}{path}")).header("x-api-key", "k").header("anthropic-version", "2026-10-21")
}

fn long_request() -> Value {
    json!({
        "model": "claude-opus-4-7", "max_tokens": 500,
        "system": [{"type": "text", "text": "policy ".repeat(1_000), "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "hello"}],
    })
}

#[tokio::test]
async fn heads_are_checked_and_every_answer_has_a_request_id() {
    let (base, _) = serve(Settings { keys: vec!["good".into()], ..Settings::default() }).await;
    let url = format!("{base}/v1/models/claude-opus-4-7");
    let check = async |headers: &[(&str, &str)], status: u16, kind: &str| {
        let mut request = client().get(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{headers:?}");
        let id = answer.headers()["request-id"].to_str().unwrap().to_owned();
        assert!(id.starts_with("req_"), "{id}");
        let body: Value = answer.json().await.unwrap();
        match status {
            200 => assert_eq!(body["max_tokens"], 128_000),
            _ => assert_eq!((&body["error"]["type"], &body["request_id"]), (&json!(kind), &json!(id)), "{headers:?}"),
        }
    };
    let version = ("anthropic-version", "2026-10-21");
    check(&[("x-api-key", "good"), version], 200, "").await;
    check(&[("authorization", "Bearer good"), version], 200, "").await;
    check(&[("x-api-key", "good"), ("authorization", "Bearer bad"), version], 200, "").await;
    check(&[("x-api-key", "bad"), version], 401, "authentication_error").await;
    check(&[version], 401, "authentication_error").await;
    check(&[("x-api-key", "good")], 400, "invalid_request_error").await;
    check(&[("x-api-key", "good"), ("anthropic-version", "2020-01-01")], 400, "invalid_request_error").await;
    let unknown = client().get(format!("{base}/v1/models/claude-x")).header("x-api-key", "good");
    assert_eq!(unknown.header("anthropic-version", "2023-06-01").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn the_second_request_reads_what_the_first_wrote_and_ids_differ() {
    let (base, claude) = serve(Settings::default()).await;
    let mut ids = Vec::new();
    for (n, (read, written)) in [(0, true), (1, false)].into_iter().enumerate() {
        let answer = post(&base, "/v1/messages").json(&long_request()).send().await.unwrap();
        let left = answer.headers()["anthropic-ratelimit-requests-remaining"].to_str().unwrap().to_owned();
        assert_eq!(left, (4_999 - n).to_string());
        let body: Value = answer.json().await.unwrap();
        let usage = &body["usage"];
        assert_eq!(usage["cache_read_input_tokens"].as_u64().unwrap() > 0, read == 1, "{usage}");
        assert_eq!(usage["cache_creation_input_tokens"].as_u64().unwrap() > 0, written, "{usage}");
        assert_eq!(usage["input_tokens"], 2);
        ids.push(body["id"].clone());
    }
    assert_ne!(ids[0], ids[1], "the same request sent twice is two generations");
    let mut body = long_request();
    body.as_object_mut().unwrap().shift_remove("max_tokens");
    let counted: Value =
        post(&base, "/v1/messages/count_tokens").json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!(counted, json!({"input_tokens": 2_802}));
    let counts = claude.counts();
    assert_eq!((counts.requests, counts.counted, counts.answered["claude-opus-4-7"]), (3, 1, 2));
}

#[tokio::test]
async fn faults_reach_the_wire() {
    let (base, claude) = serve(Settings::default()).await;
    let mut body = long_request();
    body["stream"] = true.into();
    let send = async |kind: FaultKind| {
        claude.add_fault(Fault::next_call(kind));
        post(&base, "/v1/messages").json(&body).send().await.unwrap()
    };
    let text = send(FaultKind::StreamError(None)).await.text().await.unwrap();
    assert!(text.contains("event: error\n") && text.contains("overloaded_error") && !text.contains("message_stop"));
    assert!(send(FaultKind::CutStream(None)).await.text().await.is_err(), "the connection breaks");
    let check = async |kind: FaultKind, status: u16, header: Option<&str>| {
        let answer = send(kind.clone()).await;
        assert_eq!(answer.status(), status, "{kind:?}");
        assert_eq!(answer.headers().get("retry-after").and_then(|v| v.to_str().ok()), header, "{kind:?}");
        answer.text().await.unwrap()
    };
    check(FaultKind::RateLimited(Some(7)), 429, Some("7")).await;
    check(FaultKind::RateLimited(None), 429, None).await;
    assert!(check(FaultKind::SpendCap, 429, None).await.contains("enforced_spend_limit_reached"));
    assert!(check(FaultKind::OwnLimit, 400, None).await.contains("You have reached your specified API usage limits"));
    check(FaultKind::Overloaded, 529, None).await;
    assert!(check(FaultKind::BadGateway, 502, None).await.starts_with("<html>"));
    let text = post(&base, "/v1/messages").json(&body).send().await.unwrap().text().await.unwrap();
    assert!(text.ends_with("data: {\"type\":\"message_stop\"}\n\n"), "{text}");
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_and_one_that_is_no_json_400() {
    let (base, _) = serve(Settings::default()).await;
    let answer = post(&base, "/v1/messages").body("x".repeat(BODY_MAX + 1)).send().await;
    // The server may close before it has read everything; when it answers, it answers 413.
    if let Ok(answer) = answer {
        assert_eq!(answer.status(), 413);
    }
    assert_eq!(post(&base, "/v1/messages").body("{").send().await.unwrap().status(), 400);
}

/// For trying the API by hand: prints its address and serves for the seconds in `SIMCLAUDE_SERVE_S`.
#[tokio::test]
#[ignore = "serves for a person who tries the API by hand"]
async fn serve_for_a_while() {
    let seconds = std::env::var("SIMCLAUDE_SERVE_S").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    let (base, _) = serve(Settings::default()).await;
    println!("{base}");
    Clock::system().sleep(Duration::from_secs(seconds)).await;
}
