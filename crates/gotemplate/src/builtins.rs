//! The functions that belong to Go's template language itself.

use crate::{
    host::Signature,
    print::{self, plain},
    quote::printable,
    types::{Type, UintKind},
    value::{Key, Value},
};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    And,
    Or,
    Not,
    Len,
    Index,
    Slice,
    Print,
    Printf,
    Println,
    Html,
    Js,
    UrlQuery,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Call,
    ExecuteTemplate,
}

const ANY: Type = Type::Any;

const fn of(name: &'static str, takes: &'static [Type], more: Option<Type>) -> Signature {
    Signature { name, takes, more }
}

static TABLE: [(Builtin, Signature); 20] = [
    (Builtin::And, of("and", &[ANY], Some(ANY))),
    (Builtin::Or, of("or", &[ANY], Some(ANY))),
    (Builtin::Not, of("not", &[ANY], None)),
    (Builtin::Len, of("len", &[ANY], None)),
    (Builtin::Index, of("index", &[ANY], Some(ANY))),
    (Builtin::Slice, of("slice", &[ANY], Some(ANY))),
    (Builtin::Print, of("print", &[], Some(ANY))),
    (Builtin::Printf, of("printf", &[Type::Str], Some(ANY))),
    (Builtin::Println, of("println", &[], Some(ANY))),
    (Builtin::Html, of("html", &[], Some(ANY))),
    (Builtin::Js, of("js", &[], Some(ANY))),
    (Builtin::UrlQuery, of("urlquery", &[], Some(ANY))),
    (Builtin::Eq, of("eq", &[ANY], Some(ANY))),
    (Builtin::Ne, of("ne", &[ANY, ANY], None)),
    (Builtin::Lt, of("lt", &[ANY, ANY], None)),
    (Builtin::Le, of("le", &[ANY, ANY], None)),
    (Builtin::Gt, of("gt", &[ANY, ANY], None)),
    (Builtin::Ge, of("ge", &[ANY, ANY], None)),
    (Builtin::Call, of("call", &[ANY], Some(ANY))),
    (Builtin::ExecuteTemplate, of("executeTemplate", &[Type::Str], Some(ANY))),
];

pub(crate) fn signature(name: &str) -> Option<&'static Signature> {
    TABLE.iter().map(|(_, signature)| signature).find(|signature| signature.name == name)
}

/// Which of the language's own functions this is.
pub(crate) fn find(function: &'static Signature) -> Option<Builtin> {
    TABLE.iter().find(|(_, signature)| std::ptr::eq(signature, function)).map(|(builtin, _)| *builtin)
}

/// Runs a function of the language by name; `None` when it has none of that name. For other dialects.
#[must_use]
pub fn run(name: &str, values: &[Value]) -> Option<Result<Value, String>> {
    let (builtin, signature) = TABLE.iter().find(|(_, signature)| signature.name == name)?;
    if values.len() < signature.takes.len() {
        return Some(Err(format!("wants at least {} arguments", signature.takes.len())));
    }
    Some(match builtin {
        Builtin::And | Builtin::Or => {
            let or = *builtin == Builtin::Or;
            let decides = values.iter().find(|value| value.truth() == or).or(values.last());
            Ok(decides.cloned().unwrap_or(Value::Nil))
        }
        _ => call(*builtin, values),
    })
}

pub(crate) fn call(builtin: Builtin, values: &[Value]) -> Result<Value, String> {
    let at = |n: usize| values.get(n).unwrap_or(&Value::Nil);
    Ok(match builtin {
        Builtin::Not => Value::Bool(!at(0).truth()),
        Builtin::Len => Value::int(length(at(0))?),
        Builtin::Index => index(at(0), &values[1..])?,
        Builtin::Slice => slice(at(0), &values[1..])?,
        Builtin::Print => Value::text(print::print(values)),
        Builtin::Println => Value::text(print::println(values)),
        Builtin::Printf => Value::text(print::printf(at(0).as_str().unwrap_or_default(), &values[1..])),
        Builtin::Html => Value::text(escaped(values, html)),
        Builtin::Js => Value::text(escaped(values, js)),
        Builtin::UrlQuery => Value::text(escaped(values, urlquery)),
        Builtin::Eq => Value::Bool(equal(at(0), &values[1..])?),
        Builtin::Ne => Value::Bool(!equal(at(0), &values[1..])?),
        Builtin::Lt => Value::Bool(less(at(0), at(1))?),
        Builtin::Le => Value::Bool(less(at(0), at(1))? || equal(at(0), &values[1..])?),
        Builtin::Gt => Value::Bool(!(less(at(0), at(1))? || equal(at(0), &values[1..])?)),
        Builtin::Ge => Value::Bool(!less(at(0), at(1))?),
        Builtin::Call => match at(0) {
            Value::Nil => return Err("call of nil".into()),
            other => return Err(format!("non-function {} of type {}", plain(other), other.kind_name())),
        },
        // The evaluator runs these itself.
        Builtin::And | Builtin::Or | Builtin::ExecuteTemplate => Value::Nil,
    })
}

