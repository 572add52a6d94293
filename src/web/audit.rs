//! The audit trail: who changed what, newest first. Append-only; each line carries the hash of the one before.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use crate::web::error::Error;
use crate::web::format::{self, Moment};
use crate::web::parts::Names;
use crate::web::session::Viewer;
use crate::web::{Shell, Web, show};

/// Lines on one page.
const PAGE_LEN: u32 = 50;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    before: Option<i64>,
    #[serde(default)]
    check: String,
}

struct Line {
    line: i64,
    at: Moment,
    who: String,
    what: String,
    subject: String,
    link: Option<String>,
    detail: String,
    hash: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    lines: Vec<Line>,
    older: Option<i64>,
    later: bool,
    checked: Option<Result<(), i64>>,
}

pub(super) async fn page(
    State(web): State<Arc<Web>>,
    viewer: Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Error> {
    let times = web.times();
    let names = Names::load(&web).await?;
    let mut found = web.app.views.audit(wanted.before, PAGE_LEN + 1).await?;
    let more = found.len() > PAGE_LEN as usize;
    found.truncate(PAGE_LEN as usize);
    let checked =
        if wanted.check.is_empty() { None } else { Some(web.app.accounts.verify_audit().await?.map_or(Ok(()), Err)) };
    show(&AuditPage {
        shell: Shell::new(&web, &viewer, "Audit log", "audit").await?,
        older: found.last().filter(|_| more).map(|line| line.line),
        later: wanted.before.is_some(),
        checked,
        lines: found
            .into_iter()
            .map(|line| Line {
                line: line.line,
                at: times.ms(line.at_ms),
                who: names.of(&line.who),
                what: format::sentence(&line.what),
                link: match line.subject.get(..4) {
                    Some("apr_") => Some(format!("/approvals/{}", line.subject)),
                    Some("run_") => Some(format!("/runs/{}", line.subject)),
                    _ => None,
                },
                subject: line.subject,
                detail: line.detail,
                hash: line.hash.chars().take(12).collect(),
            })
            .collect(),
    })
}
