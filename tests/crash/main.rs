//! Starts the real binary, kills it with -9 at moments that a seed chooses, starts it again on the same data: every ticket
//! ends once, nothing happens twice. The judge is the simulated vendors' own ledger.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const KILLS: u32 = 20;
const TICKETS: &str = "24";

fn demo(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskhand"));
    command
        .args(["demo", "--exit", "--json", "--seed", "7", "--tickets", TICKETS, "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .env_remove("ANTHROPIC_API_KEY")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Lets the child run for so long, then kills it. `true`: it had ended by itself.
fn kill_after(child: &mut Child, after: Duration) -> bool {
    #[expect(clippy::disallowed_methods, reason = "a test of dying at a moment of real time")]
    let started = Instant::now();
    while started.elapsed() < after {
        if child.try_wait().expect("a child that can be asked").is_some() {
            return true;
        }
        #[expect(clippy::disallowed_methods, reason = "a test of dying at a moment of real time")]
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("a child that can be killed");
    child.wait().expect("a child that can be waited for");
    false
}

#[test]
fn killed_twenty_times_every_ticket_ends_once_and_nothing_happens_twice() {
    let data = tempfile::tempdir().unwrap();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut kills = 0;
    for _ in 0..KILLS {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let mut child = demo(data.path()).stdout(Stdio::null()).spawn().expect("the binary starts");
        let ended = kill_after(&mut child, Duration::from_millis(250 + seed % 1_100));
        kills += u32::from(!ended);
    }
    assert!(kills >= 5, "only {kills} of {KILLS} starts were killed before they ended by themselves");

    let output = demo(data.path()).stdout(Stdio::piped()).output().expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(report["at_rest"], true, "{text}");
    for guarantee in report["guarantees"].as_array().expect("guarantees") {
        assert_eq!(guarantee["held"], true, "after {kills} kills: {guarantee}");
    }
    let tickets = report["tickets"].as_object().expect("tickets");
    assert_eq!(tickets.len().to_string(), TICKETS);
    for (id, ticket) in tickets {
        let outcome = ticket["outcome"].as_str().expect("an outcome");
        assert!(!matches!(outcome, "open" | "failed"), "ticket {id} ended `{outcome}`: {ticket}");
    }
}

/// Runs the binary to its end; its exit status and what it said on standard error.
fn said(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskhand"));
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("the binary runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn bad_input_is_told_at_once_with_status_2_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("deskhand.toml");
    std::fs::write(&config, "modee = \"x\"\n[zendesk]\nbase_url = \"acme\"\n").unwrap();
    let (status, text) = said(&["serve", "--config", &config.display().to_string()]);
    assert_eq!(status, Some(2), "{text}");
    for key in ["modee", "shop.name", "zendesk.base_url", "zendesk.client_id", "claude.api_key", "stripe.api_key"] {
        assert!(text.contains(key), "{key} is not told: {text}");
    }
    assert!(text.contains("hint:") && !text.contains("panicked"), "{text}");

    std::fs::write(folder.path().join("world.json"), "{\n  \"name\": 5,\n  \"nmae\": 1\n}").unwrap();
    let (status, text) = said(&["demo", "--exit", "--world", &folder.path().display().to_string()]);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("world.json:") && text.contains("hint:") && !text.contains("panicked"), "{text}");

    let (status, text) = said(&["demo", "--exit", "--faults", "stripe.nope=1"]);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("nope") && text.contains("hint:"), "{text}");
}
