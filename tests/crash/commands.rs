//! What the commands say and leave behind, on the real binary.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use deskhand::journal::sqlite::SqliteJournal;
use serde_json::Value;

/// Where this is set, a test that cannot be carried out fails.
const NO_SKIP: &str = "DESKHAND_TEST_NO_SKIP";

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskhand"));
    command.args(arguments).env_remove("DESKHAND_LOG").stdin(Stdio::null()).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_mistyped_option_is_told_with_what_to_give_instead() {
    for (arguments, said) in [
        (&["demo", "--tickets", "0"][..], "hint: give 1 or more"),
        (&["demo", "--tickets", "all"], "hint: give 1 or more"),
        (&["crashtest", "--tickets", "0"], "hint: give 1 or more"),
        (&["crashtest", "--kills", "0"], "hint: give 1 or more"),
        (&["crashtest", "--faults", "claude.529=1x"], "hint: add --kills N"),
        (&["backup", "--keep", "0"], "hint: give 1 or more"),
        (&["demo", "--seed", "x"], "hint: any from 0 on will do"),
        (&["demo", "--rate", "0"], "hint: give tickets per minute"),
        (&["demo", "--listen", "9000"], "hint: write 127.0.0.1:9000"),
        (&["sim", "--listen", ":9000"], "hint: write 127.0.0.1:9000"),
        (&["demo", "--latency", "fast"], "hint: write one of"),
        (&["dmeo"], "tip: a similar subcommand exists: 'demo'"),
    ] {
        let done = run(arguments);
        let errors = text(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
    for command in ["demo", "sim", "crashtest"] {
        let done = run(&[command, "--faults", "help"]);
        assert!(done.status.success() && text(&done.stdout).contains("lost_after"), "{}", text(&done.stderr));
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("a file").permissions().mode() & 0o777
}

#[test]
fn a_demos_folder_is_its_owners_alone_and_the_commands_on_it_say_only_what_they_did() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let (data_shown, copy_shown) = (data.display().to_string(), copy.display().to_string());
    let done = run(&["demo", "--exit", "--tickets", "1", "--listen", "127.0.0.1:0", "--data", &data_shown]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(mode(&data), 0o700);
    for entry in std::fs::read_dir(&data).expect("a folder") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let said_nothing_else = |arguments: &[&str]| {
        let done = run(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        assert_eq!(text(&done.stderr), "", "{arguments:?}");
    };
    said_nothing_else(&["backup", "--data", &data_shown]);
    said_nothing_else(&["check", "--data", &data_shown]);
    let backup = std::fs::read_dir(data.join("backups")).expect("a folder").next().expect("a backup").expect("a file");
    let backup = backup.path().display().to_string();
    said_nothing_else(&["restore", &backup, "--data", &copy_shown, "--dry-run"]);
    assert!(!copy.exists());
    said_nothing_else(&["restore", &backup, "--data", &copy_shown]);
    said_nothing_else(&["check", "--data", &copy_shown]);
}

fn demo(data: &Path, tickets: &str) -> Output {
    let data = data.display().to_string();
    run(&["demo", "--exit", "--seed", "7", "--tickets", tickets, "--listen", "127.0.0.1:0", "--data", &data])
}

fn must_succeed(done: &Output) {
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
}

/// What `check` says of this, with its exit status.
fn checked(data: &Path, what: &str) -> (Value, Option<i32>) {
    let done = run(&["check", "--json", "--data", &data.display().to_string()]);
    let report: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let lines = report["checks"].as_array().expect("checks");
    let found = lines.iter().find(|line| line["what"] == what).cloned();
    (found.unwrap_or_else(|| panic!("no line `{what}` in {report}")), done.status.code())
}

#[test]
fn a_demo_that_may_not_have_the_folder_or_the_address_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let held = SqliteJournal::open(&data).expect("a journal");
    let refused = demo(&data, "6");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("another process uses"), "{}", text(&refused.stderr));
    assert!(!data.join("world.jsonl").exists(), "no ticket was played into the world");
    drop(held);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let (address, fresh) = (listener.local_addr().expect("an address").to_string(), folder.path().join("fresh"));
    let refused = run(&["demo", "--exit", "--listen", &address, "--data", &fresh.display().to_string()]);
    let said = text(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("hint: give another address with `--listen`"), "{said}");
    assert!(!fresh.exists());
}

#[test]
fn a_demo_on_a_braked_folder_says_so_and_does_not_wait_for_ever() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let shown = data.display().to_string();
    must_succeed(&demo(&data, "1"));
    must_succeed(&run(&["pause", "--data", &shown, "--reason", "lunch"]));
    let held = demo(&data, "2");
    let said = text(&held.stderr);
    assert_eq!(held.status.code(), Some(1), "{said}");
    assert!(said.contains("goes on   with 1 ticket, 0 runs open"), "{said}");
    let sentence = format!("`deskhand resume --data {shown}` lets it go on");
    assert!(said.contains(&format!("paused    by command line (lunch): {sentence}")), "{said}");
    assert!(said.contains("did not come to rest: the agent is paused, by command line (lunch)"), "{said}");
    let (brake, code) = checked(&data, "paused");
    assert!(brake["says"].as_str().expect("words").starts_with("lunch (by command line, since "), "{brake}");
    assert_eq!(code, Some(0), "a brake is no failure");
    must_succeed(&run(&["resume", "--data", &shown]));
    must_succeed(&demo(&data, "2"));
}

/// The rows beside the entries are what limits, claims and pages go by.
#[test]
fn rows_that_were_changed_are_named_and_written_anew_from_the_entries() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let shown = data.display().to_string();
    must_succeed(&demo(&data, "6"));
    let (runs, code) = checked(&data, "runs");
    assert_eq!((runs["verdict"].as_str(), code), (Some("pass"), Some(0)), "{runs}");
    let file = data.join("deskhand.db");
    for (sql, named) in [
        ("UPDATE approvals SET amount_minor = amount_minor + 1", "the row of approval `apr_"),
        ("UPDATE approvals SET intent = replace(intent, 'usd', 'eur')", "the row of approval `apr_"),
        ("UPDATE approvals SET state = 'expired'", "the row of approval `apr_"),
        ("DELETE FROM approvals", "of its approvals have no row"),
        ("UPDATE refunds SET minor = minor - 1", "the row of the refund of step "),
        ("DELETE FROM refunds", "of its refunds have no row"),
        ("UPDATE runs SET requester = 'Mallory' WHERE no = 1", "`requester` is not what the entries make it"),
        ("UPDATE runs SET opened_ms = opened_ms - 1 WHERE no = 1", "`opened_ms` is "),
    ] {
        let whole = std::fs::read(&file).expect("a journal");
        let outside = rusqlite::Connection::open(&file).expect("a database");
        let changed = outside.execute(sql, []).expect("a change");
        assert!(changed > 0, "{sql}");
        outside.close().expect("closed");
        let (runs, code) = checked(&data, "runs");
        let said = runs["says"].as_str().expect("words");
        assert!(code == Some(1) && said.contains(named) && said.starts_with("run_"), "{sql}: {said}");

        let fix = run(&["restore", &file.display().to_string(), "--data", &shown]);
        must_succeed(&fix);
        assert!(text(&fix.stdout).contains("mended    ") && text(&fix.stdout).contains(named), "{fix:?}");
        let (runs, code) = checked(&data, "runs");
        assert_eq!((runs["verdict"].as_str(), code), (Some("pass"), Some(0)), "{sql}: {runs}");
        std::fs::write(&file, whole).expect("put back");
        let _ = std::fs::remove_file(data.join("deskhand.db-wal"));
        let _ = std::fs::remove_file(data.join("deskhand.db-shm"));
    }
}

