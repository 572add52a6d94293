//! A worker that stops at every call of the journal, one after the other: another one goes on after the lease and ends the run
//! as if nothing had happened; and the first, woken when all is done, is refused and doubles nothing. A worker that never
//! wakes is one that died.
//!
//! `DESKHAND_SIM_ALL=1` tries every call of every shape, and pairs; a usual run tries each fifth.

use std::collections::BTreeMap;
use std::time::Duration;

use deskhand::agent::worker::LEASE_TTL;
use deskhand::clock::Clock;
use deskhand::ids::{RunId, TicketId};
use deskhand::journal::Journal;
use deskhand::journal::views::Views;
use deskhand::money::Money;
use deskhand::policy::RuleId;
use deskhand::run::decide;
use deskhand::run::entry::{Decision, Entry, Outcome};
use deskhand::run::row::RunStatus;
use deskhand::run::state::RunState;
use deskhand::sim::world::{Event, NewComment, TicketUpdate};
use serde_json::Value;

use super::checks::{self, Checks};
use super::dice::Dice;
use super::house::{House, INTAKE, Left, Sleeper, Turn};
use super::probe::{Fate, kind};
use super::scene::{Kind, ticket};

/// What somebody does when the run waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Approve,
    Reject,
    Half,
    CustomerWrites,
    TakesOver,
    Answers,
    Expires,
}

const SHAPES: [(Kind, Beside); 17] = [
    (Kind::Refund, Beside::Nothing),
    (Kind::LargeRefund, Beside::Approve),
    (Kind::LargeRefund, Beside::Reject),
    (Kind::LargeRefund, Beside::Half),
    (Kind::LargeRefund, Beside::CustomerWrites),
    (Kind::LargeRefund, Beside::TakesOver),
    (Kind::LargeRefund, Beside::Answers),
    (Kind::LargeRefund, Beside::Expires),
    (Kind::SplitRefund, Beside::Approve),
    (Kind::Seats, Beside::Nothing),
    (Kind::Mail, Beside::Nothing),
    (Kind::LaterMail, Beside::Nothing),
    (Kind::Everything, Beside::Nothing),
    (Kind::Question, Beside::Nothing),
    (Kind::HandedOver, Beside::Nothing),
    (Kind::AsksForPerson, Beside::Nothing),
    (Kind::Forgetful, Beside::Nothing),
];

/// How many tickets a shape's world has: one undisturbed, the others for the stops.
const TICKETS: i64 = 90;
/// Seconds between two tickets: more than the longest wait of one.
const APART_S: i64 = 10 * 86_400;

struct Shape {
    name: String,
    kind: Kind,
    beside: Beside,
    house: House,
    checks: Checks,
    next: i64,
}

/// How a ticket ended.
#[derive(Debug, PartialEq, Eq)]
struct End {
    outcome: Option<Outcome>,
    lines: Vec<String>,
    deeds: BTreeMap<String, usize>,
}

impl Shape {
    fn new(kind: Kind, beside: Beside) -> Shape {
        // The same dice for each ticket: they all want the same.
        let one = |at: i64| {
            let mut file = ticket(&mut Dice::new(1, "cuts"), 7_001 + at, at, kind, at * APART_S);
            file.as_object_mut().expect("an object").shift_remove("then");
            file
        };
        let files: Vec<Value> = (0..TICKETS).map(one).collect();
        let house = House::new(&files, 1);
        Shape { name: format!("{kind:?}/{beside:?}"), kind, beside, house, checks: Checks::default(), next: 0 }
    }

    /// Lets the next ticket arrive; it is the only one that is open.
    fn arrive(&mut self) -> i64 {
        let (ticket, due_s) = (7_001 + self.next, self.next * APART_S);
        self.next += 1;
        let due = self.house.world().started() + Duration::from_secs(due_s.unsigned_abs() + 3);
        if let Ok(left) = Duration::try_from(due.duration_since(self.house.vendors_clock.now())) {
            self.house.advance(left);
        }
        assert!(self.house.world().ticket(ticket).is_some(), "{}: ticket {ticket} came not", self.name);
        ticket
    }

