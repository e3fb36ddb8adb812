//! YAML as consul-template reads and writes it, which is YAML 1.1: `yes` is true and `010` is eight.

use gotemplate::{
    Key, Value,
    print::LONGEST,
    types::{ANY_MAP, LIST},
};
use saphyr_parser::{Event, Parser, ScalarStyle};
use std::collections::BTreeMap;

/// Aliases may make a text say more than it is long; this bounds what it may say.
const MOST: usize = 100_000;
const DEEPEST: usize = 100;

/// Reads the first document.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: BTreeMap::new(), made: 0 };
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok(Value::Nil),
            Event::DocumentStart(_) => {
                let event = reader.next()?;
                return Ok(reader.value(event, 0)?.0);
            }
            _ => {}
        }
    }
}

struct Reader<'t> {
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: BTreeMap<usize, (Value, usize)>,
    made: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Event<'t>, String> {
        match self.events.next() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(format!("yaml: line {}: {}", error.marker().line(), error.info())),
            None => Ok(Event::StreamEnd),
        }
    }

    /// A value, and how many pieces it is made of.
    fn value(&mut self, event: Event<'t>, depth: usize) -> Result<(Value, usize), String> {
        self.made += 1;
        if self.made > MOST || depth > DEEPEST {
            return Err("yaml: the document is too large or too deep".into());
        }
        let (value, size, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_ref().map(|tag| tag.suffix.as_str());
                (scalar(&text, style == ScalarStyle::Plain, tag), 1, anchor)
            }
            Event::Alias(anchor) => {
                let (value, size) = self.anchors.get(&anchor).cloned().ok_or("yaml: unknown anchor")?;
                self.made += size;
                return Ok((value, size));
            }
            Event::SequenceStart(anchor, _) => {
                let (mut items, mut size) = (vec![], 1);
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        event => {
                            let (item, of) = self.value(event, depth + 1)?;
                            items.push(item);
                            size += of;
                        }
                    }
                }
                (Value::slice(LIST, items), size, anchor)
            }
            Event::MappingStart(anchor, _) => {
                let (value, size) = self.mapping(depth)?;
                (value, size, anchor)
            }
            _ => return Ok((Value::Nil, 1)),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok((value, size))
    }

    fn mapping(&mut self, depth: usize) -> Result<(Value, usize), String> {
        let (mut entries, mut size) = (BTreeMap::new(), 1);
        let mut merges = vec![];
        loop {
            let event = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let (key, _) = self.value(event, depth + 1)?;
            let event = self.next()?;
            let (value, of) = self.value(event, depth + 1)?;
            size += of + 1;
            if merge {
                merges.push(value);
                continue;
            }
            let key = Key::of(&key).ok_or("yaml: a map cannot be a key")?;
            if entries.insert(key.clone(), value).is_some() {
                let key = gotemplate::print::plain(&key.value());
                return Err(format!(
                    "yaml: unmarshal errors:\n  key {} already set in map",
                    gotemplate::quote(&key, false)
                ));
            }
        }
        for merge in merges {
            let maps = match &merge {
                Value::Slice(slice) => slice.items.clone(),
                other => vec![other.clone()],
            };
            for map in maps {
                let Value::Map(map) = map else {
                    return Err("yaml: map merge requires map or sequence of maps as the value".into());
                };
                for (key, value) in map.entries() {
                    entries.entry(key).or_insert(value);
                }
            }
        }
        Ok((Value::map(ANY_MAP, entries), size))
    }
}

fn scalar(text: &str, plain: bool, tag: Option<&str>) -> Value {
    match tag {
        Some("str") => return text.into(),
        Some("float") => return Value::Float(text.replace('_', "").parse().unwrap_or_default()),
        Some("int" | "bool" | "null") => return resolved(text),
        _ => {}
    }
    if plain { resolved(text) } else { text.into() }
}

/// What a text without quotes means.
fn resolved(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Nil,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            return Value::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    number(text).unwrap_or_else(|| text.into())
}

fn number(text: &str) -> Option<Value> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return None;
    }
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let (radix, body) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) => {
            (8, &digits[1..])
        }
        _ => (10, digits),
    };
    if !body.starts_with(['+', '-']) {
        if let Ok(n) = i64::from_str_radix(&format!("{sign}{body}"), radix) {
            return Some(Value::int(n));
        }
        if let Ok(n) = u64::from_str_radix(&format!("{sign}{body}"), radix) {
            return Some(Value::Uint(gotemplate::UintKind::U64, n));
        }
    }
    let float = digits.bytes().all(|b| b.is_ascii_digit() || b"eE+-.".contains(&b))
        && digits.bytes().any(|b| b.is_ascii_digit());
    if float { plain.parse().ok().map(Value::Float) } else { None }
}