/// Whoever may not read a folder must not be told that there is nothing in it.
#[test]
fn a_folder_of_another_user_is_not_called_empty() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("rights");
    let data = folder.path().join("data");
    drop(SqliteJournal::open(&data).expect("a journal"));
    // A copy of the binary where everybody may come to it.
    let binary = folder.path().join("deskhand");
    std::fs::copy(env!("CARGO_BIN_EXE_deskhand"), &binary).expect("a copy");
    let other = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let can = Command::new("setpriv").args(other).arg(&binary).arg("--version").output();
    if !can.is_ok_and(|done| done.status.success()) {
        assert!(std::env::var_os(NO_SKIP).is_none(), "another user is needed here, and may not be left out");
        eprintln!("skipped: this user may not become another one (`setpriv --reuid` fails)");
        return;
    }
    for mode in [0o700, 0o755] {
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).expect("rights");
        for command in ["check", "backup", "pause"] {
            let done = Command::new("setpriv").args(other).arg(&binary).args([command, "--data"]).arg(&data).output();
            let done = done.expect("the binary runs");
            let said = format!("{}{}", text(&done.stdout), text(&done.stderr));
            assert_eq!(done.status.code(), Some(1), "{command} {mode:o}: {said}");
            assert!(said.contains("this user may not read") && said.contains("sudo -u USER"), "{command}: {said}");
            assert!(!said.contains("there is no") && !said.contains("pass  folder"), "{command} {mode:o}: {said}");
        }
    }
}

