//! What the parent and the desk say to each other over the desk's standard input and output: one JSON object a line.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::run::entry::Decision;
use crate::run::row::{ApprovalRow, RunRow};

/// How a desk is started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Start {
    /// The world's time now; from here on the desk's own clock runs.
    pub now: Timestamp,
    /// From when on tickets are picked up at the first start.
    pub first_start_at: Timestamp,
    /// The configuration by key.
    pub config: BTreeMap<String, toml::Value>,
    /// Whether the desk stops at every boundary and asks.
    pub armed: bool,
}

/// What the parent orders.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// The first order.
    Start(Box<Start>),
    /// Pass the boundary at which the desk stands.
    Go,
    /// Panic at it.
    Panic,
    /// The world's time moved to this moment.
    Advance(Timestamp),
    /// Say how the runs stand, and which of these comments (ticket, comment) no run knows.
    Look(Vec<(i64, i64)>),
    /// A person decides.
    Decide(Box<ApprovalRow>, Decision),
}

/// What the desk says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// The process is there.
    Hello,
    /// It stands at this boundary, until it is told to go or killed.
    At(String),
    /// It works; the start took so many milliseconds.
    Started(u64),
    /// How the runs stand.
    Stands {
        /// All runs.
        rows: Vec<RunRow>,
        /// Approvals that wait for a person.
        waiting: Vec<ApprovalRow>,
        /// Those of the comments asked about that a run knows.
        taken_up: Vec<(i64, i64)>,
    },
    /// It cannot go on.
    Failed(String),
}
