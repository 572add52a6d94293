//! The product taken apart: simulators that live on, and a process of workers and intake whose turns the test makes itself,
//! lets stand still in the middle, or cuts off. Nothing runs by itself: no loop, no timer, no bell.
//!
//! A process is one single-threaded runtime. It dies by being dropped: every future with it, every connection; what the store
//! was given already may still be written, as after a real death. The simulators stand on a runtime of their own.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deskhand::agent::hold::Hold;
use deskhand::agent::prompts::Prompts;
use deskhand::agent::worker::Worker;
use deskhand::app;
use deskhand::clock::Clock;
use deskhand::config::Config;
use deskhand::health::Health;
use deskhand::ids::UserId;
use deskhand::intake::poller::{self, Poller};
use deskhand::journal::sqlite::SqliteJournal;
use deskhand::knowledge::Knowledge;
use deskhand::run::next::Rules;
use deskhand::sim::world::World;
use deskhand::sim::{self, Sim, world_file};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::probe::{Fate, Gate, Probe, Seen};
use super::scene;
use crate::harness::config_for;

/// The place of intake among the hands; workers come after it.
pub const INTAKE: usize = 0;
/// How many workers there are.
pub const WORKERS: usize = 3;
/// A turn that has not ended after so much real time never will.
const STUCK: Duration = Duration::from_secs(300);
/// After so much real time without a sign of life a turn waits for the clock. A loaded machine makes one look so that does
/// not: the clock is then moved for nothing, which harms no check.
const QUIET: Duration = Duration::from_millis(40);
/// After so much it is left alone by a driver that has no patience.
const HANGS: Duration = Duration::from_millis(150);

/// What one turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Intake reads the ticket list.
    List,
    /// Intake reads the export.
    Export,
    /// A worker claims a run and moves it.
    Work,
}

/// How a turn was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// It ended; whether there was something to do, or what went wrong.
    Ended(Result<bool, String>),
    /// It stands still.
    Stopped,
    /// It waits for the clock, in the middle of a request.
    Hanging,
    /// The process is gone.
    Died,
}

enum Does {
    Intake(Arc<tokio::sync::Mutex<Poller>>),
    Works(Worker),
}

struct Hand {
    probe: Arc<Probe>,
    does: Does,
    running: Option<JoinHandle<Result<bool, String>>>,
}

/// A worker that stands still in the middle of a turn and was replaced.
pub struct Sleeper {
    probe: Arc<Probe>,
    task: JoinHandle<Result<bool, String>>,
}

/// What lives until the process dies.
struct Process {
    hands: Vec<Hand>,
    store: Arc<SqliteJournal>,
    runtime: Runtime,
}

/// The whole house.
pub struct House {
    process: Option<Process>,
    /// The simulators.
    pub sim: Sim,
    /// The time that the product goes by.
    pub clock: Clock,
    /// The time that the vendors go by.
    pub vendors_clock: Clock,
    /// What the store answered.
    pub seen: Arc<Mutex<Seen>>,
    /// How many processes died or were stopped.
    pub deaths: u64,
    config: Config,
    _data: Option<tempfile::TempDir>,
    _world: tempfile::TempDir,
    _vendors: Runtime,
}

impl House {
    /// Simulators over these tickets, and a first process. Nothing here is about the disk: a folder in memory is as good, and
    /// quick.
    pub fn new(tickets: &[Value], seed: u64) -> House {
        let data = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder");
        let path = data.path().to_owned();
        let mut house = House::on(tickets, seed, path);
        house._data = Some(data);
        house
    }

    /// The same with the journal in this folder, which the caller looks after.
    pub fn on(tickets: &[Value], seed: u64, data: PathBuf) -> House {
        let folder = scene::write(tickets);
        let files = world_file::load_dir(folder.path()).expect("a world without mistakes");
        let (vendors_clock, clock) = (Clock::manual(files.now), Clock::manual(files.now));
        let vendors = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let mut options = sim::Options::new(files, vendors_clock.clone());
        options.seed = seed;
        let sim = vendors.block_on(Sim::start(options)).expect("simulators that start");
        let mut config = config_for(&sim, None, data);
        config.limits.model_retries_max = 20;
        let mut house = House {
            process: None,
            sim,
            clock,
            vendors_clock,
            seen: Arc::default(),
            deaths: 0,
            config,
            _data: None,
            _world: folder,
            _vendors: vendors,
        };
        house.start();
        house
    }

    /// The data folder.
    pub fn data(&self) -> &std::path::Path {
        &self.config.data_dir
    }

    /// The world behind the simulators.
    pub fn world(&self) -> &World {
        self.sim.world()
    }

