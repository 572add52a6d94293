//! What the journal's writes do, inside the writing thread. Each compares what the caller saw with what is there, then
//! stores; nothing here decides anything about a run.

use rusqlite::{Connection, OptionalExtension, params};

use super::conditions;
use super::fault::Fault;
use super::job::Kind;
use super::rows::{insert_call, insert_run, insert_tool, move_refund, put_approval, settle_claimable, update_run};
use crate::clock::CLOCKS_DIFFER_S;
use crate::ids::{RunId, TicketId};
use crate::journal::{Admitted, Arrival, Conditions, Cursor, Error, Lease, Switch};
use crate::run::entry::{Body, Entry};
use crate::run::refunds::{self, RefundMove};
use crate::run::row::{Projection, RunRow, RunStatus};

/// An entry, ready to be stored.
struct Line {
    at_ms: i64,
    kind: &'static str,
    body: String,
}

/// Entries with the rows beside them, ready to be stored: made by the caller, so that the writing thread only writes.
pub(super) struct Batch {
    lines: Vec<Line>,
    refunds: Vec<RefundMove>,
    projection: Box<Projection>,
    /// It takes the run further than the claim before could.
    is_progress: bool,
}

impl Batch {
    pub(super) fn new(entries: &[Entry], projection: Box<Projection>) -> Self {
        let RunRow { run, status, wake_ms, .. } = &projection.row;
        // Held in release builds too: what breaks it must cost this run its turn, not be found weeks later.
        assert!(
            wake_ms.is_some() || matches!(status, RunStatus::Closed | RunStatus::WaitingApproval),
            "`{run}` is `{}`, and no time or person would move it",
            status.as_str()
        );
        Self {
            lines: entries.iter().map(line).collect(),
            refunds: refunds::moves(entries),
            projection,
            is_progress: is_progress(entries),
        }
    }

    /// Whether something is begun with it whose end must be written later.
    pub(super) fn kind(&self) -> Kind {
        let starts = self.lines.iter().any(|line| line.kind == "step_started");
        if starts { Kind::Starts } else { Kind::GoesOn }
    }
}

/// Whether one of these takes a run further. That a step is tried again does not: a step that ends its worker each time would
/// never be seen.
pub(super) fn is_progress(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| !matches!(entry.body, Body::StepRetried { .. }))
}

fn line(entry: &Entry) -> Line {
    let (kind, body) = (entry.body.kind(), serde_json::to_string(&entry.body));
    let body = body.expect("an entry is plain data with text for keys");
    debug_assert!(body.starts_with(&format!("{{\"entry\":\"{kind}\"")), "`{kind}` is not the kind of {body}");
    Line { at_ms: entry.at_ms, kind, body }
}

/// An [`Arrival`], ready to be stored.
pub(super) enum Prepared {
    Open(Batch),
    Join { run: RunId, expected_len: u64, batch: Batch },
    SetAside { ticket: TicketId, why: String, at_ms: i64 },
    BackIn { ticket: TicketId },
}

impl Prepared {
    /// Whose run it is, or which ticket.
    pub(super) fn of(&self) -> String {
        match self {
            Prepared::Open(batch) => batch.projection.row.run.to_string(),
            Prepared::Join { run, .. } => run.to_string(),
            Prepared::SetAside { ticket, .. } | Prepared::BackIn { ticket } => format!("ticket {ticket}"),
        }
    }

    pub(super) fn new(arrival: Arrival) -> Self {
        match arrival {
            Arrival::Open { entries, projection } => {
                assert!(!entries.is_empty(), "a run is opened with its first entry");
                Prepared::Open(Batch::new(&entries, projection))
            }
            Arrival::Join { run, expected_len, entries, projection } => {
                Prepared::Join { run, expected_len, batch: Batch::new(&entries, projection) }
            }
            Arrival::SetAside { ticket, why, at_ms } => Prepared::SetAside { ticket, why, at_ms },
            Arrival::BackIn { ticket } => Prepared::BackIn { ticket },
        }
    }
}

/// What the comparisons look at.
struct Head {
    no: i64,
    len: u64,
    token: u64,
}

fn head(connection: &Connection, run: &RunId) -> Result<Head, Fault> {
    let found = connection
        .prepare_cached("SELECT no, len, lease_token FROM runs WHERE run = ?1")?
        .query_row([run.as_str()], |row| Ok(Head { no: row.get(0)?, len: row.get(1)?, token: row.get(2)? }))
        .optional()?;
    found.ok_or_else(|| Error::NoSuchRun(run.clone()).into())
}

