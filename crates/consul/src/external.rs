//! Entries without an agent: rows of an external node, written to the catalog itself.
//!
//! Nobody runs a TTL check there. So each entry has a lease: a key that a session of its registrar holds, and that Consul
//! deletes when the session is not renewed. Whoever registers the same service looks for rows without their lease, and
//! turns them critical in one transaction with the proof that the lease is gone ([`police`]).

use crate::{
    Client, ClientError, Held, HeldService, Query, Registration, Status, Watched, query::Scope,
    registration::span, wire,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// The door of one entry on an external node.
#[derive(Clone, Debug)]
pub struct External {
    client: Client,
    node: String,
    service: String,
    lease: String,
    ttl: Duration,
    session: Arc<Mutex<Option<String>>>,
}

/// Consul takes no session of less, and ends one up to twice as late.
const LEAST_TTL: Duration = Duration::from_secs(10);
/// How often rows are held against their leases.
const POLICE: Duration = Duration::from_secs(2);
/// Marks nodes whose rows have leases.
const MARK: &str = "rolecall-lease";

/// The key of an entry's lease; all of a service's begin alike.
#[must_use]
pub fn leases(service: &str) -> String {
    format!("rolecall/lease/{service}/")
}

/// Why `node` cannot be an external node: an agent is there, whose address would be overwritten for all its services, and
/// who removes what it does not know.
pub async fn taken(client: &Client, node: &str) -> Result<Option<String>, ClientError> {
    let checks = client.call(Method::GET, &["health", "node", node], &[], None).await?;
    let agent = checks.as_array().into_iter().flatten().any(|check| check["CheckID"] == "serfHealth");
    Ok(agent.then(|| {
        format!("node \"{node}\" has an agent of its own: register there, or give consul.node another name")
    }))
}

impl External {
    /// Of the entry `id` of `service`, on the node of that name.
    #[must_use]
    pub fn new(client: Client, node: &str, (service, id): (&str, &str), ttl: Duration) -> External {
        let lease = leases(service) + id;
        External {
            client,
            node: node.into(),
            service: service.into(),
            lease,
            ttl: ttl.max(LEAST_TTL),
            session: Arc::default(),
        }
    }

    /// The same entry over another client.
    #[must_use]
    pub fn over(&self, client: &Client) -> External {
        External { client: client.clone(), ..self.clone() }
    }

    /// Writes the entry under its lease, with its status.
    pub async fn register(&self, entry: &Registration) -> Result<(), ClientError> {
        if let Some(why) = taken(&self.client, &self.node).await? {
            return Err(ClientError::Setup(why));
        }
        let meta = json!({"external-node": "true", "external-probe": "false", MARK: "1"});
        let node = json!({"Node": self.node, "Address": entry.address, "NodeMeta": meta});
        self.put(&["catalog", "register"], node).await?;
        self.hold().await?;
        let row = json!({
            "Node": self.node, "Address": entry.address, "SkipNodeUpdate": true,
            "Service": {
                "ID": entry.id, "Service": entry.name, "Tags": entry.tags, "Address": entry.address, "Port": entry.port,
                "Meta": entry.meta,
            },
            "Check": {
                "CheckID": entry.check.id, "Name": entry.check.name, "ServiceID": entry.id,
                "Status": entry.check.status.word(),
            },
        });
        self.put(&["catalog", "register"], row).await.map(drop)
    }

    /// Renews the lease, and sets the check right if it is not.
    pub async fn beat(&self, check: &str, status: Status, output: &str) -> Result<(), ClientError> {
        let Some(session) = self.session() else { return Err(ClientError::LeaseLost) };
        match self.put(&["session", "renew", &session], Value::Null).await {
            Err(ClientError::Refused { status: 404, .. }) => {
                self.keep(None);
                return Err(ClientError::LeaseLost);
            }
            renewed => renewed?,
        };
        let checks = self.client.call(Method::GET, &["health", "node", &self.node], &[], None).await?;
        let ours = checks.as_array().into_iter().flatten().find(|row| row["CheckID"] == check);
        let Some(ours) = ours else { return Err(ClientError::LeaseLost) };
        if ours["Status"] != status.word() {
            let row = json!({
                "Node": self.node, "Address": "", "SkipNodeUpdate": true,
                "Check": {
                    "CheckID": check, "Name": ours["Name"], "ServiceID": ours["ServiceID"], "Status": status.word(),
                    "Output": output,
                },
            });
            self.put(&["catalog", "register"], row).await?;
        }
        Ok(())
    }

    /// What the catalog holds under `id` on the node; with the mark of a former answer, waits for a change.
    pub async fn held(&self, id: &str, mark: Option<&str>) -> Result<Held, ClientError> {
        // Not by the node: 1.8 holds the ids of its services against rules for their names, and leaves them out.
        let query = Query::health(&self.service, false);
        let index = mark.and_then(|mark| mark.parse().ok()).unwrap_or_default();
        let answer = self.client.ask(&query, index).await?;
        let mut rows = wire::instances(&answer.value).into_iter();
        let row = rows.find(|row| row.node == self.node && row.id == id).filter(|_| self.session().is_some());
        Ok(row.map_or(Held::Absent, |row| Held::Present {
            service: HeldService {
                id: row.id,
                name: self.service.clone(),
                tags: row.tags,
                address: row.address,
                port: row.port,
                meta: row.meta,
            },
            hash: answer.index.to_string(),
        }))
    }

    /// Takes the entry and its lease away, and the node when nothing is left on it.
    pub async fn deregister(&self, id: &str) -> Result<(), ClientError> {
        self.put(&["catalog", "deregister"], json!({"Node": self.node, "ServiceID": id})).await?;
        if let Some(session) = self.session() {
            self.put(&["session", "destroy", &session], Value::Null).await?;
            self.keep(None);
        }
        // Rows are what matters; a node that has to stay for want of node:write is only untidy.
        _ = forget_if_empty(&self.client, &self.node).await;
        Ok(())
    }

    /// Takes the lease. A predecessor of this entry may hold it for its last seconds: then its session is ended.
    async fn hold(&self) -> Result<(), ClientError> {
        let session = match self.session() {
            Some(session) => session,
            None => self.begin().await?,
        };
        for _ in 0..2 {
            let acquired = self.acquire(&session).await;
            match acquired {
                Ok(Value::Bool(true)) => return Ok(()),
                // The session ended meanwhile.
                Err(error @ ClientError::Refused { status: 500, .. }) => {
                    self.keep(None);
                    return Err(error);
                }
                other => other?,
            };
            let key = Query::Key { key: self.lease.clone(), scope: Scope::default() };
            let held = self.client.ask(&key, 0).await?;
            if let Some(other) = held.value["Session"].as_str().filter(|other| !other.is_empty()) {
                self.put(&["session", "destroy", other], Value::Null).await?;
            }
        }
        Err(ClientError::LeaseLost)
    }

    async fn begin(&self) -> Result<String, ClientError> {
        let wish = json!({
            "Name": self.lease, "Node": self.node, "TTL": span(self.ttl), "Behavior": "delete", "LockDelay": "0s",
            "NodeChecks": [],
        });
        let begun = self.put(&["session", "create"], wish).await?;
        let session = begun["ID"].as_str().map(str::to_owned).ok_or(ClientError::LeaseLost)?;
        self.keep(Some(session.clone()));
        Ok(session)
    }

    async fn acquire(&self, session: &str) -> Result<Value, ClientError> {
        let path: Vec<&str> = std::iter::once("kv").chain(self.lease.split('/')).collect();
        let body = Some(json!({"node": self.node}));
        self.client.call(Method::PUT, &path, &[("acquire", session)], body).await
    }

    async fn put(&self, path: &[&str], body: Value) -> Result<Value, ClientError> {
        let body = Some(body).filter(|body| !body.is_null());
        self.client.call(Method::PUT, path, &[], body).await
    }

    fn session(&self) -> Option<String> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, session: Option<String>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
    }
}

