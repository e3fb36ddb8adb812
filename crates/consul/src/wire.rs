//! Consul's JSON, turned once into the shapes that templates and programs read: consul-template's field names.

use crate::{Instance, Query};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Why a body is not the answer that was asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// Not JSON at all, or cut off.
    #[error("the body is not whole JSON ({why}); it begins with `{begins}`")]
    NotJson {
        /// The parser's reason.
        why: String,
        /// The first characters, made printable.
        begins: String,
    },
    /// JSON of another shape.
    #[error("the body is JSON of another shape: expected {expected}, found {found}")]
    Shape {
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: &'static str,
    },
}

/// Reads the body that answers `query`.
pub fn read(query: &Query, body: &[u8]) -> Result<Value, WireError> {
    let value = parse(body)?;
    match query {
        Query::Health { near, .. } => {
            let mut rows: Vec<Value> = list(&value)?.iter().map(health_row).collect();
            if near.is_none() {
                rows.sort_by_cached_key(|row| (text(row, "Node"), text(row, "ID")));
            }
            Ok(Value::Array(rows))
        }
        // Its order is its answer: the nearest datacenter that has any, by its own rule.
        Query::Prepared { .. } => {
            let rows = list(object(&value)?.get("Nodes").unwrap_or(&Value::Null))?;
            Ok(Value::Array(rows.iter().map(health_row).collect()))
        }
        Query::Services(_) => Ok(services(object(&value)?)),
        Query::Checks(_) => Ok(Value::Array(list(&value)?.clone())),
        Query::CaRoots => Ok(object(&value)?.get("Roots").cloned().unwrap_or_else(|| json!([]))),
        Query::CaLeaf(_) => Ok(Value::Object(object(&value)?.clone())),
        Query::Peerings(_) => Ok(by(list(&value)?, &["State", "Partition", "Name"])),
        Query::Partitions => Ok(by(list(&value)?, &["Name"])),
        Query::Exported(_) => Ok(by(list(&value)?, &["Service"])),
        Query::Imported(_) => Ok(by(list(&value)?, &["Service"])),
        Query::Nodes { near, .. } => {
            let mut rows: Vec<Value> = list(&value)?.iter().map(node_row).collect();
            if near.is_none() {
                rows.sort_by_cached_key(|row| (text(row, "Node"), text(row, "Address")));
            }
            Ok(Value::Array(rows))
        }
        Query::Node { .. } if value.is_null() => Ok(Value::Null),
        Query::Node { .. } => Ok(catalog_node(object(&value)?)),
        Query::Key { .. } => {
            let rows = list(&value)?;
            Ok(rows.first().map_or(Value::Null, |row| pair(row, "")))
        }
        Query::Tree { prefix, .. } => {
            Ok(Value::Array(list(&value)?.iter().map(|row| pair(row, prefix)).collect()))
        }
        Query::Datacenters => {
            let mut names = list(&value)?.clone();
            names.sort_by_key(|name| name.as_str().map(str::to_owned));
            Ok(Value::Array(names))
        }
    }
}

/// The pairs of a tree by their keys, each as the answer to [`Query::Key`] has it.
pub fn pairs(tree: &Value) -> Result<BTreeMap<String, Arc<Value>>, WireError> {
    let named = |row: &Value| Some((row["Key"].as_str()?.to_owned(), Arc::new(pair(row, ""))));
    // No keys are null, or a 404.
    if tree.is_null() { Ok(BTreeMap::new()) } else { Ok(list(tree)?.iter().filter_map(named).collect()) }
}

/// The answer that means "there is nothing": what a 404 says about a key or a prefix.
#[must_use]
pub fn nothing(query: &Query) -> Value {
    match query {
        Query::Key { .. } | Query::Node { .. } | Query::CaLeaf(_) => Value::Null,
        _ => Value::Array(vec![]),
    }
}

