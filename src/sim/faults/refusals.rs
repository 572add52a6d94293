//! Refusals in the vendors' own shapes, in place of the deed or after it.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Strike;
use crate::sim::claude;

/// The refusal in place of a deed that a strike asks for, if it is of that kind.
pub(super) fn before(vendor: &'static str, strike: &Strike) -> Option<Response> {
    // Zendesk itself ends the token.
    if vendor == "zendesk" && strike.name == "401" {
        return None;
    }
    refusal(vendor, strike.name, strike)
}

/// The refusal that follows on a deed.
pub(super) fn after(vendor: &'static str, strike: &Strike) -> Option<Response> {
    refusal(vendor, strike.name.strip_suffix("_after")?, strike)
}

fn refusal(vendor: &'static str, name: &str, strike: &Strike) -> Option<Response> {
    let said_s = strike.number.filter(|_| strike.said);
    match vendor {
        "zendesk" => zendesk(name, strike.number),
        "stripe" => stripe(name, said_s),
        "billing" => billing(name, strike.number),
        "claude" => claude::refusal(name, strike.number),
        _ => None,
    }
}

fn answer(status: u16, body: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match body {
        Value::String(text) => (status, text).into_response(),
        json => (status, axum::Json(json)).into_response(),
    }
}

fn html(status: u16, title: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body><center><h1>{title}</h1></center></body>\r\n</html>\r\n"
    );
    (status, [(header::CONTENT_TYPE, "text/html")], page).into_response()
}

/// A page of the edge before any vendor, for the statuses that it answers.
fn edge(name: &str) -> Option<Response> {
    match name {
        "502" => Some(html(502, "502 Bad Gateway")),
        "504" => Some(html(504, "504 Gateway Time-out")),
        _ => None,
    }
}

fn retry_after(mut response: Response, seconds: Option<i64>) -> Response {
    if let Some(seconds) = seconds {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &'static str) {
    headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
}

/// Source: <https://developer.zendesk.com/api-reference/introduction/requests>, read 2026-11.
fn zendesk(name: &str, seconds: Option<i64>) -> Option<Response> {
    let error = |status: u16, error: &str, description: &str| {
        answer(status, json!({ "error": error, "description": description }))
    };
    Some(match name {
        "403" => {
            let message = "You do not have access to this page. Please contact the account owner of this help desk.";
            answer(403, json!({ "error": { "title": "Forbidden", "message": message } }))
        }
        "404" => error(404, "RecordNotFound", "Not found"),
        "409" => error(409, "DatabaseConflict", "Database collision"),
        "409_update" => error(
            409,
            "UpdateConflict",
            "Safe Update prevented the update due to outdated ticket data. Please fetch the latest ticket data and try again.",
        ),
        "429" => retry_after(answer(429, "Number of allowed API requests per minute exceeded".into()), seconds),
        "429_bare" => answer(429, "Number of allowed API requests per minute exceeded".into()),
        "500" => html(500, "We're sorry, but something went wrong."),
        "503" => retry_after(html(503, "Zendesk is temporarily unavailable"), seconds),
        "503_bare" => html(503, "Down for maintenance"),
        other => return edge(other),
    })
}

/// Source: <https://docs.stripe.com/error-low-level>, <https://docs.stripe.com/rate-limits>, read 2026-11.
fn stripe(name: &str, said_s: Option<i64>) -> Option<Response> {
    let error = |status: u16, kind: &str, code: Option<&str>, message: &str| {
        let mut error = json!({ "type": kind, "message": message });
        if let Some(code) = code {
            error["code"] = json!(code);
        }
        answer(status, json!({ "error": error }))
    };
    let invalid = "invalid_request_error";
    let failed = |status: u16| {
        error(status, "api_error", None, "Sorry! There was an error while talking to one of our backends.")
    };
    let many = || error(429, invalid, Some("rate_limit"), "Too many requests hit the API too quickly.");
    let mut response = match name {
        "401" => error(401, invalid, Some("api_key_expired"), "Expired API Key provided."),
        "403" => {
            error(403, invalid, None, "The provided key does not have the required permissions for this endpoint.")
        }
        "404" => error(404, invalid, Some("resource_missing"), "No such object."),
        "409" => {
            let message = "There is currently another in-progress request using this Idempotent Key.";
            error(409, "idempotency_error", Some("idempotency_key_in_use"), message)
        }
        "429" => {
            let mut response = retry_after(many(), said_s);
            set(response.headers_mut(), "stripe-rate-limited-reason", "global-rate");
            response
        }
        "429_bare" => many(),
        "lock_timeout" => {
            let message = "This object cannot be accessed right now because another API request is accessing it.";
            error(429, invalid, Some("lock_timeout"), message)
        }
        "should_retry_true" => {
            let mut response = error(400, invalid, None, "This request could not be carried out right now.");
            set(response.headers_mut(), "stripe-should-retry", "true");
            response
        }
        "should_retry_false" => {
            let mut response = failed(500);
            set(response.headers_mut(), "stripe-should-retry", "false");
            response
        }
        "500" => failed(500),
        "503" => retry_after(failed(503), said_s.or(Some(1))),
        "503_bare" => failed(503),
        other => edge(other)?,
    };
    set(response.headers_mut(), "request-id", "req_faultonpurpose");
    Some(response)
}

/// Source: the contract of the billing API, version 1.
fn billing(name: &str, seconds: Option<i64>) -> Option<Response> {
    let problem = |status: u16, code: &str, title: &str, retryable: bool| {
        let body = json!({ "type": "about:blank", "title": title, "status": status, "code": code,
            "detail": "fault on purpose", "retryable": retryable, "request_id": "breq_fault" });
        let mut response = answer(status, body);
        set(response.headers_mut(), "content-type", "application/problem+json");
        response
    };
    Some(match name {
        "401" => problem(401, "unauthorized", "Unauthorized", false),
        "403" => problem(403, "forbidden", "Forbidden", false),
        "404" => problem(404, "not_found", "Not found", false),
        "409" => problem(409, "operation_in_progress", "Operation in progress", true),
        "429" => retry_after(problem(429, "rate_limited", "Too many requests", true), seconds),
        "429_bare" => problem(429, "rate_limited", "Too many requests", true),
        "500" => problem(500, "internal", "Internal error", true),
        "503" => retry_after(problem(503, "internal", "Service unavailable", true), seconds),
        "503_bare" => problem(503, "internal", "Service unavailable", true),
        other => return edge(other),
    })
}
