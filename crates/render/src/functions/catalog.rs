//! Functions of Consul's catalog: services with their health, nodes, and the two that know roles.

use super::{Pass, syntax, text};
use consul::{
    Instance, Query,
    instance::{Election, elect},
    wire,
};
use serde_json::Value;

pub(super) fn service(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    // As in consul-template, further arguments are further filters.
    let asked = match text(arguments, 1)? {
        "" => text(arguments, 0)?.to_owned(),
        filter => format!("{}|{filter}", text(arguments, 0)?),
    };
    if asked.is_empty() {
        return Ok(Value::Array(vec![]));
    }
    let (query, filter) = syntax::service(&asked)?;
    let rows = pass.ask(query);
    let kept = rows.iter().filter_map(|rows| rows.as_array()).flatten();
    Ok(kept
        .filter(|row| row["Status"].as_str().is_some_and(|status| filter.keeps(status)))
        .cloned()
        .collect())
}

pub(super) fn master(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    Ok(believed(pass, arguments)?.into_iter().next().unwrap_or_default())
}

pub(super) fn primaries(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    Ok(Value::Array(believed(pass, arguments)?))
}

/// Who is believed to be master: nobody or one, or several where the service may have them.
fn believed(pass: &mut Pass, arguments: &[Value]) -> Result<Vec<Value>, String> {
    let Some((name, rows)) = passing(pass, arguments)? else { return Ok(vec![]) };
    let instances: Vec<Instance> = rows.iter().map(wire::instance).collect();
    let claims: Vec<usize> = (0..rows.len()).filter(|&n| instances[n].claims_master()).collect();
    let row = |n: usize| rows[claims[n]].clone();
    match elect(&claims.iter().map(|&n| &instances[n]).collect::<Vec<_>>()) {
        Election::None => Ok(vec![]),
        Election::One(n) => Ok(vec![row(n)]),
        Election::Many(all) => Ok(all.into_iter().map(row).collect()),
        Election::Tie(tied) => {
            let ids: Vec<_> = tied.iter().map(|&n| instances[claims[n]].id.as_str()).collect();
            pass.warnings.insert(format!(
                "{} claim to be master of {name} and none has a higher epoch, so none is believed and writes are \
                 refused; demote all but one, or let Sentinel decide",
                ids.join(" and ")
            ));
            Ok(vec![])
        }
    }
}

pub(super) fn replicas(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let Some((_, rows)) = passing(pass, arguments)? else { return Ok(Value::Array(vec![])) };
    Ok(rows.into_iter().filter(|row| wire::instance(row).claims_replica()).collect())
}

/// The passing instances of the service that is named by the first argument; `None` while unanswered.
fn passing(pass: &mut Pass, arguments: &[Value]) -> Result<Option<(String, Vec<Value>)>, String> {
    let asked = text(arguments, 0)?;
    if asked.contains('|') {
        return Err(format!("`{asked}`: only passing instances have a role; leave the filter out"));
    }
    let (query, _) = syntax::service(asked)?;
    let rows = pass.ask(query).and_then(|rows| rows.as_array().cloned());
    Ok(rows.map(|rows| (asked.to_owned(), rows)))
}

pub(super) fn services(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let (_, _, scope) = syntax::node(text(arguments, 0)?)?;
    Ok(pass.ask(Query::Services(scope)).map_or(Value::Array(vec![]), |list| (*list).clone()))
}

pub(super) fn nodes(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let (_, near, scope) = syntax::node(text(arguments, 0)?)?;
    Ok(pass.ask(Query::Nodes { near, scope }).map_or(Value::Array(vec![]), |list| (*list).clone()))
}

pub(super) fn node(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let (name, _, scope) = syntax::node(text(arguments, 0)?)?;
    Ok(pass.ask(Query::Node { name, scope }).map_or(Value::Null, |node| (*node).clone()))
}

