//! A checked request as the cache sees it: tools, system and messages flattened into blocks with their tokens and markers.
//!
//! Canonical bytes are the block as received, without markers; key order counts. Parameters that change the rendered prompt
//! are folded in at the level where the documentation says they act; where it says "model-specific", at the very start.

use serde_json::{Map, Value};

use super::cache::Ttl;
use super::models::{Model, Tokenizer};

/// Tokens of one image, whatever its size.
const IMAGE_TOKENS: u64 = 1_500;

/// Where a block stands in the rendered prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A tool definition.
    Tools = 0,
    /// A part of `system`.
    System = 1,
    /// A part of a message.
    Messages = 2,
}

/// One position of the cache.
#[derive(Debug, Clone)]
pub struct Block {
    /// Where it stands.
    pub level: Level,
    /// Its content as received, without markers.
    pub bytes: String,
    /// Its tokens.
    pub tokens: u64,
    /// Its marker, if it has one.
    pub marker: Option<Ttl>,
}

/// A whole prompt.
#[derive(Debug, Clone, Default)]
pub struct Prompt {
    /// The model's id: caches are per model.
    pub model: &'static str,
    /// Parameters in front of everything.
    pub fold_start: String,
    /// Parameters in front of `system`.
    pub fold_system: String,
    /// Parameters in front of the messages.
    pub fold_messages: String,
    /// All blocks, in order.
    pub blocks: Vec<Block>,
    /// Hidden tokens in front of everything.
    pub preamble: u64,
    /// Hidden tokens in front of the messages (a forced tool choice).
    pub preamble_messages: u64,
}

impl Prompt {
    /// Flattens a request that has passed validation.
    pub fn build(model: &'static Model, body: &Value) -> Prompt {
        let tools = array(body, "tools");
        let choice = body.pointer("/tool_choice/type").and_then(Value::as_str);
        let format = body.pointer("/output_config/format").filter(|f| !f.is_null()).map(Value::to_string);
        let mut prompt = Prompt {
            model: model.id,
            fold_start: fold_start(body, format.as_deref()),
            fold_system: body.get("speed").and_then(Value::as_str).filter(|s| *s != "standard").unwrap_or("").into(),
            fold_messages: fold_messages(body, tools.is_empty()),
            ..Prompt::default()
        };
        if !tools.is_empty() {
            prompt.preamble = model.preamble;
            if matches!(choice, Some("any" | "tool")) {
                prompt.preamble_messages = model.preamble_forced - model.preamble;
            }
        }
        // A schema for the answer is rendered into the prompt; its own length stands for those hidden tokens.
        prompt.preamble += format.map_or(0, |text| model.tokenizer.tokens(text.len()));

        for tool in tools {
            prompt.push(model.tokenizer, Level::Tools, "", tool.clone());
        }
        for block in blocks_of(body.get("system")) {
            prompt.push(model.tokenizer, Level::System, "", block);
        }
        for message in array(body, "messages") {
            let role = message.get("role").and_then(Value::as_str).unwrap_or("user");
            for block in blocks_of(message.get("content")) {
                prompt.push(model.tokenizer, Level::Messages, role, block);
            }
        }
        if let Some(ttl) = body.get("cache_control").and_then(ttl_of)
            && let Some(last) = prompt.blocks.iter_mut().rfind(|block| can_be_marked(&block.bytes))
        {
            last.marker.get_or_insert(ttl);
        }
        prompt
    }

    fn push(&mut self, tokenizer: Tokenizer, level: Level, role: &str, mut block: Value) {
        let marker = take_marker(&mut block);
        let tokens = tokens_of(tokenizer, &block);
        let text = block.to_string();
        let bytes = if role.is_empty() { text } else { format!("{role}:{text}") };
        self.blocks.push(Block { level, bytes, tokens, marker });
    }

    /// All tokens of the prompt, hidden ones included.
    pub fn total_tokens(&self) -> u64 {
        let messages = self.blocks.iter().any(|block| block.level == Level::Messages);
        self.preamble
            + if messages { self.preamble_messages } else { 0 }
            + self.blocks.iter().map(|block| block.tokens).sum::<u64>()
    }
}

