//! What may be asked of Consul. A `Query` is its own name: two equal queries share one watch.

use std::fmt;

/// One question. Its `Display` is the request path with its parameters, which names it in logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    /// Instances of a service, with their health (`/v1/health/service/:name`).
    Health {
        /// Service name.
        service: String,
        /// Only instances that carry this tag.
        tag: Option<String>,
        /// Only instances whose checks pass.
        passing: bool,
        /// Those that speak the service mesh's protocol for it (`/v1/health/connect/:name`).
        connect: bool,
        /// Sort by distance from this node; `_agent` is the agent that is asked.
        near: Option<String>,
        /// Datacenter and further parameters.
        scope: Scope,
    },
    /// All service names with their tags (`/v1/catalog/services`).
    Services(Scope),
    /// All checks (`/v1/health/state/any`).
    Checks(Scope),
    /// All nodes (`/v1/catalog/nodes`).
    Nodes {
        /// Sort by distance from this node.
        near: Option<String>,
        /// Datacenter and further parameters.
        scope: Scope,
    },
    /// One node and its services (`/v1/catalog/node/:name`); without a name the agent's own node.
    Node {
        /// Node name.
        name: Option<String>,
        /// Datacenter and further parameters.
        scope: Scope,
    },
    /// One key (`/v1/kv/:key`).
    Key {
        /// Full key, without a leading slash.
        key: String,
        /// Datacenter and further parameters.
        scope: Scope,
    },
    /// All keys under a prefix (`/v1/kv/:prefix?recurse`).
    Tree {
        /// Key prefix, taken literally by Consul.
        prefix: String,
        /// Datacenter and further parameters.
        scope: Scope,
    },
    /// Known datacenters (`/v1/catalog/datacenters`).
    Datacenters,
    /// What a prepared query finds (`/v1/query/:name/execute`).
    Prepared {
        /// Its name or id.
        name: String,
        /// Sort by distance from this node.
        near: Option<String>,
        /// Datacenter and further parameters.
        scope: Scope,
    },
    /// The certificate authorities of the service mesh (`/v1/agent/connect/ca/roots`).
    CaRoots,
    /// A service's certificate for the mesh (`/v1/agent/connect/ca/leaf/:service`).
    CaLeaf(String),
    /// Clusters that this one is peered with (`/v1/peerings`).
    Peerings(Scope),
    /// Admin partitions (`/v1/partitions`), which only Consul Enterprise has.
    Partitions,
    /// Services that a partition offers to others (`/v1/exported-services`).
    Exported(Scope),
    /// Services that a partition takes from others (`/v1/imported-services`).
    Imported(Scope),
}

/// Where a question is asked: a datacenter, and parameters such as `ns` that are passed on as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Datacenter; the agent's own when absent.
    pub dc: Option<String>,
    /// Further parameters, in the order given.
    pub more: Vec<(String, String)>,
}

impl Query {
    /// The passing (or all) instances of a service, by its plain name.
    #[must_use]
    pub fn health(service: &str, passing: bool) -> Query {
        Query::Health {
            service: service.into(),
            tag: None,
            passing,
            connect: false,
            near: None,
            scope: Scope::default(),
        }
    }

    /// Whether Consul can hold the question open until the answer changes.
    #[must_use]
    pub fn blocks(&self) -> bool {
        !matches!(self, Query::Datacenters | Query::Partitions | Query::Prepared { .. })
    }

    /// Whether the agent that is asked answers by itself: out of its cache, which names no leader.
    #[must_use]
    pub fn is_agents(&self) -> bool {
        matches!(self, Query::CaRoots | Query::CaLeaf(_))
    }

    /// Whether the answer is the same whoever asks, and wherever; a certificate with its key is for nobody else.
    #[must_use]
    pub fn is_shareable(&self) -> bool {
        match self {
            Query::Health { near, .. } | Query::Nodes { near, .. } => near.is_none(),
            Query::Node { name, .. } => name.is_some(),
            Query::Services(_) | Query::Key { .. } | Query::Tree { .. } | Query::Datacenters => true,
            _ => false,
        }
    }