/// A value as YAML, without the line's end after it.
pub(super) fn write(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    put(&mut out, value, 0, false)?;
    Ok(out.trim().to_owned())
}

fn put(out: &mut String, value: &Value, indent: usize, in_list: bool) -> Result<(), String> {
    if indent > 2 * DEEPEST || out.len() > LONGEST {
        return Err("yaml: the value is too large or too deep".into());
    }
    let pad = |out: &mut String, n: usize| out.extend(std::iter::repeat_n(' ', n));
    match value {
        Value::Slice(slice) if slice.items.is_empty() => out.push_str("[]\n"),
        Value::Slice(slice) => {
            for (n, item) in slice.items.iter().enumerate() {
                if n > 0 || !in_list {
                    pad(out, indent);
                }
                out.push_str("- ");
                put(out, item, indent + 2, true)?;
            }
        }
        Value::Map(_) | Value::Struct(_) => {
            let entries = entries(value);
            if entries.is_empty() {
                out.push_str("{}\n");
            }
            for (n, (key, item)) in entries.iter().enumerate() {
                if n > 0 || !in_list {
                    pad(out, indent);
                }
                out.push_str(&inline(key));
                out.push(':');
                match item {
                    Value::Slice(slice) if !slice.items.is_empty() => {
                        out.push('\n');
                        put(out, item, indent, false)?;
                    }
                    Value::Map(_) | Value::Struct(_) if !self::entries(item).is_empty() => {
                        out.push('\n');
                        put(out, item, indent + 2, false)?;
                    }
                    _ => {
                        out.push(' ');
                        put(out, item, indent + 2, true)?;
                    }
                }
            }
        }
        Value::Str(text)
            if text.contains('\n') && !text.starts_with([' ', '\n', '\t']) && printable(text) =>
        {
            let keep = if text.ends_with("\n\n") {
                "+"
            } else if text.ends_with('\n') {
                ""
            } else {
                "-"
            };
            out.push_str(&format!("|{keep}\n"));
            let body = text.strip_suffix('\n').unwrap_or(text);
            for line in body.split('\n') {
                if !line.is_empty() {
                    pad(out, indent.max(2));
                    out.push_str(line);
                }
                out.push('\n');
            }
        }
        other => {
            out.push_str(&inline(other));
            out.push('\n');
        }
    }
    Ok(())
}

fn printable(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control())
}

/// A map's entries, or a struct's: yaml.v2 writes field names in small letters.
fn entries(value: &Value) -> Vec<(Value, Value)> {
    match value {
        Value::Map(map) => map.entries().into_iter().map(|(key, value)| (key.value(), value)).collect(),
        Value::Struct(record) => {
            let fields = record.shape.fields.iter().zip(&record.fields).filter(|(field, _)| !field.hidden);
            fields.map(|(field, value)| (field.name.to_lowercase().into(), value.clone())).collect()
        }
        _ => vec![],
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Nil | Value::NilPtr(_) => "null".into(),
        Value::Float(n) if n.is_nan() => ".nan".into(),
        Value::Float(n) if n.is_infinite() => if *n > 0.0 { ".inf" } else { "-.inf" }.into(),
        Value::Str(text) => quoted(text),
        Value::Slice(_) => "[]".into(),
        other => gotemplate::print::plain(other),
    }
}

/// A text, in quotes where it would mean something else without.
fn quoted(text: &str) -> String {
    if !printable(text) || text.contains(['\n', '\t']) {
        return gotemplate::quote(text, false);
    }
    let means_another = !matches!(resolved(text), Value::Str(_)) || looks_dated(text);
    if means_another {
        return format!("\"{text}\"");
    }
    let indicator = text.starts_with(['-', '?', ':']) && (text.len() == 1 || text[1..].starts_with(' '));
    let special = text.starts_with([
        ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', '=', ' ',
    ]) || text.starts_with("---")
        || text.starts_with("...")
        || text.ends_with([' ', ':'])
        || text.contains(": ")
        || text.contains(" #")
        || indicator;
    if special { format!("'{}'", text.replace('\'', "''")) } else { text.to_owned() }
}

fn looks_dated(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[5..7].iter().all(u8::is_ascii_digit)
        && bytes[7] == b'-'
        && bytes[8..10].iter().all(u8::is_ascii_digit)
}
