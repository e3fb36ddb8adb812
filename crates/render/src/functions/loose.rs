//! Between Handlebars, whose values are JSON, and functions that know Go's types.

use gotemplate::{
    Key, Type, Value,
    types::{DICT, LIST},
};
use serde_json::{Map as JsonMap, Value as Json};

/// JSON as a value; a number without a fraction is an int.
#[must_use]
pub fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(n) => match n.as_i64() {
            Some(n) => Value::int(n),
            None => Value::Float(n.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::text(text.as_str()),
        Json::Array(items) => Value::slice(LIST, items.iter().map(from_json).collect()),
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, json)| (Key::Str(key.as_str().into()), from_json(json)));
            Value::map(DICT, entries.collect())
        }
    }
}

/// A value as JSON, with at most `room` pieces; a map or list that is nil is an empty one.
pub fn to_json(value: &Value, room: &mut usize, depth: usize) -> Result<Json, String> {
    *room = room.checked_sub(1).ok_or("the value is too large to hand on")?;
    if depth > 200 {
        return Err("the value lies too deep to hand on".into());
    }
    Ok(match value {
        Value::Nil | Value::NilPtr(_) => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(_, n) => (*n).into(),
        Value::Uint(_, n) => (*n).into(),
        // A number is a number: 5.0 is written 5.
        Value::Float(n) if n.fract() == 0.0 && n.abs() < 9e15 => (*n as i64).into(),
        Value::Float(n) => serde_json::Number::from_f64(*n).map_or(Json::Null, Json::Number),
        Value::Str(text) => Json::String(text.to_string()),
        Value::Slice(slice) => {
            let items = slice.items.iter().map(|item| to_json(item, room, depth + 1));
            Json::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Map(map) => {
            let mut entries = JsonMap::new();
            for (key, item) in map.entries() {
                let key = gotemplate::print::plain(&key.value());
                entries.insert(key, to_json(&item, room, depth + 1)?);
            }
            Json::Object(entries)
        }
        Value::Struct(record) => {
            let mut entries = JsonMap::new();
            for (field, item) in record.shape.fields.iter().zip(&record.fields) {
                entries.insert(field.name.into(), to_json(item, room, depth + 1)?);
            }
            Json::Object(entries)
        }
        Value::Counter(from, to) => {
            if to.saturating_sub(*from) > 1_000_000 {
                return Err("that many numbers are too many".into());
            }
            Json::Array((*from..*to).map(Json::from).collect())
        }
        Value::Object(object) => Json::String(object.text()),
    })
}

/// A row of a list as JSON; where only these names are wanted of it, with these fields alone.
pub fn row_to_json(row: &Value, names: Option<&[&str]>, room: &mut usize) -> Result<Json, String> {
    let (Value::Struct(record), Some(names)) = (row, names) else { return to_json(row, room, 1) };
    let fields = record.shape.fields.iter().zip(&record.fields);
    let wanted = fields.filter(|(field, _)| names.contains(&field.name));
    let entries = wanted.map(|(field, item)| Ok((field.name.to_owned(), to_json(item, room, 2)?)));
    Ok(Json::Object(entries.collect::<Result<_, String>>()?))
}

/// An argument as the function wants it: what carries the same meaning is taken.
pub(super) fn bend(value: Value, wanted: Type, n: usize) -> Result<Value, String> {
    let under = wanted.under();
    if value.kind().is_some_and(|kind| kind.fits(wanted)) || under == Type::Any {
        return Ok(value);
    }
    let shown = gotemplate::print::plain(&value);
    let not = |what: &str| Err(format!("argument {n} must be {what}, not `{shown}`"));
    match (under, &value) {
        (Type::Float, Value::Int(_, n)) => Ok(Value::Float(*n as f64)),
        (Type::Int(kind), Value::Float(n)) if n.fract() == 0.0 && n.abs() < 9e15 => {
            Ok(Value::Int(kind, *n as i64))
        }
        (Type::Int(kind), Value::Int(_, n)) => Ok(Value::Int(kind, *n)),
        (Type::Slice(Type::Str), Value::Slice(slice)) => {
            match slice.items.iter().all(|i| i.as_str().is_some()) {
                true => Ok(Value::slice(wanted, slice.items.clone())),
                false => not("a list of texts"),
            }
        }
        (Type::Slice(_), Value::Slice(slice)) => Ok(Value::slice(wanted, slice.items.clone())),
        (Type::Map(..), Value::Map(_)) | (Type::Opaque(_), _) => Ok(value),
        (Type::Struct(_) | Type::Ptr(_), Value::Map(_)) => Ok(value),
        (Type::Str, _) => not("text"),
        (Type::Bool, _) => not("true or false"),
        (Type::Int(_) | Type::Uint(_), _) => not("a whole number"),
        (Type::Float, _) => not("a number"),
        (Type::Slice(_), _) => not("a list"),
        _ => not("a map"),
    }
}
