//! Sprig's functions of maps. As in Go, `set`, `unset` and `merge` change the map that they are given.

use super::strval;
use crate::functions::{Function, Pass, at, maps::merged, open_row, row, text_at};
use gotemplate::{
    Key, Map, Type, Value,
    types::{DICT, LIST},
};
use std::sync::Arc;

const ANY: Type = Type::Any;
const T: Type = Type::Str;

pub(super) const TABLE: &[Function] = &[
    open_row(
        "sprig_dict",
        (&[], ANY),
        DICT,
        "a map of these keys and values",
        (r#"{{ sprig_dict "a" 1 }}"#, "map[a:1]"),
        |_, a| {
            let pairs = a
                .chunks(2)
                .map(|pair| (strval(at(pair, 0)), pair.get(1).cloned().unwrap_or_else(|| "".into())));
            Ok(Value::dict(pairs))
        },
    ),
    row(
        "sprig_get",
        &[DICT, T],
        ANY,
        "the value of a key; empty when it is not there",
        (r#"{{ sprig_get (sprig_dict "a" 1) "a" }}"#, "1"),
        |_, a| Ok(at(a, 0).field(text_at(a, 1)).unwrap_or_else(|| "".into())),
    ),
    row(
        "sprig_set",
        &[DICT, T, ANY],
        DICT,
        "the map, which from now on has this value",
        (r#"{{ sprig_set (sprig_dict "a" 1) "b" 2 }}"#, "map[a:1 b:2]"),
        |pass, a| {
            let map = map(at(a, 0))?;
            pass.change(map);
            map.set(Key::Str(text_at(a, 1).into()), at(a, 2).clone());
            Ok(at(a, 0).clone())
        },
    ),
    row(
        "sprig_unset",
        &[DICT, T],
        DICT,
        "the map, which from now on has no such key",
        (r#"{{ sprig_unset (sprig_dict "a" 1) "a" }}"#, "map[]"),
        |_, a| {
            map(at(a, 0))?.remove(&Key::Str(text_at(a, 1).into()));
            Ok(at(a, 0).clone())
        },
    ),
    row(
        "sprig_hasKey",
        &[DICT, T],
        Type::Bool,
        "whether it has a key",
        (r#"{{ sprig_hasKey (sprig_dict "a" 1) "a" }}"#, "true"),
        |_, a| Ok(at(a, 0).field(text_at(a, 1)).is_some().into()),
    ),
    open_row(
        "sprig_pluck",
        (&[T], DICT),
        LIST,
        "the values of a key in each map",
        (r#"{{ sprig_pluck "a" (sprig_dict "a" 1) (sprig_dict "a" 2) }}"#, "[1 2]"),
        |_, a| Ok(Value::list(a.iter().skip(1).filter_map(|map| map.field(text_at(a, 0))).collect())),
    ),
    open_row(
        "sprig_keys",
        (&[], DICT),
        Type::Slice(&Type::Str),
        "the keys, sorted",
        (r#"{{ sprig_keys (sprig_dict "b" 1 "a" 2) }}"#, "[a b]"),
        |_, a| {
            let keys = a.iter().filter_map(|value| map(value).ok()).flat_map(|map| map.entries());
            Ok(Value::strings(keys.map(|(key, _)| strval(&key.value()))))
        },
    ),
    row(
        "sprig_values",
        &[DICT],
        LIST,
        "the values, by their keys",
        (r#"{{ sprig_values (sprig_dict "b" 1 "a" 2) }}"#, "[2 1]"),
        |_, a| Ok(Value::list(map(at(a, 0))?.entries().into_iter().map(|(_, value)| value).collect())),
    ),
    open_row(
        "sprig_pick",
        (&[DICT], T),
        DICT,
        "only these keys",
        (r#"{{ sprig_pick (sprig_dict "a" 1 "b" 2) "a" }}"#, "map[a:1]"),
        |_, a| chosen(a, true),
    ),
    open_row(
        "sprig_omit",
        (&[DICT], T),
        DICT,
        "all but these keys",
        (r#"{{ sprig_omit (sprig_dict "a" 1 "b" 2) "a" }}"#, "map[b:2]"),
        |_, a| chosen(a, false),
    ),
    open_row(
        "sprig_merge",
        (&[DICT], DICT),
        DICT,
        "the first with what the others have besides",
        (r#"{{ sprig_merge (sprig_dict "a" 1) (sprig_dict "a" 2 "b" 2) }}"#, "map[a:1 b:2]"),
        |pass, a| merge(pass, a, false),
    ),
    open_row(
        "sprig_mustMerge",
        (&[DICT], DICT),
        DICT,
        "the same",
        (r#"{{ sprig_mustMerge (sprig_dict "a" 1) (sprig_dict "b" 2) }}"#, "map[a:1 b:2]"),
        |pass, a| merge(pass, a, false),
    ),
    open_row(
        "sprig_mergeOverwrite",
        (&[DICT], DICT),
        DICT,
        "the same; the later ones win",
        (r#"{{ sprig_mergeOverwrite (sprig_dict "a" 1) (sprig_dict "a" 2) }}"#, "map[a:2]"),
        |pass, a| merge(pass, a, true),
    ),
    open_row(
        "sprig_mustMergeOverwrite",
        (&[DICT], DICT),
        DICT,
        "the same",
        (r#"{{ sprig_mustMergeOverwrite (sprig_dict "a" 1) (sprig_dict "a" 2) }}"#, "map[a:2]"),
        |pass, a| merge(pass, a, true),
    ),
    open_row(
        "sprig_dig",
        (&[T], ANY),
        ANY,
        "a value in maps in maps: keys, the default, the map",
        (r#"{{ sprig_dig "a" "b" "none" (sprig_dict "a" (sprig_dict "b" 1)) }}"#, "1"),
        |_, a| dig(a),
    ),
    row(
        "sprig_deepCopy",
        &[ANY],
        ANY,
        "a copy that shares nothing",
        (r#"{{ sprig_deepCopy (sprig_dict "a" 1) }}"#, "map[a:1]"),
        |_, a| copy(at(a, 0), &mut 1_000_000, 0),
    ),
    row(
        "sprig_mustDeepCopy",
        &[ANY],
        ANY,
        "the same",
        (r#"{{ sprig_mustDeepCopy (sprig_dict "a" 1) }}"#, "map[a:1]"),
        |_, a| copy(at(a, 0), &mut 1_000_000, 0),
    ),
];

fn map(value: &Value) -> Result<&Arc<Map>, String> {
    match value {
        Value::Map(map) if !map.nil => Ok(map),
        Value::Map(_) => Err("assignment to entry in nil map".into()),
        other => Err(format!("{} is no map", other.kind_name())),
    }
}

fn chosen(a: &[Value], wanted: bool) -> Result<Value, String> {
    let named = |key: &Key| a[1..].iter().any(|name| name.as_str() == key.as_str());
    let kept = map(at(a, 0))?.entries().into_iter().filter(|(key, _)| named(key) == wanted);
    Ok(Value::map(DICT, kept.collect()))
}

fn merge(pass: &mut Pass, a: &[Value], other_wins: bool) -> Result<Value, String> {
    let target = map(at(a, 0))?;
    pass.change(target);
    for other in &a[1..] {
        if let Value::Map(both) = merged(at(a, 0), other, other_wins, 0)? {
            both.entries().into_iter().for_each(|(key, value)| target.set(key, value));
        }
    }
    Ok(at(a, 0).clone())
}

fn dig(a: &[Value]) -> Result<Value, String> {
    let [keys @ .., default, map] = a else { return Err("dig needs at least three arguments".into()) };
    if keys.is_empty() {
        return Err("dig needs at least three arguments".into());
    }
    let mut value = map.clone();
    for key in keys {
        match value.field(&strval(key)) {
            Some(inner) => value = inner,
            None => return Ok(default.clone()),
        }
    }
    Ok(value)
}

fn copy(value: &Value, room: &mut usize, depth: usize) -> Result<Value, String> {
    *room = room.checked_sub(1).ok_or("the value is too large to copy")?;
    if depth > 200 {
        return Err("the value lies too deep to copy".into());
    }
    Ok(match value {
        Value::Slice(slice) => {
            let items: Result<Vec<_>, String> =
                slice.items.iter().map(|item| copy(item, room, depth + 1)).collect();
            Value::slice(slice.kind, items?)
        }
        Value::Map(map) => {
            let mut entries = std::collections::BTreeMap::new();
            for (key, item) in map.entries() {
                entries.insert(key, copy(&item, room, depth + 1)?);
            }
            Value::map(map.kind, entries)
        }
        other => other.clone(),
    })
}
