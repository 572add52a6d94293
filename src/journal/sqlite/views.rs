//! What pages read, in SQLite. Each query names in a comment the index that keeps it short.

use async_trait::async_trait;
use jiff::civil::{Date, date};
use jiff::{Span, ToSpan};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::SqliteJournal;
use super::accounts::audit_line;
use super::fault::Fault;
use super::rows::{APPROVAL_COLUMNS, RUN_COLUMNS, approval_row, run_row, usage};
use crate::ids::{ApprovalId, RunId, TicketId};
use crate::journal::Error;
use crate::journal::accounts::AuditLine;
use crate::journal::views::{
    ApprovalFilter, CategoryRow, CostTotals, Counts, DayOutcomes, Deaths, FirstAnswer, Kind, KindCosts, LostCalls,
    ModelCosts, RunFilter, ToolUse, Views,
};
use crate::run::row::{ApprovalRow, RunRow, RunStatus};

const DAY_MS: i64 = 86_400_000;
/// Calls and tool uses are summed by quarter of an hour.
const QUARTER_MS: i64 = 900_000;
/// How many runs a search by words looks at, the newest first: enough for any list that a person pages through, and few
/// enough to stay quick when a word stands in every subject.
const WORD_HITS_MAX: i64 = 2_000;

/// A query over `runs` that grows condition by condition.
#[derive(Default)]
struct Query {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Query {
    /// Adds a condition; each `?` in it takes one of the values.
    fn and(&mut self, condition: impl Into<String>, values: impl IntoIterator<Item = Value>) {
        self.conditions.push(condition.into());
        self.values.extend(values);
    }
}

/// The runs that a text finds: words of subject and requester, a ticket's number, a run's id.
fn search(query: &mut Query, text: &str) {
    let text = text.trim();
    if text.parse::<RunId>().is_ok() {
        return query.and("run = ?", [Value::from(text.to_owned())]);
    }
    // Letters and digits alone, each word quoted: nothing of it is read as a query's syntax.
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| format!("\"{word}\"*"))
        .collect();
    if words.is_empty() {
        return;
    }
    let ticket = text.trim_start_matches('#').parse::<TicketId>().map_or(-1, |ticket| ticket.0);
    query.and(
        "no IN (SELECT no FROM runs WHERE ticket = ?
                UNION ALL SELECT * FROM (SELECT rowid FROM runs_words WHERE runs_words MATCH ?
                                         ORDER BY rowid DESC LIMIT ?))",
        [Value::from(ticket), Value::from(words.join(" ")), Value::from(WORD_HITS_MAX)],
    );
}

/// The list of runs as SQL with its values.
pub(super) fn runs_query(filter: &RunFilter, before: Option<&(i64, RunId)>, limit: u32) -> (String, Vec<Value>) {
    let mut query = Query::default();
    if let Some(status) = filter.status {
        query.and("status = ?", [Value::from(status.as_str().to_owned())]);
        if status != RunStatus::Closed {
            query.and("status <> 'closed'", []); // The condition of runs_status, word for word.
        }
    }
    if let Some(outcome) = &filter.outcome {
        query.and("outcome = ?", [Value::from(outcome.clone())]);
    }
    if let Some(category) = &filter.category {
        query.and("category = ?", [Value::from(category.clone())]);
    }
    if let Some(model) = &filter.model {
        query.and("model = ?", [Value::from(model.clone())]);
    }
    if let Some(ticket) = filter.ticket {
        query.and("ticket = ?", [Value::from(ticket.0)]);
    }
    if filter.attention {
        query.and("attention IS NOT NULL", []); // The condition of runs_attention, word for word.
    }
    if let Some(since_ms) = filter.since_ms {
        query.and("opened_ms >= ?", [Value::from(since_ms)]);
    }
    if let Some(text) = &filter.text {
        search(&mut query, text);
    }
    if let Some((opened_ms, run)) = before {
        query.and("(opened_ms, run) < (?, ?)", [Value::from(*opened_ms), Value::from(run.as_str().to_owned())]);
    }
    let conditions = match query.conditions.is_empty() {
        true => "1".to_owned(),
        false => query.conditions.join(" AND "),
    };
    query.values.push(Value::from(i64::from(limit)));
    // runs_opened; or runs_status, runs_attention, runs_outcome, runs_ticket when they are narrower.
    let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE {conditions} ORDER BY opened_ms DESC, run DESC LIMIT ?");
    (sql, query.values)
}