/// Opens and joins runs and moves a cursor.
pub(super) fn admit(
    connection: &Connection,
    arrivals: &[Prepared],
    cursor: Option<&Cursor>,
) -> Result<Vec<Admitted>, Fault> {
    let mut admitted = Vec::with_capacity(arrivals.len());
    for arrival in arrivals {
        admitted.push(match arrival {
            Prepared::Open(batch) => open(connection, batch)?,
            Prepared::Join { run, expected_len, batch } => {
                interject(connection, run, *expected_len, batch)?;
                Admitted::Joined
            }
            Prepared::SetAside { ticket, why, at_ms } => {
                set_aside(connection, *ticket, why, *at_ms)?;
                Admitted::Noted
            }
            Prepared::BackIn { ticket } => {
                connection.prepare_cached("DELETE FROM aside WHERE ticket = ?1")?.execute([ticket.0])?;
                Admitted::Noted
            }
        });
    }
    if let Some(cursor) = cursor {
        connection
            .prepare_cached(
                "INSERT INTO cursors (lane, position) VALUES (?1, ?2)
                 ON CONFLICT (lane) DO UPDATE SET position = excluded.position WHERE position <> excluded.position",
            )?
            .execute([&cursor.lane, &cursor.position])?;
    }
    Ok(admitted)
}

/// Takes down a ticket that intake could not take in. One that is there keeps the time since when.
fn set_aside(connection: &Connection, ticket: TicketId, why: &str, at_ms: i64) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO aside (ticket, why, since_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT (ticket) DO UPDATE SET why = excluded.why WHERE why <> excluded.why",
        )?
        .execute(params![ticket.0, why, at_ms])?;
    Ok(())
}

