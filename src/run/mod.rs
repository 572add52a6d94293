//! One ticket being handled, from intake to close: the journal's lines, their fold, and what happens now. Pure: no IO, no
//! clock, no async.

pub mod cost;
pub mod entry;
pub mod row;
