//! What the simulator remembers of its own answers: thinking blocks by signature and by tool call, and prompt fingerprints for
//! cache diagnostics. Bounded; what it has forgotten (or another process issued) is accepted unseen.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::cache::prefix_hashes;
use super::prompt::{Level, Prompt};

/// Answers remembered at most.
const MOST: usize = 10_000;

/// The thinking blocks of one answer that called tools.
#[derive(Debug, Clone, PartialEq)]
pub struct IssuedAnswer {
    /// The model that made them.
    pub model: &'static str,
    /// The blocks, exactly as sent.
    pub thinking: Vec<Value>,
}

/// The remembered answers.
#[derive(Debug, Default)]
pub struct Issued {
    by_signature: HashMap<String, Value>,
    by_call: HashMap<String, IssuedAnswer>,
    fingerprints: HashMap<String, Fingerprint>,
    order: VecDeque<Forget>,
}

#[derive(Debug)]
enum Forget {
    Signature(String),
    Call(String),
    Message(String),
}

/// A prompt as cache diagnostics compare it.
#[derive(Debug, Clone, PartialEq)]
struct Fingerprint {
    model: &'static str,
    parameters: (String, String, String),
    blocks: Vec<(Level, [u8; 32], u64)>,
}

impl Issued {
    /// Remembers an answer's content.
    pub fn remember(&mut self, model: &'static str, content: &[Value]) {
        let kind = |block: &Value| block.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
        let thinking: Vec<Value> = content.iter().filter(|block| kind(block) == "thinking").cloned().collect();
        for block in &thinking {
            if let Some(signature) = block.get("signature").and_then(Value::as_str) {
                self.by_signature.insert(signature.to_owned(), block.clone());
                self.order.push_back(Forget::Signature(signature.to_owned()));
            }
        }
        for call in content.iter().filter(|block| kind(block) == "tool_use") {
            if let Some(id) = call.get("id").and_then(Value::as_str) {
                self.by_call.insert(id.to_owned(), IssuedAnswer { model, thinking: thinking.clone() });
                self.order.push_back(Forget::Call(id.to_owned()));
            }
        }
        self.forget();
    }

    /// Remembers the prompt of an answered message, when its request asked for diagnostics.
    pub fn remember_prompt(&mut self, message_id: &str, prompt: &Prompt) {
        self.fingerprints.insert(message_id.to_owned(), Fingerprint::of(prompt));
        self.order.push_back(Forget::Message(message_id.to_owned()));
        self.forget();
    }

    fn forget(&mut self) {
        while self.order.len() > MOST {
            match self.order.pop_front() {
                Some(Forget::Signature(key)) => drop(self.by_signature.remove(&key)),
                Some(Forget::Call(key)) => drop(self.by_call.remove(&key)),
                Some(Forget::Message(key)) => drop(self.fingerprints.remove(&key)),
                None => return,
            }
        }
    }

    /// The block that was issued under this signature.
    pub fn block(&self, signature: &str) -> Option<&Value> {
        self.by_signature.get(signature)
    }

    /// The answer that made this tool call.
    pub fn answer(&self, call: &str) -> Option<&IssuedAnswer> {
        self.by_call.get(call)
    }

    /// The `diagnostics` of an answer: where this prompt first differs from that of an earlier message.
    ///
    /// Source: <https://platform.claude.com/docs/en/build-with-claude/cache-diagnostics>, 2026-11.
    pub fn diagnose(&self, previous: &str, prompt: &Prompt) -> Value {
        let reason = |kind: &str| serde_json::json!({"cache_miss_reason": {"type": kind}});
        let Some(before) = self.fingerprints.get(previous) else { return reason("previous_message_not_found") };
        let now = Fingerprint::of(prompt);
        if before.model != now.model {
            return missed("model_changed", prompt.total_tokens());
        }
        if before.parameters != now.parameters {
            return reason("unavailable");
        }
        let level = |print: &Fingerprint, level: Level| -> Vec<[u8; 32]> {
            print.blocks.iter().filter(|(l, ..)| *l == level).map(|(_, hash, _)| *hash).collect()
        };
        let from = |start: Level| now.blocks.iter().filter(|(l, ..)| *l >= start).map(|(.., tokens)| tokens).sum();
        if level(before, Level::Tools) != level(&now, Level::Tools) {
            return missed("tools_changed", from(Level::Tools));
        }
        if level(before, Level::System) != level(&now, Level::System) {
            return missed("system_changed", from(Level::System));
        }
        let (old, new) = (level(before, Level::Messages), level(&now, Level::Messages));
        match old.iter().zip(&new).position(|(a, b)| a != b) {
            Some(at) => {
                let messages = now.blocks.iter().filter(|(l, ..)| *l == Level::Messages);
                missed("messages_changed", messages.skip(at).map(|(.., tokens)| tokens).sum())
            }
            None if new.len() < old.len() => missed("messages_changed", 0),
            None => Value::Null,
        }
    }
}

fn missed(kind: &str, tokens: u64) -> Value {
    serde_json::json!({"cache_miss_reason": {"type": kind, "cache_missed_input_tokens": tokens}})
}

impl Fingerprint {
    fn of(prompt: &Prompt) -> Self {
        let alone = |block: &super::prompt::Block| {
            let single = Prompt { blocks: vec![block.clone()], ..Prompt::default() };
            prefix_hashes(&single)[0]
        };
        Self {
            model: prompt.model,
            parameters: (prompt.fold_start.clone(), prompt.fold_system.clone(), prompt.fold_messages.clone()),
            blocks: prompt.blocks.iter().map(|block| (block.level, alone(block), block.tokens)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::models::find;
    use super::*;

    #[test]
    fn diagnostics_name_the_first_difference() {
        let opus = find("claude-opus-4-7").unwrap();
        let body = json!({
            "tools": [{"name": "t", "input_schema": {"type": "object"}}], "system": "s",
            "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
        });
        let mut issued = Issued::default();
        issued.remember_prompt("msg_1", &Prompt::build(opus, &body));
        let check = |change: &dyn Fn(&mut Value), expected: &str| {
            let mut other = body.clone();
            change(&mut other);
            let got = issued.diagnose("msg_1", &Prompt::build(opus, &other));
            let kind = got.pointer("/cache_miss_reason/type").and_then(Value::as_str).unwrap_or("");
            assert_eq!(kind, expected, "{got}");
        };
        check(&|_| {}, "");
        check(&|b| b["messages"].as_array_mut().unwrap().push(json!({"role": "assistant", "content": "d"})), "");
        check(&|b| b["messages"][0]["content"] = json!("changed"), "messages_changed");
        check(&|b| b["system"] = json!("changed"), "system_changed");
        check(&|b| b["tools"][0]["description"] = json!("changed"), "tools_changed");
        check(&|b| b["thinking"] = json!({"type": "adaptive"}), "unavailable");
        let sonnet = find("claude-sonnet-4-6").unwrap();
        let got = issued.diagnose("msg_1", &Prompt::build(sonnet, &body));
        assert_eq!(got.pointer("/cache_miss_reason/type").unwrap(), "model_changed");
        let got = issued.diagnose("msg_2", &Prompt::build(opus, &body));
        assert_eq!(got.pointer("/cache_miss_reason/type").unwrap(), "previous_message_not_found");
    }
}