fn open(connection: &Connection, batch: &Batch) -> Result<Admitted, Fault> {
    let row = &batch.projection.row;
    let known = connection.prepare_cached("SELECT 1 FROM runs WHERE run = ?1")?.exists([row.run.as_str()])?;
    if known {
        return Ok(Admitted::Known);
    }
    if row.status != RunStatus::Closed {
        let other: Option<(String, u64)> = connection
            .prepare_cached("SELECT run, len FROM runs WHERE ticket = ?1 AND status <> 'closed'")?
            .query_row([row.ticket.0], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((other, found)) = other {
            let run = other.parse().map_err(|error| Error::Corrupt(format!("{error}")))?;
            return Err(Error::Moved { run, expected: 0, found }.into());
        }
    }
    let no = insert_run(connection, row, batch.lines.len() as u64)?;
    write_beside(connection, no, 0, batch)?;
    Ok(Admitted::Opened)
}

/// Claims the run that has been claimable longest: its lease, how often it was claimed without progress, and since when the
/// journal may have forgotten what it did. The customer's time is the helpdesk's, the restore's is ours.
pub(super) fn claim(
    connection: &Connection,
    owner: &str,
    now_ms: i64,
    until_ms: i64,
) -> Result<Option<(Lease, u32, Option<i64>)>, Fault> {
    let found: Option<i64> = connection.prepare_cached(CLAIM_SQL)?.query_row([now_ms], |row| row.get(0)).optional()?;
    let Some(no) = found else { return Ok(None) };
    note_deaths(connection, "no = ?1 AND lease_owner IS NOT NULL", [no])?;
    let claimed = connection
        .prepare_cached(
            "UPDATE runs SET lease_owner = ?2, lease_until_ms = ?3, lease_token = lease_token + 1,
                 claims_without_progress = claims_without_progress + 1
             WHERE no = ?1 RETURNING run, lease_token, claims_without_progress,
                 (SELECT min(known_ms) FROM restores WHERE at_ms + ?4 >= asked_ms)",
        )?
        .query_row(params![no, owner, until_ms, CLOCKS_DIFFER_S * 1_000], |row| {
            Ok((Lease { run: super::rows::parsed(row, 0)?, token: row.get(1)?, until_ms }, row.get(2)?, row.get(3)?))
        })?;
    settle_claimable(connection, no)?;
    Ok(Some(claimed))
}

/// Finds the run to claim; with `runs_claimable`, whatever number waits.
pub(super) const CLAIM_SQL: &str =
    "SELECT no FROM runs WHERE claimable_ms IS NOT NULL AND claimable_ms <= ?1 ORDER BY claimable_ms, no LIMIT 1";

/// Takes down what these runs had cost when whoever held them died, about when their lease ran out.
fn note_deaths(connection: &Connection, which: &str, values: impl rusqlite::Params) -> Result<(), rusqlite::Error> {
    let sql = format!(
        "INSERT INTO deaths (run, at_ms, tokens, cost_micros)
         SELECT no, lease_until_ms, input + cache_write_5m + cache_write_1h + cache_read + output, cost_micros
         FROM runs WHERE {which}"
    );
    connection.prepare_cached(&sql)?.execute(values)?;
    Ok(())
}

/// Makes a lease hold longer.
pub(super) fn renew(connection: &Connection, lease: &Lease, until_ms: i64) -> Result<Lease, Fault> {
    let head = head(connection, &lease.run)?;
    let held = connection
        .prepare_cached(
            "UPDATE runs SET lease_until_ms = ?3 WHERE no = ?1 AND lease_token = ?2 AND lease_owner IS NOT NULL",
        )?
        .execute(params![head.no, lease.token, until_ms])?;
    if held == 0 {
        return Err(Error::StaleLease { run: lease.run.clone(), token: lease.token }.into());
    }
    settle_claimable(connection, head.no)?;
    Ok(Lease { until_ms, ..lease.clone() })
}

/// Gives a lease back, unless it is stale. A worker that lives to do so was not killed by the run.
pub(super) fn release(connection: &Connection, lease: &Lease) -> Result<(), Fault> {
    let head = head(connection, &lease.run)?;
    let held = connection
        .prepare_cached(
            "UPDATE runs SET lease_owner = NULL, lease_until_ms = NULL, claims_without_progress = 0
             WHERE no = ?1 AND lease_token = ?2 AND lease_owner IS NOT NULL",
        )?
        .execute(params![head.no, lease.token])?;
    if held > 0 {
        settle_claimable(connection, head.no)?;
    }
    Ok(())
}

/// Gives a lease back unused: the claim is not counted, and the run rests until then.
pub(super) fn put_back(connection: &Connection, lease: &Lease, wake_ms: i64) -> Result<(), Fault> {
    let head = head(connection, &lease.run)?;
    let held = connection
        .prepare_cached(
            "UPDATE runs SET lease_owner = NULL, lease_until_ms = NULL, wake_ms = max(wake_ms, ?3),
                 claims_without_progress = max(claims_without_progress - 1, 0)
             WHERE no = ?1 AND lease_token = ?2",
        )?
        .execute(params![head.no, lease.token, wake_ms])?;
    if held > 0 {
        settle_claimable(connection, head.no)?;
    }
    Ok(())
}

/// Makes runs claimable whose newest entry was written after now, and so by a clock that was set back since: their times would
/// otherwise come that much too late. Says how many.
pub(super) fn wake_the_future(connection: &Connection, now_ms: i64) -> Result<usize, Fault> {
    // runs_status, then the entries of these runs by their key.
    Ok(connection
        .prepare_cached(
            "UPDATE runs SET wake_ms = ?1, claimable_ms = ?1
             WHERE status <> 'closed' AND status IN ('open', 'waiting_vendor') AND lease_owner IS NULL AND wake_ms > ?1
                 AND (SELECT at_ms FROM entries WHERE run = runs.no ORDER BY seq DESC LIMIT 1) > ?1",
        )?
        .execute([now_ms])?)
}

/// Ends every lease: whoever held one is gone, because the folder is ours alone. The tokens stay, so that a stale holder is
/// refused all the same.
pub(super) fn end_leases(connection: &Connection) -> Result<(), rusqlite::Error> {
    note_deaths(connection, "lease_owner IS NOT NULL", [])?;
    connection.execute(
        "UPDATE runs SET lease_owner = NULL, lease_until_ms = NULL, claimable_ms = wake_ms WHERE lease_owner IS NOT NULL",
        [],
    )?;
    Ok(())
}

/// Appends under a lease. One that ran out is good until somebody else claims the run. What the caller saw is compared before
/// the conditions: lines that rest on an older run are never kept because of a brake.
pub(super) fn append(
    connection: &Connection,
    lease: &Lease,
    expected_len: u64,
    batch: &Batch,
    conditions: &Conditions,
) -> Result<(), Fault> {
    let head = head(connection, &lease.run)?;
    if head.token != lease.token {
        return Err(Error::StaleLease { run: lease.run.clone(), token: lease.token }.into());
    }
    if head.len == expected_len {
        conditions::hold(connection, &lease.run, conditions)?;
    }
    extend(connection, &lease.run, &head, expected_len, batch)?;
    if batch.projection.row.wake_ms.is_none() {
        // Nobody can claim it any more. The lease goes with these lines, so that giving it back is no commit of its own.
        connection
            .prepare_cached(
                "UPDATE runs SET lease_owner = NULL, lease_until_ms = NULL, claims_without_progress = 0 WHERE no = ?1",
            )?
            .execute([head.no])?;
    } else if batch.is_progress {
        // This claim counts as the first: should it end now, with a step open, that step has ended one worker.
        connection
            .prepare_cached(
                "UPDATE runs SET claims_without_progress = 1 WHERE no = ?1 AND claims_without_progress > 1",
            )?
            .execute([head.no])?;
    }
    Ok(())
}

/// Ends a run by its row alone. The lease goes with it.
pub(super) fn park(connection: &Connection, lease: &Lease, reason: &str, now_ms: i64) -> Result<(), Fault> {
    let parked = connection
        .prepare_cached(
            "UPDATE runs SET status = 'closed', outcome = 'failed', reason = ?3, closed_ms = ?4, wake_ms = NULL,
                 claimable_ms = NULL, lease_owner = NULL, lease_until_ms = NULL, claims_without_progress = 0,
                 unreadable_ms = ?4
             WHERE run = ?1 AND lease_token = ?2 RETURNING no, ticket",
        )?
        .query_row(params![lease.run.as_str(), lease.token, reason, now_ms], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((no, ticket)) = parked else {
        return Err(Error::StaleLease { run: lease.run.clone(), token: lease.token }.into());
    };
    let no: i64 = no;
    for sql in [
        "UPDATE approvals SET state = 'withdrawn' WHERE run = ?1 AND state IN ('waiting', 'held', 'executing')",
        "UPDATE refunds SET state = CASE state WHEN 'in_flight' THEN 'unknown' ELSE 'released' END
         WHERE run = ?1 AND state IN ('in_flight', 'awaiting')",
    ] {
        connection.prepare_cached(sql)?.execute([no])?;
    }
    set_aside(connection, TicketId(ticket), "its run was parked because its entries cannot be read", now_ms)
}

/// Appends without a lease.
pub(super) fn interject(connection: &Connection, run: &RunId, expected_len: u64, batch: &Batch) -> Result<(), Fault> {
    let head = head(connection, run)?;
    extend(connection, run, &head, expected_len, batch)
}

fn extend(connection: &Connection, run: &RunId, head: &Head, expected: u64, batch: &Batch) -> Result<(), Fault> {
    assert_eq!(run, &batch.projection.row.run, "the rows are those of the run");
    if head.len != expected {
        return Err(Error::Moved { run: run.clone(), expected, found: head.len }.into());
    }
    update_run(connection, head.no, &batch.projection.row, expected + batch.lines.len() as u64)?;
    write_beside(connection, head.no, expected, batch)
}

/// The sum over an entry: its run's number, its place, its time, its body.
pub(super) fn sum(run: i64, seq: u64, at_ms: i64, body: &str) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&run.to_le_bytes());
    sum.update(&seq.to_le_bytes());
    sum.update(&at_ms.to_le_bytes());
    sum.update(body.as_bytes());
    sum.finalize()
}