/// Parses a body, with an error that shows what came instead.
pub fn parse(body: &[u8]) -> Result<Value, WireError> {
    serde_json::from_slice(body)
        .map_err(|e| WireError::NotJson { why: e.to_string(), begins: excerpt(body, 40) })
}

/// A moment as Go writes it (`2026-11-23T10:00:00.123+01:00`), as the time since the year 0.
#[must_use]
pub fn moment(text: &str) -> Option<Duration> {
    let (date, time) = text.split_once('T')?;
    let at = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(at);
    let numbers = |text: &str, by: char| text.split(by).map(|part| part.parse::<f64>().ok()).collect();
    let (date, clock): (Option<Vec<f64>>, Option<Vec<f64>>) = (numbers(date, '-'), numbers(clock, ':'));
    let ([year, month, day], [hour, minute, second]) = (date?.try_into().ok()?, clock?.try_into().ok()?);
    let offset: f64 = match zone.split_at(1) {
        ("Z", "") => 0.0,
        (sign, zone) => {
            let zone: Option<Vec<f64>> = numbers(zone, ':');
            let [hours, minutes]: [f64; 2] = zone?.try_into().ok()?;
            (hours * 60.0 + minutes) * if sign == "-" { -60.0 } else { 60.0 }
        }
    };
    // Years begin in March here, so that the leap day is the last of its year.
    let (year, month): (f64, f64) = if month < 3.0 { (year - 1.0, month + 9.0) } else { (year, month - 3.0) };
    let leaps = (year / 4.0).floor() - (year / 100.0).floor() + (year / 400.0).floor();
    let days = year * 365.0 + leaps + ((153.0 * month + 2.0) / 5.0).floor() + day;
    let seconds = ((days * 24.0 + hour) * 60.0 + minute) * 60.0 + second - offset;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The first `limit` characters of a body, with control characters made visible.
#[must_use]
pub fn excerpt(body: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(limit * 4)]).into_owned();
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The instances in an answer to [`Query::Health`].
#[must_use]
pub fn instances(health: &Value) -> Vec<Instance> {
    health.as_array().into_iter().flatten().map(instance).collect()
}

/// One row of an answer to [`Query::Health`].
#[must_use]
pub fn instance(row: &Value) -> Instance {
    let strings = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Instance {
        node: text(row, "Node"),
        id: text(row, "ID"),
        tags: row["Tags"].as_array().into_iter().flatten().map(strings).collect(),
        address: text(row, "Address"),
        port: row["Port"].as_u64().and_then(|port| port.try_into().ok()).unwrap_or_default(),
        meta: row["ServiceMeta"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), strings(v)))
            .collect(),
        status: text(row, "Status"),
        written: row["ModifyIndex"].as_u64().unwrap_or_default(),
    }
}

fn health_row(raw: &Value) -> Value {
    let (node, service, checks) = (&raw["Node"], &raw["Service"], &raw["Checks"]);
    let own = text(service, "Address");
    let address = if own.is_empty() { text(node, "Address") } else { own };
    json!({
        "Node": text(node, "Node"),
        "NodeID": text(node, "ID"),
        "NodeAddress": text(node, "Address"),
        "NodeTaggedAddresses": map(&node["TaggedAddresses"]),
        "NodeMeta": map(&node["Meta"]),
        "ServiceMeta": map(&service["Meta"]),
        "Address": address,
        "ServiceTaggedAddresses": map(&service["TaggedAddresses"]),
        "ID": text(service, "ID"),
        "Name": text(service, "Service"),
        "Tags": sorted(&service["Tags"]),
        "Checks": checks.as_array().cloned().unwrap_or_default(),
        "Status": aggregate(checks.as_array().map_or(&[], Vec::as_slice)),
        "Port": service["Port"].as_u64().unwrap_or_default(),
        "ModifyIndex": service["ModifyIndex"].as_u64().unwrap_or_default(),
        "Weights": {
            "Passing": service["Weights"]["Passing"].as_u64().unwrap_or(1),
            "Warning": service["Weights"]["Warning"].as_u64().unwrap_or(1),
        },
        "Datacenter": text(node, "Datacenter"),
        "ModifyIndex": service["ModifyIndex"].as_u64().unwrap_or_default(),
    })
}