    /// A new process on the data folder.
    fn start(&mut self) {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let within = runtime.enter();
        let fresh = !self.config.data_dir.join("deskhand.db").exists();
        let store = Arc::new(SqliteJournal::open(&self.config.data_dir).expect("a journal that opens"));
        let prompts = Prompts::embedded().expect("prompts");
        let me = UserId(self.world().lock().bot);
        let helpdesk = || app::zendesk_client(&self.config, &self.clock).expect("a client");
        let rules = Arc::new(Rules {
            mode: self.config.mode,
            policy: self.config.policy.clone(),
            limits: self.config.limits.clone(),
            models: self.config.claude.models.clone(),
            holding: prompts.holding.clone(),
        });
        let settings = poller::Settings {
            me,
            runs_per_ticket_per_day_max: self.config.runs_per_ticket_per_day_max,
            channels: self.config.zendesk.channels.clone(),
            first_start_at: self.world().started() - Duration::from_secs(60),
            prompts: prompts.hash.clone(),
        };
        let knowledge = Arc::new(Knowledge::open(Some(&self.config.data_dir.join("knowledge.db"))).expect("an index"));
        if fresh {
            let articles = runtime.block_on(helpdesk().articles()).expect("articles");
            knowledge.replace_all(&articles).expect("an index that is written");
        }
        let performer = app::performer(&self.config, &self.clock, prompts, helpdesk(), knowledge, me, Arc::default());
        let performer = Arc::new(performer.expect("clients"));
        let health = Arc::new(Health::default());
        let hold = Hold::new(store.clone(), self.clock.clone(), health, jiff::tz::TimeZone::UTC, self.config.spend);
        let hold = Arc::new(hold);
        let probe = || Arc::new(Probe::new(store.clone(), self.seen.clone()));
        let door = probe();
        let poller = Poller::new(door.clone(), helpdesk(), self.clock.clone(), settings);
        let mut hands =
            vec![Hand { probe: door, does: Does::Intake(Arc::new(tokio::sync::Mutex::new(poller))), running: None }];
        for number in 1..=WORKERS {
            let probe = probe();
            let worker = Worker {
                name: format!("worker-{number}"),
                journal: probe.clone(),
                performer: performer.clone(),
                rules: rules.clone(),
                hold: hold.clone(),
                clock: self.clock.clone(),
            };
            hands.push(Hand { probe, does: Does::Works(worker), running: None });
        }
        drop(within);
        self.process = Some(Process { hands, store, runtime });
    }

    /// The process dies as it stands, and a new one starts.
    pub fn restart(&mut self) {
        self.deaths += 1;
        // Hands first: the tasks hold the store, and the runtime drops the tasks.
        let Process { hands, store, runtime } = self.process.take().expect("a process");
        drop((hands, runtime, store));
        self.start();
    }

    /// The store, past all probes: for people and for checks.
    pub fn store(&self) -> Arc<SqliteJournal> {
        self.process.as_ref().expect("a process").store.clone()
    }

    /// Waits for something that is no turn.
    pub fn wait<T>(&self, for_: impl Future<Output = T>) -> T {
        self.process.as_ref().expect("a process").runtime.block_on(for_)
    }

    /// Moves the time of everybody.
    pub fn advance(&self, by: Duration) {
        self.vendors_clock.advance(by);
        self.clock.advance(by);
        self.world().tick();
    }

    /// Whether a hand is in the middle of a turn.
    pub fn busy(&self, hand: usize) -> bool {
        self.process.as_ref().expect("a process").hands[hand].running.is_some()
    }

    /// Where a hand stands still.
    pub fn place(&self, hand: usize) -> String {
        self.process.as_ref().expect("a process").hands[hand].probe.at.lock().unwrap().clone()
    }

    /// Another worker in the place of one that stands still for good; the old one stays where it is, and can be woken through
    /// what is returned: it goes on, and says how it ended.
    pub fn replace(&mut self, hand: usize) -> Sleeper {
        let process = self.process.as_mut().expect("a process");
        let one = &mut process.hands[hand];
        let Does::Works(worker) = &mut one.does else { unreachable!("workers are replaced") };
        let probe = Arc::new(Probe::new(process.store.clone(), self.seen.clone()));
        worker.journal = probe.clone();
        let probe = std::mem::replace(&mut one.probe, probe);
        Sleeper { probe, task: one.running.take().expect("a turn that stands still") }
    }

    /// Wakes a worker that was replaced.
    pub fn wake(&self, sleeper: Sleeper) -> Result<bool, String> {
        sleeper.probe.gate.send_replace(Gate::Open);
        self.wait(sleeper.task).unwrap_or_else(|panicked| Err(format!("it panicked: {panicked}")))
    }

    /// How many calls of the journal a hand has made.
    pub fn passed(&self, hand: usize) -> usize {
        self.process.as_ref().expect("a process").hands[hand].probe.passed.load(Ordering::Relaxed)
    }