fn can_be_marked(bytes: &str) -> bool {
    !bytes.contains("{\"type\":\"thinking\"") && !bytes.contains("{\"type\":\"redacted_thinking\"")
}

/// The array under a key; empty when absent.
pub(super) fn array<'a>(body: &'a Value, key: &str) -> &'a [Value] {
    body.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Content as blocks: a string is one text block.
pub(super) fn blocks_of(content: Option<&Value>) -> Vec<Value> {
    match content {
        Some(Value::String(text)) => vec![serde_json::json!({"type": "text", "text": text})],
        Some(Value::Array(blocks)) => blocks.clone(),
        _ => Vec::new(),
    }
}

/// The time to live that a marker asks for.
pub(super) fn ttl_of(marker: &Value) -> Option<Ttl> {
    let marker = marker.as_object()?;
    Some(if marker.get("ttl").and_then(Value::as_str) == Some("1h") { Ttl::OneHour } else { Ttl::FiveMinutes })
}

/// Removes the markers of a block, also those inside a tool result; the outermost one wins.
fn take_marker(block: &mut Value) -> Option<Ttl> {
    let object = block.as_object_mut()?;
    let own = object.shift_remove("cache_control").as_ref().and_then(ttl_of);
    let inner = match object.get_mut("content") {
        Some(Value::Array(parts)) => parts.iter_mut().filter_map(take_marker).last(),
        _ => None,
    };
    own.or(inner)
}

fn tokens_of(tokenizer: Tokenizer, block: &Value) -> u64 {
    let text = |key: &str| block.get(key).and_then(Value::as_str).map_or(0, str::len);
    match block.get("type").and_then(Value::as_str) {
        Some("text") => tokenizer.tokens(text("text")),
        // Thinking that came back empty is billed all the same; its signature grows with it.
        Some("thinking") => tokenizer.tokens(text("thinking").max(text("signature"))),
        Some("image") => IMAGE_TOKENS,
        Some("tool_result") => match block.get("content") {
            Some(Value::Array(parts)) => 10 + parts.iter().map(|part| tokens_of(tokenizer, part)).sum::<u64>(),
            Some(Value::String(text)) => 10 + tokenizer.tokens(text.len()),
            _ => 10,
        },
        _ => tokenizer.tokens(block.to_string().len()),
    }
}

fn fold_start(body: &Value, format: Option<&str>) -> String {
    let thinking = match body.pointer("/thinking/type").and_then(Value::as_str) {
        None | Some("disabled") => String::new(),
        Some("enabled") => format!("enabled {}", body["thinking"]["budget_tokens"]),
        Some(other) => other.to_owned(),
    };
    // The default spelled out equals leaving it out.
    let effort = body.pointer("/output_config/effort").and_then(Value::as_str).filter(|e| *e != "high").unwrap_or("");
    let budget = body.pointer("/output_config/task_budget").map(Value::to_string).unwrap_or_default();
    format!("{thinking}|{effort}|{budget}|{}", format.unwrap_or(""))
}

fn fold_messages(body: &Value, no_tools: bool) -> String {
    let empty = Map::new();
    let choice = body.get("tool_choice").and_then(Value::as_object).unwrap_or(&empty);
    let kind = match choice.get("type").and_then(Value::as_str) {
        Some("auto") if !no_tools => "",
        Some("none") if no_tools => "",
        Some(other) => other,
        None => "",
    };
    let name = choice.get("name").and_then(Value::as_str).unwrap_or("");
    let single = choice.get("disable_parallel_tool_use").and_then(Value::as_bool).unwrap_or(false);
    let images = array(body, "messages").iter().any(|m| blocks_of(m.get("content")).iter().any(has_image));
    format!("{kind}|{name}|{single}|{images}")
}

