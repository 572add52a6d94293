//! For the machine that watches: does the process answer, can pages be served, and does work go on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::web::{Web, why};

/// Whether the process lives and its journal answers.
pub(super) async fn live(State(web): State<Arc<Web>>) -> (StatusCode, &'static str) {
    match web.app.journal.next_wake().await {
        Ok(_) => (StatusCode::OK, "ok\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the journal does not answer\n"),
    }
}

/// Whether pages can be served (otherwise 503), and why work does not go on, when it does not. Nobody need be signed in to ask,
/// so it holds no words of people. `now_ms` is the time of the clock that `since_ms` goes by: a demo's world has its own.
pub(super) async fn ready(State(web): State<Arc<Web>>) -> (StatusCode, Json<Value>) {
    let times = web.times();
    let (journal, counts) = tokio::join!(web.app.journal.next_wake(), web.app.views.counts(times.days_ago_ms(0)));
    let reasons = match (journal, counts) {
        (Ok(_), Ok(counts)) => why::reasons(&web, &times, &counts).await,
        (Err(failed), _) | (_, Err(failed)) => Err(failed),
    };
    let Ok(reasons) = reasons else {
        let said = json!({ "ready": false, "moving": false, "why": [{ "key": "journal", "what": "cannot be read" }] });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(said));
    };
    let why: Vec<Value> = reasons
        .iter()
        .map(|reason| {
            let mut line = json!({ "key": reason.key, "what": reason.words });
            if !reason.vendor.is_empty() {
                line["vendor"] = reason.vendor.into();
            }
            if let Some(since) = reason.since_ms {
                line["since_ms"] = since.into();
            }
            line
        })
        .collect();
    let moving = !reasons.iter().any(|reason| reason.stops);
    (StatusCode::OK, Json(json!({ "ready": true, "moving": moving, "now_ms": times.now.as_millisecond(), "why": why })))
}
