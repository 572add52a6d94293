//! Columns ↔ rows: how the words of `run/row.rs` are stored and read back.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, named_params, params};
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};

use super::fault::Fault;
use crate::ids::{StepNo, TicketId};
use crate::money::Money;
use crate::run::cost::Usage;
use crate::run::refunds::RefundMove;
use crate::run::row::{ApprovalRow, ApprovalState, CallRow, RunRow, RunStatus, ToolRow};

/// What [`run_row`] reads, of `runs`.
pub(super) const RUN_COLUMNS: &str = "run, ticket, subject, requester, status, outcome, rule, reason, category, language, \
     model, asked_ms, opened_ms, first_answer_ms, closed_ms, wake_ms, steps, input, cache_write_5m, cache_write_1h, \
     cache_read, output, cost_micros, unpriced_calls, attention";

/// What [`approval_row`] reads, of `approvals AS a JOIN runs AS r ON r.no = a.run`.
pub(super) const APPROVAL_COLUMNS: &str = "a.approval, r.run, a.step, a.state, a.rule, a.why, a.intent, a.amount_minor, \
     a.currency, a.customer, a.subject, a.requested_ms, a.due_ms, a.decision, a.decided_by, a.decided_ms, a.hold_until_ms";

/// Why a column does not read, in rusqlite's words; `storage` turns it into `Corrupt`.
fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// A column that holds an id or a currency.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> Result<T, rusqlite::Error>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get_ref(column)?.as_str()?.parse().map_err(|error| unreadable(column, error))
}

/// A text that is a word of a closed set, in serde's spelling.
fn word<T: DeserializeOwned>(text: &str, column: usize) -> Result<T, rusqlite::Error> {
    let deserializer: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    T::deserialize(deserializer).map_err(|error| unreadable(column, error))
}

/// A column that holds such a word.
fn worded<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, rusqlite::Error> {
    word(row.get_ref(column)?.as_str()?, column)
}

/// The five token counts from this column on.
pub(super) fn usage(row: &Row<'_>, first: usize) -> Result<Usage, rusqlite::Error> {
    Ok(Usage {
        input: row.get(first)?,
        cache_write_5m: row.get(first + 1)?,
        cache_write_1h: row.get(first + 2)?,
        cache_read: row.get(first + 3)?,
        output: row.get(first + 4)?,
    })
}

/// Reads [`RUN_COLUMNS`].
pub(super) fn run_row(row: &Row<'_>) -> Result<RunRow, rusqlite::Error> {
    Ok(RunRow {
        run: parsed(row, 0)?,
        ticket: TicketId(row.get(1)?),
        subject: row.get(2)?,
        requester: row.get(3)?,
        status: worded::<RunStatus>(row, 4)?,
        outcome: row.get(5)?,
        rule: row.get_ref(6)?.as_str_or_null()?.map(|text| word(text, 6)).transpose()?,
        reason: row.get(7)?,
        category: row.get(8)?,
        language: row.get(9)?,
        model: row.get(10)?,
        asked_ms: row.get(11)?,
        opened_ms: row.get(12)?,
        first_answer_ms: row.get(13)?,
        closed_ms: row.get(14)?,
        wake_ms: row.get(15)?,
        steps: row.get(16)?,
        usage: usage(row, 17)?,
        cost_micros: row.get(22)?,
        unpriced_calls: row.get(23)?,
        attention: row.get(24)?,
    })
}

/// Reads [`APPROVAL_COLUMNS`].
pub(super) fn approval_row(row: &Row<'_>) -> Result<ApprovalRow, rusqlite::Error> {
    let amount = match row.get::<_, Option<i64>>(7)? {
        Some(minor) => Some(Money::new(minor, parsed(row, 8)?)),
        None => None,
    };
    Ok(ApprovalRow {
        approval: parsed(row, 0)?,
        run: parsed(row, 1)?,
        step: StepNo(row.get(2)?),
        state: worded::<ApprovalState>(row, 3)?,
        rule: worded(row, 4)?,
        why: row.get(5)?,
        intent: serde_json::from_str(row.get_ref(6)?.as_str()?).map_err(|error| unreadable(6, error))?,
        amount,
        customer: row.get(9)?,
        subject: row.get(10)?,
        requested_ms: row.get(11)?,
        due_ms: row.get(12)?,
        decision: row.get(13)?,
        decided_by: row.get(14)?,
        decided_ms: row.get(15)?,
        hold_until_ms: row.get(16)?,
    })
}

