//! `deskhand crashtest`: the product dies for real at every boundary and is started again; then the world's own ledger is
//! compared with that of a world in which nobody died. Stands apart, like the demo.
//!
//! `stage.rs` plays one world with a desk that dies (`desk.rs`, a child of the same binary, spoken to in the words of `wire.rs`);
//! `boundaries.rs` decides where it dies; `ledger.rs` reads what a world came to, `judge.rs` compares, `report.rs` prints.
//! Here is the order of it: undisturbed once, then in passes until every boundary was tried.

mod boundaries;
pub mod desk;
mod judge;
mod kills;
mod ledger;
mod report;
mod stage;
mod wire;

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tempfile::TempDir;

use crate::clock::Clock;
use crate::config::Mistakes;
use crate::journal;
use crate::sim::faults::{BadFaults, Faults};
use crate::sim::world_file::{self, BadWorld, WorldFiles};
use crate::{demo, sim};

use boundaries::{Boundaries, Only, Pass};
use judge::{Findings, Measure};
use ledger::{Ended, Spent};
use report::Report;
pub use stage::DESK_COMMAND;
use stage::{Play, Reaper, Stage};

/// How many passes there are at most; each tries at least one boundary that was not tried.
const PASSES_MAX: usize = 60;
/// Tickets per minute of the world's time: each is at rest before the next one comes, so that a death shows in one ticket.
const TICKETS_PER_MINUTE: f64 = 1.0;
/// How many boundaries are tried one by one to find the one that broke a guarantee.
const SUSPECTS_MAX: usize = 12;

/// How a crash test is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// A folder with a world; absent: the shipped one.
    pub world: Option<PathBuf>,
    /// Only the first so many tickets.
    pub tickets: usize,
    /// Seed of everything that is left to chance.
    pub seed: u64,
    /// Die at these boundaries only.
    pub only: Vec<String>,
    /// With `only`: die there each time, as a step does that ends its process whenever it is tried.
    pub always: bool,
    /// With `only`: the worker panics there, and the process lives.
    pub panic: bool,
    /// Only list the boundaries.
    pub list: bool,
    /// How many worlds are played side by side.
    pub jobs: usize,
    /// Kill at so many random moments instead of at boundaries.
    pub kills: Option<u64>,
    /// What goes wrong on purpose besides; with `kills` only.
    pub faults: String,
    /// How many runs are worked at once; with `kills` only.
    pub workers: usize,
    /// Print the result as JSON.
    pub json: bool,
}