fn length(value: &Value) -> Result<i64, String> {
    Ok(match value {
        Value::Str(text) => octets::bytes(text).len(),
        Value::Slice(slice) => slice.items.len(),
        Value::Map(map) => map.len(),
        Value::Counter(..) => 0,
        Value::NilPtr(_) => return Err("len of nil pointer".into()),
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        other => return Err(format!("len of type {}", other.kind_name().trim_start_matches('*'))),
    } as i64)
}

fn position(index: &Value, most: usize) -> Result<usize, String> {
    let n = match index {
        Value::Int(_, n) => *n,
        Value::Uint(_, n) => *n as i64,
        Value::Nil => return Err("cannot index slice/array with nil".into()),
        other => return Err(format!("cannot index slice/array with type {}", other.kind_name())),
    };
    usize::try_from(n).ok().filter(|n| *n <= most).ok_or_else(|| format!("index out of range: {n}"))
}

fn index(item: &Value, indexes: &[Value]) -> Result<Value, String> {
    let mut item = item.clone();
    if let Value::Nil = item {
        return Err("index of untyped nil".into());
    }
    for index in indexes {
        item = match &item {
            Value::Str(text) => {
                let bytes = octets::bytes(text);
                match bytes.get(position(index, bytes.len())?) {
                    Some(byte) => Value::Uint(UintKind::U8, u64::from(*byte)),
                    None => return Err("reflect: string index out of range".into()),
                }
            }
            Value::Slice(slice) => match slice.items.get(position(index, slice.items.len())?) {
                Some(value) => value.clone(),
                None => return Err("reflect: slice index out of range".into()),
            },
            Value::Map(map) => {
                let key = prepared(index, map.kind)?;
                map.get(&key).unwrap_or_else(|| map.item().zero())
            }
            Value::Nil | Value::NilPtr(_) => return Err("index of nil pointer".into()),
            other => {
                return Err(format!(
                    "can't index item of type {}",
                    other.kind_name().trim_start_matches('*')
                ));
            }
        };
    }
    Ok(item)
}

/// An index as a key of a map of type `kind`.
fn prepared(index: &Value, kind: Type) -> Result<Key, String> {
    let Type::Map(wanted, _) = kind.under() else { return Err("not a map".into()) };
    let Some(given) = index.kind() else {
        return match wanted {
            Type::Any => Ok(Key::Nil),
            _ => Err(format!("value is nil; should be of type {wanted}")),
        };
    };
    let numbers = |kind| matches!(kind, Type::Int(_) | Type::Uint(_));
    if !(given.fits(*wanted) || numbers(given) && numbers(wanted.under())) {
        return Err(format!("value has type {given}; should be {wanted}"));
    }
    Key::of(index).ok_or_else(|| format!("value has type {given}; should be {wanted}"))
}

