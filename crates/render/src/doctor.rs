//! `rolecall doctor` for `render`: tries everything that it will need, and changes nothing.

use crate::{
    config::{HaproxyConfig, TemplateConfig},
    facts::Facts,
    haproxy::{
        door::{Door, Way},
        socket::{Socket, SocketError},
    },
    ledger::Followed,
    run::Loaded,
};
use config::Finding;
use consul::{
    Client, Query, Right,
    doctor::{Needs, examine as examine_consul},
    rights::Access::{Read, Write},
};
use std::{collections::BTreeSet, path::Path, time::Duration};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);

/// What was found, from Consul to HAProxy.
pub async fn examine(loaded: &Loaded) -> Vec<Finding> {
    let mut asked = BTreeSet::new();
    for template in loaded.templates() {
        asked.extend(template.fill(&Facts::default(), &Followed::new()).asked);
    }
    let mut needs = Needs { rights: asked.iter().flat_map(rights).collect(), agent: false };
    let mut findings = match Client::new(&loaded.config.consul) {
        Ok(client) => {
            if let Some(choice) = &loaded.config.deduplicate {
                needs.rights.extend(shares(&client, &choice.prefix).await);
            }
            examine_consul(&client, &needs).await
        }
        Err(error) => vec![Finding::failed("Consul", error.to_string())],
    };
    for template in &loaded.config.templates {
        findings.push(Finding::ok(format!("template {}", template.source.display()), "is valid"));
        findings.push(folder(template));
        for haproxy in &template.haproxies {
            findings.push(binary(&haproxy.binary).await);
            findings.extend(sockets(haproxy).await);
        }
    }
    findings
}

/// What a question needs. Lists of everything, and trees of keys, are cut to what the token may see, so they need nothing.
fn rights(query: &Query) -> Vec<Right> {
    match query {
        Query::Health { service, .. } => vec![Right::service(Read, service), Right::node(Read, service)],
        Query::Node { name: Some(name), .. } => vec![Right::node(Read, name)],
        Query::Key { key, .. } => vec![Right::keys(Read, key)],
        _ => vec![],
    }
}

/// What it needs to lead those that have the same template: a session on the node of the agent.
async fn shares(client: &Client, prefix: &str) -> [Right; 2] {
    let node = client.myself().await.map(|agent| agent.name).unwrap_or_default();
    [Right::keys(Write, prefix), Right::session(&node)]
}

fn folder(template: &TemplateConfig) -> Finding {
    let path = template.destination.path();
    let what = format!("destination {}", path.display());
    let folder = if template.many.is_some() { path } else { path.parent().unwrap_or(Path::new(".")) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if !folder.exists() && template.destination.creates_folders() {
        return Finding::ok(what, "its folder will be made");
    }
    match tempfile::Builder::new().prefix(".rolecall-doctor").tempfile_in(folder) {
        Ok(_) => Finding::ok(what, "can be written"),
        Err(error) => {
            let told = format!(
                "{} cannot be written to: {error}; files are made beside it, then renamed",
                folder.display()
            );
            Finding::failed(what, told)
        }
    }
}

async fn binary(path: &Path) -> Finding {
    let what = format!("HAProxy's program {}", path.display());
    let asked = timeout(PATIENCE, daemon::child::command(path).arg("-v").output()).await;
    match asked {
        Ok(Ok(said)) if said.status.success() => {
            let text = String::from_utf8_lossy(&said.stdout);
            Finding::ok(what, text.lines().next().unwrap_or_default().to_owned())
        }
        Ok(Ok(said)) => Finding::failed(what, format!("`-v` ended with {}", said.status)),
        Ok(Err(error)) => Finding::failed(what, format!("does not start: {error}; set haproxy {{ binary }}")),
        Err(_) => Finding::failed(what, "does not answer `-v`"),
    }
}

async fn sockets(haproxy: &HaproxyConfig) -> Vec<Finding> {
    let mut findings = vec![];
    if let Some(socket) = haproxy.door.master() {
        findings.push(master(&haproxy.door, socket).await);
    }
    if let Some(stats) = &haproxy.door.stats {
        findings.push(level(stats).await);
    }
    if let Way::Successor(successor) = &haproxy.door.way
        && !successor.pid_file.exists()
    {
        let what = format!("pid file {}", successor.pid_file.display());
        findings.push(Finding::warning(what, "is not there: start HAProxy with -p"));
    }
    findings
}

async fn master(door: &Door, socket: &Socket) -> Finding {
    let what = format!("master socket {socket}");
    match door.look().await {
        Ok(_) => Finding::ok(what, "HAProxy's master answers"),
        Err(SocketError::Nobody(_)) => Finding::warning(
            what,
            "nobody listens: HAProxy does not run, or without -W -S; files are written and not reloaded",
        ),
        Err(error) => Finding::failed(what, error.to_string()),
    }
}

async fn level(stats: &Socket) -> Finding {
    let what = format!("stats socket {stats}");
    match stats.ask("show cli level").await {
        Ok(said) if said.trim() == "admin" => Finding::ok(what, "level admin"),
        Ok(said) => {
            let told = format!(
                "its level is {:?}, and sessions of a demoted master cannot be cut: write `stats socket {stats} level \
                 admin` in the configuration",
                said.trim()
            );
            Finding::failed(what, told)
        }
        Err(SocketError::Nobody(_)) => Finding::warning(
            what,
            "nobody listens: HAProxy does not run, or its configuration has no such stats socket",
        ),
        Err(error) => Finding::failed(what, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consul::query::Scope;

    #[test]
    fn only_what_is_refused_needs_a_right() {
        let said = |query: &Query| rights(query).iter().map(Right::to_string).collect::<Vec<_>>();
        let scope = Scope::default;
        assert_eq!(said(&Query::Key { key: "a/b".into(), scope: scope() }), ["key:read on \"a/b\""]);
        assert!(said(&Query::Tree { prefix: "a/".into(), scope: scope() }).is_empty());
        assert!(said(&Query::Services(scope())).is_empty());
    }
}
