//! Live parts: one stream a page. Woken by the journal's bell, it writes the page's parts anew and sends those that changed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use crate::ids::{RunId, StepNo};
use crate::web::error::Error;
use crate::web::session::Viewer;
use crate::web::{Web, approval, approvals, overview, run, runs};

/// The shortest time between two pushes of one stream: a busy desk changes faster than anybody reads.
const PUSH_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    page: String,
    run: Option<String>,
    step: Option<u32>,
    approval: Option<String>,
    seen: Option<u64>,
}

/// Which page a stream keeps fresh.
#[derive(Debug, Clone)]
enum Page {
    Overview,
    Runs,
    Run(RunId, Option<StepNo>),
    Approvals,
    /// The form, as drawn from so many entries.
    Approval(String, u64),
    /// After the decision.
    Sent(String),
}

/// One part: the element's id, its HTML, and what to say aloud when it changes.
struct Part {
    id: &'static str,
    html: String,
    say: Option<String>,
}

struct Stream {
    web: Arc<Web>,
    viewer: Viewer,
    page: Page,
    bell: watch::Receiver<u64>,
    sent: BTreeMap<&'static str, String>,
    first: bool,
}

pub(super) async fn stream(
    State(web): State<Arc<Web>>,
    viewer: Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Error> {
    let page = match (wanted.page.as_str(), wanted.run, wanted.approval) {
        ("overview", ..) => Page::Overview,
        ("runs", ..) => Page::Runs,
        ("approvals", ..) => Page::Approvals,
        ("approval", _, Some(approval)) => Page::Approval(approval, wanted.seen.unwrap_or(0)),
        ("sent", _, Some(approval)) => Page::Sent(approval),
        ("run", Some(run), _) => Page::Run(run.parse().map_err(|_| Error::NotFound)?, wanted.step.map(StepNo)),
        _ => return Err(Error::NotFound),
    };
    // Register first, then look: what is committed in between rings again.
    let mut bell = web.app.journal.bell();
    bell.mark_unchanged();
    let start = Stream { web, viewer, page, bell, sent: BTreeMap::new(), first: true };
    let events = stream::unfold(start, next);
    let alive = KeepAlive::new().interval(Duration::from_secs(20));
    Ok(Sse::new(stream::StreamExt::flat_map(events, |batch| stream::iter(batch.into_iter().map(Ok::<_, Infallible>))))
        .keep_alive(alive)
        .into_response())
}

/// Waits for news and writes the parts that changed. The first look sends everything that the page may have missed while it
/// loaded. Ends when the journal closes or the session ends.
async fn next(mut stream: Stream) -> Option<(Vec<Event>, Stream)> {
    if stream.first {
        stream.first = false;
    } else {
        let stop = stream.web.app.stop.clone();
        let rung = async {
            stream.web.app.clock.sleep(PUSH_EVERY).await;
            stream.bell.changed().await
        };
        tokio::select! {
            rung = rung => rung.ok()?,
            () = stop.cancelled() => return None, // Otherwise an open page would hold up the end.
        }
    }
    let now_ms = stream.web.app.clock.now_ms();
    stream.web.app.accounts.session(stream.viewer.token, now_ms).await.ok()??;
    let parts = match parts(&stream).await {
        Ok(parts) => parts,
        Err(error) => {
            tracing::warn!(%error, "live parts could not be written");
            return Some((Vec::new(), stream));
        }
    };
    let mut events = Vec::new();
    for part in parts {
        if stream.sent.get(part.id) == Some(&part.html) {
            continue;
        }
        let known = stream.sent.insert(part.id, part.html.clone()).is_some();
        let mut data = json!({ "id": part.id, "html": part.html });
        if let Some(say) = part.say.filter(|_| known) {
            data["say"] = say.into();
        }
        if let Ok(event) = Event::default().event("part").json_data(&data) {
            events.push(event);
        }
    }
    Some((events, stream))
}

macro_rules! parts {
    ($page:expr, $($id:literal => $block:ident $(say $say:expr)?),+ $(,)?) => {
        Ok(vec![$(Part { id: $id, html: $page.$block().render()?.trim().to_owned(), say: parts!(@say $($say)?) }),+])
    };
    (@say) => { None };
    (@say $say:expr) => { $say };
}

async fn parts(stream: &Stream) -> Result<Vec<Part>, Error> {
    let web = &stream.web;
    match &stream.page {
        Page::Overview => {
            let page = overview::build(web, &stream.viewer).await?;
            parts!(page,
                "need" => as_need say Some(page.spoken()),
                "nav-need" => as_nav_need,
                "why-not" => as_why,
                "pulse" => as_pulse,
                "need-list" => as_need_list,
                "health" => as_health,
                "figs" => as_figures,
                "run-rows" => as_run_rows,
            )
        }
        Page::Runs => {
            let page = runs::build_for_stream(web, &stream.viewer).await?;
            parts!(page, "need" => as_need, "nav-need" => as_nav_need)
        }
        Page::Approvals => {
            let page = approvals::build(web, &stream.viewer, "waiting").await?;
            parts!(page,
                "need" => as_need,
                "nav-need" => as_nav_need,
                "queue" => as_queue say Some(page.spoken()),
            )
        }
        Page::Approval(id, seen) => {
            let page = approval::live_form(web, &stream.viewer, id, *seen).await?;
            parts!(page,
                "need" => as_need,
                "nav-need" => as_nav_need,
                "notice" => as_notice say page.spoken(),
            )
        }
        Page::Sent(id) => {
            let page = approval::live_sent(web, &stream.viewer, id).await?;
            parts!(page,
                "need" => as_need,
                "nav-need" => as_nav_need,
                "hold" => as_hold say Some(page.spoken()),
                "effects" => as_effects,
            )
        }
        Page::Run(run, step) => {
            let page = run::build(web, &stream.viewer, run, *step).await?;
            parts!(page,
                "need" => as_need,
                "nav-need" => as_nav_need,
                "state" => as_state say Some(page.spoken()),
                "figs" => as_figures,
                "step-rows" => as_steps,
                "talk" => as_talk,
            )
        }
    }
}
