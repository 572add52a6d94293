//! The billing API that a team puts before its own records, over the world: reads of customers, orders, subscriptions and
//! facts, one guarded write, and the endpoint that tells what became of a write. Written from the contract ("Billing API v1"),
//! never from our own client. Extensions, all optional for implementers: `GET /v1/plans`, an order's `stage`, the action
//! `set_billing_date`.

mod actions;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Route;
use super::credentials;
use super::world::{Guard, World};
use super::world_file::{Customer, Vendor};

/// The billing API over this world.
pub fn router(world: Arc<World>) -> Router {
    Router::new().fallback(answer).with_state(world)
}

/// An answer before it is one of HTTP; errors are `application/problem+json`.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }
    fn problem(status: u16, code: &str, detail: impl Into<String>) -> Self {
        let retryable = matches!(code, "operation_in_progress" | "rate_limited" | "internal");
        let title = code.replace('_', " ");
        let body = json!({
            "type": "about:blank", "title": title, "status": status, "code": code, "detail": detail.into(),
            "retryable": retryable,
        });
        Self { status, body }
    }
    fn field(mut self, field: &str) -> Self {
        self.body["field"] = json!(field);
        self
    }
    fn not_found(what: &str) -> Self {
        Self::problem(404, "not_found", format!("there is no such {what}"))
    }
}

async fn answer(
    State(world): State<Arc<World>>,
    method: Method,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = parse_query(query.as_deref().unwrap_or_default());
    let (mut answer, route) = handle(&world, &method, uri.path(), &query, &headers, &body);
    let request = format!("breq_{}", world.counter("billing", route, "requests"));
    let is_error = answer.status >= 400;
    if is_error {
        answer.body["request_id"] = json!(request);
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(answer.body)).into_response();
    if is_error {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    }
    if let Ok(value) = HeaderValue::from_str(&request) {
        response.headers_mut().insert("x-request-id", value);
    }
    response.extensions_mut().insert(Route(route));
    response
}

type Query = BTreeMap<String, String>;

fn parse_query(text: &str) -> Query {
    let url = format!("http://x/?{text}");
    let parsed = url.parse::<reqwest::Url>();
    parsed.map(|url| url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect()).unwrap_or_default()
}

fn handle(
    world: &World,
    method: &Method,
    path: &str,
    query: &Query,
    headers: &HeaderMap,
    body: &[u8],
) -> (Answer, &'static str) {
    let decoded: Vec<String> = path.trim_matches('/').split('/').map(unescape).collect();
    let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
    if parts == ["v1", "health"] {
        return (Answer::ok(json!({ "status": "ok" })), "/v1/health");
    }
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if bearer.and_then(|value| value.strip_prefix("Bearer ")) != Some(credentials::BILLING_TOKEN) {
        return (Answer::problem(401, "unauthorized", "send the bearer token"), "(refused)");
    }
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["v1", "capabilities"]) => (Answer::ok(capabilities()), "/v1/capabilities"),
        ("GET", ["v1", "plans"]) => (plans(&world.lock()), "/v1/plans"),
        ("GET", ["v1", "customers"]) => (customers(&world.lock(), query), "/v1/customers"),
        ("GET", ["v1", "customers", id]) => (customer(&world.lock(), id), "/v1/customers/{id}"),
        ("GET", ["v1", "customers", id, "orders"]) => (orders(&world.lock(), id, query), "/v1/customers/{id}/orders"),
        ("GET", ["v1", "orders", id]) => (order(&world.lock(), id), "/v1/orders/{id}"),
        ("GET", ["v1", "customers", id, "subscriptions"]) => {
            (subscriptions(&world.lock(), id, query), "/v1/customers/{id}/subscriptions")
        }
        ("GET", ["v1", "subscriptions", id]) => (subscription(&world.lock(), id), "/v1/subscriptions/{id}"),
        ("GET", ["v1", "customers", id, "entitlements"]) => {
            (entitlements(&world.lock(), id), "/v1/customers/{id}/entitlements")
        }
        ("POST", ["v1", "subscriptions", id, "actions"]) => {
            (actions::act(&mut world.lock(), id, headers, body), "/v1/subscriptions/{id}/actions")
        }
        ("GET", ["v1", "operations", key]) => (actions::operation(&world.lock(), key), "/v1/operations/{key}"),
        _ => (Answer::not_found("endpoint"), "(other)"),
    }
}

/// A path's part with its percent signs resolved.
fn unescape(part: &str) -> String {
    let url = format!("http://x/?p={}", part.replace('+', "%2B"));
    let parsed = url.parse::<reqwest::Url>().ok();
    parsed.and_then(|url| url.query_pairs().next().map(|(_, value)| value.into_owned())).unwrap_or_default()
}