/// Why a crash test cannot be run. A broken guarantee is no error: it is what the test is for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The world's files.
    #[error(transparent)]
    World(#[from] BadWorld),
    /// The faults.
    #[error(transparent)]
    Faults(#[from] BadFaults),
    /// The simulators.
    #[error(transparent)]
    Sim(#[from] sim::Error),
    /// The world's configuration.
    #[error(transparent)]
    Config(#[from] Mistakes),
    /// The journal that the desk left.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// What a world came to cannot be told.
    #[error(transparent)]
    Report(#[from] demo::report::Error),
    /// The scratch folder, or the process.
    #[error("the desk's process cannot be handled: {0}")]
    Process(std::io::Error),
    /// The desk ended or failed by itself.
    #[error("the desk cannot work: {0}")]
    Desk(String),
    /// It did not come to rest.
    #[error("the world did not come to rest; the desk's last words: {0}")]
    Restless(String),
    /// A boundary that nobody passes.
    #[error("nobody passes the boundary `{0}`\nhint: `deskhand crashtest --list` names them all")]
    NoSuchBoundary(String),
    /// Standard output.
    #[error("the result cannot be printed: {0}")]
    Print(std::io::Error),
}

/// One played world.
struct Played {
    ended: Ended,
    starts_ms: Vec<u64>,
    folder: TempDir,
}

/// Runs a crash test; returns whether every guarantee held.
pub async fn run(options: Options) -> Result<bool, Error> {
    let files = match &options.world {
        Some(folder) => world_file::load_dir(folder)?,
        None => world_file::shipped()?,
    };
    let faults: Faults = options.faults.parse()?;
    let test =
        Arc::new(Test { options, files, faults, watch: Clock::system().stopwatch(), kept: AtomicBool::new(false) });
    let report = match test.options.kills {
        Some(kills) => kills::run(&test, kills).await?,
        None => {
            let (undisturbed, seen) = test.undisturbed().await?;
            if test.options.list {
                report::list(&seen, test.options.json)?;
                return Ok(true);
            }
            if test.options.only.is_empty() {
                test.everywhere(undisturbed, seen).await?
            } else {
                test.only(&undisturbed).await?
            }
        }
    };
    let held = report.held();
    report.print(test.options.json)?;
    Ok(held)
}

/// A crash test under way.
struct Test {
    options: Options,
    files: WorldFiles,
    faults: Faults,
    watch: crate::clock::Stopwatch,
    /// The folder of a world with a broken guarantee was kept; one is enough.
    kept: AtomicBool,
}

/// Lists every boundary and dies at none.
#[derive(Default)]
struct Lister {
    seen: Vec<String>,
}

impl Reaper for Lister {
    fn dies_at(&mut self, boundary: &str) -> bool {
        self.seen.push(boundary.to_owned());
        false
    }
}

/// Dies where it was told to, or lets the worker panic there.
struct There {
    only: Only,
    panics: bool,
}

impl Reaper for There {
    fn dies_at(&mut self, boundary: &str) -> bool {
        self.only.dies_at(boundary)
    }

    fn panics(&self) -> bool {
        self.panics
    }
}

/// Dies wherever nobody died yet, in one of several worlds that are played side by side.
struct Everywhere {
    pass: Pass,
    all: Arc<Mutex<Boundaries>>,
    bar: ProgressBar,
}

impl Reaper for Everywhere {
    fn dies_at(&mut self, boundary: &str) -> bool {
        let mut all = lock(&self.all);
        let dies = self.pass.dies_at(boundary, &mut all);
        if dies {
            self.bar.set_length(all.len() as u64);
            self.bar.set_position((all.len() - all.untried().count()) as u64);
        }
        dies
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one pass came to.
struct PassResult {
    deaths: Vec<String>,
    findings: Findings,
    repeated: Spent,
    saved: Spent,
    starts_ms: Vec<u64>,
}

impl Test {
    fn armed(&self) -> Play {
        Play {
            files: self.files.clone(),
            tickets: Some(self.options.tickets),
            rate: TICKETS_PER_MINUTE,
            seed: self.options.seed,
            faults: Faults::default(),
            workers: 1,
            armed: true,
        }
    }

    async fn play(&self, play: Play, reaper: &mut dyn Reaper) -> Result<Played, Error> {
        let folder = tempfile::tempdir().map_err(Error::Process)?;
        let seed = play.seed;
        let mut stage = Box::pin(Stage::open(play, folder.path())).await?;
        let played = stage.play(reaper).await;
        let ended = match played {
            Ok(()) => ledger::read(&stage, seed).await?,
            Err(failed) => {
                let kept = folder.keep();
                eprintln!("the journal, the world's ledger and the desk's log are kept in {}", kept.display());
                return Err(failed);
            }
        };
        let starts_ms = std::mem::take(&mut stage.starts_ms);
        stage.sim.shutdown().await;
        Ok(Played { ended, starts_ms, folder })
    }

    /// The world in which nobody dies, and every boundary that its desk passes.
    async fn undisturbed(&self) -> Result<(Ended, Vec<String>), Error> {
        let mut lister = Lister::default();
        let played = self.play(self.armed(), &mut lister).await?;
        let seen: BTreeSet<String> = lister.seen.into_iter().collect();
        Ok((played.ended, seen.into_iter().collect()))
    }

    /// Passes over fresh worlds until nobody meets a boundary that was not tried.
    async fn everywhere(self: &Arc<Self>, undisturbed: Ended, seen: Vec<String>) -> Result<Report, Error> {
        let undisturbed = Arc::new(undisturbed);
        let all = Arc::new(Mutex::new(Boundaries::new(seen)));
        let bar = progress(lock(&all).len() as u64, "boundaries tried", self.options.json);
        let passes = Arc::new(Mutex::new(0_usize));
        let mut lanes = tokio::task::JoinSet::new();
        for _ in 0..self.options.jobs.max(1) {
            let (test, undisturbed, passes) = (self.clone(), undisturbed.clone(), passes.clone());
            let (all, bar) = (all.clone(), bar.clone());
            lanes.spawn(async move { test.lane(&undisturbed, &all, &passes, &bar).await });
        }
        let mut results = Vec::new();
        while let Some(lane) = lanes.join_next().await {
            results.extend(lane.unwrap_or_else(|broken| Err(Error::Desk(broken.to_string())))?);
        }
        bar.finish_and_clear();
        let mut report = Report::new(&self.options, &self.files.name, &undisturbed);
        let mut suspects = Vec::new();
        for result in results {
            for suspect in suspects_of(&result) {
                if !suspects.contains(&suspect) {
                    suspects.push(suspect);
                }
            }
            report.add(result);
        }
        report.boundaries(&lock(&all));
        report.time_ms = self.watch.elapsed_ms();
        report.culprits = self.culprits(&undisturbed, suspects).await?;
        Ok(report)
    }

    async fn lane(
        &self,
        undisturbed: &Ended,
        all: &Arc<Mutex<Boundaries>>,
        passes: &Mutex<usize>,
        bar: &ProgressBar,
    ) -> Result<Vec<PassResult>, Error> {
        let mut results = Vec::new();
        loop {
            let number = {
                let mut passes = lock(passes);
                *passes += 1;
                *passes
            };
            if number > PASSES_MAX || lock(all).untried().next().is_none() {
                return Ok(results);
            }
            bar.set_message(format!("pass {number}"));
            let mut reaper = Everywhere { pass: Pass::default(), all: all.clone(), bar: bar.clone() };
            let played = self.play(self.armed(), &mut reaper).await?;
            if reaper.pass.deaths.is_empty() {
                return Ok(results); // What is left is met by chance only.
            }
            results.push(self.one_by_one(undisturbed, played, reaper.pass.deaths));
        }
    }

    /// Dies at the named boundaries only.
    async fn only(&self, undisturbed: &Ended) -> Result<Report, Error> {
        let names = self.options.only.iter().cloned();
        let only = if self.options.always { Only::always(names) } else { Only::once(names) };
        let mut there = There { only, panics: self.options.panic };
        let played = self.play(self.armed(), &mut there).await?;
        let only = there.only;
        if let Some(never) = only.never_met() {
            return Err(Error::NoSuchBoundary(never.to_owned()));
        }
        let mut report = Report::new(&self.options, &self.files.name, undisturbed);
        report.ends = played.ended.tickets.clone();
        report.add(self.one_by_one(undisturbed, played, only.deaths.clone()));
        report.boundaries(&Boundaries::tried(only.deaths));
        report.time_ms = self.watch.elapsed_ms();
        Ok(report)
    }

    /// The same for a world of one worker and vendors that do not fail: each death costs the one call in flight.
    fn one_by_one(&self, undisturbed: &Ended, played: Played, deaths: Vec<String>) -> PassResult {
        let may_repeat = deaths.len() as u64;
        let poisoned = self.options.always || self.options.panic;
        let measure = if poisoned { Measure::Poisoned } else { Measure::Whole };
        self.judged(undisturbed, played, deaths, measure, may_repeat)
    }

    /// Compares a played world with the undisturbed one, in which at most `may_repeat` model calls lost their answer.
    fn judged(
        &self,
        undisturbed: &Ended,
        played: Played,
        deaths: Vec<String>,
        measure: Measure,
        may_repeat: u64,
    ) -> PassResult {
        let Played { ended, starts_ms, folder } = played;
        let mut findings = judge::compare(undisturbed, &ended, measure);
        let repeated = Spent {
            calls: ended.answers.calls.saturating_sub(ended.finished.calls),
            tokens: ended.answers.tokens.saturating_sub(ended.finished.tokens),
            micros: 0,
        };
        if repeated.calls > may_repeat {
            let what = format!("{} model calls were made again, {may_repeat} were in flight at most", repeated.calls);
            findings.doubled.push((None, what));
        }
        let mut saved = Spent::default();
        deaths.iter().for_each(|death| saved.add(ended.paid_before(death)));
        if findings.all().next().is_some() && !self.kept.swap(true, Ordering::Relaxed) {
            let kept = folder.keep();
            eprintln!(
                "a guarantee broke; the journal, the world's ledger and the desk's log are kept in {}",
                kept.display()
            );
            for (_, what) in findings.all() {
                eprintln!("  {what}");
            }
        }
        PassResult { deaths, findings, repeated, saved, starts_ms }
    }

    /// Tries suspects one by one: which of them break a guarantee alone?
    async fn culprits(&self, undisturbed: &Ended, suspects: Vec<String>) -> Result<Vec<String>, Error> {
        let mut culprits = Vec::new();
        for suspect in suspects.into_iter().take(SUSPECTS_MAX) {
            let mut there = There { only: Only::once([suspect.clone()]), panics: false };
            let played = self.play(self.armed(), &mut there).await?;
            if self.one_by_one(undisturbed, played, there.only.deaths).findings.all().next().is_some() {
                culprits.push(suspect);
            }
        }
        Ok(culprits)
    }
}

/// The deaths that may have broken what a pass found: those in the runs of the tickets that it is about.
fn suspects_of(result: &PassResult) -> Vec<String> {
    let mut suspects: Vec<String> = Vec::new();
    for (ticket, what) in result.findings.all() {
        let about = |death: &&String| match (ticket, boundaries::run_of(death)) {
            (Some(ticket), Some(run)) => run.starts_with(&format!("run_{ticket}_")),
            (None, Some(run)) => what.contains(run) || what.contains(&run.replacen("run_", "eff_", 1)),
            (_, None) => false,
        };
        for death in result.deaths.iter().filter(about) {
            if !suspects.contains(death) {
                suspects.push(death.clone());
            }
        }
    }
    suspects
}

/// How often progress is told where no bar can be drawn.
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// A bar on a terminal; elsewhere a line now and then, so that a log shows that it goes on.
fn progress(length: u64, what: &str, json: bool) -> ProgressBar {
    let plain = !json && !std::io::stderr().is_terminal();
    let target = if json || plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    let template = format!("{{bar:28}} {{pos}}/{{len}} {what}  {{msg}}  {{elapsed}}");
    bar.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    if plain {
        let (told, what) = (bar.clone(), what.to_owned());
        tokio::spawn(async move {
            let clock = Clock::system();
            loop {
                clock.sleep(TOLD_EVERY).await;
                if told.is_finished() {
                    return;
                }
                eprintln!("{}", plain_line(told.position(), told.length(), &what, told.elapsed()));
            }
        });
    }
    bar
}

fn plain_line(position: u64, length: Option<u64>, what: &str, elapsed: Duration) -> String {
    let of = length.map_or_else(String::new, |length| format!("/{length}"));
    format!("{position}{of} {what} after {} s", elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress_says_how_far_it_is() {
        let said = plain_line(12, Some(340), "boundaries tried", Duration::from_millis(30_400));
        assert_eq!(said, "12/340 boundaries tried after 30 s");
    }
}
