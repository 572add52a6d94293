//! One world with a desk that dies: the simulators live on in this process, the desk is a child of the same binary on one data
//! folder. Whatever it had sent before it died is carried out all the same, as at a real vendor.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Error;
use super::wire::{Order, Start, Told};
use crate::agent::worker::LEASE_TTL;
use crate::clock::{Clock, Stopwatch};
use crate::demo::{self, decision_of, next_timer};
use crate::run::row::{ApprovalRow, RunRow};
use crate::sim::faults::Faults;
use crate::sim::world::World;
use crate::sim::world_file::WorldFiles;
use crate::sim::{self, Sim};

/// The hidden command that is the desk.
pub const DESK_COMMAND: &str = "crashtest-desk";
/// After this long without a word of the desk the parent looks how it stands.
const QUIET: Duration = Duration::from_millis(10);
/// How far the world's time moves when the desk does nothing and something is to be done: it waits for its next look at the
/// ticket list, or until a ticket's stamp has settled.
const NUDGE: Duration = Duration::from_millis(400);
/// Past the end of every lease.
const LAPSE: Duration = LEASE_TTL.saturating_add(Duration::from_secs(1));
/// How long a world may take to come to rest after the last death in it, in milliseconds of real time.
const REST_WITHIN_MS: u64 = 30 * 60_000;
/// How long a desk may take to start, in milliseconds.
const START_WITHIN_MS: u64 = 60_000;

/// What a stage plays.
#[derive(Clone)]
pub(super) struct Play {
    pub(super) files: WorldFiles,
    pub(super) tickets: Option<usize>,
    /// Tickets per minute of the world's time.
    pub(super) rate: f64,
    pub(super) seed: u64,
    pub(super) faults: Faults,
    pub(super) workers: usize,
    /// Whether the desk stops at every boundary.
    pub(super) armed: bool,
}

/// Who decides where the desk dies.
pub(super) trait Reaper: Send {
    /// Whether it dies at this boundary.
    fn dies_at(&mut self, _boundary: &str) -> bool {
        false
    }
    /// Whether the worker panics there instead, and the process lives.
    fn panics(&self) -> bool {
        false
    }
    /// After how many milliseconds of work the desk that starts now dies, wherever it is; `None`: it lives.
    fn life_ms(&mut self) -> Option<u64> {
        None
    }
    /// After how many milliseconds of work the time jumps past every lease, as when the machine slept; `None`: it does not.
    fn lapse_ms(&mut self) -> Option<u64> {
        None
    }
}

/// A world, its simulators and the folder of its desk.
pub(super) struct Stage {
    play: Play,
    pub(super) sim: Sim,
    clock: Clock,
    folder: PathBuf,
    config: BTreeMap<String, toml::Value>,
    /// Comments that a run is known to have taken up.
    taken_up: BTreeMap<i64, i64>,
    /// How long each start of the desk took, in milliseconds.
    pub(super) starts_ms: Vec<u64>,
    /// Since the desk was last started.
    watch: Stopwatch,
}

/// How a desk's life ended.
enum End {
    Rested,
    Died,
}

impl Stage {
    /// Simulators over a fresh world, and an empty folder for the desk.
    pub(super) async fn open(play: Play, folder: &Path) -> Result<Self, Error> {
        let clock = Clock::starting_at(play.files.now);
        let mut options = sim::Options::new(play.files.clone(), clock.clone());
        options.seed = play.seed;
        options.faults = play.faults.clone();
        options.ledger = Some(folder.join("world.jsonl"));
        options.rate = Some(play.rate);
        options.tickets = play.tickets;
        let sim = Sim::start(options).await?;
        let folder = folder.join("desk");
        let as_demo = demo::Options { exit: true, ..demo::Options::default() };
        let mut layers = demo::layers(&play.files, &sim, &folder, &as_demo);
        layers.set("limits.concurrent_runs", i64::try_from(play.workers).unwrap_or(1));
        let (config, watch) = (layers.values().clone(), clock.stopwatch());
        Ok(Self { play, sim, clock, folder, config, taken_up: BTreeMap::new(), starts_ms: Vec::new(), watch })
    }

