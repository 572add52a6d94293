//! Events of a streamed answer → the assistant message's content, exactly as it must be echoed: blocks with their keys in the
//! order received, unknown blocks and fields kept, a tool's input in the bytes of the stream. Also reads usage and the shapes
//! of an answer that was not streamed. No IO.
//!
//! Source: <https://platform.claude.com/docs/en/build-with-claude/streaming>, read 2026-11-22.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::usage::Usage;

/// What the stream told so far.
#[derive(Debug, Default)]
pub struct Assembly {
    pub model: String,
    pub usage: Usage,
    pub stop_reason: Option<String>,
    /// A `message_start` was seen.
    pub started: bool,
    /// A `message_stop` was seen.
    pub stopped: bool,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    fields: Map<String, Value>,
    /// The bytes of `input`, piece by piece.
    input: String,
    closed: bool,
}

/// What an event asks of the caller.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Read on.
    More,
    /// The vendor reports an error after all; its object.
    Failed(Value),
    /// The stream is not what it should be.
    Broken(&'static str),
}

impl Assembly {
    /// Takes one event's data.
    pub fn take(&mut self, data: &str) -> Step {
        let Ok(mut event) = serde_json::from_str::<Value>(data) else {
            return Step::Broken("an event was not JSON");
        };
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        match kind.as_str() {
            "message_start" => {
                if self.started {
                    return Step::Broken("a second message began");
                }
                self.started = true;
                let message = &event["message"];
                self.model = message["model"].as_str().unwrap_or_default().to_owned();
                read_usage(&message["usage"], &mut self.usage);
                // A message whose blocks come along whole would be lost otherwise.
                if message["content"].as_array().is_some_and(|blocks| !blocks.is_empty()) {
                    return Step::Broken("the first event already held content");
                }
                Step::More
            }
            "content_block_start" => {
                let at_end = event["index"].as_u64() == Some(self.blocks.len() as u64);
                match event["content_block"].take() {
                    Value::Object(fields) if at_end && self.started => {
                        self.blocks.push(Block { fields, input: String::new(), closed: false });
                        Step::More
                    }
                    _ => Step::Broken("a block began out of order"),
                }
            }
            "content_block_delta" => {
                let index = event["index"].as_u64().and_then(|i| usize::try_from(i).ok());
                match index.and_then(|i| self.blocks.get_mut(i)).filter(|block| !block.closed) {
                    Some(block) => {
                        block.add(&event["delta"]);
                        Step::More
                    }
                    None => Step::Broken("a piece came for a block that is not open"),
                }
            }
            "content_block_stop" => {
                let index = event["index"].as_u64().and_then(|i| usize::try_from(i).ok());
                match index.and_then(|i| self.blocks.get_mut(i)) {
                    Some(block) => {
                        block.closed = true;
                        Step::More
                    }
                    None => Step::Broken("a block ended that never began"),
                }
            }
            "message_delta" => {
                if let Some(reason) = event["delta"]["stop_reason"].as_str() {
                    self.stop_reason = Some(reason.to_owned());
                }
                read_usage(&event["usage"], &mut self.usage);
                Step::More
            }
            "message_stop" => {
                self.stopped = true;
                Step::More
            }
            "error" => Step::Failed(event),
            _ => Step::More, // `ping`, and whatever comes later.
        }
    }

    /// The content as a JSON array, once the stream has ended well.
    pub fn content(&self) -> Result<String, &'static str> {
        let mut out = String::from("[");
        let truncated = !matches!(self.stop_reason.as_deref(), Some("tool_use" | "end_turn" | "stop_sequence"));
        for (i, block) in self.blocks.iter().enumerate() {
            if !block.closed {
                return Err("a block was not ended");
            }
            if i > 0 {
                out.push(',');
            }
            block.write(&mut out, truncated)?;
        }
        out.push(']');
        Ok(out)
    }
}

