//! What the simulator knows of each model: sizes, cache floor, tokenizer, tool preamble, and which parameters it takes.
//! Data only; the rules that read it stand in `validate`.
//!
//! Sources: <https://platform.claude.com/docs/en/about-claude/models/overview>,
//! <https://platform.claude.com/docs/en/build-with-claude/prompt-caching> (floors),
//! <https://platform.claude.com/docs/en/about-claude/pricing> (tool preamble), 2026-11.

/// How a model counts text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokenizer {
    /// About 3.4 characters a token (Sonnet 4.6, Haiku 4.5, Opus up to 4.6).
    Old,
    /// About 2.5 characters a token (Opus 4.7 and later).
    New,
}

impl Tokenizer {
    /// Tokens of so many bytes, rounded up; 0 for nothing.
    pub fn tokens(self, bytes: usize) -> u64 {
        let tenths = match self {
            Tokenizer::Old => 34,
            Tokenizer::New => 25,
        };
        (bytes as u64 * 10).div_ceil(tenths)
    }

    /// Bytes that so many tokens stand for, rounded down.
    pub fn bytes(self, tokens: u64) -> usize {
        let tenths = match self {
            Tokenizer::Old => 34,
            Tokenizer::New => 25,
        };
        usize::try_from(tokens * tenths / 10).unwrap_or(usize::MAX)
    }
}

/// Which kinds of thinking a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    /// `adaptive` alone.
    Adaptive,
    /// `adaptive`, and `enabled` with a budget (deprecated).
    Both,
    /// `enabled` with a budget alone.
    Manual,
}

/// The bucket of the rate limits a model draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The Opus line.
    Opus,
    /// The Sonnet line.
    Sonnet,
    /// The Haiku line.
    Haiku,
}

/// One model.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// The id on the wire.
    pub id: &'static str,
    /// Its name for people.
    pub display_name: &'static str,
    /// Another id that means the same model.
    pub alias: Option<&'static str>,
    /// Tokens that fit into the context window.
    pub context: u64,
    /// The largest `max_tokens`.
    pub max_output: u64,
    /// The shortest prefix that is cached, in tokens.
    pub floor: u64,
    /// How it counts.
    pub tokenizer: Tokenizer,
    /// Hidden tokens as soon as tools are given, with `tool_choice` `auto` or `none`.
    pub preamble: u64,
    /// The same with `any` or `tool`.
    pub preamble_forced: u64,
    /// Kinds of thinking.
    pub thinking: Thinking,
    /// Whether thinking comes back empty unless `display` asks for a summary.
    pub thinking_omitted: bool,
    /// Accepted effort levels; empty when the model takes none.
    pub efforts: &'static [&'static str],
    /// Whether a conversation may end with an assistant message.
    pub prefill: bool,
    /// Whether version 2023-06-01 accepts sampling parameters other than the default.
    pub sampling: bool,
    /// Whether `task_budget` exists (beta).
    pub task_budget: bool,
    /// Whose rate limits.
    pub class: Class,
    /// The day of release.
    pub released: &'static str,
    /// Not retired before this day.
    pub retires_at: &'static str,
}

const ALL_EFFORTS: &[&str] = &["low", "medium", "high", "xhigh", "max"];
const NO_XHIGH: &[&str] = &["low", "medium", "high", "max"];

