//! One seed from start to rest: turns in a seeded order, each followed by the checks.

use std::collections::BTreeMap;
use std::time::Duration;

use deskhand::agent::worker::LEASE_TTL;
use deskhand::ids::{ApprovalId, RunId};
use deskhand::journal::Journal;
use deskhand::journal::views::{ApprovalFilter, Views};
use deskhand::money::Money;
use deskhand::run::decide::{self, Recorded, Refused};
use deskhand::run::entry::Decision;
use deskhand::run::row::{ApprovalRow, RunStatus};
use deskhand::sim::faults::{Faults, catalog};
use deskhand::sim::world::{Event, NewComment, TicketUpdate};
use deskhand::sim::world_file::TicketStatus;
use jiff::SignedDuration;

use super::checks::Checks;
use super::dice::Dice;
use super::house::{House, INTAKE, Left, Turn, WORKERS};
use super::probe::Fate;
use super::scene;

/// What a seed came to.
pub struct Report {
    /// Turns made.
    pub turns: usize,
    /// Processes that died.
    pub deaths: u64,
    /// Stale leases that were refused.
    pub stale: u64,
    /// How the runs ended.
    pub outcomes: BTreeMap<String, usize>,
    /// What did not hold; empty when all did.
    pub wrong: Vec<String>,
    /// The turns, a line each.
    pub told: Vec<String>,
    /// The journal's lines.
    pub journal: String,
}

/// How many turns before everything is let come to rest.
const TURNS: std::ops::RangeInclusive<i64> = 40..=90;
/// How many rounds the way to rest may take.
const ROUNDS_TO_REST: usize = 400;

/// What the driver does next.
#[derive(Debug, Clone, Copy)]
enum Act {
    List,
    Export,
    Work,
    WakeUp,
    TakeAway,
    Soon,
    Later,
    NextTimer,
    Jump,
    Decide,
    Undo,
    TakeOver,
    PersonOnTicket,
    CustomerWrites,
    Faults,
    Pause,
    Die,
}

const ACTS: [(usize, Act); 17] = [
    (12, Act::List),
    (4, Act::Export),
    (40, Act::Work),
    (8, Act::WakeUp),
    (8, Act::TakeAway),
    (10, Act::Soon),
    (3, Act::Later),
    (8, Act::NextTimer),
    (1, Act::Jump),
    (6, Act::Decide),
    (2, Act::Undo),
    (1, Act::TakeOver),
    (2, Act::PersonOnTicket),
    (3, Act::CustomerWrites),
    (5, Act::Faults),
    (1, Act::Pause),
    (2, Act::Die),
];

/// Faults that a seed may not put in force, each with its reason.
const LEFT_OUT: [&str; 3] = [
    "404",     // The vendor says that a ticket or payment is not there; what follows from that is right.
    "403",     // The same with a right that was taken away.
    "stalled", // Ended by a time-out that runs in real time.
];

struct Driver {
    house: House,
    checks: Checks,
    dice: Dice,
    told: Vec<String>,
    wrong: Vec<String>,
    /// How far the product's clock is off the vendors', in hours.
    off_h: i64,
    /// How often a customer wrote by chance; the words differ.
    wrote: usize,
    /// The ticket list is read as well, and not the export alone: the list is quick and may miss, the export must not.
    with_list: bool,
}

/// Plays a seed.
pub fn play(seed: u64) -> Report {
    let mut dice = Dice::new(seed, "world");
    let tickets: Vec<_> = scene::tickets(&mut dice);
    let files: Vec<_> = tickets.iter().map(|(_, ticket)| ticket.clone()).collect();
    let house = House::new(&files, seed);
    let kinds: Vec<String> = tickets.iter().map(|(kind, file)| format!("{} {kind:?}", file["id"])).collect();
    let mut driver = Driver {
        house,
        checks: Checks::default(),
        dice: Dice::new(seed, "turns"),
        told: vec![format!("tickets: {}", kinds.join(", "))],
        wrong: Vec::new(),
        off_h: 0,
        wrote: 0,
        with_list: true,
    };
    driver.with_list = driver.dice.percent(70);
    let turns = driver.dice.between(*TURNS.start(), *TURNS.end());
    for _ in 0..turns {
        driver.act();
        driver.check();
        if !driver.wrong.is_empty() {
            break;
        }
    }
    if driver.wrong.is_empty() {
        driver.come_to_rest();
    }
    let stale = driver.house.seen.lock().unwrap().stale;
    Report {
        turns: driver.told.len() - 1,
        deaths: driver.house.deaths,
        stale,
        outcomes: driver.checks.outcomes(),
        journal: driver.checks.print(),
        wrong: driver.wrong,
        told: driver.told,
    }
}

