//! Stripe's wire over the world, strict: customers, payment intents, charges, refunds, subscriptions. Written from its
//! documentation (<https://docs.stripe.com/api>, read 2026-11), never from our own client.
//!
//! Left out: webhooks, invoices, changes to subscriptions (the billing API is the one writer), rate limits (faults make them).

mod form;
mod refunds;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use base64::Engine as _;
use serde_json::{Value, json};

use super::Route;
use super::credentials;
use super::faults::Strikes;
use super::world::{Guard, World, stable_id};
use super::world_file::Vendor;
use form::Form;

/// Releases that this simulator answers for. Source: <https://docs.stripe.com/api/versioning>, 2026-11.
const VERSIONS: [&str; 6] = [
    "2026-02-25.clover",
    "2026-03-25.dahlia",
    "2026-07-29.dahlia",
    "2026-08-26.dahlia",
    "2026-09-30.endive",
    "2026-10-28.endive",
];

/// Stripe over this world.
pub fn router(world: Arc<World>) -> Router {
    Router::new().fallback(answer).with_state(world)
}

/// An answer before it is one of HTTP.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    body: Value,
    replayed: bool,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self { status: 200, body, replayed: false }
    }
    /// `type` is `invalid_request_error` unless it says otherwise.
    fn refusal(status: u16, code: Option<&str>, param: Option<&str>, message: impl Into<String>) -> Self {
        Self::error(status, "invalid_request_error", code, param, message)
    }
    fn error(status: u16, kind: &str, code: Option<&str>, param: Option<&str>, message: impl Into<String>) -> Self {
        let mut error = json!({ "type": kind, "message": message.into() });
        if let Some(code) = code {
            error["code"] = json!(code);
            error["doc_url"] = json!(format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-")));
        }
        if let Some(param) = param {
            error["param"] = json!(param);
        }
        Self { status, body: json!({ "error": error }), replayed: false }
    }
    fn missing(kind: &str, id: &str, param: &str) -> Self {
        Self::refusal(404, Some("resource_missing"), Some(param), format!("No such {kind}: '{id}'"))
    }
}

async fn answer(
    State(world): State<Arc<World>>,
    strikes: Option<Extension<Strikes>>,
    method: Method,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let strikes = strikes.map(|strikes| strikes.0).unwrap_or_default();
    let asked = Asked { method: &method, path: uri.path(), headers: &headers, body: &body, strikes: &strikes };
    let (answer, route) = handle(&world, &asked, query.as_deref().unwrap_or_default());
    let request = stable_id("stripe request", &format!("{}{uri}", world.counter("stripe", route, "requests")));
    let mut response =
        (StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), axum::Json(answer.body))
            .into_response();
    let put = |response: &mut Response, name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    put(&mut response, "request-id", &format!("req_{request}"));
    if let Some(version) = headers.get("stripe-version").and_then(|v| v.to_str().ok()) {
        put(&mut response, "stripe-version", version);
    }
    if answer.replayed {
        put(&mut response, "idempotent-replayed", "true");
    }
    response.extensions_mut().insert(Route(route));
    response
}

/// A request, taken apart.
struct Asked<'a> {
    method: &'a Method,
    path: &'a str,
    headers: &'a HeaderMap,
    body: &'a [u8],
    /// What goes wrong with it on purpose.
    strikes: &'a Strikes,
}

fn handle(world: &World, asked: &Asked<'_>, query: &str) -> (Answer, &'static str) {
    let Asked { method, path, headers, .. } = *asked;
    if let Err(refusal) = check_caller(headers) {
        return (refusal, "(refused)");
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let query = match Form::parse(query) {
        Ok(query) => query,
        Err(bad) => return (Answer::refusal(400, None, None, bad), "(refused)"),
    };
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["v1", "customers"]) => (customers(&world.lock(), &query), "/v1/customers"),
        ("GET", ["v1", "customers", id]) => (customer(&world.lock(), id), "/v1/customers/{id}"),
        ("GET", ["v1", "payment_intents"]) => (intents(&world.lock(), &query), "/v1/payment_intents"),
        ("GET", ["v1", "payment_intents", id]) => (intent(&world.lock(), id, &query), "/v1/payment_intents/{id}"),
        ("GET", ["v1", "charges"]) => (charges(&world.lock(), &query), "/v1/charges"),
        ("GET", ["v1", "charges", id]) => (charge(&world.lock(), id), "/v1/charges/{id}"),
        ("GET", ["v1", "refunds"]) => (refunds::list(&world.lock(), &query), "/v1/refunds"),
        ("GET", ["v1", "refunds", id]) => (refunds::one(&world.lock(), id), "/v1/refunds/{id}"),
        ("POST", ["v1", "refunds"]) => (refunds::create(&mut world.lock(), asked), "/v1/refunds"),
        ("GET", ["v1", "subscriptions"]) => (subscriptions(&world.lock(), &query), "/v1/subscriptions"),
        ("GET", ["v1", "subscriptions", id]) => (subscription(&world.lock(), id), "/v1/subscriptions/{id}"),
        _ => {
            let message = format!("Unrecognized request URL ({method}: {path}).");
            (Answer::refusal(404, None, None, message), "(other)")
        }
    }
}

