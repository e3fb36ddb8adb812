//! Takes a superseded master off the catalog whose node is lost.
//!
//! The catalog keeps the last row that a lost node's agent brought to it: master, and passing. When the node is back, its
//! own check passes again at once, and the row with it, seconds before that agent brings what became of the instance
//! meanwhile. A row that is not there cannot pass; the agent writes it again with what is true then.

use crate::{
    plan::Identity,
    role::{Belief, Standing},
};
use consul::{Client, Watched, election::Epoch, wire};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// Consul's own check of a node: whether the others of the cluster reach its agent.
const NODE_CHECK: &str = "serfHealth";

/// Until a row that could not be taken away is tried again; the belief, which wakes this, changes with each look.
const AGAIN: Duration = Duration::from_secs(10);

/// One row, as it was last written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    node: String,
    id: String,
    index: u64,
}

/// The rows of others that claim to be master in an earlier epoch, and whose node is lost.
fn superseded(rows: &Value, me: &str, epoch: Epoch) -> BTreeSet<Row> {
    let lost = |row: &&Value| {
        let mut checks = row["Checks"].as_array().into_iter().flatten();
        checks.any(|check| check["CheckID"] == NODE_CHECK && check["Status"] == "critical")
    };
    let lost = rows.as_array().into_iter().flatten().filter(lost).map(wire::instance);
    lost.filter(|row| row.id != me && row.claims_master() && row.epoch().is_some_and(|former| former < epoch))
        .map(|row| Row { node: row.node, id: row.id, index: row.written })
        .collect()
}

/// The epoch in which it is master, beyond doubt.
fn crown(belief: &Belief) -> Option<Epoch> {
    let master = belief.standing == Standing::Master && belief.is_settled() && belief.failure.is_none();
    belief.epoch.filter(|_| master)
}

/// Takes away what this instance supersedes, for as long as it is master; without end. A row that could not be taken away
/// is tried again after a while.
pub async fn clear(
    client: &Client,
    me: &Identity,
    mut catalog: watch::Receiver<Watched>,
    mut belief: watch::Receiver<Belief>,
) {
    let mut tried: BTreeMap<Row, Instant> = BTreeMap::new();
    loop {
        let rows = catalog.borrow_and_update().value.clone();
        let epoch = crown(&belief.borrow_and_update()).filter(|_| !me.many);
        let found = epoch.zip(rows).map(|(epoch, rows)| superseded(&rows, &me.id, epoch));
        let found = found.unwrap_or_default();
        tried.retain(|row, _| found.contains(row));
        for row in found {
            if tried.get(&row).is_none_or(|at| at.elapsed() >= AGAIN) {
                take(client, me, &row).await;
                tried.insert(row, Instant::now());
            }
        }
        tokio::select! {
            Ok(()) = catalog.changed() => {}
            Ok(()) = belief.changed() => {}
            else => std::future::pending().await,
        }
    }
}

async fn take(client: &Client, me: &Identity, Row { node, id, index }: &Row) {
    match client.take_row(node, (&me.service, id), *index).await {
        Ok(true) => tracing::warn!(id, node, "took a superseded master off the catalog: its node is lost"),
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(id, node, %error, "the row of a superseded master stays; its node is lost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_lost_masters_of_earlier_epochs_are_taken_away() {
        let row = |id: &str, role: &str, epoch: &str, node: &str| {
            json!({"Node": "n", "ID": id, "Tags": [], "ServiceMeta": {"role": role, "epoch": epoch}, "ModifyIndex": 7,
                   "Status": "critical",
                   "Checks": [{"CheckID": "serfHealth", "Status": node}, {"CheckID": "rolecall:x", "Status": "critical"}]})
        };
        for (id, role, epoch, node, goes, what) in [
            ("b", "primary", "3", "critical", true, "lost, and superseded"),
            ("b", "primary", "3", "passing", false, "its own register tells what it is"),
            ("b", "primary", "4", "critical", false, "not earlier"),
            ("b", "primary", "x", "critical", false, "of no known epoch"),
            ("b", "replica", "3", "critical", false, "no master"),
            ("a", "primary", "3", "critical", false, "this instance itself"),
        ] {
            let found = superseded(&json!([row(id, role, epoch, node)]), "a", 4.into());
            let wanted = Row { node: "n".into(), id: id.into(), index: 7 };
            assert_eq!(
                found.into_iter().collect::<Vec<_>>(),
                Vec::from_iter(goes.then_some(wanted)),
                "{what}"
            );
        }
    }
}
