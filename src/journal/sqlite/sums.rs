//! Whether the entries of a file are what was written: each carries a sum, and the pages that hold it may read well while a
//! byte of it is another one.

use rusqlite::Connection;

use super::write;

/// The first entry that is not what was written, or that is missing, in words that name run and entry. Reads all entries.
/// Those that were written before there were sums pass.
pub(super) fn first_wrong(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    let has_sums = connection.prepare("SELECT 1 FROM pragma_table_info('entries') WHERE name = 'sum'")?.exists([])?;
    if !has_sums {
        return Ok(None);
    }
    let mut statement = connection.prepare("SELECT id, run, seq, at_ms, body, sum FROM entries ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (no, seq, at_ms): (i64, u64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let Some(sum) = row.get::<_, Option<u32>>(5)? else { continue };
        // A body that is no text any more has no sum of ours.
        if row.get_ref(4)?.as_str().map(|body| write::sum(no, seq, at_ms, body)) != Ok(sum) {
            return Ok(Some(format!("entry {seq} of `{}` is not what was written", name(connection, no)?)));
        }
    }
    let mut statement = connection.prepare(
        "SELECT r.run, r.len, count(e.id) FROM runs AS r LEFT JOIN entries AS e ON e.run = r.no
         WHERE r.retired_ms IS NULL GROUP BY r.no HAVING count(e.id) <> r.len LIMIT 1",
    )?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (run, len, found): (String, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    Ok(Some(format!("`{run}` has {found} entries and its row says {len}")))
}

fn name(connection: &Connection, no: i64) -> Result<String, rusqlite::Error> {
    connection.query_row("SELECT run FROM runs WHERE no = ?1", [no], |row| row.get(0))
}
