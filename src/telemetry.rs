//! The subscriber of logs and spans. Logs go to standard error, readable on a terminal and JSON elsewhere; never a secret, an
//! address or a message's text. The names of spans: `run` and `step` (see `agent/worker.rs`).

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How much a command logs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What a process that runs for months tells those who look after it.
    Info,
    /// What went wrong beside what was asked for: the command's own words say the rest.
    Warn,
    /// Only what somebody must act on: the command shows its progress itself.
    Error,
}

/// Starts the subscriber. `DESKHAND_LOG` overrides the level, in the syntax of `tracing_subscriber::EnvFilter`.
pub fn start(level: Level) {
    let default = match level {
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let filter = EnvFilter::try_from_env("DESKHAND_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start (in tests) is harmless: the first subscriber stays.
    let _ = if std::io::stderr().is_terminal() {
        builder.compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}
