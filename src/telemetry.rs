//! The subscriber of logs and spans. Logs go to standard error, readable on a terminal and JSON elsewhere; never a secret, an
//! address or a message's text. The names of spans: `run` and `step` (see `agent/worker.rs`).

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts the subscriber. `quiet`: only warnings, for commands that show their progress themselves. `DESKHAND_LOG` overrides
/// the level, in the syntax of `tracing_subscriber::EnvFilter`.
pub fn start(quiet: bool) {
    let default = if quiet { "error" } else { "info" };
    let filter = EnvFilter::try_from_env("DESKHAND_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start (in tests) is harmless: the first subscriber stays.
    let _ = if std::io::stderr().is_terminal() {
        builder.compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}
