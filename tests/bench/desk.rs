//! Whole runs: the product as `deskhand serve` starts it, intake and pages included, on vendors that answer at once.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use deskhand::app::{App, Options};
use deskhand::clock::Clock;
use deskhand::config::{Config, Layers};
use deskhand::journal::sqlite::Stats;
use deskhand::run::row::RunRow;

use crate::vendors::Vendors;
use crate::{disk, process};

/// Runs before those that are measured, so that files, pools and statements are there.
const WARM_UP: u64 = 100;
/// How often we look whether all runs are at rest.
const LOOK: Duration = Duration::from_millis(10);

/// When runs that do not come to rest are given up, in milliseconds.
const REST_WITHIN_MS: u64 = 600_000;

/// What was measured.
pub struct Measured {
    /// Runs that moved at once.
    pub at_once: usize,
    /// Runs.
    pub runs: u64,
    /// Steps in all.
    pub steps: u64,
    /// From the first sight of the tickets to the end of the last run, in seconds.
    pub seconds: f64,
    /// Processor time of the desk's process, in milliseconds.
    pub cpu_ms: f64,
    /// Of these, the journal's writing thread.
    pub writer_cpu_ms: f64,
    /// What the journal wrote.
    pub written: Stats,
    /// Bytes that the process handed to the disk, checkpoints included.
    pub disk_bytes: u64,
    /// Requests to vendors.
    pub requests: u64,
    /// `fdatasync` a second of this disk with 1 KiB appended: before and after.
    pub disk_syncs: (f64, f64),
    /// The same with as much appended as a commit here writes.
    pub disk_syncs_same_size: f64,
}

/// The settings of a desk on these vendors: nothing waits, nothing is polled that is not needed, and no limit of a day holds
/// back what a benchmark does in a minute.
pub fn settings(vendors: &Vendors, data: &Path, at_once: usize) -> Vec<(&'static str, toml::Value)> {
    let text = |value: &str| toml::Value::String(value.to_owned());
    vec![
        ("data_dir", text(&data.display().to_string())),
        ("mode", text("auto")),
        ("shop.name", text("Bench")),
        ("shop.support_address", text("support@bench.example")),
        ("zendesk.base_url", text(&vendors.url("z"))),
        ("zendesk.client_id", text("bench")),
        ("zendesk.client_secret", text("bench")),
        // New tickets come by the export, as often as it may be asked; the list is empty.
        ("zendesk.poll_every_ms", toml::Value::Integer(1_000)),
        ("zendesk.incremental_every_s", toml::Value::Integer(6)),
        ("stripe.base_url", text(&vendors.url("s"))),
        ("stripe.api_key", text("rk_test_bench")),
        ("billing.base_url", text(&vendors.url("b"))),
        ("billing.token", text("bench")),
        ("claude.base_url", text(&vendors.url("a"))),
        ("claude.api_key", text("bench")),
        ("claude.concurrent_calls", toml::Value::Integer(512)),
        ("limits.concurrent_runs", toml::Value::Integer(i64::try_from(at_once).unwrap_or(1))),
        ("limits.cost_day_max_micros", toml::Value::Integer(1_000_000_000_000)),
        ("limits.cost_month_max_micros", toml::Value::Integer(1_000_000_000_000)),
        ("policy.refund_daily_limit_minor.usd", toml::Value::Integer(100_000_000_000)),
        ("web.listen", text("127.0.0.1:0")),
        ("web.undo_window_s", toml::Value::Integer(0)),
    ]
}

async fn start(vendors: &Vendors, data: &Path, at_once: usize) -> (App, Clock) {
    let mut layers = Layers::default();
    for (key, value) in settings(vendors, data, at_once) {
        layers.set(key, value);
    }
    let config = Config::read(layers).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let clock = Clock::system();
    let app = App::start(config, clock.clone(), Options::default()).await.unwrap_or_else(|error| panic!("{error}"));
    (app, clock)
}

/// Works so many runs, so many at once.
pub async fn measure(folder: &Path, at_once: usize, runs: u64) -> Measured {
    let data = tempfile::tempdir_in(folder).expect("a folder that can be written");
    let vendors = Vendors::start(100);
    vendors.show(WARM_UP).await;
    let (app, clock) = start(&vendors, data.path(), at_once).await;
    rest(&app, WARM_UP, &clock).await;

    let before = disk::syncs_per_second(data.path(), 1_024);
    let (stats, seen) = (app.stats(), vendors.seen().await);
    let (cpu, writer, bytes) = (process::cpu_ms(), process::cpu_ms_of_threads("journal"), process::written_bytes());
    vendors.show(WARM_UP + runs).await;
    rest(&app, WARM_UP + runs, &clock).await;
    let (cpu_ms, writer_cpu_ms) = (process::cpu_ms() - cpu, process::cpu_ms_of_threads("journal") - writer);
    let disk_bytes = process::written_bytes() - bytes;
    let now = vendors.seen().await;
    let written = minus(app.stats(), stats);
    let after = disk::syncs_per_second(data.path(), 1_024);
    let same_size =
        disk::syncs_per_second(data.path(), usize::try_from(written.wal_bytes / written.commits.max(1)).unwrap_or(1));

    let rows = app.views.runs(&Default::default(), None, 100).await.expect("rows");
    let steps: u64 = rows.iter().map(|row| u64::from(row.steps)).sum();
    all_resolved(&rows);
    assert_eq!(now.answered, WARM_UP + runs, "every ticket is answered once");
    app.stop(&clock).await;
    Measured {
        at_once,
        runs,
        steps: steps * runs / rows.len() as u64,
        seconds: now.shown_s,
        cpu_ms,
        writer_cpu_ms,
        written,
        disk_bytes,
        requests: now.requests - seen.requests,
        disk_syncs: (before, after),
        disk_syncs_same_size: same_size,
    }
}

/// What the desk sends for one ticket.
pub async fn recorded(folder: &Path) -> Vec<(String, String, String)> {
    let data = tempfile::tempdir_in(folder).expect("a folder that can be written");
    let vendors = Vendors::start(100);
    vendors.show(1).await;
    let (app, clock) = start(&vendors, data.path(), 1).await;
    rest(&app, 1, &clock).await;
    app.stop(&clock).await;
    vendors.recorded().await
}

fn all_resolved(rows: &[RunRow]) {
    for row in rows {
        assert_eq!(row.outcome.as_deref(), Some("resolved"), "{}: {:?} {:?}", row.run, row.rule, row.reason);
        assert_eq!(row.steps, 14, "{}: the records, six model calls, seven tools", row.run);
    }
}

/// Waits until so many runs have come in and none of them is open.
async fn rest(app: &App, runs: u64, clock: &Clock) {
    let watch = clock.stopwatch();
    while app.activity.arrived.load(Ordering::Acquire) < runs || app.views.counts(0).await.expect("counts").open > 0 {
        clock.sleep(LOOK).await;
        if watch.elapsed_ms() > REST_WITHIN_MS {
            let rows = app.views.runs(&Default::default(), None, 3).await.expect("rows");
            panic!("{runs} runs did not come to rest; the newest: {rows:#?}");
        }
    }
}

fn minus(now: Stats, before: Stats) -> Stats {
    Stats {
        jobs: now.jobs - before.jobs,
        commits: now.commits - before.commits,
        fsyncs: now.fsyncs - before.fsyncs,
        wal_bytes: now.wal_bytes - before.wal_bytes,
        checkpoints: now.checkpoints - before.checkpoints,
    }
}
