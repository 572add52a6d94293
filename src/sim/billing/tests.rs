//! The contract's rules, one table a rule, over the shipped world.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};

use super::{Query, handle};
use crate::clock::Clock;
use crate::sim::credentials;
use crate::sim::world::{Arrivals, World};
use crate::sim::world_file;

fn world() -> Arc<World> {
    let files = world_file::shipped().unwrap();
    let clock = Clock::manual(files.now);
    Arc::new(World::open(files, clock, 1, Arrivals::default(), None).unwrap())
}

fn headers(more: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", credentials::BILLING_TOKEN);
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&bearer).unwrap());
    for (name, value) in more {
        headers.insert(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn get(world: &World, path: &str, query: &[(&str, &str)]) -> (u16, Value) {
    let query: Query = query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let (answer, _) = handle(world, &Method::GET, path, &query, &headers(&[]), b"");
    (answer.status, answer.body)
}

fn act(world: &World, id: &str, key: &str, version: Option<&str>, body: &Value) -> (u16, Value) {
    let mut more = vec![("idempotency-key", key)];
    more.extend(version.map(|version| ("if-match", version)));
    let path = format!("/v1/subscriptions/{id}/actions");
    let body = body.to_string();
    let (answer, _) = handle(world, &Method::POST, &path, &Query::new(), &headers(&more), body.as_bytes());
    (answer.status, answer.body)
}

fn active_subscription(world: &World) -> String {
    let world = world.lock();
    let fits = world
        .subscriptions
        .values()
        .find(|s| s.now.status.as_str() == "active" && !s.now.paused && s.now.plan == "team");
    fits.expect("the shipped world has an active team subscription").now.id.clone()
}

#[test]
fn the_token_is_asked_for_everywhere_but_at_health() {
    let world = world();
    let (answer, _) = handle(&world, &Method::GET, "/v1/plans", &Query::new(), &HeaderMap::new(), b"");
    assert_eq!((answer.status, &answer.body["code"]), (401, &json!("unauthorized")));
    let (answer, _) = handle(&world, &Method::GET, "/v1/health", &Query::new(), &HeaderMap::new(), b"");
    assert_eq!(answer.status, 200);
}

#[test]
fn customers_are_found_whatever_the_case_and_always_as_a_list() {
    let world = world();
    let (_, upper) = get(&world, "/v1/customers", &[("email", "HANNAH@lakesidephysio.example")]);
    assert_eq!(upper["data"].as_array().unwrap().len(), 1);
    let (status, none) = get(&world, "/v1/customers", &[("email", "nobody@nowhere.example")]);
    assert_eq!((status, none["data"].as_array().unwrap().len()), (200, 0));
    assert_eq!(get(&world, "/v1/customers", &[]).0, 422);
}

#[test]
fn a_write_happens_once_per_key_and_only_on_the_version_that_was_read() {
    let world = world();
    let id = active_subscription(&world);
    let more_seats = json!({ "action": "set_quantity", "params": { "quantity": 77 } });
    let (status, body) = act(&world, &id, "k1", Some("\"999\""), &more_seats);
    assert_eq!((status, &body["code"]), (412, &json!("version_conflict")));
    assert_eq!(get(&world, "/v1/operations/k1", &[]).0, 404, "a refused write leaves the key free");

    let (status, body) = act(&world, &id, "k1", None, &more_seats);
    assert_eq!((status, &body["operation"]["state"]), (200, &json!("succeeded")), "{body}");
    assert_eq!(body["subscription"]["quantity"], 77);
    let (_, again) = act(&world, &id, "k1", None, &more_seats);
    assert_eq!(again["operation"]["replayed"], true);
    assert_eq!(world.subscription_changes().len(), 1);
    let (_, found) = get(&world, "/v1/operations/k1", &[]);
    assert_eq!(found["operation"]["state"], "succeeded");
    let other = json!({ "action": "set_quantity", "params": { "quantity": 78 } });
    assert_eq!(act(&world, &id, "k1", None, &other).1["code"], "idempotency_mismatch");
}

#[test]
fn bad_actions_are_refused_with_their_field() {
    let world = world();
    let id = active_subscription(&world);
    let check = |body: Value, code: &str| {
        let (status, answer) = act(&world, &id, "k", None, &body);
        assert_eq!((status, &answer["code"]), (422, &json!(code)), "{body}");
    };
    check(json!({ "action": "change_plan", "params": { "plan_code": "gold" } }), "plan_not_available");
    check(json!({ "action": "set_quantity", "params": { "quantity": 0 } }), "validation_failed");
    check(json!({ "action": "resume", "params": {} }), "action_not_allowed");
    check(json!({ "action": "set_billing_date", "params": { "date": "2020-01-01" } }), "validation_failed");
    assert!(world.subscription_changes().is_empty());
}
