//! From what the stand-in says to the message on the wire: blocks, ids, stop reason, output tokens, and the stream's events.
//!
//! Sources: <https://platform.claude.com/docs/en/build-with-claude/streaming>,
//! <https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons>, 2026-11.

use base64::Engine as _;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::cache::Split;
use super::faults::FaultKind;
use super::messages::FUTURE_BLOCK;
use super::models::Model;
use super::validate::Accepted;
use crate::sim::standin::Reply;

/// Characters in one delta.
const DELTA_CHARS: usize = 28;
/// How much a model thinks before an answer, in tokens, by effort: a table that makes the flow of tokens plausible, for the
/// stand-in does not think. No vendor publishes such figures.
const THINKING: [(&str, u64); 5] = [("low", 60), ("medium", 160), ("high", 400), ("xhigh", 900), ("max", 1_800)];
/// How far one answer's thinking may lie from that, in percent.
const THINKING_SPREAD_PERCENT: u64 = 50;

/// How much a model thinks before this answer, in tokens: later turns take half, for the plan stands already.
pub(super) fn thinking_tokens(body: &Value, turn: usize, ids: &Ids) -> u64 {
    let effort = body.pointer("/output_config/effort").and_then(Value::as_str).unwrap_or("high");
    let usual = THINKING.iter().find(|(name, _)| *name == effort).map_or(0, |(_, tokens)| *tokens);
    let percent = super::latency::percent(THINKING_SPREAD_PERCENT, ids.chance());
    usual * percent / 100 / if turn == 0 { 1 } else { 2 }
}

/// Output tokens that a tool call costs beside its name and input.
const CALL_TOKENS: u64 = 12;

/// Makes ids that differ for every request, and are the same for the same seed, order and body.
#[derive(Debug, Clone)]
pub struct Ids {
    base: Sha256,
    next: u64,
}

impl Ids {
    /// Ids of the request with this number and body.
    pub fn new(seed: u64, number: u64, body: &[u8]) -> Self {
        let mut base = Sha256::new();
        base.update(seed.to_le_bytes());
        base.update(number.to_le_bytes());
        base.update(body);
        Self { base, next: 0 }
    }

    /// The next id with this prefix.
    pub fn make(&mut self, prefix: &str) -> String {
        const LETTERS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
        let digest = self.digest();
        let tail: String = digest.iter().take(22).map(|byte| char::from(LETTERS[usize::from(*byte) % 58])).collect();
        format!("{prefix}{tail}")
    }

    /// A number from 0 to 1 (1 excluded) that is the same for the same seed, order and body; uses no id up.
    pub fn chance(&self) -> f64 {
        let mut state = self.base.clone();
        state.update(b"chance");
        let digest: [u8; 32] = state.finalize().into();
        let number = digest.iter().take(4).fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        f64::from(number) / (f64::from(u32::MAX) + 1.0)
    }

