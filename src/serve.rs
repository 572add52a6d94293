//! `deskhand serve`: the real thing, until it is told to stop.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use crate::app::{self, App};
use crate::clock::Clock;
use crate::config::{Config, Layers, Mistake, Mistakes};
use crate::web;

/// The exit status of a process that was told twice to end.
const EXIT_AT_ONCE: i32 = 130;

/// Why it cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] Mistakes),
    /// The product.
    #[error(transparent)]
    App(#[from] app::Error),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] crate::journal::Error),
    /// The process cannot hear signals.
    #[error("the stop signal cannot be heard: {0}")]
    Signal(#[from] std::io::Error),
}

/// Reads the configuration from file and environment.
pub fn read_config(file: &Path) -> Result<Config, Mistakes> {
    Config::read(read_layers(file)?)
}

/// Reads file and environment, and checks nothing yet.
pub fn read_layers(file: &Path) -> Result<Layers, Mistakes> {
    let mut layers = Layers::default();
    match std::fs::read_to_string(file) {
        Ok(text) => layers.add_toml(&text, &file.display().to_string()),
        // Everything may stand in the environment; what is missing then is reported key by key.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Mistakes(vec![Mistake {
                key: file.display().to_string(),
                what: format!("cannot be read: {error}"),
                hint: "check the path and its rights, or give another with --config".to_owned(),
            }]));
        }
    }
    layers.add_env(std::env::vars());
    Ok(layers)
}

/// Runs until Ctrl-C or SIGTERM, then stops within ten seconds.
pub async fn run(file: &Path) -> Result<(), Error> {
    let config = read_config(file)?;
    let clock = Clock::system();
    let mut terminate = signal(SignalKind::terminate())?;
    let app = tokio::select! {
        started = App::start(config, clock.clone(), app::Options::default()) => started?,
        _ = tokio::signal::ctrl_c() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    println!("Deskhand is running: {}", app.url);
    if let Some(link) = web::first_run_link(&*app.accounts, &app.url, &clock).await? {
        println!("Nobody can sign in yet. Open this link once, within a day, to make the first admin:\n  {link}");
    }
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    println!("stopping: steps in flight get a moment; nothing is lost. A second signal ends at once");
    tokio::select! {
        () = app.stop(&clock) => Ok(()),
        _ = tokio::signal::ctrl_c() => end_at_once(),
        _ = terminate.recv() => end_at_once(),
    }
}

/// Whoever signals twice does not want to wait. What was in flight is looked for at the next start.
fn end_at_once() -> ! {
    std::process::exit(EXIT_AT_ONCE)
}
