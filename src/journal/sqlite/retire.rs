//! Retention: runs that ended long ago lose their entries, their approvals and their words, in small batches, so that nobody
//! waits for long. What stays is a row of figures: a run that was answered once is never opened again, and the sums of its
//! day do not change.

use rusqlite::{Connection, params};

use super::SqliteJournal;
use super::fault::Fault;
use crate::journal::Error;

/// Runs that leave in one commit. One has some fifty entries: a batch takes some tens of milliseconds.
const BATCH_RUNS: usize = 20;
/// Runs that are looked for at a time.
const FOUND_MAX: usize = 2_000;
/// Rows of model calls and tool uses that leave in one commit; their sums stay.
const BATCH_ROWS: usize = 2_000;
/// What stands in the place of the subject.
const GONE: &str = "(removed)";

/// What has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retired {
    /// Runs.
    pub runs: u64,
    /// Their entries.
    pub entries: u64,
}

/// Which runs may leave, given the time before which they ended. Never one that can still be claimed (it is open, or a mail of
/// it is due), that is held, that failed, or that has a step whose outcome is not known: a person may need to look. Never
/// the newest one: by its last entry one sees how far the journal was acknowledged.
const MAY_LEAVE: &str = "closed_ms < ?1 AND status = 'closed' AND wake_ms IS NULL AND lease_owner IS NULL
     AND outcome <> 'failed' AND retired_ms IS NULL
     AND no <> (SELECT run FROM entries ORDER BY id DESC LIMIT 1)
     AND NOT EXISTS (SELECT 1 FROM entries AS e WHERE e.run = runs.no AND e.kind = 'step_finished'
         AND json_extract(e.body, '$.result.failure.class') = 'unknown')";

impl SqliteJournal {
    /// Removes what ended before a time, as much as there is, a batch at a time; leaves one audit line when there was any.
    pub async fn retire(&self, before_ms: i64, now_ms: i64) -> Result<Retired, Error> {
        let mut all = Retired::default();
        loop {
            let found = self.read(move |connection| candidates(connection, before_ms)).await?;
            for batch in found.chunks(BATCH_RUNS) {
                let batch = batch.to_vec();
                let left = self.write(move |connection| retire_batch(connection, &batch, before_ms, now_ms)).await?;
                all.runs += left.runs;
                all.entries += left.entries;
            }
            if found.len() < FOUND_MAX {
                break;
            }
        }
        for table in ["calls", "tools"] {
            while self.write(move |connection| drop_rows(connection, table, before_ms)).await? == BATCH_ROWS {}
        }
        if all.runs > 0 {
            let before = jiff::Timestamp::from_millisecond(before_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
            let detail = format!("{} runs with {} entries that ended before {before:.0}", all.runs, all.entries);
            self.write(move |connection| {
                super::accounts::audit(connection, "retention", "runs_removed", "", &detail, now_ms)
            })
            .await?;
        }
        Ok(all)
    }
}

fn candidates(connection: &Connection, before_ms: i64) -> Result<Vec<i64>, Fault> {
    let sql = format!("SELECT no FROM runs WHERE {MAY_LEAVE} ORDER BY closed_ms LIMIT {FOUND_MAX}");
    Ok(connection.prepare_cached(&sql)?.query_map([before_ms], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

fn retire_batch(connection: &Connection, runs: &[i64], before_ms: i64, now_ms: i64) -> Result<Retired, Fault> {
    // What leaves is overwritten where it stands. A copy that SQLite left in the free space of a page, when it moved rows
    // between pages, may stay until that space is used again.
    connection.pragma_update(None, "secure_delete", true)?;
    let retired = runs.iter().try_fold(Retired::default(), |mut all, no| {
        if let Some(entries) = retire_run(connection, *no, before_ms, now_ms)? {
            all.runs += 1;
            all.entries += entries;
        }
        Ok(all)
    });
    connection.pragma_update(None, "secure_delete", false)?;
    retired
}

/// `None` when it may not leave any more.
fn retire_run(connection: &Connection, no: i64, before_ms: i64, now_ms: i64) -> Result<Option<u64>, Fault> {
    let sql = format!(
        "UPDATE runs SET retired_ms = ?3, subject = '{GONE}', requester = '', reason = NULL, attention = NULL
         WHERE {MAY_LEAVE} AND no = ?2"
    );
    if connection.prepare_cached(&sql)?.execute(params![before_ms, no, now_ms])? == 0 {
        return Ok(None);
    }
    connection.prepare_cached("DELETE FROM approvals WHERE run = ?1")?.execute([no])?;
    Ok(Some(connection.prepare_cached("DELETE FROM entries WHERE run = ?1")?.execute([no])? as u64))
}

/// Removes the oldest rows of a table that is written in the order of time.
fn drop_rows(connection: &Connection, table: &str, before_ms: i64) -> Result<usize, Fault> {
    let oldest: Vec<(i64, i64)> = connection
        .prepare_cached(&format!("SELECT id, at_ms FROM {table} ORDER BY id LIMIT {BATCH_ROWS}"))?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let Some((last, _)) = oldest.iter().take_while(|(_, at_ms)| *at_ms < before_ms).last() else { return Ok(0) };
    Ok(connection.prepare_cached(&format!("DELETE FROM {table} WHERE id <= ?1"))?.execute([last])?)
}
