//! Functions of Consul's catalog: services with their health, nodes, and the two that know roles.

use super::{
    Function, Pass, open_row, row,
    shapes::{CHECKS, NODES, ONE_NODE, ONE_SERVICE, SERVICES, SNIPPETS, TAGS},
    syntax, text_at,
};
use consul::{
    Instance, Query,
    election::{Election, elect, present},
    wire,
};
use gotemplate::{Type, Value, types::STRINGS};

const TEXT: Type = Type::Str;

pub(super) const TABLE: &[Function] = &[
    open_row(
        "service",
        (&[], TEXT),
        SERVICES,
        "instances of a service, only passing ones unless a filter says otherwise; further arguments select more closely",
        (
            r#"{{ range service "v1.web@dc2~_agent|passing,warning" }}{{ .Address }}:{{ .Port }} {{ end }}"#,
            "",
        ),
        |pass, arguments| service(pass, arguments, false),
    ),
    open_row(
        "connect",
        (&[], TEXT),
        SERVICES,
        "the same for those that speak the service mesh's protocol for the service",
        (r#"{{ range connect "web" }}{{ .Address }}{{ end }}"#, ""),
        |pass, arguments| service(pass, arguments, true),
    ),
    row(
        "master",
        &[TEXT],
        ONE_SERVICE,
        "the one passing instance that is master (of several, the one with the highest epoch), or nothing",
        (r#"{{ with master "redis" }}{{ .Address }}:{{ .Port }}{{ end }}"#, ""),
        master,
    ),
    row(
        "primaries",
        &[TEXT],
        SERVICES,
        "the master, or all masters where the service may have many",
        (r#"{{ range primaries "redis" }}{{ .Address }}:{{ .Port }}{{ end }}"#, ""),
        primaries,
    ),
    row(
        "replicas",
        &[TEXT],
        SERVICES,
        "the passing instances that are replicas",
        (r#"{{ range replicas "redis" }}{{ .Address }}:{{ .Port }}{{ end }}"#, ""),
        replicas,
    ),
    open_row(
        "services",
        (&[], TEXT),
        SNIPPETS,
        "all services, whatever their health: Name, Tags",
        (r#"{{ range services "@dc2" }}{{ .Name }} {{ end }}"#, ""),
        services,
    ),
    open_row(
        "nodes",
        (&[], TEXT),
        NODES,
        "all nodes",
        (r#"{{ range nodes "@dc2~_agent" }}{{ .Node }} {{ .Address }}{{ end }}"#, ""),
        nodes,
    ),
    open_row(
        "node",
        (&[], TEXT),
        ONE_NODE,
        "one node (without a name the agent's own) and its services: Node, Services",
        (r#"{{ with node "vm-1" }}{{ .Node.Address }}{{ end }}"#, ""),
        node,
    ),
    open_row(
        "datacenters",
        (&[], Type::Bool),
        STRINGS,
        "names of the datacenters that Consul knows",
        (r#"{{ range datacenters }}{{ . }} {{ end }}"#, ""),
        datacenters,
    ),
    row(
        "preparedQuery",
        &[TEXT],
        SERVICES,
        "instances that a prepared query of Consul finds, in its order; asked every 15 s",
        (r#"{{ range preparedQuery "nearest-redis@dc2" }}{{ .Address }}{{ end }}"#, ""),
        prepared,
    ),
];

fn service(pass: &mut Pass, arguments: &[Value], connect: bool) -> Result<Value, String> {
    let words: Vec<&str> = arguments.iter().filter_map(Value::as_str).collect();
    let named = words.iter().any(|word| word.starts_with("name="));
    // A name that is not known yet, as a key's value may be: whatever is asked of it, there is nothing.
    if words.first().is_none_or(|first| first.is_empty()) && !named {
        return Ok(Value::slice(SERVICES, vec![]));
    }
    let (query, filter) = syntax::service(&words, connect)?;
    let all = pass.list(&query, SERVICES);
    if filter.keeps_all() {
        return Ok(all);
    }
    let wanted = |row: &&Value| {
        let tags = row.field("Tags");
        let tags: Vec<&str> =
            tags.iter().filter_map(Value::items).flatten().filter_map(Value::as_str).collect();
        let meta = row.field("ServiceMeta");
        let meta = |key: &str| Some(meta.as_ref()?.field(key)?.as_str()?.to_owned());
        filter.keeps(&row.field_text("Status"), &tags, meta)
    };
    let kept = all.items().unwrap_or_default().iter().filter(wanted).cloned();
    Ok(Value::slice(SERVICES, kept.collect()))
}

fn master(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    Ok(believed(pass, arguments)?.into_iter().next().unwrap_or(Value::Nil))
}

fn primaries(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    Ok(Value::slice(SERVICES, believed(pass, arguments)?))
}

/// Who is believed to be master: nobody or one, or several where the service may have them.
fn believed(pass: &mut Pass, arguments: &[Value]) -> Result<Vec<Value>, String> {
    let Some((name, rows, instances)) = passing(pass, arguments)? else { return Ok(vec![]) };
    let claims: Vec<usize> = (0..instances.len()).filter(|&n| instances[n].claims_master()).collect();
    let row = |n: usize| rows.items().and_then(|rows| rows.get(claims[n])).cloned();
    let followed = pass.trail.followed.get(&name).copied();
    match elect(&claims.iter().map(|&n| &instances[n]).collect::<Vec<_>>(), followed) {
        Election::None => Ok(vec![]),
        Election::One(n) => {
            pass.trail.follows.extend(instances[claims[n]].epoch().map(|epoch| (name, epoch)));
            Ok(row(n).into_iter().collect())
        }
        Election::Former(n) => {
            let (id, epoch) = (&instances[claims[n]].id, instances[claims[n]].epoch());
            let epoch = epoch.map_or("no epoch".into(), |epoch| format!("epoch {epoch}"));
            let later = followed.unwrap_or_default();
            pass.warnings.insert(format!(
                "{id} claims to be master of {name} in {epoch}, and one in epoch {later} was followed before, so it is \
                 not believed and writes are refused; if epochs did begin anew, run `rolecall epoch reset` with this \
                 program's configuration"
            ));
            pass.trail.former = true;
            Ok(vec![])
        }
        Election::Many(all) => Ok(all.into_iter().filter_map(row).collect()),
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

fn replicas(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let Some((_, rows, instances)) = passing(pass, arguments)? else {
        return Ok(Value::slice(SERVICES, vec![]));
    };
    let rows = rows.items().unwrap_or_default().iter().zip(instances);
    let kept = rows.filter(|(_, instance)| instance.claims_replica()).map(|(row, _)| row.clone());
    Ok(Value::slice(SERVICES, kept.collect()))
}

type Passing = (String, Value, Vec<Instance>);

/// The passing instances of the service that is named by the first argument; `None` while unanswered.
fn passing(pass: &mut Pass, arguments: &[Value]) -> Result<Option<Passing>, String> {
    let asked = text_at(arguments, 0);
    if asked.contains('|') {
        return Err(format!("`{asked}`: only passing instances have a role; leave the filter out"));
    }
    let (query, _) = syntax::service(&[asked], false)?;
    let Some(instances) = pass.ask(&query).map(|rows| wire::instances(&rows)) else { return Ok(None) };
    let (rows, here) = (pass.list(&query, SERVICES), present(&instances));
    let rows = here.iter().filter_map(|&n| rows.items()?.get(n).cloned()).collect();
    let instances = here.into_iter().map(|n| instances[n].clone()).collect();
    Ok(Some((asked.to_owned(), Value::slice(SERVICES, rows), instances)))
}

fn services(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let scope = syntax::scope("catalog.services", text_at(arguments, 0))?;
    Ok(pass.list(&Query::Services(scope), SNIPPETS))
}

fn nodes(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let (near, scope) = syntax::nodes(text_at(arguments, 0))?;
    Ok(pass.list(&Query::Nodes { near, scope }, NODES))
}

fn node(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    if arguments.len() > 1 {
        let got = arguments.len();
        return Err(format!("node: wrong number of arguments, expected 0 or 1, but got {got}"));
    }
    let (name, scope) = syntax::node(text_at(arguments, 0))?;
    let query = Query::Node { name, scope };
    let none = || super::shapes::typed(&serde_json::json!({}), ONE_NODE);
    match pass.ask_for(&query, ONE_NODE) {
        Some(Value::NilPtr(_)) => {
            pass.warnings.insert(format!("{query}: Consul knows no such node"));
            Ok(none())
        }
        Some(node) => Ok(node),
        None => Ok(none()),
    }
}

fn datacenters(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    if arguments.len() > 1 {
        let got = arguments.len();
        return Err(format!("datacenters: wrong number of arguments, expected 0 or 1, but got {got}"));
    }
    Ok(pass.list(&Query::Datacenters, STRINGS))
}

fn prepared(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let (name, near, scope) = syntax::prepared(text_at(arguments, 0))?;
    Ok(pass.list(&Query::Prepared { name, near, scope }, SERVICES))
}

/// What consul-template's lists can be asked: tags what is among them, checks for the worst.
pub(super) fn method(list: &Value, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let Value::Slice(slice) = list else { return None };
    if slice.kind == CHECKS && name == "AggregatedStatus" {
        let checks: Vec<serde_json::Value> = slice
            .items
            .iter()
            .map(|check| serde_json::json!({"CheckID": check.field_text("CheckID").as_ref(), "Status": check.field_text("Status").as_ref()}))
            .collect();
        return Some(Ok(wire::aggregate(&checks).into()));
    }
    if slice.kind != TAGS {
        return None;
    }
    let has = |tag: &Value| slice.items.iter().any(|item| item.as_str() == tag.as_str());
    let wanted: Vec<Value> = match arguments {
        [Value::Slice(list)] => list.items.clone(),
        _ => arguments.to_vec(),
    };
    Some(Ok(Value::Bool(match name {
        "Contains" => wanted.first().is_some_and(has),
        "ContainsAll" => wanted.iter().all(has),
        "ContainsAny" => wanted.iter().any(has),
        "ContainsNone" => !wanted.iter().any(has),
        "ContainsNotAll" => !wanted.iter().all(has),
        _ => return None,
    })))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{call, pass};
    use super::*;
    use serde_json::{Value as Json, json};

    fn row(id: &str, tag: &str, epoch: Option<&str>) -> Json {
        let meta = epoch.map_or(json!({}), |epoch| json!({"epoch": epoch}));
        json!({"Node": "n", "ID": id, "Tags": [tag], "Address": "10.0.0.1", "Port": 6379,
               "ServiceMeta": meta, "Status": "passing"})
    }

    fn asked(rows: Json, function: &str, argument: &str) -> (Json, Pass) {
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
    fn nobody_goes_back_to_a_former_master() {
        let query = Query::health("redis", true);
        let after = |epoch: Option<&str>, followed: u64| {
            let mut pass = pass(&[(query.clone(), json!([row("a", "master", epoch)]))], &[]);
            pass.trail.followed.insert("redis".into(), followed.into());
            let master = call(&mut pass, "master", &[json!("redis")]).unwrap();
            (
                !master.is_null(),
                pass.trail.former,
                pass.trail.follows.get("redis").copied(),
                pass.warnings.len(),
            )
        };
        assert_eq!(after(Some("5"), 5), (true, false, Some(5.into()), 0), "the same master");
        assert_eq!(after(Some("6"), 5), (true, false, Some(6.into()), 0), "the next one");
        assert_eq!(after(Some("4"), 5), (false, true, None, 1), "a former one");
        assert_eq!(after(None, 5), (false, true, None, 1), "one that knows no epoch");
    }

    #[test]
    fn a_service_without_a_name_has_no_instances() {
        for arguments in [json!([""]), json!(["", "any"]), json!(["", "tag=a"]), json!([])] {
            let mut pass = pass(&[], &[]);
            let found = call(&mut pass, "service", arguments.as_array().unwrap()).unwrap();
            assert_eq!((found, pass.asked.len()), (json!([]), 0), "{arguments}");
        }
        let mut pass = pass(&[], &[]);
        call(&mut pass, "service", &[json!(""), json!("name=my.dotted.name")]).unwrap();
        assert_eq!(pass.asked.len(), 1);
    }

    #[test]
    fn a_ghost_of_the_same_pod_is_not_there() {
        let of_pod = |node: &str, tag: &str, written: u64| {
            let mut row = row("a", tag, Some("5"));
            row["Node"] = json!(node);
            row["ModifyIndex"] = json!(written);
            row["ServiceMeta"]["pod_uid"] = json!("u");
            row
        };
        let rows = || json!([of_pod("old", "master", 7), of_pod("new", "replica", 9)]);
        assert_eq!(asked(rows(), "master", "redis").0, json!(null), "it was demoted since");
        assert_eq!(asked(rows(), "replicas", "redis").0.as_array().unwrap().len(), 1);
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
            ("node", "n1", json!({"Node": null, "Services": []})),
            ("preparedQuery", "q", json!([])),
        ] {
            let (value, pass) = asked(json!([]), function, argument);
            assert_eq!((value, pass.missing.len(), pass.asked.len()), (empty, 1, 1), "{function}");
        }
    }

    #[test]
    fn an_answer_is_made_into_values_once() {
        let mut pass = pass(&[(Query::health("redis", true), json!([row("a", "master", None)]))], &[]);
        let rows = |pass: &mut Pass| match service(pass, &["redis".into()], false) {
            Ok(Value::Slice(slice)) => slice,
            other => panic!("{other:?}"),
        };
        let (first, second) = (rows(&mut pass), rows(&mut pass));
        assert!(std::sync::Arc::ptr_eq(&first, &second), "the same list, not a copy");
    }
}
