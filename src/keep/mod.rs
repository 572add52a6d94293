//! Keeping the data: `backup`, `restore` and `check`. They work on a data folder, with or without a process on it.

pub mod backup;
pub mod check;
pub mod restore;

use jiff::Timestamp;

/// The file in a demo's data folder that holds what happened in its simulated world. A journal beside one keeps that world's
/// time and not the machine's.
pub const WORLD_LEDGER: &str = "world.jsonl";

/// So many of something, in words.
fn count(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// The same of entries.
fn entries(n: u64) -> String {
    if n == 1 { "1 entry".to_owned() } else { format!("{n} entries") }
}

/// A time as part of a file's name.
fn stamp(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Milliseconds since the Unix epoch, in words.
fn when(ms: Option<i64>) -> String {
    match ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()) {
        Some(at) => format!("{at:.0}"),
        None => "never".to_owned(),
    }
}

/// A size in words.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes / MIB),
    }
}

#[cfg(test)]
mod tests;