async fn forget_if_empty(client: &Client, node: &str) -> Result<(), ClientError> {
    // Each of our rows has a check.
    let checks = client.call(Method::GET, &["health", "node", node], &[], None).await?;
    if checks.as_array().is_some_and(Vec::is_empty) {
        client.call(Method::PUT, &["catalog", "deregister"], &[], Some(json!({"Node": node}))).await?;
    }
    Ok(())
}

/// A row whose lease is gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Orphan {
    node: String,
    id: String,
    /// Its checks that do not say critical.
    lively: Vec<(String, String)>,
}

/// The rows that have leases, as the catalog shows them, without those whose lease is there.
fn orphans(rows: &[Value], service: &str, held: &BTreeSet<String>) -> Vec<Orphan> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let leased = rows.iter().filter(|row| row["NodeMeta"][MARK] == "1");
    let alone = leased.filter(|row| !held.contains(&(leases(service) + &text(&row["ID"]))));
    let orphan = |row: &Value| {
        let checks = row["Checks"].as_array().into_iter().flatten();
        let lively = checks.filter(|check| check["Status"] != "critical");
        Orphan {
            node: text(&row["Node"]),
            id: text(&row["ID"]),
            lively: lively.map(|check| (text(&check["CheckID"]), text(&check["Name"]))).collect(),
        }
    };
    alone.map(orphan).collect()
}

