//! Each server as the file says it beside what the worker runs, for people. Whether the two agree is what `drift` found.

use super::{
    order::Order,
    outline::{self, Address, Outline},
    running::{Running, Runs},
    sessions::Server,
    verdict::Drift,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Its proxy and its name.
    pub server: Server,
    /// Address, weight and state in the file.
    pub rendered: Option<Side>,
    /// The same in the worker.
    pub runs: Option<Side>,
    /// Whether they agree.
    pub same: bool,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Where it is.
    pub address: String,
    /// Its weight.
    pub weight: u16,
    /// `ready`, `drain` or `maint`.
    pub state: &'static str,
}

/// All servers of both sides, in the order of their names.
#[must_use]
pub fn compared(running: &Running, want: &Outline, drift: &[Drift]) -> Vec<Compared> {
    let mut both: BTreeMap<Server, (Option<Side>, Option<Side>)> = BTreeMap::new();
    for server in want.servers() {
        both.entry((server.proxy.clone(), server.name.clone())).or_default().0 = Some(rendered(server));
    }
    for (server, runs) in &running.servers {
        both.entry(server.clone()).or_default().1 = Some(ran(runs));
    }
    // A thousand may differ at once.
    let differ: BTreeSet<&Server> =
        drift.iter().flat_map(|drift| &drift.orders).filter_map(Order::server).collect();
    let compared = both.into_iter().map(|(server, (rendered, runs))| {
        let same = !differ.contains(&server);
        Compared { server, rendered, runs, same }
    });
    compared.collect()
}

fn rendered(server: &outline::Server) -> Side {
    let state = if server.says("disabled") { "maint" } else { "ready" };
    let address = match &server.address {
        Address::Ip(ip, port) => SocketAddr::new(*ip, *port).to_string(),
        other => other.to_string(),
    };
    Side { address, weight: server.weight().unwrap_or(1), state }
}

fn ran(runs: &Runs) -> Side {
    let state = match (runs.maint, runs.drain) {
        (true, _) => "maint",
        (_, true) => "drain",
        _ => "ready",
    };
    let address = runs.ip.map_or_else(|| "none".to_owned(), |ip| SocketAddr::new(ip, runs.port).to_string());
    Side { address, weight: runs.weight, state }
}

impl Compared {
    /// As part of the status page.
    #[must_use]
    pub fn show(&self) -> Value {
        let side = |side: &Option<Side>| {
            side.as_ref()
                .map(|side| json!({"address": side.address, "weight": side.weight, "state": side.state}))
        };
        json!({
            "proxy": self.server.0,
            "server": self.server.1,
            "rendered": side(&self.rendered),
            "runs": side(&self.runs),
            "same": self.same,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::{capability::Capabilities, outline::outline, verdict::drift};

    #[test]
    fn both_sides_stand_beside_each_other() {
        let want = outline(
            "backend b\n server a 10.0.0.1:1\n server c 10.0.0.3:3 weight 5 disabled\n server d [::1]:4\n",
        );
        let mut running = Running::fresh(&want);
        let key = |name: &str| ("b".to_owned(), name.to_owned());
        running.servers.get_mut(&key("a")).unwrap().drain = true;
        let gone = running.servers.remove(&key("d")).unwrap();
        running.servers.insert(key("x"), Runs { place: 9, id: 9, ..gone });
        let drift = drift(&running, &want, &Capabilities::default());
        let shown: Vec<_> = compared(&running, &want, &drift)
            .iter()
            .map(|compared| {
                let side = |side: &Option<Side>| {
                    side.as_ref()
                        .map_or("-".to_owned(), |s| format!("{} {} {}", s.address, s.weight, s.state))
                };
                let same = if compared.same { "same" } else { "differs" };
                format!(
                    "{}: {} | {} | {same}",
                    compared.server.1,
                    side(&compared.rendered),
                    side(&compared.runs)
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "a: 10.0.0.1:1 1 ready | 10.0.0.1:1 1 drain | differs",
                "c: 10.0.0.3:3 5 maint | 10.0.0.3:3 5 maint | same",
                "d: [::1]:4 1 ready | - | differs",
                "x: - | [::1]:4 1 ready | differs",
            ]
        );
    }
}