fn has_image(block: &Value) -> bool {
    block.get("type").and_then(Value::as_str) == Some("image")
        || block.get("content").and_then(Value::as_array).is_some_and(|parts| parts.iter().any(has_image))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::cache::{Cache, Rules, Split};
    use super::super::models::find;
    use super::*;

    fn body(tool_chars: usize, system_chars: usize) -> Value {
        json!({
            "tools": [{"name": "t", "description": "d".repeat(tool_chars), "input_schema": {"type": "object"}}],
            "system": [{"type": "text", "text": "s".repeat(system_chars), "cache_control": {"type": "ephemeral"}}],
            "messages": [{"role": "user", "content": "hello"}],
        })
    }

    /// The trap: nine terse tools and 320 words stand under the floor of Opus 4.7, rich ones above it.
    #[test]
    fn a_short_prefix_is_not_cached_on_opus() {
        let check = |model: &str, tools: usize, floor: u64, preamble_counts: bool, cached: bool| {
            let model = find(model).unwrap();
            let prompt = Prompt::build(model, &body(tools, 1_450));
            let plan = Cache::default().read(&prompt, Rules { floor, preamble_counts }, jiff::Timestamp::UNIX_EPOCH);
            let written = plan.split.write_5m > 0;
            assert_eq!(written, cached, "{} tools {tools} floor {floor}: {:?}", model.id, plan.split);
            assert_eq!(plan.split.total(), prompt.total_tokens());
        };
        for (tools, opus, sonnet) in [(1_750, false, false), (3_700, true, true), (7_100, true, true)] {
            check("claude-opus-4-7", tools, 2_048, false, opus);
            check("claude-sonnet-4-6", tools, 1_024, false, sonnet);
        }
        check("claude-opus-4-7", 1_750, 2_048, true, false); // 1,995 in the reference's table: just below.
        check("claude-sonnet-4-6", 1_750, 1_024, true, true);
        check("claude-opus-4-7", 7_100, 4_096, false, false);
        check("claude-opus-4-7", 7_100, 4_096, true, true);
        check("claude-haiku-4-5", 7_100, 4_096, true, false);
    }

    #[test]
    fn markers_and_defaults_do_not_change_the_hash() {
        let model = find("claude-opus-4-7").unwrap();
        let hashes = |body: &Value| super::super::cache::prefix_hashes(&Prompt::build(model, body));
        let base = body(10, 10);
        let same = |change: fn(&mut Value), equal: bool, why: &str| {
            let mut other = base.clone();
            change(&mut other);
            assert_eq!(hashes(&other).last() == hashes(&base).last(), equal, "{why}");
        };
        same(|b| drop(b["system"][0].as_object_mut().unwrap().shift_remove("cache_control")), true, "a moved marker");
        same(|b| b["output_config"] = json!({"effort": "high"}), true, "the default effort");
        same(|b| b["thinking"] = json!({"type": "disabled"}), true, "the default thinking");
        same(|b| b["tool_choice"] = json!({"type": "auto"}), true, "the default tool choice");
        same(|b| b["messages"][0]["content"] = json!([{"type": "text", "text": "hello"}]), true, "a string is a block");
        same(|b| b["output_config"] = json!({"effort": "low"}), false, "another effort");
        same(|b| b["thinking"] = json!({"type": "adaptive"}), false, "thinking");
        same(|b| b["tool_choice"] = json!({"type": "any"}), false, "a forced tool");
        same(
            |b| b["tools"][0] = json!({"description": "d".repeat(10), "name": "t", "input_schema": {"type": "object"}}),
            false,
            "another key order",
        );
    }

    #[test]
    fn the_preamble_is_billed_with_the_prefix() {
        let model = find("claude-opus-4-7").unwrap();
        let prompt = Prompt::build(model, &body(7_000, 1_450));
        let split = Cache::default()
            .read(&prompt, Rules { floor: 2_048, preamble_counts: false }, jiff::Timestamp::UNIX_EPOCH)
            .split;
        assert_eq!(split, Split { input: 2, write_5m: prompt.total_tokens() - 2, ..Split::default() });
    }

    #[test]
    fn an_automatic_marker_stands_at_the_last_block_that_can_carry_one() {
        let model = find("claude-sonnet-4-6").unwrap();
        let mut request = body(10, 10);
        request["cache_control"] = json!({"type": "ephemeral", "ttl": "1h"});
        let prompt = Prompt::build(model, &request);
        assert_eq!(prompt.blocks.last().unwrap().marker, Some(Ttl::OneHour));
    }
}
