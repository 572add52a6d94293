//! The prompts and their hash: those in the binary, each of which a file in the team's own folder (`prompts_dir`) may replace.
//! The bytes are stable: nothing that varies between runs stands in them, so that the cached prefix is the same for every
//! ticket. How two sets differ is told in `prompts/compare.rs`.

pub mod compare;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::agent::cache::Kind;
use crate::agent::prefix::Prefixes;
use crate::intent::ToolName;
use crate::run::handover::HoldingTexts;
use crate::tools::input_schema;

#[derive(RustEmbed)]
#[folder = "prompts/"]
struct Embedded;

/// All that the models read before they read a ticket.
#[derive(Debug, Clone)]
pub struct Prompts {
    /// The role, then the handbook: the text of `system`.
    pub system: String,
    /// What the router reads.
    pub router: String,
    /// What the model reads when it ends its turn without closing the ticket.
    pub reminder: String,
    /// The nine tools as the Messages API takes them, in fixed order.
    pub tools: Vec<Value>,
    /// What a customer reads when a rule hands over, by language.
    pub holding: HoldingTexts,
    /// The texts by file name, as they are used.
    pub texts: BTreeMap<String, String>,
    /// Version and hash of all of it, such as `2-0f3a…`, with `+own` behind it where a team's texts are among them; kept with
    /// each run.
    pub hash: String,
    /// Beginnings of requests that were made of it.
    pub prefixes: Prefixes,
}

/// Prompts that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadPrompts {
    /// A prompt file that is not there. The binary was built wrong.
    #[error("the prompt `{0}` is not in the binary")]
    Missing(String),
    /// A file in the team's folder cannot be read.
    #[error("the prompt `{path}` cannot be read: {source}\nhint: check `prompts_dir` and its rights")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file in the team's folder replaces nothing.
    #[error("`{path}` replaces no prompt\nhint: the prompts are: {names}")]
    Unknown {
        /// Which.
        path: String,
        /// What there is to replace.
        names: String,
    },
    /// A file that says nothing.
    #[error("the prompt `{0}` is empty\nhint: remove the file to use the text in the binary")]
    Empty(String),
}

/// Files in `prompts/` that a team's own may not replace: one is the version, the other a form that code fills in.
const NOT_REPLACED: [&str; 2] = ["version", "handover.md"];

/// The texts in the binary, by file name.
pub fn embedded_texts() -> BTreeMap<String, String> {
    let text = |name: &str| {
        let file = Embedded::get(name)?;
        Some((name.to_owned(), String::from_utf8_lossy(&file.data).trim().to_owned()))
    };
    Embedded::iter().filter_map(|name| text(&name)).collect()
}

/// The files of a team's folder, by the name of the prompt that each replaces.
fn own_texts(folder: &Path) -> Result<BTreeMap<String, String>, BadPrompts> {
    let known = embedded_texts();
    let unreadable = |path: &Path| {
        let path = path.display().to_string();
        move |source| BadPrompts::Unreadable { path, source }
    };
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for file in std::fs::read_dir(&next).map_err(unreadable(&next))? {
            let path: PathBuf = file.map_err(unreadable(&next))?.path();
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            if name.starts_with('.') {
                continue; // What editors and version control leave behind.
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if NOT_REPLACED.contains(&name.as_str()) || !known.contains_key(&name) {
                let names: Vec<&str> =
                    known.keys().map(String::as_str).filter(|name| !NOT_REPLACED.contains(name)).collect();
                return Err(BadPrompts::Unknown { path: path.display().to_string(), names: names.join(", ") });
            }
            let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?.trim().to_owned();
            if text.is_empty() {
                return Err(BadPrompts::Empty(path.display().to_string()));
            }
            found.insert(name, text);
        }
    }
    Ok(found)
}

impl Prompts {
    /// The prompts in the binary.
    pub fn embedded() -> Result<Self, BadPrompts> {
        Self::of(embedded_texts(), false)
    }

    /// The prompts in the binary, those in the folder in place of theirs.
    pub fn load(folder: Option<&Path>) -> Result<Self, BadPrompts> {
        let mut texts = embedded_texts();
        let own = folder.map(own_texts).transpose()?.unwrap_or_default();
        let differs = own.iter().any(|(name, text)| texts.get(name) != Some(text));
        texts.extend(own);
        Self::of(texts, differs)
    }

