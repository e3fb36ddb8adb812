//! What `register` writes and `render` reads: the role tag, the meta keys, and which of several masters counts.

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
    /// The service tag, and the value of `Meta.role`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Role::Master => "master",
            Role::Replica => "replica",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

/// Keys of a service's `Meta`.
pub mod meta {
    /// `master` or `replica`.
    pub const ROLE: &str = "role";
    /// Sentinel's config epoch under which this instance was named master: a decimal number.
    pub const EPOCH: &str = "epoch";
    /// Redis' run id: changes when the process restarts.
    pub const RUN_ID: &str = "run_id";
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
}

impl Instance {
    /// Whether the instance claims to be master.
    #[must_use]
    pub fn claims_master(&self) -> bool {
        self.tags.iter().any(|tag| tag == Role::Master.tag())
    }

    /// Whether the instance claims to be a replica.
    #[must_use]
    pub fn claims_replica(&self) -> bool {
        self.tags.iter().any(|tag| tag == Role::Replica.tag())
    }

    /// The epoch under which it was named master; `None` when unknown, which counts below every known epoch.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.meta.get(meta::EPOCH).and_then(|epoch| epoch.parse().ok())
    }
}

/// Who of several that claim to be master is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Election {
    /// Nobody claims.
    None,
    /// The position of the one to believe.
    One(usize),
    /// Several claim with the same highest epoch: to believe any of them may lose writes, so none is believed.
    Tie(Vec<usize>),
}

/// Elects the claim with the highest epoch among `claims`.
#[must_use]
pub fn elect(claims: &[&Instance]) -> Election {
    let Some(highest) = claims.iter().map(|claim| claim.epoch()).max() else { return Election::None };
    let first: Vec<usize> = (0..claims.len()).filter(|&n| claims[n].epoch() == highest).collect();
    match first.as_slice() {
        [one] => Election::One(*one),
        _ => Election::Tie(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_epoch_is_believed() {
        let claim = |epoch: Option<&str>| Instance {
            node: "n".into(),
            id: "i".into(),
            tags: vec!["master".into()],
            address: "10.0.0.1".into(),
            port: 6379,
            meta: epoch.map(|e| (meta::EPOCH.to_owned(), e.to_owned())).into_iter().collect(),
            status: "passing".into(),
        };
        for (epochs, elected) in [
            (vec![], Election::None),
            (vec![None], Election::One(0)),
            (vec![Some("3"), Some("12")], Election::One(1)),
            (vec![Some("3"), None], Election::One(0)),
            (vec![Some("3"), Some("nonsense")], Election::One(0)),
            (vec![None, None], Election::Tie(vec![0, 1])),
            (vec![Some("3"), Some("4"), Some("4")], Election::Tie(vec![1, 2])),
        ] {
            let claims: Vec<_> = epochs.iter().map(|e| claim(*e)).collect();
            assert_eq!(elect(&claims.iter().collect::<Vec<_>>()), elected, "{epochs:?}");
        }
    }
}
