//! Functions that make maps of pairs, and maps of maps.

use super::{Function, at, row, shapes::PAIRS};
use gotemplate::{
    Key, Map, Type, Value,
    types::{DICT, STRING_MAP},
};
use std::collections::BTreeMap;

/// `map[string]map[string]*dependency.KeyPair`
const BY_KEY: Type = Type::Map(&Type::Str, &PAIR_MAP);
const PAIR_MAP: Type = Type::Map(&Type::Str, &super::shapes::ONE_PAIR);

pub(super) const TABLE: &[Function] = &[
    row(
        "byKey",
        &[PAIRS],
        BY_KEY,
        "pairs by the first part of their key, then by the rest",
        (r#"{{ range $name, $pairs := tree "apps" | byKey }}{{ $name }} {{ end }}"#, ""),
        |_, a| Ok(by_key(at(a, 0))),
    ),
    row(
        "explode",
        &[PAIRS],
        DICT,
        "pairs as maps in maps, cut at each slash",
        (r#"{{ with tree "app" | explode }}{{ .db.host }}{{ end }}"#, ""),
        |_, a| {
            let pairs = at(a, 0).items().unwrap_or_default().iter();
            let pairs = pairs
                .map(|pair| (pair.field_text("Key").to_string(), pair.field("Value").unwrap_or(Value::Nil)));
            explode(pairs.collect()).map_err(|why| format!("explode: {why}"))
        },
    ),
    row(
        "explodeMap",
        &[DICT],
        DICT,
        "a map as maps in maps, its keys cut at each slash",
        (r#"{{ explodeMap (parseJSON "{\"a/b\":1}") }}"#, "map[a:map[b:1]]"),
        |_, a| {
            let Value::Map(map) = at(a, 0) else { return Ok(Value::dict::<&str>([])) };
            let entries = map.entries().into_iter();
            let entries = entries.map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), value));
            explode(entries.collect()).map_err(|why| format!("explodeMap: {why}"))
        },
    ),
    row(
        "mergeMap",
        &[DICT, DICT],
        DICT,
        "both maps in one, deeply; where both have a key, the first wins",
        (r#"{{ parseJSON "{\"a\":2,\"b\":2}" | mergeMap (parseJSON "{\"a\":1}") }}"#, "map[a:1 b:2]"),
        |_, a| merged(at(a, 0), at(a, 1), false, 0),
    ),
    row(
        "mergeMapWithOverride",
        &[DICT, DICT],
        DICT,
        "both maps in one, deeply; where both have a key, the second wins",
        (r#"{{ parseJSON "{\"a\":2}" | mergeMapWithOverride (parseJSON "{\"a\":1}") }}"#, "map[a:2]"),
        |_, a| merged(at(a, 0), at(a, 1), true, 0),
    ),
];

fn by_key(pairs: &Value) -> Value {
    let mut groups: BTreeMap<Key, BTreeMap<Key, Value>> = BTreeMap::new();
    for pair in pairs.items().unwrap_or_default() {
        let key = pair.field_text("Key");
        let Some((first, rest)) = key.split_once('/') else { continue };
        let renamed = renamed(pair, rest);
        groups.entry(Key::Str(first.into())).or_default().insert(Key::Str(rest.into()), renamed);
    }
    Value::map(BY_KEY, groups.into_iter().map(|(key, pairs)| (key, Value::map(PAIR_MAP, pairs))).collect())
}

/// The pair with what is left of its key.
fn renamed(pair: &Value, key: &str) -> Value {
    match pair {
        Value::Struct(record) => {
            let mut fields = record.fields.clone();
            if let Some(at) = record.shape.fields.iter().position(|field| field.name == "Key") {
                fields[at] = key.into();
            }
            Value::record(record.shape, record.pointer, fields)
        }
        Value::Map(map) => {
            let mut entries: BTreeMap<Key, Value> = map.entries().into_iter().collect();
            entries.insert(Key::Str("Key".into()), key.into());
            Value::map(map.kind, entries)
        }
        other => other.clone(),
    }
}

/// A tree that is built from paths.
enum Branch {
    Leaf(Value),
    Fork(BTreeMap<String, Branch>),
}

fn explode(mut pairs: Vec<(String, Value)>) -> Result<Value, String> {
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let mut root = BTreeMap::new();
    for (path, value) in pairs {
        let mut fork = &mut root;
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let Some((last, folders)) = parts.split_last() else { continue };
        if parts.len() > 100 {
            return Err(format!("{path}: too deep"));
        }
        for folder in folders {
            let branch = fork.entry((*folder).to_owned()).or_insert_with(|| Branch::Fork(BTreeMap::new()));
            match branch {
                Branch::Fork(inner) => fork = inner,
                Branch::Leaf(value) => {
                    let (path, folder) = (gotemplate::quote(&path, false), gotemplate::quote(folder, false));
                    let value = gotemplate::print::printf("%q", std::slice::from_ref(value));
                    return Err(format!("not a map: {path}: {folder} already has value {value}"));
                }
            }
        }
        if !path.ends_with('/') {
            fork.insert((*last).to_owned(), Branch::Leaf(value));
        }
    }
    Ok(grown(root))
}

fn grown(fork: BTreeMap<String, Branch>) -> Value {
    Value::dict(fork.into_iter().map(|(key, branch)| match branch {
        Branch::Leaf(value) => (key, value),
        Branch::Fork(inner) => (key, grown(inner)),
    }))
}

fn as_map(value: &Value) -> Option<&Map> {
    match value {
        Value::Map(map) if map.kind == DICT || map.kind == STRING_MAP => Some(map),
        _ => None,
    }
}

/// Both maps in one, deeply. An empty value gives way to any other.
pub(super) fn merged(base: &Value, other: &Value, other_wins: bool, depth: usize) -> Result<Value, String> {
    let (Some(first), Some(second)) = (as_map(base), as_map(other)) else { return Ok(base.clone()) };
    if depth > 100 {
        return Err("the maps lie too deep in each other".into());
    }
    let mut entries: BTreeMap<Key, Value> = first.entries().into_iter().collect();
    for (key, value) in second.entries() {
        let merged = match entries.get(&key) {
            Some(known) if as_map(known).is_some() && as_map(&value).is_some() => {
                merged(known, &value, other_wins, depth + 1)?
            }
            Some(known) if !other_wins && known.truth() => known.clone(),
            // Nothing at all is no value to add.
            _ if !other_wins && matches!(value, Value::Nil) => continue,
            _ => value,
        };
        entries.insert(key, merged);
    }
    Ok(Value::map(first.kind, entries))
}