/// Writes the row of a run that is not there yet and says its number.
pub(super) fn insert_run(connection: &Connection, row: &RunRow, len: u64) -> Result<i64, Fault> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO runs (run, ticket, subject, requester, status, outcome, rule, reason, category, language, model,
             asked_ms, opened_ms, first_answer_ms, closed_ms, wake_ms, claimable_ms, steps, input, cache_write_5m,
             cache_write_1h, cache_read, output, cost_micros, unpriced_calls, attention, len)
         VALUES (:run, :ticket, :subject, :requester, :status, :outcome, :rule, :reason, :category, :language, :model,
             :asked_ms, :opened_ms, :first_answer_ms, :closed_ms, :wake_ms, :wake_ms, :steps, :input, :cache_write_5m,
             :cache_write_1h, :cache_read, :output, :cost_micros, :unpriced_calls, :attention, :len)",
    )?;
    statement.execute(named_params! {
        ":run": row.run.as_str(),
        ":ticket": row.ticket.0,
        ":subject": row.subject,
        ":requester": row.requester,
        ":status": row.status.as_str(),
        ":outcome": row.outcome,
        ":rule": row.rule.map(|rule| rule.as_str()),
        ":reason": row.reason,
        ":category": row.category,
        ":language": row.language,
        ":model": row.model,
        ":asked_ms": row.asked_ms,
        ":opened_ms": row.opened_ms,
        ":first_answer_ms": row.first_answer_ms,
        ":closed_ms": row.closed_ms,
        ":wake_ms": row.wake_ms,
        ":steps": row.steps,
        ":input": row.usage.input,
        ":cache_write_5m": row.usage.cache_write_5m,
        ":cache_write_1h": row.usage.cache_write_1h,
        ":cache_read": row.usage.cache_read,
        ":output": row.usage.output,
        ":cost_micros": row.cost_micros,
        ":unpriced_calls": row.unpriced_calls,
        ":attention": row.attention,
        ":len": len,
    })?;
    Ok(connection.last_insert_rowid())
}

/// Brings the row of a run up to date.
///
/// In parts: SQLite writes every index whose columns an `UPDATE` names, changed or not, and a page written is a page more
/// in the commit. What changes with every append has no index; the rest is named only when it differs.
pub(super) fn update_run(connection: &Connection, no: i64, row: &RunRow, len: u64) -> Result<(), Fault> {
    let mut always = connection.prepare_cached(
        "UPDATE runs SET rule = :rule, reason = :reason, language = :language, model = :model,
             asked_ms = :asked_ms, first_answer_ms = :first_answer_ms, wake_ms = :wake_ms, steps = :steps, input = :input,
             cache_write_5m = :cache_write_5m, cache_write_1h = :cache_write_1h, cache_read = :cache_read,
             output = :output, cost_micros = :cost_micros, unpriced_calls = :unpriced_calls, len = :len
         WHERE no = :no",
    )?;
    always.execute(named_params! {
        ":no": no,
        ":rule": row.rule.map(|rule| rule.as_str()),
        ":reason": row.reason,
        ":language": row.language,
        ":model": row.model,
        ":asked_ms": row.asked_ms,
        ":first_answer_ms": row.first_answer_ms,
        ":wake_ms": row.wake_ms,
        ":steps": row.steps,
        ":input": row.usage.input,
        ":cache_write_5m": row.usage.cache_write_5m,
        ":cache_write_1h": row.usage.cache_write_1h,
        ":cache_read": row.usage.cache_read,
        ":output": row.usage.output,
        ":cost_micros": row.cost_micros,
        ":unpriced_calls": row.unpriced_calls,
        ":len": len,
    })?;
    connection
        .prepare_cached(
            "UPDATE runs SET status = ?2, outcome = ?3, closed_ms = ?4, attention = ?5
             WHERE no = ?1 AND (status <> ?2 OR outcome IS NOT ?3 OR closed_ms IS NOT ?4 OR attention IS NOT ?5)",
        )?
        .execute(params![no, row.status.as_str(), row.outcome, row.closed_ms, row.attention])?;
    connection
        .prepare_cached("UPDATE runs SET category = ?2 WHERE no = ?1 AND category IS NOT ?2")?
        .execute(params![no, row.category])?;
    connection
        .prepare_cached(
            "UPDATE runs SET subject = ?2, requester = ?3 WHERE no = ?1 AND (subject <> ?2 OR requester <> ?3)",
        )?
        .execute(params![no, row.subject, row.requester])?;
    settle_claimable(connection, no)
}