    /// An opaque signature, longer for more thinking.
    fn signature(&mut self, length: usize) -> String {
        let mut bytes = Vec::new();
        while bytes.len() * 4 / 3 < length.max(96) {
            bytes.extend_from_slice(&self.digest());
        }
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    fn digest(&mut self) -> [u8; 32] {
        let mut state = self.base.clone();
        state.update(self.next.to_le_bytes());
        self.next += 1;
        state.finalize().into()
    }
}

/// A block of the answer, with the part of a tool's input that really came.
#[derive(Debug, Clone)]
struct Part {
    block: Value,
    /// The input as text, possibly cut; for tool calls alone.
    input_text: String,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    id: String,
    model: &'static str,
    parts: Vec<Part>,
    stop_reason: String,
    stop_sequence: Option<String>,
    stop_details: Value,
    split: Split,
    /// Tokens produced.
    pub output_tokens: u64,
    thinking_tokens: u64,
    /// What cache diagnostics say.
    pub diagnostics: Value,
}

impl Answer {
    /// Builds the answer to an accepted request; `thinks` is how many tokens of thinking it costs at least, if thinking is on.
    pub fn build(
        accepted: &Accepted,
        body: &Value,
        reply: &Reply,
        split: Split,
        fault: Option<&FaultKind>,
        thinks: u64,
        ids: &mut Ids,
    ) -> Answer {
        let model = accepted.model;
        let mut answer = Answer {
            id: ids.make("msg_01"),
            model: model.id,
            parts: Vec::new(),
            stop_reason: "end_turn".into(),
            stop_sequence: None,
            stop_details: Value::Null,
            split,
            output_tokens: 0,
            thinking_tokens: 0,
            diagnostics: Value::Null,
        };
        if accepted.max_tokens == 0 {
            answer.stop_reason = "max_tokens".into();
            return answer;
        }
        if accepted.thinking && !reply.thinking.is_empty() {
            answer.thinking_tokens = model.tokenizer.tokens(reply.thinking.len()).max(thinks);
            let shown = if accepted.show_thinking { reply.thinking.as_str() } else { "" };
            let signature = ids.signature(model.tokenizer.bytes(answer.thinking_tokens));
            answer.push(json!({"type": "thinking", "thinking": shown, "signature": signature}));
        }
        if !reply.text.is_empty() {
            answer.push(json!({"type": "text", "text": reply.text}));
        }
        for call in &reply.calls {
            answer.push_call(ids, &call.name, &call.input);
        }
        if reply.calls.is_empty() {
            answer.stop_at_sequence(body);
        } else {
            answer.stop_reason = "tool_use".into();
        }
        if let Some(fault) = fault {
            answer.misbehave(fault, ids);
        }
        answer.count(model, accepted.max_tokens);
        answer
    }

    fn push(&mut self, block: Value) {
        self.parts.push(Part { block, input_text: String::new() });
    }

    fn push_call(&mut self, ids: &mut Ids, name: &str, input: &Value) {
        let block = json!({
            "type": "tool_use", "id": ids.make("toolu_01"), "name": name, "input": input, "caller": {"type": "direct"},
        });
        self.parts.push(Part { block, input_text: input.to_string() });
    }

    fn stop_at_sequence(&mut self, body: &Value) {
        let Some(Value::Array(sequences)) = body.get("stop_sequences") else { return };
        let Some(part) = self.parts.iter_mut().find(|part| part.block["type"] == "text") else { return };
        let text = part.block["text"].as_str().unwrap_or("").to_owned();
        let first = sequences
            .iter()
            .filter_map(Value::as_str)
            .filter_map(|sequence| Some((text.find(sequence)?, sequence)))
            .min();
        if let Some((at, sequence)) = first {
            part.block["text"] = text[..at].into();
            self.stop_reason = "stop_sequence".into();
            self.stop_sequence = Some(sequence.to_owned());
        }
    }

    fn misbehave(&mut self, fault: &FaultKind, ids: &mut Ids) {
        let calls = self.parts.iter().filter(|part| part.block["type"] == "tool_use").count();
        match fault {
            FaultKind::EmptyEndTurn => {
                self.parts.clear();
                self.stop_reason = "end_turn".into();
            }
            FaultKind::MaxTokensInToolUse => {
                if calls == 0 {
                    self.push_call(ids, "log_resolution", &json!({"answer": "This answer is cut in the middle"}));
                }
                if let Some(part) = self.parts.last_mut() {
                    cut_call(part, part.input_text.len() / 2);
                }
                self.stop_reason = "max_tokens".into();
            }
            FaultKind::Refusal => {
                self.parts.clear();
                self.push(json!({"type": "text", "text": "I can"}));
                self.stop_reason = "refusal".into();
                self.stop_details =
                    json!({"type": "refusal", "category": "cyber", "explanation": "This request was refused."});
            }
            FaultKind::UnknownStopReason => self.stop_reason = "waiting_for_moon".into(),
            FaultKind::UnknownBlock => {
                let block = json!({"type": FUTURE_BLOCK, "payload": {"level": 3}});
                self.parts.insert(0, Part { block, input_text: String::new() });
            }
            FaultKind::InvalidToolInput => {
                if calls == 0 {
                    self.push_call(ids, "log_resolution", &json!({}));
                    self.stop_reason = "tool_use".into();
                }
                if let Some(part) = self.parts.last_mut() {
                    let wrong = json!({"amount_minor": "a lot", "answer": 7});
                    part.input_text = wrong.to_string();
                    part.block["input"] = wrong;
                }
            }
            FaultKind::HallucinatedTool => {
                self.parts.retain(|part| part.block["type"] != "tool_use");
                self.push_call(ids, "delete_customer", &json!({"confirm": true}));
                self.stop_reason = "tool_use".into();
            }
            FaultKind::TextOnly => {
                self.parts.retain(|part| part.block["type"] == "thinking");
                self.push(json!({"type": "text", "text": "I have looked at everything and the case is clear."}));
                self.stop_reason = "end_turn".into();
            }
            _ => {}
        }
    }

