//! The first page: what needs a person, whether everything works, how the last days went.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use crate::health::PrefixLine;
use crate::journal::views::{ApprovalFilter, Counts, DayOutcomes, RunFilter};
use crate::money::group;
use crate::web::error::Error;
use crate::web::format::{self, Moment};
use crate::web::parts::{
    ApprovalLine, Bars, ChartDay, Names, RunLine, Spark, Status, bars, day_name, fill_days, spark,
};
use crate::web::session::Viewer;
use crate::web::why::Reason;
use crate::web::{Shell, Web, show};

/// So many waiting decisions are listed; the rest is one link away.
const NEED_MAX: u32 = 8;
/// So many of the latest runs are listed.
const LATEST_MAX: u32 = 12;
/// The days of the chart.
const DAYS: i32 = 30;

/// A figure with its history.
struct Figure {
    name: &'static str,
    value: String,
    unit: &'static str,
    spark: Option<Spark>,
    context: String,
}

struct Topic {
    name: String,
    tickets: u64,
    resolved: String,
    width: String,
    key: String,
}

struct HealthLine {
    name: &'static str,
    status: Status,
    more: String,
}

struct DayRow {
    day: String,
    tickets: u64,
    resolved: u64,
    person: u64,
    failed: u64,
    other: u64,
}

#[derive(Template)]
#[template(
    path = "overview.html",
    blocks = ["need", "nav_need", "why", "pulse", "need_list", "health", "figures", "run_rows"]
)]
pub(super) struct OverviewPage {
    shell: Shell,
    headline: String,
    pulse: String,
    need: Vec<ApprovalLine>,
    need_sum: String,
    failed: Vec<RunLine>,
    /// Ended runs with something that a person must look at, each with what.
    loose: Vec<(RunLine, String)>,
    health: Vec<HealthLine>,
    figures: Vec<Figure>,
    chart: Bars,
    days: Vec<DayRow>,
    topics: Vec<Topic>,
    latest: Vec<RunLine>,
    checked: Moment,
}

pub(super) async fn page(State(web): State<Arc<Web>>, viewer: Viewer) -> Result<Response, Error> {
    show(&build(&web, &viewer).await?)
}

