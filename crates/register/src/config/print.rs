//! The effective configuration as JSON, in the words of the configuration file, without secrets.

use super::{Kind, ProbeConfig, RedisConfig, RegisterConfig, SentinelConfig, ServiceConfig};
use crate::probe::{
    codes::Codes,
    http::{Ask, HttpConfig, Login, Proof, answer::Sign},
    link::{Link, Tls},
    pattern::{Pattern, show},
    said::Said,
    tcp::Expect,
};
use config::show_duration;
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;

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
        let mut all = json!({
            "id": self.id,
            "port": self.port,
            "tags": self.tags,
            "meta": self.meta,
            "roles": {"primary": self.words.primary, "replica": self.words.replica},
            "cardinality": if self.many { consul::instance::MANY } else { "one" },
            "lock": self.lock.as_ref().map(|prefix| json!({"prefix": prefix})),
            "ttl": show_duration(self.ttl),
            "deregister_critical_after": show_duration(self.deregister_critical_after),
            "probe": probe(&self.probe),
        });
        if let (Value::Object(all), Value::Object(address)) = (&mut all, self.address.show()) {
            all.extend(address);
        }
        all
    }
}

fn probe(probe: &ProbeConfig) -> Value {
    let (kind, mut all) = match &probe.kind {
        Kind::Redis(config) => ("redis", redis(config)),
        Kind::Http(config) => ("http", http(config)),
        Kind::Exec { argv, codes } => {
            ("exec", json!({"command": argv, "exit": codes.as_ref().map(show_codes)}))
        }
        Kind::Stream { argv, stale_after } => {
            ("stream", json!({"command": argv, "stale_after": show_duration(*stale_after)}))
        }
        Kind::Tcp { address, send, expect } => ("tcp", tcp(&address.to_string(), send, expect)),
        Kind::File { path, stale_after } => {
            ("file", json!({"path": path, "stale_after": stale_after.map(show_duration)}))
        }
        Kind::Push { keep, stale_after } => {
            ("push", json!({"keep": keep, "stale_after": stale_after.map(show_duration)}))
        }
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
    all.insert("max_lag".into(), redis.max_lag.map(show_duration).into());
    all.insert("sentinel".into(), redis.sentinel.as_ref().map(sentinel).into());
    all.into()
}

fn http(http: &HttpConfig) -> Value {
    let mut all = json!({
        "url": http.base.as_str(),
        "tls": http.tls.as_ref().map(tls),
        "headers": http.headers.iter().map(|(name, value)| (name.to_string(), json!(value))).collect::<Map<_, _>>(),
        "request": http.requests.iter().map(ask).collect::<Vec<_>>(),
    });
    let mut proof = |key: &str, proof: &Proof| match proof {
        Proof::Here(secret) => all[key] = json!(secret),
        Proof::File(path) => all[format!("{key}_file")] = json!(path),
    };
    match &http.login {
        Login::None => {}
        Login::Basic(user, password) => {
            proof("password", password);
            all["username"] = json!(user);
        }
        Login::Bearer(token) => proof("token", token),
    }
    all
}

fn ask(ask: &Ask) -> Value {
    let (status, role, same) = match &ask.reading.sign {
        Sign::Status(codes) => (Some(show_codes(codes)), None, None),
        Sign::Word(pointer) => (None, Some(pointer), None),
        Sign::Same(one, other) => (None, None, Some([one, other])),
    };
    json!({
        "method": ask.method.as_str(),
        "path": ask.path,
        "body": ask.body,
        "status": status,
        "json": {"role": role, "same": same, "epoch": ask.reading.epoch},
    })
}

fn show_codes(codes: &Codes) -> Value {
    let one = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    let shown = |ranges: &[RangeInclusive<u16>]| ranges.iter().map(one).collect::<Vec<_>>();
    json!({"primary": shown(&codes.primary), "replica": shown(&codes.replica)})
}

fn tcp(address: &str, send: &[u8], expect: &Expect) -> Value {
    match expect {
        Expect::Connection(role) => json!({"address": address, "send": show(send), "role": role.word()}),
        Expect::Answer { primary, replica } => {
            let text = |pattern: &Option<Pattern>| pattern.as_ref().map(Pattern::to_string);
            let expect = json!({"primary": text(primary), "replica": text(replica)});
            json!({"address": address, "send": show(send), "expect": expect})
        }
    }
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
        "tls": link.tls.as_ref().map(tls),
    });
    match all {
        Value::Object(all) => all,
        _ => Map::new(),
    }
}

fn tls(Tls { ca_cert, cert, key, server_name, verify }: &Tls) -> Value {
    json!({"ca_cert": ca_cert, "cert": cert, "key": key, "server_name": server_name, "verify": verify})
}
