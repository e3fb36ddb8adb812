//! Gives orders, and reads back what runs then.

use super::Helm;
use crate::haproxy::{
    capability::Capabilities,
    order::Order,
    runtime::{Look, Runtime},
    sessions::{Server, idle},
    verdict::{Configuration, Drift, drift},
};
use std::collections::BTreeSet;

/// What orders came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// How many they were.
    pub orders: usize,
    /// How many servers are still there for their last connections.
    pub leaving: usize,
    /// When HAProxy had done them, in milliseconds of Unix time.
    pub at: f64,
}

impl Helm {
    /// Does what was decided, in the manner that was chosen for sessions.
    pub(super) async fn switch(
        &mut self,
        runtime: &Runtime,
        orders: Vec<Order>,
        (live, next): (&Configuration, &Configuration),
        look: &Look,
        can: &Capabilities,
    ) -> Result<Told, String> {
        let (orders, going) = self.demote.soften(orders, &live.outline);
        // Who comes back stays; who goes has its time from now on, and is not missed when it is read back.
        let back: BTreeSet<Server> =
            orders.iter().filter(|order| order.takes_in()).filter_map(Order::server).cloned().collect();
        self.going.retain(|server| !back.contains(server));
        self.going.add(&self.door, going, look.pid, self.demote.time());
        self.order(runtime, &orders, next, look, can).await
    }

    /// Gives orders and reads back what runs then. Fails with the reason why it is not what the text says.
    pub(super) async fn order(
        &self,
        runtime: &Runtime,
        orders: &[Order],
        next: &Configuration,
        look: &Look,
        can: &Capabilities,
    ) -> Result<Told, String> {
        let given = orders.len();
        let orders = due(orders, &self.known.revived(orders, look));
        if orders.iter().any(Order::can_wait) {
            let idle = idle(&runtime.connections().await.map_err(|error| error.to_string())?);
            let busy = orders.iter().filter(|order| order.can_wait()).filter_map(Order::server);
            if let Some((proxy, name)) = busy.into_iter().find(|server| !idle.contains(*server)) {
                return Err(format!("a server {proxy}/{name} that left still has connections"));
            }
        }
        self.doubt();
        let after = runtime.give(&orders).await.map_err(|error| format!("steering failed: {error}"))?;
        if after.pid != look.pid {
            return Err("another worker took over while it was steered".into());
        }
        let drift = drift(&after.running, &next.outline, can);
        match wrong(drift.iter().filter(|drift| !self.waits(drift, look.pid))) {
            Some(what) => Err(format!("steering did not work: {what}; HAProxy said: {}", after.said)),
            None => Ok(Told { orders: given, leaving: drift.len(), at: after.at }),
        }
    }

    /// Whether it is about a server that has to wait: for its last connections, or for its time to be over.
    pub(super) fn waits(&self, drift: &Drift, pid: u32) -> bool {
        let server = drift.orders.first().and_then(Order::server);
        server.is_some_and(|server| self.going.has(server, pid))
            || (!drift.orders.is_empty() && drift.orders.iter().all(Order::can_wait))
    }

    /// Before a worker is told what the file does not say: a next run must know of it, if this one is killed.
    pub(super) fn doubt(&self) {
        if let Err(error) = self.destination.doubt() {
            self.warn(&error);
        }
    }
}

/// The orders that are given now: one that only tidies up waits for the next look, unless its server's name is needed.
/// A revived one is neither deleted nor made.
fn due(orders: &[Order], revived: &BTreeSet<Server>) -> Vec<Order> {
    let added = orders.iter().filter(|order| matches!(order, Order::Add { .. }));
    let added: BTreeSet<&Server> = added.filter_map(Order::server).collect();
    let needed = |order: &Order| order.server().is_some_and(|server| added.contains(server));
    let spared = |order: &Order| matches!(order, Order::Delete(server) | Order::Add { server, .. } | Order::EnableHealth(server) if revived.contains(server));
    let now = |order: &&Order| !spared(order) && (!order.can_wait() || needed(order));
    orders.iter().filter(now).cloned().collect()
}

/// What is wrong beyond what may wait.
fn wrong<'a>(drift: impl Iterator<Item = &'a Drift>) -> Option<String> {
    let wrong: Vec<&str> = drift.map(|drift| drift.what.as_str()).take(3).collect();
    (!wrong.is_empty()).then(|| wrong.join(", "))
}