impl Block {
    fn add(&mut self, delta: &Value) {
        let text = |key: &str| delta[key].as_str().unwrap_or_default();
        match delta["type"].as_str().unwrap_or_default() {
            "text_delta" => self.append("text", text("text")),
            "thinking_delta" => self.append("thinking", text("thinking")),
            "signature_delta" => {
                self.fields.insert("signature".into(), text("signature").into());
            }
            "input_json_delta" => self.input.push_str(text("partial_json")),
            "citations_delta" => {
                let list = self.fields.entry("citations").or_insert(Value::Array(Vec::new()));
                if !list.is_array() {
                    *list = Value::Array(Vec::new());
                }
                if let Value::Array(list) = list {
                    list.push(delta["citation"].clone());
                }
            }
            _ => {} // Newer kinds of pieces.
        }
    }

    fn append(&mut self, key: &str, piece: &str) {
        match self.fields.get_mut(key) {
            Some(Value::String(text)) => text.push_str(piece),
            _ => {
                self.fields.insert(key.into(), piece.into());
            }
        }
    }

    /// A tool's input that is no object makes the answer useless, unless it was cut off and will not be used.
    fn write(&self, out: &mut String, truncated: bool) -> Result<(), &'static str> {
        let streamed = self.input.trim();
        let input = match serde_json::from_str::<&RawValue>(streamed) {
            Ok(raw) if raw.get().starts_with('{') => Some(raw.get()),
            _ if streamed.is_empty() => None,
            _ if truncated => None,
            _ => return Err("a tool call's input was not a JSON object"),
        };
        out.push('{');
        let mut first = true;
        let mut member = |key: &str, value: &str| {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            out.push_str(&Value::from(key).to_string());
            out.push(':');
            out.push_str(value);
        };
        for (key, value) in &self.fields {
            match input {
                Some(raw) if key == "input" => member(key, raw),
                _ => member(key, &value.to_string()),
            }
        }
        if let Some(raw) = input
            && !self.fields.contains_key("input")
        {
            member("input", raw);
        }
        out.push('}');
        Ok(())
    }
}

/// Overwrites the counts that are given: they are cumulative.
pub fn read_usage(from: &Value, usage: &mut Usage) {
    let count = |value: &Value| value.as_u64();
    if let Some(n) = count(&from["input_tokens"]) {
        usage.input = n;
    }
    if let Some(n) = count(&from["output_tokens"]) {
        usage.output = n;
    }
    if let Some(n) = count(&from["cache_read_input_tokens"]) {
        usage.cache_read = n;
    }
    let written = count(&from["cache_creation_input_tokens"]);
    let split = &from["cache_creation"];
    let (short, long) = (count(&split["ephemeral_5m_input_tokens"]), count(&split["ephemeral_1h_input_tokens"]));
    if short.is_some() || long.is_some() {
        usage.cache_write_1h = long.unwrap_or(0);
        usage.cache_write_5m = short.unwrap_or_else(|| written.unwrap_or(0).saturating_sub(usage.cache_write_1h));
    } else if let Some(n) = written {
        // Without the split the hour's part keeps what is known of it.
        usage.cache_write_5m = n.saturating_sub(usage.cache_write_1h);
    }
}