/// Turns rows of `service` critical whose lease is gone, and removes them after `remove_after`; without end.
pub async fn police(
    client: &Client,
    service: &str,
    catalog: watch::Receiver<Watched>,
    remove_after: Duration,
) {
    let mut since: BTreeMap<(String, String), Instant> = BTreeMap::new();
    let mut told = String::new();
    loop {
        // Drawn, so that several do not come at once; the transaction makes it right in any case.
        sleep(POLICE.mul_f64(0.5 + fastrand::f64())).await;
        let rows = catalog.borrow().value.clone();
        let rows = rows.as_deref().and_then(Value::as_array).cloned().unwrap_or_default();
        if !rows.iter().any(|row| row["NodeMeta"][MARK] == "1") {
            continue;
        }
        let tree = Query::Tree { prefix: leases(service), scope: Scope::default() };
        let Ok(held) = client.ask(&tree, 0).await else { continue };
        let keys = held.value.as_array().into_iter().flatten();
        let keys = keys.filter_map(|pair| Some(leases(service) + pair["Key"].as_str()?)).collect();
        let orphans = orphans(&rows, service, &keys);
        since.retain(|known, _| {
            orphans.iter().any(|orphan| (&orphan.node, &orphan.id) == (&known.0, &known.1))
        });
        for orphan in orphans {
            let first = since.entry((orphan.node.clone(), orphan.id.clone())).or_insert_with(Instant::now);
            let over = first.elapsed() > remove_after;
            if let Err(error) = expire(client, service, &orphan, over).await
                && told != error.to_string()
            {
                told = error.to_string();
                tracing::warn!(id = orphan.id, node = orphan.node, %error, "an entry without its lease stays");
            }
        }
    }
}

/// All or nothing: a registrar that came back meanwhile has its lease, and keeps its entry.
async fn expire(client: &Client, service: &str, orphan: &Orphan, over: bool) -> Result<(), ClientError> {
    let Orphan { node, id, lively } = orphan;
    // Rights are held against the service's name, so each step says it.
    let mut steps = vec![json!({"KV": {"Verb": "check-not-exists", "Key": leases(service) + id}})];
    if over {
        steps.push(
            json!({"Service": {"Verb": "delete", "Node": node, "Service": {"ID": id, "Service": service}}}),
        );
    } else {
        steps.extend(lively.iter().map(|(check, name)| {
            json!({"Check": {"Verb": "set", "Check": {
                "Node": node, "CheckID": check, "Name": name, "ServiceID": id, "ServiceName": service, "Status": "critical",
                "Output": "its lease ran out: its registrar does not answer",
            }}})
        }));
    }
    if steps.len() == 1 {
        return Ok(());
    }
    match client.call(Method::PUT, &["txn"], &[], Some(Value::Array(steps))).await {
        Ok(_) if over => {
            tracing::warn!(id, node, "removed an entry whose registrar is gone");
            forget_if_empty(client, node).await
        }
        Ok(_) => {
            tracing::warn!(id, node, "the lease of an entry ran out: it is critical now");
            Ok(())
        }
        Err(ClientError::Refused { status: 409, said, .. }) if !said.contains("ermission") => Ok(()),
        Err(error) => Err(error),
    }
}

/// What a call answered; null for an empty body.
pub(crate) fn answer(body: &[u8]) -> Result<Value, wire::WireError> {
    if body.iter().all(u8::is_ascii_whitespace) { Ok(Value::Null) } else { wire::parse(body) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_that_have_leases_are_judged_by_them() {
        let row = |id: &str, mark: &str, status: &str| json!({"Node": "n", "ID": id, "NodeMeta": {MARK: mark}, "Checks": [{"CheckID": "c", "Name": "x", "Status": status}]});
        let rows = [
            row("held", "1", "passing"),
            row("dead", "1", "passing"),
            row("told", "1", "critical"),
            row("agents", "", "passing"),
        ];
        let held = BTreeSet::from(["rolecall/lease/redis/held".to_owned()]);
        let found = orphans(&rows, "redis", &held);
        let found: Vec<_> = found.iter().map(|orphan| (orphan.id.as_str(), orphan.lively.len())).collect();
        assert_eq!(found, [("dead", 1), ("told", 0)]);
    }
}
