//! The layer around each vendor's router: what goes wrong on the line and at the edge. Before the deed, instead of it, or
//! after it; the vendor's code does not notice.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::{Ask, FaultBox, Strikes, refusals};
use crate::clock::Clock;
use crate::sim::claude;
use crate::sim::connection::Connection;
use crate::sim::world::World;

/// Pieces of an answer that drips.
const DRIPS: usize = 16;

/// What the layer around one vendor's router needs.
#[derive(Clone)]
pub struct Layer {
    /// The vendor.
    pub vendor: &'static str,
    /// The faults in force.
    pub faults: FaultBox,
    /// The world: its clock waits for late answers, and can jump.
    pub world: Arc<World>,
}

/// The layer: `router.layer(axum::middleware::from_fn_with_state(layer, faults::around))`.
pub async fn around(State(layer): State<Layer>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().as_str().to_owned(), request.uri().path().to_owned());
    let mut ask = Ask { vendor: layer.vendor, method: &method, path: &path, caller: None };
    if let Some(strike) = layer.faults.strike(&Ask { vendor: "clock", ..ask }).get("jump") {
        layer.world.jump(strike.number.unwrap_or(0));
    }
    let (parts, mut body) = request.into_parts();
    if layer.faults.asks_who(layer.vendor) {
        let bytes = whole(body).await;
        ask.caller = claude::caller(&bytes);
        body = Body::from(bytes);
    }
    let strikes = layer.faults.strike(&ask);
    let mut request = Request::from_parts(parts, body);
    if strikes.0.is_empty() {
        return next.run(request).await;
    }
    let connection = request.extensions().get::<ConnectInfo<Connection>>().map(|info| info.0.clone());
    request.extensions_mut().insert(strikes.clone());
    let clock = layer.world.clock().clone();

    if let Some(strike) = strikes.get("late") {
        clock.sleep(strike.millis()).await;
    }
    if strikes.has("lost_before") {
        return lost(connection);
    }
    if let Some(strike) = strikes.get("done_late") {
        do_later(request, next, clock, strike.millis()).await;
        return lost(connection);
    }
    // The Messages API refuses by itself, with its rate-limit headers.
    if !(layer.vendor == "claude" && path == "/v1/messages")
        && let Some(refusal) = strikes.0.iter().find_map(|strike| refusals::before(layer.vendor, strike))
    {
        return refusal;
    }
    let response = if strikes.has("repeated") { twice(request, next).await } else { next.run(request).await };
    after(&layer, &strikes, response, connection).await
}

/// What becomes of the answer once the deed is done.
async fn after(layer: &Layer, strikes: &Strikes, response: Response, connection: Option<Connection>) -> Response {
    let clock = layer.world.clock();
    let mut response = response;
    if let Some(refusal) = strikes.0.iter().find_map(|strike| refusals::after(layer.vendor, strike)) {
        let _ = whole(response.into_body()).await;
        response = refusal;
    }
    if strikes.0.iter().any(|strike| strike.name.starts_with("garbage")) {
        response = garbage(strikes, response).await;
    }
    if let Some(strike) = strikes.get("late_after") {
        // The body is made first: the deed must not wait with it.
        let (parts, body) = response.into_parts();
        response = Response::from_parts(parts, Body::from(whole(body).await));
        clock.sleep(strike.millis()).await;
    }
    if strikes.has("lost_after") {
        let _ = whole(response.into_body()).await;
        return lost(connection);
    }
    if strikes.has("lost_during") {
        return broken_off(response, connection).await;
    }
    if let Some(strike) = strikes.get("slow") {
        return dripping(response, clock.clone(), strike.millis()).await;
    }
    response
}

/// All of a body; what came, where it broke.
async fn whole(body: Body) -> Bytes {
    axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default()
}

/// Lets the deed be done later, whoever still waits for it.
async fn do_later(request: Request, next: Next, clock: Clock, after: Duration) {
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts, Body::from(whole(body).await));
    tokio::spawn(async move {
        clock.sleep(after).await;
        let _ = whole(next.run(request).await.into_body()).await;
    });
}

/// Delivers a request twice, one after the other, and answers with the second answer.
async fn twice(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = whole(body).await;
    let first = next.clone().run(Request::from_parts(parts.clone(), Body::from(bytes.clone()))).await;
    let _ = whole(first.into_body()).await;
    next.run(Request::from_parts(parts, Body::from(bytes))).await
}

/// No answer at all. Without a connection to cut (a router called directly) the body breaks instead.
fn lost(connection: Option<Connection>) -> Response {
    if let Some(connection) = connection {
        connection.cut();
    }
    let broken = futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("lost on purpose")) });
    let mut response = Response::new(Body::from_stream(broken));
    response.extensions_mut().insert(Lost);
    response
}

/// Marks an answer that never arrives, for tests that call a router directly.
#[derive(Debug, Clone, Copy)]
pub struct Lost;

/// The head and the first half of the answer, then the connection is reset.
async fn broken_off(response: Response, connection: Option<Connection>) -> Response {
    let (parts, body) = response.into_parts();
    let bytes = whole(body).await;
    let mut half = Some(bytes.slice(..bytes.len() / 2));
    let mut flushed = false;
    let pieces = futures_util::stream::poll_fn(move |cx| match half.take() {
        Some(half) => Poll::Ready(Some(Ok(half))),
        None if !flushed => {
            // One turn of rest lets the server send the half.
            flushed = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        None => {
            if let Some(connection) = &connection {
                connection.cut();
            }
            Poll::Ready(Some(Err(std::io::Error::other("broken off on purpose"))))
        }
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// The answer in small pieces with pauses between them.
async fn dripping(response: Response, clock: Clock, pause: Duration) -> Response {
    let (parts, body) = response.into_parts();
    let bytes = whole(body).await;
    let size = bytes.len().div_ceil(DRIPS).max(1);
    let pieces: Vec<Bytes> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
    let drip = futures_util::stream::unfold((pieces.into_iter(), true), move |(mut pieces, first)| {
        let clock = clock.clone();
        async move {
            let piece = pieces.next()?;
            if !first {
                clock.sleep(pause).await;
            }
            Some((Ok::<_, std::io::Error>(piece), (pieces, false)))
        }
    });
    Response::from_parts(parts, Body::from_stream(drip))
}

/// A 200 whose body is not what was promised.
async fn garbage(strikes: &Strikes, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = whole(body).await;
    parts.status = StatusCode::OK;
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = if strikes.has("garbage_empty") {
        Bytes::new()
    } else if strikes.has("garbage_html") {
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        Bytes::from_static(b"<!doctype html><html><body><h1>One moment, please</h1></body></html>")
    } else {
        bytes.slice(..bytes.len() / 2)
    };
    (parts, body).into_response()
}
