//! Two workers and one run: who stood still past the lease is refused, and who works long keeps it.

use std::time::Duration;

use deskhand::agent::worker::LEASE_TTL;
use deskhand::clock::Clock;
use deskhand::journal::Journal;

use super::checks::{self, Checks};
use super::dice::Dice;
use super::house::{House, INTAKE, Left, Turn};
use super::probe::Fate;
use super::scene::{Kind, ticket};

/// A house whose one ticket has been picked up.
fn house(kind: Kind) -> House {
    let mut file = ticket(&mut Dice::new(1, "leases"), 7_001, 0, kind, 0);
    file.as_object_mut().expect("an object").shift_remove("then");
    let mut house = House::new(&[file], 1);
    house.advance(Duration::from_secs(3));
    assert_eq!(house.turn(INTAKE, Turn::List, None, true), Left::Ended(Ok(true)));
    house
}

fn token(house: &House) -> u64 {
    *house.seen.lock().unwrap().tokens.values().next().expect("a claim")
}

/// Stops worker 1 before it takes down what this step did, lets worker 2 end the run, wakes worker 1.
fn stopped_with_a_deed_in_hand(kind: Kind, step: &str, deeds: &[(&str, usize)]) {
    let mut house = house(kind);
    let mut checks = Checks::default();
    house.stop_at(1, step, Fate::StopBefore);
    assert!(checks.after_turn(&house).is_empty());
    house.advance(LEASE_TTL + Duration::from_millis(1));
    while house.turn(2, Turn::Work, None, true) == Left::Ended(Ok(true)) {}
    assert_eq!(token(&house), 2, "{kind:?}: worker 2 took the run over");
    let lines = checks.print();
    assert_eq!(house.seen.lock().unwrap().stale, 0);
    assert_eq!(house.go_on(1, None, true), Left::Ended(Ok(true)), "{kind:?}");
    assert_eq!(house.seen.lock().unwrap().stale, 1, "{kind:?}: its append was refused\n{lines}");
    let wrong = checks.after_turn(&house);
    assert!(wrong.is_empty(), "{kind:?}: {wrong:?}");
    let done = checks::deeds_on(house.world(), 7_001);
    let wanted = deeds.iter().map(|(what, times)| ((*what).to_owned(), *times)).collect();
    assert_eq!(done, wanted, "{kind:?}");
}

#[test]
fn a_worker_woken_past_its_lease_is_refused_and_nothing_is_doubled() {
    stopped_with_a_deed_in_hand(Kind::Seats, "step_finished 7 tool", &[("change", 1), ("reply", 1)]);
    stopped_with_a_deed_in_hand(Kind::Question, "step_finished 4 tool", &[("reply", 1)]);
    stopped_with_a_deed_in_hand(Kind::HandedOver, "step_finished 7 tool", &[("note", 1), ("reply", 1)]);
}

#[test]
fn a_long_model_call_keeps_the_lease() {
    let mut house = house(Kind::Refund);
    house.sim.faults().replace("claude.late:60000=1x".parse().unwrap());
    assert_eq!(house.turn(1, Turn::Work, None, false), Left::Hanging);
    let store = house.store();
    for second in 0..55 {
        house.advance(Duration::from_secs(1));
        // The renewal is under way when the clock has moved: it is there before the lease has half passed.
        let real = Clock::system();
        let watch = real.stopwatch();
        let left_ms = || house.wait(store.next_wake()).unwrap().unwrap_or(0) - house.clock.now_ms();
        while left_ms() < 5_000 {
            assert!(watch.elapsed_ms() < 20_000, "second {second}: {} ms of the lease are left", left_ms());
            house.wait(real.sleep(Duration::from_millis(2)));
        }
        assert_eq!(house.turn(2, Turn::Work, None, true), Left::Ended(Ok(false)), "second {second}: it was taken away");
    }
    house.advance(Duration::from_secs(10));
    assert_eq!(house.go_on(1, None, true), Left::Ended(Ok(true)));
    assert_eq!(token(&house), 1, "claimed once");
    assert_eq!(checks::deeds_on(house.world(), 7_001).get("reply"), Some(&1));
}