    /// Counts the output, and cuts it where `max_tokens` is reached.
    fn count(&mut self, model: &Model, max_tokens: u64) {
        let mut used = self.thinking_tokens;
        if used > max_tokens {
            self.parts.truncate(1);
            self.cut(max_tokens);
            self.thinking_tokens = max_tokens;
            return;
        }
        for n in 0..self.parts.len() {
            let part = &mut self.parts[n];
            let kind = part.block["type"].as_str().unwrap_or("").to_owned();
            let (bytes, fixed) = match kind.as_str() {
                "thinking" => continue,
                "text" => (part.block["text"].as_str().map_or(0, str::len), 0),
                "tool_use" => (part.input_text.len() + part.block["name"].as_str().map_or(0, str::len), CALL_TOKENS),
                _ => (part.block.to_string().len(), 0),
            };
            let tokens = model.tokenizer.tokens(bytes) + fixed;
            if used + tokens <= max_tokens {
                used += tokens;
                continue;
            }
            let left = model.tokenizer.bytes((max_tokens - used).saturating_sub(fixed));
            match kind.as_str() {
                "text" => {
                    let text = part.block["text"].as_str().unwrap_or("");
                    part.block["text"] = cut_text(text, left).into();
                }
                _ => cut_call(part, left),
            }
            let empty_text = kind == "text" && part.block["text"] == "";
            self.parts.truncate(if empty_text { n } else { n + 1 });
            self.cut(max_tokens);
            return;
        }
        // Even an empty answer costs a little.
        self.output_tokens = used.max(2);
    }

    fn cut(&mut self, max_tokens: u64) {
        self.stop_reason = "max_tokens".into();
        self.stop_sequence = None;
        self.output_tokens = max_tokens;
    }

    /// The id of the message.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The model that answers.
    pub fn model(&self) -> &'static str {
        self.model
    }

    /// The content as a client will send it back.
    pub fn content(&self) -> Vec<Value> {
        self.parts.iter().map(|part| part.block.clone()).collect()
    }

    fn usage(&self, output_tokens: u64, thinking_tokens: u64) -> Value {
        json!({
            "input_tokens": self.split.input,
            "cache_creation_input_tokens": self.split.write_5m + self.split.write_1h,
            "cache_read_input_tokens": self.split.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.split.write_5m,
                "ephemeral_1h_input_tokens": self.split.write_1h,
            },
            "output_tokens": output_tokens,
            "output_tokens_details": {"thinking_tokens": thinking_tokens},
            "server_tool_use": null,
            "service_tier": "standard",
            "inference_geo": "global",
            "speed": "standard",
        })
    }

    /// The message of an answer that does not stream.
    pub fn message(&self) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model,
            "content": self.content(),
            "stop_reason": self.stop_reason, "stop_sequence": self.stop_sequence, "stop_details": self.stop_details,
            "container": null, "diagnostics": self.diagnostics,
            "usage": self.usage(self.output_tokens, self.thinking_tokens),
        })
    }

    /// The events of an answer that streams, in order, each with the output tokens that were produced by then.
    pub fn events(&self, fault: Option<&FaultKind>) -> Vec<Event> {
        let mut out = Vec::new();
        let start = json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": [],
            "stop_reason": null, "stop_sequence": null, "stop_details": null, "container": null,
            "diagnostics": self.diagnostics, "usage": self.usage(1.min(self.output_tokens), 0),
        });
        out.push(Event::new("message_start", json!({"message": start})));
        for (index, part) in self.parts.iter().enumerate() {
            out.push(Event::new(
                "content_block_start",
                json!({"index": index, "content_block": skeleton(&part.block)}),
            ));
            if index == 0 {
                out.push(Event::new("ping", json!({})));
            }
            for delta in deltas(part) {
                out.push(Event::new("content_block_delta", json!({"index": index, "delta": delta})));
            }
            out.push(Event::new("content_block_stop", json!({"index": index})));
        }
        out.push(Event::new(
            "message_delta",
            json!({
                "delta": {
                    "stop_reason": self.stop_reason, "stop_sequence": self.stop_sequence,
                    "stop_details": self.stop_details, "container": null,
                },
                "usage": self.usage(self.output_tokens, self.thinking_tokens),
            }),
        ));
        out.push(Event::new("message_stop", json!({})));
        match fault {
            Some(FaultKind::PingStorm) => out
                .into_iter()
                .flat_map(|event| [Event::new("ping", json!({})), Event::new("ping", json!({})), event])
                .skip(2)
                .collect(),
            Some(FaultKind::UnknownEvent) => {
                let odd = Event::new("content_block_weather", json!({"index": 0, "weather": {"type": "sun"}}));
                out.insert(2.min(out.len()), odd);
                let delta = json!({"index": 0, "delta": {"type": "colour_delta", "colour": "blue"}});
                if !self.parts.is_empty() {
                    out.insert(3.min(out.len()), Event::new("content_block_delta", delta));
                }
                for event in &mut out {
                    event.data["future_field"] = json!({"a": 1});
                }
                out
            }
            _ => out,
        }
    }
}

