//! A prompt set for people: as the models get it, how it differs from the one in the binary, and whether it is long enough for
//! the vendor's cache.

use std::fmt::Write as _;

use crate::agent::cache::Kind;
use crate::agent::prompts::{Prompts, embedded_texts};
use crate::run::saved::about_tokens;
use crate::run::ttl::{FLOOR_MARGIN_PERCENT, floor, preamble};

/// The whole set, in the order in which a model reads it.
pub fn rendered(prompts: &Prompts) -> String {
    let mut out = format!("Prompt set {}\n", prompts.hash);
    let mut part = |name: &str, text: &str| {
        let _ = write!(out, "\n═══ {name} ═══\n\n{text}\n");
    };
    for tool in &prompts.tools {
        let text = |key: &str| tool[key].as_str().unwrap_or_default();
        let schema = serde_json::to_string_pretty(&tool["input_schema"]).unwrap_or_default();
        part(&format!("tool {}", text("name")), &format!("{}\n\n{schema}", text("description")));
    }
    part("system", &prompts.system);
    part("router: system", &prompts.router);
    part("reminder, when a turn ends without closing the ticket", &prompts.reminder);
    for (language, text) in &prompts.holding {
        part(&format!("what a customer reads when a rule hands over, {language}"), text);
    }
    out
}

/// What differs from the set in the binary, file by file, line by line; empty when nothing does.
pub fn difference(prompts: &Prompts) -> String {
    let mut out = String::new();
    for (name, shipped) in embedded_texts() {
        let used = prompts.texts.get(&name).map_or("", String::as_str);
        if used == shipped {
            continue;
        }
        let _ = writeln!(out, "--- {name} in the binary\n+++ {name} in use");
        for line in lines(&shipped, used) {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

/// The lines of both texts: `-` of the first alone, `+` of the second alone. By the longest common run of lines, which is quick
/// enough for texts of some hundred lines.
fn lines(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // How many lines the rests have in common, from each place on.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = match old[i] == new[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1); // What is the same is left out.
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            out.push(format!("-{}", old[i]));
            i += 1;
        } else {
            out.push(format!("+{}", new[j]));
            j += 1;
        }
    }
    out
}

/// How long a prefix is about, and what the vendor's cache asks for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Length {
    /// Which requests: `answers` or `routing`.
    pub used_for: &'static str,
    /// Which model.
    pub model: String,
    /// Its tokens by the characters of a token, without what the vendor adds to tools; `None`: the tokenizer is not known.
    pub tokens: Option<u64>,
    /// The shortest prefix that is cached; `None`: not known.
    pub floor: Option<u64>,
    /// Whether it is longer than that with some room; `None`: not known.
    pub long_enough: Option<bool>,
}

/// How long the prefixes of a set are for these models.
pub fn lengths(prompts: &Prompts, models: [(Kind, &str); 3]) -> Vec<Length> {
    let length = |(kind, model): (Kind, &str)| {
        let tokens = about_tokens(model, prompts.prefix_alone(kind, model).len());
        let floor = floor(model);
        let long_enough = tokens.zip(floor).map(|(tokens, floor)| tokens * 100 >= floor * FLOOR_MARGIN_PERCENT);
        Length { used_for: kind.name(), model: model.to_owned(), tokens, floor, long_enough }
    };
    models.into_iter().map(length).collect()
}

/// The parts of the prefix in bytes, with about how many tokens of this model each is: tools' texts, their schemas, role and
/// handbook, and what the vendor adds.
pub fn parts(prompts: &Prompts, model: &str) -> Vec<(&'static str, usize, u64)> {
    let texts: usize = prompts.tools.iter().map(|tool| tool["description"].as_str().map_or(0, str::len)).sum();
    let tools: usize = prompts.tools.iter().map(|tool| tool.to_string().len()).sum();
    let role = prompts.texts.get("system.md").map_or(0, String::len);
    let handbook = prompts.texts.get("handbook.md").map_or(0, String::len);
    let part = |name, bytes: usize| (name, bytes, about_tokens(model, bytes).unwrap_or(0));
    vec![
        part("tools: texts", texts),
        part("tools: names and schemas", tools - texts),
        part("role", role),
        part("handbook", handbook),
        ("what the vendor adds to tools", 0, preamble(model)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole set in one file, for reviewers. `DESKHAND_WRITE_PROMPTS=1` writes it anew.
    #[test]
    fn the_rendered_set_is_the_one_that_was_reviewed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/prompts.txt");
        let now = rendered(&Prompts::embedded().unwrap());
        if std::env::var_os("DESKHAND_WRITE_PROMPTS").is_some() {
            std::fs::write(path, &now).unwrap();
        }
        let reviewed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(now == reviewed, "the prompts differ from `{path}`; write it anew and read what changed");
    }

    #[test]
    fn lines_that_differ_are_shown() {
        let check = |old: &str, new: &str, expected: &[&str]| assert_eq!(lines(old, new), expected, "{old:?} {new:?}");
        check("a\nb\nc", "a\nb\nc", &[]);
        check("a\nb\nc", "a\nx\nc", &["-b", "+x"]);
        check("a\nc", "a\nb\nc\nd", &["+b", "+d"]);
        check("a\nb", "", &["-a", "-b"]);
    }

    #[test]
    fn the_shipped_set_differs_from_itself_in_nothing_and_is_long_enough() {
        let prompts = Prompts::embedded().unwrap();
        assert_eq!(difference(&prompts), "");
        let models =
            [(Kind::Route, "claude-sonnet-4-6"), (Kind::Turn, "claude-sonnet-4-6"), (Kind::Turn, "claude-opus-4-7")];
        for length in lengths(&prompts, models) {
            assert_eq!(length.long_enough, Some(true), "{length:?}");
        }
        let mut short = prompts.clone();
        short.tools.clear();
        short.system.truncate(2_000);
        assert_eq!(lengths(&short, models)[2].long_enough, Some(false));
        short.texts.insert("system.md".to_owned(), "You help.".to_owned());
        assert!(difference(&short).contains("+You help."));
    }
}
