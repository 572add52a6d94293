//! Zendesk's wire over the world, strict: what Zendesk refuses, this refuses. Written from its documentation and from
//! recorded answers (<https://developer.zendesk.com/api-reference/>, read 2026-11), never from our own client.
//!
//! Differences from the real thing: URLs inside bodies lead to a host that does not exist (a client builds its own), mail
//! headers that a world gives stand under `metadata.system.raw_email_headers` of comments as an extension that nobody should
//! rely on (the real thing shows flags only), and `users/search` sees new users at once.

mod auth;
mod help;
mod limits;
mod read;
mod shape;
#[cfg(test)]
mod tests;
mod unruly;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use serde_json::{Value, json};

use super::Route;
use super::faults::Strikes;
use super::world::World;
use auth::Caller;
use limits::Buckets;
pub use limits::Limits;

/// The largest body that is read, in bytes.
const BODY_MAX_BYTES: usize = 5 * 1024 * 1024;

/// Zendesk with the limits of an Enterprise plan.
pub fn router(world: Arc<World>) -> Router {
    router_with(world, Limits::default())
}

/// Zendesk with these limits.
pub fn router_with(world: Arc<World>, limits: Limits) -> Router {
    let desk = Arc::new(Desk { world, buckets: Buckets::new(limits) });
    Router::new().fallback(answer).layer(axum::extract::DefaultBodyLimit::max(BODY_MAX_BYTES)).with_state(desk)
}

/// What handlers share.
struct Desk {
    world: Arc<World>,
    buckets: Buckets,
}

/// A request, taken apart.
struct Call<'a> {
    desk: &'a Desk,
    method: Method,
    query: BTreeMap<String, String>,
    headers: &'a HeaderMap,
    body: &'a [u8],
    /// What goes wrong with it on purpose.
    strikes: Strikes,
}

/// An answer, before it is one of HTTP.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: Value,
    headers: Vec<(&'static str, String)>,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self::new(200, body)
    }
    fn new(status: u16, body: Value) -> Self {
        Self { status, body, headers: Vec::new() }
    }
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
    fn not_found() -> Self {
        Self::new(404, json!({ "error": "RecordNotFound", "description": "Not found" }))
    }
    fn invalid_endpoint() -> Self {
        Self::new(404, json!({ "error": "InvalidEndpoint", "description": "Not found" }))
    }
    fn bad_request(error: &str, description: impl Into<String>) -> Self {
        Self::new(400, json!({ "error": error, "description": description.into() }))
    }
    fn bad_attribute(message: impl Into<String>) -> Self {
        Self::new(400, json!({ "error": { "title": "Invalid attribute", "message": message.into() } }))
    }
    /// 422 with the field that is wrong.
    fn invalid(field: &str, description: impl Into<String>) -> Self {
        Self::invalid_rows(field, json!([{ "description": description.into(), "error": "RecordInvalid" }]))
    }
    fn invalid_rows(field: &str, rows: Value) -> Self {
        let details = json!({ field: rows });
        let body = json!({ "error": "RecordInvalid", "description": "Record validation errors", "details": details });
        Self::new(422, body)
    }
}

/// Either way an answer: `?` on a refusal.
type Outcome = Result<Answer, Answer>;

async fn answer(
    State(desk): State<Arc<Desk>>,
    strikes: Option<Extension<Strikes>>,
    method: Method,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().trim_end_matches('/');
    let path = path.strip_suffix(".json").unwrap_or(path);
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let query = query_of(query.as_deref().unwrap_or_default());
    let strikes = strikes.map(|strikes| strikes.0).unwrap_or_default();
    let call = Call { desk: &desk, method, query, headers: &headers, body: &body, strikes };
    let (route, outcome) = dispatch(&call, &segments);
    let answer = outcome.unwrap_or_else(|refusal| refusal);
    into_response(&desk, answer, route)
}

fn query_of(query: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let digits = [rest.next().unwrap_or(b'3'), rest.next().unwrap_or(b'F')];
                    let hex = std::str::from_utf8(&digits).unwrap_or("3F");
                    bytes.push(u8::from_str_radix(hex, 16).unwrap_or(b'?'));
                }
                other => bytes.push(other),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v))).collect()
}

