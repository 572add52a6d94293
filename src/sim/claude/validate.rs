//! What the API refuses of a request's head and top level, with its wording. Messages, tools and markers have files of their own.
//!
//! Sources: <https://platform.claude.com/docs/en/api/messages/create>,
//! <https://platform.claude.com/docs/en/api/migration-2026-10-21>, 2026-11. Where the wording is not documented, the message
//! names the field; clients must not branch on messages.

use serde_json::{Map, Value};

use super::errors::ApiError;
use super::issued::Issued;
use super::models::{self, Model, Thinking};
use super::prompt::array;
use super::{markers, messages, tools};

/// The API version that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `2023-06-01`.
    V2023,
    /// `2026-10-21`: no sampling parameters, no documents of the assistant, no citations of the user.
    V2026,
}

impl Version {
    /// Reads the `anthropic-version` header.
    ///
    /// # Errors
    /// 400 when it is missing or unknown.
    pub fn parse(header: Option<&str>) -> Result<Version, ApiError> {
        match header {
            Some("2023-06-01") => Ok(Version::V2023),
            Some("2026-10-21") => Ok(Version::V2026),
            Some(other) => Err(ApiError::invalid(format!("anthropic-version: \"{other}\" is not a valid version"))),
            None => Err(ApiError::invalid("anthropic-version: header is required")),
        }
    }
}

/// Which endpoint the body came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/messages`.
    Create,
    /// `POST /v1/messages/count_tokens`.
    CountTokens,
}

/// What stands beside the body.
#[derive(Debug, Clone)]
pub struct Head {
    /// The API version.
    pub version: Version,
    /// The values of `anthropic-beta`.
    pub betas: Vec<String>,
    /// The endpoint.
    pub endpoint: Endpoint,
}

/// A request that passed.
#[derive(Debug)]
pub struct Accepted {
    /// The model.
    pub model: &'static Model,
    /// `max_tokens`; 0 for a pre-warm and for `count_tokens`.
    pub max_tokens: u64,
    /// Whether to stream.
    pub stream: bool,
    /// Whether thinking is on.
    pub thinking: bool,
    /// Whether a summary of the thinking is shown.
    pub show_thinking: bool,
}

const CREATE_FIELDS: &[&str] = &[
    "model",
    "max_tokens",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "stop_sequences",
    "stream",
    "metadata",
    "service_tier",
    "cache_control",
    "diagnostics",
    "inference_geo",
    "speed",
    "container",
];
const COUNT_FIELDS: &[&str] =
    &["model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "speed"];
const SAMPLING: &[&str] = &["temperature", "top_p", "top_k"];

/// The beta that `output_config.task_budget` needs.
const TASK_BUDGET_BETA: &str = "task-budgets-2026-03-13";

/// Checks a body as the API does.
///
/// # Errors
/// The refusal: 400 `invalid_request_error`, or 404 for an unknown model.
pub fn validate(head: &Head, body: &Value, issued: &Issued) -> Result<Accepted, ApiError> {
    let Some(object) = body.as_object() else {
        return Err(ApiError::invalid("Input should be a valid dictionary or object"));
    };
    let create = head.endpoint == Endpoint::Create;
    let known = if create { CREATE_FIELDS } else { COUNT_FIELDS };
    for key in object.keys() {
        let sampling = create && head.version == Version::V2023 && SAMPLING.contains(&key.as_str());
        if !known.contains(&key.as_str()) && !sampling {
            return Err(extra(key));
        }
    }
    let id = match object.get("model") {
        None => return Err(required("model")),
        Some(Value::String(id)) if !id.is_empty() => id,
        Some(_) => return Err(ApiError::invalid("model: Input should be a valid string")),
    };
    let model = models::find(id).ok_or_else(|| ApiError::not_found(format!("model: {id}")))?;

    let max_tokens = if create { max_tokens(object, model)? } else { 0 };
    let stream = flag(object, "stream")?.unwrap_or(false);
    let thinking = thinking(object, model, create.then_some(max_tokens))?;
    sampling(object, model, thinking)?;
    output_config(head, object, model)?;
    tools::check(object)?;
    tool_choice(object, thinking)?;
    small_fields(object)?;
    messages::check_system(object.get("system"))?;
    messages::check(head.version, model, object, issued, thinking.on)?;
    markers::check(body)?;

    let format = object.get("output_config").and_then(|c| c.get("format")).is_some_and(|f| !f.is_null());
    if create && max_tokens == 0 {
        let forced = matches!(choice_type(object), Some("any" | "tool"));
        if stream || thinking.on || format || forced {
            return Err(ApiError::invalid(
                "max_tokens: 0 cannot be combined with `stream`, thinking, `output_config.format` or a forced `tool_choice`",
            ));
        }
    }
    Ok(Accepted { model, max_tokens, stream, thinking: thinking.on, show_thinking: thinking.show })
}

/// `<path>: Extra inputs are not permitted`.
pub(super) fn extra(path: &str) -> ApiError {
    ApiError::invalid(format!("{path}: Extra inputs are not permitted"))
}

/// `<path>: Field required`.
pub(super) fn required(path: &str) -> ApiError {
    ApiError::invalid(format!("{path}: Field required"))
}

/// Refuses keys that are not in the list.
pub(super) fn only(path: &str, object: &Map<String, Value>, known: &[&str]) -> Result<(), ApiError> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(extra(&format!("{path}.{key}"))),
        None => Ok(()),
    }
}