/// The worst of an instance's checks; none at all is passing, as Consul has it.
#[must_use]
pub fn aggregate(checks: &[Value]) -> &'static str {
    let rank = |check: &Value| {
        let id = text(check, "CheckID");
        if id == "_node_maintenance" || id.starts_with("_service_maintenance:") {
            return 3;
        }
        match check["Status"].as_str() {
            Some("critical") => 2,
            Some("warning") => 1,
            _ => 0,
        }
    };
    let worst = checks.iter().map(rank).max().unwrap_or_default();
    ["passing", "warning", "critical", "maintenance"][worst]
}

fn services(raw: &Map<String, Value>) -> Value {
    let mut rows: Vec<Value> =
        raw.iter().map(|(name, tags)| json!({"Name": name, "Tags": sorted(tags)})).collect();
    rows.sort_by_cached_key(|row| text(row, "Name"));
    Value::Array(rows)
}

fn node_row(raw: &Value) -> Value {
    json!({
        "ID": text(raw, "ID"),
        "Node": text(raw, "Node"),
        "Address": text(raw, "Address"),
        "Datacenter": text(raw, "Datacenter"),
        "TaggedAddresses": map(&raw["TaggedAddresses"]),
        "Meta": map(&raw["Meta"]),
    })
}

fn catalog_node(raw: &Map<String, Value>) -> Value {
    let mut services: Vec<Value> = raw
        .get("Services")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(_, service)| {
            json!({
                "ID": text(service, "ID"),
                "Service": text(service, "Service"),
                "Tags": sorted(&service["Tags"]),
                "Meta": map(&service["Meta"]),
                "Port": service["Port"].as_u64().unwrap_or_default(),
                "Address": text(service, "Address"),
                "EnableTagOverride": service["EnableTagOverride"].as_bool().unwrap_or_default(),
            })
        })
        .collect();
    services.sort_by_cached_key(|row| (text(row, "Service"), text(row, "ID")));
    json!({"Node": raw.get("Node").map(node_row), "Services": services})
}

/// Rows as they are, sorted by these fields.
fn by(rows: &[Value], fields: &[&str]) -> Value {
    let mut rows = rows.to_vec();
    rows.sort_by_cached_key(|row| fields.iter().map(|field| text(row, field)).collect::<Vec<_>>());
    Value::Array(rows)
}

/// A key-value pair; `Key` is what is left of the path after `prefix`.
fn pair(raw: &Value, prefix: &str) -> Value {
    let path = text(raw, "Key");
    let key = path.strip_prefix(prefix).unwrap_or(&path).trim_start_matches('/').to_owned();
    json!({
        "Path": path,
        "Key": key,
        "Value": raw["Value"].as_str().map(decode).unwrap_or_default(),
        "CreateIndex": raw["CreateIndex"],
        "ModifyIndex": raw["ModifyIndex"],
        "LockIndex": raw["LockIndex"],
        "Flags": raw["Flags"],
        "Session": text(raw, "Session"),
    })
}