    /// Moves a ticket to its end. Each stop is a worker's number of calls (over its turns) and what happens then; the workers
    /// are 1, then 2, then 3. Returns how it ended, the calls that worker 1 made, and who stands still.
    fn walk(&mut self, ticket: i64, stops: &[(usize, Fate)]) -> (End, usize, Vec<Sleeper>) {
        let what = format!("{} ticket {ticket} {stops:?}", self.name);
        let (mut asleep, mut acted) = (Vec::new(), false);
        let mut start = self.house.passed(1);
        let begin = start;
        let mut stops = stops.iter();
        let mut stop = stops.next();
        for _ in 0..60 {
            for turn in [Turn::List, Turn::Export] {
                let left = self.house.turn(INTAKE, turn, None, true);
                assert!(matches!(left, Left::Ended(Ok(_))), "{what}: intake {left:?}");
            }
            loop {
                let passed = self.house.passed(1) - start;
                let plan = stop.and_then(|(at, fate)| Some((at.checked_sub(passed)?, *fate)));
                match self.house.turn(1, Turn::Work, plan, true) {
                    Left::Ended(Ok(true)) => {}
                    Left::Ended(Ok(false)) => break,
                    Left::Stopped => {
                        asleep.push(self.house.replace(1));
                        (start, stop) = (self.house.passed(1), stops.next());
                        self.house.advance(LEASE_TTL + Duration::from_millis(1));
                    }
                    other => panic!("{what}: {other:?}"),
                }
                self.check(&what);
            }
            self.check(&what);
            let run = self.run(ticket);
            let store = self.house.store();
            let row = self.house.wait(store.run(&run)).unwrap().unwrap();
            match (row.status, row.wake_ms) {
                (RunStatus::WaitingApproval, _) if self.beside == Beside::Expires => {
                    self.house.advance(Duration::from_secs(7 * 86_400));
                }
                (RunStatus::WaitingApproval, _) if acted && self.beside == Beside::CustomerWrites => {
                    self.beside = Beside::Approve; // What the customer wrote has joined; the question stands.
                    self.act(ticket, &run);
                    self.beside = Beside::CustomerWrites;
                }
                (RunStatus::WaitingApproval, _) if acted => panic!("{what}: it waits again"),
                (RunStatus::WaitingApproval, _) => {
                    acted = true;
                    self.act(ticket, &run);
                }
                (RunStatus::Closed, None) => {
                    let calls = self.house.passed(1).saturating_sub(begin);
                    return (self.end(ticket, &run), calls, asleep);
                }
                (_, Some(wake_ms)) => {
                    let left = u64::try_from(wake_ms - self.house.clock.now_ms()).unwrap_or(0);
                    self.house.advance(Duration::from_millis(left + 1));
                }
                (status, None) => panic!("{what}: {status:?} without a time"),
            }
        }
        panic!("{what}: it came to no end");
    }

    fn check(&mut self, what: &str) {
        let wrong = self.checks.after_turn(&self.house);
        assert!(wrong.is_empty(), "{what}: {}\n{}", wrong.join("\n"), self.checks.print());
    }

    fn run(&self, ticket: i64) -> RunId {
        let store = self.house.store();
        let rows = self.house.wait(store.runs_of_ticket(TicketId(ticket))).unwrap();
        rows.last().expect("a run").run.clone()
    }

    fn entries(&self, run: &RunId) -> Vec<Entry> {
        let store = self.house.store();
        self.house.wait(store.entries(run)).unwrap()
    }

    fn act(&mut self, ticket: i64, run: &RunId) {
        let entries = self.entries(run);
        let state = RunState::fold(&entries).unwrap();
        let approval = state.pending_approval().expect("an approval").clone();
        let now = self.house.clock.now();
        let decision = match (self.beside, &approval.intent) {
            (Beside::Approve, _) => Decision::Approve,
            (Beside::Reject, _) => Decision::Reject,
            (Beside::Half, deskhand::intent::Intent::CreateRefund(refund)) => {
                Decision::Amount { amount: Money::new(refund.amount_minor / 2, refund.currency) }
            }
            _ => return self.act_on_ticket(ticket, run, &entries),
        };
        let (len, new, rows) = decide::decide(&entries, &approval.id, decision, "Pat", "", now, 60_000).unwrap();
        self.interject(run, len, new, rows);
    }

    fn interject(&self, run: &RunId, len: u64, new: Vec<Entry>, rows: deskhand::run::row::Projection) {
        self.house.seen.lock().unwrap().moved.insert(run.clone());
        let store = self.house.store();
        self.house.wait(store.interject(run, len, new, rows)).unwrap();
    }

