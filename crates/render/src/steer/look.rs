//! The look whether HAProxy still runs what the file says.

use super::{Helm, can};
use crate::haproxy::{
    compared::{Compared, compared},
    order::Order,
    runtime::Runtime,
    sessions::{Server, idle},
    verdict::{Drift, drift},
};
use std::{collections::BTreeSet, sync::Arc};

/// What a look at a worker found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// What ran otherwise than the file says, in plain English.
    pub drift: Vec<String>,
    /// Whether it was put right; if not, only a reload can.
    pub mended: bool,
    /// Whether a file that the configuration names holds something else than before.
    pub other_files: bool,
    /// Servers out of use that are still there, for their last connections.
    pub leaving: usize,
    /// All servers, as they ran when it was looked.
    pub servers: Arc<Vec<Compared>>,
}

impl Helm {
    /// Compares what runs with the file, and puts right what can be put right by orders. `None` while a change is
    /// under way, or HAProxy cannot be looked at.
    pub async fn look_after(&mut self) -> Option<Looked> {
        let file = self.file().ok()??;
        // What was told and is not in the file, or waits for a reload, left a doubt.
        if self.destination.is_pending() {
            return None;
        }
        let (runtime, look) = Runtime::find(&self.door).await.ok()?;
        let (can, want) = (can(&look), self.known.configuration(&file));
        self.known.left.1.retain(|server, _| look.running.servers.contains_key(server));
        let drift = drift(&look.running, &want.outline, &can);
        let servers = Arc::new(compared(&look.running, &want.outline, &drift));
        let (left, wrong): (Vec<Drift>, _) = drift.into_iter().partition(|drift| self.waits(drift, look.pid));
        self.known.holds(&want.outline, &look);
        let other_files = self.known.other_files(&want);
        let mut looked = Looked { leaving: left.len(), mended: true, other_files, servers, drift: vec![] };
        if !left.is_empty() {
            looked.leaving -= tidy(&runtime, left).await;
        }
        if !wrong.is_empty() {
            let orders: Vec<Order> = wrong.iter().flat_map(|drift| drift.orders.clone()).collect();
            let hopeless = wrong.iter().any(|drift| drift.orders.is_empty());
            looked.mended = !hopeless && self.order(&runtime, &orders, &want, &look, &can).await.is_ok();
            looked.drift = wrong.into_iter().map(|drift| drift.what).collect();
        }
        // For the other HAProxies another text may have come into the file since.
        let stays = self.file().is_ok_and(|now| now.as_ref() == Some(&file));
        if looked.mended {
            self.known.live = Some((look.pid, file));
        }
        if looked.mended && stays && !looked.drift.is_empty() {
            self.settle();
        }
        Some(looked)
    }
}

/// Deletes servers that are out of use and that nothing points to any more; how many.
async fn tidy(runtime: &Runtime, left: Vec<Drift>) -> usize {
    let Ok(stat) = runtime.connections().await else { return 0 };
    let idle = idle(&stat);
    let free = |order: &Order| order.server().is_some_and(|server| idle.contains(server));
    let orders: Vec<Order> = left.into_iter().flat_map(|drift| drift.orders).filter(free).collect();
    if orders.is_empty() {
        return 0;
    }
    let Ok(now) = runtime.give(&orders).await else { return 0 };
    let told: BTreeSet<&Server> = orders.iter().filter_map(Order::server).collect();
    told.into_iter().filter(|server| !now.running.servers.contains_key(*server)).count()
}
