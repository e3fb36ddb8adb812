//! Functions of Consul's key-value store.

use super::{Function, Pass, row, shapes::PAIRS, syntax, text_at};
use consul::Query;
use gotemplate::{Type, Value};
use serde_json::Value as Json;
use std::sync::Arc;

const TEXT: Type = Type::Str;

pub(super) const TABLE: &[Function] = &[
    row(
        "key",
        &[TEXT],
        TEXT,
        "value of a key; **nothing is written until the key exists**",
        (r#"{{ key "redis/maxconn@dc2" }}"#, ""),
        key,
    ),
    row(
        "keyExists",
        &[TEXT],
        Type::Bool,
        "whether a key exists",
        (r#"{{ if keyExists "redis/maintenance" }}…{{ end }}"#, ""),
        key_exists,
    ),
    row(
        "keyOrDefault",
        &[TEXT, TEXT],
        TEXT,
        "value of a key; the default when it is missing or empty",
        (r#"{{ keyOrDefault "redis/maxconn" "10000" }}"#, ""),
        key_or_default,
    ),
    row(
        "ls",
        &[TEXT],
        PAIRS,
        "the keys directly under a prefix: Key, Value, Path, …",
        (r#"{{ range ls "redis/settings" }}{{ .Key }} {{ .Value }}{{ end }}"#, ""),
        |pass, arguments| list(pass, arguments, one_level, false),
    ),
    row(
        "safeLs",
        &[TEXT],
        PAIRS,
        "the same; nothing is written while there are none",
        (r#"{{ range safeLs "redis/settings" }}{{ .Key }}{{ end }}"#, ""),
        |pass, arguments| list(pass, arguments, one_level, true),
    ),
    row(
        "tree",
        &[TEXT],
        PAIRS,
        "all keys under a prefix, folders left out",
        (r#"{{ range tree "redis" }}{{ .Key }} {{ .Value }}{{ end }}"#, ""),
        |pass, arguments| list(pass, arguments, any_level, false),
    ),
    row(
        "safeTree",
        &[TEXT],
        PAIRS,
        "the same; nothing is written while there are none",
        (r#"{{ range safeTree "redis" }}{{ .Key }}{{ end }}"#, ""),
        |pass, arguments| list(pass, arguments, any_level, true),
    ),
];

fn one_level(key: &str) -> bool {
    !key.is_empty() && !key.contains('/')
}

fn any_level(key: &str) -> bool {
    key.rsplit('/').next().is_some_and(|last| !last.is_empty())
}

fn key(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    if names_nothing(arguments) {
        return Ok("".into());
    }
    let (found, query) = look(pass, arguments)?;
    if found.as_deref().is_some_and(Json::is_null) {
        pass.missing.insert(format!("{query} (the key does not exist)"));
    }
    Ok(value(found.as_deref()).unwrap_or_default().into())
}

fn key_exists(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    if names_nothing(arguments) {
        return Ok(false.into());
    }
    let (found, _) = look(pass, arguments)?;
    Ok(value(found.as_deref()).is_some().into())
}

fn key_or_default(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    if names_nothing(arguments) {
        return Ok(text_at(arguments, 1).into());
    }
    let (found, _) = look(pass, arguments)?;
    let value = value(found.as_deref()).filter(|value| !value.is_empty());
    Ok(value.unwrap_or(text_at(arguments, 1)).into())
}

/// An empty name asks nothing: it may come out of a key that is not known yet.
fn names_nothing(arguments: &[Value]) -> bool {
    text_at(arguments, 0).is_empty()
}

/// The pair under a key: `None` while unanswered, null when there is none.
fn look(pass: &mut Pass, arguments: &[Value]) -> Result<(Option<Arc<Json>>, Query), String> {
    let (key, scope) = syntax::path("kv.get", text_at(arguments, 0))?;
    let query = Query::Key { key, scope };
    Ok((pass.ask(&query), query))
}

fn value(pair: Option<&Json>) -> Option<&str> {
    pair?.get("Value")?.as_str()
}

fn list(pass: &mut Pass, arguments: &[Value], keep: fn(&str) -> bool, safe: bool) -> Result<Value, String> {
    let asked = text_at(arguments, 0);
    if asked.is_empty() {
        return Ok(Value::slice(PAIRS, vec![]));
    }
    let (prefix, scope) = syntax::path("kv.list", asked)?;
    let query = Query::Tree { prefix: prefix.clone(), scope };
    let pairs = pass.list(&query, PAIRS);
    let kept: Vec<Value> = pairs
        .items()
        .unwrap_or_default()
        .iter()
        .filter(|pair| lies_under(&pair.field_text("Path"), &prefix) && keep(&pair.field_text("Key")))
        .cloned()
        .collect();
    if safe && kept.is_empty() {
        pass.missing.insert(format!("{query} (there are no keys)"));
    }
    Ok(Value::slice(PAIRS, kept))
}

/// Consul's prefixes are of letters: it tells of `redis-2/a` too when asked for `redis`.
fn lies_under(path: &str, prefix: &str) -> bool {
    let beneath = path.strip_prefix(prefix.trim_end_matches('/'));
    prefix.is_empty() || path == prefix || beneath.is_none_or(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{call, pass};
    use super::*;
    use consul::query::Scope;
    use serde_json::json;

    fn named(key: &str) -> Query {
        Query::Key { key: key.into(), scope: Scope::default() }
    }

    #[test]
    fn a_key_waits_to_exist_and_its_kin_do_not() {
        let facts = [
            (named("there"), json!({"Value": "x"})),
            (named("empty"), json!({"Value": ""})),
            (named("gone"), Json::Null),
        ];
        for (function, arguments, value, missing) in [
            ("key", vec!["there"], json!("x"), 0),
            ("key", vec!["/there"], json!("x"), 0),
            ("key", vec!["gone"], json!(""), 1),
            ("key", vec!["unanswered"], json!(""), 1),
            ("keyExists", vec!["there"], json!(true), 0),
            ("keyExists", vec!["gone"], json!(false), 0),
            ("keyExists", vec!["unanswered"], json!(false), 1),
            ("keyOrDefault", vec!["gone", "d"], json!("d"), 0),
            ("keyOrDefault", vec!["empty", "d"], json!("d"), 0),
            ("keyOrDefault", vec!["there", "d"], json!("x"), 0),
        ] {
            let mut pass = pass(&facts, &[]);
            let arguments: Vec<_> = arguments.into_iter().map(Json::from).collect();
            assert_eq!(call(&mut pass, function, &arguments), Ok(value), "{function} {arguments:?}");
            assert_eq!(pass.missing.len(), missing, "{function} {arguments:?}");
            assert_eq!(pass.asked.len(), 1);
        }
    }

    #[test]
    fn ls_takes_one_level_and_tree_all_but_folders() {
        let keys = ["", "a", "b/", "b/c"].map(|key| json!({"Key": key}));
        let query = Query::Tree { prefix: "p".into(), scope: Scope::default() };
        let facts = [(query, json!(keys))];
        let names = |function| {
            let list = call(&mut pass(&facts, &[]), function, &[json!("p")]).unwrap();
            let keys = list.as_array().unwrap().iter().map(|pair| pair["Key"].as_str().unwrap().to_owned());
            keys.collect::<Vec<_>>()
        };
        assert_eq!(names("ls"), ["a"]);
        assert_eq!(names("tree"), ["a", "b/c"]);
    }

    #[test]
    fn a_neighbour_whose_name_begins_alike_is_not_listed() {
        let paths = ["p", "p/a", "p/b/c", "p-2/a", "px"];
        for prefix in ["p", "p/"] {
            let pair = |path: &&str| json!({"Path": path, "Key": path.trim_start_matches(prefix).trim_start_matches('/')});
            let query = Query::Tree { prefix: prefix.into(), scope: Scope::default() };
            let facts = [(query, paths.iter().map(pair).collect::<Json>())];
            let found = |function| {
                let list = call(&mut pass(&facts, &[]), function, &[json!(prefix)]).unwrap();
                let paths =
                    list.as_array().unwrap().iter().map(|pair| pair["Path"].as_str().unwrap().to_owned());
                paths.collect::<Vec<_>>()
            };
            assert_eq!(found("ls"), ["p/a"], "{prefix}");
            assert_eq!(found("tree"), ["p/a", "p/b/c"], "{prefix}");
        }
    }

    #[test]
    fn a_slash_alone_is_all_keys_and_an_empty_name_asks_nothing() {
        let query = Query::Tree { prefix: String::new(), scope: Scope::default() };
        let facts = [(query, json!([{"Path": "a", "Key": "a"}, {"Path": "b/c", "Key": "b/c"}]))];
        for (function, found) in [("ls", 1), ("tree", 2)] {
            let list = call(&mut pass(&facts, &[]), function, &[json!("/")]).unwrap();
            assert_eq!(list.as_array().unwrap().len(), found, "{function}");
        }
        for (function, arguments, value) in [
            ("key", vec![""], json!("")),
            ("keyExists", vec![""], json!(false)),
            ("keyOrDefault", vec!["", "d"], json!("d")),
            ("ls", vec![""], json!([])),
        ] {
            let mut pass = pass(&[], &[]);
            let arguments: Vec<_> = arguments.into_iter().map(Json::from).collect();
            assert_eq!(call(&mut pass, function, &arguments), Ok(value), "{function}");
            assert!(pass.asked.is_empty() && pass.missing.is_empty(), "{function}");
        }
    }

    #[test]
    fn the_safe_ones_wait_for_a_key() {
        let query = Query::Tree { prefix: "p".into(), scope: Scope::default() };
        for (function, missing) in [("ls", 0), ("tree", 0), ("safeLs", 1), ("safeTree", 1)] {
            let mut pass = pass(&[(query.clone(), json!([]))], &[]);
            call(&mut pass, function, &[json!("p")]).unwrap();
            assert_eq!(pass.missing.len(), missing, "{function}");
        }
    }
}