impl Driver {
    fn tell(&mut self, what: impl Into<String>) {
        let line = format!("{} {}", self.house.clock.now().strftime("%H:%M:%S%.3f"), what.into());
        if std::env::var_os("DESKHAND_SIM_SEED").is_some() {
            println!("{line}");
        }
        self.told.push(line);
    }

    fn check(&mut self) {
        let wrong = self.checks.after_turn(&self.house);
        self.wrong.extend(wrong);
    }

    fn act(&mut self) {
        match self.dice.weighted(&ACTS) {
            Act::List if !self.with_list => self.turn_of(INTAKE, Turn::Export),
            Act::List => self.turn_of(INTAKE, Turn::List),
            Act::Export => self.turn_of(INTAKE, Turn::Export),
            Act::Work => {
                let worker = 1 + self.dice.below(WORKERS);
                self.turn_of(worker, Turn::Work);
            }
            Act::WakeUp => self.wake_up(),
            Act::TakeAway => self.take_away(),
            Act::Soon => {
                let ms = *self.dice.pick(&[400, 1_200, 2_500, 4_000, 10_000]);
                self.advance(Duration::from_millis(ms));
            }
            Act::Later => {
                let s = self.dice.weighted(&[(6, 20), (6, 60), (4, 600), (3, 3_700), (1, 90_000), (1, 700_000)]);
                self.advance(Duration::from_secs(s));
            }
            Act::NextTimer => self.move_to_next_timer(),
            Act::Jump => self.jump(),
            Act::Decide => self.decide(),
            Act::Undo => self.undo(),
            Act::TakeOver => self.take_over(),
            Act::PersonOnTicket => self.person_on_ticket(),
            Act::CustomerWrites => self.customer_writes(),
            Act::Faults => self.set_faults(),
            Act::Pause => self.pause(),
            Act::Die => {
                self.tell("the process is killed");
                self.house.restart();
            }
        }
    }

    /// What may come in the middle of a turn.
    fn plan(&mut self) -> Option<(usize, Fate)> {
        if !self.dice.percent(50) {
            return None;
        }
        let fates = [(2, Fate::DieBefore), (2, Fate::DieAfter), (3, Fate::StopBefore), (5, Fate::StopAfter)];
        Some((self.dice.below(14), self.dice.weighted(&fates)))
    }

    fn turn_of(&mut self, hand: usize, turn: Turn) {
        let plan = self.plan();
        let patient = self.dice.percent(70);
        if self.house.busy(hand) {
            return self.wake(hand, plan, patient);
        }
        let left = self.house.turn(hand, turn, plan, patient);
        self.tell_left(hand, &format!("{turn:?}"), plan, &left);
    }

    fn wake_up(&mut self) {
        let busy: Vec<usize> = (0..=WORKERS).filter(|hand| self.house.busy(*hand)).collect();
        if busy.is_empty() {
            return;
        }
        let hand = *self.dice.pick(&busy);
        let (plan, patient) = (self.plan(), self.dice.percent(70));
        self.wake(hand, plan, patient);
    }

    /// A worker that stands still loses its lease to another one.
    fn take_away(&mut self) {
        let (busy, free): (Vec<usize>, Vec<usize>) = (1..=WORKERS).partition(|hand| self.house.busy(*hand));
        if busy.is_empty() || free.is_empty() {
            return;
        }
        self.advance(LEASE_TTL + Duration::from_secs(1));
        let hand = *self.dice.pick(&free);
        for _ in 0..1 + self.dice.below(4) {
            self.turn_of(hand, Turn::Work);
            self.check();
        }
        let late = *self.dice.pick(&busy);
        if self.dice.percent(50) && self.house.busy(late) {
            self.wake(late, None, true);
        }
    }

    fn wake(&mut self, hand: usize, plan: Option<(usize, Fate)>, patient: bool) {
        let left = self.house.go_on(hand, plan, patient);
        self.tell_left(hand, "goes on", plan, &left);
    }