fn check_caller(headers: &HeaderMap) -> Result<(), Answer> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = match given.split_once(' ') {
        Some(("Bearer", key)) => key.to_owned(),
        Some(("Basic", encoded)) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
            String::from_utf8_lossy(&decoded).trim_end_matches(':').to_owned()
        }
        _ => return Err(Answer::refusal(401, None, None, "You did not provide an API key.")),
    };
    if key.starts_with("pk_") {
        let message = "This API call cannot be made with a publishable API key.";
        return Err(Answer::refusal(401, Some("secret_key_required"), None, message));
    }
    if key != credentials::STRIPE_KEY {
        return Err(Answer::refusal(401, None, None, "Invalid API Key provided."));
    }
    match headers.get("stripe-version").and_then(|value| value.to_str().ok()) {
        Some(version) if VERSIONS.contains(&version) => Ok(()),
        Some(version) => Err(Answer::refusal(400, None, None, format!("Invalid Stripe API version: {version}"))),
        None => {
            Err(Answer::refusal(400, None, None, "Send a Stripe-Version header; an account's default is no contract."))
        }
    }
}

/// A page of a list, newest first.
fn page(rows: Vec<Value>, url: &str, query: &Form, own: &[&str]) -> Answer {
    let shared = [
        "limit",
        "starting_after",
        "ending_before",
        "expand[]",
        "created[gte]",
        "created[gt]",
        "created[lte]",
        "created[lt]",
    ];
    if let Some(unknown) =
        query.names().find(|name| !own.contains(name) && !shared.contains(name) && !name.starts_with("expand["))
    {
        let message = format!("Received unknown parameter: {unknown}");
        return Answer::refusal(400, Some("parameter_unknown"), Some(unknown), message);
    }
    let limit = match query.get("limit").map(str::parse::<usize>) {
        None => 10,
        Some(Ok(limit)) if (1..=100).contains(&limit) => limit,
        Some(_) => return Answer::refusal(400, Some("parameter_invalid_integer"), Some("limit"), "limit is 1 to 100"),
    };
    let bounds: BTreeMap<&str, i64> = ["gte", "gt", "lte", "lt"]
        .into_iter()
        .filter_map(|name| Some((name, query.get(&format!("created[{name}]"))?.parse().ok()?)))
        .collect();
    let within = |row: &Value| {
        let created = row["created"].as_i64().unwrap_or_default();
        bounds.iter().all(|(name, bound)| match *name {
            "gte" => created >= *bound,
            "gt" => created > *bound,
            "lte" => created <= *bound,
            _ => created < *bound,
        })
    };
    let mut rows: Vec<Value> = rows.into_iter().filter(within).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row["created"].as_i64()));
    if let Some(after) = query.get("starting_after") {
        match rows.iter().position(|row| row["id"] == after) {
            Some(at) => drop(rows.drain(..=at)),
            None => return Answer::missing("object", after, "starting_after"),
        }
    }
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    Answer::ok(json!({ "object": "list", "url": url, "has_more": has_more, "data": rows }))
}

fn customers(world: &Guard<'_>, query: &Form) -> Answer {
    let known = world.files.customers.iter().filter(|customer| customer.known_to(Vendor::Stripe));
    // Exact and case-sensitive, against the main address.
    let fits = known.filter(|customer| match query.get("email") {
        Some(email) => customer.addresses.first().is_some_and(|address| address.address == email),
        None => true,
    });
    page(fits.map(shape::customer).collect(), "/v1/customers", query, &["email"])
}

fn customer(world: &Guard<'_>, id: &str) -> Answer {
    match world.files.customer_at_stripe(id).filter(|customer| customer.known_to(Vendor::Stripe)) {
        Some(customer) => Answer::ok(shape::customer(customer)),
        None => Answer::missing("customer", id, "id"),
    }
}

fn intents(world: &Guard<'_>, query: &Form) -> Answer {
    let rows = shape::payments(world, query.get("customer")).map(|payment| shape::intent(world, payment, false));
    page(rows.collect(), "/v1/payment_intents", query, &["customer"])
}

fn intent(world: &Guard<'_>, id: &str, query: &Form) -> Answer {
    let expand = query.values("expand").any(|what| what == "latest_charge");
    match shape::payments(world, None).find(|payment| payment.id == id) {
        Some(payment) => Answer::ok(shape::intent(world, payment, expand)),
        None => Answer::missing("payment_intent", id, "intent"),
    }
}

fn charges(world: &Guard<'_>, query: &Form) -> Answer {
    let of_intent = query.get("payment_intent");
    let rows = shape::payments(world, query.get("customer"))
        .filter(|payment| of_intent.is_none_or(|id| payment.id == id))
        .map(|payment| shape::charge(world, payment));
    page(rows.collect(), "/v1/charges", query, &["customer", "payment_intent"])
}

fn charge(world: &Guard<'_>, id: &str) -> Answer {
    let payment = id.strip_prefix("ch_").and_then(|id| shape::payments(world, None).find(|payment| payment.id == id));
    match payment {
        Some(payment) => Answer::ok(shape::charge(world, payment)),
        None => Answer::missing("charge", id, "id"),
    }
}

fn subscriptions(world: &Guard<'_>, query: &Form) -> Answer {
    let status = query.get("status");
    let rows = world.subscriptions.values().filter(|subscription| {
        let owner = world.files.customer(&subscription.now.customer).filter(|c| c.known_to(Vendor::Stripe));
        let fits_owner = owner.is_some_and(|owner| query.get("customer").is_none_or(|id| owner.stripe_id() == id));
        let word = subscription.now.status.as_str();
        fits_owner
            && match status {
                None => word != "canceled",
                Some("all") => true,
                Some(wanted) => word == wanted,
            }
    });
    let rows = rows.map(|subscription| shape::subscription(world, subscription)).collect();
    page(rows, "/v1/subscriptions", query, &["customer", "status"])
}

fn subscription(world: &Guard<'_>, id: &str) -> Answer {
    match world.subscriptions.get(id) {
        Some(subscription) => Answer::ok(shape::subscription(world, subscription)),
        None => Answer::missing("subscription", id, "id"),
    }
}
