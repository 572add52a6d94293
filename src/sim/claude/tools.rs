//! Tool definitions and answer schemas: names, strictness, and the limits of structured outputs.
//!
//! Source: <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>, 2026-11.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::errors::ApiError;
use super::validate::{only, required};

/// Strict tools in one request.
const MOST_STRICT: usize = 20;
/// Optional properties of all strict schemas of one request together.
const MOST_OPTIONAL: usize = 24;
/// Properties of a union type, all strict schemas of one request together.
const MOST_UNIONS: usize = 16;
/// Nesting above which a schema is refused as too complex (stands for the compiler's time limit).
const DEEPEST: usize = 32;

const FIELDS: &[&str] = &[
    "type",
    "name",
    "description",
    "input_schema",
    "strict",
    "input_examples",
    "cache_control",
    "defer_loading",
    "allowed_callers",
    "eager_input_streaming",
];

/// Keywords that a strict schema may not use.
const REFUSED: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "if",
    "not",
    "oneOf",
];

#[derive(Default)]
struct Counts {
    optional: usize,
    unions: usize,
}

/// Checks `tools` and `output_config.format.schema`.
pub(super) fn check(object: &Map<String, Value>) -> Result<(), ApiError> {
    let mut counts = Counts::default();
    let mut names = BTreeSet::new();
    let mut strict = 0;
    let tools = match object.get("tools") {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(tools)) => tools.as_slice(),
        Some(_) => return Err(ApiError::invalid("tools: Input should be a valid list")),
    };
    for (n, tool) in tools.iter().enumerate() {
        let path = format!("tools.{n}");
        let Some(tool) = tool.as_object() else {
            return Err(ApiError::invalid(format!("{path}: Input should be a valid dictionary or object")));
        };
        let name = check_definition(&path, tool)?;
        if !names.insert(name.to_owned()) {
            return Err(ApiError::invalid("tools: Tool names must be unique."));
        }
        if tool.get("strict").and_then(Value::as_bool) == Some(true) {
            strict += 1;
            check_strict(&path, &tool["input_schema"], &mut counts)?;
        }
    }
    if strict > MOST_STRICT {
        return Err(ApiError::invalid(format!(
            "tools: at most {MOST_STRICT} strict tools may be provided, found {strict}"
        )));
    }
    if let Some(schema) = object.get("output_config").and_then(|c| c.pointer("/format/schema")) {
        check_strict("output_config.format.schema", schema, &mut counts)?;
    }
    if counts.optional > MOST_OPTIONAL {
        return Err(ApiError::invalid(format!(
            "Schemas contain too many optional parameters ({}), at most {MOST_OPTIONAL} are supported.",
            counts.optional
        )));
    }
    if counts.unions > MOST_UNIONS {
        return Err(ApiError::invalid(format!(
            "Schemas contain too many parameters with union types ({}), at most {MOST_UNIONS} are supported.",
            counts.unions
        )));
    }
    Ok(())
}

fn check_definition<'a>(path: &str, tool: &'a Map<String, Value>) -> Result<&'a str, ApiError> {
    if !matches!(tool.get("type").map(Value::as_str), None | Some(Some("custom"))) {
        return Err(ApiError::invalid(format!("{path}.type: server tools are not part of this simulator")));
    }
    only(&format!("{path}.custom"), tool, FIELDS)?;
    let name = tool.get("name").and_then(Value::as_str).ok_or_else(|| required(&format!("{path}.custom.name")))?;
    let good =
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !good {
        return Err(ApiError::invalid(format!(
            "{path}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'"
        )));
    }
    let schema = tool.get("input_schema").ok_or_else(|| required(&format!("{path}.custom.input_schema")))?;
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err(ApiError::invalid(format!("{path}.custom.input_schema.type: Input should be 'object'")));
    }
    for key in ["strict", "defer_loading", "eager_input_streaming"] {
        if !matches!(tool.get(key), None | Some(Value::Null | Value::Bool(_))) {
            return Err(ApiError::invalid(format!("{path}.custom.{key}: Input should be a valid boolean")));
        }
    }
    if !matches!(tool.get("description"), None | Some(Value::Null | Value::String(_))) {
        return Err(ApiError::invalid(format!("{path}.custom.description: Input should be a valid string")));
    }
    if let Some(Value::Array(examples)) = tool.get("input_examples") {
        let validator = jsonschema::validator_for(schema)
            .map_err(|e| ApiError::invalid(format!("{path}.custom.input_schema: JSON schema is invalid: {e}")))?;
        if let Some(n) = examples.iter().position(|example| !validator.is_valid(example)) {
            return Err(ApiError::invalid(format!(
                "{path}.custom.input_examples.{n}: does not match the input schema"
            )));
        }
    }
    Ok(name)
}

fn check_strict(path: &str, schema: &Value, counts: &mut Counts) -> Result<(), ApiError> {
    walk(path, schema, schema, &mut Vec::new(), 0, counts)
}

