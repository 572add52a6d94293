//! The rules of `system` and of the message list: roles, blocks, pairing and order of tool results, thinking blocks.
//!
//! Sources: <https://platform.claude.com/docs/en/api/messages/create>,
//! <https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls>, 2026-11.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::errors::ApiError;
use super::issued::Issued;
use super::models::Model;
use super::prompt::blocks_of;
use super::validate::{Version, extra, only, required};

/// Messages in one request.
const MOST: usize = 100_000;

/// A block type that only a fault emits; accepted when it comes back, as every block of the API's own making is.
pub(super) const FUTURE_BLOCK: &str = "future_block";

const PREFILL: &str =
    "This model does not support assistant message prefill. The conversation must end with a user message.";
const THINKING_CHANGED: &str = "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. \
                                These blocks must remain as they were in the original response.";

/// Checks `system`.
pub(super) fn check_system(system: Option<&Value>) -> Result<(), ApiError> {
    let blocks = match system {
        None | Some(Value::Null | Value::String(_)) => return Ok(()),
        Some(Value::Array(blocks)) => blocks,
        Some(_) => return Err(ApiError::invalid("system: Input should be a valid string or list")),
    };
    for (n, block) in blocks.iter().enumerate() {
        let path = format!("system.{n}");
        let Some(object) = block.as_object() else {
            return Err(ApiError::invalid(format!("{path}: Input should be a valid dictionary or object")));
        };
        if object.get("type").and_then(Value::as_str) != Some("text") {
            return Err(ApiError::invalid(format!("{path}.type: Input should be 'text'")));
        }
        only(&path, object, &["type", "text", "citations", "cache_control"])?;
        match object.get("text").and_then(Value::as_str) {
            None => return Err(required(&format!("{path}.text"))),
            Some("") if object.contains_key("cache_control") => {} // `markers` has the better message.
            Some("") => {
                return Err(ApiError::invalid("system: text content blocks must be non-empty"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// A message with the index of its first part in the request; neighbours of one role are merged.
struct Turn {
    at: usize,
    user: bool,
    blocks: Vec<Value>,
}

/// Checks `messages`.
pub(super) fn check(
    version: Version,
    model: &Model,
    object: &Map<String, Value>,
    issued: &Issued,
    thinking_on: bool,
) -> Result<(), ApiError> {
    let list = match object.get("messages") {
        None => return Err(required("messages")),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(ApiError::invalid("messages: Input should be a valid list")),
    };
    if list.is_empty() {
        return Err(ApiError::invalid("messages: at least one message is required"));
    }
    if list.len() > MOST {
        return Err(ApiError::invalid(format!("messages: at most {MOST} messages are allowed")));
    }
    let mut turns: Vec<Turn> = Vec::new();
    for (at, message) in list.iter().enumerate() {
        let last = at + 1 == list.len();
        let (user, blocks) = one_message(version, at, message, last && model.prefill)?;
        match turns.last_mut() {
            Some(turn) if turn.user == user => turn.blocks.extend(blocks),
            _ => turns.push(Turn { at, user, blocks }),
        }
    }
    if turns.first().is_some_and(|turn| !turn.user) {
        return Err(ApiError::invalid("messages: first message must use the \"user\" role"));
    }
    if turns.last().is_some_and(|turn| !turn.user) && !model.prefill {
        return Err(ApiError::invalid(PREFILL));
    }
    pairing(&turns)?;
    thinking_unchanged(&turns, model, issued, thinking_on)
}

fn one_message(
    version: Version,
    at: usize,
    message: &Value,
    may_be_empty: bool,
) -> Result<(bool, Vec<Value>), ApiError> {
    let path = format!("messages.{at}");
    let Some(object) = message.as_object() else {
        return Err(ApiError::invalid(format!("{path}: Input should be a valid dictionary or object")));
    };
    let user = match object.get("role").and_then(Value::as_str) {
        Some("user") => true,
        Some("assistant") => false,
        Some("system") => {
            return Err(ApiError::invalid(format!(
                "{path}: role 'system' is not supported on this model. Use the top-level `system` parameter."
            )));
        }
        _ => return Err(ApiError::invalid(format!("{path}.role: Input should be 'user' or 'assistant'"))),
    };
    only(&path, object, &["role", "content"])?;
    let content = object.get("content").ok_or_else(|| required(&format!("{path}.content")))?;
    if !content.is_string() && !content.is_array() {
        return Err(ApiError::invalid(format!("{path}.content: Input should be a valid string or list")));
    }
    let empty = content.as_str().is_some_and(str::is_empty) || content.as_array().is_some_and(Vec::is_empty);
    if empty && !may_be_empty {
        return Err(ApiError::invalid(format!(
            "{path}: all messages must have non-empty content except for the optional final assistant message"
        )));
    }
    let blocks = blocks_of(Some(content));
    for (n, block) in blocks.iter().enumerate() {
        one_block(version, user, &format!("{path}.content.{n}"), block)?;
    }
    Ok((user, blocks))
}

fn one_block(version: Version, user: bool, path: &str, block: &Value) -> Result<(), ApiError> {
    let Some(object) = block.as_object() else {
        return Err(ApiError::invalid(format!("{path}: Input should be a valid dictionary or object")));
    };
    let kind = object.get("type").and_then(Value::as_str).ok_or_else(|| required(&format!("{path}.type")))?;
    let fields = |known: &[&str]| only(&format!("{path}.{kind}"), object, known);
    let text = |key: &str| match object.get(key) {
        None => Err(required(&format!("{path}.{kind}.{key}"))),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(ApiError::invalid(format!("{path}.{kind}.{key}: Input should be a valid string"))),
    };
    match (kind, user) {
        ("text", _) => {
            fields(&["type", "text", "citations", "cache_control"])?;
            let words = text("text")?;
            if words.trim().is_empty() && !object.contains_key("cache_control") {
                return Err(ApiError::invalid(if words.is_empty() {
                    "messages: text content blocks must be non-empty"
                } else {
                    "messages: text content blocks must contain non-whitespace text"
                }));
            }
            let cites = object.get("citations").and_then(Value::as_array).is_some_and(|c| !c.is_empty());
            if user && version == Version::V2026 && cites {
                return Err(extra(&format!("{path}.text.citations")));
            }
            Ok(())
        }
        ("image", true) => {
            fields(&["type", "source", "transformations", "cache_control"])?;
            source(path, object, &["base64", "url", "file"])
        }
        ("document", true) => {
            fields(&["type", "source", "title", "context", "citations", "cache_control"])?;
            source(path, object, &["base64", "text", "content", "url", "file"])
        }
        ("document", false) if version == Version::V2023 => Ok(()),
        ("document", false) => {
            Err(ApiError::invalid(format!("{path}: `document` blocks are not permitted in assistant messages")))
        }
        ("search_result", true) => {
            fields(&["type", "source", "title", "content", "citations", "cache_control"])?;
            text("source")?;
            text("title")?;
            nested(version, path, object)
        }
        ("tool_result", true) => {
            fields(&["type", "tool_use_id", "content", "is_error", "cache_control"])?;
            text("tool_use_id")?;
            if !matches!(object.get("is_error"), None | Some(Value::Null | Value::Bool(_))) {
                return Err(ApiError::invalid(format!("{path}.tool_result.is_error: Input should be a valid boolean")));
            }
            nested(version, path, object)
        }
        ("tool_use", false) => {
            fields(&["type", "id", "name", "input", "caller", "toolset_name", "cache_control"])?;
            let id = text("id")?;
            if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
                return Err(ApiError::invalid(format!(
                    "{path}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
                )));
            }
            text("name")?;
            match object.get("input") {
                None => Err(required(&format!("{path}.tool_use.input"))),
                Some(Value::Object(_)) => Ok(()),
                Some(_) => Err(ApiError::invalid(format!("{path}.tool_use.input: Input should be a valid dictionary"))),
            }
        }
        ("thinking", false) => {
            fields(&["type", "thinking", "signature", "cache_control"])?;
            text("thinking")?;
            text("signature").map(drop)
        }
        ("redacted_thinking", false) => {
            fields(&["type", "data", "cache_control"])?;
            text("data").map(drop)
        }
        (FUTURE_BLOCK, false) => Ok(()),
        ("tool_use" | "thinking" | "redacted_thinking", true) | ("tool_result", false) => {
            let (role, other) = if user { ("user", "assistant") } else { ("assistant", "user") };
            Err(ApiError::invalid(format!(
                "{path}: `{kind}` blocks can only be in `{other}` messages, not in `{role}` messages"
            )))
        }
        _ => Err(ApiError::invalid(format!(
            "{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
        ))),
    }
}

fn source(path: &str, object: &Map<String, Value>, kinds: &[&str]) -> Result<(), ApiError> {
    let kind = object.get("source").and_then(|s| s.get("type")).and_then(Value::as_str);
    match kind {
        Some(kind) if kinds.contains(&kind) => Ok(()),
        Some(_) => Err(ApiError::invalid(format!("{path}.source: Input should be one of {}", kinds.join(", ")))),
        None => Err(required(&format!("{path}.source.type"))),
    }
}

/// Content of a tool result or search result.
fn nested(version: Version, path: &str, object: &Map<String, Value>) -> Result<(), ApiError> {
    match object.get("content") {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) => {
            for (n, part) in parts.iter().enumerate() {
                let kind = part.get("type").and_then(Value::as_str).unwrap_or("");
                if !["text", "image", "document", "search_result", "tool_reference", "browser_state"].contains(&kind) {
                    return Err(ApiError::invalid(format!(
                        "{path}.content.{n}: Input tag '{kind}' does not match any of the expected tags"
                    )));
                }
                if !matches!(kind, "tool_reference" | "browser_state") {
                    one_block(version, true, &format!("{path}.content.{n}"), part)?;
                }
            }
            Ok(())
        }
        Some(_) => Err(ApiError::invalid(format!("{path}.content: Input should be a valid string or list"))),
    }
}

fn of_kind<'a>(turn: &'a Turn, kind: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    turn.blocks
        .iter()
        .filter(move |block| block.get("type").and_then(Value::as_str) == Some(kind))
        .filter_map(move |block| block.get(key).and_then(Value::as_str))
}

/// Every call has one result, first in the next message; no result without its call.
fn pairing(turns: &[Turn]) -> Result<(), ApiError> {
    let mut all_calls = BTreeSet::new();
    for (n, turn) in turns.iter().enumerate() {
        if turn.user {
            let asked: BTreeSet<&str> = match n.checked_sub(1).and_then(|before| turns.get(before)) {
                Some(before) => of_kind(before, "tool_use", "id").collect(),
                None => BTreeSet::new(),
            };
            let mut seen = BTreeSet::new();
            for id in of_kind(turn, "tool_result", "tool_use_id") {
                if !asked.contains(id) {
                    return Err(ApiError::invalid(format!(
                        "messages.{}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block \
                         must have a corresponding `tool_use` block in the previous message.",
                        turn.at
                    )));
                }
                if !seen.insert(id) {
                    return Err(ApiError::invalid(format!(
                        "messages.{}: each `tool_use` must have a single result. Found multiple `tool_result` blocks with id: {id}",
                        turn.at
                    )));
                }
            }
            continue;
        }
        let calls: Vec<&str> = of_kind(turn, "tool_use", "id").collect();
        if let Some(id) = calls.iter().find(|id| !all_calls.insert((**id).to_owned())) {
            return Err(ApiError::invalid(format!("messages.{}: `tool_use` ids must be unique: {id}", turn.at)));
        }
        let Some(next) = turns.get(n + 1) else { continue };
        // Results count only while nothing else stands before them.
        let answered: BTreeSet<&str> = next
            .blocks
            .iter()
            .take_while(|block| block.get("type").and_then(Value::as_str) == Some("tool_result"))
            .filter_map(|block| block.get("tool_use_id").and_then(Value::as_str))
            .collect();
        let missing: Vec<&str> = calls.into_iter().filter(|id| !answered.contains(id)).collect();
        if !missing.is_empty() {
            return Err(ApiError::invalid(format!(
                "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block \
                 must have a corresponding `tool_result` block in the next message.",
                turn.at,
                missing.join(", ")
            )));
        }
    }
    Ok(())
}

/// The thinking of the latest assistant message comes back as it was sent, if it was sent by us.
fn thinking_unchanged(turns: &[Turn], model: &Model, issued: &Issued, thinking_on: bool) -> Result<(), ApiError> {
    let Some(turn) = turns.iter().rfind(|turn| !turn.user) else { return Ok(()) };
    let thinking: Vec<(usize, &Value)> = turn
        .blocks
        .iter()
        .enumerate()
        .filter(|(_, block)| block.get("type").and_then(Value::as_str) == Some("thinking"))
        .collect();
    let changed = |n: usize| ApiError::invalid(format!("messages.{}.content.{n}: {THINKING_CHANGED}", turn.at));
    for (n, block) in &thinking {
        let signature = block.get("signature").and_then(Value::as_str).unwrap_or("");
        if issued.block(signature).is_some_and(|original| original.get("thinking") != block.get("thinking")) {
            return Err(changed(*n));
        }
    }
    let origin = of_kind(turn, "tool_use", "id").find_map(|id| issued.answer(id));
    if let Some(origin) = origin.filter(|origin| thinking_on && origin.model == model.id) {
        let sent: Vec<&Value> = origin.thinking.iter().collect();
        let came: Vec<&Value> = thinking.iter().map(|(_, block)| *block).collect();
        if sent.len() != came.len() || sent.iter().zip(&came).any(|(a, b)| a.get("signature") != b.get("signature")) {
            return Err(changed(0));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::models::find;
    use super::*;

    fn run(version: Version, model: &str, messages: Value, issued: &Issued) -> String {
        let body = json!({"messages": messages});
        check(version, find(model).unwrap(), body.as_object().unwrap(), issued, true)
            .map_err(|error| error.message)
            .err()
            .unwrap_or_default()
    }

    fn expect(got: &str, expected: &str, what: &Value) {
        match expected {
            "" => assert_eq!(got, "", "{what}"),
            text => assert!(got.contains(text), "{what}: `{got}`"),
        }
    }

    fn user(content: Value) -> Value {
        json!({"role": "user", "content": content})
    }

    fn assistant(content: Value) -> Value {
        json!({"role": "assistant", "content": content})
    }

    fn call(id: &str) -> Value {
        json!({"type": "tool_use", "id": id, "name": "t", "input": {}})
    }

    fn result(id: &str) -> Value {
        json!({"type": "tool_result", "tool_use_id": id, "content": "{}"})
    }

    fn text(words: &str) -> Value {
        json!({"type": "text", "text": words})
    }

    #[test]
    fn the_list_and_its_roles() {
        for version in [Version::V2023, Version::V2026] {
            for model in ["claude-opus-4-7", "claude-sonnet-4-6"] {
                let check = |messages: Value, expected: &str| {
                    expect(&run(version, model, messages.clone(), &Issued::default()), expected, &messages);
                };
                check(json!([]), "at least one message");
                check(json!([user(json!("a"))]), "");
                check(json!([user(json!("a")), user(json!("b"))]), "");
                check(json!([user(json!("a")), assistant(json!("b"))]), PREFILL);
                check(json!([assistant(json!("b")), user(json!("a"))]), "first message");
                check(json!([{"role": "system", "content": "x"}, user(json!("a"))]), "role 'system'");
                check(json!([{"role": "tool", "content": "x"}]), "role: Input should be");
                check(json!([{"role": "user", "content": "x", "name": "y"}]), "messages.0.name: Extra inputs");
                check(json!([user(json!(""))]), "non-empty content");
                check(json!([user(json!([]))]), "non-empty content");
                check(json!([user(json!([text("")]))]), "text content blocks must be non-empty");
                check(json!([user(json!([text(" \n")]))]), "non-whitespace");
                check(json!([user(json!("a")), assistant(json!([])), user(json!("b"))]), "messages.1: all messages");
                check(json!([user(json!([{"type": "song"}]))]), "Input tag 'song'");
                check(json!([user(json!([{"type": "text", "text": "a", "mood": 1}]))]), "text.mood: Extra inputs");
                check(json!([user(json!([call("a")]))]), "can only be in `assistant`");
            }
            let prefill = json!([user(json!("a")), assistant(json!("{"))]);
            expect(&run(version, "claude-haiku-4-5", prefill.clone(), &Issued::default()), "", &prefill);
        }
    }

    #[test]
    fn results_follow_their_calls() {
        let check = |rest: Vec<Value>, expected: &str| {
            let mut all = vec![user(json!("a"))];
            all.extend(rest);
            let messages = Value::Array(all);
            expect(&run(Version::V2026, "claude-opus-4-7", messages.clone(), &Issued::default()), expected, &messages);
        };
        let two = || assistant(json!([text("x"), call("a"), call("b")]));
        check(vec![two(), user(json!([result("a"), result("b")]))], "");
        check(vec![two(), user(json!([result("b"), result("a"), text("more")]))], "");
        check(vec![two(), user(json!([result("a")])), user(json!([result("b")]))], "");
        check(vec![two(), user(json!([result("a")]))], "immediately after: b");
        check(vec![two(), user(json!("no results"))], "immediately after: a, b");
        check(vec![two(), user(json!([text("first"), result("a"), result("b")]))], "immediately after: a, b");
        check(vec![two(), user(json!([result("a"), text("x"), result("b")]))], "immediately after: b");
        check(vec![two(), user(json!([result("a"), result("b"), result("c")]))], "unexpected `tool_use_id`");
        check(vec![two(), user(json!([result("a"), result("a"), result("b")]))], "multiple `tool_result`");
        check(vec![user(json!([result("a")]))], "unexpected `tool_use_id`");
        let again =
            vec![two(), user(json!([result("a"), result("b")])), two(), user(json!([result("a"), result("b")]))];
        check(again, "must be unique");
        let with = |input: Value| {
            vec![
                assistant(json!([{"type": "tool_use", "id": "a", "name": "t", "input": input}])),
                user(json!([result("a")])),
            ]
        };
        check(with(json!({})), "");
        check(with(json!(null)), "valid dictionary");
        check(with(json!("{}")), "valid dictionary");
        check(
            vec![
                assistant(
                    json!([{"type": "tool_use", "id": "a", "name": "t", "input": {}, "caller": {"type": "direct"}}]),
                ),
                user(json!([result("a")])),
            ],
            "",
        );
    }

    #[test]
    fn the_new_version_refuses_documents_of_the_assistant_and_citations_of_the_user() {
        let document = json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}});
        let of_assistant = json!([user(json!("a")), assistant(json!([document])), user(json!("b"))]);
        let cited = json!([user(json!([{"type": "text", "text": "a", "citations": [{"type": "char_location"}]}]))]);
        let empty = json!([user(json!([{"type": "text", "text": "a", "citations": []}]))]);
        for (version, messages, expected) in [
            (Version::V2023, &of_assistant, ""),
            (Version::V2026, &of_assistant, "not permitted in assistant messages"),
            (Version::V2023, &cited, ""),
            (Version::V2026, &cited, "citations: Extra inputs"),
            (Version::V2026, &empty, ""),
        ] {
            expect(&run(version, "claude-sonnet-4-6", messages.clone(), &Issued::default()), expected, messages);
        }
    }

    #[test]
    fn thinking_comes_back_as_it_was_sent() {
        let thinking =
            |words: &str, signature: &str| json!({"type": "thinking", "thinking": words, "signature": signature});
        let mut issued = Issued::default();
        issued.remember("claude-opus-4-7", &[thinking("", "s1"), call("a")]);
        let check = |model: &str, content: Value, expected: &str| {
            let messages = json!([user(json!("a")), assistant(content), user(json!([result("a")]))]);
            expect(&run(Version::V2026, model, messages.clone(), &issued), expected, &messages);
        };
        check("claude-opus-4-7", json!([thinking("", "s1"), call("a")]), "");
        check("claude-opus-4-7", json!([thinking("other", "s1"), call("a")]), "cannot be modified");
        check("claude-opus-4-7", json!([call("a")]), "cannot be modified");
        check("claude-opus-4-7", json!([thinking("", "unknown"), call("a")]), "cannot be modified");
        check("claude-sonnet-4-6", json!([call("a")]), ""); // Handed over to another model.
        let unknown =
            json!([user(json!("a")), assistant(json!([thinking("x", "s9"), call("z")])), user(json!([result("z")]))]);
        expect(&run(Version::V2026, "claude-opus-4-7", unknown.clone(), &issued), "", &unknown);
    }
}