pub(super) async fn build(web: &Web, viewer: &Viewer) -> Result<OverviewPage, Error> {
    let times = web.times();
    let views = &web.app.views;
    let week_ms = times.days_ago_ms(6);
    let month_ms = times.days_ago_ms(DAYS - 1);
    let offset_s = times.utc_offset_s();
    let failed_filter =
        RunFilter { outcome: Some("failed".to_owned()), since_ms: Some(week_ms), ..RunFilter::default() };
    let loose_filter = RunFilter { attention: true, since_ms: Some(month_ms), ..RunFilter::default() };
    let everything = RunFilter::default();
    let (waiting, failed, loose, latest, counts, outcomes, categories, costs, totals, first) = tokio::try_join!(
        views.approvals(ApprovalFilter::Waiting, 500),
        views.runs(&failed_filter, None, 5),
        views.runs(&loose_filter, None, 5),
        views.runs(&everything, None, LATEST_MAX),
        views.counts(times.days_ago_ms(0)),
        views.outcomes_by_day(month_ms, offset_s),
        views.categories(month_ms),
        views.costs_by_day(month_ms, offset_s),
        views.cost_totals(week_ms),
        views.first_answer(week_ms),
    )?;
    let shell = Shell::new(web, viewer, "Overview", "overview").await?.live("overview");
    let names = Names::load(web).await?;
    let today = times.now.to_zoned(times.zone.clone()).date();
    let first_day = today.checked_sub(jiff::Span::new().days(DAYS - 1)).unwrap_or(today);
    let days = fill_days(first_day, today, &outcomes);
    let week = &days[days.len().saturating_sub(7)..];

    let answered = |day: &DayOutcomes| day.resolved + day.waiting_customer;
    let worked = |day: &DayOutcomes| answered(day) + day.escalated + day.taken_over + day.failed;
    let (done, all) = week.iter().fold((0, 0), |(done, all), day| (done + day.resolved, all + worked(day)));
    let cost_of = |day: jiff::civil::Date| -> f64 {
        costs.iter().filter(|row| row.day == Some(day)).map(|row| row.cost_micros as f64).sum()
    };
    let cache_of = |day: jiff::civil::Date| -> f64 {
        let rows = costs.iter().filter(|row| row.day == Some(day));
        let (read, prompt) =
            rows.fold((0, 0), |(read, prompt), row| (read + row.usage.cache_read, prompt + row.usage.prompt()));
        if prompt == 0 { 0.0 } else { read as f64 / prompt as f64 }
    };
    let busy: Vec<_> = days.iter().filter(|day| worked(day) > 0).collect();
    let history = |value: &dyn Fn(&DayOutcomes) -> f64| busy.iter().map(|day| value(day)).collect::<Vec<_>>();
    let figures = vec![
        Figure {
            name: "Resolved without a person",
            value: format::percent(done, all),
            unit: "",
            spark: spark(
                &history(&|day| day.resolved as f64 / worked(day) as f64),
                "Daily share resolved over 30 days",
            ),
            context: format!("{done} of {}", format::count(all, "ticket", "tickets")),
        },
        Figure {
            name: "First answer",
            value: first.map_or_else(|| "–".to_owned(), |first| format::duration(first.median_ms)),
            unit: "median",
            spark: None,
            context: first.map_or_else(
                || "no answer yet".to_owned(),
                |first| {
                    format!(
                        "19 in 20 within {}, {}",
                        format::duration(first.p95_ms),
                        format::count(first.count, "answer", "answers")
                    )
                },
            ),
        },
        Figure {
            name: "Cost per ticket",
            value: match format::average_cents(totals.cost_micros, totals.runs) {
                Some(cents) if totals.unpriced_calls == 0 => cents,
                _ => "–".to_owned(),
            },
            unit: if totals.runs > 0 && totals.unpriced_calls == 0 { "¢" } else { "" },
            spark: spark(&history(&|day| cost_of(day.day) / worked(day) as f64), "Daily cost per ticket over 30 days"),
            context: if totals.unpriced_calls > 0 {
                format!("price not known for {}", format::count(totals.unpriced_calls, "call", "calls"))
            } else {
                format!("{} in 7 days, all model calls", format::dollars(totals.cost_micros))
            },
        },
        Figure {
            name: "Read from cache",
            value: format::percent(totals.usage.cache_read, totals.usage.prompt()),
            unit: "",
            spark: spark(&history(&|day| cache_of(day.day)), "Daily share of input read from cache over 30 days"),
            context: format!("of {} tokens in", format::compact(totals.usage.prompt())),
        },
    ];
    let chart_days: Vec<_> = days
        .iter()
        .map(|day| ChartDay {
            day: day.day,
            values: vec![
                ("c-m2", answered(day) as f64),
                ("c-p", (day.escalated + day.taken_over) as f64),
                ("c-bad", day.failed as f64),
                ("c-mute", (day.skipped + day.open) as f64),
            ],
            title: format!(
                "{}: {} answered, {} to a person, {} failed, {} not answered or open",
                day_name(day.day),
                answered(day),
                day.escalated + day.taken_over,
                day.failed,
                day.skipped + day.open
            ),
        })
        .collect();
    let label = format!(
        "Tickets by outcome over {DAYS} days: {} answered by the agent, {} to a person, {} failed.",
        days.iter().map(answered).sum::<u64>(),
        days.iter().map(|day| day.escalated + day.taken_over).sum::<u64>(),
        days.iter().map(|day| day.failed).sum::<u64>(),
    );
    Ok(OverviewPage {
        headline: headline(&shell, &counts),
        pulse: pulse(&counts),
        need_sum: crate::web::parts::sum_waiting(&waiting),
        need: waiting.iter().take(NEED_MAX as usize).map(|row| ApprovalLine::new(row, &times, &names)).collect(),
        failed: failed.iter().map(|row| RunLine::new(row, &times)).collect(),
        loose: loose
            .iter()
            .filter(|row| row.outcome.as_deref() != Some("failed")) // Those are listed as parked.
            .map(|row| (RunLine::new(row, &times), row.attention.clone().unwrap_or_default()))
            .collect(),
        health: health(web, &shell, &counts),
        figures,
        chart: bars(&chart_days, 150, label, |value| format!("{value:.0}")),
        days: days
            .iter()
            .rev()
            .filter(|day| worked(day) + day.skipped + day.open > 0)
            .map(|day| DayRow {
                day: day_name(day.day),
                tickets: worked(day) + day.skipped + day.open,
                resolved: answered(day),
                person: day.escalated + day.taken_over,
                failed: day.failed,
                other: day.skipped + day.open,
            })
            .collect(),
        topics: categories
            .into_iter()
            .filter_map(|row| {
                let category = row.category?;
                Some(Topic {
                    name: format::sentence(&category),
                    tickets: row.runs,
                    resolved: format::percent(row.resolved, row.runs),
                    width: format::share(row.resolved, row.runs),
                    key: crate::web::error::encode(&category),
                })
            })
            .take(8)
            .collect(),
        latest: latest.iter().map(|row| RunLine::new(row, &times)).collect(),
        checked: times.at(times.now),
        shell,
    })
}

impl OverviewPage {
    /// What the live page says aloud when the number of waiting decisions changes.
    pub(super) fn spoken(&self) -> String {
        format::count(self.shell.waiting, "decision waiting", "decisions waiting")
    }
}

/// The state of the system in a sentence, the worst fact first.
fn headline(shell: &Shell, counts: &Counts) -> String {
    let mut facts = Vec::new();
    facts.extend(shell.reasons.iter().map(|reason| format!("{}.", reason.words)));
    match counts.waiting_approvals {
        0 => {}
        1 => facts.push("1 decision waits for a person.".to_owned()),
        n => facts.push(format!("{n} decisions wait for a person.")),
    }
    match counts.waiting_vendor {
        0 => {}
        1 => facts.push("1 run waits for a vendor.".to_owned()),
        n => facts.push(format!("{n} runs wait for a vendor.")),
    }
    match counts.failed {
        0 => {}
        1 => facts.push("1 run was parked in the last 7 days.".to_owned()),
        n => facts.push(format!("{n} runs were parked in the last 7 days.")),
    }
    if facts.is_empty() { "Nothing waits and everything works.".to_owned() } else { facts.join(" ") }
}

