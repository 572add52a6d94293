//! What goes wrong at a vendor, classed by what may be done about it. A storage format: it stands in the journal.

use serde::{Deserialize, Serialize};

/// What went wrong at a vendor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// By what may be done about it.
    pub class: FailureClass,
    /// Who: `zendesk`, `stripe`, `billing`, `claude`, `email`, `deskhand`.
    pub vendor: String,
    /// What, for people; no secret, address or message body.
    pub message: String,
}

/// Failures by what the caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Nothing was done; try again later.
    Retry,
    /// It will not be done; do not try again.
    Refused,
    /// It may have been done; repeat only under the same key, or look.
    Unknown,
}