    fn tell_left(&mut self, hand: usize, what: &str, plan: Option<(usize, Fate)>, left: &Left) {
        let who = if hand == INTAKE { "intake".to_owned() } else { format!("worker {hand}") };
        let came = match left {
            Left::Ended(Ok(true)) => "done".to_owned(),
            Left::Ended(Ok(false)) => "nothing to do".to_owned(),
            Left::Ended(Err(why)) => why.lines().next().unwrap_or_default().to_owned(),
            Left::Stopped => format!("stands still: {}", self.house.place(hand)),
            Left::Hanging => "hangs in a request".to_owned(),
            Left::Died => format!("the process died ({plan:?})"),
        };
        self.tell(format!("{who}: {what}: {came}"));
    }

    fn advance(&mut self, by: Duration) {
        self.house.advance(by);
        self.tell(format!("{} ms passed", by.as_millis()));
    }

    fn move_to_next_timer(&mut self) {
        let store = self.house.store();
        let wake = self.house.wait(store.next_wake()).expect("a journal that reads");
        let now_ms = self.house.clock.now_ms();
        let event =
            self.house.world().next_event_at().map(|at| at.as_millisecond() - self.house.vendors_clock.now_ms());
        let left = wake.map(|at| at - now_ms).into_iter().chain(event).filter(|left| *left > 0).min();
        if let Some(left) = left {
            self.advance(Duration::from_millis(left.unsigned_abs() + 1));
        }
    }

    fn jump(&mut self) {
        let to = *self.dice.pick(&[-1, 0, 1]);
        let by = to - self.off_h;
        if by != 0 {
            self.off_h = to;
            self.house.clock.jump(SignedDuration::from_hours(by));
            self.tell(format!("our clock jumps by {by} h"));
        }
    }

    /// A person acts on what they saw: the entries were read a moment before.
    fn interject(
        &mut self,
        run: &RunId,
        act: impl Fn(&[deskhand::run::entry::Entry]) -> Result<Recorded, Refused>,
    ) -> String {
        let store = self.house.store();
        let Ok(entries) = self.house.wait(store.entries(run)) else { return "no such run".into() };
        match act(&entries) {
            Err(refused) => refused.to_string(),
            Ok((len, new, rows)) => {
                self.house.seen.lock().unwrap().moved.insert(run.clone());
                let first = self.house.wait(store.interject(run, len, new.clone(), rows.clone()));
                let second = self.house.wait(store.interject(run, len, new, rows));
                if first.is_ok() && second.is_ok() {
                    self.wrong.push(format!("`{run}`: a second click was taken"));
                }
                first.map_or_else(|failed| failed.to_string(), |()| "taken down".into())
            }
        }
    }

    fn approvals(&self) -> Vec<ApprovalRow> {
        let store = self.house.store();
        self.house.wait(store.approvals(ApprovalFilter::All, 50)).expect("a journal that reads")
    }

    fn decide(&mut self) {
        let approvals = self.approvals();
        if approvals.is_empty() {
            return;
        }
        let row = self.dice.pick(&approvals).clone();
        let part = row.amount.map(|amount| Money::new(amount.minor / 2, amount.currency));
        let decision = match (self.dice.below(4), part) {
            (0, _) => Decision::Reject,
            (1, Some(amount)) => Decision::Amount { amount },
            _ => Decision::Approve,
        };
        let hold_ms = *self.dice.pick(&[0, 60_000]);
        let (now, id) = (self.house.clock.now(), row.approval.clone());
        let chosen = decision.clone();
        let came = self.interject(&row.run, move |entries| {
            decide::decide(entries, &id, decision.clone(), "Pat", "as it should be", now, hold_ms)
        });
        self.tell(format!("Pat decides {chosen:?} on {}: {came}", row.approval));
        if self.dice.percent(25) {
            // Between the decision and its effect the ticket changes.
            let ticket = self.house.world().ticket(run_ticket(&row.run)).map(|ticket| (ticket.id, ticket.requester));
            match ticket {
                Some(ticket) if self.dice.percent(60) => self.person_acts(ticket),
                Some(ticket) => self.customer_acts(ticket),
                None => {}
            }
        }
    }

