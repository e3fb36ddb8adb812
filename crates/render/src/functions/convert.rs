//! Functions that read a text as something else, and write something as a text.

use super::{
    Function, at, json, json::Style, row, shapes::any, sprig::without_underscores, text_at, toml, yaml,
};
use gotemplate::{IntKind, Type, UintKind, Value, quote};

const TEXT: Type = Type::Str;
const ANY: Type = Type::Any;

pub(super) const TABLE: &[Function] = &[
    row("parseBool", &[TEXT], Type::Bool, "a truth value", (r#"{{ parseBool "true" }}"#, "true"), |_, a| {
        match text_at(a, 0) {
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false.into()),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true.into()),
            other => {
                Err(format!("parseBool: strconv.ParseBool: parsing {}: invalid syntax", quote(other, false)))
            }
        }
    }),
    row("parseFloat", &[TEXT], Type::Float, "a number", (r#"{{ parseFloat "3.10" }}"#, "3.1"), |_, a| {
        parse_float(text_at(a, 0)).map(Value::Float)
    }),
    row(
        "parseInt",
        &[TEXT],
        Type::Int(IntKind::I64),
        "a whole number",
        (r#"{{ parseInt "-5" }}"#, "-5"),
        |_, a| parse_int(text_at(a, 0)).map(|n| Value::Int(IntKind::I64, n)),
    ),
    row(
        "parseUint",
        &[TEXT],
        Type::Uint(UintKind::U64),
        "a whole number that is not negative",
        (r#"{{ parseUint "5" }}"#, "5"),
        |_, a| {
            let text = text_at(a, 0);
            if text.is_empty() {
                return Ok(Value::Uint(UintKind::U64, 0));
            }
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            match text.parse() {
                Ok(n) if digits => Ok(Value::Uint(UintKind::U64, n)),
                _ => Err(number_error("parseUint", "ParseUint", text, digits)),
            }
        },
    ),
    row(
        "parseJSON",
        &[TEXT],
        ANY,
        "what a JSON text says; every number is one with a fraction, as in Go",
        (r#"{{ with parseJSON "{\"a\":[1,2]}" }}{{ index .a 1 }}{{ end }}"#, "2"),
        |_, a| parse_json(text_at(a, 0)),
    ),
    row(
        "parseYAML",
        &[TEXT],
        ANY,
        "what a YAML text says",
        ("{{ with parseYAML \"a: [1, 2]\" }}{{ index .a 1 }}{{ end }}", "2"),
        |_, a| match text_at(a, 0) {
            "" => Ok(Value::dict::<&str>([])),
            text => yaml::read(text),
        },
    ),
    row(
        "toJSON",
        &[ANY],
        TEXT,
        "as JSON in one line",
        (r#"{{ split "," "a,b" | toJSON }}"#, r#"["a","b"]"#),
        |_, a| written("toJSON", at(a, 0), false, true),
    ),
    row(
        "toJSONPretty",
        &[ANY],
        TEXT,
        "as JSON, indented by two",
        (r#"{{ parseJSON "{\"a\":1}" | toJSONPretty }}"#, "{\n  \"a\": 1\n}"),
        |_, a| written("toJSONPretty", at(a, 0), true, true),
    ),
    row(
        "toUnescapedJSON",
        &[ANY],
        TEXT,
        "as JSON in which `<`, `>` and `&` stay as they are",
        (r#"{{ toUnescapedJSON "a&b" }}"#, "\"a&b\""),
        |_, a| written("toUnescapedJSON", at(a, 0), false, false),
    ),
    row(
        "toUnescapedJSONPretty",
        &[ANY],
        TEXT,
        "the same, indented by two",
        (r#"{{ parseJSON "{\"a\":\"<\"}" | toUnescapedJSONPretty }}"#, "{\n  \"a\": \"<\"\n}"),
        |_, a| written("toUnescapedJSONPretty", at(a, 0), true, false),
    ),
    row(
        "toYAML",
        &[ANY],
        TEXT,
        "as YAML",
        (r#"{{ parseJSON "{\"a\":[\"b\"]}" | toYAML }}"#, "a:\n- b"),
        |_, a| yaml::write(at(a, 0)).map(Value::from).map_err(|why| format!("toYAML: {why}")),
    ),
    row(
        "toTOML",
        &[ANY],
        TEXT,
        "a map as TOML",
        (r#"{{ parseJSON "{\"a\":\"b\"}" | toTOML }}"#, "a = \"b\""),
        |_, a| toml::write(at(a, 0)).map(Value::from).map_err(|why| format!("toTOML: {why}")),
    ),
];

fn number_error(name: &str, function: &str, text: &str, digits: bool) -> String {
    let why = if digits { "value out of range" } else { "invalid syntax" };
    format!("{name}: strconv.{function}: parsing {}: {why}", quote(text, false))
}

/// A whole number; nothing is 0.
pub(super) fn parse_int(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    text.parse().map_err(|_| number_error("parseInt", "ParseInt", text, digits))
}

fn parse_float(text: &str) -> Result<f64, String> {
    if text.is_empty() {
        return Ok(0.0);
    }
    match without_underscores(text).parse::<f64>() {
        Ok(n) if n.is_infinite() && !text.to_lowercase().contains("inf") => {
            Err(number_error("parseFloat", "ParseFloat", text, true))
        }
        Ok(n) => Ok(n),
        Err(_) => Err(number_error("parseFloat", "ParseFloat", text, false)),
    }
}

/// What a JSON text says; nothing is an empty map.
pub(super) fn parse_json(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(Value::dict::<&str>([]));
    }
    match serde_json::from_str(text) {
        Ok(json) => Ok(any(&json)),
        Err(error) => Err(json_error(text, &error)),
    }
}

/// Go's words for what is no JSON, where they can be had.
fn json_error(text: &str, error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".into();
    }
    let line = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let at = (line + error.column()).saturating_sub(1);
    match text.get(at..).and_then(|rest| rest.chars().next()) {
        Some(c) if error.to_string().starts_with("trailing characters") => {
            format!("invalid character {} after top-level value", quoted(c))
        }
        Some(c) if error.to_string().starts_with("expected value") => {
            format!("invalid character {} looking for beginning of value", quoted(c))
        }
        _ => error.to_string(),
    }
}

fn quoted(c: char) -> String {
    gotemplate::print::printf("%q", &[Value::int(i64::from(c as u32))])
}

fn written(name: &str, value: &Value, pretty: bool, escaped: bool) -> Result<Value, String> {
    json::write(value, Style { pretty, escaped }).map(Value::from).map_err(|why| format!("{name}: {why}"))
}
