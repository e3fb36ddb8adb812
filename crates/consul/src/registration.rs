//! What an agent is asked to hold, and what it holds: a service with one TTL check.

use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// The state of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Gets traffic.
    Passing,
    /// Gets traffic where the reader allows it.
    Warning,
    /// Gets none.
    Critical,
}

/// What an agent is asked to hold: a service with one TTL check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Service id, unique on the agent.
    pub id: String,
    /// Service name.
    pub name: String,
    /// Tags, the role tag among them.
    pub tags: Vec<String>,
    /// Address for clients.
    pub address: String,
    /// Port for clients.
    pub port: u16,
    /// Facts about the instance.
    pub meta: BTreeMap<String, String>,
    /// The check that heartbeats keep alive.
    pub check: TtlCheck,
}

/// A check that turns critical by itself when no heartbeat comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TtlCheck {
    /// Check id; constant, since a changed id would leave the old check behind.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Time to live without a heartbeat.
    pub ttl: Duration,
    /// The status a new check starts with; an agent that knows the check keeps what it has.
    pub status: Status,
    /// Consul removes the service after this time in critical; at least a minute.
    pub deregister_critical_after: Duration,
}

/// A service as an agent holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldService {
    /// Service id.
    pub id: String,
    /// Service name.
    pub name: String,
    /// Tags in the order given.
    pub tags: Vec<String>,
    /// Address for clients.
    pub address: String,
    /// Port for clients.
    pub port: u16,
    /// Facts about the instance.
    pub meta: BTreeMap<String, String>,
}

/// What an agent holds under an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Absent,
    /// This service; `hash` lets the next call wait for a change.
    Present {
        /// The service.
        service: HeldService,
        /// `X-Consul-ContentHash`.
        hash: String,
    },
}

impl Registration {
    /// Whether this registration is held already; the order of tags means nothing.
    #[must_use]
    pub fn same_as(&self, held: &HeldService) -> bool {
        let HeldService { id, name, tags, address, port, meta } = held;
        let sorted = |tags: &[String]| tags.iter().cloned().collect::<BTreeSet<_>>();
        (id, name, sorted(tags), address, port, meta)
            == (&self.id, &self.name, sorted(&self.tags), &self.address, &self.port, &self.meta)
    }

    /// Only fields that Consul 1.8 knows: it refuses a body with any other.
    pub(crate) fn body(&self) -> Value {
        let check = &self.check;
        json!({
            "ID": self.id, "Name": self.name, "Tags": self.tags, "Address": self.address, "Port": self.port,
            "Meta": self.meta,
            "Check": {
                "CheckID": check.id, "Name": check.name, "TTL": span(check.ttl), "Status": check.status.word(),
                "DeregisterCriticalServiceAfter": span(check.deregister_critical_after),
            },
        })
    }
}

impl Status {
    /// Consul's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Status::Passing => "passing",
            Status::Warning => "warning",
            Status::Critical => "critical",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl HeldService {
    /// Reads the agent's answer.
    pub(crate) fn read(value: &Value) -> HeldService {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let words = |list: &Value| {
            list.as_array().into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect()
        };
        HeldService {
            id: text("ID"),
            name: text("Service"),
            tags: words(&value["Tags"]),
            address: text("Address"),
            port: value["Port"].as_u64().and_then(|port| port.try_into().ok()).unwrap_or_default(),
            meta: value["Meta"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect(),
        }
    }
}

/// A duration as Consul reads it.
pub(crate) fn span(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
