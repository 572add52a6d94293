//! The body of an answer: its pieces, their pace, and how it ends.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{Stream, StreamExt, stream};

use super::answer::Event;
use crate::clock::Clock;

/// Bytes sent at once: event borders and characters are cut, as a network does.
const SEGMENT_BYTES: usize = 1_400;

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// In order.
    Whole,
    /// In order, but what it says is an error.
    Failed,
    /// The connection breaks.
    Cut,
    /// Never: nothing more comes.
    Silent,
}

/// An error that ends a body early; the client sees a broken connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection was cut on purpose")]
struct Cut;

/// A body of these pieces that ends so. `finish` is called when the last piece of a whole one is on its way.
pub(super) fn body_of(
    pieces: impl Stream<Item = Bytes> + Send + 'static,
    ending: Ending,
    finish: impl FnOnce() + Send + 'static,
) -> Body {
    let end = async move {
        match ending {
            Ending::Whole => {
                finish();
                None
            }
            Ending::Failed => None,
            Ending::Cut => {
                // The pause lets the server send what came before; it would drop that with the connection.
                tokio::task::yield_now().await;
                Some(Err(Cut))
            }
            Ending::Silent => std::future::pending().await,
        }
    };
    let end = stream::once(end).filter_map(std::future::ready);
    Body::from_stream(pieces.map(Ok).chain(end))
}

pub(super) fn at_once(events: &[Event]) -> Vec<Bytes> {
    let wire: String = events.iter().map(Event::wire).collect();
    wire.as_bytes().chunks(SEGMENT_BYTES).map(Bytes::copy_from_slice).collect()
}

/// Sends each event when its share of the output has been produced; what is ready within `burst_ms` goes out together, at
/// the end of that time or of the answer.
pub(super) fn paced(
    clock: Clock,
    tokens_per_s: u64,
    burst_ms: u64,
    events: Vec<Event>,
    output_tokens: u64,
) -> impl Stream<Item = Bytes> {
    let deltas = events.iter().filter(|event| event.name == "content_block_delta").count().max(1) as u64;
    let whole_ms = output_tokens * 1_000 / tokens_per_s.max(1);
    let began = clock.now();
    stream::unfold((events.into_iter(), 0u64), move |(mut rest, sent)| {
        let clock = clock.clone();
        async move {
            let event = rest.next()?;
            let sent = sent + u64::from(event.name == "content_block_delta");
            let ready_ms = whole_ms * sent / deltas;
            let due_ms = if burst_ms == 0 { ready_ms } else { ready_ms.next_multiple_of(burst_ms).min(whole_ms) };
            let due = Duration::from_millis(due_ms);
            clock.sleep_until(began.checked_add(due).unwrap_or(began)).await;
            Some((Bytes::from(event.wire()), (rest, sent)))
        }
    })
}
