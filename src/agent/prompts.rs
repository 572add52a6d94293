//! The embedded prompts and their hash. The bytes are stable: nothing that varies between runs stands in them, so that the
//! cached prefix is the same for every ticket.

use std::collections::BTreeMap;

use rust_embed::RustEmbed;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

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
    /// Hash of all of it; kept with each run.
    pub hash: String,
    /// Beginnings of requests that were made of it.
    pub prefixes: Prefixes,
}

/// A prompt file that is not there. The binary was built wrong.
#[derive(Debug, thiserror::Error)]
#[error("the prompt `{0}` is not in the binary")]
pub struct Missing(String);

impl Prompts {
    /// The prompts in the binary.
    pub fn embedded() -> Result<Self, Missing> {
        let read = |name: &str| -> Result<String, Missing> {
            let file = Embedded::get(name).ok_or_else(|| Missing(name.to_owned()))?;
            Ok(String::from_utf8_lossy(&file.data).trim().to_owned())
        };
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
        for name in Embedded::iter().filter(|name| name.starts_with("holding/")) {
            let language = name.trim_start_matches("holding/").trim_end_matches(".md").to_owned();
            holding.insert(language, read(&name)?);
        }
        let mut hasher = Sha256::new();
        for part in [&system, &router, &reminder] {
            hasher.update(part.as_bytes());
            hasher.update([0]);
        }
        hasher.update(Value::Array(tools.clone()).to_string().as_bytes());
        let hash = hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { system, router, reminder, tools, holding, hash, prefixes: Prefixes::default() })
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
    fn holding_texts_cover_the_shipped_languages() {
        let prompts = Prompts::embedded().unwrap();
        for language in ["en", "de", "fr", "es", "pt"] {
            assert!(prompts.holding.contains_key(language), "{language}");
        }
    }
}
