//! Functions about what is in a list, and that sort a list's items by what they carry.

use super::{Function, at, open_row, row, shapes::SERVICES, text_at};
use gotemplate::{
    Key, Type, Value,
    types::{INT, LIST},
};
use std::collections::BTreeMap;

const ANY: Type = Type::Any;

pub(super) const TABLE: &[Function] = &[
    row(
        "in",
        &[ANY, ANY],
        Type::Bool,
        "whether a list has an item, or a text a part",
        (r#"{{ in "abc" "b" }}"#, "true"),
        |_, a| Ok(has(at(a, 0), at(a, 1)).into()),
    ),
    row(
        "contains",
        &[ANY, ANY],
        Type::Bool,
        "the same with the list last, for pipes",
        (r#"{{ split "," "a,b" | contains "b" }}"#, "true"),
        |_, a| Ok(has(at(a, 1), at(a, 0)).into()),
    ),
    row(
        "containsAll",
        &[LIST, ANY],
        Type::Bool,
        "whether a list has all of these",
        (ALL.0, "true"),
        |_, a| Ok(needles(a).all(|found| found).into()),
    ),
    row(
        "containsAny",
        &[LIST, ANY],
        Type::Bool,
        "whether a list has any of these",
        (ALL.1, "false"),
        |_, a| Ok(needles(a).any(|found| found).into()),
    ),
    row(
        "containsNone",
        &[LIST, ANY],
        Type::Bool,
        "whether a list has none of these",
        (ALL.2, "true"),
        |_, a| Ok(needles(a).all(|found| !found).into()),
    ),
    row(
        "containsNotAll",
        &[LIST, ANY],
        Type::Bool,
        "whether a list lacks one of these",
        (ALL.3, "true"),
        |_, a| Ok(needles(a).any(|found| !found).into()),
    ),
    row(
        "byTag",
        &[ANY],
        Type::Map(&Type::Str, &LIST),
        "services by each of their tags",
        (r#"{{ range $tag, $all := service "web" | byTag }}{{ $tag }} {{ end }}"#, ""),
        |_, a| by_tag(at(a, 0)),
    ),
    row(
        "byPort",
        &[ANY],
        Type::Map(&INT, &LIST),
        "services by their port",
        (r#"{{ range $port, $all := service "web" | byPort }}{{ $port }} {{ end }}"#, ""),
        |_, a| by_port(at(a, 0)),
    ),
    row(
        "byMeta",
        &[Type::Str, SERVICES],
        Type::Map(&Type::Str, &SERVICES),
        "services by their values of these Meta keys, joined with `_`; `key|int` sorts by number",
        (r#"{{ range $role, $all := service "redis" | byMeta "role" }}{{ $role }} {{ end }}"#, ""),
        |_, a| by_meta(text_at(a, 0), at(a, 1)),
    ),
    open_row(
        "loop",
        (&[], ANY),
        Type::Opaque("numbers"),
        "numbers to range over: from 0, or from the first, to before the last",
        ("{{ range loop 1 4 }}{{ . }}{{ end }}", "123"),
        |_, a| looped(a),
    ),
];

const ALL: (&str, &str, &str, &str) = (
    r#"{{ containsAll (parseJSON "[\"a\"]") (split "," "a,b") }}"#,
    r#"{{ containsAny (parseJSON "[\"c\"]") (split "," "a,b") }}"#,
    r#"{{ containsNone (parseJSON "[\"c\"]") (split "," "a,b") }}"#,
    r#"{{ containsNotAll (parseJSON "[\"a\",\"c\"]") (split "," "a,b") }}"#,
);

/// As consul-template: numbers equal only numbers of their own kind.
pub(super) fn has(list: &Value, item: &Value) -> bool {
    match list {
        Value::Str(text) => item.as_str().is_some_and(|part| text.contains(part)),
        Value::Slice(slice) => slice.items.iter().any(|other| match (other, item) {
            (Value::Int(_, a), Value::Int(_, b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Str(a), Value::Str(b)) => a == b,
            _ => false,
        }),
        _ => false,
    }
}

fn needles(arguments: &[Value]) -> impl Iterator<Item = bool> {
    at(arguments, 0).items().unwrap_or_default().iter().map(|needle| has(at(arguments, 1), needle))
}

type Groups = BTreeMap<Key, Vec<Value>>;

fn grouped(kind: Type, item: Type, groups: Groups) -> Value {
    Value::map(kind, groups.into_iter().map(|(key, items)| (key, Value::slice(item, items))).collect())
}

/// Whether something is a list of what Consul knows: structs, or objects where a dialect has no structs.
fn is_rows(list: &Value) -> bool {
    list.items()
        .is_some_and(|items| items.iter().all(|item| matches!(item, Value::Struct(_) | Value::Map(_))))
}

fn by_tag(list: &Value) -> Result<Value, String> {
    if !matches!(list, Value::Nil) && !is_rows(list) {
        return Err(format!("byTag: wrong argument type {}", list.kind_name()));
    }
    let mut groups = Groups::new();
    for row in list.items().unwrap_or_default() {
        let tags = row.field("Tags").or_else(|| row.field("ServiceTags")).unwrap_or(Value::Nil);
        for tag in tags.items().unwrap_or_default() {
            if let Some(key) = Key::of(tag) {
                groups.entry(key).or_default().push(row.clone());
            }
        }
    }
    Ok(grouped(Type::Map(&Type::Str, &LIST), LIST, groups))
}

fn by_port(list: &Value) -> Result<Value, String> {
    let mut groups = Groups::new();
    for row in list.items().unwrap_or_default() {
        match row.field("Port").or_else(|| row.field("ServicePort")) {
            Some(port) => groups.entry(Key::of(&port).unwrap_or(Key::Int(0))).or_default().push(row.clone()),
            None => return Err(format!("byPort: wrong argument type {}", list.kind_name())),
        }
    }
    if !matches!(list, Value::Nil | Value::Slice(_)) {
        return Err(format!("byPort: wrong argument type {}", list.kind_name()));
    }
    Ok(grouped(Type::Map(&INT, &LIST), LIST, groups))
}

fn by_meta(keys: &str, list: &Value) -> Result<Value, String> {
    let mut groups = Groups::new();
    for row in list.items().unwrap_or_default() {
        let meta = row.field("ServiceMeta").unwrap_or(Value::Nil);
        let mut parts = vec![];
        for key in keys.split(',') {
            let (name, number) = key.strip_suffix("|int").map_or((key, false), |name| (name, true));
            let value = meta.field_text(name);
            let part = match (value.is_empty(), number) {
                (true, true) => "00000".to_owned(),
                (true, false) => format!("_no_{name}_"),
                (false, false) => value.to_string(),
                (false, true) => match value.parse::<i64>() {
                    Ok(n) => format!("{n:05}"),
                    Err(_) => {
                        let quoted = gotemplate::quote(&value, false);
                        return Err(format!(
                            "cannot parse {value} as number : strconv.Atoi: parsing {quoted}: invalid syntax"
                        ));
                    }
                },
            };
            parts.push(
                part.chars()
                    .map(|c| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '_' })
                    .collect::<String>(),
            );
        }
        groups.entry(Key::Str(parts.join("_").into())).or_default().push(row.clone());
    }
    Ok(grouped(Type::Map(&Type::Str, &SERVICES), SERVICES, groups))
}

fn looped(arguments: &[Value]) -> Result<Value, String> {
    let number = |value: &Value| match value {
        Value::Int(_, n) => Ok(*n),
        Value::Uint(_, n) => i64::try_from(*n).map_err(|e| e.to_string()),
        Value::Str(text) => super::convert::parse_int(text),
        other => Err(format!("loop: bad argument type: {}", other.kind_name())),
    };
    match arguments {
        [to] => Ok(Value::Counter(0, number(to)?)),
        [from, to] => Ok(Value::Counter(number(from)?, number(to)?)),
        many => Err(format!("loop: wrong number of arguments, expected 1 or 2, but got {}", many.len())),
    }
}
