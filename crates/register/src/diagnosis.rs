//! Why the catalog does not say what the agent says: the known lies by their names, each with its remedy.

use consul::{AgentSelf, Instance, instance::meta};
use std::time::Duration;

/// What was found out when the catalog was seen to differ. `None` is what could not be found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// Whether the token may write the service.
    pub may_write: Option<bool>,
    /// Whether it may see the service's rows: service:read, and node:read on their node.
    pub may_see: Option<bool>,
    /// Who the agent says that it is.
    pub agent: Option<AgentSelf>,
    /// The id under which the catalog has a node of that name.
    pub catalogs_id: Option<String>,
}

/// A known reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The agent came back with another node id; the servers refuse all that it says.
    StaleNode {
        /// The node's name, where it is known.
        name: Option<String>,
        /// Its id, and the one that the catalog keeps.
        ids: Option<(String, String)>,
    },
    /// The token may no longer write the service: the agent takes the entry and cannot bring it to the servers.
    LostRight,
    /// The token may not see the rows, and Consul answers with an empty list instead of an error.
    Blind,
    /// The same process stands on several nodes: its calls reach now one agent, now another.
    SeveralAgents(Vec<String>),
}

/// An agent goes by what it remembers of a token for 30 s (`acl_policy_ttl`); only then rights that it tells count.
const REMEMBERED: Duration = Duration::from_secs(35);

/// The cause of a difference that has lasted so long, given the catalog's rows under our id.
#[must_use]
pub fn cause(ours: &[Instance], witness: &Witness, lasted: Duration) -> Option<Cause> {
    let ids = match (&witness.agent, &witness.catalogs_id) {
        (Some(agent), Some(id)) if *id != agent.id => Some((agent.id.clone(), id.clone())),
        _ => None,
    };
    let name = || witness.agent.as_ref().map(|agent| agent.name.clone());
    match witness {
        Witness { may_write: Some(false), .. } => Some(Cause::LostRight),
        _ if ids.is_some() => Some(Cause::StaleNode { name: name(), ids }),
        Witness { may_see: Some(false), .. } if ours.is_empty() => Some(Cause::Blind),
        // The rights are there, and who the agent is may not be asked: what is left of the known reasons.
        Witness { may_write: Some(true), may_see: Some(true), agent: None, .. } if lasted > REMEMBERED => {
            Some(Cause::StaleNode { name: ours.first().map(|row| row.node.clone()), ids: None })
        }
        _ => None,
    }
}

/// Whether passing rows on several nodes were all written by the same process.
#[must_use]
pub fn several(ours: &[Instance]) -> Option<Cause> {
    let told = |row: &Instance| (row.meta.get(meta::RUN_ID).cloned(), row.meta.get(meta::POD_UID).cloned());
    let [first, rest @ ..] = ours else { return None };
    let same = |row: &Instance| {
        row.status == "passing"
            && (told(row), &row.address, row.port) == (told(first), &first.address, first.port)
    };
    let known = first.meta.contains_key(meta::RUN_ID) && !rest.is_empty();
    (known && ours.iter().all(same))
        .then(|| Cause::SeveralAgents(ours.iter().map(|row| row.node.clone()).collect()))
}

impl Cause {
    /// The word in status and log.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Cause::StaleNode { .. } => "stale node id",
            Cause::LostRight => "lost token rights",
            Cause::Blind => "token may not read",
            Cause::SeveralAgents(_) => "several agents",
        }
    }

    /// What is wrong, and what to do.
    #[must_use]
    pub fn remedy(&self, service: &str) -> String {
        match self {
            Cause::StaleNode { name, ids } => {
                let node = name.as_deref().unwrap_or("NAME");
                let ids = ids.as_ref().map_or_else(String::new, |(own, catalogs)| {
                    format!(" (it is {own} now, the catalog has {catalogs})")
                });
                let likely = if ids.is_empty() { "most likely " } else { "" };
                format!(
                    "{likely}the agent of node {node} came back with an empty data directory and a new node id{ids}, \
                     and the servers refuse what it says: its log has \"Node name {node} is reserved by node\". Remove \
                     the old node once, with consul's PUT /v1/catalog/deregister {{\"Node\": \"{node}\"}} (needs \
                     node:write), and give the agent a stable -node-id or a data directory that lasts"
                )
            }
            Cause::LostRight => format!(
                "the token lost service:write: the agent took the entry and cannot bring it to the servers; give the \
                 token the policy service \"{service}\" {{ policy = \"write\" }}"
            ),
            Cause::Blind => format!(
                "the token may not see the service in the catalog, which answers with an empty list instead of an \
                 error; give it the policy service \"{service}\" {{ policy = \"write\" }} node_prefix \"\" \
                 {{ policy = \"read\" }}"
            ),
            Cause::SeveralAgents(nodes) => format!(
                "nodes {} both hold this entry: consul.address reaches several agents, and each keeps entries of its \
                 own; name one agent, that of this machine",
                nodes.join(" and ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(node: &str, run_id: &str) -> Instance {
        Instance {
            node: node.into(),
            id: "redis-0".into(),
            tags: vec![],
            address: "10.0.0.7".into(),
            port: 6379,
            meta: [(meta::RUN_ID.to_owned(), run_id.to_owned())].into(),
            status: "passing".into(),
            written: 0,
        }
    }

    #[test]
    fn each_lie_has_its_name() {
        let agent = |id: &str| AgentSelf { name: "n1".into(), id: id.into(), ..AgentSelf::default() };
        let both = Witness { may_write: Some(true), may_see: Some(true), ..Witness::default() };
        let known = Witness { agent: Some(agent("new")), catalogs_id: Some("old".into()), ..both.clone() };
        let same = Witness { catalogs_id: Some("new".into()), ..known.clone() };
        let lost = Witness { may_write: Some(false), ..known.clone() };
        let blind = Witness { may_see: Some(false), ..both.clone() };
        let rows = [row("n1", "abc")];
        for (rows, witness, word, says) in [
            (&rows[..], &known, Some("stale node id"), "it is new now, the catalog has old"),
            (&[], &known, Some("stale node id"), "{\"Node\": \"n1\"}"),
            (&rows, &both, Some("stale node id"), "most likely the agent of node n1"),
            (&rows, &lost, Some("lost token rights"), "service \"redis\" { policy = \"write\" }"),
            (&[], &blind, Some("token may not read"), "node_prefix \"\" { policy = \"read\" }"),
            (&rows, &same, None, ""),
            (&rows, &Witness::default(), None, ""),
        ] {
            let cause = cause(rows, witness, Duration::from_secs(60));
            assert_eq!(cause.as_ref().map(Cause::word), word, "{witness:?}");
            let remedy = cause.map(|cause| cause.remedy("redis")).unwrap_or_default();
            assert!(remedy.contains(says), "{remedy}");
        }
    }

    #[test]
    fn an_agent_that_may_only_remember_a_right_is_not_believed() {
        let witness = Witness { may_write: Some(true), may_see: Some(true), ..Witness::default() };
        assert_eq!(cause(&[row("n1", "abc")], &witness, Duration::from_secs(5)), None);
    }

    #[test]
    fn one_process_on_two_nodes_is_not_a_ghost() {
        let nodes = vec!["n1".to_owned(), "n2".to_owned()];
        assert_eq!(several(&[row("n1", "a"), row("n2", "a")]), Some(Cause::SeveralAgents(nodes)));
        assert_eq!(several(&[row("n1", "a"), row("n2", "b")]), None, "an earlier life");
        assert_eq!(several(&[row("n1", "a")]), None);
    }
}
