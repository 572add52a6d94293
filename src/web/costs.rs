//! What the model calls cost: by day, by model, by tool, by category and outcome, the dearest runs; what they would have cost
//! otherwise, and where spending stops. Figures come from the calls as they were made; where a price is not known, dollars are
//! withheld and the page says so.

use std::sync::Arc;

use askama::Template;
use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::health::PrefixLine;
use crate::journal::views::{CostTotals, Deaths, Kind, KindCosts, LostCalls, ModelCosts, ToolUse};
use crate::money::group;
use crate::usage::Usage;
use crate::web::error::Error;
use crate::web::format;
use crate::web::parts::{Bars, ChartDay, RunLine, Spark, bars, day_name, spark};
use crate::web::savings::{self, BrakeLine, Saving, brakes, savings};
use crate::web::session::Viewer;
use crate::web::{Shell, Web, show};

/// Classes of the models in charts, the dearest first; more models share the last.
const CLASSES: [&str; 3] = ["m3", "m", "m2"];
const BAR_CLASSES: [&str; 3] = ["c-m3", "c-m1", "c-m2"];
/// So many of the dearest runs are listed.
const COSTLIEST_MAX: u32 = 8;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    days: String,
}

struct ModelLine {
    name: String,
    id: String,
    class: &'static str,
    calls: String,
    tokens_in: String,
    cache: String,
    tokens_out: String,
    cost: String,
    share: String,
}

struct ToolLine {
    name: String,
    uses: String,
    errors: u64,
    took: String,
    read: String,
}

struct DayLine {
    day: String,
    costs: Vec<String>,
    total: String,
    cache: String,
}

struct KindLine {
    name: &'static str,
    tokens: String,
    share: String,
    width: String,
}

/// What the runs of one category or outcome cost.
struct KindOfRun {
    name: String,
    runs: String,
    resolved: String,
    cost: String,
    each: String,
}

/// A prefix that all tickets share, and how long it lives.
struct PrefixRow {
    name: String,
    tokens: String,
    floor: String,
    ttl: String,
    rate: String,
    even: String,
}

