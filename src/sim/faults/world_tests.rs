//! Faults of the intake's pages and of the vendors' clock, and the ledger that judges, through a plain client.

use std::time::Duration;

use jiff::Timestamp;

use super::plain::Bench;
use super::*;

const LIST: &str = "tickets.json?sort=-updated_at&page%5Bsize%5D=100";

fn ids(page: &Value) -> Vec<i64> {
    page["tickets"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

/// All tickets of the tiny world have arrived and are old enough for the export.
async fn arrived() -> Bench {
    let bench = Bench::new(7).await;
    bench.clock.advance(Duration::from_secs(300));
    bench
}

impl Bench {
    async fn list(&self) -> Value {
        let seen = self.get(LIST).await;
        assert!(seen.is(200), "{seen:?}");
        seen.json()
    }
    async fn export(&self, cursor: Option<&str>) -> Value {
        let start = self.sim.world().started().as_second() - 3_600;
        let query = match cursor {
            Some(cursor) => format!("cursor={}", cursor.replace('=', "%3D")),
            None => format!("start_time={start}"),
        };
        let seen = self.get(&format!("incremental/tickets/cursor.json?{query}")).await;
        assert!(seen.is(200), "{seen:?}");
        seen.json()
    }
}

#[tokio::test]
async fn pages_come_in_disorder_and_with_rows_twice_in_both_lanes() {
    let bench = arrived().await;
    let (list, export) = (ids(&bench.list().await), ids(&bench.export(None).await));
    assert!(list.len() >= 3 && list.len() == export.len(), "{list:?} {export:?}");
    bench.set("zendesk.shuffled=2x");
    for (mut other, mut right) in [(ids(&bench.list().await), list.clone()), (ids(&bench.export(None).await), export)] {
        assert_ne!(other, right);
        other.sort_unstable();
        right.sort_unstable();
        assert_eq!(other, right, "the same rows");
    }
    assert_eq!(ids(&bench.list().await), list, "two times only");
    bench.set("zendesk.doubled=1x");
    let twice: Vec<i64> = list.iter().flat_map(|id| [*id, *id]).collect();
    assert_eq!(ids(&bench.list().await), twice);
}

#[tokio::test]
async fn a_ticket_is_missing_from_the_list_lane_alone() {
    let bench = arrived().await;
    let list = ids(&bench.list().await);
    bench.set("zendesk.hidden:2=2x");
    for _ in 0..2 {
        let rest: Vec<i64> = list.iter().copied().filter(|id| *id != 2).collect();
        assert_eq!(ids(&bench.list().await), rest);
        assert!(ids(&bench.export(None).await).contains(&2));
    }
    assert_eq!(ids(&bench.list().await), list, "it comes back");
    bench.set("zendesk.hidden=1x");
    assert_eq!(ids(&bench.list().await), list[1..], "the newest one unless said");
}

#[tokio::test]
async fn a_page_leads_to_itself_and_the_end_comes_late() {
    let bench = arrived().await;
    let right = bench.export(None).await;
    assert_eq!(right["end_of_stream"], true);
    let end = right["after_cursor"].as_str().unwrap();

    bench.set("zendesk.late_end=1x");
    let late = bench.export(None).await;
    assert_eq!((&late["end_of_stream"], &late["after_cursor"]), (&json!(false), &right["after_cursor"]));
    let next = bench.export(Some(end)).await;
    assert_eq!((ids(&next).len(), &next["end_of_stream"]), (0, &json!(true)));

    bench.set("zendesk.same_page=1x");
    let first = bench.export(None).await;
    assert_eq!(first["end_of_stream"], false);
    let again = bench.export(first["after_cursor"].as_str()).await;
    assert_eq!((&again["tickets"], &again["after_cursor"]), (&right["tickets"], &right["after_cursor"]));

    bench.set("zendesk.same_page=1x");
    let first = bench.list().await;
    assert_eq!(first["meta"]["has_more"], true);
    let cursor = first["meta"]["after_cursor"].as_str().unwrap().replace('=', "%3D");
    let again = bench.get(&format!("{LIST}&page%5Bafter%5D={cursor}")).await.json();
    assert_eq!((&again["tickets"], &again["meta"]["has_more"]), (&first["tickets"], &json!(false)));
}

/// The seconds by which an answer's `Date`, and a ticket's stamp, are off from the clock.
async fn off(bench: &Bench) -> (i64, i64) {
    let seen = bench.act("zendesk").await;
    assert!(seen.is(200), "{seen:?}");
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(seen.header("date").unwrap()).unwrap();
    let stamp: Timestamp = seen.json()["ticket"]["updated_at"].as_str().unwrap().parse().unwrap();
    let now = bench.clock.now().as_second();
    (date.as_second() - now, stamp.as_second() - now)
}

#[tokio::test]
async fn the_vendors_clock_jumps_stays_off_and_jumps_back() {
    let bench = arrived().await;
    assert_eq!(off(&bench).await, (0, 0));
    bench.set("clock.jump:3600=1x");
    assert_eq!(off(&bench).await, (3_600, 3_600));
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(off(&bench).await, (3_600, 3_600), "it stays off");
    bench.set("clock.jump:3600=1x");
    assert_eq!(off(&bench).await.0, 0, "struck again, it is right again");
    bench.set("clock.jump:-3600=1x");
    let (date, stamp) = off(&bench).await;
    assert_eq!(date, -3_600);
    assert!(stamp > date, "a stamp never goes back");
    let body = json!({ "ticket": { "subject": "New", "comment": { "body": "New" } } }).to_string();
    let seen = bench.send("POST", "/zendesk/api/v2/tickets.json", &bench.bearer(), &body).await;
    let created: Timestamp = seen.json()["ticket"]["created_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(created.as_second() - bench.clock.now().as_second(), -3_600, "what is new has the clock's time");
}

#[tokio::test]
async fn a_jump_loses_no_ticket_and_delays_no_arrival() {
    for by in ["3600", "-3600"] {
        let bench = Bench::new(7).await;
        assert_eq!(ids(&bench.list().await), [1]);
        let (due, all) = (bench.sim.world().next_event_at(), arrived().await.list().await);
        bench.set(&format!("clock.jump:{by}=1x"));
        assert_eq!(ids(&bench.list().await), [1]);
        assert_eq!(bench.sim.world().next_event_at(), due, "{by}: what is due comes when it was due");
        bench.clock.advance(Duration::from_secs(300));
        let (mut list, export) = (ids(&bench.list().await), ids(&bench.export(None).await));
        assert_eq!(list.len(), ids(&all).len(), "{by}");
        list.sort_unstable();
        assert_eq!(export, list, "{by}: the export keeps the order in which they came");
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_from_the_start_is_wrong_in_the_export_too() {
    let bench = Bench::new(7).await;
    let world = super::super::world_file::load_dir(
        &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sim/worlds/tiny"),
    );
    let faults = "clock.jump:-3600=1x".parse().unwrap();
    let options = crate::sim::Options { faults, ..crate::sim::Options::new(world.unwrap(), bench.clock.clone()) };
    let folder = tempfile::tempdir().unwrap();
    let ledger = Some(folder.path().join("world.jsonl"));
    let sim = crate::sim::Sim::start(crate::sim::Options { ledger: ledger.clone(), ..options }).await.unwrap();
    let mut behind = Bench { sim, clock: bench.clock.clone(), token: String::new() };
    behind.token = behind.new_token().await;
    let start = behind.clock.now().as_second() - 120;
    let seen = behind.get(&format!("incremental/tickets/cursor.json?start_time={start}")).await;
    assert!(seen.is(400) && seen.body.contains("Too recent start_time"), "{seen:?}");
    let files = behind.sim.world().files().clone();
    let resume = crate::sim::world::World::resume_time_of(&files, ledger.as_deref()).unwrap();
    assert_eq!(resume, behind.clock.now(), "a restart goes on at the right time");
}

#[tokio::test]
async fn the_ledger_counts_what_was_done_by_its_key() {
    let bench = arrived().await;
    for vendor in ["zendesk", "stripe", "billing", "claude"] {
        assert!(bench.act(vendor).await.is(200));
        assert!(bench.act(vendor).await.is(200));
    }
    let note = json!({ "ticket": { "comment": { "body": "n", "public": false }, "metadata": { "mark": "eff_2" } } });
    let refused = json!({ "ticket": { "status": "solved" } });
    for (body, status) in [(note, 200), (refused, 422)] {
        let seen = bench.send("PUT", "/zendesk/api/v2/tickets/1", &bench.bearer(), &body.to_string()).await;
        assert!(seen.is(status), "{seen:?}");
    }
    let deeds = bench.sim.world().deeds();
    let one = |key: &str, count: u64| std::collections::BTreeMap::from([(key.to_owned(), count)]);
    assert_eq!(deeds.refunds, one("eff_1", 1), "the second was a replay");
    assert_eq!(deeds.subscriptions, one("eff_1", 1));
    assert_eq!(deeds.replies[&1], one("eff_1", 2));
    assert_eq!(deeds.notes[&1], one("eff_2", 1));
    assert_eq!(deeds.doubled(), [("reply", "eff_1".to_owned(), 2), ("update", "eff_1".to_owned(), 2)]);
    let zendesk = &deeds.vendors["zendesk"];
    assert_eq!((zendesk.done, zendesk.refused, zendesk.doubled), (3, 1, 1));
    assert_eq!(zendesk.requests["PUT /tickets/{id}"], 4);
    assert_eq!((deeds.vendors["stripe"].done, deeds.vendors["stripe"].requests["POST /v1/refunds"]), (1, 2));
    assert_eq!((deeds.model.requests, deeds.model.answered, deeds.model.finished), (2, 2, 2));
    let shown = bench.send("GET", "/_world", "", "").await.json();
    assert_eq!(shown["deeds"], serde_json::to_value(&deeds).unwrap());
}
