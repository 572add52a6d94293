//! What durability costs. Run with `cargo bench --bench durability`; `-- --json` prints one JSON object, `-- --only journal`
//! (or `runs`, `serve`) one part of it. It asserts no times: it prints figures beside what they should be, and every rate
//! beside the rate at which this disk, in the same call, takes down what it is given.
//!
//! Three parts: the journal alone; whole runs of six model calls and seven tool uses at vendors that answer at once, beside a
//! bare loop that sends the same requests and keeps nothing; and the real binary's memory and start.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real time")]

mod answers;
mod bare;
mod desk;
mod disk;
mod journal;
mod process;
mod report;
mod serve;
mod vendors;

use std::path::PathBuf;

use clap::Parser;
use report::{Report, Target};

/// Steps of the fastest durable-execution engine that was measured beside it: 220 runs a second, of 14 steps.
const ENGINE_RUNS_PER_S: f64 = 220.0;

#[derive(Parser)]
#[command(about = "What durability costs: figures beside what they should be")]
struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// One part only: journal, runs or serve
    #[arg(long, value_name = "PART")]
    only: Option<String>,
    /// Runs that are measured, at 50 at once; a fifth of them at 1 at once
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    runs: u64,
    /// How many runs at once, for the parts `journal` and `runs`
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 50])]
    at_once: Vec<usize>,
    /// How many runs wait while memory is measured
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [0, 1_000, 10_000])]
    waiting: Vec<u64>,
    /// Where data folders are made; the disk that is measured
    #[arg(long, value_name = "DIR", default_value = env!("CARGO_TARGET_TMPDIR"))]
    folder: PathBuf,
    /// Be the vendors, with refunds of so many cents
    #[arg(long, hide = true)]
    vendors: Option<i64>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if let Some(refund_minor) = args.vendors {
        return vendors::serve(refund_minor);
    }
    deskhand::clients::install_tls();
    let level = std::env::var("DESKHAND_LOG").unwrap_or_else(|_| "error".to_owned());
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(measure(&args));
    if args.json {
        println!("{}", report.json());
    } else {
        report.print();
    }
}

async fn measure(args: &Args) -> Report {
    let wanted = |part: &str| args.only.as_deref().is_none_or(|only| only == part);
    let runs_of = |at_once: usize| if at_once == 1 { args.runs / 5 } else { args.runs };
    let mut report = Report::default();
    if wanted("journal") {
        for at_once in &args.at_once {
            let runs = usize::try_from(runs_of(*at_once)).unwrap_or(1);
            add_journal(&mut report, &journal::measure(&args.folder, *at_once, runs).await);
        }
    }
    if wanted("runs") {
        let recorded = desk::recorded(&args.folder).await;
        for at_once in &args.at_once {
            let bare = bare::measure(&recorded, *at_once, runs_of(*at_once)).await;
            let desk = desk::measure(&args.folder, *at_once, runs_of(*at_once)).await;
            add_runs(&mut report, &desk, &bare);
        }
    }
    if wanted("serve") {
        add_serve(&mut report, args).await;
    }
    report
}

fn add_journal(report: &mut Report, m: &journal::Measured) {
    let part = if m.at_once == 1 { "The journal alone, 1 run at once" } else { "The journal alone, many runs at once" };
    let runs = m.steps as f64 / f64::from(journal::STEPS);
    let steps_per_s = m.steps as f64 / m.seconds;
    report.add(part, "runs at once", m.at_once as f64, "", Target::None);
    report.add(part, "durable steps a second", steps_per_s, "/s", Target::None);
    report.add(part, "appends in a commit", m.group, "", Target::None);
    add_disk(report, part, m.commits as f64 / m.seconds, m.disk_syncs, m.disk_syncs_same_size);
    report.add(part, "CPU of a step", m.cpu_ms * 1_000.0 / m.steps as f64, "µs", Target::None);
    report.add(part, "of which the writing thread", m.writer_cpu_ms * 1_000.0 / m.steps as f64, "µs", Target::None);
    report.add(part, "fsyncs of a run of 13 steps", m.fsyncs as f64 / runs, "", Target::None);
    report.add(part, "log written for a step", m.wal_bytes as f64 / 1_024.0 / m.steps as f64, "KiB", Target::None);
    report.add(part, "disk written for a step", m.disk_bytes as f64 / 1_024.0 / m.steps as f64, "KiB", Target::None);
}

