//! The disk is full in the middle of a busy hour: runs stop where they are, nothing leaves whose start is not on disk, intake
//! forgets nothing; when there is room again all end as they should.
//!
//! Needs a small file system of its own, which only a privileged user can make; elsewhere the test says so and
//! passes, unless `DESKHAND_TEST_NO_SKIP` is set.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use deskhand::ids::TicketId;
use deskhand::journal::Journal;
use deskhand::journal::views::Views;
use deskhand::run::row::RunStatus;

use super::checks::Checks;
use super::dice::Dice;
use super::house::{House, INTAKE, Left, Turn, WORKERS};
use super::probe::Fate;
use super::scene::{Kind, ticket};

/// How large it is: the journal keeps sixteen megabytes free for what was started.
const SIZE: &str = "size=48m";

/// A mounted file system; unmounted when dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Small> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(folder.path()).output();
        mount.is_ok_and(|done| done.status.success()).then_some(Small(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.path().join("filler")).expect("a file");
        for block in [vec![0_u8; 65_536], vec![0_u8; 512], vec![0_u8; 1]] {
            while file.write_all(&block).is_ok() {}
        }
    }

    fn clear(&self) {
        std::fs::remove_file(self.path().join("filler")).expect("a file that was there");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a reader may still be closing its file.
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

#[test]
fn a_full_disk_in_a_busy_hour_stops_the_runs_and_loses_nothing() {
    let Some(disk) = Small::mount() else {
        assert!(
            std::env::var_os("DESKHAND_TEST_NO_SKIP").is_none(),
            "mounting is needed here, and may not be left out"
        );
        eprintln!("skipped: a small file system cannot be mounted here (run as root to try it)");
        return;
    };
    let kinds = [Kind::Refund, Kind::Seats, Kind::Mail, Kind::Everything, Kind::LargeRefund, Kind::HandedOver];
    let mut dice = Dice::new(3, "disk");
    let files: Vec<_> = (0_i64..)
        .zip(kinds)
        .map(|(at, kind)| {
            // The last two arrive when the disk is full.
            let arrives_s = if at < 4 { 0 } else { 150 };
            let mut file = ticket(&mut dice, 7_001 + at, at, kind, arrives_s);
            file.as_object_mut().expect("an object").shift_remove("then");
            file
        })
        .collect();
    let mut house = House::on(&files, 1, disk.path().join("data"));
    let mut checks = Checks::default();
    let mut check = |house: &House| {
        let wrong = checks.after_turn(house);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    };
    house.advance(Duration::from_secs(3));
    assert_eq!(house.turn(INTAKE, Turn::List, None, true), Left::Ended(Ok(true)));
    house.advance(Duration::from_secs(90)); // The export lags by a minute.
    assert_eq!(house.turn(INTAKE, Turn::Export, None, true), Left::Ended(Ok(false)));
    // Each worker is in the middle of a run: before an effect's start is written, after it, before a deed is taken down.
    let started = "step_started 7 tool";
    let places =
        [(1, started, Fate::StopBefore), (2, started, Fate::StopAfter), (3, "step_finished 7 tool", Fate::StopBefore)];
    for (worker, words, fate) in places {
        house.stop_at(worker, words, fate);
        check(&house);
    }
    let cursor = house.wait(house.store().cursor("incremental")).unwrap();
    let before = house.world().deeds();

    disk.fill();
    house.advance(Duration::from_secs(120));
    let refused = |left: &Left| matches!(left, Left::Ended(Err(why)) if why.contains("disk"));
    for round in 0..3 {
        for turn in [Turn::List, Turn::Export] {
            let left = house.turn(INTAKE, turn, None, true);
            assert!(refused(&left), "round {round}: {turn:?} {left:?}");
        }
        for worker in 1..=WORKERS {
            // Who has a deed in hand keeps it and tries to write it down again and again.
            // Who was about to start one lets go of the run.
            let busy = house.busy(worker);
            let left =
                if busy { house.go_on(worker, None, false) } else { house.turn(worker, Turn::Work, None, false) };
            let lets_go = busy && left == Left::Ended(Ok(true));
            assert!(refused(&left) || left == Left::Hanging || lets_go, "round {round}: worker {worker} {left:?}");
        }
        check(&house);
    }
    assert_eq!(house.wait(house.store().cursor("incremental")).unwrap(), cursor, "the cursor has not moved");
    let after = house.world().deeds();
    // One worker had its start on disk already: what it did then is all that was done.
    let count = |deeds: &deskhand::sim::world::Deeds| deeds.vendors.values().map(|vendor| vendor.done).sum::<u64>();
    assert!(count(&after) <= count(&before) + 1, "{before:?}\n{after:?}");
    for ticket in [7_005, 7_006] {
        assert!(house.wait(house.store().runs_of_ticket(TicketId(ticket))).unwrap().is_empty(), "ticket {ticket}");
    }

    disk.clear();
    house.advance(Duration::from_secs(5));
    for worker in (1..=WORKERS).filter(|worker| house.busy(*worker)).collect::<Vec<_>>() {
        assert_eq!(house.go_on(worker, None, true), Left::Ended(Ok(true)), "worker {worker} writes down what it had");
        check(&house);
    }
    for _ in 0..40 {
        for turn in [Turn::List, Turn::Export] {
            let left = house.turn(INTAKE, turn, None, true);
            assert!(matches!(left, Left::Ended(Ok(_))), "with room again: {turn:?} {left:?}");
        }
        while house.turn(1, Turn::Work, None, true) == Left::Ended(Ok(true)) {}
        check(&house);
        house.advance(Duration::from_secs(10)); // The export may be asked ten times a minute.
    }
    let wrong = checks.at_rest(&house);
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), checks.print());
    let rows = house.wait(house.store().runs(&Default::default(), None, 100)).unwrap();
    assert_eq!(rows.len(), files.len(), "one run for each ticket");
    let ended = |status| matches!(status, RunStatus::Closed | RunStatus::WaitingApproval);
    assert!(rows.iter().all(|row| ended(row.status)), "{rows:?}");
    assert!(house.world().deeds().doubled().is_empty());
}
