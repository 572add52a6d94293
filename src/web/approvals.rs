//! The inbox: what waits for a person, soonest due first, and what was decided. No button here decides: that takes the
//! approval's own page and a check.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use crate::journal::views::ApprovalFilter;
use crate::web::error::Error;
use crate::web::parts::{ApprovalLine, Names, sum_waiting};
use crate::web::session::Viewer;
use crate::web::{Shell, Web, show};

/// So many approvals are listed at most.
const LIST_MAX: u32 = 200;
/// So many decided ones stand below those that wait.
const DECIDED_MAX: u32 = 10;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    view: String,
}

#[derive(Template)]
#[template(path = "approvals.html", blocks = ["need", "nav_need", "queue"])]
pub(super) struct ApprovalsPage {
    shell: Shell,
    view: &'static str,
    waiting: Vec<ApprovalLine>,
    sum: String,
    decided: Vec<ApprovalLine>,
}

pub(super) async fn page(
    State(web): State<Arc<Web>>,
    viewer: Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Error> {
    show(&build(&web, &viewer, &wanted.view).await?)
}

pub(super) async fn build(web: &Web, viewer: &Viewer, view: &str) -> Result<ApprovalsPage, Error> {
    let view = match view {
        "mine" => "mine",
        "decided" => "decided",
        _ => "waiting",
    };
    let times = web.times();
    let names = Names::load(web).await?;
    let waiting = match view {
        "waiting" => web.app.views.approvals(ApprovalFilter::Waiting, LIST_MAX).await?,
        _ => Vec::new(),
    };
    let limit = if view == "waiting" { DECIDED_MAX } else { LIST_MAX };
    let decided = web.app.views.approvals(ApprovalFilter::Decided, limit).await?;
    let mine = |by: &Option<String>| view != "mine" || by.as_deref() == Some(viewer.user.email.as_str());
    Ok(ApprovalsPage {
        shell: Shell::new(web, viewer, "Approvals", "approvals").await?.live("approvals"),
        view,
        sum: sum_waiting(&waiting),
        waiting: waiting.iter().map(|row| ApprovalLine::new(row, &times, &names)).collect(),
        decided: decided
            .iter()
            .filter(|row| mine(&row.decided_by))
            .map(|row| ApprovalLine::new(row, &times, &names))
            .collect(),
    })
}

impl ApprovalsPage {
    fn shows(&self, view: &str) -> bool {
        self.view == view
    }
    /// What the live page says aloud when the queue changes.
    pub(super) fn spoken(&self) -> String {
        crate::web::format::count(self.shell.waiting, "decision waiting", "decisions waiting")
    }
}