/// An answer that was not streamed: its model, content, stop reason and usage. `None`: it is not an answer of this API.
pub fn whole_message(body: &[u8]) -> Option<(String, String, String, Usage)> {
    #[derive(serde::Deserialize)]
    struct Message<'a> {
        #[serde(rename = "type")]
        kind: String,
        model: String,
        #[serde(borrow)]
        content: &'a RawValue,
        stop_reason: String,
        usage: Value,
    }
    let message: Message<'_> = serde_json::from_slice(body).ok()?;
    if message.kind != "message" || !message.content.get().starts_with('[') {
        return None;
    }
    let mut usage = Usage::default();
    read_usage(&message.usage, &mut usage);
    Some((message.model, message.content.get().to_owned(), message.stop_reason, usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(events: &[&str]) -> Assembly {
        let mut assembly = Assembly::default();
        for event in events {
            assert_eq!(assembly.take(event), Step::More, "{event}");
        }
        assembly
    }

    const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-4-7","content":[],"stop_reason":null,"usage":{"input_tokens":61,"cache_creation_input_tokens":412,"cache_read_input_tokens":3530,"cache_creation":{"ephemeral_5m_input_tokens":12,"ephemeral_1h_input_tokens":400},"output_tokens":1}}}"#;

    #[test]
    fn content_keeps_order_bytes_and_the_unknown() {
        let assembly = run(&[
            START,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Let me "}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"shiny_delta","shiny":1}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"look.\n\"é\""}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"search","input":{},"caller":{"type":"direct"}}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"z\": 1.50, \"a\""}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":": \"\\u00e9\\/\"}"}}"#,
            r#"{"type":"content_block_stop","index":2}"#,
            r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_2","name":"get_customer","input":{}}}"#,
            r#"{"type":"content_block_stop","index":3}"#,
            r#"{"type":"content_block_start","index":4,"content_block":{"zz":true,"type":"of_tomorrow","data":[1,{"b":2,"a":1}]}}"#,
            r#"{"type":"content_block_stop","index":4}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":118}}"#,
            r#"{"type":"message_stop"}"#,
        ]);
        assert_eq!(
            assembly.content().unwrap(),
            concat!(
                r#"[{"type":"thinking","thinking":"","signature":"c2ln"},"#,
                r#"{"type":"text","text":"Let me look.\n\"é\""},"#,
                r#"{"type":"tool_use","id":"toolu_1","name":"search","input":{"z": 1.50, "a": "\u00e9\/"},"caller":{"type":"direct"}},"#,
                r#"{"type":"tool_use","id":"toolu_2","name":"get_customer","input":{}},"#,
                r#"{"zz":true,"type":"of_tomorrow","data":[1,{"b":2,"a":1}]}]"#
            )
        );
        assert_eq!(
            assembly.usage,
            Usage { input: 61, cache_write_5m: 12, cache_write_1h: 400, cache_read: 3530, output: 118 }
        );
        assert_eq!(assembly.stop_reason.as_deref(), Some("tool_use"));
        assert!(assembly.stopped);
    }

    #[test]
    fn a_cut_tool_call_is_no_error_when_the_answer_was_cut() {
        let events = |reason: &str| {
            run(&[
                START,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\": \"unfini"}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                &format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}},"usage":{{"output_tokens":9}}}}"#),
            ])
            .content()
        };
        assert_eq!(events("max_tokens").unwrap(), r#"[{"type":"tool_use","id":"t","name":"n","input":{}}]"#);
        assert!(events("tool_use").is_err());
    }

    #[test]
    fn what_is_out_of_order_is_broken() {
        let check = |events: &[&str]| {
            let mut assembly = Assembly::default();
            let last = events.iter().map(|event| assembly.take(event)).last().unwrap();
            assert!(matches!(last, Step::Broken(_)), "{events:?}");
        };
        check(&["nonsense"]);
        check(&[START, START]);
        check(&[r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#]);
        check(&[START, r#"{"type":"content_block_start","index":1,"content_block":{"type":"text"}}"#]);
        check(&[START, r#"{"type":"content_block_delta","index":0,"delta":{}}"#]);
        check(&[START, r#"{"type":"content_block_stop","index":0}"#]);
    }

    #[test]
    fn usage_without_the_split_counts_as_five_minutes() {
        let mut usage = Usage::default();
        read_usage(
            &serde_json::json!({"input_tokens": 1, "cache_creation_input_tokens": 7, "output_tokens": 2}),
            &mut usage,
        );
        assert_eq!(usage, Usage { input: 1, cache_write_5m: 7, output: 2, ..Usage::default() });
        read_usage(&serde_json::json!({"output_tokens": null}), &mut usage);
        assert_eq!(usage.output, 2);
    }
}
