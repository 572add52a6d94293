//! The list of runs: saved views, filters, search, older pages by key.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use crate::ids::RunId;
use crate::journal::views::RunFilter;
use crate::run::row::RunStatus;
use crate::web::error::{Error, encode};
use crate::web::format;
use crate::web::parts::RunLine;
use crate::web::session::Viewer;
use crate::web::{Shell, Web, show};

/// Runs on one page.
const PAGE_LEN: u32 = 50;
/// The longest text that is searched for, in characters.
const SEARCH_MAX: usize = 200;

/// How runs can stand or have ended, as the filter offers it: the value of the field and its words.
const STATES: [(&str, &str); 10] = [
    ("open", "In progress"),
    ("waiting_approval", "Waiting for a person"),
    ("waiting_time", "Held, can be undone"),
    ("waiting_vendor", "Waiting for a vendor"),
    ("resolved", "Resolved"),
    ("waiting_customer", "Asked the customer"),
    ("escalated", "Went to a person"),
    ("taken_over", "Taken over"),
    ("skipped", "Not answered"),
    ("failed", "Parked"),
];

const TABS: [(&str, &str); 6] = [
    ("", "All"),
    ("open", "In progress"),
    ("waiting_approval", "Waiting"),
    ("escalated", "Went to a person"),
    ("resolved", "Resolved"),
    ("failed", "Parked"),
];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    q: String,
    status: String,
    topic: String,
    when: String,
    before: String,
}

struct Choice {
    value: String,
    words: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "runs.html", blocks = ["need", "nav_need"])]
pub(super) struct RunsPage {
    shell: Shell,
    tabs: Vec<Choice>,
    q: String,
    states: Vec<Choice>,
    topics: Vec<Choice>,
    periods: Vec<Choice>,
    rows: Vec<RunLine>,
    /// Whether anything narrows the list.
    narrowed: bool,
    /// Whether this is an older page.
    later: bool,
    /// Only parked runs are shown.
    parked: bool,
    first: String,
    older: Option<String>,
}

pub(super) async fn page(
    State(web): State<Arc<Web>>,
    viewer: Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Error> {
    let times = web.times();
    let filter = filter(&wanted, &times);
    let before = parse_before(&wanted.before);
    let mut rows = web.app.views.runs(&filter, before, PAGE_LEN + 1).await?;
    let more = rows.len() > PAGE_LEN as usize;
    rows.truncate(PAGE_LEN as usize);
    let query = query(&wanted);
    let older = match rows.last() {
        Some(last) if more => {
            let sign = if query.is_empty() { '?' } else { '&' };
            Some(format!("/runs{query}{sign}before={}.{}", last.opened_ms, last.run))
        }
        _ => None,
    };
    let categories = web.app.views.categories(times.days_ago_ms(89)).await?;
    let choice = |value: &str, words: &str, chosen: &str| Choice {
        value: value.to_owned(),
        words: words.to_owned(),
        chosen: value == chosen,
    };
    let mut topics = vec![choice("", "Any", &wanted.topic)];
    let known = categories.into_iter().filter_map(|row| row.category);
    topics.extend(known.map(|name| choice(&name, &format::sentence(&name), &wanted.topic)));
    let mut states = vec![choice("", "Any", &wanted.status)];
    states.extend(STATES.iter().map(|(value, words)| choice(value, words, &wanted.status)));
    let periods = [("", "Any time"), ("today", "Today"), ("7", "Last 7 days"), ("30", "Last 30 days")];
    let plain_view = wanted.q.is_empty() && wanted.topic.is_empty() && wanted.when.is_empty();
    show(&RunsPage {
        shell: Shell::new(&web, &viewer, "Runs", "runs").await?.live("runs"),
        tabs: TABS
            .iter()
            .map(|(value, words)| {
                let mut tab = choice(value, words, if plain_view { &wanted.status } else { "-" });
                tab.value = if value.is_empty() { "/runs".to_owned() } else { format!("/runs?status={value}") };
                tab
            })
            .collect(),
        q: wanted.q.clone(),
        states,
        topics,
        periods: periods.iter().map(|(value, words)| choice(value, words, &wanted.when)).collect(),
        narrowed: filter != RunFilter::default(),
        later: !wanted.before.is_empty(),
        parked: wanted.status == "failed",
        first: format!("/runs{query}"),
        rows: rows.iter().map(|row| RunLine::new(row, &times)).collect(),
        older,
    })
}

fn filter(wanted: &Wanted, times: &format::Times) -> RunFilter {
    let status = RunStatus::parse(&wanted.status).filter(|status| *status != RunStatus::Closed);
    let outcome = STATES.iter().any(|(value, _)| *value == wanted.status) && status.is_none();
    let days = match wanted.when.as_str() {
        "today" => Some(0),
        "7" => Some(6),
        "30" => Some(29),
        _ => None,
    };
    let filled = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    RunFilter {
        status,
        outcome: outcome.then(|| wanted.status.clone()),
        category: filled(&wanted.topic),
        text: filled(&wanted.q.chars().take(SEARCH_MAX).collect::<String>()),
        since_ms: days.map(|days| times.days_ago_ms(days)),
        ..RunFilter::default()
    }
}

/// The filters as a query, without the key of the page.
fn query(wanted: &Wanted) -> String {
    let pairs = [("q", &wanted.q), ("status", &wanted.status), ("topic", &wanted.topic), ("when", &wanted.when)];
    let filled: Vec<_> = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}={}", encode(value)))
        .collect();
    if filled.is_empty() { String::new() } else { format!("?{}", filled.join("&")) }
}

fn parse_before(text: &str) -> Option<(i64, RunId)> {
    let (ms, run) = text.split_once('.')?;
    Some((ms.parse().ok()?, run.parse().ok()?))
}

pub(super) async fn build_for_stream(web: &Web, viewer: &Viewer) -> Result<RunsPage, Error> {
    Ok(RunsPage {
        shell: Shell::new(web, viewer, "Runs", "runs").await?,
        tabs: Vec::new(),
        q: String::new(),
        states: Vec::new(),
        topics: Vec::new(),
        periods: Vec::new(),
        rows: Vec::new(),
        narrowed: false,
        later: false,
        parked: false,
        first: String::new(),
        older: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_a_link() {
        let wanted = Wanted { q: "a b&c".into(), status: "failed".into(), ..Wanted::default() };
        assert_eq!(query(&wanted), "?q=a%20b%26c&status=failed");
        assert_eq!(query(&Wanted::default()), "");
    }

    #[test]
    fn keys_of_pages_parse_strictly() {
        assert_eq!(
            parse_before("17.run_7_9"),
            Some((17, RunId::for_trigger(crate::ids::TicketId(7), crate::ids::CommentId(9))))
        );
        assert_eq!(parse_before("17"), None);
        assert_eq!(parse_before("x.run_7_9"), None);
    }
}
