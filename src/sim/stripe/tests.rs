//! Stripe's rules, one table a rule, over the shipped world.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};

use super::{Answer, Asked};
use crate::clock::Clock;
use crate::sim::credentials;
use crate::sim::faults::Strikes;
use crate::sim::world::{Arrivals, World};
use crate::sim::world_file;

fn world_on(clock: Clock, ledger: Option<&std::path::Path>) -> Arc<World> {
    let files = world_file::shipped().unwrap();
    Arc::new(World::open(files, clock, 1, Arrivals::default(), ledger).unwrap())
}

fn world() -> Arc<World> {
    world_on(Clock::manual("2026-11-20T09:00:00Z".parse().unwrap()), None)
}

fn headers(more: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", credentials::STRIPE_KEY);
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&bearer).unwrap());
    headers.insert("stripe-version", HeaderValue::from_static("2026-10-28.endive"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    for (name, value) in more {
        headers.insert(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn handle(
    world: &World,
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> (Answer, &'static str) {
    super::handle(world, &Asked { method, path, headers, body, strikes: &Strikes::default() }, query)
}

fn get(world: &World, path: &str, query: &str) -> (u16, Value) {
    let (answer, _) = handle(world, &Method::GET, path, query, &headers(&[]), b"");
    (answer.status, answer.body)
}

fn refund(world: &World, key: &str, body: &str) -> (u16, Value, bool) {
    let (answer, _) =
        handle(world, &Method::POST, "/v1/refunds", "", &headers(&[("idempotency-key", key)]), body.as_bytes());
    (answer.status, answer.body, answer.replayed)
}

/// A payment of the shipped world that can be refunded, with its amount.
fn payment(world: &World, fits: impl Fn(&crate::sim::world_file::Payment) -> bool) -> (String, i64) {
    let world = world.lock();
    let found = world.files.payments.iter().find(|payment| fits(payment)).expect("the shipped world has one");
    (found.id.clone(), found.amount_minor)
}

#[test]
fn callers_need_the_key_and_a_version() {
    let world = world();
    let check = |headers: HeaderMap, status: u16| {
        let (answer, _) = handle(&world, &Method::GET, "/v1/customers", "", &headers, b"");
        assert_eq!(answer.status, status, "{:?}", answer.body);
    };
    check(headers(&[]), 200);
    check(HeaderMap::new(), 401);
    check(headers(&[("authorization", "Bearer rk_test_other")]), 401);
    check(headers(&[("authorization", "Bearer pk_test_x")]), 401);
    check(headers(&[("stripe-version", "2019-01-01")]), 400);
}

#[test]
fn addresses_match_exactly() {
    let world = world();
    let found =
        |email: &str| get(&world, "/v1/customers", &format!("email={email}")).1["data"].as_array().unwrap().len();
    assert_eq!(found("hannah%40lakesidephysio.example"), 1);
    assert_eq!(found("Hannah%40lakesidephysio.example"), 0);
}

#[test]
fn partial_refunds_add_up_and_never_pass_the_charge() {
    let world = world();
    let (id, amount) =
        payment(&world, |p| p.status == "succeeded" && p.refunds.is_empty() && !p.disputed && p.amount_minor > 1_000);
    let (status, body, _) = refund(&world, "a", &format!("payment_intent={id}&amount=400&metadata[effect_key]=a"));
    assert_eq!((status, &body["status"], &body["metadata"]["effect_key"]), (200, &json!("succeeded"), &json!("a")));
    let (status, body, _) = refund(&world, "b", &format!("payment_intent={id}&amount={amount}"));
    assert_eq!((status, &body["error"]["param"], body["error"].get("code")), (400, &json!("amount"), None));
    let (_, charge) = get(&world, &format!("/v1/charges/ch_{id}"), "");
    assert_eq!((charge["amount_refunded"].as_i64(), charge["refunded"].as_bool()), (Some(400), Some(false)));
    let (status, ..) = refund(&world, "c", &format!("charge=ch_{id}&amount={}", amount - 400));
    assert_eq!(status, 200);
    let (_, body, _) = refund(&world, "d", &format!("payment_intent={id}&amount=1"));
    assert_eq!(body["error"]["code"], "charge_already_refunded");
    let (_, list) = get(&world, "/v1/refunds", &format!("payment_intent={id}&limit=1"));
    assert_eq!((list["data"].as_array().unwrap().len(), list["has_more"].as_bool()), (1, Some(true)));
}

#[test]
fn bad_refunds_are_refused() {
    let world = world();
    let (id, _) = payment(&world, |p| p.status == "succeeded" && p.refunds.is_empty() && !p.disputed);
    let (disputed, _) = payment(&world, |p| p.disputed);
    let check = |body: String, status: u16, code: Option<&str>| {
        let (got, answer, _) = refund(&world, &body, &body);
        assert_eq!((got, answer["error"]["code"].as_str()), (status, code), "{body}: {answer}");
    };
    check(format!("payment_intent={id}&amount=0"), 400, Some("parameter_invalid_integer"));
    check(format!("payment_intent={id}&amount=1.5"), 400, Some("parameter_invalid_integer"));
    check(format!("payment_intent={id}&amount=1&speed=fast"), 400, Some("parameter_unknown"));
    check(format!("payment_intent={id}&amount=1&reason=because"), 400, None);
    check("amount=1".to_owned(), 400, Some("parameter_missing"));
    check("payment_intent=pi_none&amount=1".to_owned(), 404, Some("resource_missing"));
    check(format!("payment_intent={disputed}&amount=1"), 400, Some("charge_disputed"));
    assert!(world.refunds().is_empty());
}

#[test]
fn a_key_replays_conflicts_and_is_forgotten_after_a_day() {
    let clock = Clock::manual("2026-11-20T09:00:00Z".parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("world.jsonl");
    let (id, body) = {
        let world = world_on(clock.clone(), Some(&ledger));
        let (id, _) = payment(&world, |p| {
            p.status == "succeeded" && p.refunds.is_empty() && !p.disputed && p.amount_minor > 1_000
        });
        let (status, body, replayed) = refund(&world, "k", &format!("payment_intent={id}&amount=100"));
        assert_eq!((status, replayed), (200, false));
        (id, body)
    };
    // The vendor remembers over a restart of the process.
    let world = world_on(clock.clone(), Some(&ledger));
    let (status, again, replayed) = refund(&world, "k", &format!("amount=100&payment_intent={id}"));
    assert_eq!((status, replayed, &again), (200, true, &body));
    let (status, answer, _) = refund(&world, "k", &format!("payment_intent={id}&amount=101"));
    assert_eq!((status, &answer["error"]["type"]), (400, &json!("idempotency_error")));
    assert_eq!(world.refunds().len(), 1);
    clock.advance(std::time::Duration::from_secs(86_400));
    let (_, later, replayed) = refund(&world, "k", &format!("payment_intent={id}&amount=100"));
    assert!(!replayed && later["id"] != body["id"], "a forgotten key acts again: {later}");
}
