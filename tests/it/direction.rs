//! Holds the direction of imports: rooms may use only what stands before them in the house.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The rooms, and what each may import from the crate (besides itself).
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    let words = [
        "account", "article", "breaker", "clock", "crash", "failure", "health", "ids", "intent", "limiter", "money",
        "ticket", "usage",
    ]
    .to_vec();
    let with = |more: &[&'static str]| [words.as_slice(), more].concat();
    let mut rooms: BTreeMap<&str, Vec<&str>> = words.iter().map(|word| (*word, words.clone())).collect();
    rooms.insert("policy", with(&[]));
    rooms.insert("run", with(&["policy"]));
    rooms.insert("journal", with(&["policy", "run"]));
    rooms.insert("clients", with(&[]));
    rooms.insert("knowledge", with(&[]));
    rooms.insert("tools", with(&["policy", "clients", "knowledge"]));
    rooms.insert("agent", with(&["policy", "run", "journal", "clients", "tools"]));
    rooms.insert("intake", with(&["policy", "run", "journal", "clients"]));
    rooms.insert("web", with(&["policy", "run", "journal", "knowledge"]));
    rooms.insert("config", with(&["policy", "run"]));
    rooms.insert("telemetry", with(&["config"]));
    rooms.insert("init", with(&["config"]));
    rooms.insert("keep", with(&["policy", "run", "journal"]));
    rooms.insert("pause", with(&["journal"]));
    rooms.insert("sim", with(&[]));
    rooms
}

/// Rooms that may use anything (`app` all but the simulators).
const OPEN: [&str; 5] = ["lib", "main", "crashtest", "demo", "serve"];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("src is there") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn rooms_import_only_what_stands_before_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 50, "only {} files found", files.len());
    let rooms = allowed();
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).expect("below src");
        let first = inside.iter().next().expect("a name").to_string_lossy();
        let room = first.trim_end_matches(".rs").to_owned();
        if OPEN.contains(&room.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a readable file");
        // Tests beside the code may reach further.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (at, line) in code.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for used in line.split("crate::").skip(1) {
                let target: String = used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                let fine = match room.as_str() {
                    "app" => target != "sim" && target != "demo",
                    _ => target == room || rooms.get(room.as_str()).is_some_and(|ok| ok.contains(&target.as_str())),
                };
                if !fine && !target.is_empty() {
                    wrong.push(format!("{}:{}: `{room}` uses `{target}`", inside.display(), at + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows against the direction of the house:\n{}", wrong.join("\n"));
}

#[test]
fn sql_stands_in_the_journal_and_the_index_alone() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    for file in files {
        let inside = file.strip_prefix(&src).expect("below src");
        let keeps = inside.starts_with("journal") || inside.starts_with("knowledge");
        let text = std::fs::read_to_string(&file).expect("a readable file");
        assert!(keeps || !text.contains("rusqlite::"), "{} speaks to SQLite", inside.display());
    }
}

/// The permission to act is made from a lease and the mode, in one place; tests beside the code make their own.
#[test]
fn the_permission_to_act_is_made_in_one_place() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut made = Vec::new();
    for file in files.into_iter().filter(|file| !file.ends_with("clients/script.rs")) {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let times = code.matches("Acting::until(").count();
        made.extend(std::iter::repeat_n(file.strip_prefix(&src).expect("below src").to_owned(), times));
    }
    assert_eq!(made, [Path::new("agent/worker.rs")], "see `Worker::permission`");
}