    /// Starts a turn of a hand that rests and goes along with it; `plan` says what may come in between, and `patient` whether
    /// the clock is moved for a turn that waits for it.
    pub fn turn(&mut self, hand: usize, turn: Turn, plan: Option<(usize, Fate)>, patient: bool) -> Left {
        let process = self.process.as_mut().expect("a process");
        let one = &mut process.hands[hand];
        assert!(one.running.is_none(), "a hand makes one turn at a time");
        one.probe.plan(plan);
        let task = match (&one.does, turn) {
            (Does::Works(worker), Turn::Work) => {
                let worker = worker.clone();
                process.runtime.spawn(async move { worker.tick().await.map_err(|failed| failed.to_string()) })
            }
            (Does::Intake(poller), Turn::List | Turn::Export) => {
                let poller = poller.clone();
                process.runtime.spawn(async move {
                    let mut poller = poller.lock().await;
                    let arrived = match turn {
                        Turn::List => poller.tick_list().await,
                        _ => poller.tick_incremental().await,
                    };
                    arrived.map(|arrived| arrived > 0).map_err(|failed| failed.to_string())
                })
            }
            _ => unreachable!("intake reads, workers work"),
        };
        one.running = Some(task);
        self.go_along(hand, patient)
    }

    /// A worker's turn up to the first call of the journal whose name holds these words; it stands still there.
    pub fn stop_at(&mut self, hand: usize, words: &str, fate: Fate) {
        let mut left = self.turn(hand, Turn::Work, Some((0, fate)), true);
        while left == Left::Stopped && !self.place(hand).contains(words) {
            left = self.go_on(hand, Some((0, fate)), true);
        }
        assert_eq!(left, Left::Stopped, "`{words}` was never reached");
    }

    /// Lets a hand that stands still go on, and goes along with it.
    pub fn go_on(&mut self, hand: usize, plan: Option<(usize, Fate)>, patient: bool) -> Left {
        let probe = self.process.as_ref().expect("a process").hands[hand].probe.clone();
        probe.plan(plan);
        probe.gate.send_replace(Gate::Open);
        drop(probe); // It holds the store, should the process die.
        self.go_along(hand, patient)
    }

    fn go_along(&mut self, hand: usize, patient: bool) -> Left {
        let (ours, vendors, world) = (self.clock.clone(), self.vendors_clock.clone(), self.sim.world().clone());
        let Process { hands, runtime, .. } = self.process.as_mut().expect("a process");
        let alive: Vec<Arc<Probe>> = hands.iter().map(|hand| hand.probe.clone()).collect();
        let life = || {
            let calls: u64 = alive.iter().map(|probe| probe.calls.load(Ordering::Relaxed)).sum();
            let world = world.lock();
            let counts = world.counters.values().flat_map(|routes| routes.values()).flat_map(|what| what.values());
            calls + counts.sum::<u64>() + world.mails.len() as u64
        };
        let Hand { probe, running, .. } = &mut hands[hand];
        let task = running.as_mut().expect("a turn that runs");
        let mut gate = probe.gate.subscribe();
        let real = Clock::system();
        let watch = real.stopwatch();
        let left = runtime.block_on(async {
            let (mut before, mut since_ms, mut step) = (life(), 0, Duration::from_millis(500));
            loop {
                match *gate.borrow_and_update() {
                    Gate::Dead => return Left::Died,
                    Gate::Stopped => return Left::Stopped,
                    Gate::Open => {}
                }
                tokio::select! {
                    biased;
                    ended = &mut *task => {
                        return Left::Ended(ended.unwrap_or_else(|panicked| Err(format!("it panicked: {panicked}"))));
                    }
                    _ = gate.changed() => {}
                    () = real.sleep(Duration::from_millis(5)) => {}
                }
                let (now, now_ms) = (life(), watch.elapsed_ms());
                assert!(u128::from(now_ms) < STUCK.as_millis(), "a turn came to no end");
                if now != before {
                    (before, since_ms, step) = (now, now_ms, Duration::from_millis(500));
                } else if !patient && u128::from(now_ms - since_ms) >= HANGS.as_millis() {
                    return Left::Hanging;
                } else if patient && u128::from(now_ms - since_ms) >= QUIET.as_millis() {
                    vendors.advance(step);
                    ours.advance(step);
                    (since_ms, step) = (now_ms, (step * 2).min(Duration::from_secs(30)));
                }
            }
        });
        probe.plan(None);
        drop(alive); // A probe holds the store, and a new process needs it free.
        match left {
            Left::Ended(_) => *running = None,
            Left::Died => self.restart(),
            Left::Stopped | Left::Hanging => {}
        }
        left
    }
}