    fn of(texts: BTreeMap<String, String>, own: bool) -> Result<Self, BadPrompts> {
        let read = |name: &str| texts.get(name).cloned().ok_or_else(|| BadPrompts::Missing(name.to_owned()));
        let system = format!("{}\n\n{}", read("system.md")?, read("handbook.md")?);
        let router = read("router.md")?;
        let reminder = read("reminder.md")?;
        let mut tools = Vec::with_capacity(ToolName::ALL.len());
        for tool in ToolName::ALL {
            tools.push(json!({
                "name": tool.as_str(),
                "description": read(&format!("tools/{tool}.md"))?,
                "input_schema": input_schema(tool),
                "strict": true,
            }));
        }
        let mut holding = BTreeMap::new();
        for (name, text) in texts.iter().filter(|(name, _)| name.starts_with("holding/")) {
            let language = name.trim_start_matches("holding/").trim_end_matches(".md").to_owned();
            holding.insert(language, text.clone());
        }
        let mut hasher = Sha256::new();
        for part in [&system, &router, &reminder] {
            hasher.update(part.as_bytes());
            hasher.update([0]);
        }
        hasher.update(Value::Array(tools.clone()).to_string().as_bytes());
        let digest: String = hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let hash = format!("{}-{digest}{}", read("version")?, if own { "+own" } else { "" });
        Ok(Self { system, router, reminder, tools, holding, texts, hash, prefixes: Prefixes::default() })
    }
}

impl Prompts {
    /// A request that holds a kind's prefix and one word more, for counting.
    pub fn prefix_alone(&self, kind: Kind, model: &str) -> String {
        let messages = json!([{ "role": "user", "content": "x" }]);
        match kind {
            Kind::Route => json!({ "model": model, "system": self.router, "messages": messages }),
            Kind::Turn => json!({ "model": model, "tools": self.tools, "system": self.system, "messages": messages }),
        }
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chars per token, source: <https://platform.claude.com/docs/en/about-claude/models/overview>: 3.4 for Sonnet 4.6, 2.5
    /// for Opus 4.7; floors of the cache 1,024 and 2,048, and 2,048 and 4,096 in sources that disagree.
    #[test]
    fn the_prefix_lies_above_the_cache_floors() {
        let prompts = Prompts::embedded().unwrap();
        let chars = prompts.system.len() + Value::Array(prompts.tools.clone()).to_string().len();
        let sonnet = chars * 10 / 34;
        let opus = chars * 10 / 25;
        assert!(sonnet > 2_048 * 11 / 10, "about {sonnet} tokens on Sonnet");
        assert!(opus > 4_096 * 11 / 10, "about {opus} tokens on Opus");
    }

    #[test]
    fn the_role_prompt_is_about_320_words_and_names_nothing_that_varies() {
        let file = Embedded::get("system.md").unwrap();
        let role = String::from_utf8_lossy(&file.data).into_owned();
        let words = role.split_whitespace().count();
        assert!((280..=360).contains(&words), "{words} words");
        assert!(!role.contains("{{") && !role.contains("202"), "{role}");
    }

    #[test]
    fn a_team_replaces_texts_by_files_of_the_same_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("tools")).unwrap();
        let shipped = Prompts::embedded().unwrap();
        assert_eq!(Prompts::load(Some(folder.path())).unwrap().hash, shipped.hash, "an empty folder changes nothing");
        write("tools/get_customer.md", "Reads the account.\n");
        let own = Prompts::load(Some(folder.path())).unwrap();
        assert_eq!(own.tools[0]["description"], "Reads the account.");
        assert_eq!(own.system, shipped.system);
        assert!(own.hash.ends_with("+own") && own.hash.starts_with("2-") && own.hash[..18] != shipped.hash[..18]);
        let check = |name: &str, text: &str, words: &str| {
            write(name, text);
            let said = Prompts::load(Some(folder.path())).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
            std::fs::remove_file(folder.path().join(name)).unwrap();
        };
        check("tools/delete_customer.md", "x", "replaces no prompt");
        check("version", "9", "replaces no prompt");
        check("system.md", " \n", "is empty");
        let gone = Prompts::load(Some(&folder.path().join("none"))).unwrap_err().to_string();
        assert!(gone.contains("cannot be read"), "{gone}");
    }

    #[test]
    fn holding_texts_cover_the_shipped_languages() {
        let prompts = Prompts::embedded().unwrap();
        for language in ["en", "de", "fr", "es", "pt"] {
            assert!(prompts.holding.contains_key(language), "{language}");
        }
    }
}