    /// Whether an agent can keep the answer in its cache, which it refreshes by one question for all who ask.
    #[must_use]
    pub fn is_cacheable(&self) -> bool {
        matches!(self, Query::Health { near: None, scope: Scope { more, .. }, .. } if more.is_empty())
    }

    /// Path segments below `/v1/`; a key keeps its slashes by being split at them.
    #[must_use]
    pub fn path(&self) -> Vec<&str> {
        match self {
            Query::Health { service, connect: false, .. } => vec!["health", "service", service],
            Query::Health { service, .. } => vec!["health", "connect", service],
            Query::Services(_) => vec!["catalog", "services"],
            Query::Checks(_) => vec!["health", "state", "any"],
            Query::Nodes { .. } => vec!["catalog", "nodes"],
            Query::Node { name, .. } => vec!["catalog", "node", name.as_deref().unwrap_or("_agent")],
            Query::Key { key: path, .. } | Query::Tree { prefix: path, .. } => {
                std::iter::once("kv").chain(path.split('/')).collect()
            }
            Query::Datacenters => vec!["catalog", "datacenters"],
            Query::Prepared { name, .. } => vec!["query", name, "execute"],
            Query::CaRoots => vec!["agent", "connect", "ca", "roots"],
            Query::CaLeaf(service) => vec!["agent", "connect", "ca", "leaf", service],
            Query::Peerings(_) => vec!["peerings"],
            Query::Partitions => vec!["partitions"],
            Query::Exported(_) => vec!["exported-services"],
            Query::Imported(_) => vec!["imported-services"],
        }
    }

    /// Request parameters, apart from `index` and `wait`.
    #[must_use]
    pub fn params(&self) -> Vec<(&str, &str)> {
        let mut params = vec![];
        let (tag, near, scope) = match self {
            Query::Health { tag, passing, near, scope, .. } => {
                if *passing {
                    params.push(("passing", "1"));
                }
                (tag.as_deref(), near.as_deref(), Some(scope))
            }
            Query::Nodes { near, scope } | Query::Prepared { near, scope, .. } => {
                (None, near.as_deref(), Some(scope))
            }
            Query::Tree { scope, .. } => {
                params.push(("recurse", ""));
                (None, None, Some(scope))
            }
            Query::Services(scope)
            | Query::Checks(scope)
            | Query::Node { scope, .. }
            | Query::Key { scope, .. }
            | Query::Peerings(scope)
            | Query::Exported(scope)
            | Query::Imported(scope) => (None, None, Some(scope)),
            Query::Datacenters | Query::CaRoots | Query::CaLeaf(_) | Query::Partitions => (None, None, None),
        };
        params.extend(tag.map(|tag| ("tag", tag)));
        params.extend(near.map(|near| ("near", near)));
        if let Some(scope) = scope {
            params.extend(scope.dc.as_deref().map(|dc| ("dc", dc)));
            params.extend(scope.more.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        }
        params
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path().join("/"))?;
        for (n, (key, value)) in self.params().into_iter().enumerate() {
            f.write_str(if n == 0 { "?" } else { "&" })?;
            f.write_str(key)?;
            if !value.is_empty() {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_named_by_its_request() {
        let scope = || Scope { dc: Some("dc2".into()), more: vec![("ns".into(), "a".into())] };
        for (query, name) in [
            (Query::health("redis", true), "health/service/redis?passing=1"),
            (Query::health("redis", false), "health/service/redis"),
            (Query::Key { key: "a/b".into(), scope: scope() }, "kv/a/b?dc=dc2&ns=a"),
            (Query::Tree { prefix: "a/".into(), scope: Scope::default() }, "kv/a/?recurse"),
            (Query::Node { name: None, scope: Scope::default() }, "catalog/node/_agent"),
            (Query::Datacenters, "catalog/datacenters"),
            (
                Query::Prepared { name: "near-redis".into(), near: Some("_agent".into()), scope: scope() },
                "query/near-redis/execute?near=_agent&dc=dc2&ns=a",
            ),
            (Query::CaLeaf("web".into()), "agent/connect/ca/leaf/web"),
            (Query::Peerings(scope()), "peerings?dc=dc2&ns=a"),
        ] {
            assert_eq!(query.to_string(), name);
        }
    }
}
