//! What a world does over time, and that its ledger brings it back.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::sim::world_file::{TicketStatus, load_dir};

fn tiny() -> WorldFiles {
    load_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sim/worlds/tiny")).unwrap()
}

fn world(ledger: Option<&Path>) -> (World, Clock) {
    let files = tiny();
    let clock = Clock::manual(World::resume_time_of(&files, ledger).unwrap());
    (World::open(files, clock.clone(), 7, Arrivals::default(), ledger).unwrap(), clock)
}

fn reply(world: &World, ticket: i64, change: impl FnOnce(&mut TicketUpdate)) {
    let mut guard = world.lock();
    let bot = guard.bot;
    let comment =
        NewComment { author: bot, public: true, body: "Done.".into(), html: "<p>Done.</p>".into(), flags: vec![] };
    let mut update = TicketUpdate { author: bot, comment: Some(comment), ..TicketUpdate::default() };
    change(&mut update);
    guard.apply(Event::TicketUpdated { ticket, update });
}

#[test]
fn tickets_arrive_when_they_are_due() {
    let (world, clock) = world(None);
    let seen = || world.lock().tickets.keys().copied().collect::<Vec<_>>();
    assert_eq!(seen(), [1]);
    clock.advance_to(world.next_event_at().unwrap());
    assert_eq!(seen(), [1, 2]);
    clock.advance(Duration::from_secs(60));
    assert_eq!(seen(), [1, 2, 3]);
    assert!(world.all_arrived());
    assert_eq!(world.ticket(3).unwrap().comments.len(), 4);

    let files = tiny();
    let clock = Clock::manual(files.now);
    let arrivals = Arrivals { rate: Some(2.0), tickets: Some(2) };
    let world = World::open(files, clock.clone(), 7, arrivals, None).unwrap();
    clock.advance(Duration::from_secs(29));
    assert_eq!(world.lock().tickets.len(), 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(world.lock().tickets.len(), 2);
    assert!(world.all_arrived());
    assert_eq!(world.next_event_at(), None);
}

#[test]
fn flags_tell_machine_mail_and_doubtful_senders() {
    let (world, clock) = world(None);
    clock.advance(Duration::from_secs(60));
    let flags = |id: i64| world.ticket(id).unwrap().audits.last().unwrap().flags.clone();
    assert_eq!(flags(1), [0u32; 0]);
    assert_eq!(flags(2), [4]);
    assert_eq!(flags(3), [14], "a known address that was not authenticated");
    let outbox = world.lock().outbox.clone();
    assert_eq!(outbox.iter().map(|mail| mail.ticket).collect::<Vec<_>>(), [1], "machine mail is not acknowledged");
}

#[test]
fn the_customer_writes_again_and_reopens_or_follows_up() {
    let (first, _) = world(None);
    reply(&first, 1, |update| update.status = Some("solved".into()));
    first.tick();
    let ticket = first.ticket(1).unwrap();
    assert_eq!(ticket.status, TicketStatus::Open);
    assert_eq!(ticket.comments.len(), 3);
    assert_eq!(ticket.origin, Some((1, Some(0))));
    assert_eq!(first.script(1), (None, None), "the second message has no script of its own");

    let (second, _) = world(None);
    reply(&second, 1, |update| {
        update.status = Some("closed".into());
        update.tags = Some(vec!["Refund Done".into()]);
    });
    second.tick();
    let follow_up = second.ticket(10_000).unwrap();
    assert_eq!(follow_up.follows, Some(1));
    assert_eq!(follow_up.tags, ["refund_done"]);
    assert_eq!(second.ticket(1).unwrap().followups, [10_000]);
    assert_eq!(second.decision(10_000), crate::sim::world_file::Decision::Approve);
}

#[test]
fn a_person_takes_over_after_an_escalation() {
    let (world, clock) = world(None);
    clock.advance(Duration::from_secs(60));
    let group = world.lock().group_named("billing");
    reply(&world, 3, |update| update.group = Some(group));
    world.tick();
    let ticket = world.ticket(3).unwrap();
    let omar = world.lock().user_at("omar@pinbox.example").unwrap().id;
    assert_eq!(ticket.assignee, Some(omar));
    assert_eq!(ticket.comments.last().unwrap().body, "I take this one.");
    clock.advance(Duration::from_secs(600));
    world.tick();
    assert_eq!(world.ticket(3).unwrap().comments.last().unwrap().body, "Any news?");
}

#[test]
fn a_restart_on_the_ledger_finds_the_same_world() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("world.jsonl");
    let (before, clock) = world(Some(&path));
    clock.advance(Duration::from_millis(61_500));
    reply(&before, 1, |update| {
        update.assignee = Some(Some(before_bot()));
        update.group = Some(None);
        update.custom.insert("marker".into(), json!("eff_1"));
    });
    {
        let mut guard = before.lock();
        let refund = Refund {
            id: guard.next_refund_id("pay_1"),
            payment: "pay_1".into(),
            amount_minor: 500,
            currency: crate::money::Currency::USD,
            at: guard.now(),
            status: "succeeded".into(),
            reason: None,
            idempotency_key: Some("eff_1".into()),
            metadata: Default::default(),
            made_here: true,
        };
        assert_eq!(refund.id, "re_pay_1_2");
        guard.apply(Event::RefundCreated { refund });
        guard.apply(Event::KeyStored {
            vendor: "stripe".into(),
            key: "eff_1".into(),
            fingerprint: "f".into(),
            status: 200,
            body: json!({ "id": "re_pay_1_2" }),
        });
        guard.apply(Event::SubscriptionChanged {
            subscription: "sub_1".into(),
            vendor: "stripe".into(),
            key: None,
            change: json!({ "quantity": 3 }),
            after: SubscriptionPatch { quantity: Some(3), paused_until: Some(None), ..SubscriptionPatch::default() },
        });
        let mail = Mail {
            envelope_from: String::new(),
            to: vec!["ada@brook.example".into()],
            subject: "Hi".into(),
            message_id: "<eff_1@pinbox.example>".into(),
            at: guard.now(),
            headers: vec![("Auto-Submitted".into(), "auto-generated".into())],
            raw: "…".into(),
        };
        guard.apply(Event::MailAccepted { mail });
    }
    before.count("zendesk", "GET /tickets");
    let (truth, now, next) = (before.snapshot(), clock.now(), before.next_event_at());
    assert_eq!(before.lock().refundable_minor("pay_1"), 4500);
    drop(before);

    // The process died in the middle of a line.
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"at\":\"2026-11-2");
    std::fs::write(&path, text).unwrap();
    let (after, clock) = world(Some(&path));
    assert_eq!(clock.now(), now, "the world's time goes on");
    assert_eq!(after.snapshot(), truth);
    assert_eq!(after.next_event_at(), next);
    assert_eq!(after.lock().stored_key("stripe", "eff_1").unwrap().status, 200);
    after.count("zendesk", "GET /tickets");
    assert_eq!(after.counter("zendesk", "GET /tickets", "requests"), 2);
    drop(after);
    assert_eq!(world(Some(&path)).0.counter("zendesk", "GET /tickets", "requests"), 2, "the torn line did no harm");

    let mut other = tiny();
    other.name = "other".into();
    let clock = Clock::manual(other.now);
    let error = World::open(other, clock, 7, Arrivals::default(), Some(&path)).err().unwrap();
    assert!(error.to_string().contains("belongs to the world `tiny`"), "{error}");
}

fn before_bot() -> i64 {
    world(None).0.lock().bot
}
