//! The ids of servers: HAProxy gives them by place when it starts, and by what is free at run time. Where they decide
//! who serves, what is added gets the one that it needs, or there is no steering.

use super::servers::at;
use crate::haproxy::{
    outline::{Algorithm, Proxy, Server},
    running::Running,
};
use std::collections::BTreeMap;

/// Chooses the ids of `added` servers of a backend, by name; a server without an entry gets one from HAProxy. Fails where
/// what runs cannot come to serve as a fresh start would.
pub(super) fn ids(
    next: &Proxy,
    added: &[&Server],
    running: &Running,
    matter: bool,
) -> Result<BTreeMap<String, u32>, String> {
    let own = next.servers.iter().any(|server| server.says("id"));
    match next.algorithm {
        _ if matter || own || next.sticks || next.algorithm == Algorithm::Ring => exact(next, running),
        Algorithm::First => rising(next, running),
        // Servers that only HAProxy reads have ids that only HAProxy knows.
        Algorithm::Even if !next.whole => Ok(BTreeMap::new()),
        Algorithm::Even | Algorithm::Random => Ok(any(next, added, running)),
        Algorithm::Static | Algorithm::Ring => Ok(BTreeMap::new()),
    }
}

/// Any id will do. It is given, since HAProxy would look through all taken ones for each server (a thousand take twice as
/// long then), and before 3.0 would give one without an id a wrong place under `balance random` (haproxy#3413).
fn any(next: &Proxy, added: &[&Server], running: &Running) -> BTreeMap<String, u32> {
    let taken = running.ids(&next.name);
    let mut free = (1..).filter(|id| !taken.contains(id));
    // One that left, and is not tidied away yet, comes back as what it was.
    let mut id = |name: &str| known(next, running, name).or_else(|| free.next());
    added.iter().filter_map(|server| Some((server.name.clone(), id(&server.name)?))).collect()
}

fn known(next: &Proxy, running: &Running, name: &str) -> Option<u32> {
    running.servers.get(&(next.name.clone(), name.to_owned())).map(|runs| runs.id)
}

/// Every id has to be the one of a fresh start: clients or hashes stick to it.
fn exact(next: &Proxy, running: &Running) -> Result<BTreeMap<String, u32>, String> {
    let taken = running.ids(&next.name);
    let mut ids = BTreeMap::new();
    for server in &next.servers {
        let moved =
            || Err(format!("{} gets another id by its place, and ids decide who serves there", at(server)));
        let Some(id) = server.id else { return moved() };
        match known(next, running, &server.name) {
            Some(has) if has != id => return moved(),
            None if taken.contains(&id) => return moved(),
            None => _ = ids.insert(server.name.clone(), id),
            Some(_) => {}
        }
    }
    Ok(ids)
}

/// Only the order of ids counts: `balance first` takes the lowest that has room.
fn rising(next: &Proxy, running: &Running) -> Result<BTreeMap<String, u32>, String> {
    let taken = running.ids(&next.name);
    let has: Vec<Option<u32>> = next.servers.iter().map(|s| known(next, running, &s.name)).collect();
    // Of those from each place on, the first that runs.
    let mut limits = has.clone();
    for place in (1..limits.len()).rev() {
        limits[place - 1] = limits[place - 1].or(limits[place]);
    }
    let mut ids = BTreeMap::new();
    let mut last = 0;
    for ((server, has), limit) in next.servers.iter().zip(has).zip(limits) {
        if let Some(id) = has {
            if id <= last {
                return Err(format!(
                    "{} stands elsewhere, and `balance first` goes by the order",
                    at(server)
                ));
            }
            last = id;
            continue;
        }
        let free = match limit {
            Some(limit) => (last + 1..limit).find(|id| !taken.contains(id)),
            // What leaves may still hold any of the taken ones.
            None => Some(last.max(taken.last().copied().unwrap_or_default()) + 1),
        };
        let Some(id) = free else {
            return Err(format!(
                "{} is new between others, and `balance first` goes by the order",
                at(server)
            ));
        };
        ids.insert(server.name.clone(), id);
        last = id;
    }
    Ok(ids)
}
