//! The error answers of the Messages API, as they go over the wire.
//!
//! Source: <https://platform.claude.com/docs/en/api/errors>, 2026-11.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A refused or failed request: a status, an error type, a message, and headers that go with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {kind}: {message}")]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// `error.type`.
    pub kind: &'static str,
    /// `error.message`.
    pub message: String,
    /// `error.details.error_code`.
    pub code: Option<&'static str>,
    /// Further headers, such as `retry-after`.
    pub headers: Vec<(&'static str, String)>,
    /// A body that is not JSON, as an edge proxy sends it.
    pub raw_body: Option<String>,
}

impl ApiError {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), code: None, headers: Vec::new(), raw_body: None }
    }

    /// 400: the request is malformed or asks for what the model does not do.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    /// 401: no key, or a wrong one.
    pub fn authentication(message: impl Into<String>) -> Self {
        Self::new(401, "authentication_error", message)
    }

    /// 403: the key may not do this.
    pub fn permission(message: impl Into<String>) -> Self {
        Self::new(403, "permission_error", message)
    }

    /// 404: an unknown model or path.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "not_found_error", message)
    }

    /// 413: a body above 32 MB. The edge answers it, in JSON here.
    pub fn too_large() -> Self {
        Self::new(413, "request_too_large", "Request exceeds the maximum size")
    }

    /// 429 with or without a time to wait.
    pub fn rate_limited(message: impl Into<String>, retry_after_s: Option<u64>) -> Self {
        let mut error = Self::new(429, "rate_limit_error", message);
        if let Some(seconds) = retry_after_s {
            error.headers.push(("retry-after", seconds.to_string()));
        }
        error
    }

    /// 429 of a monthly cap: no `retry-after`, an `error_code`; retrying is in vain.
    pub fn spend_cap() -> Self {
        let mut error = Self::new(429, "rate_limit_error", "This organization has reached its monthly spend limit.");
        error.code = Some("enforced_spend_limit_reached");
        error
    }

    /// 400 of the organisation's own limit.
    pub fn own_limit() -> Self {
        Self::invalid(
            "You have reached your specified API usage limits. You will regain access on the 1st at 00:00 UTC.",
        )
    }

    /// 500.
    pub fn internal() -> Self {
        Self::new(500, "api_error", "Internal server error")
    }

    /// 503, with or without a time to wait.
    pub fn unavailable(retry_after_s: Option<u64>) -> Self {
        let mut error = Self::new(503, "api_error", "Service unavailable");
        if let Some(seconds) = retry_after_s {
            error.headers.push(("retry-after", seconds.to_string()));
        }
        error
    }

    /// 504.
    pub fn timeout() -> Self {
        Self::new(504, "timeout_error", "Request timed out")
    }

    /// 529.
    pub fn overloaded() -> Self {
        Self::new(529, "overloaded_error", "Overloaded")
    }

    /// 502 of an edge proxy, in HTML.
    pub fn bad_gateway() -> Self {
        let mut error = Self::new(502, "api_error", "bad gateway");
        error.raw_body = Some("<html><head><title>502 Bad Gateway</title></head><body>502</body></html>".into());
        error
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The body of the answer, and the data of an `error` event.
    pub fn body(&self, request_id: &str) -> Value {
        let mut error = json!({"type": self.kind, "message": self.message});
        if let Some(code) = self.code {
            error["details"] = json!({"error_code": code});
        }
        json!({"type": "error", "error": error, "request_id": request_id})
    }

    /// The whole answer.
    pub fn response(&self, request_id: &str) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match &self.raw_body {
            Some(html) => (status, [(header::CONTENT_TYPE, "text/html")], html.clone()).into_response(),
            None => (status, axum::Json(self.body(request_id))).into_response(),
        };
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}