/// The entries and the rows that only ever come along with entries.
fn write_beside(connection: &Connection, no: i64, len: u64, batch: &Batch) -> Result<(), Fault> {
    let mut statement = connection
        .prepare_cached("INSERT INTO entries (run, seq, at_ms, kind, body, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for (line, seq) in batch.lines.iter().zip(len + 1..) {
        let sum = sum(no, seq, line.at_ms, &line.body);
        statement.execute(params![no, seq, line.at_ms, line.kind, line.body, sum])?;
    }
    for change in &batch.refunds {
        move_refund(connection, no, change)?;
    }
    for row in &batch.projection.approvals {
        put_approval(connection, no, row)?;
    }
    for row in &batch.projection.calls {
        insert_call(connection, no, row)?;
    }
    for row in &batch.projection.tools {
        insert_tool(connection, no, row)?;
    }
    Ok(())
}

/// Sets a switch, with its audit line.
pub(super) fn set_switch(connection: &Connection, name: &str, value: &str, by: &str, now_ms: i64) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "INSERT INTO switches (name, value, set_by, at_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, set_by = excluded.set_by, at_ms = excluded.at_ms",
        )?
        .execute(params![name, value, by, now_ms])?;
    super::accounts::audit(connection, by, "switch_set", name, value, now_ms)
}

/// Sets a switch that is off. One that is on stays and comes back; that somebody wanted it, and why, stands in the trail.
pub(super) fn switch_on(
    connection: &Connection,
    name: &str,
    value: &str,
    by: &str,
    now_ms: i64,
) -> Result<Option<Switch>, Fault> {
    let set = connection
        .prepare_cached(
            "INSERT INTO switches (name, value, set_by, at_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, set_by = excluded.set_by, at_ms = excluded.at_ms
             WHERE switches.value = ''",
        )?
        .execute(params![name, value, by, now_ms])?;
    if set > 0 {
        super::accounts::audit(connection, by, "switch_set", name, value, now_ms)?;
        return Ok(None);
    }
    super::accounts::audit(connection, by, "switch_kept", name, value, now_ms)?;
    Ok(conditions::switches(connection)?.into_iter().find(|switch| switch.name == name))
}
