//! What an append may ask to hold in its own commit: switches that are off, no second refund, room in a day's sum. The one writing thread does
//! one job after the other, so that two appends which race for the last of a sum do not both find room.

use rusqlite::{Connection, OptionalExtension};

use super::fault::Fault;
use crate::ids::RunId;
use crate::journal::{Conditions, Error, OnlyRefund, Switch};
use crate::money::{Currency, Money};

/// Refuses when a condition does not hold.
pub(super) fn hold(connection: &Connection, run: &RunId, conditions: &Conditions) -> Result<(), Fault> {
    for name in conditions.switches_off {
        let on: Option<String> = connection
            .prepare_cached("SELECT value FROM switches WHERE name = ?1 AND value <> ''")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        if let Some(reason) = on {
            return Err(Error::SwitchedOn { switch: (*name).to_owned(), reason }.into());
        }
    }
    if let Some(refund) = &conditions.only_refund
        && let Some(twin) = twin(connection, run, refund)?
    {
        return Err(twin.into());
    }
    if let Some(day) = &conditions.refund_day {
        let (currency, asked_minor, limit_minor) = (day.amount.currency, day.amount.minor, day.limit_minor);
        let sum_minor = refunded(connection, currency, day.since_ms)?;
        if sum_minor.checked_add(asked_minor).is_none_or(|sum| sum > limit_minor) {
            return Err(Error::DayFull { currency, asked_minor, sum_minor, limit_minor }.into());
        }
    }
    Ok(())
}

/// Another refund that the asked one would repeat, or may. Those of the run itself that ended stand in its own entries.
fn twin(connection: &Connection, run: &RunId, asked: &OnlyRefund) -> Result<Option<Error>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT r.run, f.state, f.minor, f.currency FROM refunds AS f JOIN runs AS r ON r.no = f.run
         WHERE f.payment = ?1 AND f.state <> 'released'
             AND (f.state = 'unknown'
                 OR f.state IN ('in_flight', 'done') AND f.currency = ?2 AND f.minor = ?3 AND r.run <> ?4)
         ORDER BY f.state = 'unknown' DESC, f.at_ms DESC LIMIT 1",
    )?;
    let amount = asked.amount;
    let found = statement
        .query_row((asked.payment.as_str(), amount.currency.as_str(), amount.minor, run.as_str()), |row| {
            let amount = Money::new(row.get(2)?, super::rows::parsed(row, 3)?);
            Ok(Error::Twin { run: super::rows::parsed(row, 0)?, state: row.get(1)?, amount })
        })
        .optional()?;
    Ok(found)
}

/// What refunds in a currency take of the time since then, in minor units.
pub(super) fn refunded(connection: &Connection, currency: Currency, since_ms: i64) -> Result<i64, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT ifnull(sum(minor), 0) FROM refunds WHERE currency = ?1 AND at_ms >= ?2 AND state <> 'released'",
    )?;
    Ok(statement.query_row((currency.as_str(), since_ms), |row| row.get(0))?)
}

/// All switches that are on.
pub(super) fn switches(connection: &Connection) -> Result<Vec<Switch>, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT name, value, set_by, at_ms FROM switches WHERE value <> '' ORDER BY at_ms, name")?;
    let rows = statement.query_map([], |row| {
        Ok(Switch { name: row.get(0)?, value: row.get(1)?, by: row.get(2)?, at_ms: row.get(3)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