/// Brings `claimable_ms` in line with the wake time and the lease. To be called after either was changed.
pub(super) fn settle_claimable(connection: &Connection, no: i64) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "UPDATE runs SET claimable_ms = max(wake_ms, ifnull(lease_until_ms, wake_ms))
             WHERE no = ?1 AND claimable_ms IS NOT max(wake_ms, ifnull(lease_until_ms, wake_ms))",
        )?
        .execute([no])?;
    Ok(())
}

/// Writes an approval as it stands now.
pub(super) fn put_approval(connection: &Connection, no: i64, row: &ApprovalRow) -> Result<(), Fault> {
    let intent = serde_json::to_string(&row.intent).expect("an intent is plain data with text for keys");
    let mut statement = connection.prepare_cached(
        "INSERT INTO approvals (approval, run, step, state, rule, why, intent, amount_minor, currency, customer, subject,
             requested_ms, due_ms, decision, decided_by, decided_ms, hold_until_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
         ON CONFLICT (approval) DO UPDATE SET state = excluded.state, rule = excluded.rule, why = excluded.why,
             intent = excluded.intent, amount_minor = excluded.amount_minor, currency = excluded.currency,
             customer = excluded.customer, subject = excluded.subject, requested_ms = excluded.requested_ms,
             due_ms = excluded.due_ms, decision = excluded.decision, decided_by = excluded.decided_by,
             decided_ms = excluded.decided_ms, hold_until_ms = excluded.hold_until_ms",
    )?;
    statement.execute(params![
        row.approval.as_str(),
        no,
        row.step.0,
        row.state.as_str(),
        row.rule.as_str(),
        row.why,
        intent,
        row.amount.map(|amount| amount.minor),
        row.amount.as_ref().map(|amount| amount.currency.as_str()),
        row.customer,
        row.subject,
        row.requested_ms,
        row.due_ms,
        row.decision,
        row.decided_by,
        row.decided_ms,
        row.hold_until_ms,
    ])?;
    Ok(())
}

/// Writes a model call.
pub(super) fn insert_call(connection: &Connection, no: i64, row: &CallRow) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO calls (run, step, at_ms, kind, model, input, cache_write_5m, cache_write_1h, cache_read, output,
             cost_micros, first_byte_ms, took_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    statement.execute(params![
        no,
        row.step.0,
        row.at_ms,
        row.kind,
        row.model,
        row.usage.input,
        row.usage.cache_write_5m,
        row.usage.cache_write_1h,
        row.usage.cache_read,
        row.usage.output,
        row.cost_micros,
        row.first_byte_ms,
        row.took_ms,
    ])?;
    Ok(())
}

/// Writes a tool use.
pub(super) fn insert_tool(connection: &Connection, no: i64, row: &ToolRow) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO tools (run, step, at_ms, tool, is_error, took_ms, output_bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    statement.execute(params![no, row.step.0, row.at_ms, row.tool, row.is_error, row.took_ms, row.output_bytes])?;
    Ok(())
}

/// Brings what a refund takes of the day up to date.
pub(super) fn move_refund(connection: &Connection, no: i64, change: &RefundMove) -> Result<(), Fault> {
    match change {
        RefundMove::Take { step, approval, state, payment, amount, at_ms } => {
            connection
                .prepare_cached(
                    "INSERT INTO refunds (run, step, approval, state, payment, currency, minor, asked_minor, at_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)",
                )?
                .execute(params![
                    no,
                    step.0,
                    approval.as_ref().map(|id| id.as_str()),
                    state.as_str(),
                    payment.as_str(),
                    amount.currency.as_str(),
                    amount.minor,
                    at_ms
                ])?;
        }
        RefundMove::Settle { step, state, minor } => {
            connection
                .prepare_cached(
                    "UPDATE refunds SET state = ?3, minor = ifnull(?4, minor) WHERE run = ?1 AND step = ?2",
                )?
                .execute(params![no, step.0, state.as_str(), minor])?;
        }
        RefundMove::Decided { approval, state, minor } => {
            connection
                .prepare_cached(
                    "UPDATE refunds SET state = ?3, minor = ifnull(?4, asked_minor) WHERE run = ?1 AND approval = ?2",
                )?
                .execute(params![no, approval.as_str(), state.as_str(), minor])?;
        }
        RefundMove::Closed => {
            connection
                .prepare_cached("UPDATE refunds SET state = 'released' WHERE run = ?1 AND state = 'awaiting'")?
                .execute([no])?;
        }
    }
    Ok(())
}
