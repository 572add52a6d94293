//! Every fault of the line, at the edge and at the vendors, through a plain client: what arrives, and whether the deed was
//! done.

use super::plain::{Bench, Seen};
use super::*;

const HTTP: [&str; 4] = ["zendesk", "stripe", "billing", "claude"];

#[tokio::test]
async fn a_reset_before_the_deed_leaves_it_undone_and_after_it_done() {
    for vendor in HTTP {
        for (name, done) in [("lost_before", 0), ("lost_after", 1)] {
            let bench = Bench::with(&format!("{vendor}.{name}=1x")).await;
            let seen = bench.act(vendor).await;
            assert_eq!((seen.status, seen.reset), (None, true), "{vendor}.{name}: {seen:?}");
            assert_eq!(bench.done(vendor), done, "{vendor}.{name}");
            assert!(bench.act(vendor).await.is(200), "{vendor}.{name}: one time only");
        }
    }
}

#[tokio::test]
async fn a_reset_during_the_answer_shows_the_head_and_half_of_the_body() {
    for vendor in HTTP {
        let bench = Bench::with(&format!("{vendor}.lost_during=1x")).await;
        let seen = bench.act(vendor).await;
        assert_eq!((seen.status, seen.reset, seen.whole), (Some(200), true, false), "{vendor}: {seen:?}");
        assert!(!seen.body.is_empty(), "{vendor}: {seen:?}");
        assert_eq!(bench.done(vendor), 1, "{vendor}");
    }
}

