//! Moves runs: claim → fold → next → perform → append, until nothing is left to do. What happens next is decided in `run/`;
//! here it is done and written down.

pub mod cache;
pub mod conversation;
pub mod facts;
mod gate;
pub mod hold;
pub mod perform;
pub mod poison;
pub mod prefix;
pub mod prompts;
pub mod worker;
