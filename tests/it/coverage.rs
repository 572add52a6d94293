//! Holds `tests/crashes.md` to its word: every test that it names is there, and no cell is left without a word.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const TABLE: &str = include_str!("../crashes.md");

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The names of all tests of the project: functions that are marked as such, and the store's checks, which a macro makes tests of
/// when it is given their names.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files);
    rust_files(&root.join("tests"), &mut files);
    let mut names = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                marked = true;
            } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| !line.starts_with("//"))
                && std::mem::take(&mut marked)
            {
                names.insert(rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect());
            }
        }
        if let Some((_, list)) = text.split_once("every_store! { $store =>") {
            let list = list.split('}').next().unwrap_or_default();
            names.extend(list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()));
        }
    }
    names
}

#[test]
fn the_table_of_crashes_names_tests_that_exist() {
    let known = tests();
    assert!(known.len() > 300, "{} tests found", known.len());
    let mut named = 0;
    let mut missing = Vec::new();
    for line in TABLE.lines() {
        for name in line.split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
            named += 1;
            let test = name.rsplit("::").next().unwrap_or_default();
            if !known.contains(test) {
                missing.push(name.to_owned());
            }
        }
    }
    assert!(named >= 40, "the table names {named} tests only");
    assert!(missing.is_empty(), "named in tests/crashes.md, but not there: {missing:#?}");
}

#[test]
fn every_cell_of_the_table_of_crashes_is_explained() {
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<&str>>();
    let lines: Vec<&str> = TABLE.lines().filter(|line| line.starts_with('|') && !line.starts_with("|-")).collect();
    let at = lines.iter().position(|line| cells(line)[0].is_empty()).expect("the list of tests");
    let tests: BTreeSet<&str> = lines[at + 1..].iter().map(|line| cells(line)[0]).collect();
    let (head, rows) = lines[..at].split_first().expect("a table");
    assert!(rows.len() >= 14, "{} rows", rows.len());
    for row in rows {
        assert_eq!(cells(row).len(), cells(head).len(), "{row}");
        for cell in &cells(row)[1..] {
            let words: Vec<&str> = cell.split(" (").next().unwrap_or_default().split_whitespace().collect();
            assert!(
                !words.is_empty() && words.iter().all(|word| *word == "–" || tests.contains(word)),
                "`{cell}` in {row}"
            );
        }
    }
}
