//! A disk that reports errors: the real binary under `strace`, which lets its synchronisations fail with `EIO` from one on, for
//! a while or for good.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use deskhand::clock::Clock;
use serde_json::Value;

/// Where this is set, a test that cannot be carried out fails.
const NO_SKIP: &str = "DESKHAND_TEST_NO_SKIP";
/// How long a demo of some tickets may take on a slow machine, in milliseconds.
const PATIENCE_MS: u64 = 240_000;

/// Whether system calls can be made to fail here.
fn can_inject() -> bool {
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "-e", "trace=fsync", "true"]).output();
    let can = tried.is_ok_and(|done| done.status.success());
    assert!(can || std::env::var_os(NO_SKIP).is_none(), "`strace` is needed here, and may not be left out");
    if !can {
        eprintln!("skipped: `strace` is not installed, or may not trace; install it to try a disk with errors");
    }
    can
}

fn demo(data: &Path) -> Vec<String> {
    let data = data.display().to_string();
    let words =
        ["demo", "--exit", "--json", "--tickets", "6", "--seed", "7", "--listen", "127.0.0.1:0", "--data", &data];
    words.map(str::to_owned).to_vec()
}

/// Starts a demo whose synchronisations fail: those counted by `which`, of each thread.
fn start_failing(data: &Path, trace: &Path, which: &str) -> Child {
    let calls = format!("inject=fsync,fdatasync:error=EIO:when={which}");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(trace).args(["-e", "trace=fsync,fdatasync", "-e", &calls]);
    command.arg(env!("CARGO_BIN_EXE_deskhand")).args(demo(data));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("strace starts")
}

fn injected(trace: &Path) -> usize {
    std::fs::read_to_string(trace).unwrap_or_default().lines().filter(|line| line.contains("(INJECTED)")).count()
}

fn assert_held(status: std::process::ExitStatus, stdout: &[u8], stderr: &[u8]) {
    let errors = String::from_utf8_lossy(stderr);
    assert!(status.success(), "{errors}");
    let report: Value = serde_json::from_slice(stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    assert_eq!(report["at_rest"], true, "{report}");
    assert_eq!(report["mismatches"], serde_json::json!([]), "{report}");
    let guarantees = report["guarantees"].as_array().expect("guarantees");
    assert!(!guarantees.is_empty() && guarantees.iter().all(|one| one["held"] == true), "{report}");
}

#[test]
fn a_disk_that_fails_for_a_while_delays_and_loses_nothing() {
    if !can_inject() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trace = folder.path().join("trace");
    let failing = start_failing(&folder.path().join("data"), &trace, "30..50");
    let done = failing.wait_with_output().expect("it ends");
    assert!(injected(&trace) >= 20, "the disk did not fail");
    assert_held(done.status, &done.stdout, &done.stderr);
}

#[tokio::test]
async fn a_disk_that_fails_for_good_starts_nothing_more_and_the_next_process_goes_on() {
    if !can_inject() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, trace) = (folder.path().join("data"), folder.path().join("trace"));
    let mut failing = start_failing(&data, &trace, "30+");
    let clock = Clock::system();
    let watch = clock.stopwatch();
    // It is let try for a while: whatever it sends must be found again.
    while injected(&trace) < 10 {
        assert!(watch.elapsed_ms() < PATIENCE_MS, "the disk did not fail");
        assert!(failing.try_wait().expect("a process").is_none(), "it must wait for its disk");
        clock.sleep(Duration::from_millis(50)).await;
    }
    // Its tracer goes, and it with it.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", failing.id())).unwrap_or_default();
    for child in children.split_whitespace() {
        let _ = Command::new("kill").args(["-9", child]).status();
    }
    let _ = failing.kill();
    let _ = failing.wait();
    let again = Command::new(env!("CARGO_BIN_EXE_deskhand")).args(demo(&data)).stdin(Stdio::null()).output();
    let again = again.expect("the binary runs");
    assert_held(again.status, &again.stdout, &again.stderr);
}