pub(super) fn datacenters(pass: &mut Pass, _: &[Value]) -> Result<Value, String> {
    Ok(pass.ask(Query::Datacenters).map_or(Value::Array(vec![]), |list| (*list).clone()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{call, pass};
    use super::*;
    use serde_json::json;

    fn row(id: &str, tag: &str, epoch: Option<&str>) -> Value {
        let meta = epoch.map_or(json!({}), |epoch| json!({"epoch": epoch}));
        json!({"Node": "n", "ID": id, "Tags": [tag], "Address": "10.0.0.1", "Port": 6379,
               "ServiceMeta": meta, "Status": "passing"})
    }

    fn asked(rows: Value, function: &str, argument: &str) -> (Value, Pass) {
        let mut pass = pass(&[(Query::health("redis", true), rows)], &[]);
        (call(&mut pass, function, &[json!(argument)]).unwrap(), pass)
    }

    #[test]
    fn the_master_is_the_claim_with_the_highest_epoch() {
        for (rows, master, warns) in [
            (json!([]), json!(null), false),
            (json!([row("a", "replica", None)]), json!(null), false),
            (json!([row("a", "master", None), row("b", "replica", None)]), json!("a"), false),
            (json!([row("a", "master", Some("9")), row("b", "master", Some("10"))]), json!("b"), false),
            (json!([row("a", "master", Some("1")), row("b", "master", None)]), json!("a"), false),
            (json!([row("a", "master", Some("1")), row("b", "master", Some("1"))]), json!(null), true),
            (json!([row("a", "master", None), row("b", "master", None)]), json!(null), true),
        ] {
            let (value, pass) = asked(rows.clone(), "master", "redis");
            assert_eq!(value.get("ID").cloned().unwrap_or_default(), master, "{rows}");
            assert_eq!(!pass.warnings.is_empty(), warns, "{rows}");
        }
    }

    #[test]
    fn a_service_of_many_has_many_primaries() {
        let many = |id: &str| {
            let mut row = row(id, "rw", None);
            row["ServiceMeta"] = json!({"role": "primary", "cardinality": "many"});
            row
        };
        for (rows, primaries, first) in [
            (json!([many("a"), many("b"), row("c", "replica", None)]), json!(["a", "b"]), json!("a")),
            (json!([row("a", "leader", None)]), json!(["a"]), json!("a")),
            (json!([many("a"), row("b", "master", None)]), json!([]), json!(null)),
            (json!([]), json!([]), json!(null)),
        ] {
            let (value, pass) = asked(rows.clone(), "primaries", "redis");
            let ids: Vec<_> = value.as_array().unwrap().iter().map(|row| row["ID"].clone()).collect();
            assert_eq!(json!(ids), primaries, "{rows}");
            assert_eq!(!pass.warnings.is_empty(), rows.as_array().unwrap().len() > ids.len() + 1, "{rows}");
            assert_eq!(asked(rows, "master", "redis").0.get("ID").cloned().unwrap_or_default(), first);
        }
    }

    #[test]
    fn replicas_are_by_tag_and_share_the_masters_question() {
        let rows = json!([row("a", "master", None), row("b", "replica", None), row("c", "replica", None)]);
        let (value, pass) = asked(rows, "replicas", "redis");
        assert_eq!(value.as_array().unwrap().len(), 2);
        assert_eq!(pass.asked.len(), 1);
        assert!(pass.missing.is_empty());
    }

    #[test]
    fn an_unanswered_question_gives_the_empty_value_of_its_kind() {
        for (function, argument, empty) in [
            ("service", "web", json!([])),
            ("master", "web", json!(null)),
            ("replicas", "web", json!([])),
            ("services", "", json!([])),
            ("nodes", "@dc2", json!([])),
            ("node", "n1", json!(null)),
        ] {
            let (value, pass) = asked(json!([]), function, argument);
            assert_eq!((value, pass.missing.len(), pass.asked.len()), (empty, 1, 1), "{function}");
        }
    }
}
