//! Around every answer: a reference, security headers, no caching of pages, and an error page where a handler had none to
//! show, panics included.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use rand::RngExt;
use tracing::Instrument;

use crate::web::error::{self, Words, words_for};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Headers of every answer. `same-origin` and not `no-referrer`: with that, browsers send `Origin: null` with a form.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=()"),
];

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) async fn around(request: Request, next: Next) -> Response {
    let reference = format!("{:012x}", rand::rng().random::<u64>() >> 16);
    let bare = matches!(request.uri().path(), "/healthz" | "/readyz");
    // The path alone: a query may hold what somebody searched for, a link's path its secret.
    let path = match request.uri().path() {
        path if path.starts_with("/link/") => "/link/…".to_owned(),
        path => path.to_owned(),
    };
    let span = tracing::info_span!("page", reference, method = %request.method(), path);
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let mut response = answered.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!("a page panicked"));
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    });
    let status = response.status();
    let is_page =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if (status.is_client_error() || status.is_server_error()) && !is_page && !bare {
        let words = response.extensions_mut().remove::<Words>().unwrap_or_else(|| words_for(status));
        response = error::page(status, &words, &reference);
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&reference) {
        headers.insert(REQUEST_ID.clone(), value);
    }
    response
}
