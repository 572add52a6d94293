//! One ticket being handled, from intake to close: the journal's lines, their fold, and what happens now. Pure: no IO, no
//! clock, no async.

pub mod cost;
pub mod decide;
pub mod draft;
pub mod entry;
pub mod handover;
pub mod next;
pub mod recheck;
pub mod refunds;
pub mod retry;
pub mod row;
pub mod saved;
pub mod shadow;
pub mod spend;
pub mod state;
pub mod ttl;

#[cfg(test)]
mod tests;
