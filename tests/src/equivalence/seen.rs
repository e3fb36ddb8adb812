//! What a HAProxy runs, as far as it decides who is served: the columns that a fresh start and a steered process must
//! have in common.

use std::{collections::BTreeMap, path::Path};

use crate::{Outcome, Trouble, haproxy::command};

/// By backend and server, `name=value` for each thing that counts; the map's entries; who is tried first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    servers: BTreeMap<String, Vec<String>>,
    map: Vec<String>,
    order: Vec<String>,
}

type Row<'a> = BTreeMap<&'a str, &'a str>;

/// Asks the process behind this socket.
pub async fn seen(socket: &Path, map: &str) -> Outcome<Seen> {
    let mut seen = Seen::default();
    let state = command(socket, "show servers state").await?;
    let mut ids = vec![];
    for row in table(&state, "# be_id", str::split_whitespace) {
        let name = format!("{}/{}", row["be_name"], row["srv_name"]);
        let number = |column: &str| row[column].parse::<u32>().unwrap_or(u32::MAX);
        ids.push((row["be_name"].to_owned(), number("srv_id"), name.clone()));
        let maint = number("srv_admin_state") & 0x2b;
        let mut counts = vec![format!("maint={maint}")];
        // A server that is out of use has no health.
        if maint == 0 {
            counts.push(format!("health={}", number("srv_op_state")));
            counts.push(format!("check={}", number("srv_check_state") & 6));
            counts.push(format!("agent={}", number("srv_agent_state") & 6));
        }
        for column in
            ["srv_addr", "srv_port", "srv_uweight", "srv_use_ssl", "srv_check_port", "srv_check_addr"]
        {
            counts.push(format!("{column}={}", row[column]));
        }
        seen.servers.insert(name, counts);
    }
    ids.sort();
    let stat = command(socket, "show stat").await?;
    let mut algorithms = BTreeMap::new();
    for row in table(&stat, "# pxname", |line| line.split(',')) {
        if row["svname"] == "BACKEND" {
            algorithms.insert(row["pxname"], row["algo"]);
        }
        let counts = seen.servers.entry(format!("{}/{}", row["pxname"], row["svname"])).or_default();
        // The weight in effect is reckoned, and checks go on, when it is back in use.
        let out = row["status"].starts_with("MAINT");
        for column in ["slim", "weight", "act", "bck", "status", "check_rise", "check_fall", "algo", "cookie"]
        {
            if !out || !(column == "weight" || column.starts_with("check_")) {
                // `UP 1/3`: one check failed, as happens on a busy machine.
                let value = row.get(column).and_then(|value| value.split(' ').next()).unwrap_or_default();
                counts.push(format!("{column}={value}"));
            }
        }
    }
    for (backend, id, name) in ids {
        match algorithms.get(backend.as_str()) {
            Some(&"first") => seen.order.push(name),
            Some(&"source") => seen.order.push(format!("{name} {id}")),
            _ => {}
        }
    }
    let entries = command(socket, &format!("show map {map}")).await?;
    // Each line begins with where in memory the entry is.
    seen.map = entries.lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect();
    Ok(seen)
}

fn table<'a, I: Iterator<Item = &'a str>>(
    text: &'a str,
    head: &str,
    split: impl Fn(&'a str) -> I,
) -> Vec<Row<'a>> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(head));
    let Some(columns) = lines.next() else { return vec![] };
    let columns: Vec<&str> = split(columns.trim_start_matches("# ")).collect();
    lines
        .filter(|line| !line.is_empty())
        .map(|line| columns.iter().copied().zip(split(line)).collect())
        .collect()
}

impl Seen {
    /// Fails with what differs.
    pub fn same_as(&self, fresh: &Seen) -> Outcome {
        let mut differs = vec![];
        let names =
            self.servers.keys().chain(fresh.servers.keys().filter(|n| !self.servers.contains_key(*n)));
        for name in names {
            match (self.servers.get(name), fresh.servers.get(name)) {
                (Some(is), Some(would)) => differs.extend(
                    is.iter()
                        .zip(would)
                        .filter(|(a, b)| a != b)
                        .map(|(a, b)| format!("{name}: {a}, fresh {b}")),
                ),
                (is, _) => {
                    differs.push(format!("{name} {}", if is.is_some() { "is left" } else { "is missing" }))
                }
            }
        }
        if self.map != fresh.map {
            differs.push(format!("the map: {} entries, fresh {}", self.map.len(), fresh.map.len()));
        }
        if self.order != fresh.order {
            differs.push(format!("the order: {:?}, fresh {:?}", self.order, fresh.order));
        }
        if differs.is_empty() { Ok(()) } else { Err(Trouble::new(differs.join("\n"))) }
    }
}