fn flag(object: &Map<String, Value>, key: &str) -> Result<Option<bool>, ApiError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(ApiError::invalid(format!("{key}: Input should be a valid boolean"))),
    }
}

fn max_tokens(object: &Map<String, Value>, model: &Model) -> Result<u64, ApiError> {
    let value = object.get("max_tokens").ok_or_else(|| required("max_tokens"))?;
    let Some(max_tokens) = value.as_u64() else {
        return Err(ApiError::invalid("max_tokens: Input should be a valid integer, at least 0"));
    };
    if max_tokens > model.max_output {
        return Err(ApiError::invalid(format!(
            "max_tokens: {max_tokens} > {}, which is the maximum allowed number of output tokens for {}",
            model.max_output, model.id
        )));
    }
    Ok(max_tokens)
}

#[derive(Debug, Clone, Copy)]
struct ThinkingMode {
    on: bool,
    manual: bool,
    show: bool,
}

fn thinking(object: &Map<String, Value>, model: &Model, max_tokens: Option<u64>) -> Result<ThinkingMode, ApiError> {
    let off = ThinkingMode { on: false, manual: false, show: false };
    let config = match object.get("thinking") {
        None | Some(Value::Null) => return Ok(off),
        Some(Value::Object(config)) => config,
        Some(_) => return Err(ApiError::invalid("thinking: Input should be a valid dictionary or object")),
    };
    let show = match config.get("display") {
        None | Some(Value::Null) => !model.thinking_omitted,
        Some(Value::String(display)) if display == "summarized" => true,
        Some(Value::String(display)) if display == "omitted" => false,
        Some(_) => return Err(ApiError::invalid("thinking.display: Input should be 'summarized' or 'omitted'")),
    };
    match config.get("type").and_then(Value::as_str) {
        Some("disabled") => {
            only("thinking", config, &["type"])?;
            Ok(off)
        }
        Some("adaptive") => {
            only("thinking", config, &["type", "display"])?;
            if model.thinking == Thinking::Manual {
                return Err(ApiError::invalid("adaptive thinking is not supported on this model"));
            }
            Ok(ThinkingMode { on: true, manual: false, show })
        }
        Some("enabled") => {
            only("thinking", config, &["type", "display", "budget_tokens"])?;
            if model.thinking == Thinking::Adaptive {
                return Err(ApiError::invalid(
                    "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \
                     \"output_config.effort\" to control thinking behavior.",
                ));
            }
            let budget = config.get("budget_tokens").ok_or_else(|| required("thinking.enabled.budget_tokens"))?;
            match budget.as_u64() {
                Some(budget) if budget >= 1_024 => {
                    if max_tokens.is_some_and(|max| budget >= max) {
                        return Err(ApiError::invalid("`max_tokens` must be greater than `thinking.budget_tokens`"));
                    }
                }
                _ => {
                    return Err(ApiError::invalid(
                        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
                    ));
                }
            }
            Ok(ThinkingMode { on: true, manual: true, show })
        }
        Some("between_tools") => {
            Err(ApiError::invalid("\"thinking.type.between_tools\" is not supported for this model."))
        }
        Some(other) => Err(ApiError::invalid(format!(
            "thinking: Input tag '{other}' found using 'type' does not match any of the expected tags: 'adaptive', \
             'between_tools', 'disabled', 'enabled'"
        ))),
        None => Err(required("thinking.type")),
    }
}

