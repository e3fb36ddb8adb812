//! consul-template's scratch pad, which lives as long as one filling, and what helps to look at values.

use super::{Function, at, open_row, row, text_at, time};
use gotemplate::{
    Key, Map, Object, Type, Value,
    types::{DICT, LIST},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

const PAD: Type = Type::Opaque("*template.Scratch");

pub(super) const TABLE: &[Function] = &[
    open_row(
        "scratch",
        (&[], Type::Any),
        PAD,
        "a pad for values while a template is filled: `.Key k`, `.Get k`, `.Set k v`, `.SetX k v`, `.MapSet m k v`, `.MapSetX m k v`, `.MapValues m`; in Handlebars the method is the first argument",
        (r#"{{ scratch.Set "n" 2 }}{{ scratch.Get "n" }}"#, "2"),
        |pass, arguments| {
            let pad = Arc::clone(&pass.scratch);
            match arguments.split_first() {
                None => Ok(Value::Object(pad)),
                Some((method, rest)) => {
                    let method = method.as_str().unwrap_or_default();
                    pad.call(method, rest).unwrap_or_else(|| Err(format!("it has no method {method:?}")))
                }
            }
        },
    ),
    open_row(
        "timestamp",
        (&[], Type::Str),
        Type::Str,
        "the time in UTC: RFC 3339, `unix`, or as Go's layout says; a text that shows it changes at every filling",
        (r#"{{ timestamp "2006-01-02" }}"#, ""),
        |pass, arguments| {
            let now = pass.setting.outside.now();
            match arguments {
                [] => Ok(time::format(now, "2006-01-02T15:04:05Z07:00").into()),
                [layout] if layout.as_str() == Some("unix") => Ok(now.0.to_string().into()),
                [_] => Ok(time::format(now, text_at(arguments, 0)).into()),
                many => Err(format!(
                    "timestamp: wrong number of arguments, expected 0 or 1, but got {}",
                    many.len()
                )),
            }
        },
    ),
    open_row(
        "spew_sdump",
        (&[], Type::Any),
        Type::Str,
        "a value with all its types, for a look while a template is written",
        (r#"{{ spew_sdump "a" }}"#, "(string) (len=1) \"a\"\n"),
        |_, arguments| {
            let mut out = String::new();
            for argument in arguments {
                dump(&mut out, argument, 0, false);
                out.push('\n');
            }
            Ok(out.into())
        },
    ),
    open_row(
        "spew_sprintf",
        (&[Type::Str], Type::Any),
        Type::Str,
        "printf",
        (r#"{{ spew_sprintf "%d" 1 }}"#, "1"),
        |_, arguments| Ok(gotemplate::print::printf(text_at(arguments, 0), &arguments[1..]).into()),
    ),
    row("sprig_hello", &[], Type::Str, "a greeting", ("{{ sprig_hello }}", "Hello!"), |_, _| {
        Ok("Hello!".into())
    }),
];

/// Values by name.
#[derive(Default)]
pub(super) struct Scratch(Mutex<BTreeMap<String, Value>>);

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch")
    }
}

impl Scratch {
    fn values(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Empties it, the maps in it first: one may hold itself.
    pub(super) fn clear(&self) {
        let taken = std::mem::take(&mut *self.values());
        for value in taken.values() {
            if let Value::Map(map) = value {
                map.clear();
            }
        }
    }

    fn map(&self, name: &str) -> Result<Arc<Map>, String> {
        let mut values = self.values();
        let value = values.entry(name.to_owned()).or_insert_with(|| Value::map(DICT, BTreeMap::new()));
        match value {
            Value::Map(map) if map.kind == DICT => Ok(Arc::clone(map)),
            _ => Err(format!("{} is not a map", gotemplate::quote(name, false))),
        }
    }
}

impl Object for Scratch {
    fn kind(&self) -> &'static str {
        "*template.Scratch"
    }

    fn text(&self) -> String {
        "scratch".into()
    }

    fn call(&self, method: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let wants = match method {
            "Key" | "Get" | "MapValues" => 1,
            "Set" | "SetX" => 2,
            "MapSet" | "MapSetX" => 3,
            _ => return None,
        };
        if arguments.len() != wants {
            let got = arguments.len();
            return Some(Err(format!("wrong number of args for {method}: want {wants} got {got}")));
        }
        if let Some(other) = arguments[..wants.clamp(1, 2)]
            .iter()
            .take(if wants == 3 { 2 } else { 1 })
            .find(|a| a.as_str().is_none())
        {
            return Some(Err(format!("expected string; found {}", gotemplate::print::plain(other))));
        }
        Some(self.run(method, text_at(arguments, 0), arguments))
    }
}

impl Scratch {
    fn run(&self, method: &str, name: &str, arguments: &[Value]) -> Result<Value, String> {
        let fail = |why: String| format!("error calling {method}: {why}");
        match method {
            "Key" => Ok(Value::Bool(self.values().contains_key(name))),
            "Get" => Ok(self.values().get(name).cloned().unwrap_or(Value::Nil)),
            "Set" => {
                self.values().insert(name.to_owned(), at(arguments, 1).clone());
                Ok("".into())
            }
            "SetX" => {
                self.values().entry(name.to_owned()).or_insert_with(|| at(arguments, 1).clone());
                Ok("".into())
            }
            "MapSet" | "MapSetX" => {
                let map = self.map(name).map_err(fail)?;
                let key = Key::Str(text_at(arguments, 1).into());
                if method == "MapSet" || map.get(&key).is_none() {
                    map.set(key, at(arguments, 2).clone());
                }
                Ok("".into())
            }
            _ => {
                let map = match self.values().get(name) {
                    None => return Ok(Value::slice(LIST, vec![])),
                    Some(Value::Map(map)) => Arc::clone(map),
                    Some(_) => return Ok(Value::slice(LIST, vec![])),
                };
                Ok(Value::slice(LIST, map.entries().into_iter().map(|(_, value)| value).collect()))
            }
        }
    }
}

/// A size, which go-spew leaves out where it is nothing.
fn size(name: &str, size: usize) -> String {
    if size == 0 { String::new() } else { format!("({name}={size}) ") }
}

/// go-spew's form of a value.
fn dump(out: &mut String, value: &Value, depth: usize, inner: bool) {
    let pad = |out: &mut String, depth: usize| out.push_str(&" ".repeat(depth));
    if !inner {
        pad(out, depth);
    }
    if depth > 50 || out.len() > 1 << 20 {
        return out.push('…');
    }
    match value {
        Value::Nil => out.push_str("(interface {}) <nil>"),
        Value::NilPtr(shape) => out.push_str(&format!("(*{})(<nil>)", shape.name)),
        Value::Str(text) => {
            out.push_str(&format!("(string) {}{}", size("len", text.len()), gotemplate::quote(text, false)));
        }
        Value::Slice(slice) if slice.nil => out.push_str(&format!("({}) <nil>", slice.kind)),
        Value::Map(map) if map.nil => out.push_str(&format!("({}) <nil>", map.kind)),
        Value::Slice(slice) => {
            let n = slice.items.len();
            let sizes = if n == 0 { String::new() } else { format!("(len={n} cap={n}) ") };
            out.push_str(&format!("({}) {sizes}{{\n", slice.kind));
            for (i, item) in slice.items.iter().enumerate() {
                dump(out, item, depth + 1, false);
                out.push_str(if i + 1 < n { ",\n" } else { "\n" });
            }
            pad(out, depth);
            out.push('}');
        }
        Value::Map(map) => {
            let entries = map.entries();
            out.push_str(&format!("({}) {}{{\n", map.kind, size("len", entries.len())));
            for (i, (key, item)) in entries.iter().enumerate() {
                dump(out, &key.value(), depth + 1, false);
                out.push_str(": ");
                dump(out, item, depth + 1, true);
                out.push_str(if i + 1 < entries.len() { ",\n" } else { "\n" });
            }
            pad(out, depth);
            out.push('}');
        }
        Value::Struct(record) => {
            let pointer = if record.pointer { "*" } else { "" };
            out.push_str(&format!("({pointer}{}) {{\n", record.shape.name));
            let shown: Vec<_> =
                record.shape.fields.iter().zip(&record.fields).filter(|(f, _)| !f.hidden).collect();
            for (i, (field, item)) in shown.iter().enumerate() {
                pad(out, depth + 1);
                out.push_str(&format!("{}: ", field.name));
                dump(out, item, depth + 1, true);
                out.push_str(if i + 1 < shown.len() { ",\n" } else { "\n" });
            }
            pad(out, depth);
            out.push('}');
        }
        other => out.push_str(&format!("({}) {}", other.kind_name(), gotemplate::print::plain(other))),
    }
}