fn slice(item: &Value, indexes: &[Value]) -> Result<Value, String> {
    let size = match item {
        Value::Str(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Value::Str(text) => octets::bytes(text).len(),
        Value::Slice(slice) => slice.items.len(),
        Value::Nil => return Err("slice of untyped nil".into()),
        Value::NilPtr(_) => return Err("slice of nil pointer".into()),
        other => return Err(format!("can't slice item of type {}", other.kind_name())),
    };
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let mut bounds = [0, size, size];
    for (n, index) in indexes.iter().enumerate() {
        bounds[n] = position(index, size)?;
    }
    for (from, to) in [(bounds[0], bounds[1]), (bounds[1], bounds[2])] {
        if from > to {
            return Err(format!("invalid slice index: {from} > {to}"));
        }
    }
    match item {
        Value::Str(text) => {
            let bytes = octets::bytes(text);
            Ok(Value::text(octets::text(bytes.get(bounds[0]..bounds[1]).unwrap_or_default())))
        }
        Value::Slice(slice) => Ok(Value::slice(slice.kind, slice.items[bounds[0]..bounds[1]].to_vec())),
        _ => Err(format!("can't slice item of type {}", item.kind_name())),
    }
}

/// Whether the first equals any of the others; Go compares no number with one of another kind.
pub(crate) fn equal(first: &Value, others: &[Value]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        let same = match (first, other) {
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(_, a), Value::Int(_, b)) => a == b,
            (Value::Uint(_, a), Value::Uint(_, b)) => a == b,
            (Value::Int(_, a), Value::Uint(_, b)) | (Value::Uint(_, b), Value::Int(_, a)) => {
                u64::try_from(*a).is_ok_and(|a| a == *b)
            }
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Str(a), Value::Str(b)) => a == b,
            (Value::Nil, other) | (other, Value::Nil) => other.is_nil(),
            (a, b) => unlike(a, b)?,
        };
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Values of which at least one is no basic one.
fn unlike(a: &Value, b: &Value) -> Result<bool, String> {
    let basic = |value: &Value| {
        matches!(value, Value::Bool(_) | Value::Int(..) | Value::Uint(..) | Value::Float(_) | Value::Str(_))
    };
    let (a_kind, b_kind) = (a.kind_name(), b.kind_name());
    if basic(a) || basic(b) {
        return Err(format!("incompatible types for comparison: {a_kind} and {b_kind}"));
    }
    let same_sort = matches!(
        (a, b),
        (Value::Slice(_), Value::Slice(_))
            | (Value::Map(_), Value::Map(_))
            | (Value::Struct(_) | Value::NilPtr(_), Value::Struct(_) | Value::NilPtr(_))
            | (Value::Object(_), Value::Object(_))
            | (Value::Counter(..), Value::Counter(..))
    );
    if !same_sort {
        return Err(format!("non-comparable types {}: {a_kind}, {b_kind}: {}", plain(a), plain(b)));
    }
    if a.is_nil() || b.is_nil() {
        return Ok(a.is_nil() == b.is_nil());
    }
    match (a, b) {
        (Value::Struct(a), Value::Struct(b)) => Ok(std::ptr::eq(a.as_ref(), b.as_ref())),
        _ => Err(format!("non-comparable type {}: {b_kind}", plain(b))),
    }
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    Ok(match (a, b) {
        (Value::Int(_, a), Value::Int(_, b)) => a < b,
        (Value::Uint(_, a), Value::Uint(_, b)) => a < b,
        (Value::Int(_, a), Value::Uint(_, b)) => u64::try_from(*a).map_or(true, |a| a < *b),
        (Value::Uint(_, a), Value::Int(_, b)) => u64::try_from(*b).is_ok_and(|b| *a < b),
        (Value::Float(a), Value::Float(b)) => a < b,
        (Value::Str(a), Value::Str(b)) => a < b,
        (Value::Bool(_), Value::Bool(_)) => return Err("invalid type for comparison".into()),
        _ => {
            let basic = |value: &Value| {
                matches!(
                    value,
                    Value::Bool(_) | Value::Int(..) | Value::Uint(..) | Value::Float(_) | Value::Str(_)
                )
            };
            if !basic(a) || !basic(b) {
                return Err("invalid type for comparison".into());
            }
            return Err(format!(
                "incompatible types for comparison: {} and {}",
                a.kind_name(),
                b.kind_name()
            ));
        }
    })
}

/// As an action prints them: nothing is `<no value>`, a pointer what it points to.
fn escaped(values: &[Value], escape: fn(&str) -> String) -> String {
    let shown: Vec<Value> = values
        .iter()
        .map(|value| match value {
            Value::Nil => Value::text("<no value>"),
            Value::Struct(_) => Value::text(plain(value).trim_start_matches('&')),
            value => value.clone(),
        })
        .collect();
    escape(&print::print(&shown))
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", c as u32)),
            c if (c as u32) < 0x20 || !c.is_ascii() && !printable(c) => {
                out.push_str(&format!("\\u{:04X}", c as u32));
            }
            c => out.push(c),
        }
    }
    out
}

fn urlquery(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in &*octets::bytes(text) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