/// Cuts a call's input to so many bytes; a message that does not stream shows `{}` then.
fn cut_call(part: &mut Part, bytes: usize) {
    part.input_text = cut_text(&part.input_text, bytes).to_owned();
    if part.block["type"] == "tool_use" {
        part.block["input"] = Value::Object(Map::new());
    }
}

fn cut_text(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn skeleton(block: &Value) -> Value {
    let mut skeleton = block.clone();
    match block["type"].as_str() {
        Some("text") => skeleton["text"] = "".into(),
        Some("thinking") => {
            skeleton["thinking"] = "".into();
            skeleton["signature"] = "".into();
        }
        Some("tool_use") => skeleton["input"] = Value::Object(Map::new()),
        _ => {}
    }
    skeleton
}

fn deltas(part: &Part) -> Vec<Value> {
    let text = |key: &str| part.block[key].as_str().unwrap_or("");
    match part.block["type"].as_str() {
        Some("text") => pieces(text("text")).map(|piece| json!({"type": "text_delta", "text": piece})).collect(),
        Some("thinking") => pieces(text("thinking"))
            .map(|piece| json!({"type": "thinking_delta", "thinking": piece}))
            .chain([json!({"type": "signature_delta", "signature": text("signature")})])
            .collect(),
        // An empty first fragment, as the real API sends it; an empty input has no other.
        Some("tool_use") => {
            let input = if part.input_text == "{}" { "" } else { part.input_text.as_str() };
            std::iter::once("")
                .chain(pieces(input))
                .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.char_indices().nth(DELTA_CHARS).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The name, which is also the data's `type`.
    pub name: &'static str,
    /// The data, without its `type`.
    pub data: Value,
}

impl Event {
    /// An event of this name with this data.
    pub fn new(name: &'static str, data: Value) -> Self {
        let mut whole = Map::new();
        whole.insert("type".into(), name.into());
        if let Value::Object(fields) = data {
            whole.extend(fields);
        }
        Self { name, data: whole.into() }
    }

    /// Its bytes on the wire.
    pub fn wire(&self) -> String {
        format!("event: {}\ndata: {}\n\n", self.name, self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::super::models::find;
    use super::*;
    use crate::sim::standin::{Call, Source};

    fn accepted(model: &str, max_tokens: u64, thinking: bool) -> Accepted {
        let model = find(model).unwrap();
        Accepted { model, max_tokens, stream: true, thinking, show_thinking: !model.thinking_omitted }
    }

    fn reply() -> Reply {
        Reply {
            thinking: "The customer asks for the state of an order; I look it up.".into(),
            text: "Ich sehe gleich nach — für Sie. Das dauert nur einen Augenblick.".into(),
            calls: vec![
                Call::new("get_customer", json!({})),
                Call::new("search_knowledge_base", json!({"query": "Zürich “quoted”"})),
            ],
            source: Source::Heuristics,
            warnings: Vec::new(),
        }
    }

    fn build(accepted: &Accepted, fault: Option<&FaultKind>) -> Answer {
        let split = Split { input: 61, read: 3_530, write_5m: 400, write_1h: 12 };
        Answer::build(accepted, &json!({}), &reply(), split, fault, 0, &mut Ids::new(1, 1, b"x"))
    }

    /// Puts a stream together again, as a client does.
    fn assemble(events: &[Event]) -> Value {
        let mut message = Value::Null;
        let mut fragments = String::new();
        for event in events {
            let data = &event.data;
            let index = data["index"].as_u64().unwrap_or(0) as usize;
            match event.name {
                "message_start" => message = data["message"].clone(),
                "content_block_start" => {
                    fragments.clear();
                    message["content"].as_array_mut().unwrap().push(data["content_block"].clone());
                }
                "content_block_delta" => {
                    let block = &mut message["content"][index];
                    let append = |block: &mut Value, key: &str| {
                        block[key] =
                            format!("{}{}", block[key].as_str().unwrap(), data["delta"][key].as_str().unwrap()).into();
                    };
                    match data["delta"]["type"].as_str().unwrap() {
                        "text_delta" => append(block, "text"),
                        "thinking_delta" => append(block, "thinking"),
                        "signature_delta" => append(block, "signature"),
                        "input_json_delta" => fragments.push_str(data["delta"]["partial_json"].as_str().unwrap()),
                        other => assert_eq!(other, "colour_delta"),
                    }
                }
                "content_block_stop" if message["content"][index]["type"] == "tool_use" => {
                    let text = if fragments.is_empty() { "{}" } else { &fragments };
                    message["content"][index]["input"] = serde_json::from_str(text).unwrap_or(json!("cut"));
                }
                "message_delta" => {
                    for (key, value) in data["delta"].as_object().unwrap() {
                        message[key] = value.clone();
                    }
                    message["usage"] = data["usage"].clone();
                }
                _ => {}
            }
        }
        message
    }

    #[test]
    fn a_stream_puts_together_what_a_plain_answer_says() {
        for model in ["claude-opus-4-7", "claude-sonnet-4-6"] {
            for fault in [None, Some(FaultKind::PingStorm), Some(FaultKind::UnknownEvent)] {
                let answer = build(&accepted(model, 4_000, true), fault.as_ref());
                let mut whole = assemble(&answer.events(fault.as_ref()));
                if let Some(object) = whole.as_object_mut() {
                    object.shift_remove("future_field");
                }
                assert_eq!(whole, answer.message(), "{model} {fault:?}");
            }
        }
    }

    #[test]
    fn events_stand_in_the_documented_order() {
        let answer = build(&accepted("claude-opus-4-7", 4_000, true), None);
        let events = answer.events(None);
        let names: Vec<&str> = events.iter().map(|event| event.name).collect();
        assert_eq!(names[0], "message_start");
        assert_eq!(names[names.len() - 2..], ["message_delta", "message_stop"]);
        assert!(names.contains(&"ping"));
        let mut open = None;
        for event in &events {
            let index = event.data["index"].as_u64();
            match event.name {
                "content_block_start" => {
                    assert_eq!(open, None);
                    open = index;
                }
                "content_block_delta" => assert_eq!(open, index),
                "content_block_stop" => {
                    assert_eq!(open, index);
                    open = None;
                }
                _ => {}
            }
        }
        let usage = &events[0].data["message"]["usage"];
        assert_eq!(usage["cache_read_input_tokens"], 3_530);
        assert_eq!(usage["cache_creation_input_tokens"], 412);
        assert_eq!(usage["cache_creation"], json!({"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 12}));
        let texts = events.iter().filter(|e| e.data["delta"]["type"] == "text_delta").count();
        assert!(texts >= 3, "text comes in several deltas: {texts}");
    }

    #[test]
    fn thinking_is_omitted_on_opus_and_summarised_on_sonnet() {
        let check = |model: &str, thinking: bool, expected: Option<&str>| {
            let first = build(&accepted(model, 4_000, thinking), None).content().remove(0);
            match expected {
                None => assert_eq!(first["type"], "text"),
                Some(shown) => {
                    assert_eq!(first["type"], "thinking", "{model}");
                    assert!(first["thinking"].as_str().unwrap().starts_with(shown));
                    assert_eq!(first["thinking"] == "", shown.is_empty());
                    assert!(first["signature"].as_str().unwrap().len() >= 96);
                }
            }
        };
        check("claude-opus-4-7", false, None);
        check("claude-opus-4-7", true, Some(""));
        check("claude-sonnet-4-6", true, Some("The customer asks"));
    }

    #[test]
    fn max_tokens_cuts_the_answer() {
        let check = |max: u64, blocks: usize, reason: &str, tokens_max: u64| {
            let answer = build(&accepted("claude-sonnet-4-6", max, false), None);
            let message = answer.message();
            assert_eq!(message["stop_reason"], reason, "max {max}");
            assert_eq!(message["content"].as_array().unwrap().len(), blocks, "max {max}: {message}");
            assert!(answer.output_tokens <= tokens_max, "max {max}: {}", answer.output_tokens);
        };
        check(4_000, 3, "tool_use", 4_000);
        check(5, 1, "max_tokens", 5);
        check(58, 3, "max_tokens", 58);
        check(0, 0, "max_tokens", 0);
        let answer = build(&accepted("claude-sonnet-4-6", 58, false), None);
        assert_eq!(assemble(&answer.events(None))["content"][2]["input"], "cut", "the stream carries half an input");
    }

    #[test]
    fn faults_shape_the_answer() {
        let check = |fault: FaultKind, reason: &str, look: fn(&Value) -> bool| {
            let message = build(&accepted("claude-opus-4-7", 4_000, false), Some(&fault)).message();
            assert_eq!(message["stop_reason"], reason, "{fault:?}");
            assert!(look(&message["content"]), "{fault:?}: {message}");
        };
        check(FaultKind::EmptyEndTurn, "end_turn", |c| c == &json!([]));
        check(FaultKind::MaxTokensInToolUse, "max_tokens", |c| c[2]["input"] == json!({}));
        check(FaultKind::Refusal, "refusal", |c| c.as_array().unwrap().len() == 1);
        check(FaultKind::UnknownStopReason, "waiting_for_moon", |_| true);
        check(FaultKind::UnknownBlock, "tool_use", |c| c[0]["type"] == FUTURE_BLOCK);
        check(FaultKind::InvalidToolInput, "tool_use", |c| c[2]["input"]["amount_minor"] == "a lot");
        check(FaultKind::HallucinatedTool, "tool_use", |c| c[1]["name"] == "delete_customer");
        check(FaultKind::TextOnly, "end_turn", |c| c.as_array().unwrap().iter().all(|b| b["type"] == "text"));
    }

    #[test]
    fn ids_differ_for_the_same_request_sent_twice_and_repeat_for_the_same_seed() {
        let id = |seed: u64, number: u64, body: &[u8]| Ids::new(seed, number, body).make("msg_01");
        assert_eq!(id(1, 1, b"x"), id(1, 1, b"x"));
        assert_ne!(id(1, 1, b"x"), id(1, 2, b"x"));
        assert_ne!(id(1, 1, b"x"), id(2, 1, b"x"));
        assert_ne!(id(1, 1, b"x"), id(1, 1, b"y"));
        let mut ids = Ids::new(1, 1, b"x");
        assert_ne!(ids.make("toolu_01"), ids.make("toolu_01"));
    }

    #[test]
    fn a_stop_sequence_ends_the_text() {
        let text = Reply { calls: Vec::new(), text: "one STOP two".into(), ..reply() };
        let accepted = accepted("claude-sonnet-4-6", 100, false);
        let body = json!({"stop_sequences": ["nowhere", "STOP"]});
        let message =
            Answer::build(&accepted, &body, &text, Split::default(), None, 0, &mut Ids::new(1, 1, b"")).message();
        assert_eq!((&message["stop_reason"], &message["stop_sequence"]), (&json!("stop_sequence"), &json!("STOP")));
        assert_eq!(message["content"][0]["text"], "one ");
    }
}
