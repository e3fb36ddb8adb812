//! Answers of Consul that were recorded: what a question gets from them.

use consul::{Query, wire};
use serde_json::Value;
use std::collections::BTreeMap;

/// Recorded answers, in the order in which they are looked through.
#[derive(Clone, Debug, Default)]
pub struct Recorded(Vec<Exchange>);

/// One request and what Consul answered.
#[derive(Clone, Debug)]
struct Exchange {
    path: String,
    query: BTreeMap<String, String>,
    status: u64,
    body: Value,
}

/// What is said for how long or how exactly to answer, and not what is asked.
const MANNERS: [&str; 3] = ["stale", "wait", "index"];

impl Recorded {
    /// Reads `data`: a list with `consul_http` lists of `path`, `query`, `status` and `body`.
    pub fn read(data: &Value) -> Result<Recorded, String> {
        let entries = match data {
            Value::Null => return Ok(Recorded::default()),
            Value::Array(entries) => entries,
            _ => return Err("data: must be a list".into()),
        };
        let mut all = vec![];
        for entry in entries {
            let exchanges =
                entry["consul_http"].as_array().ok_or("data: each must have a list consul_http")?;
            for exchange in exchanges {
                all.push(Exchange::read(exchange)?);
            }
        }
        Ok(Recorded(all))
    }

    /// The value that answers a question; `None` when nothing was recorded for it.
    pub fn answer(&self, query: &Query) -> Option<Result<Value, String>> {
        let own_name;
        let query = match query {
            Query::Node { name: None, scope } => {
                own_name = self.own_name()?;
                &Query::Node { name: Some(own_name), scope: scope.clone() }
            }
            query => query,
        };
        let path = query.path().join("/");
        let params: BTreeMap<&str, &str> = query.params().into_iter().collect();
        let found = self.0.iter().find(|exchange| exchange.fits(&path, &params))?;
        Some(found.read_as(query))
    }

    /// The agent's own node, as `/v1/agent/self` names it.
    fn own_name(&self) -> Option<String> {
        let found = self.0.iter().find(|exchange| exchange.path == "agent/self")?;
        Some(found.body["Config"]["NodeName"].as_str()?.to_owned())
    }
}

impl Exchange {
    fn read(exchange: &Value) -> Result<Exchange, String> {
        let path = exchange["path"].as_str().ok_or("consul_http: each must have a path")?;
        let (path, more) = path.split_once('?').unwrap_or((path, ""));
        let path = decoded(path.strip_prefix("/v1/").ok_or_else(|| format!("{path} must begin with /v1/"))?);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs = exchange["query"].as_object().into_iter().flatten();
        let mut query: BTreeMap<String, String> =
            pairs.map(|(key, value)| (key.clone(), text(value))).collect();
        for pair in more.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            query.insert(decoded(key), decoded(value));
        }
        query.retain(|key, _| !MANNERS.contains(&key.as_str()));
        let status = exchange.get("status").map_or(Some(200), Value::as_u64);
        let status = status.ok_or_else(|| format!("{path}: status must be a number"))?;
        Ok(Exchange { path, query, status, body: exchange["body"].clone() })
    }

    fn fits(&self, path: &str, params: &BTreeMap<&str, &str>) -> bool {
        let ours = self.query.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        self.path == path && ours.eq(params.iter().map(|(key, value)| (*key, *value)))
    }

    /// As the client takes it.
    fn read_as(&self, query: &Query) -> Result<Value, String> {
        match (self.status, query) {
            (200, _) => wire::read(query, self.body.to_string().as_bytes())
                .map_err(|e| format!("the recorded answer to {query} cannot be read: {e}")),
            (404, Query::Key { .. } | Query::Tree { .. }) => Ok(wire::nothing(query)),
            (status, _) => Err(format!("the recorded answer to {query} is an error: status {status}")),
        }
    }
}

/// What Consul says of a thing that is not there.
#[must_use]
pub fn nothing(query: &Query) -> Value {
    wire::nothing(query)
}

/// Without percent encoding.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (vec![], 0);
    while let Some(byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|_| *byte == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use consul::query::Scope;
    use serde_json::json;

    fn key(path: &str) -> Query {
        Query::Key { key: path.into(), scope: Scope::default() }
    }

    fn recorded() -> Recorded {
        let exchanges = json!([
            {"path": "/v1/kv/a%20b/c", "query": {}, "status": 200, "body": [{"Key": "a b/c", "Value": "eA=="}]},
            {"path": "/v1/kv/gone", "query": {"dc": "dc2"}, "status": 404, "body": null},
            {"path": "/v1/health/service/web?passing=1&stale&wait=60s", "body": []},
            {"path": "/v1/catalog/nodes", "status": 500, "body": "x"},
            {"path": "/v1/agent/self", "body": {"Config": {"NodeName": "n"}}},
            {"path": "/v1/catalog/node/n", "body": null},
        ]);
        Recorded::read(&json!([{"consul_http": exchanges}])).unwrap()
    }

    #[test]
    fn a_question_finds_its_answer_by_path_and_parameters() {
        let recorded = recorded();
        let gone = |dc: Option<&str>| Query::Key {
            key: "gone".into(),
            scope: Scope { dc: dc.map(str::to_owned), more: vec![] },
        };
        assert_eq!(recorded.answer(&key("a b/c")).unwrap().unwrap()["Value"], "x");
        assert_eq!(recorded.answer(&gone(Some("dc2"))), Some(Ok(Value::Null)));
        assert_eq!(recorded.answer(&gone(None)), None, "that was asked elsewhere");
        assert_eq!(recorded.answer(&Query::health("web", true)), Some(Ok(json!([]))));
        assert_eq!(recorded.answer(&Query::health("web", false)), None);
        let nodes = Query::Nodes { near: None, scope: Scope::default() };
        assert!(recorded.answer(&nodes).unwrap().unwrap_err().contains("status 500"));
        let own = Query::Node { name: None, scope: Scope::default() };
        assert_eq!(recorded.answer(&own), Some(Ok(Value::Null)));
    }

    #[test]
    fn what_is_no_recording_is_told() {
        for (data, why) in [
            (json!({}), "must be a list"),
            (json!([{}]), "must have a list consul_http"),
            (json!([{"consul_http": [{"path": "/v2/x"}]}]), "must begin with /v1/"),
            (json!([{"consul_http": [{"path": "/v1/x", "status": "200"}]}]), "status must be a number"),
        ] {
            assert!(Recorded::read(&data).unwrap_err().contains(why), "{data}");
        }
    }
}
