//! JSON as Go writes it: struct fields in their order, map keys sorted, `<`, `>` and `&` escaped unless told not to.

use gotemplate::{Key, Value, print::LONGEST};
use std::fmt::Write;

/// How JSON is written.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) pretty: bool,
    pub(super) escaped: bool,
}

/// A value as JSON.
pub(super) fn write(value: &Value, style: Style) -> Result<String, String> {
    let mut out = String::new();
    put(&mut out, value, style, 0)?;
    Ok(out)
}

fn newline(out: &mut String, style: Style, depth: usize) {
    if style.pretty {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

fn put(out: &mut String, value: &Value, style: Style, depth: usize) -> Result<(), String> {
    if depth > 200 || out.len() > LONGEST {
        return Err("json: the value is too large or too deep".into());
    }
    match value {
        Value::Nil | Value::NilPtr(_) => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(_, n) => _ = write!(out, "{n}"),
        Value::Uint(_, n) => _ = write!(out, "{n}"),
        Value::Float(n) => out.push_str(&number(*n)?),
        Value::Str(text) => string(out, text, style.escaped),
        Value::Slice(slice) if slice.nil => out.push_str("null"),
        Value::Map(map) if map.nil => out.push_str("null"),
        Value::Slice(slice) => {
            let items = slice.items.iter().map(|item| (None, item.clone())).collect();
            block(out, items, ('[', ']'), style, depth)?;
        }
        Value::Map(map) => {
            if map.kind == gotemplate::types::ANY_MAP {
                return Err(format!("json: unsupported type: {}", map.kind));
            }
            let name = |key: &Key| Some(gotemplate::print::plain(&key.value()));
            let mut items: Vec<_> = map.entries().into_iter().map(|(key, item)| (name(&key), item)).collect();
            items.sort_by(|a, b| a.0.cmp(&b.0));
            block(out, items, ('{', '}'), style, depth)?;
        }
        Value::Struct(record) => {
            let fields = record.shape.fields.iter().zip(&record.fields).filter(|(field, _)| !field.hidden);
            let items = fields.map(|(field, item)| (Some(field.name.to_owned()), item.clone())).collect();
            block(out, items, ('{', '}'), style, depth)?;
        }
        Value::Object(object) if object.kind() == "*semver.Version" => {
            string(out, &object.text(), style.escaped);
        }
        Value::Counter(..) | Value::Object(_) => {
            return Err(format!("json: unsupported type: {}", value.kind_name()));
        }
    }
    Ok(())
}

fn block(
    out: &mut String,
    items: Vec<(Option<String>, Value)>,
    (open, close): (char, char),
    style: Style,
    depth: usize,
) -> Result<(), String> {
    out.push(open);
    let empty = items.is_empty();
    for (n, (name, item)) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        newline(out, style, depth + 1);
        if let Some(name) = name {
            string(out, &name, style.escaped);
            out.push_str(if style.pretty { ": " } else { ":" });
        }
        put(out, &item, style, depth + 1)?;
    }
    if !empty {
        newline(out, style, depth);
    }
    out.push(close);
    Ok(())
}

/// Go writes an exponent below 1e-6 and from 1e21 on.
fn number(n: f64) -> Result<String, String> {
    if !n.is_finite() {
        return Err(format!("json: unsupported value: {}", gotemplate::print::float(n)));
    }
    let size = n.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{n:e}");
        return Ok(match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        });
    }
    Ok(format!("{n}"))
}

fn string(out: &mut String, text: &str, escaped: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '<' | '>' | '&' if escaped => _ = write!(out, "\\u{:04x}", c as u32),
            '\u{2028}' | '\u{2029}' => _ = write!(out, "\\u{:04x}", c as u32),
            c if (c as u32) < 0x20 => _ = write!(out, "\\u{:04x}", c as u32),
            c if octets::byte(c).is_some() => out.push_str("\\ufffd"),
            c => out.push(c),
        }
    }
    out.push('"');
}
