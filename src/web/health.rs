//! For the machine that watches: does the process answer, and can it do its work.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::web::Web;

/// Whether the process lives and its journal answers.
pub(super) async fn live(State(web): State<Arc<Web>>) -> (StatusCode, &'static str) {
    match web.app.journal.next_wake().await {
        Ok(_) => (StatusCode::OK, "ok\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the journal does not answer\n"),
    }
}

/// Whether pages can be served: the journal answers and its rows can be read.
pub(super) async fn ready(State(web): State<Arc<Web>>) -> (StatusCode, &'static str) {
    let (journal, rows) = tokio::join!(web.app.journal.next_wake(), web.app.views.counts(0));
    match (journal, rows) {
        (Ok(_), Ok(_)) => (StatusCode::OK, "ready\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the journal does not answer\n"),
    }
}
