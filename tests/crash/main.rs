//! The real binary dies: `deskhand crashtest` kills it at every boundary and at random moments, and starts it again. The judge is
//! the simulated vendors' own ledger, compared with that of a world in which nobody died.

mod commands;
mod disk;

use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Runs a crash test to its end: whether it says that everything held, and its report.
fn crashtest(arguments: &[&str]) -> (bool, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskhand"));
    let output = command.arg("crashtest").args(arguments).arg("--json").stdin(Stdio::null()).output();
    let output = output.expect("the binary runs");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}\n{errors}"));
    (output.status.success(), report)
}

/// The boundaries that an undisturbed world comes to.
fn boundaries(folder: &str) -> Vec<String> {
    let (listed, names) = crashtest(&["--world", folder, "--list"]);
    assert!(listed, "{names}");
    serde_json::from_value(names).expect("a list of names")
}

fn number(report: &Value, key: &str) -> u64 {
    report[key].as_u64().unwrap_or_else(|| panic!("`{key}` is no number: {report}"))
}

/// Nothing doubled, nothing lost, nothing ended otherwise, at most one model call a death.
fn assert_held((held, report): &(bool, Value)) {
    for broken in ["doubled", "lost", "changed"] {
        assert_eq!(report[broken], json!([]), "{broken}: {report}");
    }
    assert!(number(report, "calls_repeated") <= number(report, "deaths"), "{report}");
    assert!(held, "{report}");
}

#[test]
fn dead_at_every_boundary_of_a_refund_and_an_answer_nothing_is_lost_or_doubled() {
    let world = refund_world();
    let result = crashtest(&["--world", &world.path().display().to_string()]);
    assert_held(&result);
    let report = &result.1;
    let tried = |kind: &str| report["tried"][kind].as_u64().unwrap_or(0);
    for kind in
        ["journal.written", "journal.committed", "request.before", "request.after", "model.stream", "model.after"]
    {
        assert!(tried(kind) > 0, "no boundary `{kind}` was tried: {report}");
    }
    for kind in ["mail.before", "mail.text", "mail.after"] {
        assert!(tried(kind) > 0, "no boundary `{kind}` was tried: {report}");
    }
    assert!(number(report, "mails_unknown") > 0, "a mail was interrupted and nobody was told: {report}");
    assert!(number(report, "deaths") > 80, "{report}");
    assert!(number(report, "tokens_saved") > 0, "{report}");
}

/// A step that ends its process, or its worker, each time it is tried: a model call, a look at an order, a refund; and a run
/// whose end is in no step at all.
#[test]
fn what_breaks_its_worker_each_time_is_parked_and_a_person_has_it() {
    let world = refund_world();
    let folder = world.path().display().to_string();
    let names = boundaries(&folder);
    let named = |part: &str, kind: &str| {
        let found = names.iter().find(|name| name.contains(part) && name.ends_with(kind));
        found.unwrap_or_else(|| panic!("no boundary `{part} … {kind}` in {names:#?}")).clone()
    };
    let check = |name: &str, how: &[&str], refunds: &[u64]| {
        let arguments = [&["--world", &folder, "--only", name, "--always"], how].concat();
        let result = crashtest(&arguments);
        assert_held(&result);
        let report = &result.1;
        assert_eq!(number(report, "parked"), 1, "{name} {how:?}: {report}");
        assert!((3..=8).contains(&number(report, "deaths")), "{name} {how:?}: {report}");
        let ticket = &report["ends"]["1"];
        assert_eq!(ticket["with_a_person"], json!(true), "{name} {how:?}: {report}");
        assert!(refunds.contains(&number(ticket, "refunds")), "{name} {how:?}: {report}");
    };
    let refund = "stripe POST /stripe/v1/refunds";
    for how in [&[][..], &["--panic"]] {
        check(&named("claude POST", "model.before"), how, &[0, 1]);
        check(&named(refund, "request.before"), how, &[0]);
        check(&named("billing GET", "request.after"), how, &[0, 1]);
    }
    check(&named(" claim ", "journal.committed"), &[], &[0, 1]);
}

#[test]
fn killed_at_random_moments_under_load_nothing_is_lost_or_doubled() {
    let faults = "zendesk.lost_after=0.05,stripe.lost_after=0.1,claude.529=0.05,zendesk.429=0.05";
    let result = crashtest(&["--kills", "15", "--tickets", "24", "--seed", "7", "--faults", faults]);
    assert_held(&result);
    assert_eq!(number(&result.1, "deaths"), 15, "{}", result.1);
}