fn walk(
    path: &str,
    root: &Value,
    schema: &Value,
    open: &mut Vec<String>,
    depth: usize,
    counts: &mut Counts,
) -> Result<(), ApiError> {
    let Some(object) = schema.as_object() else { return Ok(()) };
    if depth > DEEPEST {
        return Err(ApiError::invalid("Schema is too complex for compilation."));
    }
    if let Some(key) = REFUSED.iter().find(|key| object.contains_key(**key)) {
        return Err(ApiError::invalid(format!("{path}: For strict schemas, property '{key}' is not supported")));
    }
    if object.get("minItems").and_then(Value::as_u64).is_some_and(|n| n > 1) {
        return Err(ApiError::invalid(format!(
            "{path}: For strict schemas, 'minItems' values other than 0 or 1 are not supported"
        )));
    }
    if let Some(target) = object.get("$ref").and_then(Value::as_str) {
        let Some(pointer) = target.strip_prefix('#') else {
            return Err(ApiError::invalid(format!("{path}: external $ref `{target}` is not supported")));
        };
        if open.iter().any(|seen| seen == target) {
            return Err(ApiError::invalid(format!("{path}: Circular $ref `{target}` is not supported")));
        }
        let Some(found) = root.pointer(pointer) else {
            return Err(ApiError::invalid(format!("{path}: $ref `{target}` does not resolve")));
        };
        open.push(target.to_owned());
        walk(path, root, found, open, depth + 1, counts)?;
        open.pop();
    }
    let kinds = kinds(object);
    if kinds.contains(&"object") || object.contains_key("properties") {
        if object.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Err(ApiError::invalid(format!(
                "{path}: For 'object' type, 'additionalProperties' must be explicitly set to false"
            )));
        }
        let required: BTreeSet<&str> = object
            .get("required")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        for (name, property) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if !required.contains(name.as_str()) {
                counts.optional += 1;
            }
            if is_union(property) {
                counts.unions += 1;
            }
            walk(&format!("{path}.properties.{name}"), root, property, open, depth + 1, counts)?;
        }
    }
    if let Some(items) = object.get("items") {
        walk(&format!("{path}.items"), root, items, open, depth + 1, counts)?;
    }
    for key in ["anyOf", "allOf"] {
        for (n, part) in object.get(key).and_then(Value::as_array).into_iter().flatten().enumerate() {
            walk(&format!("{path}.{key}.{n}"), root, part, open, depth + 1, counts)?;
        }
    }
    Ok(())
}

fn kinds(object: &Map<String, Value>) -> Vec<&str> {
    match object.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_union(property: &Value) -> bool {
    property.get("anyOf").is_some() || property.get("type").is_some_and(Value::is_array)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(schema: Value) -> Value {
        json!({"tools": [{"name": "t", "strict": true, "input_schema": schema}]})
    }

    #[test]
    fn tool_and_schema_rules() {
        let check = |body: Value, expected: &str| {
            let got = check(body.as_object().unwrap()).map_err(|error| error.message).err().unwrap_or_default();
            match expected {
                "" => assert_eq!(got, "", "{body}"),
                text => assert!(got.contains(text), "{body}: `{got}`"),
            }
        };
        let closed =
            |properties: Value| json!({"type": "object", "additionalProperties": false, "properties": properties});
        check(tool(closed(json!({}))), "");
        check(tool(json!({"type": "object", "properties": {}})), "additionalProperties");
        check(tool(closed(json!({"a": {"type": "object", "properties": {}}}))), "additionalProperties");
        check(tool(closed(json!({"a": {"type": "integer", "minimum": 1}}))), "'minimum' is not supported");
        check(tool(closed(json!({"a": {"type": "string", "maxLength": 1}}))), "maxLength");
        check(tool(closed(json!({"a": {"type": "array", "minItems": 2, "items": {}}}))), "minItems");
        check(tool(closed(json!({"a": {"type": "array", "minItems": 1, "items": {}}}))), "");
        check(tool(closed(json!({"a": {"$ref": "https://x"}}))), "external $ref");
        check(tool(closed(json!({"a": {"$ref": "#/properties/a"}}))), "Circular");
        let loose =
            json!({"tools": [{"name": "t", "input_schema": {"type": "object", "properties": {"a": {"minimum": 1}}}}]});
        check(loose, "");
        let many = |count: usize, schema: Value| {
            closed((0..count).map(|n| (format!("p{n}"), schema.clone())).collect::<Map<_, _>>().into())
        };
        check(tool(many(24, json!({"type": "string"}))), "");
        check(tool(many(25, json!({"type": "string"}))), "too many optional");
        let mut unions = many(17, json!({"type": ["string", "null"]}));
        unions["required"] = (0..17).map(|n| format!("p{n}")).collect();
        check(tool(unions), "too many parameters with union types");
        let tools = |count: usize| {
            let one = |n: usize| json!({"name": format!("t{n}"), "strict": true, "input_schema": closed(json!({}))});
            json!({"tools": (0..count).map(one).collect::<Vec<_>>()})
        };
        check(tools(20), "");
        check(tools(21), "at most 20 strict tools");
        check(json!({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}), "pattern");
        check(json!({"tools": [{"name": "", "input_schema": {"type": "object"}}]}), "pattern");
        check(json!({"tools": [{"name": "t"}]}), "input_schema: Field required");
        check(json!({"tools": [{"name": "t", "input_schema": {"type": "string"}}]}), "'object'");
        check(json!({"tools": [{"name": "t", "input_schema": {"type": "object"}, "returns": 1}]}), "Extra inputs");
        let twice = json!({"name": "t", "input_schema": {"type": "object"}});
        check(json!({"tools": [twice, twice]}), "must be unique");
        let example = |example: Value| {
            json!({"tools": [{"name": "t", "input_examples": [example],
                "input_schema": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}}]})
        };
        check(example(json!({"a": "x"})), "");
        check(example(json!({"b": "x"})), "input_examples.0");
        check(
            json!({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {}}}}}),
            "output_config.format.schema: For 'object' type",
        );
    }
}