/// A disk that became read-only: what is on it can be looked at and copied elsewhere, its log included.
#[tokio::test]
async fn a_read_only_disk_is_called_so_and_can_be_backed_up_elsewhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (closed, open) = (folder.path().join("closed"), folder.path().join("open"));
    drop(SqliteJournal::open(&closed).expect("a journal"));
    let held = SqliteJournal::open(&open).expect("a journal");
    deskhand::journal::Journal::set_switch(&held, "note", "in the log", "test", 1).await.expect("written");
    std::fs::create_dir(folder.path().join("disk")).expect("a folder");
    let script = "set -e; cd $1
        mount -t tmpfs -o size=64m tmpfs disk; cp -a closed open disk/; mount -o remount,ro disk
        for data in closed open; do
            $2 check --data disk/$data > $data.check 2>&1 || true
            $2 backup $data.db --data disk/$data > $data.backup 2>&1 || true
            $2 pause --data disk/$data > $data.pause 2>&1 || true
        done";
    let done = Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh"])
        .args([folder.path(), Path::new(env!("CARGO_BIN_EXE_deskhand"))])
        .output();
    if !done.as_ref().is_ok_and(|done| done.status.success()) {
        assert!(std::env::var_os(NO_SKIP).is_none(), "mounting is needed here, and may not be left out: {done:?}");
        eprintln!("skipped: this user may not mount (`unshare -rm` fails)");
        return;
    }
    held.close().await;
    for data in ["closed", "open"] {
        let read = |ending: &str| {
            let said = std::fs::read_to_string(folder.path().join(format!("{data}.{ending}"))).expect("words");
            assert!(!said.contains("belongs to the user"), "{data} {ending}: {said}");
            said
        };
        let said = read("check");
        assert!(said.contains("FAIL  disk          it is read-only") && said.contains("pass  integrity"), "{said}");
        let said = read("pause");
        assert!(said.contains("on a disk that is read-only") && said.contains("hint: "), "{said}");
        let said = read("backup");
        assert!(said.contains("verified  whole"), "{said}");
        let copy = folder.path().join(format!("{data}.db"));
        let copy = rusqlite::Connection::open(copy).expect("a database");
        let notes: i64 =
            copy.query_row("SELECT count(*) FROM switches WHERE name = 'note'", [], |row| row.get(0)).unwrap();
        assert_eq!(notes, i64::from(data == "open"), "{data}: what stood in the log is in the copy");
    }
}