#[test]
#[ignore = "takes half an hour: cargo test --test crash -- --ignored"]
fn killed_a_thousand_times_under_load_nothing_is_lost_or_doubled() {
    let faults = "zendesk.lost_after=0.05,stripe.lost_after=0.1,claude.529=0.05,zendesk.429=0.05";
    let result = crashtest(&["--kills", "1000", "--tickets", "60", "--seed", "7", "--faults", faults]);
    assert_held(&result);
    assert_eq!(number(&result.1, "deaths"), 1_000, "{}", result.1);
}

/// A world of one customer whose one ticket asks for everything that can be done twice: a refund that a person approves, a change
/// of a subscription, a mail, and an answer.
fn refund_world() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, value: Value| {
        std::fs::write(folder.path().join(name), value.to_string()).expect("a writable folder");
    };
    write(
        "world.json",
        json!({
            "name": "tiny", "now": "2026-11-20T09:00:00Z",
            "shop": {"name": "Tiny", "support_address": "support@tiny.example", "currency": "usd",
                     "time_zone": "UTC", "languages": ["en"], "link_domains": ["tiny.example"]},
            "plans": [{"id": "basic", "name": "Basic", "amount_minor": 1000, "currency": "usd", "interval": "month"}],
            "people": [{"id": 20001, "name": "Pat", "address": "pat@tiny.example", "role": "agent", "group": "Support"}],
            "groups": ["Support"],
        }),
    );
    write(
        "customers.jsonl",
        json!({"id": "c_1", "name": "Ada Low", "addresses": [{"address": "ada@low.example", "verified": true}],
               "created": "2024-01-01T00:00:00Z", "status": "active", "flags": []}),
    );
    write(
        "orders.jsonl",
        json!({"id": "T-1", "customer": "c_1", "created": "2026-11-10T10:00:00Z", "status": "delivered",
               "items": [{"sku": "X", "name": "Reader", "quantity": 1, "amount_minor": 120000}],
               "currency": "usd", "total_minor": 120000, "payments": ["pay_1"]}),
    );
    write(
        "payments.jsonl",
        json!({"id": "pay_1", "customer": "c_1", "amount_minor": 120000, "currency": "usd",
               "created": "2026-11-10T10:00:00Z", "status": "succeeded",
               "method": {"kind": "card", "brand": "visa", "last4": "4242"}, "refunds": [], "order": "T-1"}),
    );
    write(
        "subscriptions.jsonl",
        json!({"id": "sub_1", "customer": "c_1", "plan": "basic", "quantity": 2, "status": "active",
               "started": "2024-01-01T00:00:00Z", "period_end": "2026-12-01T00:00:00Z"}),
    );
    write(
        "tickets.jsonl",
        json!({
            "id": 1, "from": {"address": "ada@low.example", "name": "Ada Low"}, "channel": "email",
            "subject": "Refund for T-1, and a third seat",
            "body": "Hello, please refund 600 USD of my order T-1, the reader was scratched. And please add a third seat.",
            "decision": "approve",
            "script": [
                {"tools": [{"name": "get_order_status", "input": {"order": "T-1"}}, {"name": "get_customer", "input": {}}]},
                {"tools": [{"name": "create_refund", "input": {"payment": "pay_1", "amount_minor": 60000,
                    "currency": "usd", "reason": "requested_by_customer", "explanation": "The reader was scratched."}}]},
                {"tools": [{"name": "update_subscription", "input": {"subscription": "sub_1",
                    "quantity": 3, "explanation": "Asks for a third seat."}}]},
                {"tools": [{"name": "send_followup_email", "input": {"subject": "Your reader",
                    "body": "Hello Ada,\n\nwe wanted to ask how you are doing.", "after_s": 0}}]},
                {"tools": [{"name": "log_resolution", "input": {
                    "answer": "Hello Ada,\n\nthe refund has been issued to your card, and your plan now has three seats.",
                    "outcome": "solved", "category": "refund", "summary": "Refund made, seat added.", "articles": [],
                    "actions_claimed": ["refund", "subscription_change"]}}]},
            ],
        }),
    );
    folder
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

    let broken = folder.path().join("broken.toml");
    std::fs::write(&broken, "data_dir = ").unwrap();
    let missing = folder.path().join("nope.toml");
    for (file, word) in [(&broken, "TOML"), (&missing, "no file")] {
        for command in ["backup", "check", "resume"] {
            let (status, text) = said(&[command, "--config", &file.display().to_string()]);
            assert_eq!(status, Some(2), "{command}: {text}");
            assert!(text.contains(word) && text.contains("hint:"), "{command}: {text}");
        }
    }

    let (status, text) = said(&["demo", "--exit", "--faults", "stripe.nope=1"]);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("nope") && text.contains("hint:"), "{text}");
}
