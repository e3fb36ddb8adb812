//! What runs, compared with what should: somebody used the socket by hand, or a worker lost what it was told.

use super::servers;
use crate::haproxy::{
    capability::Capabilities, order::Order, outline::Outline, running::Running, sessions::Server,
};
use std::collections::BTreeMap;

/// Something that runs otherwise than the text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// What is wrong, in plain English.
    pub what: String,
    /// What repairs it; empty where only a reload can.
    pub orders: Vec<Order>,
}

/// Compares what runs with the text that should.
#[must_use]
pub fn drift(running: &Running, want: &Outline, can: &Capabilities) -> Vec<Drift> {
    let steps = match servers::steps(want, want, running, can) {
        Ok(steps) => steps,
        Err(why) => return vec![Drift { what: why, orders: vec![] }],
    };
    let mut by_server: BTreeMap<Server, Vec<Order>> = BTreeMap::new();
    for order in steps.in_order() {
        if let Some(server) = order.server() {
            by_server.entry(server.clone()).or_default().push(order);
        }
    }
    by_server
        .into_iter()
        .map(|(server, orders)| Drift { what: said(&server, &orders, running), orders })
        .collect()
}

fn said((proxy, name): &Server, orders: &[Order], running: &Running) -> String {
    let server = format!("server {proxy}/{name}");
    let runs = running.servers.get(&(proxy.clone(), name.clone()));
    match (orders.first(), runs) {
        (Some(Order::Add { .. }), _) | (_, None) => format!("{server} does not run"),
        _ if orders.iter().any(|order| matches!(order, Order::Delete(_))) => {
            format!("{server} runs and is not in the configuration")
        }
        (Some(Order::Address(_, ip, port)), Some(runs)) => {
            let is = runs.ip.map_or_else(|| "nowhere".to_owned(), |ip| format!("{ip}:{}", runs.port));
            format!("{server} is at {is} and should be at {ip}:{port}")
        }
        (Some(Order::Weight(_, weight)), Some(runs)) => {
            format!("{server} has the weight {} and should have {weight}", runs.weight)
        }
        (Some(Order::EnableHealth(_) | Order::EnableAgent(_)), Some(_)) => {
            format!("{server} is not checked and should be")
        }
        (Some(_), Some(runs)) if runs.maint => format!("{server} is out of use and should not be"),
        (Some(_), Some(runs)) if runs.drain => format!("{server} takes nothing new and should"),
        _ => format!("{server} is in use and should not be"),
    }
}
