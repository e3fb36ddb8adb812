//! A Consul server and a client agent with data directories, as in production, on leased ports.

use std::{fs, path::Path, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use crate::{ANSWER, Host, Http, Outcome, PATIENCE, Part, Port, Recipe, Trouble, until, when};

/// The token that may do everything, where access control is on.
pub const ROOT_TOKEN: &str = "00000000-0000-0000-0000-00000000000f";

/// A Consul process, server or client.
#[derive(Debug)]
pub struct Agent {
    /// The process.
    pub part: Part,
    host: Host,
    data: PathBuf,
    http: Port,
    gossip: Port,
    rpc: Port,
    client: Http,
}

/// Whether reads and writes need a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everything is allowed.
    Open,
    /// Default deny; `ROOT_TOKEN` may do everything.
    Closed,
}

impl Agent {
    /// Starts a server that is a cluster by itself.
    pub fn server(directory: &Path, access: Access) -> Outcome<Agent> {
        Agent::server_at(Host::LOOPBACK, directory, access)
    }

    /// The same on that host.
    pub fn server_at(host: Host, directory: &Path, access: Access) -> Outcome<Agent> {
        Agent::start(host, directory, "consul-server", access, serving)
    }

    /// Starts a server with settings of its own, which go before those of [`Agent::server`].
    pub fn server_as(name: &str, directory: &Path, own: Value) -> Outcome<Agent> {
        Agent::start(Host::LOOPBACK, directory, name, Access::Open, |rpc| {
            let mut all = serving(rpc);
            merge(&mut all, own.clone());
            all
        })
    }

    /// Starts a client agent that joins `server`. With a stable node id it can come back without its data.
    pub fn client(directory: &Path, server: &Agent, node_id: Option<&str>, access: Access) -> Outcome<Agent> {
        let own = node_id.map_or(json!({}), |id| json!({ "node_id": id }));
        Agent::client_as("consul-client", directory, server, access, own)
    }

    /// Starts a client agent with settings of its own.
    pub fn client_as(
        name: &str,
        directory: &Path,
        server: &Agent,
        access: Access,
        own: Value,
    ) -> Outcome<Agent> {
        Agent::client_at(Host::LOOPBACK, name, directory, server, access, own)
    }

    /// The same on that host.
    pub fn client_at(
        host: Host,
        name: &str,
        directory: &Path,
        server: &Agent,
        access: Access,
        own: Value,
    ) -> Outcome<Agent> {
        Agent::start(host, directory, name, access, |_| {
            let join = format!("{}:{}", server.host.address, server.gossip.number());
            let mut all = json!({ "retry_join": [join], "retry_interval": "500ms" });
            merge(&mut all, own.clone());
            all
        })
    }

    fn start(
        host: Host,
        directory: &Path,
        name: &str,
        access: Access,
        own: impl Fn(u16) -> Value,
    ) -> Outcome<Agent> {
        let (http, gossip, rpc) = (Port::lease()?, Port::lease()?, Port::lease()?);
        let data = directory.join(format!("{name}-data"));
        let mut settings = json!({
            "node_name": name, "data_dir": data, "bind_addr": host.address, "client_addr": "127.0.0.1",
            "ports": { "http": http.number(), "serf_lan": gossip.number(), "serf_wan": -1, "dns": -1 },
            "disable_update_check": true, "leave_on_terminate": false, "log_level": "INFO",
        });
        if access == Access::Closed {
            settings["acl"] = json!({
                "enabled": true, "default_policy": "deny",
                "tokens": { "master": ROOT_TOKEN, "agent": ROOT_TOKEN },
            });
        }
        merge(&mut settings, own(rpc.number()));
        let file = directory.join(format!("{name}.json"));
        fs::write(&file, settings.to_string())?;
        let arguments = ["agent".as_ref(), "-ui".as_ref(), "-config-file".as_ref(), file.as_os_str()];
        let part = host.runs(Recipe::new(name, "consul", directory, arguments)).start()?;
        let client = Http::new((access == Access::Closed).then_some(ROOT_TOKEN))?;
        Ok(Agent { part, host, data, http, gossip, rpc, client })
    }