fn runs(
    connection: &Connection,
    filter: &RunFilter,
    before: Option<&(i64, RunId)>,
    limit: u32,
) -> Result<Vec<RunRow>, Fault> {
    let (sql, values) = runs_query(filter, before, limit);
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(values), run_row)?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn approvals(connection: &Connection, filter: ApprovalFilter, limit: u32) -> Result<Vec<ApprovalRow>, Fault> {
    // approvals_state for the inbox, approvals_requested for the lists.
    let rest = match filter {
        ApprovalFilter::Waiting => "WHERE a.state = 'waiting' ORDER BY a.due_ms, a.approval",
        ApprovalFilter::Decided => "WHERE +a.state <> 'waiting' ORDER BY a.requested_ms DESC, a.approval DESC",
        ApprovalFilter::All => "ORDER BY a.requested_ms DESC, a.approval DESC",
    };
    approvals_where(connection, &format!("{rest} LIMIT ?1"), params![limit])
}

fn approvals_where(
    connection: &Connection,
    rest: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<ApprovalRow>, Fault> {
    let sql = format!("SELECT {APPROVAL_COLUMNS} FROM approvals AS a JOIN runs AS r ON r.no = a.run {rest}");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(values, approval_row)?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn counts(connection: &Connection, today_ms: i64) -> Result<Counts, Fault> {
    // approvals_state, runs_status, runs_outcome, runs_closed: index ranges as long as the counts.
    let mut statement = connection.prepare_cached(
        "SELECT (SELECT count(*) FROM approvals WHERE state = 'waiting'),
                (SELECT count(*) FROM approvals WHERE state = 'held'),
                (SELECT count(*) FROM runs WHERE status <> 'closed'),
                (SELECT count(*) FROM runs WHERE status <> 'closed' AND status = 'waiting_vendor'),
                (SELECT count(*) FROM runs WHERE outcome = 'failed' AND closed_ms >= ?2),
                (SELECT count(*) FROM runs WHERE closed_ms >= ?1)",
    )?;
    Ok(statement.query_row([today_ms, today_ms - 6 * DAY_MS], |row| {
        Ok(Counts {
            waiting_approvals: row.get(0)?,
            held: row.get(1)?,
            open: row.get(2)?,
            waiting_vendor: row.get(3)?,
            failed: row.get(4)?,
            closed_today: row.get(5)?,
        })
    })?)
}

/// The day with this number since 1970-01-01.
fn day(number: i64) -> Date {
    let span = Span::new().try_days(number).unwrap_or_else(|_| 0.days());
    date(1970, 1, 1).checked_add(span).unwrap_or(Date::MAX)
}

fn outcomes_by_day(connection: &Connection, since_ms: i64, utc_offset_s: i32) -> Result<Vec<DayOutcomes>, Fault> {
    // runs_opened.
    let mut statement = connection.prepare_cached(
        "SELECT (opened_ms + ?2) / 86400000, count(*) FILTER (WHERE outcome = 'resolved'),
                count(*) FILTER (WHERE outcome = 'waiting_customer'), count(*) FILTER (WHERE outcome = 'escalated'),
                count(*) FILTER (WHERE outcome = 'skipped'), count(*) FILTER (WHERE outcome = 'taken_over'),
                count(*) FILTER (WHERE outcome = 'failed'), count(*) FILTER (WHERE outcome IS NULL)
         FROM runs WHERE opened_ms >= ?1 GROUP BY 1 ORDER BY 1",
    )?;
    let found = statement.query_map([since_ms, i64::from(utc_offset_s) * 1_000], |row| {
        Ok(DayOutcomes {
            day: day(row.get(0)?),
            resolved: row.get(1)?,
            waiting_customer: row.get(2)?,
            escalated: row.get(3)?,
            skipped: row.get(4)?,
            taken_over: row.get(5)?,
            failed: row.get(6)?,
            open: row.get(7)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn categories(connection: &Connection, since_ms: i64) -> Result<Vec<CategoryRow>, Fault> {
    // runs_opened.
    let mut statement = connection.prepare_cached(
        "SELECT category, count(*), count(*) FILTER (WHERE outcome = 'resolved'),
                count(*) FILTER (WHERE outcome = 'escalated'), sum(cost_micros)
         FROM runs WHERE opened_ms >= ?1 GROUP BY category ORDER BY count(*) DESC, category",
    )?;
    let found = statement.query_map([since_ms], |row| {
        Ok(CategoryRow {
            category: row.get(0)?,
            runs: row.get(1)?,
            resolved: row.get(2)?,
            escalated: row.get(3)?,
            cost_micros: row.get(4)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Calls, calls without a price, five token counts, cost: what [`ModelCosts`] and [`CostTotals`] sum up.
const CALL_SUMS: &str = "ifnull(sum(calls), 0), ifnull(sum(unpriced_calls), 0), ifnull(sum(input), 0), \
     ifnull(sum(cache_write_5m), 0), ifnull(sum(cache_write_1h), 0), ifnull(sum(cache_read), 0), ifnull(sum(output), 0), \
     ifnull(sum(cost_micros), 0)";

fn cost_totals(connection: &Connection, since_ms: i64) -> Result<CostTotals, Fault> {
    // runs_opened.
    let (runs, resolved) = connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE outcome IS NOT 'skipped'), count(*) FILTER (WHERE outcome = 'resolved')
             FROM runs WHERE opened_ms >= ?1",
        )?
        .query_row([since_ms], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // From here on, the primary keys of call_sums and tool_sums.
    let mut statement = connection.prepare_cached(&format!("SELECT {CALL_SUMS} FROM call_sums WHERE quarter >= ?1"))?;
    Ok(statement.query_row([since_ms.div_euclid(QUARTER_MS)], |row| {
        Ok(CostTotals {
            runs,
            resolved,
            calls: row.get(0)?,
            unpriced_calls: row.get(1)?,
            usage: usage(row, 2)?,
            cost_micros: row.get(7)?,
        })
    })?)
}

fn model_costs(row: &Row<'_>) -> Result<ModelCosts, rusqlite::Error> {
    Ok(ModelCosts {
        calls: row.get(0)?,
        unpriced_calls: row.get(1)?,
        usage: usage(row, 2)?,
        cost_micros: row.get(7)?,
        model: row.get(8)?,
        day: row.get::<_, Option<i64>>(9)?.map(day),
    })
}

fn costs_by_day(connection: &Connection, since_ms: i64, utc_offset_s: i32) -> Result<Vec<ModelCosts>, Fault> {
    let sql = format!(
        "SELECT {CALL_SUMS}, model, (quarter * 900000 + ?2) / 86400000 AS day FROM call_sums WHERE quarter >= ?1
         GROUP BY day, model ORDER BY day, model"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map([since_ms.div_euclid(QUARTER_MS), i64::from(utc_offset_s) * 1_000], model_costs)?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn costs_by_model(connection: &Connection, since_ms: i64) -> Result<Vec<ModelCosts>, Fault> {
    let sql = format!(
        "SELECT {CALL_SUMS}, model, NULL FROM call_sums WHERE quarter >= ?1
         GROUP BY model ORDER BY sum(cost_micros) DESC, model"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map([since_ms.div_euclid(QUARTER_MS)], model_costs)?.collect::<Result<_, _>>()?)
}

fn costs_by_kind(connection: &Connection, since_ms: i64, kind: Kind) -> Result<Vec<KindCosts>, Fault> {
    let column = match kind {
        Kind::Category => "category",
        Kind::Outcome => "outcome",
    };
    // runs_opened.
    let sql = format!(
        "SELECT {column}, count(*) FILTER (WHERE outcome IS NOT 'skipped'), count(*) FILTER (WHERE outcome = 'resolved'),
                sum(unpriced_calls), sum(input), sum(cache_write_5m), sum(cache_write_1h), sum(cache_read), sum(output),
                sum(cost_micros)
         FROM runs WHERE opened_ms >= ?1 GROUP BY 1 ORDER BY sum(cost_micros) DESC, 1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map([since_ms], |row| {
        Ok(KindCosts {
            kind: row.get(0)?,
            runs: row.get(1)?,
            resolved: row.get(2)?,
            unpriced_calls: row.get(3)?,
            usage: usage(row, 4)?,
            cost_micros: row.get(9)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn lost_calls(connection: &Connection, since_ms: i64) -> Result<LostCalls, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT ifnull(sum(calls), 0), ifnull(sum(unknown_calls), 0), ifnull(sum(tokens), 0), ifnull(sum(cost_micros), 0)
         FROM lost_sums WHERE quarter >= ?1",
    )?;
    Ok(statement.query_row([since_ms.div_euclid(QUARTER_MS)], |row| {
        Ok(LostCalls { calls: row.get(0)?, unknown: row.get(1)?, tokens: row.get(2)?, cost_micros: row.get(3)? })
    })?)
}

fn deaths(connection: &Connection, since_ms: i64) -> Result<Deaths, Fault> {
    // The few rows there are.
    let mut statement = connection.prepare_cached(
        "SELECT count(*), ifnull(sum(tokens), 0), ifnull(sum(cost_micros), 0) FROM deaths WHERE at_ms >= ?1",
    )?;
    Ok(statement.query_row([since_ms], |row| {
        Ok(Deaths { count: row.get(0)?, tokens: row.get(1)?, cost_micros: row.get(2)? })
    })?)
}

fn runs_by_model(connection: &Connection, since_ms: i64) -> Result<Vec<(String, u64)>, Fault> {
    // runs_opened.
    let mut statement = connection.prepare_cached(
        "SELECT model, count(*) FROM runs WHERE opened_ms >= ?1 AND model IS NOT NULL GROUP BY model ORDER BY model",
    )?;
    let found = statement.query_map([since_ms], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn tool_use(connection: &Connection, since_ms: i64) -> Result<Vec<ToolUse>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT tool, sum(uses), sum(errors), sum(output_bytes), sum(took_ms) / sum(uses)
         FROM tool_sums WHERE quarter >= ?1 GROUP BY tool ORDER BY sum(uses) DESC, tool",
    )?;
    let found = statement.query_map([since_ms.div_euclid(QUARTER_MS)], |row| {
        Ok(ToolUse {
            tool: row.get(0)?,
            uses: row.get(1)?,
            errors: row.get(2)?,
            output_bytes: row.get(3)?,
            took_ms: row.get(4)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn first_answer(connection: &Connection, since_ms: i64) -> Result<Option<FirstAnswer>, Fault> {
    // runs_opened.
    let mut statement = connection.prepare_cached(
        "SELECT max(first_answer_ms - asked_ms, 0) FROM runs WHERE opened_ms >= ?1 AND first_answer_ms IS NOT NULL",
    )?;
    let mut waits: Vec<u64> = statement.query_map([since_ms], |row| row.get(0))?.collect::<Result<_, _>>()?;
    waits.sort_unstable();
    // The smallest wait that at least this share did not exceed.
    let share = |hundredths: usize| waits[(waits.len() * hundredths).div_ceil(100) - 1];
    Ok(match waits.len() {
        0 => None,
        count => Some(FirstAnswer { count: count as u64, median_ms: share(50), p95_ms: share(95) }),
    })
}

#[async_trait]
impl Views for SqliteJournal {
    async fn runs(&self, filter: &RunFilter, before: Option<(i64, RunId)>, limit: u32) -> Result<Vec<RunRow>, Error> {
        let filter = filter.clone();
        self.read(move |connection| runs(connection, &filter, before.as_ref(), limit)).await
    }

    async fn run(&self, run: &RunId) -> Result<Option<RunRow>, Error> {
        let run = run.clone();
        self.read(move |connection| {
            let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE run = ?1");
            Ok(connection.prepare_cached(&sql)?.query_row([run.as_str()], run_row).optional()?)
        })
        .await
    }

    async fn retired_ms(&self, run: &RunId) -> Result<Option<i64>, Error> {
        let run = run.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT retired_ms FROM runs WHERE run = ?1")?;
            Ok(statement.query_row([run.as_str()], |row| row.get(0)).optional()?.flatten())
        })
        .await
    }

    async fn runs_of_ticket(&self, ticket: TicketId) -> Result<Vec<RunRow>, Error> {
        self.read(move |connection| {
            // runs_ticket.
            let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE ticket = ?1 ORDER BY opened_ms DESC, run DESC");
            Ok(connection.prepare_cached(&sql)?.query_map([ticket.0], run_row)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn approvals(&self, filter: ApprovalFilter, limit: u32) -> Result<Vec<ApprovalRow>, Error> {
        self.read(move |connection| approvals(connection, filter, limit)).await
    }

    async fn approval(&self, approval: &ApprovalId) -> Result<Option<ApprovalRow>, Error> {
        let approval = approval.clone();
        self.read(
            move |connection| Ok(approvals_where(connection, "WHERE a.approval = ?1", [approval.as_str()])?.pop()),
        )
        .await
    }

    async fn approvals_of_run(&self, run: &RunId) -> Result<Vec<ApprovalRow>, Error> {
        let run = run.clone();
        self.read(move |connection| {
            // approvals_run.
            approvals_where(connection, "WHERE r.run = ?1 ORDER BY a.step", [run.as_str()])
        })
        .await
    }

    async fn counts(&self, today_ms: i64) -> Result<Counts, Error> {
        self.read(move |connection| counts(connection, today_ms)).await
    }

    async fn outcomes_by_day(&self, since_ms: i64, utc_offset_s: i32) -> Result<Vec<DayOutcomes>, Error> {
        self.read(move |connection| outcomes_by_day(connection, since_ms, utc_offset_s)).await
    }

    async fn categories(&self, since_ms: i64) -> Result<Vec<CategoryRow>, Error> {
        self.read(move |connection| categories(connection, since_ms)).await
    }

    async fn cost_totals(&self, since_ms: i64) -> Result<CostTotals, Error> {
        self.read(move |connection| cost_totals(connection, since_ms)).await
    }

    async fn costs_by_day(&self, since_ms: i64, utc_offset_s: i32) -> Result<Vec<ModelCosts>, Error> {
        self.read(move |connection| costs_by_day(connection, since_ms, utc_offset_s)).await
    }

    async fn costs_by_model(&self, since_ms: i64) -> Result<Vec<ModelCosts>, Error> {
        self.read(move |connection| costs_by_model(connection, since_ms)).await
    }

    async fn costs_by_kind(&self, since_ms: i64, kind: Kind) -> Result<Vec<KindCosts>, Error> {
        self.read(move |connection| costs_by_kind(connection, since_ms, kind)).await
    }

    async fn deaths(&self, since_ms: i64) -> Result<Deaths, Error> {
        self.read(move |connection| deaths(connection, since_ms)).await
    }

    async fn lost_calls(&self, since_ms: i64) -> Result<LostCalls, Error> {
        self.read(move |connection| lost_calls(connection, since_ms)).await
    }

    async fn runs_by_model(&self, since_ms: i64) -> Result<Vec<(String, u64)>, Error> {
        self.read(move |connection| runs_by_model(connection, since_ms)).await
    }

    async fn tool_use(&self, since_ms: i64) -> Result<Vec<ToolUse>, Error> {
        self.read(move |connection| tool_use(connection, since_ms)).await
    }

    async fn costliest(&self, since_ms: i64, limit: u32) -> Result<Vec<RunRow>, Error> {
        self.read(move |connection| {
            // runs_opened.
            let sql = format!(
                "SELECT {RUN_COLUMNS} FROM runs WHERE opened_ms >= ?1 ORDER BY cost_micros DESC, run DESC LIMIT ?2"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            Ok(statement.query_map(params![since_ms, limit], run_row)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn first_answer(&self, since_ms: i64) -> Result<Option<FirstAnswer>, Error> {
        self.read(move |connection| first_answer(connection, since_ms)).await
    }

    async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditLine>, Error> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT line, at_ms, who, what, subject, detail, hash FROM audit WHERE line < ?1
                 ORDER BY line DESC LIMIT ?2",
            )?;
            let found = statement.query_map(params![before.unwrap_or(i64::MAX), limit], audit_line)?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }
}