/// Paths to handlers. The route's name is what is counted.
fn dispatch(call: &Call<'_>, segments: &[&str]) -> (&'static str, Outcome) {
    let get = call.method == Method::GET;
    let put = call.method == Method::PUT;
    let post = call.method == Method::POST;
    if segments == ["oauth", "tokens"] && post {
        return ("/oauth/tokens", auth::token(call));
    }
    let Some(rest) = segments.strip_prefix(&["api", "v2"]) else {
        return ("(other)", Err(Answer::invalid_endpoint()));
    };
    match rest {
        ["oauth", "tokens", "current"] if get => ("/oauth/tokens/current", auth::current(call)),
        ["users", "me"] if get => ("/users/me", auth::me(call)),
        ["help_center", rest @ ..] if get => help::dispatch(call, rest),
        ["tickets"] if get => ("/tickets", read::tickets(call)),
        ["tickets"] if post => ("/tickets", write::create(call)),
        ["tickets", "show_many"] if get => ("/tickets/show_many", read::show_many(call)),
        ["tickets", id] if get => ("/tickets/{id}", read::ticket(call, id)),
        ["tickets", id] if put => ("/tickets/{id}", write::update(call, id)),
        ["tickets", id, "comments"] if get => ("/tickets/{id}/comments", read::comments(call, id)),
        ["tickets", id, "audits"] if get => ("/tickets/{id}/audits", read::audits(call, id)),
        ["tickets", id, "related"] if get => ("/tickets/{id}/related", read::related(call, id)),
        ["tickets", id, "tags"] => ("/tickets/{id}/tags", write::tags(call, id)),
        ["incremental", "tickets", "cursor"] if get => ("/incremental/tickets/cursor", read::incremental(call)),
        ["users", "search"] if get => ("/users/search", read::search_users(call)),
        ["users", "show_many"] if get => ("/users/show_many", read::show_many_users(call)),
        ["users", id] if get => ("/users/{id}", read::user(call, id)),
        ["users", id, "identities"] if get => ("/users/{id}/identities", read::identities(call, id)),
        ["users", id, "tickets", "requested"] if get => ("/users/{id}/tickets/requested", read::requested(call, id)),
        ["groups"] if get => ("/groups", read::groups(call)),
        ["groups", "assignable"] if get => ("/groups/assignable", read::groups(call)),
        ["triggers"] | ["triggers", "active"] if get => ("/triggers/active", read::triggers(call)),
        ["ticket_fields"] if get => ("/ticket_fields", read::ticket_fields(call)),
        _ => ("(other)", auth::caller(call).and_then(|_| Err(Answer::invalid_endpoint()))),
    }
}

fn into_response(desk: &Desk, answer: Answer, route: &'static str) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // Some refusals are plain text.
    let (text, kind) = match answer.body {
        Value::String(text) => (text, "text/plain; charset=utf-8"),
        json => (json.to_string(), "application/json; charset=utf-8"),
    };
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let (limit, remaining, reset) = desk.buckets.account(desk.world.clock().now());
    let common = [
        ("x-zendesk-api-version", "v2".to_owned()),
        ("x-rate-limit", limit.to_string()),
        ("x-rate-limit-remaining", remaining.to_string()),
        ("ratelimit-limit", limit.to_string()),
        ("ratelimit-remaining", remaining.to_string()),
        ("ratelimit-reset", reset.to_string()),
    ];
    for (name, value) in common.into_iter().chain(answer.headers) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response.extensions_mut().insert(Route(route));
    response
}

impl Call<'_> {
    fn param(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
    /// Whether a sideload is asked for.
    fn includes(&self, what: &str) -> bool {
        self.param("include").is_some_and(|list| list.split(',').any(|one| one.trim() == what))
    }
    /// Authenticates, counts the request against the account and checks the scope.
    fn allow(&self, resource: &str, write: bool) -> Result<Caller, Answer> {
        let caller = auth::caller(self)?;
        self.desk.buckets.take_account(self.desk.world.clock().now())?;
        auth::scope(&caller, resource, write)?;
        Ok(caller)
    }
    /// The body as a JSON object.
    fn json(&self) -> Result<serde_json::Map<String, Value>, Answer> {
        let json = self.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        if !json {
            return Err(Answer::bad_request("InvalidContentType", "send Content-Type: application/json"));
        }
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(map)) => Ok(map),
            _ => Err(Answer::bad_request("Unprocessable", "the body is not a JSON object")),
        }
    }
}