    /// `127.0.0.1:PORT` of its HTTP interface, on its own host.
    pub fn address(&self) -> String {
        self.http.address().to_string()
    }

    /// `127.0.0.1:PORT` where others join it.
    pub fn gossip(&self) -> String {
        self.gossip.address().to_string()
    }

    /// `127.0.0.1:PORT` of a server, by which the others know it.
    pub fn rpc(&self) -> String {
        self.rpc.address().to_string()
    }

    /// Waits until the cluster has a leader and this agent's node is in the catalog.
    pub async fn ready(&self) -> Outcome {
        let name = self.part.name();
        let ready = until(format!("{name} to join its cluster"), PATIENCE, async || {
            let nodes = self.get("catalog/nodes").await?;
            let known = nodes.as_array().is_some_and(|all| all.iter().any(|n| n["Node"] == name));
            when(known, || format!("nodes {nodes}"))
        });
        self.part.explain(ready.await)
    }

    /// Ends it with SIGKILL and forgets all it knew.
    pub fn kill_and_forget(&mut self) -> Outcome {
        self.part.kill()?;
        Ok(fs::remove_dir_all(&self.data)?)
    }

    /// GET below `/v1/`.
    pub async fn get(&self, path: &str) -> Outcome<Value> {
        self.client.get(&format!("http://{}/v1/{path}", self.address()), ANSWER).await?.json()
    }

    /// PUT below `/v1/`, a JSON value or plain text; the answer is text, since many are empty.
    pub async fn put(&self, path: &str, body: impl ToString) -> Outcome<String> {
        let answer =
            self.client.put(&format!("http://{}/v1/{path}", self.address()), body.to_string()).await?;
        when(answer.status == 200, || format!("PUT {path}: {} {}", answer.status, answer.text))?;
        Ok(answer.text)
    }

    /// DELETE below `/v1/`.
    pub async fn delete(&self, path: &str) -> Outcome {
        let answer = self.client.delete(&format!("http://{}/v1/{path}", self.address())).await?;
        when(answer.status == 200, || format!("DELETE {path}: {} {}", answer.status, answer.text))
    }

    /// All entries of a service once they are newer than `index`, and the index to ask with next.
    pub async fn entries_after(&self, service: &str, index: u64) -> Outcome<(Vec<Entry>, u64)> {
        let url = format!("http://{}/v1/health/service/{service}?wait=10s&index={index}", self.address());
        let answer = self.client.get(&url, Duration::from_secs(20)).await?;
        Ok((entries(&answer.json()?), answer.index.unwrap_or_default()))
    }

    /// All entries of a service, whatever their health.
    pub async fn entries(&self, service: &str) -> Outcome<Vec<Entry>> {
        Ok(entries(&self.get(&format!("health/service/{service}")).await?))
    }

    /// Takes a token's rights away at once: it is deleted.
    pub async fn revoke(&self, secret: &str) -> Outcome {
        let url = format!("http://{}/v1/acl/token", self.address());
        let own = Http::new(Some(secret))?.get(&format!("{url}/self"), ANSWER).await?.json()?;
        let answer =
            self.client.delete(&format!("{url}/{}", own["AccessorID"].as_str().unwrap_or_default())).await?;
        when(answer.status == 200, || answer.text.clone())
    }

    /// Gives the policy of that name other rules (HCL).
    pub async fn rule(&self, name: &str, rules: &str) -> Outcome {
        let all = self.get("acl/policies").await?;
        let mut all = all.as_array().into_iter().flatten();
        let id = all.find(|policy| policy["Name"] == name).map_or(Value::Null, |policy| policy["ID"].clone());
        let path = format!("acl/policy/{}", id.as_str().unwrap_or_default());
        self.put(&path, json!({ "ID": id, "Name": name, "Rules": rules })).await?;
        Ok(())
    }

