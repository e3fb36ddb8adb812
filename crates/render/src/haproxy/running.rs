//! What HAProxy says that it runs (`show servers state`), by the names of its columns and servers: numbers and
//! positions differ from version to version.

use super::{
    outline::{Address, Outline},
    sessions::Server,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// The servers that run, by backend and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// Each with its state.
    pub servers: BTreeMap<Server, Runs>,
}

/// A server that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    /// Its id: free ones are given out again.
    pub id: u32,
    /// Its place in its backend.
    pub place: usize,
    /// Its address; `None` when it is none that can be told (`-`).
    pub ip: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Whether it is out of use by order or by the configuration.
    pub maint: bool,
    /// Whether it takes nothing new.
    pub drain: bool,
    /// Its weight.
    pub weight: u16,
    /// Whether its health checks are on, if it has any.
    pub checks: bool,
    /// Whether its agent checks are on, if it has any.
    pub agent: bool,
}

/// Of `srv_admin_state`: maintenance by order, by a tracked server, by a name that does not resolve. 0x04 only says
/// that the configuration has it disabled, and stays when it is made ready.
const MAINT: u32 = 0x01 | 0x02 | 0x20;
const DRAIN: u32 = 0x08 | 0x10;
/// Of `srv_check_state` and `srv_agent_state`.
const ENABLED: u32 = 0x04;

/// Reads the answer; `None` when it is none.
#[must_use]
pub fn running(show_servers_state: &str) -> Option<Running> {
    let mut lines = show_servers_state.lines().skip_while(|line| !line.starts_with("# be_id "));
    let columns: Vec<&str> = lines.next()?.split_whitespace().skip(1).collect();
    let at = |name: &str| columns.iter().position(|column| *column == name);
    let [proxy, name, id, ip, port] = ["be_name", "srv_name", "srv_id", "srv_addr", "srv_port"].map(at);
    let [admin, weight, check, agent] =
        ["srv_admin_state", "srv_uweight", "srv_check_state", "srv_agent_state"].map(at);
    let mut running = Running::default();
    let mut fields: Vec<&str> = vec![];
    for line in lines {
        fields.clear();
        fields.extend(line.split_whitespace());
        if fields.is_empty() || line.starts_with('#') {
            continue;
        }
        let field = |at: Option<usize>| fields.get(at?).copied();
        let enabled = |at: Option<usize>| Some(field(at)?.parse::<u32>().ok()? & ENABLED != 0);
        let admin: u32 = field(admin)?.parse().ok()?;
        let server = (field(proxy)?.to_owned(), field(name)?.to_owned());
        let runs = Runs {
            id: field(id)?.parse().ok()?,
            place: running.servers.len(),
            ip: field(ip)?.parse().ok(),
            port: field(port)?.parse().ok()?,
            maint: admin & MAINT != 0,
            drain: admin & DRAIN != 0,
            weight: field(weight)?.parse().ok()?,
            checks: enabled(check)?,
            agent: enabled(agent)?,
        };
        running.servers.insert(server, runs);
    }
    Some(running)
}

impl Running {
    /// What a fresh start of a configuration runs, as far as it can be told.
    #[must_use]
    pub fn fresh(outline: &Outline) -> Running {
        let mut running = Running::default();
        for (place, server) in outline.servers().enumerate() {
            let (ip, port) = match server.address {
                Address::Ip(ip, port) => (Some(ip), port),
                _ => (None, 0),
            };
            let runs = Runs {
                id: server.id.unwrap_or_default(),
                place,
                ip,
                port,
                maint: server.says("disabled"),
                drain: false,
                weight: server.weight().unwrap_or(1),
                checks: server.says("check"),
                agent: server.says("agent-check"),
            };
            running.servers.insert((server.proxy.clone(), server.name.clone()), runs);
        }
        running
    }

    /// The ids that are taken in a backend.
    pub(super) fn ids(&self, proxy: &str) -> BTreeSet<u32> {
        self.of(proxy).map(|(_, runs)| runs.id).collect()
    }

    /// The servers of a backend.
    pub(super) fn of(&self, proxy: &str) -> impl Iterator<Item = (&Server, &Runs)> {
        let first = (proxy.to_owned(), String::new());
        self.servers.range(first..).take_while(move |(server, _)| server.0 == proxy)
    }
}