/// Consul sends values as base64; bytes that are no UTF-8 are kept.
fn decode(encoded: &str) -> String {
    let bytes = BASE64_STANDARD.decode(encoded).unwrap_or_default();
    octets::text(&bytes)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// A map, or null where Consul has none: a template may print the difference.
fn map(value: &Value) -> Value {
    value.as_object().cloned().map_or(Value::Null, Value::Object)
}

fn sorted(tags: &Value) -> Value {
    let mut tags = tags.as_array().cloned().unwrap_or_default();
    tags.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    Value::Array(tags)
}

fn list(value: &Value) -> Result<&Vec<Value>, WireError> {
    value.as_array().ok_or(WireError::Shape { expected: "a list", found: kind(value) })
}

fn object(value: &Value) -> Result<&Map<String, Value>, WireError> {
    value.as_object().ok_or(WireError::Shape { expected: "an object", found: kind(value) })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Scope;

    const HEALTH: &str = r#"[
      {"Node":{"ID":"u2","Node":"n2","Address":"10.0.0.2","Datacenter":"dc1"},
       "Service":{"ID":"redis-1","Service":"redis","Tags":["v7","master"],"Meta":{"epoch":"4"},"Port":6379,
                  "Address":"10.1.0.2","Weights":{"Passing":1,"Warning":1}},
       "Checks":[{"CheckID":"serfHealth","Status":"passing"},{"CheckID":"c","Status":"warning"}]},
      {"Node":{"ID":"u1","Node":"n1","Address":"10.0.0.1"},
       "Service":{"ID":"redis-0","Service":"redis","Tags":null,"Meta":null,"Port":6379,"Address":""},
       "Checks":[{"CheckID":"_service_maintenance:redis-0","Status":"critical"}]}]"#;

    #[test]
    fn health_rows_have_consul_templates_names_and_order() {
        let rows = read(&Query::health("redis", false), HEALTH.as_bytes()).unwrap();
        assert_eq!(rows[0]["ID"], "redis-0", "sorted by node, then id");
        assert_eq!(rows[0]["Address"], "10.0.0.1", "the node's address stands in for a missing one");
        assert_eq!(rows[0]["Status"], "maintenance");
        assert_eq!(rows[1]["Tags"], json!(["master", "v7"]));
        assert_eq!(rows[1]["Status"], "warning");
        let instances = instances(&rows);
        assert_eq!((instances[1].epoch(), instances[1].claims_master()), (Some(4.into()), true));
    }

    #[test]
    fn keys_are_decoded_and_relative_to_their_prefix() {
        let body =
            br#"[{"Key":"a/b/c","Value":"aGVsbG8=","Flags":0,"LockIndex":0,"CreateIndex":1,"ModifyIndex":2},
                        {"Key":"a/","Value":null,"Flags":0,"LockIndex":0,"CreateIndex":1,"ModifyIndex":2}]"#;
        let tree = read(&Query::Tree { prefix: "a".into(), scope: Scope::default() }, body).unwrap();
        assert_eq!((&tree[0]["Key"], &tree[0]["Value"]), (&json!("b/c"), &json!("hello")));
        assert_eq!((&tree[1]["Key"], &tree[1]["Value"]), (&json!(""), &json!("")));
        let pairs = pairs(&parse(body).unwrap()).unwrap();
        assert_eq!(pairs.keys().collect::<Vec<_>>(), ["a/", "a/b/c"]);
        let alone = read(&Query::Key { key: "a/b/c".into(), scope: Scope::default() }, body).unwrap();
        assert_eq!(*pairs["a/b/c"], alone, "as the key's own answer");
    }

    #[test]
    fn what_is_no_answer_is_named() {
        let query = Query::health("redis", true);
        let html = read(&query, b"<html><body>502</body>").unwrap_err().to_string();
        assert!(html.contains("begins with `<html><body>502</body>`"), "{html}");
        let cut = read(&query, &HEALTH.as_bytes()[..60]).unwrap_err().to_string();
        assert!(cut.contains("EOF while parsing"), "{cut}");
        let shape = read(&query, b"{\"error\":\"x\"}").unwrap_err();
        assert_eq!(shape, WireError::Shape { expected: "a list", found: "an object" });
        assert_eq!(read(&Query::Node { name: None, scope: Scope::default() }, b"null"), Ok(Value::Null));
        let prepared = Query::Prepared { name: "p".into(), near: None, scope: Scope::default() };
        assert_eq!(read(&prepared, b"{}"), Err(WireError::Shape { expected: "a list", found: "null" }));
    }
}
