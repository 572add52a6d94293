//! The rows beside a run's entries (how it stands, its approvals, its refunds) against what the entries say: pages, limits and
//! claims go by the rows, so that one which was changed outside of deskhand must be found, and written anew.

use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::Value;

use super::fault::Fault;
use super::rows::{APPROVAL_COLUMNS, RUN_COLUMNS, approval_row, move_refund, put_approval, run_row, update_run};
use super::{entries_of, rows};
use crate::ids::RunId;
use crate::journal::Error;
use crate::run::draft::{approval_rows, row_of};
use crate::run::entry::Entry;
use crate::run::refunds::{self, RefundRow};
use crate::run::row::{ApprovalRow, RunRow};
use crate::run::state::RunState;

/// How many rows that were written anew are named.
const NAMED_MAX: usize = 20;

/// What a run's rows say and its entries do not, the first such thing, in words that name the row; `None`: they agree.
/// `row` is the run's own row as stored.
pub(super) fn first_difference(
    connection: &Connection,
    no: i64,
    row: &RunRow,
    entries: &[Entry],
    state: &RunState,
) -> Result<Option<String>, Fault> {
    let mut due = row_of(state);
    // A wake-up may be put off, and is brought forward after a clock was set back; only that there is one follows from entries.
    if due.wake_ms.is_some() && row.wake_ms.is_some() {
        due.wake_ms = row.wake_ms;
    }
    if let Some(what) = difference(row, &due) {
        return Ok(Some(format!("its row says something else than its entries: {what}")));
    }
    if let Some(what) = approvals(connection, no, &approval_rows(state))? {
        return Ok(Some(what));
    }
    of_refunds(connection, no, &refunds::rows(entries))
}

/// The first column in which two rows differ. Values are shown where they are numbers or amounts; texts may be a customer's.
fn difference(stored: &impl Serialize, due: &impl Serialize) -> Option<String> {
    let plain = |row: Result<Value, serde_json::Error>| row.expect("a row is plain data with text for keys");
    let (stored, due) = (plain(serde_json::to_value(stored)), plain(serde_json::to_value(due)));
    let (Value::Object(stored), Value::Object(due)) = (stored, due) else { return None };
    stored.iter().find(|(name, value)| due.get(*name) != Some(*value)).map(|(name, value)| {
        let (is, should) = (value, due.get(name).unwrap_or(&Value::Null));
        let may_be_shown = |value: &Value| !matches!(value, Value::String(_)) && value.to_string().len() <= 80;
        match may_be_shown(is) && may_be_shown(should) {
            true => format!("`{name}` is {is}, and {should} by the entries"),
            false => format!("`{name}` is not what the entries make it"),
        }
    })
}

fn approvals(connection: &Connection, no: i64, due: &[ApprovalRow]) -> Result<Option<String>, Fault> {
    let sql = format!(
        "SELECT {APPROVAL_COLUMNS} FROM approvals AS a JOIN runs AS r ON r.no = a.run WHERE a.run = ?1 ORDER BY a.approval"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut stored = statement.query([no])?;
    let mut seen = 0;
    while let Some(row) = stored.next()? {
        let name: String = row.get(0)?;
        let found = match approval_row(row) {
            Ok(found) => found,
            Err(error) => return Ok(Some(format!("the row of approval `{name}` cannot be read: {error}"))),
        };
        let Some(due) = due.iter().find(|due| due.approval == found.approval) else {
            return Ok(Some(format!("approval `{name}` stands in no entry")));
        };
        if let Some(what) = difference(&found, due) {
            return Ok(Some(format!("the row of approval `{name}`: {what}")));
        }
        seen += 1;
    }
    let missing = due.len().saturating_sub(seen);
    Ok((missing > 0).then(|| format!("{missing} of its approvals have no row")))
}

fn of_refunds(connection: &Connection, no: i64, due: &[RefundRow]) -> Result<Option<String>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT step, approval, payment, state, currency, minor, asked_minor, at_ms FROM refunds WHERE run = ?1 ORDER BY step",
    )?;
    let stored = statement.query_map([no], |row| {
        Ok(RefundRow {
            step: row.get(0)?,
            approval: row.get(1)?,
            payment: row.get(2)?,
            state: row.get(3)?,
            currency: row.get(4)?,
            minor: row.get(5)?,
            asked_minor: row.get(6)?,
            at_ms: row.get(7)?,
        })
    })?;
    let stored = stored.collect::<Result<Vec<_>, _>>()?;
    for found in &stored {
        let what = match due.iter().find(|due| due.step == found.step) {
            None => Some("it stands in no entry".to_owned()),
            Some(due) => difference(found, due),
        };
        if let Some(what) = what {
            return Ok(Some(format!("the row of the refund of step {}: {what}", found.step)));
        }
    }
    let missing = due.len().saturating_sub(stored.len());
    Ok((missing > 0).then(|| format!("{missing} of its refunds have no row")))
}

/// The runs whose rows say something else than their entries, each with what differs, in words; with `mend` their rows are
/// written anew. A run whose entries cannot be read is left as it is: nobody knows what its rows should say.
pub(super) fn look(connection: &Connection, mend: bool) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    for no in numbers(connection)? {
        let (run, len): (RunId, u64) = connection
            .prepare_cached("SELECT run, len FROM runs WHERE no = ?1")?
            .query_row([no], |row| Ok((rows::parsed(row, 0)?, row.get(1)?)))?;
        let entries = match entries_of(connection, &run) {
            Ok(entries) => entries,
            Err(Fault::Said(Error::Corrupt(_))) => continue,
            Err(other) => return Err(other),
        };
        let Ok(state) = RunState::fold(&entries) else { continue };
        let row = connection
            .prepare_cached(&format!("SELECT {RUN_COLUMNS} FROM runs WHERE no = ?1"))?
            .query_row([no], |row| Ok(run_row(row)))?;
        let what = match row {
            Ok(row) => first_difference(connection, no, &row, &entries, &state)?,
            Err(error) => Some(format!("its row cannot be read: {error}")),
        };
        let Some(what) = what else { continue };
        if found.len() < NAMED_MAX {
            found.push(format!("{run}: {what}"));
        }
        if mend {
            write_anew(connection, no, len, &entries, &state)?;
        }
    }
    Ok(found)
}

fn numbers(connection: &Connection) -> Result<Vec<i64>, Fault> {
    let mut statement =
        connection.prepare("SELECT no FROM runs WHERE retired_ms IS NULL AND unreadable_ms IS NULL ORDER BY no")?;
    let numbers = statement.query_map([], |row| row.get(0))?;
    Ok(numbers.collect::<Result<_, _>>()?)
}

fn write_anew(connection: &Connection, no: i64, len: u64, entries: &[Entry], state: &RunState) -> Result<(), Fault> {
    let row = row_of(state);
    update_run(connection, no, &row, len)?;
    connection.prepare_cached("UPDATE runs SET ticket = ?2, opened_ms = ?3 WHERE no = ?1")?.execute(params![
        no,
        row.ticket.0,
        row.opened_ms
    ])?;
    connection.prepare_cached("DELETE FROM approvals WHERE run = ?1")?.execute([no])?;
    for approval in approval_rows(state) {
        put_approval(connection, no, &approval)?;
    }
    connection.prepare_cached("DELETE FROM refunds WHERE run = ?1")?.execute([no])?;
    for change in refunds::moves(entries) {
        move_refund(connection, no, &change)?;
    }
    Ok(())
}
