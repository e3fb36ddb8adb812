//! The effective configuration as JSON, in the words of the configuration file, without secrets.

use super::{Kind, ProbeConfig, RedisConfig, RegisterConfig, SentinelConfig, ServiceConfig};
use crate::probe::{
    link::{Link, Tls},
    said::Said,
};
use config::show_duration;
use serde_json::{Map, Value, json};

impl RegisterConfig {
    /// The effective configuration, for people; passwords and tokens are redacted.
    #[must_use]
    pub fn show(&self) -> Value {
        let admin = self.admin.show();
        let services: Vec<Value> =
            self.services.iter().map(|service| json!({service.name.as_str(): service.json()})).collect();
        json!({
            "consul": self.consul.show(),
            "admin": admin["admin"],
            "log": admin["log"],
            "leave_timeout": show_duration(self.leave_timeout),
            "service": services,
        })
    }
}

impl ServiceConfig {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "address": self.address.as_deref().unwrap_or("(the local address that routes to Consul)"),
            "port": self.port,
            "tags": self.tags,
            "meta": self.meta,
            "roles": {"primary": self.words.primary, "replica": self.words.replica},
            "cardinality": if self.many { consul::instance::MANY } else { "one" },
            "ttl": show_duration(self.ttl),
            "deregister_critical_after": show_duration(self.deregister_critical_after),
            "probe": probe(&self.probe),
        })
    }
}

fn probe(probe: &ProbeConfig) -> Value {
    let (kind, mut all) = match &probe.kind {
        Kind::Redis(config) => ("redis", redis(config)),
        Kind::Fixed(said) => ("static", fixed(said)),
    };
    all["interval"] = show_duration(probe.interval).into();
    if !probe.timeout.is_zero() {
        all["timeout"] = show_duration(probe.timeout).into();
    }
    json!({kind: all})
}

fn redis(redis: &RedisConfig) -> Value {
    let mut all = link(&redis.link);
    all.insert("address".into(), redis.link.address.to_string().into());
    all.insert("sentinel".into(), redis.sentinel.as_ref().map(sentinel).into());
    all.into()
}

fn fixed(said: &Said) -> Value {
    json!({"role": said.word, "epoch": said.epoch})
}

fn sentinel(sentinel: &SentinelConfig) -> Value {
    let mut all = sentinel.sentinels.first().map(link).unwrap_or_default();
    let addresses: Vec<String> = sentinel.sentinels.iter().map(|link| link.address.to_string()).collect();
    all.insert("master".into(), sentinel.master.clone().into());
    all.insert("addresses".into(), addresses.into());
    all.insert("quorum".into(), sentinel.quorum.into());
    all.into()
}

fn link(link: &Link) -> Map<String, Value> {
    let all = json!({
        "username": link.username,
        "password": link.password,
        "password_file": link.password_file,
        "tls": link.tls.as_ref().map(|Tls { ca_cert, cert, key, server_name, verify }| json!({
            "ca_cert": ca_cert, "cert": cert, "key": key, "server_name": server_name, "verify": verify,
        })),
    });
    match all {
        Value::Object(all) => all,
        _ => Map::new(),
    }
}