#[tokio::test]
async fn a_deed_may_be_done_after_its_caller_has_gone() {
    for vendor in HTTP {
        let bench = Bench::with(&format!("{vendor}.done_late:1500=1x")).await;
        let seen = bench.act(vendor).await;
        assert_eq!((seen.status, seen.reset), (None, true), "{vendor}: {seen:?}");
        assert_eq!(bench.done(vendor), 0, "{vendor}");
        while bench.done(vendor) == 0 {
            bench.clock.advance(std::time::Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.done(vendor), 1, "{vendor}");
    }
}

#[tokio::test]
async fn late_and_slow_answers_take_the_time_that_was_said() {
    for vendor in HTTP {
        for (spec, least) in [("late:1500", 1_500), ("late_after:700", 700), ("late", 800), ("slow:100", 1_500)] {
            let bench = Bench::with(&format!("{vendor}.{spec}=1x")).await;
            let (seen, took) = bench.act_in_time(vendor).await;
            assert!(seen.is(200), "{vendor}.{spec}: {seen:?}");
            assert!((least..least + 1_500).contains(&took), "{vendor}.{spec}: {took} ms");
            assert_eq!(bench.done(vendor), 1, "{vendor}.{spec}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_on_a_late_request_is_not_served_and_on_a_late_answer_it_is() {
    for (name, done) in [("late", 0), ("late_after", 1)] {
        let bench = Bench::with(&format!("stripe.{name}:5000=1x")).await;
        {
            let mut sent = std::pin::pin!(bench.act("stripe"));
            // The fault has struck once the request is there; then the caller goes.
            while bench.sim.faults().struck("stripe", name) == 0 || bench.done("stripe") < done {
                assert!(futures_util::poll!(&mut sent).is_pending());
                tokio::task::yield_now().await;
            }
        }
        // Another request shows that the server has noticed by then.
        for _ in 0..20 {
            assert!(bench.get("tickets/1.json").await.is(200));
        }
        bench.clock.advance(std::time::Duration::from_secs(10));
        for _ in 0..20 {
            assert!(bench.get("tickets/1.json").await.is(200));
        }
        assert_eq!(bench.done("stripe"), done, "{name}");
    }
}

#[tokio::test]
async fn a_repeated_request_harms_nothing_under_a_key_and_shows_without_one() {
    let check = async |vendor: &str, done: u64, doubled: u64| {
        let bench = Bench::with(&format!("{vendor}.repeated=1x")).await;
        let seen = bench.act(vendor).await;
        assert!(seen.is(200), "{vendor}: {seen:?}");
        assert_eq!(bench.done(vendor), done, "{vendor}");
        let deeds = bench.sim.world().deeds();
        assert_eq!(deeds.vendors[vendor].doubled, doubled, "{vendor}");
        assert_eq!(deeds.vendors[vendor].requests.values().max(), Some(&2), "{vendor}");
        seen
    };
    let replayed = check("stripe", 1, 0).await;
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    assert_eq!(check("billing", 1, 0).await.json()["operation"]["replayed"], true);
    check("zendesk", 2, 1).await;
    check("claude", 2, 0).await;
}

#[tokio::test]
async fn a_200_may_hold_something_else_than_was_promised() {
    for vendor in HTTP {
        for name in ["garbage_empty", "garbage_html", "garbage_cut"] {
            let bench = Bench::with(&format!("{vendor}.{name}=1x")).await;
            let seen = bench.act(vendor).await;
            assert!(seen.is(200), "{vendor}.{name}: {seen:?}");
            match name {
                "garbage_empty" => assert_eq!(seen.body, ""),
                "garbage_html" => assert!(seen.body.starts_with("<!doctype html>")),
                _ => assert!(!seen.body.is_empty() && serde_json::from_str::<Value>(&seen.body).is_err()),
            }
            assert_eq!(bench.done(vendor), 1, "{vendor}.{name}");
        }
    }
}

/// One refusal: the fault, the status, a header (`-name` for its absence), a part of the body, and whether the deed is done.
type Refusal = (&'static str, u16, (&'static str, &'static str), &'static str, u64);

const REFUSALS: &[Refusal] = &[
    ("zendesk.401", 401, ("", ""), "\"error\":\"invalid_token\"", 0),
    ("zendesk.403", 403, ("", ""), "\"title\":\"Forbidden\"", 0),
    ("zendesk.404", 404, ("", ""), "\"error\":\"RecordNotFound\"", 0),
    ("zendesk.409", 409, ("", ""), "\"error\":\"DatabaseConflict\"", 0),
    ("zendesk.409_after", 409, ("", ""), "\"error\":\"DatabaseConflict\"", 1),
    ("zendesk.409_update", 409, ("", ""), "\"error\":\"UpdateConflict\"", 0),
    ("zendesk.409_update_after", 409, ("", ""), "\"error\":\"UpdateConflict\"", 1),
    ("zendesk.429:7", 429, ("retry-after", "7"), "Number of allowed API requests", 0),
    ("zendesk.429_bare", 429, ("-retry-after", ""), "Number of allowed API requests", 0),
    ("zendesk.500", 500, ("content-type", "text/html"), "something went wrong", 0),
    ("zendesk.500_after", 500, ("content-type", "text/html"), "something went wrong", 1),
    ("zendesk.502", 502, ("content-type", "text/html"), "502 Bad Gateway", 0),
    ("zendesk.502_after", 502, ("content-type", "text/html"), "502 Bad Gateway", 1),
    ("zendesk.503", 503, ("retry-after", "1"), "unavailable", 0),
    ("zendesk.503_bare", 503, ("-retry-after", ""), "maintenance", 0),
    ("zendesk.503_after:3", 503, ("retry-after", "3"), "unavailable", 1),
    ("zendesk.504", 504, ("content-type", "text/html"), "504 Gateway", 0),
    ("zendesk.504_after", 504, ("content-type", "text/html"), "504 Gateway", 1),
    ("stripe.401", 401, ("request-id", "req_faultonpurpose"), "\"code\":\"api_key_expired\"", 0),
    ("stripe.403", 403, ("", ""), "required permissions", 0),
    ("stripe.404", 404, ("", ""), "\"code\":\"resource_missing\"", 0),
    ("stripe.409", 409, ("", ""), "\"code\":\"idempotency_key_in_use\"", 0),
    ("stripe.429", 429, ("stripe-rate-limited-reason", "global-rate"), "\"code\":\"rate_limit\"", 0),
    ("stripe.429", 429, ("-retry-after", ""), "\"code\":\"rate_limit\"", 0),
    ("stripe.429:4", 429, ("retry-after", "4"), "\"code\":\"rate_limit\"", 0),
    ("stripe.429_bare", 429, ("-stripe-rate-limited-reason", ""), "\"code\":\"rate_limit\"", 0),
    ("stripe.lock_timeout", 429, ("-stripe-rate-limited-reason", ""), "\"code\":\"lock_timeout\"", 0),
    ("stripe.should_retry_true", 400, ("stripe-should-retry", "true"), "invalid_request_error", 0),
    ("stripe.should_retry_false", 500, ("stripe-should-retry", "false"), "api_error", 0),
    ("stripe.500", 500, ("-stripe-should-retry", ""), "api_error", 0),
    ("stripe.500_after", 500, ("", ""), "api_error", 1),
    ("stripe.500_stored", 500, ("", ""), "api_error", 1),
    ("stripe.502", 502, ("content-type", "text/html"), "502 Bad Gateway", 0),
    ("stripe.503:2", 503, ("retry-after", "2"), "api_error", 0),
    ("stripe.503_bare", 503, ("-retry-after", ""), "api_error", 0),
    ("billing.401", 401, ("content-type", "application/problem+json"), "\"code\":\"unauthorized\"", 0),
    ("billing.403", 403, ("", ""), "\"code\":\"forbidden\"", 0),
    ("billing.404", 404, ("", ""), "\"code\":\"not_found\"", 0),
    ("billing.409", 409, ("", ""), "\"code\":\"operation_in_progress\"", 0),
    ("billing.429", 429, ("retry-after", "1"), "\"code\":\"rate_limited\"", 0),
    ("billing.429_bare", 429, ("-retry-after", ""), "\"code\":\"rate_limited\"", 0),
    ("billing.500", 500, ("", ""), "\"code\":\"internal\"", 0),
    ("billing.500_after", 500, ("", ""), "\"code\":\"internal\"", 1),
    ("billing.502_after", 502, ("content-type", "text/html"), "502 Bad Gateway", 1),
    ("billing.503", 503, ("retry-after", "1"), "\"retryable\":true", 0),
    ("billing.504", 504, ("", ""), "504 Gateway", 0),
    ("claude.401", 401, ("request-id", "req_"), "authentication_error", 0),
    ("claude.403", 403, ("request-id", "req_"), "permission_error", 0),
    ("claude.404", 404, ("request-id", "req_"), "not_found_error", 0),
    ("claude.413", 413, ("request-id", "req_"), "request_too_large", 0),
    ("claude.413_html", 413, ("content-type", "text/html"), "413 Request Entity Too Large", 0),
    ("claude.429:9", 429, ("retry-after", "9"), "rate_limit_error", 0),
    ("claude.429", 429, ("anthropic-ratelimit-requests-remaining", ""), "rate_limit_error", 0),
    ("claude.429_bare", 429, ("-retry-after", ""), "rate_limit_error", 0),
    ("claude.spend_cap", 429, ("-retry-after", ""), "\"error_code\":\"enforced_spend_limit_reached\"", 0),
    ("claude.ramp_limit:5", 429, ("retry-after", "5"), "\"error_code\":\"ramp_limit_exceeded\"", 0),
    ("claude.own_limit", 400, ("-retry-after", ""), "You have reached your specified API usage limits", 0),
    ("claude.500", 500, ("-x-should-retry", ""), "api_error", 0),
    ("claude.500_after", 500, ("request-id", "req_"), "api_error", 1),
    ("claude.should_retry_false", 500, ("x-should-retry", "false"), "api_error", 0),
    ("claude.502", 502, ("content-type", "text/html"), "502 Bad Gateway", 0),
    ("claude.503", 503, ("retry-after", "1"), "Service unavailable", 0),
    ("claude.503_bare", 503, ("-retry-after", ""), "Service unavailable", 0),
    ("claude.504", 504, ("request-id", "req_"), "timeout_error", 0),
    ("claude.529", 529, ("-retry-after", ""), "overloaded_error", 0),
];

#[tokio::test]
async fn refusals_have_the_vendors_shape_and_the_deed_is_done_or_not() {
    for (fault, status, (header, value), part, done) in REFUSALS {
        let bench = Bench::with(&format!("{fault}=1x")).await;
        let vendor = fault.split('.').next().unwrap();
        let seen = bench.act(vendor).await;
        assert!(seen.is(*status), "{fault}: {seen:?}");
        assert!(seen.body.contains(part), "{fault}: {seen:?}");
        match header.strip_prefix('-') {
            Some(absent) => assert_eq!(seen.header(absent), None, "{fault}"),
            None if header.is_empty() => {}
            None => assert!(seen.header(header).is_some_and(|got| got.starts_with(value)), "{fault}: {seen:?}"),
        }
        assert_eq!(bench.done(vendor), *done, "{fault}");
        assert_eq!(bench.sim.faults().struck(vendor, fault.split(['.', ':']).nth(1).unwrap()), 1, "{fault}");
    }
}

#[tokio::test]
async fn an_access_token_that_ends_early_stays_refused_until_a_new_one_is_asked_for() {
    let mut bench = Bench::with("zendesk.401/tickets=1x").await;
    assert!(bench.act("zendesk").await.is(401));
    assert!(bench.act("zendesk").await.is(401), "the token has ended");
    bench.token = bench.new_token().await;
    assert!(bench.act("zendesk").await.is(200));
    assert_eq!(bench.done("zendesk"), 1);
}

#[tokio::test]
async fn a_stored_500_is_given_again_and_a_forgotten_key_acts_again() {
    let bench = Bench::with("stripe.500_stored=1x").await;
    assert!(bench.act("stripe").await.is(500));
    let again = bench.act("stripe").await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (Some(500), Some("true")));
    assert_eq!(bench.done("stripe"), 1);

    bench.set("stripe.key_forgotten=1x");
    assert!(bench.act("stripe").await.is(200));
    let deeds = bench.sim.world().deeds();
    assert_eq!((deeds.refunds["eff_1"], deeds.vendors["stripe"].doubled), (2, 1));
    assert_eq!(deeds.doubled(), [("refund", "eff_1".to_owned(), 2)]);
}

#[tokio::test]
async fn a_key_is_forgotten_after_24_hours_of_the_worlds_clock() {
    let bench = Bench::new(7).await;
    for (after_h, done) in [(0, 1), (23, 1), (2, 2)] {
        bench.clock.advance(std::time::Duration::from_secs(after_h * 3_600));
        assert!(bench.act("stripe").await.is(200));
        assert_eq!(bench.done("stripe"), done, "{after_h} hours later");
    }
}

#[tokio::test]
async fn a_rate_is_kept_on_the_wire_and_a_seed_gives_the_same() {
    let run = async |seed: u64| -> Vec<Option<u16>> {
        let bench = Bench::new(seed).await;
        bench.set("zendesk.500=0.3,zendesk.lost_before=0.1");
        let mut statuses = Vec::new();
        for _ in 0..60 {
            statuses.push(bench.get("tickets/1.json").await.status);
        }
        statuses
    };
    let first = run(7).await;
    assert_eq!(first, run(7).await);
    assert_ne!(first, run(8).await);
    let count = |status: Option<u16>| first.iter().filter(|one| **one == status).count();
    assert!((8..30).contains(&count(Some(500))) && count(None) > 0, "{first:?}");
}

#[tokio::test]
async fn a_path_hits_exactly_the_request_that_is_meant() {
    let bench = Bench::with("zendesk.lost_after/PUT/tickets/1$=1x,stripe.lost_after/POST/refunds$=1x").await;
    assert!(bench.get("tickets/1.json").await.is(200));
    assert_eq!(bench.act("zendesk").await.status, None);
    assert_eq!(bench.act("stripe").await.status, None);
    assert_eq!((bench.done("zendesk"), bench.done("stripe")), (1, 1));
}

#[tokio::test]
async fn faults_are_set_listed_and_explained_over_http() {
    let bench = Bench::new(7).await;
    let post = async |spec: &str| bench.send("POST", "/_faults", "", spec).await;
    let seen = post("zendesk.lost=1x").await;
    assert!(seen.is(400), "{seen:?}");
    assert_eq!(seen.json()["known"]["zendesk"]["lost_after"], listed()["zendesk"]["lost_after"]);
    let help = post("help").await;
    assert!(help.is(200) && help.body.contains("lost_after") && help.body.contains("clock"), "{help:?}");
    assert!(post("{\"spec\": \"stripe.500=2x\"}").await.is(200));
    assert_eq!(bench.send("GET", "/_faults", "", "").await.json()["spec"], "stripe.500=2x");
    assert!(bench.act("stripe").await.is(500));
    let world = bench.send("GET", "/_world", "", "").await.json();
    assert_eq!(world["faults"]["faults"][0]["struck"], 1);
    assert_eq!(world["deeds"]["vendors"]["stripe"]["done"], 0);
}

/// Sends a model call and reads what arrives until the fault has struck and nothing more comes.
async fn so_far(bench: &Bench) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (path, headers, body) = bench.deed("claude");
    let mut stream = tokio::net::TcpStream::connect(bench.sim.address()).await.unwrap();
    let request = format!("POST {path} HTTP/1.1\r\nhost: sim\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0u8; 4_096];
    while !String::from_utf8_lossy(&bytes).contains("event: content_block_start") {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the stream ended: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..count]);
    }
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
    assert!(stream.try_read(&mut buffer).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn events(seen: &Seen) -> Vec<&str> {
    seen.body.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
}

#[tokio::test]
async fn a_stream_breaks_off_or_fails_after_any_event() {
    let bench = Bench::new(7).await;
    let whole = bench.act("claude").await;
    let all = events(&whole);
    assert!(whole.whole && all.len() > 5 && all.last() == Some(&"message_stop"), "{all:?}");
    let model = bench.sim.world().deeds().model;
    assert_eq!((model.requests, model.answered, model.finished), (1, 1, 1));
    for count in 0..=all.len() {
        bench.set(&format!("claude.cut_stream:{count}=1x"));
        let seen = bench.act("claude").await;
        assert_eq!((seen.status, seen.whole), (Some(200), false), "{count}: {seen:?}");
        assert_eq!(events(&seen), all[..count], "{count}");
        bench.set(&format!("claude.error_event:{count}=1x"));
        let seen = bench.act("claude").await;
        assert!(seen.is(200) && seen.body.contains("\"type\":\"overloaded_error\""), "{count}: {seen:?}");
        assert_eq!(events(&seen), [&all[..count], &["error"]].concat(), "{count}");
    }
    let model = bench.sim.world().deeds().model;
    assert_eq!((model.answered, model.finished), (1 + 2 * (all.len() as u64 + 1), 1), "only the first came whole");
    bench.set("claude.error_event_api=1x");
    assert!(bench.act("claude").await.body.contains("\"type\":\"api_error\""));
    bench.set("claude.stalled:3=1x");
    assert_eq!(so_far(&bench).await.matches("event: ").count(), 3);
}

#[tokio::test]
async fn what_the_model_says_can_be_wrong_in_every_way() {
    let check = async |fault: &str, holds: &str| {
        let bench = Bench::with(&format!("claude.{fault}@agent=1x")).await;
        let seen = bench.act("claude").await;
        assert!(seen.is(200) && seen.body.contains(holds), "{fault}: {seen:?}");
        let next = bench.act("claude").await;
        assert!(!next.body.contains(holds) || holds == "\"stop_reason\":\"end_turn\"", "{fault}: one time only");
    };
    check("empty_end_turn", "\"stop_reason\":\"end_turn\"").await;
    check("max_tokens", "\"stop_reason\":\"max_tokens\"").await;
    check("refusal", "\"stop_reason\":\"refusal\"").await;
    check("unknown_stop_reason", "waiting_for_moon").await;
    check("unknown_block", "future_block").await;
    check("ping_storm", "event: ping\ndata: {\"type\":\"ping\"}\n\nevent: ping").await;
    check("invalid_tool_input", "a lot").await;
    check("hallucinated_tool", "delete_customer").await;
    check("text_only", "the case is clear").await;
}

#[tokio::test]
async fn a_slow_first_byte_is_slow() {
    let bench = Bench::with("claude.slow_first_byte:2000=1x").await;
    let (seen, took) = bench.act_in_time("claude").await;
    assert!(seen.is(200) && (2_000..3_500).contains(&took), "{took} ms");
}
