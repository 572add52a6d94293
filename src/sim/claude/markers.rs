//! The rules of cache markers that are refused with 400. Which markers take effect is decided in `cache`.
//!
//! Source: <https://platform.claude.com/docs/en/build-with-claude/prompt-caching>, 2026-11.

use serde_json::{Map, Value};

use super::cache::Ttl;
use super::errors::ApiError;
use super::prompt::{array, ttl_of};
use super::validate::only;

/// Markers a request may carry, an automatic one included.
const MOST: usize = 4;

/// Checks all markers of a request, in the order of the rendered prompt.
pub(super) fn check(body: &Value) -> Result<(), ApiError> {
    let mut found = Vec::new();
    let mut last_block = None;
    for (n, tool) in array(body, "tools").iter().enumerate() {
        visit(&format!("tools.{n}"), tool, &mut found, &mut last_block)?;
    }
    for (n, block) in array(body, "system").iter().enumerate() {
        visit(&format!("system.{n}"), block, &mut found, &mut last_block)?;
    }
    for (m, message) in array(body, "messages").iter().enumerate() {
        match message.get("content") {
            Some(Value::Array(blocks)) => {
                for (n, block) in blocks.iter().enumerate() {
                    visit(&format!("messages.{m}.content.{n}"), block, &mut found, &mut last_block)?;
                }
            }
            _ => last_block = Some(None),
        }
    }
    let explicit = found.len();
    let automatic = match body.get("cache_control") {
        None | Some(Value::Null) => None,
        Some(marker) => Some(parse("cache_control", marker)?),
    };
    if let Some(ttl) = automatic {
        match last_block.flatten() {
            Some(same) if same == ttl => {}
            Some(_) => {
                return Err(ApiError::invalid(
                    "cache_control: the last block already carries a cache_control with a different ttl",
                ));
            }
            None => found.push(ttl),
        }
    }
    if found.len() > MOST {
        return Err(ApiError::invalid(format!(
            "A maximum of {MOST} blocks with cache_control may be provided. Found {}.",
            found.len().max(explicit)
        )));
    }
    let mut five_minutes_seen = false;
    for ttl in found {
        match ttl {
            Ttl::FiveMinutes => five_minutes_seen = true,
            Ttl::OneHour if five_minutes_seen => {
                return Err(ApiError::invalid(
                    "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks are \
                     processed in the following order: `tools`, `system`, `messages`.",
                ));
            }
            Ttl::OneHour => {}
        }
    }
    Ok(())
}

fn visit(
    path: &str,
    block: &Value,
    found: &mut Vec<Ttl>,
    last_block: &mut Option<Option<Ttl>>,
) -> Result<(), ApiError> {
    let Some(object) = block.as_object() else { return Ok(()) };
    let kind = object.get("type").and_then(Value::as_str).unwrap_or("");
    if let Some(Value::Array(parts)) = object.get("content") {
        for (n, part) in parts.iter().enumerate() {
            visit(&format!("{path}.content.{n}"), part, found, last_block)?;
        }
    }
    let thinking = matches!(kind, "thinking" | "redacted_thinking");
    match object.get("cache_control") {
        None | Some(Value::Null) => {
            if !thinking {
                *last_block = Some(None);
            }
            Ok(())
        }
        Some(_) if thinking => {
            Err(ApiError::invalid(format!("{path}.{kind}.cache_control: Extra inputs are not permitted")))
        }
        Some(marker) => {
            refuse_unmarkable(path, object, kind)?;
            let ttl = parse(&format!("{path}.cache_control"), marker)?;
            found.push(ttl);
            *last_block = Some(Some(ttl));
            Ok(())
        }
    }
}

fn refuse_unmarkable(path: &str, object: &Map<String, Value>, kind: &str) -> Result<(), ApiError> {
    if kind == "text" && object.get("text").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(ApiError::invalid(format!("{path}: cache_control cannot be set for empty text blocks")));
    }
    if object.get("defer_loading").and_then(Value::as_bool) == Some(true) {
        return Err(ApiError::invalid(format!("{path}: a tool with defer_loading cannot carry cache_control")));
    }
    Ok(())
}

fn parse(path: &str, marker: &Value) -> Result<Ttl, ApiError> {
    let Some(object) = marker.as_object() else {
        return Err(ApiError::invalid(format!("{path}: Input should be a valid dictionary or object")));
    };
    only(path, object, &["type", "ttl"])?;
    if object.get("type").and_then(Value::as_str) != Some("ephemeral") {
        return Err(ApiError::invalid(format!("{path}.type: Input should be 'ephemeral'")));
    }
    if !matches!(object.get("ttl").map(Value::as_str), None | Some(Some("5m" | "1h"))) {
        return Err(ApiError::invalid(format!("{path}.ttl: Input should be '5m' or '1h'")));
    }
    Ok(ttl_of(marker).unwrap_or(Ttl::FiveMinutes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn marked(ttls: &[Option<&str>]) -> Value {
        let blocks: Vec<Value> = ttls
            .iter()
            .map(|ttl| match ttl {
                None => json!({"type": "text", "text": "x"}),
                Some(ttl) => json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": ttl}}),
            })
            .collect();
        json!({"messages": [{"role": "user", "content": blocks}]})
    }

    #[test]
    fn marker_rules() {
        let check = |body: Value, expected: &str| {
            let got = check(&body).map_err(|error| error.message).err().unwrap_or_default();
            match expected {
                "" => assert_eq!(got, "", "{body}"),
                text => assert!(got.contains(text), "{body}: `{got}`"),
            }
        };
        let five = Some("5m");
        let hour = Some("1h");
        check(marked(&[five, five, five, five]), "");
        check(marked(&[five, five, five, five, five]), "Found 5");
        check(marked(&[hour, hour, five]), "");
        check(marked(&[five, hour]), "must not come after");
        check(marked(&[Some("10m")]), "ttl: Input should be");
        let with_top = |ttls: &[Option<&str>], top: &str| {
            let mut body = marked(ttls);
            body["cache_control"] = json!({"type": "ephemeral", "ttl": top});
            body
        };
        check(with_top(&[five, five, five, None], "5m"), "");
        check(with_top(&[five, five, five, five, None], "5m"), "Found 5");
        check(with_top(&[five, five, five, five], "5m"), "");
        check(with_top(&[None, five], "1h"), "different ttl");
        check(with_top(&[five, None], "1h"), "must not come after");
        let block = |block: Value| json!({"messages": [{"role": "assistant", "content": [block]}]});
        let marker = json!({"type": "ephemeral"});
        check(block(json!({"type": "text", "text": "", "cache_control": marker})), "empty text blocks");
        check(
            block(json!({"type": "thinking", "thinking": "x", "signature": "s", "cache_control": marker})),
            "Extra inputs",
        );
        check(block(json!({"type": "text", "text": "x", "cache_control": {"type": "forever"}})), "'ephemeral'");
        check(
            block(json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "scope": 1}})),
            "Extra inputs",
        );
        check(json!({"tools": [{"name": "t", "defer_loading": true, "cache_control": marker}]}), "defer_loading");
        check(
            json!({"tools": [{"name": "t", "cache_control": {"type": "ephemeral", "ttl": "5m"}}],
                "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}),
            "must not come after",
        );
    }
}
