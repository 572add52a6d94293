//! Pausing and resuming the agent, and taking a ticket over: one page that says what stops, one button.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use crate::ids::RunId;
use crate::journal;
use crate::journal::accounts::Role;
use crate::run::decide::{self, Refused};
use crate::web::error::Error;
use crate::web::parts::{PAUSED, subject};
use crate::web::session::{Posted, Viewer};
use crate::web::{Shell, Web, show};

/// The longest reason, in characters.
const REASON_MAX: usize = 200;

#[derive(Template)]
#[template(path = "pause.html")]
struct PausePage {
    shell: Shell,
    in_progress: u64,
    waiting: u64,
}

#[derive(Template)]
#[template(path = "take_over.html")]
struct TakeOverPage {
    shell: Shell,
    run: String,
    ticket: String,
    subject: String,
    requester: String,
    closed: bool,
    waits: bool,
    notice: Option<&'static str>,
}

/// What stops, or what goes on.
pub(super) async fn page(State(web): State<Arc<Web>>, viewer: Viewer) -> Result<Response, Error> {
    viewer.must_be(Role::Approver)?;
    let counts = web.app.views.counts(web.times().days_ago_ms(0)).await?;
    let shell = Shell::new(&web, &viewer, "Pause", "overview").await?;
    show(&PausePage {
        in_progress: counts.open.saturating_sub(counts.waiting_approvals),
        waiting: counts.waiting_approvals,
        shell,
    })
}

/// Sets the switch. It stands in the journal, so that it holds across restarts.
pub(super) async fn set(State(web): State<Arc<Web>>, posted: Posted) -> Result<Response, Error> {
    let Posted { viewer, fields } = posted;
    viewer.must_be(Role::Approver)?;
    let reason: String = fields.get("reason").chars().take(REASON_MAX).collect();
    let value = match (fields.get("do"), reason.is_empty()) {
        ("resume", _) => "",
        (_, true) => "No reason was given",
        (_, false) => reason.as_str(),
    };
    web.app.journal.set_switch(PAUSED, value, &viewer.user.email, web.app.clock.now_ms()).await?;
    Ok(Redirect::to("/").into_response())
}

/// What taking a ticket over does.
pub(super) async fn take_over_page(
    State(web): State<Arc<Web>>,
    viewer: Viewer,
    Path(run): Path<String>,
) -> Result<Response, Error> {
    viewer.must_be(Role::Approver)?;
    let run: RunId = run.parse().map_err(|_| Error::NotFound)?;
    show(&take_over_form(&web, &viewer, &run, None).await?)
}

async fn take_over_form(
    web: &Web,
    viewer: &Viewer,
    run: &RunId,
    notice: Option<&'static str>,
) -> Result<TakeOverPage, Error> {
    let row = web.app.views.run(run).await?.ok_or(Error::NotFound)?;
    Ok(TakeOverPage {
        shell: Shell::new(web, viewer, format!("Take over ticket {}", row.ticket), "runs").await?,
        run: run.to_string(),
        ticket: row.ticket.to_string(),
        subject: subject(&row.subject),
        requester: row.requester.clone(),
        closed: row.closed_ms.is_some(),
        waits: row.status == crate::run::row::RunStatus::WaitingApproval,
        notice,
    })
}

/// Ends the agent's part of a run.
pub(super) async fn take_over(
    State(web): State<Arc<Web>>,
    Path(run): Path<String>,
    posted: Posted,
) -> Result<Response, Error> {
    let viewer = posted.viewer;
    viewer.must_be(Role::Approver)?;
    let run: RunId = run.parse().map_err(|_| Error::NotFound)?;
    // A step of the agent may be appended between the look and the write: look again a few times.
    for _ in 0..5 {
        let entries = web.app.journal.entries(&run).await?;
        match decide::take_over(&entries, &viewer.user.email, web.app.clock.now()) {
            Ok((expected_len, entries, projection)) => {
                match web.app.journal.interject(&run, expected_len, entries, projection).await {
                    Ok(()) => {
                        let now_ms = web.app.clock.now_ms();
                        let (who, what) = (viewer.user.email.as_str(), "run_taken_over");
                        web.app.accounts.append_audit(who, what, run.as_str(), "", now_ms).await?;
                        return Ok(Redirect::to(&format!("/runs/{run}")).into_response());
                    }
                    Err(journal::Error::Moved { .. }) => continue,
                    Err(other) => return Err(other.into()),
                }
            }
            Err(Refused::Ended) => {
                let said = "The run has ended already; nothing was changed.";
                let page = take_over_form(&web, &viewer, &run, Some(said)).await?;
                return Ok((StatusCode::CONFLICT, show(&page)?).into_response());
            }
            Err(other) => return Err(Error::Broken(other.to_string())),
        }
    }
    let said = "The agent is just working on it. Nothing was changed; try again.";
    let page = take_over_form(&web, &viewer, &run, Some(said)).await?;
    Ok((StatusCode::CONFLICT, show(&page)?).into_response())
}