    fn undo(&mut self) {
        let approvals = self.approvals();
        if approvals.is_empty() {
            return;
        }
        let row = self.dice.pick(&approvals).clone();
        let (now, id): (_, ApprovalId) = (self.house.clock.now(), row.approval.clone());
        let came = self.interject(&row.run, move |entries| decide::undo(entries, &id, "Pat", now));
        self.tell(format!("Pat takes the decision on {} back: {came}", row.approval));
    }

    fn take_over(&mut self) {
        let runs = self.open_runs();
        if runs.is_empty() {
            return;
        }
        let run = self.dice.pick(&runs).clone();
        let now = self.house.clock.now();
        let came = self.interject(&run, move |entries| decide::take_over(entries, "Pat", now));
        self.tell(format!("Pat takes {run} over: {came}"));
    }

    fn open_runs(&self) -> Vec<RunId> {
        let store = self.house.store();
        let rows = self.house.wait(store.runs(&Default::default(), None, 100)).expect("a journal that reads");
        let mut runs: Vec<RunId> =
            rows.into_iter().filter(|row| row.status != RunStatus::Closed).map(|row| row.run).collect();
        runs.sort();
        runs
    }

    fn person_on_ticket(&mut self) {
        if let Some(ticket) = self.some_ticket() {
            self.person_acts(ticket);
        }
    }

    fn person_acts(&mut self, (ticket, _): (i64, i64)) {
        let (author, what) = (20_001, self.dice.below(4));
        let say = |public: bool| NewComment {
            author,
            public,
            body: "I look into it.".into(),
            html: "<p>I look into it.</p>".into(),
            flags: Vec::new(),
        };
        let plain = || TicketUpdate { author, channel: "web".into(), ..TicketUpdate::default() };
        let (what, update) = match what {
            0 => ("assigns it", TicketUpdate { assignee: Some(Some(author)), ..plain() }),
            1 => ("answers", TicketUpdate { comment: Some(say(true)), ..plain() }),
            2 => ("writes a note", TicketUpdate { comment: Some(say(false)), ..plain() }),
            _ => ("tags it", TicketUpdate { tags: Some(vec!["vip".into()]), ..plain() }),
        };
        self.house.world().lock().apply(Event::TicketUpdated { ticket, update });
        self.tell(format!("Pat on ticket {ticket}: {what}"));
    }

    fn customer_writes(&mut self) {
        if let Some(ticket) = self.some_ticket() {
            self.customer_acts(ticket);
        }
    }

    fn customer_acts(&mut self, (ticket, requester): (i64, i64)) {
        self.wrote += 1;
        let texts =
            ["And please be quick", "I forgot to say: it came late", "Is there any news", "Please use my old address"];
        let body = format!("{} ({}).", self.dice.pick(&texts), self.wrote);
        let html = format!("<p>{body}</p>");
        let comment = NewComment { author: requester, public: true, body, html, flags: Vec::new() };
        let update = TicketUpdate {
            author: requester,
            comment: Some(comment),
            status: Some("open".into()),
            channel: "email".into(),
            ..TicketUpdate::default()
        };
        self.house.world().lock().apply(Event::TicketUpdated { ticket, update });
        self.tell(format!("the customer writes on ticket {ticket}"));
    }

    /// A ticket that is not closed, with its requester.
    fn some_ticket(&mut self) -> Option<(i64, i64)> {
        let open: Vec<(i64, i64)> = {
            let world = self.house.world().lock();
            let open = world.tickets.values().filter(|ticket| ticket.status != TicketStatus::Closed);
            open.map(|ticket| (ticket.id, ticket.requester)).collect()
        };
        (!open.is_empty()).then(|| *self.dice.pick(&open))
    }

    fn set_faults(&mut self) {
        let known: Vec<(&str, &str)> = catalog::FAULTS
            .iter()
            .filter(|known| !LEFT_OUT.contains(&known.name))
            .flat_map(|known| known.vendors.iter().map(|vendor| (*vendor, known.name)))
            .filter(|(vendor, _)| *vendor != "clock") // Our clock is set by the driver.
            .collect();
        let mut spec = Vec::new();
        for _ in 0..self.dice.below(4) {
            // A vendor first: the one with most faults is not struck most.
            let vendor = *self.dice.pick(&["zendesk", "zendesk", "stripe", "billing", "claude", "smtp"]);
            let names: Vec<&str> = known.iter().filter(|(of, _)| *of == vendor).map(|(_, name)| *name).collect();
            let name = *self.dice.pick(&names);
            let number = if matches!(name, "late" | "late_after" | "done_late") && self.dice.percent(60) {
                format!(":{}", self.dice.pick(&[3_000, 12_000, 20_000]))
            } else {
                String::new()
            };
            let how = *self.dice.pick(&["1x", "1x", "2x", "0.1", "0.3"]);
            spec.push(format!("{vendor}.{name}{number}={how}"));
        }
        let spec = spec.join(",");
        let faults: Faults = spec.parse().expect("faults that exist");
        self.house.sim.faults().replace(faults);
        self.tell(format!("faults: {}", if spec.is_empty() { "none" } else { &spec }));
    }

