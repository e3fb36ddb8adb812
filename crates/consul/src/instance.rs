//! What `register` writes and `render` reads: the role tag and the meta keys.

use crate::election::Epoch;
use std::{collections::BTreeMap, fmt};

/// What an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Takes writes.
    Master,
    /// Follows a master.
    Replica,
}

impl Role {
    /// The value of `Meta.role`, whatever the service's own words are.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::Master => "primary",
            Role::Replica => "replica",
        }
    }

    /// What the field calls the two; `None` for any other word.
    #[must_use]
    pub fn read(word: &str) -> Option<Role> {
        match word {
            "primary" | "master" | "leader" => Some(Role::Master),
            "replica" | "slave" | "standby" | "follower" | "secondary" => Some(Role::Replica),
            _ => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Keys of a service's `Meta`.
pub mod meta {
    /// `primary`, `replica`, `candidate` or `fenced`.
    pub const ROLE: &str = "role";
    /// The instance's own word for what it is, such as `slave` or `leader`.
    pub const SAYS: &str = "says";
    /// The epoch in which this instance became master: a decimal number.
    pub const EPOCH: &str = "epoch";
    /// On one that is not master now, the latest epoch of its generation in which it was: a decimal number.
    pub const LAST_EPOCH: &str = "last_epoch";
    /// How often epochs began anew: a decimal number; not there before the first time.
    pub const GENERATION: &str = "generation";
    /// [`MANY`](super::MANY) where several instances may be master at once.
    pub const CARDINALITY: &str = "cardinality";
    /// Redis' run id: changes when the process restarts.
    pub const RUN_ID: &str = "run_id";
    /// A replica's link to its master: `up`, `sync` or `down`.
    pub const LINK: &str = "link";
    /// Redis' replication id: which history of writes the instance has.
    pub const REPLID: &str = "replid";
    /// Kubernetes pod name.
    pub const POD: &str = "pod";
    /// Kubernetes pod UID.
    pub const POD_UID: &str = "pod_uid";
    /// Kubernetes namespace.
    pub const NAMESPACE: &str = "namespace";
    /// Kubernetes node, or the VM's host name.
    pub const NODE: &str = "node";
    /// Who wrote the entry, `rolecall/VERSION`.
    pub const REGISTRAR: &str = "registrar";
}

/// The value of `Meta.cardinality` of a service that may have several masters.
pub const MANY: &str = "many";

/// One row of a service in the catalog, as both programs look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Consul node that holds the row.
    pub node: String,
    /// Service id.
    pub id: String,
    /// Service tags, sorted.
    pub tags: Vec<String>,
    /// Address for clients: the service's, else the node's.
    pub address: String,
    /// Port for clients.
    pub port: u16,
    /// Service meta.
    pub meta: BTreeMap<String, String>,
    /// Worst of the checks: passing, warning, critical or maintenance.
    pub status: String,
    /// Consul's index of the last time that the service was written.
    pub written: u64,
}

impl Instance {
    /// Whether the instance claims to be master.
    #[must_use]
    pub fn claims_master(&self) -> bool {
        self.claims(Role::Master)
    }

    /// Whether the instance claims to be a replica.
    #[must_use]
    pub fn claims_replica(&self) -> bool {
        self.claims(Role::Replica)
    }

    /// `Meta.role` decides where it says something that is known; else the tags do.
    fn claims(&self, role: Role) -> bool {
        match self.meta.get(meta::ROLE).map(String::as_str) {
            Some("candidate" | "fenced") => false,
            Some(word) if Role::read(word).is_some() => Role::read(word) == Some(role),
            _ => self.tags.iter().any(|tag| Role::read(tag) == Some(role)),
        }
    }

    /// Whether the service may have several masters.
    #[must_use]
    pub fn is_one_of_many(&self) -> bool {
        self.meta.get(meta::CARDINALITY).is_some_and(|many| many == MANY)
    }

    /// The epoch under which it was named master; `None` when unknown, which counts below every known epoch.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        Epoch::of(&self.meta)
    }

    /// The latest epoch in which it is or was master.
    #[must_use]
    pub fn reached(&self) -> Option<Epoch> {
        if self.claims_master() { self.epoch() } else { Epoch::last_of(&self.meta) }
    }

    /// Kubernetes' id of its pod.
    #[must_use]
    pub fn pod_uid(&self) -> Option<&str> {
        self.meta.get(meta::POD_UID).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(tags: &[&str], facts: &[(&str, &str)]) -> Instance {
        Instance {
            node: "n".into(),
            id: "i".into(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            address: "10.0.0.1".into(),
            port: 6379,
            meta: facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            status: "passing".into(),
            written: 0,
        }
    }

    #[test]
    fn a_role_is_read_from_meta_before_tags() {
        for (tags, role, master, replica) in [
            (&["v7", "master"][..], None, true, false),
            (&["leader"], None, true, false),
            (&["slave"], None, false, true),
            (&["standby", "v7"], None, false, true),
            (&["v7"], None, false, false),
            (&["rw"], Some("primary"), true, false),
            (&["ro"], Some("replica"), false, true),
            (&["master"], Some("master"), true, false),
            (&["master"], Some("replica"), false, true),
            (&["master"], Some("fenced"), false, false),
            (&["replica"], Some("candidate"), false, false),
            (&["master"], Some("cache of the shop"), true, false),
        ] {
            let facts: Vec<_> = role.map(|role| (meta::ROLE, role)).into_iter().collect();
            let row = instance(tags, &facts);
            assert_eq!((row.claims_master(), row.claims_replica()), (master, replica), "{tags:?} {role:?}");
        }
    }
}