/// Sampling parameters; the new version has already refused them as unknown fields.
fn sampling(object: &Map<String, Value>, model: &Model, thinking: ThinkingMode) -> Result<(), ApiError> {
    let number = |key: &str, low: f64, high: f64| match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(n) if (low..=high).contains(&n) => Ok(Some(n)),
            _ => Err(ApiError::invalid(format!("{key}: Input should be a number between {low} and {high}"))),
        },
    };
    let temperature = number("temperature", 0.0, 1.0)?;
    let top_p = number("top_p", 0.0, 1.0)?;
    let top_k = number("top_k", 0.0, 1e9)?;
    let changed = [
        ("temperature", temperature.is_some_and(|t| t != 1.0)),
        ("top_p", top_p.is_some_and(|p| p < 0.99)),
        ("top_k", top_k.is_some_and(|k| k != 0.0)),
    ];
    let first_changed = changed.iter().find(|(_, changed)| *changed).map(|(key, _)| *key);
    if let Some(key) = first_changed {
        if !model.sampling {
            return Err(ApiError::invalid(format!(
                "`{key}` is not supported for this model; leave it at its default."
            )));
        }
        if thinking.on {
            return Err(ApiError::invalid(format!(
                "`{key}` may only be left at its default when thinking is enabled or in adaptive mode."
            )));
        }
    }
    if model.prefill && temperature.is_some() && top_p.is_some() {
        return Err(ApiError::invalid(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        ));
    }
    Ok(())
}

fn output_config(head: &Head, object: &Map<String, Value>, model: &Model) -> Result<(), ApiError> {
    let config = match object.get("output_config") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(config)) => config,
        Some(_) => return Err(ApiError::invalid("output_config: Input should be a valid dictionary or object")),
    };
    only("output_config", config, &["effort", "format", "task_budget"])?;
    match config.get("effort") {
        None | Some(Value::Null) => {}
        Some(Value::String(effort)) => {
            if !["low", "medium", "high", "xhigh", "max"].contains(&effort.as_str()) {
                return Err(ApiError::invalid(
                    "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
                ));
            }
            if model.efforts.is_empty() {
                return Err(ApiError::invalid("This model does not support the effort parameter."));
            }
            if !model.efforts.contains(&effort.as_str()) {
                return Err(ApiError::invalid(format!(
                    "This model does not support effort level '{effort}'. Supported levels: {}.",
                    model.efforts.join(", ")
                )));
            }
        }
        Some(_) => return Err(ApiError::invalid("output_config.effort: Input should be a valid string")),
    }
    if let Some(budget) = config.get("task_budget").filter(|b| !b.is_null()) {
        if !head.betas.iter().any(|beta| beta == TASK_BUDGET_BETA) {
            return Err(extra("output_config.task_budget"));
        }
        if !model.task_budget {
            return Err(ApiError::invalid("output_config.task_budget is not supported for this model."));
        }
        if budget.get("type").and_then(Value::as_str) != Some("tokens")
            || budget.get("total").and_then(Value::as_u64).is_none_or(|total| total < 20_000)
        {
            return Err(ApiError::invalid("output_config.task_budget.total: Input should be at least 20000 tokens"));
        }
    }
    match config.get("format") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(format)) => {
            only("output_config.format", format, &["type", "schema"])?;
            if format.get("type").and_then(Value::as_str) != Some("json_schema") {
                return Err(ApiError::invalid("output_config.format.type: Input should be 'json_schema'"));
            }
            if !format.get("schema").is_some_and(Value::is_object) {
                return Err(required("output_config.format.schema"));
            }
            let citing = array(&Value::Object(object.clone()), "messages").iter().any(asks_for_citations);
            if citing {
                return Err(ApiError::invalid("output_config.format: cannot be combined with citations"));
            }
            Ok(())
        }
        Some(_) => Err(ApiError::invalid("output_config.format: Input should be a valid dictionary or object")),
    }
}

