//! Maps and structs as TOML: plain keys first, then the tables, indented under each other.

use gotemplate::{Value, print::LONGEST};

/// A map or struct as TOML; any other value as it would stand behind a key.
pub(super) fn write(value: &Value) -> Result<String, String> {
    if !is_table(value) && !is_tables(value) && !value.is_nil() {
        return inline(value, 0);
    }
    let mut out = String::new();
    table(&mut out, &mut vec![], &entries(value)?)?;
    Ok(out.trim().to_owned())
}

type Entries = Vec<(String, Value)>;

fn entries(value: &Value) -> Result<Entries, String> {
    match value {
        Value::Map(map) => {
            let name = |key: &gotemplate::Key| {
                key.as_str().map(str::to_owned).ok_or("toml: cannot encode a map with non-string key type")
            };
            map.entries().into_iter().map(|(key, value)| Ok((name(&key)?, value))).collect()
        }
        Value::Struct(record) => {
            let fields = record.shape.fields.iter().zip(&record.fields).filter(|(field, _)| !field.hidden);
            Ok(fields.map(|(field, value)| (field.name.to_owned(), value.clone())).collect())
        }
        _ => Err("toml: top-level values must be Go maps or structs".into()),
    }
}

fn is_table(value: &Value) -> bool {
    matches!(value, Value::Map(_) | Value::Struct(_))
}

fn is_tables(value: &Value) -> bool {
    value.items().is_some_and(|items| !items.is_empty() && items.iter().all(is_table))
}

fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { text(name) }
}

fn table(out: &mut String, path: &mut Vec<String>, entries: &[(String, Value)]) -> Result<(), String> {
    if path.len() > 100 || out.len() > LONGEST {
        return Err("toml: the value is too large or too deep".into());
    }
    let indent = "  ".repeat(path.len());
    for (name, value) in entries.iter().filter(|(_, value)| !is_table(value) && !is_tables(value)) {
        // TOML has no null.
        if !value.is_nil() {
            out.push_str(&format!("{indent}{} = {}\n", key(name), inline(value, 0)?));
        }
    }
    for (name, value) in entries.iter().filter(|(_, value)| !value.is_nil()) {
        path.push(key(name));
        if is_table(value) {
            head(out, path, ("[", "]"));
            table(out, path, &self::entries(value)?)?;
        } else if is_tables(value) {
            for item in value.items().unwrap_or_default() {
                head(out, path, ("[[", "]]"));
                table(out, path, &self::entries(item)?)?;
            }
        }
        path.pop();
    }
    Ok(())
}

fn head(out: &mut String, path: &[String], (open, close): (&str, &str)) {
    // A blank line stands before each table of the first level, and before each of a list of tables.
    if (path.len() == 1 || open == "[[") && !out.is_empty() {
        out.push('\n');
    }
    out.push_str(&format!("{}{open}{}{close}\n", "  ".repeat(path.len() - 1), path.join(".")));
}

fn inline(value: &Value, depth: usize) -> Result<String, String> {
    if depth > 100 {
        return Err("toml: the value is too deep".into());
    }
    Ok(match value {
        Value::Str(string) => text(string),
        Value::Float(n) if n.is_finite() => {
            let plain = n.to_string();
            if plain.contains('.') { plain } else { format!("{plain}.0") }
        }
        Value::Float(n) => if n.is_nan() {
            "nan"
        } else if *n > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .into(),
        Value::Slice(slice) => {
            let items: Result<Vec<_>, _> = slice.items.iter().map(|item| inline(item, depth + 1)).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Map(_) | Value::Struct(_) => {
            let pair = |(name, value): &(String, Value)| {
                Ok(format!("{} = {}", key(name), inline(value, depth + 1)?))
            };
            let pairs: Result<Vec<String>, String> = entries(value)?.iter().map(pair).collect();
            format!("{{{}}}", pairs?.join(", "))
        }
        Value::Nil | Value::NilPtr(_) => return Err("toml: cannot encode array with nil element".into()),
        Value::Counter(..) | Value::Object(_) => {
            return Err(format!("toml: unsupported type: {}", value.kind_name()));
        }
        other => gotemplate::print::plain(other),
    })
}

fn text(string: &str) -> String {
    let mut out = String::from("\"");
    for c in string.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