    /// Makes a token with these rules (HCL), and gives back its secret.
    pub async fn token(&self, name: &str, rules: &str) -> Outcome<String> {
        self.put("acl/policy", json!({ "Name": name, "Rules": rules })).await?;
        let made = self.put("acl/token", json!({ "Policies": [{ "Name": name }] })).await?;
        let made: Value = serde_json::from_str(&made)?;
        made["SecretID"].as_str().map(Into::into).ok_or_else(|| Trouble::new(format!("no secret in {made}")))
    }

    /// Gives the token of that name other rights.
    pub async fn allow(&self, name: &str, rules: &str) -> Outcome {
        let policies = self.get("acl/policies").await?;
        let policy = policies.as_array().and_then(|all| all.iter().find(|policy| policy["Name"] == name));
        let id = policy.and_then(|policy| policy["ID"].as_str());
        let id = id.ok_or_else(|| Trouble::new(format!("no policy {name} in {policies}")))?;
        let body = json!({ "ID": id, "Name": name, "Rules": rules });
        self.put(&format!("acl/policy/{id}"), body).await.map(drop)
    }
}

/// One entry of a service, as a health query shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Service id.
    pub id: String,
    /// Service port.
    pub port: u16,
    /// Service tags.
    pub tags: Vec<String>,
    /// `Meta.epoch`; none counts below 0.
    pub epoch: Option<u64>,
    /// Whether every check passes.
    pub passing: bool,
    /// What the checks say.
    pub outputs: Vec<String>,
}

impl Entry {
    /// Whether it carries the tag.
    pub fn is(&self, tag: &str) -> bool {
        self.tags.iter().any(|t| t == tag)
    }
}

/// The entries in the answer to a health query.
pub fn entries(answer: &Value) -> Vec<Entry> {
    answer.as_array().map(|all| all.iter().map(entry).collect()).unwrap_or_default()
}

fn entry(row: &Value) -> Entry {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (service, checks) = (&row["Service"], list(&row["Checks"]));
    Entry {
        id: text(&service["ID"]),
        port: service["Port"].as_u64().and_then(|p| p.try_into().ok()).unwrap_or_default(),
        tags: list(&service["Tags"]).iter().map(text).collect(),
        epoch: text(&service["Meta"]["epoch"]).parse().ok(),
        passing: checks.iter().all(|c| c["Status"] == "passing"),
        outputs: checks.iter().map(|c| format!("{}: {}", text(&c["Status"]), text(&c["Output"]))).collect(),
    }
}

/// The one passing master; of several, the one with the highest epoch; none when that is a tie.
pub fn master(entries: &[Entry]) -> Option<u16> {
    let mut masters: Vec<&Entry> = entries.iter().filter(|e| e.passing && e.is("master")).collect();
    masters.sort_by_key(|e| std::cmp::Reverse(e.epoch));
    match masters.as_slice() {
        [only] => Some(only.port),
        [first, second, ..] if first.epoch > second.epoch => Some(first.port),
        _ => None,
    }
}

/// The settings of a server that is a cluster by itself.
fn serving(rpc: u16) -> Value {
    json!({
        "server": true, "bootstrap_expect": 1, "performance": { "raft_multiplier": 1 }, "ports": { "server": rpc },
    })
}

fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_is_the_one_of_highest_epoch_or_none() {
        let claim = |(port, epoch, status): (u16, &str, &str)| {
            let service = json!({ "ID": "i", "Port": port, "Tags": ["master"], "Meta": { "epoch": epoch } });
            json!({ "Service": service, "Checks": [{ "Status": status, "Output": "" }] })
        };
        let passing = "passing";
        for (claims, expected) in [
            (vec![], None),
            (vec![(1, "", passing)], Some(1)),
            (vec![(1, "", passing), (2, "0", passing)], Some(2)),
            (vec![(1, "3", passing), (2, "12", "critical")], Some(1)),
            (vec![(1, "3", passing), (2, "3", passing)], None),
        ] {
            let answer: Value = claims.iter().copied().map(claim).collect();
            assert_eq!(master(&entries(&answer)), expected, "{answer}");
        }
    }
}