    fn pause(&mut self) {
        let value = if self.dice.percent(50) { "a test" } else { "" };
        self.set_pause(value);
    }

    fn set_pause(&mut self, value: &str) {
        let store = self.house.store();
        let now_ms = self.house.clock.now_ms();
        self.house.wait(store.set_switch("paused", value, "Pat", now_ms)).expect("a switch that can be set");
        self.tell(if value.is_empty() { "Pat resumes" } else { "Pat pauses" });
    }

    /// Nothing goes wrong any more, time passes, everybody works.
    fn come_to_rest(&mut self) {
        self.tell("from here on nothing goes wrong");
        self.house.sim.faults().replace(Faults::default());
        self.set_pause("");
        if self.off_h != 0 {
            self.house.clock.jump(SignedDuration::from_hours(-self.off_h));
            self.off_h = 0;
        }
        let expire = self.dice.percent(50);
        // Those who stand still are woken first, or when the others have done everything.
        let late_from = if self.dice.percent(50) { 0 } else { 8 };
        let mut quiet = 0;
        for round in 0..ROUNDS_TO_REST {
            for hand in 0..=WORKERS {
                if self.house.busy(hand) && (round >= late_from || hand == INTAKE) {
                    self.wake(hand, None, true);
                }
            }
            for turn in if self.with_list { [Turn::List, Turn::Export] } else { [Turn::Export; 2] } {
                let left = self.house.turn(INTAKE, turn, None, true);
                if let Left::Ended(Err(why)) = left {
                    self.tell(format!("intake: {why}"));
                }
            }
            let mut worked = false;
            for worker in 1..=WORKERS {
                if self.house.busy(worker) {
                    worked = true;
                    self.advance(Duration::from_secs(2));
                    continue;
                }
                let left = self.house.turn(worker, Turn::Work, None, true);
                worked |= left == Left::Ended(Ok(true));
                if left != Left::Ended(Ok(false)) {
                    self.tell_left(worker, "Work", None, &left);
                }
            }
            self.check();
            if !self.wrong.is_empty() {
                return;
            }
            quiet = if worked { 0 } else { quiet + 1 };
            if worked {
                continue;
            }
            // Quiet at rest for longer than a lane may lag.
            if quiet >= 4 && self.is_at_rest(expire) {
                let wrong = self.checks.at_rest(&self.house);
                self.wrong.extend(wrong);
                return;
            }
            // Lanes look back, stamps settle, the export lags by a minute and may be asked ten times in one.
            self.advance(Duration::from_secs(if self.with_list { 2 } else { 70 }));
            self.move_to_next_timer();
        }
        self.wrong.push(format!("no rest after {ROUNDS_TO_REST} rounds"));
    }

    fn is_at_rest(&self, expire: bool) -> bool {
        let store = self.house.store();
        let wake = self.house.wait(store.next_wake()).expect("a journal that reads");
        let rows = self.house.wait(store.runs(&Default::default(), None, 100)).expect("a journal that reads");
        let waits_for_person = |status| status == RunStatus::WaitingApproval && !expire;
        let all = rows.iter().all(|row| row.status == RunStatus::Closed || waits_for_person(row.status));
        let mails = rows.iter().any(|row| row.status == RunStatus::Closed && row.wake_ms.is_some());
        let world = self.house.world();
        all && !mails && (wake.is_none() || !expire) && world.next_event_at().is_none() && world.all_arrived()
    }
}

/// The ticket of a run, from its id.
fn run_ticket(run: &RunId) -> i64 {
    run.as_str().split('_').nth(1).and_then(|id| id.parse().ok()).expect("a run's id names its ticket")
}