    fn act_on_ticket(&mut self, ticket: i64, run: &RunId, entries: &[Entry]) {
        let requester = self.house.world().ticket(ticket).expect("a ticket").requester;
        let author = match self.beside {
            Beside::TakesOver => {
                let (len, new, rows) = decide::take_over(entries, "Pat", self.house.clock.now()).unwrap();
                return self.interject(run, len, new, rows);
            }
            Beside::CustomerWrites => requester,
            Beside::Answers => 20_001,
            other => panic!("{other:?} is no act"),
        };
        let (body, html) =
            ("I forgot to say: it came late.".to_owned(), "<p>I forgot to say: it came late.</p>".to_owned());
        let comment = NewComment { author, public: true, body, html, flags: Vec::new() };
        let update =
            TicketUpdate { author, comment: Some(comment), channel: "email".into(), ..TicketUpdate::default() };
        self.house.world().lock().apply(Event::TicketUpdated { ticket, update });
        self.house.advance(Duration::from_secs(3));
        if self.beside == Beside::Answers {
            // Nobody has told the run yet: a colleague approves, and the agent finds out at the last moment.
            self.beside = Beside::Approve;
            self.act(ticket, run);
            self.beside = Beside::Answers;
        }
    }

    fn end(&self, ticket: i64, run: &RunId) -> End {
        let entries = self.entries(run);
        let state = RunState::fold(&entries).unwrap();
        // A call whose answer was lost is asked again: that is all that may differ.
        let mut lines: Vec<String> = entries.iter().map(kind).filter(|line| !line.starts_with("call_lost")).collect();
        lines.sort(); // Reads side by side end in any order.
        End { outcome: state.outcome, lines, deeds: checks::deeds_on(self.house.world(), ticket) }
    }

    /// Stops at these calls, then compares with the undisturbed end, then wakes who stood still.
    fn disturb(&mut self, whole: &End, stops: &[(usize, Fate)]) -> usize {
        let ticket = self.arrive();
        let what = format!("{} ticket {ticket} {stops:?}", self.name);
        let (end, _, asleep) = self.walk(ticket, stops);
        let mail = matches!(self.kind, Kind::Mail | Kind::LaterMail | Kind::Everything);
        let unknown = end.outcome == Some(Outcome::Escalated { rule: RuleId::EffectUnknown });
        if mail && (unknown || end.deeds.get("mail") != whole.deeds.get("mail")) {
            // A mail that may have left is never sent again: it is unknown, and a person knows of it.
            assert!(end.deeds.get("mail").copied().unwrap_or(0) <= 1, "{what}: {end:#?}");
        } else if self.beside == Beside::CustomerWrites {
            assert_eq!((&end.outcome, &end.deeds), (&whole.outcome, &whole.deeds), "{what}"); // It may join sooner or later.
        } else {
            assert_eq!(&end, whole, "{what}");
        }
        let stopped = asleep.len();
        for sleeper in asleep {
            let said = self.house.wake(sleeper);
            assert!(said.is_ok(), "{what}: woken, it said {said:?}");
            self.check(&what);
        }
        let run = self.run(ticket);
        assert_eq!(self.end(ticket, &run), end, "{what}: woken, it changed something");
        stopped
    }
}

fn stops_of_shape(at: usize, all: bool) -> (usize, usize) {
    let (kind, beside) = SHAPES[at];
    let mut shape = Shape::new(kind, beside);
    let ticket = shape.arrive();
    let (whole, calls, _) = shape.walk(ticket, &[]);
    let (mut tried, mut stopped) = (0, 0);
    for (nth, call) in (0..calls).flat_map(|call| [(call, Fate::StopBefore), (call, Fate::StopAfter)]).enumerate() {
        if shape.next >= TICKETS - 12 || (!all && nth % 5 != at % 5) {
            continue;
        }
        tried += 1;
        stopped += shape.disturb(&whole, &[call]);
    }
    let mut dice = Dice::new(at as u64, "pairs");
    while all && shape.next < TICKETS {
        let one = |dice: &mut Dice| (dice.below(calls), *dice.pick(&[Fate::StopBefore, Fate::StopAfter]));
        let pair = [one(&mut dice), one(&mut dice)];
        tried += 1;
        stopped += shape.disturb(&whole, &pair);
    }
    println!(
        "{}: {calls} calls, {tried} stops tried, {stopped} met; it ends {:?} {:?}",
        shape.name, whole.outcome, whole.deeds
    );
    (tried, stopped)
}

#[test]
fn a_worker_stopped_at_any_call_and_woken_when_all_is_done_changes_nothing() {
    let all = std::env::var_os("DESKHAND_SIM_ALL").is_some();
    let watch = Clock::system().stopwatch();
    let (mut tried, mut stopped) = (0, 0);
    for at in 0..SHAPES.len() {
        let (more, met) = stops_of_shape(at, all);
        (tried, stopped) = (tried + more, stopped + met);
    }
    println!("{tried} walks, {stopped} stops in {} ms", watch.elapsed_ms());
    assert!(stopped * 10 >= tried * 9, "only {stopped} stops in {tried} walks");
}
