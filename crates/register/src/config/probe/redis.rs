//! The `probe "redis"` block and what it shares with its `sentinel` block: how to reach a server.

use crate::probe::link::{Address, Link, Tls};
use config::{Mistakes, Section};
use std::{path::PathBuf, time::Duration};

/// How a Redis is looked at.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// How to reach it.
    pub link: Link,
    /// The Sentinels that watch it.
    pub sentinel: Option<SentinelConfig>,
    /// For how long a replica may have heard nothing of its master.
    pub max_lag: Option<Duration>,
}

/// The Sentinels that decide who is master.
#[derive(Clone, Debug)]
pub struct SentinelConfig {
    /// The name under which they watch the master.
    pub master: String,
    /// How to reach each.
    pub sentinels: Vec<Link>,
    /// How many have to answer for the status page to call it good; a majority of those listed unless chosen. Who is
    /// master is decided by a majority of all known ones and by their own quorum.
    pub quorum: usize,
}

/// Far more than anybody runs: what lies above is a slip of the finger.
const MOST_SENTINELS: i64 = 99;

/// Redis tells in whole seconds for how long it heard nothing, and is asked each second.
const LEAST_LAG: Duration = Duration::from_secs(2);

impl Default for RedisConfig {
    fn default() -> Self {
        let address = Address::Tcp("127.0.0.1".into(), 6379);
        let link = Link { address, username: None, password: None, password_file: None, tls: None };
        Self { link, sentinel: None, max_lag: None }
    }
}

/// Takes what is Redis' own out of a probe.
pub(super) fn read(probe: &mut Section, mistakes: &mut Mistakes) -> Option<RedisConfig> {
    let address =
        probe.parsed("address", str::parse, mistakes).unwrap_or(RedisConfig::default().link.address);
    let tls = tls(probe, mistakes);
    let link = link(address, tls, probe, mistakes);
    let max_lag = probe.duration("max_lag", mistakes);
    if max_lag.is_some_and(|most| most < LEAST_LAG) {
        probe.mistake("max_lag", "must be 2s or more: Redis tells it in whole seconds", mistakes);
    }
    Some(RedisConfig { link, sentinel: sentinel(probe, mistakes), max_lag })
}

fn sentinel(probe: &mut Section, mistakes: &mut Mistakes) -> Option<SentinelConfig> {
    let mut block = probe.block("sentinel", mistakes)?;
    let has_master = block.has("master");
    let master = block.string("master", mistakes).unwrap_or_default();
    if master.is_empty() && !has_master {
        let why = "is needed: the name after `sentinel monitor` in sentinel.conf, often \"mymaster\"";
        block.mistake("master", why, mistakes);
    }
    let has_addresses = block.has("addresses");
    let addresses = block.strings("addresses", mistakes);
    if addresses.as_ref().map_or(!has_addresses, Vec::is_empty) {
        block.mistake("addresses", "is needed: all Sentinels as [\"HOST:PORT\", …]", mistakes);
    }
    let tls = tls(&mut block, mistakes);
    let base = link(Address::Tcp(String::new(), 0), tls, &mut block, mistakes);
    let mut sentinels: Vec<Link> = vec![];
    for text in addresses.unwrap_or_default() {
        match text.parse::<Address>() {
            Ok(address) if sentinels.iter().any(|other| other.address == address) => {
                block.mistake("addresses", format!("\"{text}\" is there twice"), mistakes);
            }
            Ok(address) => sentinels.push(Link { address, ..base.clone() }),
            Err(why) => block.mistake("addresses", why, mistakes),
        }
    }
    // More than are listed is fine: the quorum is that of the deployment, and a pod may list its own Sentinel only.
    let quorum =
        block.integer("quorum", 1..=MOST_SENTINELS, mistakes).and_then(|quorum| usize::try_from(quorum).ok());
    block.finish(mistakes);
    Some(SentinelConfig { master, quorum: quorum.unwrap_or(sentinels.len() / 2 + 1), sentinels })
}

fn link(address: Address, tls: Option<Tls>, section: &mut Section, mistakes: &mut Mistakes) -> Link {
    let username = section.string("username", mistakes);
    let password = section.secret("password", mistakes);
    let password_file = section.string("password_file", mistakes).map(PathBuf::from);
    if password.is_some() && password_file.is_some() {
        section.mistake("password_file", "is set beside password; keep one of them", mistakes);
    }
    if username.is_some() && password.is_none() && password_file.is_none() {
        section.mistake("username", "is set without password or password_file", mistakes);
    }
    if tls.is_some() && matches!(address, Address::Unix(_)) {
        section.mistake("tls", "is not spoken over a unix socket; take it out", mistakes);
    }
    Link { address, username, password, password_file, tls }
}

pub(super) fn tls(section: &mut Section, mistakes: &mut Mistakes) -> Option<Tls> {
    let mut block = section.block("tls", mistakes)?;
    let mut path = |key, mistakes: &mut Mistakes| block.string(key, mistakes).map(PathBuf::from);
    let (ca_cert, cert, key) = (path("ca_cert", mistakes), path("cert", mistakes), path("key", mistakes));
    let server_name = block.string("server_name", mistakes);
    let verify = block.bool("verify", mistakes).unwrap_or(true);
    match (&cert, &key) {
        (Some(_), None) => block.mistake("cert", "is set without key", mistakes),
        (None, Some(_)) => block.mistake("key", "is set without cert", mistakes),
        _ => {}
    }
    block.finish(mistakes);
    Some(Tls { ca_cert, cert, key, server_name, verify })
}
