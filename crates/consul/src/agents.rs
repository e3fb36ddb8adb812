//! Who answers at Consul's address. Behind a name with several addresses, or behind a balancer, it is now one agent
//! and now another, and each keeps registrations of its own.

use crate::{Client, ClientError, connection::Connection, wire};
use serde_json::Value;
use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc, time::Duration};
use tokio::{net::lookup_host, task::JoinSet, time::timeout};

/// An agent, as it says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentSelf {
    /// Node name.
    pub name: String,
    /// Node id; another one after a start with an empty data directory, unless it is given.
    pub id: String,
    /// Whether it is a server.
    pub server: bool,
    /// Consul's version.
    pub version: String,
}

/// A balancer shows itself by this many fresh connections, most of the time; they are repeated.
const CONNECTIONS: usize = 3;
const LOOKUP: Duration = Duration::from_secs(2);

impl AgentSelf {
    pub(crate) fn read(body: &[u8]) -> Result<AgentSelf, String> {
        let value = wire::parse(body).map_err(|e| e.to_string())?;
        let config = &value["Config"];
        let text = |key: &str| config[key].as_str().unwrap_or_default().to_owned();
        let (name, id, version) = (text("NodeName"), text("NodeID"), text("Version"));
        if name.is_empty() {
            return Err("it names no node".into());
        }
        Ok(AgentSelf { name, id, server: config["Server"] == Value::Bool(true), version })
    }
}

/// Why an address behind which several agents answer is refused by who registers.
#[must_use]
pub fn several(address: &str, agents: &[AgentSelf]) -> String {
    let names: Vec<String> = agents.iter().map(AgentSelf::to_string).collect();
    format!(
        "several agents answer at {address}: {}. Each keeps registrations of its own, so one instance would be \
         there many times and its heartbeats would get lost: let consul.address name one agent, that of this \
         machine (in a pod: HOST_IP), or use mode = \"catalog\" where there is none",
        names.join(", ")
    )
}

impl fmt::Display for AgentSelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id)
    }
}

impl Client {
    /// All agents that answer at the address, by fresh connections to each of its IP addresses. The error of the last
    /// one when none answers; it needs agent:read.
    pub async fn agents(&self) -> Result<BTreeSet<AgentSelf>, ClientError> {
        let mut asking = JoinSet::new();
        for ip in self.addresses().await {
            for _ in 0..CONNECTIONS {
                let connection = Arc::new(Connection::via(self.shared_settings(), ip)?);
                let client = self.over(connection);
                asking.spawn(async move { client.myself().await });
            }
        }
        let (mut found, mut trouble) = (BTreeSet::new(), None);
        for answer in asking.join_all().await {
            match answer {
                Ok(agent) => _ = found.insert(agent),
                Err(error) => trouble = Some(error),
            }
        }
        match trouble {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// The addresses that the host's name stands for; one that is not known where there is no name to look up.
    async fn addresses(&self) -> BTreeSet<Option<IpAddr>> {
        let authority = self.settings().address.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split('/').next().unwrap_or_default();
        let named = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if named { authority.to_owned() } else { format!("{authority}:0") };
        let found = match timeout(LOOKUP, lookup_host(host)).await {
            Ok(Ok(found)) => found.map(|address| Some(address.ip())).collect(),
            _ => BTreeSet::new(),
        };
        if found.is_empty() { [None].into() } else { found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_says_who_it_is() {
        let body = br#"{"Config": {"NodeName": "n1", "NodeID": "i", "Server": true, "Version": "1.8.7"}}"#;
        let agent = AgentSelf::read(body).unwrap();
        assert_eq!((agent.to_string().as_str(), agent.server), ("n1 (i)", true));
        assert!(AgentSelf::read(b"{}").is_err());
    }
}