fn asks_for_citations(message: &Value) -> bool {
    array(message, "content").iter().any(|b| b.pointer("/citations/enabled").and_then(Value::as_bool) == Some(true))
}

fn choice_type(object: &Map<String, Value>) -> Option<&str> {
    object.get("tool_choice")?.get("type")?.as_str()
}

fn tool_choice(object: &Map<String, Value>, thinking: ThinkingMode) -> Result<(), ApiError> {
    let choice = match object.get("tool_choice") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(choice)) => choice,
        Some(_) => return Err(ApiError::invalid("tool_choice: Input should be a valid dictionary or object")),
    };
    let tools = object.get("tools").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let kind = choice.get("type").and_then(Value::as_str).unwrap_or("");
    match kind {
        "auto" | "any" => only("tool_choice", choice, &["type", "disable_parallel_tool_use"])?,
        "tool" => {
            only("tool_choice", choice, &["type", "name", "disable_parallel_tool_use"])?;
            let name = choice.get("name").and_then(Value::as_str).ok_or_else(|| required("tool_choice.tool.name"))?;
            if !tools.iter().any(|tool| tool.get("name").and_then(Value::as_str) == Some(name)) {
                return Err(ApiError::invalid(format!("Tool '{name}' not found in provided tools")));
            }
        }
        "none" => only("tool_choice", choice, &["type"])?,
        _ => {
            return Err(ApiError::invalid(
                "tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool', 'none'",
            ));
        }
    }
    flag(choice, "disable_parallel_tool_use")?;
    if tools.is_empty() && kind != "none" {
        return Err(ApiError::invalid("tool_choice: may only be specified while providing tools"));
    }
    if thinking.manual && matches!(kind, "any" | "tool") {
        return Err(ApiError::invalid("Thinking may not be enabled when tool_choice forces tool use."));
    }
    Ok(())
}

