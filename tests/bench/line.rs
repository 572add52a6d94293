//! The way to the simulated model. For a baseline it changes what the product sends into what a plainer agent would have sent:
//! the same tickets, tools and words, without the markers of the cache, or with one marker behind a short system prompt.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use axum::routing::post;
use serde_json::{Value, json};

/// The role prompt alone: what a plain agent would have as its system prompt, without the handbook.
const ROLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/prompts/system.md"));

/// What happens to requests on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing.
    AsSent,
    /// All cache markers are taken out.
    NoCache,
    /// The system prompt is the role prompt alone, with the only marker of the request at its end.
    OneMarker,
}

/// A server in between.
pub struct Line {
    /// Where it listens.
    pub url: String,
    refused: Arc<AtomicU64>,
}

struct Inner {
    http: reqwest::Client,
    to: String,
    way: Way,
    refused: Arc<AtomicU64>,
}

impl Line {
    /// A line to this server.
    pub async fn to(to: String, way: Way) -> Line {
        deskhand::clients::install_tls();
        let refused = Arc::new(AtomicU64::new(0));
        let inner = Inner { http: reqwest::Client::new(), to, way, refused: refused.clone() };
        let app = Router::new().route("/v1/messages", post(message)).with_state(Arc::new(inner));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Line { url, refused }
    }

    /// How many requests were not answered with a message.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

async fn message(State(line): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let body = match line.way {
        Way::AsSent => body,
        way => Bytes::from(changed(serde_json::from_slice(&body).expect("JSON"), way).to_string()),
    };
    let mut request = line.http.post(format!("{}/v1/messages", line.to)).body(body);
    for name in ["x-api-key", "anthropic-version", "anthropic-beta", "content-type"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.expect("the simulators answer");
    if !answer.status().is_success() {
        line.refused.fetch_add(1, Ordering::Relaxed);
    }
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != "transfer-encoding" && name != "content-length" {
            response = response.header(name, value);
        }
    }
    response.body(Body::from_stream(answer.bytes_stream())).expect("a response")
}

fn changed(mut body: Value, way: Way) -> Value {
    unmark(&mut body);
    if way == Way::OneMarker && body.get("tools").is_some() {
        body["system"] = json!([{ "type": "text", "text": ROLE.trim(), "cache_control": { "type": "ephemeral" } }]);
    }
    body
}

fn unmark(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.shift_remove("cache_control");
            map.values_mut().for_each(unmark);
        }
        Value::Array(items) => items.iter_mut().for_each(unmark),
        _ => {}
    }
}