    /// Where the desk keeps its journal.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn world(&self) -> &World {
        self.sim.world()
    }

    /// Lets the desk work until every ticket has come to rest, and starts it again whenever it died.
    pub(super) async fn play(&mut self, reaper: &mut dyn Reaper) -> Result<(), Error> {
        loop {
            if let End::Rested = self.live(reaper).await? {
                return Ok(());
            }
        }
    }

    async fn live(&mut self, reaper: &mut dyn Reaper) -> Result<End, Error> {
        let mut desk = Desk::start(&self.folder)?;
        let born = self.clock.stopwatch();
        self.watch = self.clock.stopwatch();
        let (mut started, mut looking, mut moved) = (None::<Stopwatch>, false, true);
        let (life_ms, mut lapse_ms) = (reaper.life_ms(), reaper.lapse_ms());
        loop {
            if self.watch.elapsed_ms() > REST_WITHIN_MS || started.is_none() && born.elapsed_ms() > START_WITHIN_MS {
                return Err(Error::Restless(desk.last_words()));
            }
            let is_over = |life_ms| started.is_some_and(|since| since.elapsed_ms() >= life_ms);
            if life_ms.is_some_and(is_over) {
                desk.kill().await?;
                return Ok(End::Died);
            }
            if lapse_ms.is_some_and(is_over) {
                lapse_ms = None;
                self.advance(&mut desk, self.clock.now() + LAPSE).await?;
            }
            let Ok(told) = tokio::time::timeout(QUIET, desk.hear()).await else {
                if started.is_some() && !looking {
                    desk.order(&Order::Look(self.unseen())).await?;
                    looking = true;
                }
                continue;
            };
            match told? {
                Told::Hello => desk.order(&self.first_order()).await?,
                Told::At(boundary) if reaper.dies_at(&boundary) => {
                    if reaper.panics() {
                        moved = true;
                        desk.order(&Order::Panic).await?;
                        continue;
                    }
                    desk.kill().await?;
                    return Ok(End::Died);
                }
                Told::At(_) => {
                    moved = true;
                    desk.order(&Order::Go).await?;
                }
                Told::Started(took_ms) => {
                    self.starts_ms.push(took_ms);
                    started = Some(self.clock.stopwatch());
                }
                Told::Stands { rows, waiting, taken_up } => {
                    looking = false;
                    let idle = !std::mem::take(&mut moved);
                    if self.react(&mut desk, &rows, &waiting, &taken_up, idle).await? {
                        desk.kill().await?;
                        return Ok(End::Rested);
                    }
                }
                Told::Failed(why) => return Err(Error::Desk(why)),
            }
        }
    }

    /// Decides as the world's file says, and moves the time when nothing else is left to do; whether all is at rest.
    async fn react(
        &mut self,
        desk: &mut Desk,
        rows: &[RunRow],
        waiting: &[ApprovalRow],
        taken_up: &[(i64, i64)],
        idle: bool,
    ) -> Result<bool, Error> {
        self.taken_up.extend(taken_up.iter().copied());
        let now_ms = self.clock.now_ms();
        let runnable = rows.iter().any(|row| row.wake_ms.is_some_and(|wake| wake <= now_ms));
        let mut decided = false;
        for approval in waiting {
            if let Some(decision) = decision_of(self.world(), approval) {
                desk.order(&Order::Decide(Box::new(approval.clone()), decision)).await?;
                decided = true;
            }
        }
        if decided {
            return Ok(false);
        }
        if runnable || !self.unseen().is_empty() {
            // A worker among several may be busy with something that makes no sound; the time runs on by itself then.
            if idle && (self.play.armed || !runnable) {
                self.advance(desk, self.clock.now() + NUDGE).await?;
            }
            return Ok(false);
        }
        match next_timer(&self.sim, rows) {
            Some(due) => {
                self.advance(desk, due + Duration::from_millis(1)).await?;
                Ok(false)
            }
            None => Ok(true),
        }
    }

    async fn advance(&self, desk: &mut Desk, to: jiff::Timestamp) -> Result<(), Error> {
        self.clock.advance_to(to);
        desk.order(&Order::Advance(to)).await
    }

    /// The newest customer comment of each ticket that arrived, as far as no run is known to have taken it up.
    fn unseen(&self) -> Vec<(i64, i64)> {
        let world = self.sim.world().lock();
        let newest = |ticket: &i64| Some((*ticket, world.newest_requester_comment(*ticket)?.id));
        let all = world.tickets.keys().filter_map(newest);
        all.filter(|(ticket, comment)| self.taken_up.get(ticket) != Some(comment)).collect()
    }

    fn first_order(&self) -> Order {
        Order::Start(Box::new(Start {
            now: self.clock.now(),
            first_start_at: self.world().started() - Duration::from_secs(3_600),
            config: self.config.clone(),
            armed: self.play.armed,
        }))
    }
}

/// A running desk.
struct Desk {
    child: Child,
    orders: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Desk {
    fn start(folder: &Path) -> Result<Self, Error> {
        let log = folder.with_extension("log");
        let file =
            |path: &Path| -> Result<File, std::io::Error> { OpenOptions::new().create(true).append(true).open(path) };
        let binary = std::env::current_exe().map_err(Error::Process)?;
        let mut child = Command::new(binary)
            .arg(DESK_COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file(&log).map_err(Error::Process)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::Process)?;
        let (Some(orders), Some(told)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Desk("it has no standard input or output".to_owned()));
        };
        Ok(Self { child, orders, told: BufReader::new(told).lines(), log })
    }

    async fn hear(&mut self) -> Result<Told, Error> {
        match self.told.next_line().await.map_err(Error::Process)? {
            Some(line) => serde_json::from_str(&line).map_err(|_| Error::Desk(format!("it said `{line}`"))),
            None => Err(Error::Desk(format!("it ended by itself: {}", self.last_words()))),
        }
    }

    async fn order(&mut self, order: &Order) -> Result<(), Error> {
        let mut line = serde_json::to_vec(order).unwrap_or_default();
        line.push(b'\n');
        let sent = self.orders.write_all(&line).await;
        sent.map_err(|_| Error::Desk(format!("it ended by itself: {}", self.last_words())))
    }

    /// `kill -9`, and waits until it is gone.
    async fn kill(&mut self) -> Result<(), Error> {
        self.child.kill().await.map_err(Error::Process)
    }

    /// The end of its log.
    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}