struct Period {
    days: &'static str,
    words: &'static str,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "costs.html")]
struct CostsPage {
    shell: Shell,
    periods: Vec<Period>,
    period: &'static str,
    spent: String,
    tickets: u64,
    resolved: u64,
    per_ticket: Option<String>,
    per_ticket_spark: Option<Spark>,
    per_resolution: Option<String>,
    cache: String,
    cache_spark: Option<Spark>,
    unpriced: u64,
    prices_as_of: String,
    chart: Bars,
    models: Vec<ModelLine>,
    days: Vec<DayLine>,
    kinds: Vec<KindLine>,
    tools: Vec<ToolLine>,
    categories: Vec<KindOfRun>,
    ended: Vec<KindOfRun>,
    savings: Vec<Saving>,
    brakes: Vec<BrakeLine>,
    doubts: Vec<String>,
    lost: Option<String>,
    prefixes: Vec<PrefixRow>,
    costliest: Vec<RunLine>,
    total_in: String,
    total_out: String,
    calls: String,
}

pub(super) async fn page(
    State(web): State<Arc<Web>>,
    viewer: Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Error> {
    let times = web.times();
    let (days, period) = wanted.period();
    let since_ms = times.days_ago_ms(days - 1);
    let views = &web.app.views;
    let Gathered { totals, by_day, by_model, tools, categories, ended, deaths, lost } = gather(&web, since_ms).await?;
    let (costliest, outcomes) = tokio::try_join!(
        views.costliest(since_ms, COSTLIEST_MAX),
        views.outcomes_by_day(since_ms, times.utc_offset_s()),
    )?;
    let priced = totals.unpriced_calls == 0;
    let spent = priced.then_some(totals.cost_micros);
    let today = times.now.to_zoned(times.zone.clone()).date();
    let first = today.checked_sub(jiff::Span::new().days(days - 1)).unwrap_or(today);
    let all_days: Vec<_> = first.series(jiff::Span::new().days(1)).take_while(|day| *day <= today).collect();
    let names: Vec<String> = by_model.iter().map(|row| row.model.clone()).collect();
    let of = |day, model: &str| by_day.iter().find(move |row| row.day == Some(day) && row.model == model);
    let sum_of = |day| by_day.iter().filter(move |row| row.day == Some(day)).map(|row| row.cost_micros).sum::<i64>();
    let usage_of = |day| {
        let rows = by_day.iter().filter(move |row| row.day == Some(day));
        rows.fold(Usage::default(), |sum, row| sum + row.usage)
    };
    let chart_days: Vec<_> = all_days
        .iter()
        .map(|day| ChartDay {
            day: *day,
            values: names
                .iter()
                .enumerate()
                .map(|(i, model)| {
                    (BAR_CLASSES[i.min(2)], of(*day, model).map_or(0.0, |row| row.cost_micros as f64 / 1e6))
                })
                .collect(),
            title: format!("{}: {}", day_name(*day), format::dollars(sum_of(*day))),
        })
        .collect();
    let label = format!("Cost per day by model over {period}: {} altogether.", format::dollars(totals.cost_micros));
    let busy: Vec<_> = all_days.iter().copied().filter(|day| usage_of(*day).prompt() > 0).collect();
    let tickets_on = |day| {
        outcomes.iter().find(|row| row.day == day).map_or(0, |row| {
            row.resolved + row.waiting_customer + row.escalated + row.taken_over + row.failed + row.open
        })
    };
    let per_ticket: Vec<_> = busy.iter().map(|day| sum_of(*day) as f64 / tickets_on(*day).max(1) as f64).collect();
    let cache_share: Vec<_> = busy
        .iter()
        .map(|day| {
            let usage = usage_of(*day);
            usage.cache_read as f64 / usage.prompt().max(1) as f64
        })
        .collect();
    let dollars_or_dash = |row: &ModelCosts| {
        if row.unpriced_calls > 0 { "not known".to_owned() } else { format::dollars(row.cost_micros) }
    };
    show(&CostsPage {
        shell: Shell::new(&web, &viewer, "Costs", "costs").await?,
        periods: [("1", "Today"), ("7", "7 days"), ("30", "30 days"), ("90", "90 days")]
            .map(|(value, words)| Period { days: value, words, chosen: words == period })
            .into(),
        period,
        spent: if priced { format::dollars(totals.cost_micros) } else { "not known".to_owned() },
        tickets: totals.runs,
        resolved: totals.resolved,
        per_ticket: format::average_cents(totals.cost_micros, totals.runs).filter(|_| priced),
        per_ticket_spark: spark(&per_ticket, "Daily cost per ticket"),
        per_resolution: format::average_cents(totals.cost_micros, totals.resolved).filter(|_| priced),
        cache: format::percent(totals.usage.cache_read, totals.usage.prompt()),
        cache_spark: spark(&cache_share, "Daily share of input read from cache"),
        unpriced: totals.unpriced_calls,
        prices_as_of: web.app.settings.prices.as_of.clone(),
        categories: categories.iter().map(|row| kind_of_run(row, "Not sorted")).collect(),
        ended: ended.iter().map(|row| kind_of_run(row, "Open")).collect(),
        savings: savings(&by_model, deaths, spent, &web.app.settings),
        brakes: brakes(&web).await?,
        doubts: doubts(&web),
        lost: lost_words(lost),
        prefixes: web.app.health.prefixes().iter().map(prefix_row).collect(),
        chart: bars(&chart_days, 230, label, |value| format!("${}", trim(value))),
        models: by_model
            .iter()
            .enumerate()
            .map(|(i, row)| ModelLine {
                name: format::model(&row.model),
                id: row.model.clone(),
                class: CLASSES[i.min(2)],
                calls: group(row.calls),
                tokens_in: format::compact(row.usage.prompt()),
                cache: format::percent(row.usage.cache_read, row.usage.prompt()),
                tokens_out: format::compact(row.usage.output),
                cost: dollars_or_dash(row),
                share: match priced {
                    true => format::percent(row.cost_micros.unsigned_abs(), totals.cost_micros.unsigned_abs()),
                    false => "–".to_owned(),
                },
            })
            .collect(),
        days: busy
            .iter()
            .rev()
            .map(|day| DayLine {
                day: day_name(*day),
                costs: names
                    .iter()
                    .map(|model| of(*day, model).map_or_else(|| "–".to_owned(), dollars_or_dash))
                    .collect(),
                total: format::dollars(sum_of(*day)),
                cache: format::percent(usage_of(*day).cache_read, usage_of(*day).prompt()),
            })
            .collect(),
        kinds: kinds(&totals.usage),
        tools: tools
            .into_iter()
            .map(|row| ToolLine {
                name: row.tool,
                uses: group(row.uses),
                errors: row.errors,
                took: format::duration(row.took_ms),
                read: format::bytes(row.output_bytes),
            })
            .collect(),
        costliest: costliest.iter().map(|row| RunLine::new(row, &times)).collect(),
        total_in: format::compact(totals.usage.prompt()),
        total_out: format::compact(totals.usage.output),
        calls: group(totals.calls),
    })
}

/// The same figures for a machine, in micro-dollars; `null` where a price is not known.
pub(super) async fn figures(
    State(web): State<Arc<Web>>,
    _viewer: Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, Error> {
    let times = web.times();
    let (days, _) = wanted.period();
    let since_ms = times.days_ago_ms(days - 1);
    let found = gather(&web, since_ms).await?;
    let totals = &found.totals;
    let spent = (totals.unpriced_calls == 0).then_some(totals.cost_micros);
    let micros = |unpriced: u64, micros: i64| (unpriced == 0).then_some(micros);
    let model = |row: &ModelCosts| {
        json!({"day": row.day.map(|day| day.to_string()), "model": row.model, "calls": row.calls, "tokens": row.usage,
               "unpriced_calls": row.unpriced_calls, "cost_micros": micros(row.unpriced_calls, row.cost_micros)})
    };
    let kind = |row: &KindCosts| {
        json!({"name": row.kind, "runs": row.runs, "resolved": row.resolved, "tokens": row.usage,
               "unpriced_calls": row.unpriced_calls, "cost_micros": micros(row.unpriced_calls, row.cost_micros)})
    };
    let prefix = |line: &PrefixLine| {
        json!({"model": line.model, "used_for": line.used_for, "tokens": line.tokens, "counted": line.counted,
               "floor": line.floor, "long_enough": line.is_long_enough, "ttl": line.ttl, "ttl_is_set": line.is_fixed,
               "tickets_per_hour": line.per_hour, "break_even_per_hour": line.break_even, "cold": line.cold.is_some()})
    };
    let tool = |row: &ToolUse| {
        json!({"tool": row.tool, "uses": row.uses, "errors": row.errors, "took_ms": row.took_ms,
               "output_bytes": row.output_bytes})
    };
    let saved = savings(&found.by_model, found.deaths, spent, &web.app.settings);
    let (savings, brakes) = savings::json(&saved, &brakes(&web).await?);
    Ok(Json(json!({
        "since_ms": since_ms,
        "prices_as_of": web.app.settings.prices.as_of,
        "prices_in_doubt": doubts(&web),
        "totals": {"runs": totals.runs, "resolved": totals.resolved, "calls": totals.calls, "tokens": totals.usage,
                   "unpriced_calls": totals.unpriced_calls, "cost_micros": spent},
        "deaths": {"count": found.deaths.count, "tokens": found.deaths.tokens, "cost_micros": found.deaths.cost_micros},
        "lost": {"calls": found.lost.calls, "unknown": found.lost.unknown, "tokens": found.lost.tokens,
                 "cost_micros": found.lost.cost_micros},
        "otherwise": savings,
        "brakes": brakes,
        "prefixes": web.app.health.prefixes().iter().map(prefix).collect::<Vec<_>>(),
        "by_day": found.by_day.iter().map(model).collect::<Vec<_>>(),
        "by_model": found.by_model.iter().map(model).collect::<Vec<_>>(),
        "by_category": found.categories.iter().map(kind).collect::<Vec<_>>(),
        "by_outcome": found.ended.iter().map(kind).collect::<Vec<_>>(),
        "by_tool": found.tools.iter().map(tool).collect::<Vec<_>>(),
    })))
}

impl Wanted {
    /// So many days back, today included, and the period's name.
    fn period(&self) -> (i32, &'static str) {
        match self.days.as_str() {
            "1" => (1, "Today"),
            "7" => (7, "7 days"),
            "90" => (90, "90 days"),
            _ => (30, "30 days"),
        }
    }
}

/// The sums of a period, for page and machine alike.
struct Gathered {
    totals: CostTotals,
    by_day: Vec<ModelCosts>,
    by_model: Vec<ModelCosts>,
    tools: Vec<ToolUse>,
    categories: Vec<KindCosts>,
    ended: Vec<KindCosts>,
    deaths: Deaths,
    lost: LostCalls,
}

async fn gather(web: &Web, since_ms: i64) -> Result<Gathered, crate::journal::Error> {
    let views = &web.app.views;
    let (totals, by_day, by_model, tools, categories, ended, deaths, lost) = tokio::try_join!(
        views.cost_totals(since_ms),
        views.costs_by_day(since_ms, web.times().utc_offset_s()),
        views.costs_by_model(since_ms),
        views.tool_use(since_ms),
        views.costs_by_kind(since_ms, Kind::Category),
        views.costs_by_kind(since_ms, Kind::Outcome),
        views.deaths(since_ms),
        views.lost_calls(since_ms),
    )?;
    Ok(Gathered { totals, by_day, by_model, tools, categories, ended, deaths, lost })
}

/// Models whose prices cannot be right.
/// What went for answers that were lost; `None`: nothing.
fn lost_words(lost: LostCalls) -> Option<String> {
    (lost.calls > 0).then(|| {
        let unknown = match lost.unknown {
            0 => String::new(),
            n => format!("; of {n} nothing is known"),
        };
        format!(
            "{} of {} tokens, {}{unknown}",
            format::count(lost.calls, "call", "calls"),
            group(lost.tokens),
            format::dollars(lost.cost_micros)
        )
    })
}

fn doubts(web: &Web) -> Vec<String> {
    let found = web.app.settings.prices.doubts();
    found.into_iter().map(|(model, why)| format!("the prices of {model} cannot be right: {why}")).collect()
}

fn prefix_row(line: &PrefixLine) -> PrefixRow {
    let unknown = || "not known".to_owned();
    let rate = |rate: f64| format!("{rate:.2} an hour");
    PrefixRow {
        name: format!("{}, {}", format::model(&line.model), line.used_for),
        tokens: line.tokens.map_or_else(unknown, group),
        floor: line.floor.map_or_else(unknown, group),
        ttl: if line.is_fixed { format!("{}, as set", line.ttl) } else { line.ttl.to_owned() },
        rate: line.per_hour.map_or_else(unknown, rate),
        even: line.break_even.map_or_else(unknown, rate),
    }
}

fn kind_of_run(row: &KindCosts, unknown: &str) -> KindOfRun {
    let priced = row.unpriced_calls == 0;
    KindOfRun {
        name: row.kind.as_deref().map_or_else(|| unknown.to_owned(), format::sentence),
        runs: group(row.runs),
        resolved: group(row.resolved),
        cost: if priced { format::dollars(row.cost_micros) } else { "not known".to_owned() },
        each: match format::average_cents(row.cost_micros, row.runs).filter(|_| priced) {
            Some(cents) => format!("{cents} ¢"),
            None => "–".to_owned(),
        },
    }
}

/// `0.5`, `2`: as few decimals as it takes.
fn trim(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn kinds(usage: &Usage) -> Vec<KindLine> {
    let prompt = usage.prompt();
    let line = |name, n: u64, whole: u64| KindLine {
        name,
        tokens: group(n),
        share: format::percent(n, whole),
        width: format::share(n, whole),
    };
    vec![
        line("Read from cache", usage.cache_read, prompt),
        line("Written to cache, 5 minutes", usage.cache_write_5m, prompt),
        line("Written to cache, 1 hour", usage.cache_write_1h, prompt),
        line("New", usage.input, prompt),
    ]
}
