//! The functions of Sprig as consul-template has them, each with `sprig_` before its name.

mod codes;
mod decimal;
mod letters;
mod lists;
mod maps;
mod names;
mod numbers;
mod other;
mod paths;
mod patterns;
mod span;
mod text;
mod url;

use super::Function;
use gotemplate::{Value, print::plain};

/// They are many: one table for each kind.
pub(super) const TABLES: [(&str, &[Function]); 6] = [
    ("Sprig: text", text::TABLE),
    ("Sprig: regular expressions", patterns::TABLE),
    ("Sprig: numbers", numbers::TABLE),
    ("Sprig: lists", lists::TABLE),
    ("Sprig: maps", maps::TABLE),
    ("Sprig: everything else", other::TABLE),
];

/// Why some of them are not here.
pub(super) const NOT_THE_SAME_TWICE: &str =
    "it gives another value at each rendering, so the file would never be at rest; make it once, outside";
/// Why some others are not here.
pub(super) const DATES: &str = "dates are no values here; timestamp gives the time as a text";
/// Why yet others are not here.
pub(super) const SECRETS: &str = "rolecall makes and opens no secrets; keep them out of templates";

/// A value as text, as Sprig makes one.
fn strval(value: &Value) -> String {
    plain(value)
}

/// A value as a whole number, as Sprig makes one: 0 for what is none.
fn int(value: &Value) -> i64 {
    match value {
        Value::Int(_, n) => *n,
        Value::Uint(_, n) => *n as i64,
        Value::Float(n) => truncated(*n),
        Value::Bool(truth) => i64::from(*truth),
        Value::Str(text) => {
            let (negative, digits) =
                text.strip_prefix('-').map_or((false, text.as_ref()), |digits| (true, digits));
            let (radix, digits) = match digits.get(..2) {
                Some("0x" | "0X") => (16, &digits[2..]),
                Some("0b" | "0B") => (2, &digits[2..]),
                Some("0o" | "0O") => (8, &digits[2..]),
                Some(two) if two.starts_with('0') => (8, &digits[1..]),
                _ => (10, digits),
            };
            let n = i64::from_str_radix(&without_underscores(digits), radix).unwrap_or_default();
            if negative { -n } else { n }
        }
        _ => 0,
    }
}

/// A number without its fraction. One that is too large becomes the least one, as on the processors that Go runs on here.
fn truncated(n: f64) -> i64 {
    if n.abs() < 9_223_372_036_854_775_808.0 { n as i64 } else { i64::MIN }
}

/// Digits without the `_` between them, as in `1_000`.
pub(in crate::functions) fn without_underscores(digits: &str) -> std::borrow::Cow<'_, str> {
    let between = digits.split('_').all(|part| !part.is_empty());
    if between { digits.replace('_', "").into() } else { digits.into() }
}

/// A value as a number, as Sprig makes one.
fn float(value: &Value) -> f64 {
    match value {
        Value::Float(n) => *n,
        Value::Str(text) => without_underscores(text).parse().unwrap_or_default(),
        other => int(other) as f64,
    }
}

/// Whether two values are the same, to their types.
fn same(a: &Value, b: &Value) -> bool {
    a.kind() == b.kind()
        && gotemplate::print::printf("%#v", std::slice::from_ref(a))
            == gotemplate::print::printf("%#v", std::slice::from_ref(b))
}