fn small_fields(object: &Map<String, Value>) -> Result<(), ApiError> {
    let text = |key: &str| match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(ApiError::invalid(format!("{key}: Input should be a valid string"))),
    };
    if text("service_tier")?.is_some_and(|tier| !["auto", "standard_only"].contains(&tier)) {
        return Err(ApiError::invalid("service_tier: Input should be 'auto' or 'standard_only'"));
    }
    if text("speed")?.is_some_and(|speed| speed != "standard") {
        return Err(ApiError::invalid("speed: 'fast' is not supported for this model"));
    }
    if text("inference_geo")?.is_some_and(|geo| !["us", "global"].contains(&geo)) {
        return Err(ApiError::invalid("inference_geo: Input should be 'us' or 'global'"));
    }
    text("container")?;
    match object.get("metadata") {
        None | Some(Value::Null) => {}
        Some(Value::Object(metadata)) => {
            only("metadata", metadata, &["user_id"])?;
            match metadata.get("user_id") {
                None | Some(Value::Null) => {}
                Some(Value::String(id)) if id.chars().count() <= 256 => {}
                Some(_) => {
                    return Err(ApiError::invalid(
                        "metadata.user_id: Input should be a string of at most 256 characters",
                    ));
                }
            }
        }
        Some(_) => return Err(ApiError::invalid("metadata: Input should be a valid dictionary or object")),
    }
    match object.get("diagnostics") {
        None | Some(Value::Null) => {}
        Some(Value::Object(diagnostics)) => {
            only("diagnostics", diagnostics, &["previous_message_id"])?;
            if !matches!(diagnostics.get("previous_message_id"), None | Some(Value::Null | Value::String(_))) {
                return Err(ApiError::invalid("diagnostics.previous_message_id: Input should be a valid string"));
            }
        }
        Some(_) => return Err(ApiError::invalid("diagnostics: Input should be a valid dictionary or object")),
    }
    match object.get("stop_sequences") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(list)) => match list.iter().find(|s| s.as_str().is_none_or(|s| s.trim().is_empty())) {
            Some(_) => Err(ApiError::invalid("stop_sequences: each stop sequence must contain non-whitespace")),
            None => Ok(()),
        },
        Some(_) => Err(ApiError::invalid("stop_sequences: Input should be a valid list")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn base(model: &str) -> Value {
        json!({"model": model, "max_tokens": 2000, "messages": [{"role": "user", "content": "hello"}]})
    }

    fn run(version: Version, body: &Value) -> Result<Accepted, ApiError> {
        let head = Head { version, betas: Vec::new(), endpoint: Endpoint::Create };
        validate(&head, body, &Issued::default())
    }

    #[test]
    fn top_level_rules_per_model_and_version() {
        use Version::{V2023, V2026};
        const OPUS: &str = "claude-opus-4-7";
        const SONNET: &str = "claude-sonnet-4-6";
        const HAIKU: &str = "claude-haiku-4-5";
        // An empty expectation: accepted. Else: a part of the message, and 400.
        let check = |version: Version, model: &str, extra: Value, expected: &str| {
            let mut body = base(model);
            for (key, value) in extra.as_object().unwrap() {
                body[key] = value.clone();
            }
            let got = run(version, &body);
            match (&got, expected) {
                (Ok(_), "") => {}
                (Err(error), text) if !text.is_empty() => {
                    assert!(error.message.contains(text), "{version:?} {model} {extra}: {error}");
                    assert_eq!((error.status, error.kind), (400, "invalid_request_error"));
                }
                _ => panic!("{version:?} {model} {extra}: {got:?}, expected `{expected}`"),
            }
        };
        for version in [V2023, V2026] {
            for model in [OPUS, SONNET] {
                check(version, model, json!({}), "");
                check(version, model, json!({"foo": 1}), "foo: Extra inputs are not permitted");
                check(version, model, json!({"mcp_servers": []}), "mcp_servers: Extra inputs");
                check(version, model, json!({"thinking": {"type": "adaptive"}}), "");
                check(version, model, json!({"thinking": {"type": "adaptive", "display": "summarized"}}), "");
                check(version, model, json!({"thinking": {"type": "adaptive", "budget_tokens": 1024}}), "Extra inputs");
                check(version, model, json!({"thinking": {"type": "disabled"}}), "");
                check(version, model, json!({"thinking": {"type": "between_tools"}}), "not supported");
                check(version, model, json!({"thinking": {"type": "loud"}}), "expected tags");
                check(version, model, json!({"output_config": {"effort": "low"}}), "");
                check(version, model, json!({"output_config": {"effort": "max"}}), "");
                check(version, model, json!({"output_config": {"effort": "huge"}}), "output_config.effort");
                check(
                    version,
                    model,
                    json!({"output_config": {"task_budget": {"type": "tokens", "total": 20000}}}),
                    "Extra",
                );
                check(version, model, json!({"max_tokens": -1}), "max_tokens");
                check(version, model, json!({"max_tokens": 128_001}), "128001 > 128000");
                check(version, model, json!({"max_tokens": 0}), "");
                check(version, model, json!({"max_tokens": 0, "stream": true}), "max_tokens: 0");
                check(version, model, json!({"max_tokens": 0, "thinking": {"type": "adaptive"}}), "max_tokens: 0");
                check(version, model, json!({"stream": "yes"}), "stream");
                check(version, model, json!({"speed": "fast"}), "speed");
                check(version, model, json!({"service_tier": "standard_only"}), "");
                check(version, model, json!({"service_tier": "gold"}), "service_tier");
                check(version, model, json!({"metadata": {"user_id": "u".repeat(64)}}), "");
                check(version, model, json!({"metadata": {"name": "x"}}), "metadata.name: Extra inputs");
                check(version, model, json!({"tool_choice": {"type": "any"}}), "while providing tools");
                check(version, model, json!({"diagnostics": {"previous_message_id": null}}), "");
                check(version, model, json!({"stop_sequences": [" "]}), "stop_sequences");
            }
            check(version, OPUS, json!({"output_config": {"effort": "xhigh"}}), "");
            check(version, SONNET, json!({"output_config": {"effort": "xhigh"}}), "does not support effort level");
            check(version, HAIKU, json!({"output_config": {"effort": "low"}}), "does not support the effort");
            check(
                version,
                OPUS,
                json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}),
                "thinking.type.enabled",
            );
            check(version, SONNET, json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}), "");
            check(version, SONNET, json!({"thinking": {"type": "enabled", "budget_tokens": 1023}}), "1024");
            check(version, SONNET, json!({"thinking": {"type": "enabled", "budget_tokens": 2000}}), "greater than");
            check(version, HAIKU, json!({"thinking": {"type": "adaptive"}}), "adaptive thinking is not supported");
        }
        for model in [OPUS, SONNET, HAIKU] {
            for key in ["temperature", "top_p", "top_k"] {
                check(V2026, model, json!({key: 1}), &format!("{key}: Extra inputs are not permitted"));
            }
            check(V2023, model, json!({"temperature": 1.0}), "");
            check(V2023, model, json!({"temperature": 1.5}), "temperature");
        }
        check(V2023, OPUS, json!({"temperature": 0.3}), "not supported for this model");
        check(V2023, SONNET, json!({"temperature": 0.3}), "");
        check(V2023, SONNET, json!({"temperature": 0.3, "thinking": {"type": "adaptive"}}), "thinking is enabled");
        check(V2023, HAIKU, json!({"temperature": 0.3, "top_p": 0.5}), "cannot both");
    }

    #[test]
    fn an_unknown_model_is_404_and_a_missing_one_400() {
        let error = run(Version::V2026, &base("claude-opus-latest")).unwrap_err();
        assert_eq!(
            (error.status, error.kind, error.message.as_str()),
            (404, "not_found_error", "model: claude-opus-latest")
        );
        let error = run(Version::V2026, &json!({"max_tokens": 1, "messages": []})).unwrap_err();
        assert_eq!((error.status, error.message.as_str()), (400, "model: Field required"));
        let error = run(Version::V2026, &json!([])).unwrap_err();
        assert_eq!(error.status, 400);
    }

    #[test]
    fn versions_are_these_two() {
        assert_eq!(Version::parse(Some("2023-06-01")).unwrap(), Version::V2023);
        assert_eq!(Version::parse(Some("2026-10-21")).unwrap(), Version::V2026);
        assert!(Version::parse(Some("2026-01-01")).is_err() && Version::parse(None).is_err());
    }

    #[test]
    fn a_task_budget_needs_its_header_and_opus() {
        let check = |model: &str, good: bool| {
            let head =
                Head { version: Version::V2026, betas: vec![TASK_BUDGET_BETA.into()], endpoint: Endpoint::Create };
            let mut body = base(model);
            body["output_config"] = json!({"task_budget": {"type": "tokens", "total": 20000}});
            assert_eq!(validate(&head, &body, &Issued::default()).is_ok(), good, "{model}");
        };
        check("claude-opus-4-7", true);
        check("claude-sonnet-4-6", false);
    }

    #[test]
    fn counting_takes_fewer_fields() {
        let head = Head { version: Version::V2026, betas: Vec::new(), endpoint: Endpoint::CountTokens };
        let mut body = base("claude-opus-4-7");
        assert!(validate(&head, &body, &Issued::default()).unwrap_err().message.contains("max_tokens"));
        body.as_object_mut().unwrap().shift_remove("max_tokens");
        assert!(validate(&head, &body, &Issued::default()).is_ok());
    }
}
