//! `rolecall doctor` for `register`: tries everything that it will need, and writes nothing.

use crate::{
    RegisterConfig,
    config::{AddressConfig, SentinelConfig, ServiceConfig},
    failover::server::Server,
    identity,
    probe::{
        Probe,
        any::{AnyProbe, Around},
        push::Told,
    },
};
use config::Finding;
use consul::{
    Client, ConsulSettings, Right,
    doctor::{Needs, examine as examine_consul},
    external::{leases, taken},
    rights::Access::{Read, Write},
};
use redis::{Value, cmd};
use std::{net::IpAddr, time::Duration};
use tokio::sync::watch;

/// A probe's own limit is meant for a server that was just asked; a first look may take longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found, from Consul to the Sentinels.
pub async fn examine(config: &RegisterConfig) -> Vec<Finding> {
    let mut rights: Vec<Right> = config.services.iter().map(|s| Right::service(Write, &s.name)).collect();
    let node = config.services.first().map_or("", |service| &service.id);
    rights.push(Right::node(Read, node));
    if let Some(external) = &config.consul.external {
        rights.extend([Right::node(Write, external), Right::session(external)]);
        rights.extend(config.services.iter().map(|s| Right::keys(Write, &leases(&s.name))));
    }
    let needs = Needs { rights, agent: config.consul.external.is_none() };
    let mut findings = match Client::new(&config.consul) {
        Ok(client) => examine_consul(&client, &needs).await,
        Err(error) => vec![Finding::failed("Consul", error.to_string())],
    };
    findings.extend(node_taken(&config.consul).await);
    for service in &config.services {
        findings.push(address(service, &config.consul.address).await);
        findings.push(probe(service).await);
        if let Some(sentinels) = service.probe.sentinel() {
            findings.extend(sentinel(sentinels).await);
        }
    }
    findings
}

/// Where there is no agent: whether the node's name is free for that.
async fn node_taken(settings: &ConsulSettings) -> Option<Finding> {
    let node = settings.external.as_ref()?;
    // What keeps Consul from answering is told above.
    let why = taken(&Client::new(settings).ok()?, node).await.ok()??;
    Some(Finding::failed("Consul node", why))
}

async fn address(service: &ServiceConfig, consul: &str) -> Finding {
    let what = format!("address of {}", service.id);
    let found = match &service.address {
        AddressConfig::Given(address) => Ok(address.clone()),
        AddressConfig::Found(wanted) => identity::find(wanted, consul, None).await.map(|ip| ip.to_string()),
    };
    match found {
        Ok(address) if address == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()) => {
            let told = format!(
                "{address} is one that only this machine can reach; set address in the service block"
            );
            Finding::warning(what, told)
        }
        Ok(address) => Finding::ok(what, format!("{address}:{}", service.port)),
        Err(why) => Finding::failed(what, why),
    }
}

async fn probe(service: &ServiceConfig) -> Finding {
    let what = format!("probe of {}", service.id);
    let mut config = service.probe.clone();
    config.timeout = config.timeout.max(PATIENCE);
    if config.is_told() {
        return Finding::ok(what, "is told by others, once it runs");
    }
    let told = watch::channel(Told::default()).1;
    match AnyProbe::new(&config, Around { id: &service.id, listener: None, told }).look().await {
        Ok(look) => Finding::ok(what, format!("{} says {}", service.probe.target(), look.word)),
        Err(error) => Finding::failed(what, error.to_string()),
    }
}

/// Each Sentinel: reachable, and knows the master; one of them: whether they are enough.
async fn sentinel(config: &SentinelConfig) -> Vec<Finding> {
    let (mut findings, mut answering) = (vec![], None);
    for link in &config.sentinels {
        let what = format!("Sentinel at {}", link.address);
        let mut server = match Server::open(link.clone()).await {
            Ok(server) => server,
            Err(error) => {
                findings.push(Finding::failed(what, error));
                continue;
            }
        };
        let asked = cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&config.master).to_owned();
        findings.push(match server.ask::<Option<(String, u16)>>(&asked).await {
            Ok(Some((host, port))) => {
                answering = Some(server);
                Finding::ok(what, format!("names {host}:{port} as {:?}", config.master))
            }
            Ok(None) => {
                Finding::failed(what, format!("knows no master {:?}: see `sentinel monitor`", config.master))
            }
            Err(error) => Finding::failed(what, error),
        });
    }
    if let Some(mut server) = answering {
        let asked = cmd("SENTINEL").arg("CKQUORUM").arg(&config.master).to_owned();
        let what = format!("Sentinels of {:?}", config.master);
        findings.push(match server.ask::<Value>(&asked).await {
            Ok(Value::SimpleString(said)) => Finding::ok(what, said),
            Ok(said) => Finding::ok(what, format!("{said:?}")),
            Err(error) => Finding::failed(what, format!("cannot fail over now: {error}")),
        });
    }
    findings
}
