//! What becomes of a call, by everything that may come back. A call changes nothing, so nothing is `Unknown` here.

use std::time::Duration;

use super::*;
use crate::clients::script::{Act, said, server};

async fn call(act: Act) -> Result<Answer, CallError> {
    let mut settings = Settings::new("key".to_owned().into());
    settings.base_url = server(vec![act]).await;
    settings.first_byte_timeout = Duration::from_millis(300);
    settings.silence_timeout = Duration::from_millis(300);
    Claude::new(settings, Clock::system()).unwrap().send("{}".to_owned(), |_| ()).await
}

const STREAM: &str = "content-type: text/event-stream\r\n";
const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"claude\",\
    \"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n";
const BUSY: &str =
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n";
const BAD: &str =
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"x\"}}\n\n";
const CAP: &str = r#"{"type":"error","error":{"type":"rate_limit_error","message":"x",
    "details":{"error_code":"enforced_spend_limit_reached"}}}"#;
const OWN_CAP: &str = r#"{"type":"error","error":{"type":"invalid_request_error",
    "message":"You have reached your specified API usage limits. You will regain access on 2026-12-01."}}"#;
const LARGE: &str = r#"{"type":"error","error":{"type":"request_too_large","message":"x"}}"#;
const OVER: &str = r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#;

const MANY: &str =
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"x\"}}\n\n";
const RAMP: &str = r#"{"type":"error","error":{"type":"rate_limit_error","message":"x",
    "details":{"error_code":"ramp_limit_exceeded"}}}"#;
const NOT_PAID: &str = r#"{"type":"error","error":{"type":"billing_error","message":"x"}}"#;
const HOLD: &str = r#"{"type":"error","error":{"type":"invalid_request_error","message":"x",
    "details":{"error_code":"organization_on_hold"}}}"#;
const BODY_ID: &str = r#"{"type":"error","error":{"type":"invalid_request_error","message":"x"},"request_id":"req_1"}"#;

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[tokio::test]
async fn each_answer_has_its_class() {
    use Act::*;
    let streamed = |events: &str| Say(200, STREAM, leaked(events.to_owned()));
    let raw = |rest: &str| leaked(format!("HTTP/1.1 200 OK\r\n{STREAM}content-length: 9999\r\n\r\n{rest}"));
    let table: Vec<(&str, Act, &str)> = vec![
        ("nobody there", Away, "retry"),
        ("closed", Cut(""), "retry"),
        ("no first byte", Hang(""), "retry"),
        ("a head and no body", Hang(raw("")), "retry"),
        ("silence in mid-stream", Hang(raw(START)), "retry"),
        ("cut in mid-stream", Cut(raw(START)), "retry"),
        ("the stream ends early", streamed(START), "retry"),
        ("nothing in the stream", streamed(""), "retry"),
        ("overloaded within the answer", streamed(&format!("{START}{BUSY}")), "retry"),
        ("overloaded at once within the answer", streamed(BUSY), "retry"),
        ("refused within the answer", streamed(BAD), "refused invalid_request_error"),
        ("not this API", Say(200, "", "{}"), "refused not_an_answer"),
        ("HTML", Say(200, "content-type: text/html\r\n", "<html>"), "refused not_an_answer"),
        ("too many, with a wait", Say(429, "retry-after: 7\r\n", "{}"), "retry 7"),
        ("too many, without one", Say(429, "", "{}"), "retry"),
        ("a monthly cap", Say(429, "", CAP), "retry 3600"),
        ("our own cap", Say(400, "", OWN_CAP), "retry 3600"),
        ("overloaded", Say(529, "", OVER), "retry"),
        ("failed", Say(500, "", "oops"), "retry"),
        ("failed, told not to", Say(500, "x-should-retry: false\r\n", "oops"), "refused"),
        ("refused, told to", Say(400, "x-should-retry: true\r\nretry-after: 2\r\n", "{}"), "retry 2"),
        ("too large", Say(413, "", LARGE), "refused request_too_large"),
        ("too many, within the answer", streamed(&format!("{START}{MANY}")), "retry"),
        ("growing too fast: too many", Say(429, "retry-after: 3\r\n", RAMP), "retry 3"),
        ("too many, and told not to try again", Say(429, "x-should-retry: false\r\n", "{}"), "refused"),
        ("not paid", Say(402, "", NOT_PAID), "refused billing_error"),
        ("not allowed", Say(403, "", "{}"), "refused"),
        ("on hold", Say(400, "", HOLD), "refused organization_on_hold"),
        ("too slow at the edge", Say(408, "", ""), "retry"),
        ("changed at the same time", Say(409, "", "{}"), "retry"),
        ("unprocessable", Say(422, "", "{}"), "refused"),
        ("away", Say(503, "", "<html>"), "retry"),
        ("took too long", Say(504, "", "{}"), "retry"),
        ("too large, at the edge", Say(413, "content-type: text/html\r\n", "<html>"), "refused"),
        ("moved", Say(307, "location: /x\r\n", ""), "refused"),
        ("failed (with its id)", Say(500, "request-id: req_1\r\n", "{}"), "retry"),
        ("cut (with its id)", Say(200, "content-type: text/event-stream\r\nrequest-id: req_1\r\n", START), "retry"),
        ("refused (with its id) in the body", Say(400, "", BODY_ID), "refused invalid_request_error"),
        ("no such model", Say(404, "", "{}"), "refused"),
        ("no credentials", Say(401, "", "{}"), "refused"),
    ];
    for (name, act, expected) in table {
        let failed = call(act).await.expect_err(name);
        assert_eq!(said(&failed.error), expected, "{name}: {failed}");
        assert_eq!(failed.spend_cap, name.contains(" cap"), "{name}");
        assert_eq!(failed.overloaded, name.contains("overloaded"), "{name}");
        assert_eq!(failed.rate_limited, name.contains("too many") && !name.contains("told not to"), "{name}");
        assert_eq!(failed.request_id.is_some(), name.contains("(with its id)"), "{name}: {failed:?}");
    }
    // What the stream told before it broke is known all the same: it is paid for.
    let failed = call(streamed(&format!("{START}{BUSY}"))).await.unwrap_err();
    assert_eq!(failed.usage.input, 7);
}