fn capabilities() -> Value {
    let features = ["customers", "orders", "subscriptions", "entitlements", "subscription_actions", "plans"];
    json!({ "version": "1", "features": features, "limits": { "rps": 50 } })
}

fn known<'a>(world: &'a Guard<'_>, id: &str) -> Option<&'a Customer> {
    world.files.customer(id).filter(|customer| customer.known_to(Vendor::Billing))
}

/// One page of a list: `limit` up to 100, `cursor` is the number of rows already read.
fn page(rows: Vec<Value>, query: &Query) -> Answer {
    let limit = match query.get("limit").map(|limit| limit.parse::<usize>()) {
        None => 100,
        Some(Ok(limit)) if (1..=100).contains(&limit) => limit,
        Some(_) => return Answer::problem(422, "validation_failed", "limit is 1 to 100").field("limit"),
    };
    let from = match query.get("cursor").map(|cursor| cursor.parse::<usize>()) {
        None => 0,
        Some(Ok(from)) => from,
        Some(Err(_)) => return Answer::problem(422, "validation_failed", "the cursor is not ours").field("cursor"),
    };
    let next = (from + limit < rows.len()).then(|| (from + limit).to_string());
    let data: Vec<Value> = rows.into_iter().skip(from).take(limit).collect();
    Answer::ok(json!({ "data": data, "next_cursor": next }))
}

fn plans(world: &Guard<'_>) -> Answer {
    page(world.files.plans.iter().map(shape::plan).collect(), &Query::new())
}

fn customers(world: &Guard<'_>, query: &Query) -> Answer {
    let filters: Vec<(&str, &str)> = ["email", "external_id", "stripe_customer_id"]
        .into_iter()
        .filter_map(|name| Some((name, query.get(name)?.as_str())))
        .collect();
    let [(name, wanted)] = filters.as_slice() else {
        return Answer::problem(422, "validation_failed", "give one of email, external_id, stripe_customer_id");
    };
    let fits = |customer: &&Customer| match *name {
        "email" => customer.addresses.iter().any(|address| address.address.eq_ignore_ascii_case(wanted)),
        "external_id" => customer.external_id.as_deref() == Some(wanted),
        _ => customer.known_to(Vendor::Stripe) && customer.stripe_id() == *wanted,
    };
    let all = world.files.customers.iter().filter(|customer| customer.known_to(Vendor::Billing));
    page(all.filter(fits).map(shape::customer).collect(), query)
}

fn customer(world: &Guard<'_>, id: &str) -> Answer {
    known(world, id).map_or_else(|| Answer::not_found("customer"), |customer| Answer::ok(shape::customer(customer)))
}

fn orders(world: &Guard<'_>, id: &str, query: &Query) -> Answer {
    if known(world, id).is_none() {
        return Answer::not_found("customer");
    }
    let number = query.get("number");
    let mut rows: Vec<_> = world.files.orders.iter().filter(|order| order.customer == id).collect();
    rows.retain(|order| number.is_none_or(|number| order.id.eq_ignore_ascii_case(number)));
    rows.sort_by_key(|order| std::cmp::Reverse(order.created));
    page(rows.into_iter().map(|order| shape::order(world, order)).collect(), query)
}

fn order(world: &Guard<'_>, id: &str) -> Answer {
    match world.files.order(id).filter(|order| known(world, &order.customer).is_some()) {
        Some(order) => Answer::ok(shape::order(world, order)),
        None => Answer::not_found("order"),
    }
}

fn subscriptions(world: &Guard<'_>, id: &str, query: &Query) -> Answer {
    if known(world, id).is_none() {
        return Answer::not_found("customer");
    }
    let rows = world.subscriptions.values().filter(|subscription| subscription.now.customer == id);
    page(rows.map(|subscription| shape::subscription(world, subscription)).collect(), query)
}

fn subscription(world: &Guard<'_>, id: &str) -> Answer {
    match world.subscriptions.get(id).filter(|found| known(world, &found.now.customer).is_some()) {
        Some(subscription) => Answer::ok(shape::subscription(world, subscription)),
        None => Answer::not_found("subscription"),
    }
}

fn entitlements(world: &Guard<'_>, id: &str) -> Answer {
    let Some(customer) = known(world, id) else { return Answer::not_found("customer") };
    let rows = customer.facts.iter().map(|(feature, value)| {
        let kind = if value.is_boolean() { "boolean" } else { "text" };
        json!({ "feature": feature, "type": kind, "value": value })
    });
    Answer::ok(json!({ "entitlements": rows.collect::<Vec<_>>() }))
}
