//! What the simulation found, each case written down by itself.

use std::time::Duration;

use deskhand::sim::world::{Event, NewComment, TicketUpdate};
use jiff::SignedDuration;

use super::checks::{self, Checks};
use super::dice::Dice;
use super::house::{House, INTAKE, Left, Turn};
use super::scene::{Kind, ticket};

fn house(kind: Kind) -> House {
    let mut file = ticket(&mut Dice::new(1, "found"), 7_001, 0, kind, 0);
    file.as_object_mut().expect("an object").shift_remove("then");
    House::new(&[file], 1)
}

fn writes(house: &House, author: i64, body: &str) {
    let comment =
        NewComment { author, public: true, body: body.into(), html: format!("<p>{body}</p>"), flags: Vec::new() };
    let update = TicketUpdate { author, comment: Some(comment), channel: "email".into(), ..TicketUpdate::default() };
    house.world().lock().apply(Event::TicketUpdated { ticket: 7_001, update });
}

/// Intake and one worker until nothing moves, for ten seconds of the world's time.
fn go_on(house: &mut House) {
    let mut checks = Checks::default();
    for _ in 0..10 {
        let left = house.turn(INTAKE, Turn::List, None, true);
        assert!(matches!(left, Left::Ended(Ok(_))), "{left:?}");
        while house.turn(1, Turn::Work, None, true) == Left::Ended(Ok(true)) {}
        let wrong = checks.after_turn(house);
        assert!(wrong.is_empty(), "{wrong:?}");
        house.advance(Duration::from_secs(1));
    }
    let wrong = checks.at_rest(house);
    assert!(wrong.is_empty(), "{wrong:?}\n{}", checks.print());
}

/// A stamp of the helpdesk counts whole seconds: the answer did not move it, and the refund was made all the same.
#[test]
fn a_colleague_answers_in_the_second_in_which_the_ticket_was_read() {
    let mut house = house(Kind::Refund);
    assert!(matches!(house.turn(INTAKE, Turn::List, None, true), Left::Ended(Ok(_))));
    writes(&house, 20_001, "I look into it.");
    go_on(&mut house);
    assert_eq!(checks::deeds_on(house.world(), 7_001).len(), 0, "the ticket is the colleague's");
}

/// A hand-over is two writes; in the second of the first one a colleague took the ticket, which did not move its stamp, and
/// the customer was told all the same that somebody would.
#[test]
fn a_colleague_takes_the_ticket_between_the_two_writes_of_a_hand_over() {
    let mut house = house(Kind::AsksForPerson);
    house.advance(Duration::from_secs(3));
    assert_eq!(house.turn(INTAKE, Turn::List, None, true), Left::Ended(Ok(true)));
    // It waits for the second of its note to pass.
    assert_eq!(house.turn(1, Turn::Work, None, false), Left::Hanging);
    assert_eq!(checks::deeds_on(house.world(), 7_001).get("note"), Some(&1));
    let assigned = TicketUpdate { author: 20_001, assignee: Some(Some(20_001)), ..TicketUpdate::default() };
    house.world().lock().apply(Event::TicketUpdated { ticket: 7_001, update: assigned });
    assert_eq!(house.go_on(1, None, true), Left::Ended(Ok(true)));
    go_on(&mut house);
    assert_eq!(checks::deeds_on(house.world(), 7_001).get("reply"), None);
}

/// Our clock went ahead, so that the stamp looked old enough to stand for one state of the ticket.
#[test]
fn a_customer_writes_twice_in_a_second_while_our_clock_is_ahead() {
    let mut house = house(Kind::Question);
    house.clock.jump(SignedDuration::from_hours(1));
    assert!(matches!(house.turn(INTAKE, Turn::List, None, true), Left::Ended(Ok(_))));
    let requester = house.world().ticket(7_001).expect("a ticket").requester;
    writes(&house, requester, "I forgot to say: it came late.");
    go_on(&mut house); // Its checks want every comment known to a run.
}

/// The server took the mail and said 421; it was taken for a refusal, and the mail was sent again.
#[test]
fn a_mail_server_that_hangs_up_politely_after_it_took_the_mail() {
    let mut house = house(Kind::Mail);
    house.sim.faults().replace("smtp.421_after=1x".parse().unwrap());
    house.advance(Duration::from_secs(3));
    go_on(&mut house);
    assert_eq!(house.world().mails().len(), 1);
}

/// Our clock was an hour behind, and the first write of each ticket waited for that hour.
#[test]
fn our_clock_is_an_hour_behind_and_nobody_waits_for_it() {
    let mut house = house(Kind::Question);
    house.clock.jump(SignedDuration::from_hours(-1));
    house.advance(Duration::from_secs(3));
    let before = house.clock.now();
    go_on(&mut house);
    let took = house.clock.now().duration_since(before);
    assert!(took < SignedDuration::from_secs(60), "{took}");
    assert_eq!(checks::deeds_on(house.world(), 7_001).get("reply"), Some(&1));
}
