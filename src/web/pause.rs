//! Holding the agent back and letting it go on, retrying a parked run, taking a ticket over: each a page that says what it does,
//! and one button.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use crate::ids::RunId;
use crate::journal;
use crate::journal::accounts::Role;
use crate::journal::brake::{self, Brake};
use crate::run::decide::{self, Refused};
use crate::web::error::Error;
use crate::web::format::{self, Moment};
use crate::web::parts::{Names, subject};
use crate::web::session::{Posted, Viewer};
use crate::web::{Shell, Web, show};

/// The brake that is pulled, as its page shows it.
struct Shown {
    word: &'static str,
    reason: String,
    by: String,
    at: Moment,
}

/// A brake that can be pulled.
struct Offered {
    value: &'static str,
    name: &'static str,
    text: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "pause.html")]
struct PausePage {
    shell: Shell,
    pulled: Option<Shown>,
    offered: Vec<Offered>,
    in_progress: u64,
}

#[derive(Template)]
#[template(path = "retry.html")]
struct RetryPage {
    shell: Shell,
    run: String,
    ticket: String,
    subject: String,
    requester: String,
    parked: bool,
    reason: String,
    notice: Option<&'static str>,
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
    let times = web.times();
    let counts = web.app.views.counts(times.days_ago_ms(0)).await?;
    let names = Names::load(&web).await?;
    let pulled = brake::pulled(&*web.app.journal).await?;
    let held = pulled.as_ref().map(|pulled| pulled.brake);
    let in_progress = counts.open.saturating_sub(counts.waiting_approvals);
    let runs = format::count(in_progress, "run", "runs");
    let offer = |brake, name, text: String| Offered {
        value: Brake::as_str(brake),
        name,
        text,
        chosen: brake == Brake::Paused || held == Some(Brake::Paused),
    };
    let offered = vec![
        offer(
            Brake::Draining,
            "Drain",
            format!("No new ticket is taken in. {runs} in progress go on to their end; this page says when it is dry."),
        ),
        offer(
            Brake::Paused,
            "Pause",
            format!(
                "{runs} in progress stop after the step they are in; nothing half-done is sent. New tickets are read and wait. {} stay open, and decisions rest.",
                format::count(counts.waiting_approvals, "approval", "approvals")
            ),
        ),
        offer(
            Brake::Stopped,
            "Stop at once",
            "Nothing is read and nothing is done. What is in flight is dropped; whether it happened is looked up when you resume.".to_owned(),
        ),
    ];
    let shell = Shell::new(&web, &viewer, "Pause", "overview").await?;
    show(&PausePage {
        offered: offered.into_iter().filter(|offer| Brake::parse(offer.value) > held).collect(),
        pulled: pulled.map(|pulled| Shown {
            word: pulled.brake.as_str(),
            reason: pulled.reason.trim_end_matches('.').to_owned(),
            by: names.of(&pulled.by),
            at: times.ms(pulled.at_ms),
        }),
        in_progress,
        shell,
    })
}

/// Pulls a brake, or loosens all. They stand in the journal, so that they hold across restarts.
pub(super) async fn set(State(web): State<Arc<Web>>, posted: Posted) -> Result<Response, Error> {
    let Posted { viewer, fields } = posted;
    viewer.must_be(Role::Approver)?;
    let (journal, by, now_ms) = (&*web.app.journal, viewer.user.email.as_str(), web.app.clock.now_ms());
    match fields.get("do") {
        "resume" => drop(brake::resume(journal, by, now_ms).await?),
        word => {
            let brake = Brake::parse(word).unwrap_or(Brake::Paused);
            // One that somebody pulled a moment before stays with their reason, which the page shows.
            brake::pull(journal, brake, fields.get("reason"), by, now_ms).await?;
        }
    }
    Ok(Redirect::to("/").into_response())
}

/// What retrying a parked run does.
pub(super) async fn retry_page(
    State(web): State<Arc<Web>>,
    viewer: Viewer,
    Path(run): Path<String>,
) -> Result<Response, Error> {
    viewer.must_be(Role::Approver)?;
    let run: RunId = run.parse().map_err(|_| Error::NotFound)?;
    show(&retry_form(&web, &viewer, &run, None).await?)
}

async fn retry_form(web: &Web, viewer: &Viewer, run: &RunId, notice: Option<&'static str>) -> Result<RetryPage, Error> {
    let row = web.app.views.run(run).await?.ok_or(Error::NotFound)?;
    Ok(RetryPage {
        shell: Shell::new(web, viewer, format!("Retry ticket {}", row.ticket), "runs").await?,
        run: run.to_string(),
        ticket: row.ticket.to_string(),
        subject: subject(&row.subject),
        requester: row.requester.clone(),
        parked: row.outcome.as_deref() == Some("failed"),
        reason: row.reason.unwrap_or_default(),
        notice,
    })
}

/// Lets a parked run go on where it stopped.
pub(super) async fn retry(
    State(web): State<Arc<Web>>,
    Path(run): Path<String>,
    posted: Posted,
) -> Result<Response, Error> {
    let viewer = posted.viewer;
    viewer.must_be(Role::Approver)?;
    let run: RunId = run.parse().map_err(|_| Error::NotFound)?;
    let refused = async |said| {
        let page = retry_form(&web, &viewer, &run, Some(said)).await?;
        Ok((StatusCode::CONFLICT, show(&page)?).into_response())
    };
    let row = web.app.views.run(&run).await?.ok_or(Error::NotFound)?;
    let history = web.app.journal.ticket_history(row.ticket, 0).await?;
    if history.open.is_some() || history.runs.last() != Some(&run) {
        return refused("A newer run has this ticket; nothing was changed. Look at that one.").await;
    }
    let entries = web.app.journal.entries(&run).await?;
    match decide::retry(&entries, &viewer.user.email, web.app.clock.now()) {
        Ok((expected_len, entries, projection)) => {
            match web.app.journal.interject(&run, expected_len, entries, projection).await {
                Ok(()) => {
                    let (who, now_ms) = (viewer.user.email.as_str(), web.app.clock.now_ms());
                    web.app.accounts.append_audit(who, "run_retried", run.as_str(), "", now_ms).await?;
                    Ok(Redirect::to(&format!("/runs/{run}")).into_response())
                }
                Err(journal::Error::Moved { .. }) => refused("Somebody was faster; look at the run again.").await,
                Err(other) => Err(other.into()),
            }
        }
        Err(Refused::NotParked) => refused("This run is not parked; nothing was changed.").await,
        Err(Refused::Broken(_)) => {
            refused("Its journal cannot be read, so it cannot go on. Take the ticket over at the helpdesk.").await
        }
        Err(other) => Err(Error::Broken(other.to_string())),
    }
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
        closed: row.closed_ms.is_some() && row.outcome.as_deref() != Some("failed"),
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
