//! Functions of Consul's key-value store.

use super::{Pass, syntax, text};
use consul::Query;
use serde_json::Value;

pub(super) fn key(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let (found, query) = look(pass, arguments)?;
    if found == Some(Value::Null) {
        pass.missing.insert(format!("{query} (the key does not exist)"));
    }
    Ok(value(found).unwrap_or_else(|| "".into()))
}

pub(super) fn key_exists(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let (found, _) = look(pass, arguments)?;
    Ok(value(found).is_some().into())
}

pub(super) fn key_or_default(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let default = text(arguments, 1)?;
    let (found, _) = look(pass, arguments)?;
    Ok(value(found).filter(|value| value != "").unwrap_or_else(|| default.into()))
}

pub(super) fn ls(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    list(pass, arguments, |key| !key.is_empty() && !key.contains('/'))
}

pub(super) fn tree(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    list(pass, arguments, |key| key.rsplit('/').next().is_some_and(|last| !last.is_empty()))
}

/// The pair under a key: `None` while unanswered, null when there is none.
fn look(pass: &mut Pass, arguments: &[Value]) -> Result<(Option<Value>, Query), String> {
    let (key, scope) = syntax::path(text(arguments, 0)?)?;
    let query = Query::Key { key, scope };
    Ok((pass.ask(query.clone()).map(|pair| (*pair).clone()), query))
}

fn value(pair: Option<Value>) -> Option<Value> {
    pair?.get("Value").cloned()
}

fn list(pass: &mut Pass, arguments: &[Value], keep: fn(&str) -> bool) -> Result<Value, String> {
    let asked = text(arguments, 0)?;
    if asked.is_empty() {
        return Ok(Value::Array(vec![]));
    }
    let (prefix, scope) = syntax::path(asked)?;
    let pairs = pass.ask(Query::Tree { prefix, scope });
    let kept = pairs.iter().filter_map(|pairs| pairs.as_array()).flatten();
    Ok(kept.filter(|pair| pair["Key"].as_str().is_some_and(keep)).cloned().collect())
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
            (named("gone"), Value::Null),
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
            let arguments: Vec<_> = arguments.into_iter().map(Value::from).collect();
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
            list.as_array()
                .unwrap()
                .iter()
                .map(|pair| pair["Key"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("ls"), ["a"]);
        assert_eq!(names("tree"), ["a", "b/c"]);
    }
}