fn pulse(counts: &Counts) -> String {
    let progress = counts.open.saturating_sub(counts.waiting_approvals + counts.waiting_vendor + counts.held);
    let mut text = format!(
        "{} in progress, {} today.",
        format::count(progress, "run", "runs"),
        format::count(counts.closed_today, "finished", "finished")
    );
    if counts.held > 0 {
        text.push_str(&format!(" {} can still be undone.", format::count(counts.held, "decision", "decisions")));
    }
    text
}

/// Whether new tickets come in: a brake may keep them out although the helpdesk answers.
fn intake(shell: &Shell) -> HealthLine {
    let found = ["stopped", "draining", "intake", "aside"]
        .into_iter()
        .find_map(|key| shell.reasons.iter().find(|reason| reason.key == key));
    let Some(reason) = found else {
        return HealthLine { name: "Intake", status: Status::new("st-ok", "Reads new tickets"), more: String::new() };
    };
    let words = match reason.key {
        "stopped" => "Stopped, reads nothing",
        "draining" => "Takes no new ticket in",
        "intake" => "Cannot read",
        _ => reason.words.as_str(),
    };
    // What a brake means stands beside the agent.
    let more = if reason.is_brake { String::new() } else { reason.more.clone() };
    HealthLine { name: "Intake", status: Status::new("st-warn", words), more }
}

/// Whether what all tickets share is read from the vendor's cache.
fn cache_line(web: &Web, alarm: Option<&Reason>) -> HealthLine {
    let prefixes = web.app.health.prefixes();
    let said = |prefix: &PrefixLine| {
        let tokens = prefix.tokens.map_or_else(|| "length not known".to_owned(), |n| format!("{} tokens", group(n)));
        let floor = prefix.floor.map_or_else(|| "floor not known".to_owned(), |n| format!("floor {}", group(n)));
        format!("{}, {}: {tokens}, {floor}, lives {}", format::model(&prefix.model), prefix.used_for, prefix.ttl)
    };
    let all: Vec<String> = prefixes.iter().map(said).collect();
    let too_short = prefixes.iter().any(|prefix| prefix.is_long_enough == Some(false));
    let (status, more) = match (alarm, too_short) {
        (Some(alarm), _) => (Status::new("st-warn", "Not read"), alarm.more.clone()),
        (None, true) => (Status::new("st-warn", "A prompt is too short for it"), all.join(" · ")),
        (None, false) => (Status::new("st-ok", "No miss that should not be"), all.join(" · ")),
    };
    HealthLine { name: "Prompt cache", status, more }
}

fn health(web: &Web, shell: &Shell, counts: &Counts) -> Vec<HealthLine> {
    let settings = &web.app.settings;
    let of = |key: &str| shell.reasons.iter().find(|reason| reason.key == key);
    // What is wrong, with the reason; else what is right.
    let line = |name, key: &str, wrong: &str, right: &str| match of(key) {
        Some(reason) => HealthLine { name, status: Status::new("st-warn", wrong), more: reason.more.clone() },
        None => HealthLine { name, status: Status::new("st-ok", right), more: String::new() },
    };
    let agent = match shell.brake() {
        Some(brake) => HealthLine {
            name: "Agent",
            status: Status::new("st-warn", format::sentence(brake.key)),
            more: brake.more.clone(),
        },
        None => HealthLine { name: "Agent", status: Status::new("st-ok", "Running"), more: String::new() },
    };
    let away: Vec<&str> = shell
        .reasons
        .iter()
        .filter(|reason| reason.key == "vendor")
        .map(|reason| crate::web::why::vendor_name(reason.vendor))
        .collect();
    let vendors = match (counts.waiting_vendor, away.as_slice()) {
        (0, []) if settings.demo => Status::new("st-ok", "Simulated, all answering"),
        (0, []) => Status::new("st-ok", "All answering"),
        (n, []) => Status::new("st-warn", format!("{} to try again", format::count(n, "run waits", "runs wait"))),
        (_, away) => Status::new("st-warn", format!("Away: {}", away.join(", "))),
    };
    let failed = match counts.failed {
        0 => Status::new("st-ok", "None in 7 days"),
        n => Status::new("st-fail", format!("{n} in 7 days")),
    };
    let model = if settings.stand_in { "Scripted stand-in" } else { "Claude API" };
    vec![
        agent,
        intake(shell),
        HealthLine { name: "Vendors", status: vendors, more: String::new() },
        match of("spend") {
            None => line("Model", "limit", "Rate limit reached", model),
            Some(_) => line("Model", "spend", "Money used up", model),
        },
        cache_line(web, of("cache")),
        line("Journal", "journal", "Cannot be written", "Written and read"),
        line("Refunds", "refund_day", "The day is used up", "Within the day’s limit"),
        HealthLine { name: "Parked runs", status: failed, more: String::new() },
    ]
}
