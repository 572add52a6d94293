//! Fits an object into any JSON schema: keys that the schema knows and accepts are kept, the rest is filled sensibly.

use serde_json::{Map, Value};

/// Nesting after which a schema is filled with nothing.
const DEEPEST: usize = 24;

/// An object of this schema, with as much of `wanted` as fits.
pub fn fit(schema: &Value, wanted: &Map<String, Value>) -> Value {
    fill(schema, schema, Some(&Value::Object(wanted.clone())), 0)
}

fn fill(root: &Value, schema: &Value, wanted: Option<&Value>, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#')) {
        return root.pointer(target).map_or(Value::Null, |found| fill(root, found, wanted, depth + 1));
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(Value::Array(values)) = schema.get("enum") {
        return from_enum(values, wanted);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(Value::Array(options)) = schema.get(key) {
            let fits = |option: &&Value| wanted.is_some_and(|wanted| accepts(option, wanted));
            let best = options.iter().find(fits).or(options.first());
            return best.map_or(Value::Null, |option| fill(root, option, wanted, depth + 1));
        }
    }
    if let Some(first) = schema.get("allOf").and_then(|all| all.get(0)) {
        return fill(root, first, wanted, depth + 1);
    }
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ if schema.get("properties").is_some() => vec!["object"],
        _ => return wanted.cloned().unwrap_or(Value::Null),
    };
    let kind = kinds.iter().find(|kind| wanted.is_some_and(|value| is_kind(kind, value))).or(kinds.first());
    let kept = wanted.filter(|value| kind.is_some_and(|kind| is_kind(kind, value)));
    match kind.copied() {
        Some("object") => object(root, schema, kept, depth),
        Some("array") => {
            let items = schema.get("items").unwrap_or(&Value::Null);
            match kept.and_then(Value::as_array) {
                Some(list) => list.iter().map(|item| fill(root, items, Some(item), depth + 1)).collect(),
                None if schema.get("minItems").and_then(Value::as_u64).unwrap_or(0) > 0 => {
                    Value::Array(vec![fill(root, items, None, depth + 1)])
                }
                None => Value::Array(Vec::new()),
            }
        }
        Some("string") => kept.cloned().unwrap_or_else(|| format_example(schema).into()),
        Some("boolean") => kept.cloned().unwrap_or(Value::Bool(false)),
        Some("integer" | "number") => kept.cloned().unwrap_or_else(|| 0.into()),
        _ => Value::Null,
    }
}

fn object(root: &Value, schema: &Value, wanted: Option<&Value>, depth: usize) -> Value {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let mut out = Map::new();
    // Required properties come first, as structured outputs order them.
    for needed in [true, false] {
        for (name, property) in properties {
            let given = wanted.and_then(|wanted| wanted.get(name));
            if required.contains(&name.as_str()) == needed && (needed || given.is_some()) {
                out.insert(name.clone(), fill(root, property, given, depth + 1));
            }
        }
    }
    Value::Object(out)
}

fn from_enum(values: &[Value], wanted: Option<&Value>) -> Value {
    let same = |value: &&Value| match (value.as_str(), wanted.and_then(Value::as_str)) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        _ => Some(*value) == wanted,
    };
    let cautious = |value: &&Value| value.as_str().is_some_and(|v| ["other", "unknown", "none"].contains(&v));
    values.iter().find(same).or_else(|| values.iter().find(cautious)).or(values.first()).cloned().unwrap_or(Value::Null)
}

fn accepts(schema: &Value, value: &Value) -> bool {
    match schema.get("type").and_then(Value::as_str) {
        Some(kind) => is_kind(kind, value),
        None => schema.get("const").is_none_or(|constant| constant == value),
    }
}

fn is_kind(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        _ => false,
    }
}

fn format_example(schema: &Value) -> &'static str {
    match schema.get("format").and_then(Value::as_str) {
        Some("date") => "2026-01-01",
        Some("date-time") => "2026-01-01T00:00:00Z",
        Some("email") => "nobody@example.com",
        Some("uri") => "https://example.com/",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        _ => "not given",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_schema_gets_a_valid_object() {
        let check = |schema: Value, wanted: Value, expected: Value| {
            let got = fit(&schema, wanted.as_object().unwrap());
            assert_eq!(got, expected, "{schema}");
            let validator = jsonschema::validator_for(&schema).unwrap();
            assert!(validator.is_valid(&got), "{schema}: {got}");
        };
        let schema = |properties: Value, required: &[&str]| json!({"type": "object", "additionalProperties": false, "properties": properties, "required": required});
        check(
            schema(
                json!({"opt": {"type": "string"}, "churn": {"type": "boolean"}, "language": {"type": "string"}}),
                &["churn", "language"],
            ),
            json!({"churn": true, "language": "de", "extra": 1}),
            json!({"churn": true, "language": "de"}),
        );
        check(
            schema(
                json!({"mood": {"enum": ["good", "other"]}, "n": {"type": "integer"}, "l": {"type": "array", "items": {"type": "string"}}}),
                &["mood", "n", "l"],
            ),
            json!({"mood": "strange", "n": "x"}),
            json!({"mood": "other", "n": 0, "l": []}),
        );
        check(
            schema(json!({"route": {"enum": ["simple", "complex"]}}), &["route"]),
            json!({"route": "COMPLEX"}),
            json!({"route": "complex"}),
        );
        check(
            schema(
                json!({"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "b": {"type": ["integer", "null"]}}),
                &["a", "b"],
            ),
            json!({"a": null}),
            json!({"a": null, "b": 0}),
        );
        check(
            json!({"type": "object", "additionalProperties": false, "required": ["x"], "properties": {"x": {"$ref": "#/$defs/x"}},
                "$defs": {"x": {"type": "object", "additionalProperties": false, "required": ["y"], "properties": {"y": {"const": 7}}}}}),
            json!({}),
            json!({"x": {"y": 7}}),
        );
        check(
            schema(json!({"l": {"type": "array", "minItems": 1, "items": {"type": "boolean"}}}), &["l"]),
            json!({}),
            json!({"l": [false]}),
        );
    }
}