/// The models that the simulator answers for.
pub const MODELS: [Model; 5] = [
    Model {
        id: "claude-opus-4-7",
        display_name: "Claude Opus 4.7",
        alias: None,
        context: 1_000_000,
        max_output: 128_000,
        floor: 2_048,
        tokenizer: Tokenizer::New,
        preamble: 675,
        preamble_forced: 804,
        thinking: Thinking::Adaptive,
        thinking_omitted: true,
        efforts: ALL_EFFORTS,
        prefill: false,
        sampling: false,
        task_budget: true,
        class: Class::Opus,
        released: "2026-04-16T00:00:00Z",
        retires_at: "2027-04-16T00:00:00Z",
    },
    Model {
        id: "claude-sonnet-4-6",
        display_name: "Claude Sonnet 4.6",
        alias: None,
        context: 1_000_000,
        max_output: 128_000,
        floor: 1_024,
        tokenizer: Tokenizer::Old,
        preamble: 497,
        preamble_forced: 589,
        thinking: Thinking::Both,
        thinking_omitted: false,
        efforts: NO_XHIGH,
        prefill: false,
        sampling: true,
        task_budget: false,
        class: Class::Sonnet,
        released: "2026-02-17T00:00:00Z",
        retires_at: "2027-02-17T00:00:00Z",
    },
    Model {
        id: "claude-haiku-4-5-20251001",
        display_name: "Claude Haiku 4.5",
        alias: Some("claude-haiku-4-5"),
        context: 200_000,
        max_output: 64_000,
        floor: 4_096,
        tokenizer: Tokenizer::Old,
        preamble: 496,
        preamble_forced: 588,
        thinking: Thinking::Manual,
        thinking_omitted: false,
        efforts: &[],
        prefill: true,
        sampling: true,
        task_budget: false,
        class: Class::Haiku,
        released: "2025-10-15T00:00:00Z",
        retires_at: "2026-10-15T00:00:00Z",
    },
    Model {
        id: "claude-opus-4-6",
        display_name: "Claude Opus 4.6",
        alias: None,
        context: 1_000_000,
        max_output: 128_000,
        floor: 4_096,
        tokenizer: Tokenizer::Old,
        preamble: 497,
        preamble_forced: 589,
        thinking: Thinking::Both,
        thinking_omitted: false,
        efforts: NO_XHIGH,
        prefill: false,
        sampling: true,
        task_budget: false,
        class: Class::Opus,
        released: "2026-02-05T00:00:00Z",
        retires_at: "2027-02-05T00:00:00Z",
    },
    Model {
        id: "claude-opus-4-8",
        display_name: "Claude Opus 4.8",
        alias: None,
        context: 1_000_000,
        max_output: 128_000,
        floor: 1_024,
        tokenizer: Tokenizer::New,
        preamble: 290,
        preamble_forced: 410,
        thinking: Thinking::Adaptive,
        thinking_omitted: true,
        efforts: ALL_EFFORTS,
        prefill: false,
        sampling: false,
        task_budget: false,
        class: Class::Opus,
        released: "2026-05-28T00:00:00Z",
        retires_at: "2027-05-28T00:00:00Z",
    },
];

/// The model of this id or alias.
pub fn find(id: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.id == id || model.alias == Some(id))
}

impl Model {
    /// The answer of `GET /v1/models/{id}`.
    pub fn describe(&self) -> serde_json::Value {
        let supported = |yes: bool| serde_json::json!({"supported": yes});
        let mut effort = serde_json::Map::new();
        effort.insert("supported".into(), (!self.efforts.is_empty()).into());
        for level in ALL_EFFORTS {
            effort.insert((*level).into(), supported(self.efforts.contains(level)));
        }
        serde_json::json!({
            "id": self.id,
            "type": "model",
            "display_name": self.display_name,
            "created_at": self.released,
            "max_input_tokens": self.context,
            "max_tokens": self.max_output,
            "lifecycle": "active",
            "deprecated_at": null,
            "retires_at": self.retires_at,
            "capabilities": {
                "batch": supported(true),
                "citations": supported(true),
                "code_execution": supported(false),
                "context_management": {"supported": false, "clear_thinking_20251015": null,
                    "clear_tool_uses_20250919": null, "compact_20260112": null},
                "effort": effort,
                "image_input": supported(true),
                "pdf_input": supported(true),
                "structured_outputs": supported(true),
                "thinking": {"supported": true, "types": {
                    "adaptive": supported(self.thinking != Thinking::Manual),
                    "enabled": supported(self.thinking != Thinking::Adaptive),
                }},
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_follow_the_documented_density() {
        let check = |tokenizer: Tokenizer, bytes: usize, expected: u64| {
            assert_eq!(tokenizer.tokens(bytes), expected, "{tokenizer:?} {bytes}");
        };
        check(Tokenizer::Old, 0, 0);
        check(Tokenizer::Old, 1, 1);
        check(Tokenizer::Old, 34, 10);
        check(Tokenizer::Old, 35, 11);
        check(Tokenizer::New, 25, 10);
        check(Tokenizer::New, 2_100, 840);
        assert!(find("claude-haiku-4-5").is_some() && find("claude-opus-latest").is_none());
    }
}