/// The disk's limit for a group commit: as many commits a second as it syncs, each with the appends that shared a commit
/// here. So the share of that limit is commits a second over syncs a second.
fn add_disk(report: &mut Report, part: &'static str, commits_per_s: f64, syncs: (f64, f64), same_size: f64) {
    let mean = f64::midpoint(syncs.0, syncs.1);
    report.add(part, "commits a second", commits_per_s, "/s", Target::None);
    report.add(part, "fdatasync a second of this disk, 1 KiB, before", syncs.0, "/s", Target::None);
    report.add(part, "the same, after", syncs.1, "/s", Target::None);
    report.add(part, "the same, as many bytes as a commit", same_size, "/s", Target::None);
    report.add(
        part,
        "share of the disk's group-commit limit",
        100.0 * commits_per_s / mean,
        "%",
        Target::AtLeast(60.0),
    );
    report.add(part, "the same, at a commit's size", 100.0 * commits_per_s / same_size, "%", Target::None);
}

fn add_runs(report: &mut Report, m: &desk::Measured, bare: &bare::Measured) {
    let one = m.at_once == 1;
    let part = if one { "Whole runs, 1 at once" } else { "Whole runs, many at once" };
    let pick = |single: f64, many: f64| Target::AtMost(if one { single } else { many });
    let (runs, bare_runs) = (m.runs as f64, bare.runs as f64);
    let (cpu, bare_cpu) = (m.cpu_ms / runs, bare.cpu_ms / bare_runs);
    let (per_s, bare_per_s) = (runs / m.seconds, bare_runs / bare.seconds);
    let engine = if one { Target::None } else { Target::AtLeast(3.0) };
    report.add(part, "runs at once", m.at_once as f64, "", Target::None);
    report.add(part, "runs a second", per_s, "/s", Target::None);
    report.add(part, "as a multiple of the fastest engine (220 runs/s)", per_s / ENGINE_RUNS_PER_S, "x", engine);
    report.add(part, "durable steps a second", m.steps as f64 / m.seconds, "/s", Target::None);
    report.add(part, "CPU of a run", cpu, "ms", Target::AtMost(2.0));
    report.add(part, "of which the journal's writing thread", m.writer_cpu_ms / runs, "ms", Target::None);
    report.add(part, "requests of a run", m.requests as f64 / runs, "", Target::None);
    report.add(part, "bare loop, same requests: CPU of a run", bare_cpu, "ms", Target::None);
    report.add(part, "bare loop: runs a second", bare_per_s, "/s", Target::None);
    report.add(part, "price of durability and rules: CPU over the bare loop's", cpu / bare_cpu, "x", Target::None);
    report.add(part, "runs a second, share of the bare loop's", 100.0 * per_s / bare_per_s, "%", Target::None);
    report.add(part, "fsyncs of a run", m.written.fsyncs as f64 / runs, "", pick(16.0, 3.0));
    report.add(part, "commits of a run", m.written.commits as f64 / runs, "", Target::None);
    report.add(part, "writes that shared a commit", m.written.jobs as f64 / m.written.commits as f64, "", Target::None);
    report.add(part, "log written for a run", m.written.wal_bytes as f64 / 1_024.0 / runs, "KiB", Target::None);
    report.add(part, "disk written for a run", m.disk_bytes as f64 / 1_024.0 / runs, "KiB", pick(120.0, 40.0));
    add_disk(report, part, m.written.commits as f64 / m.seconds, m.disk_syncs, m.disk_syncs_same_size);
}

async fn add_serve(report: &mut Report, args: &Args) {
    let part = "The real binary";
    let binary = std::fs::metadata(env!("CARGO_BIN_EXE_deskhand")).map_or(0, |found| found.len());
    report.add(part, "binary", binary as f64 / 1e6, "MB", Target::AtMost(25.0));
    let (page_ms, true_ms) = serve::starts(&args.folder);
    report.add(part, "start to first page, median", page_ms, "ms", Target::AtMost(100.0));
    report.add(part, "the same over `/bin/true`", page_ms / true_ms, "x", Target::None);
    for waiting in &args.waiting {
        let m = serve::memory(&args.folder, *waiting).await;
        let limit = match m.waiting {
            0 => Target::AtMost(25.0),
            1_000 => Target::AtMost(150.0),
            _ => Target::None,
        };
        report.add(part, format!("memory with {} waiting runs", m.waiting), m.resident_mib, "MiB", limit);
        report.add(part, "  at most, while they were worked", m.most_mib, "MiB", Target::None);
        report.add(part, "  after a restart over the same data", m.restarted_mib, "MiB", Target::None);
        report.add(part, "  CPU in a second of rest", m.idle_cpu_ms, "ms", Target::None);
    }
}
