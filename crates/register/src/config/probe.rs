//! The `probe "KIND" { … }` block: what all kinds share, and which kinds there are.

mod http;
mod local;
mod redis;

pub use redis::{RedisConfig, SentinelConfig};

use crate::{
    probe::{
        codes::{Codes, range},
        exec::shown,
        http::HttpConfig,
        link::Address,
        said::Said,
        tcp::Expect,
    },
    role::STALL,
    words::Words,
};
use config::{Mistakes, Section};
use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

/// How an instance is looked at.
#[derive(Clone, Debug)]
pub struct ProbeConfig {
    /// In which way.
    pub kind: Kind,
    /// Time between two looks.
    pub interval: Duration,
    /// How long one look may take; zero for those that wait for nobody.
    pub timeout: Duration,
}

/// The ways to learn a role.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `probe "redis"`.
    Redis(Box<RedisConfig>),
    /// `probe "http"`.
    Http(Box<HttpConfig>),
    /// `probe "exec"`.
    Exec {
        /// Program and arguments.
        argv: Vec<String>,
        /// Exit codes with a meaning.
        codes: Option<Codes>,
    },
    /// `probe "stream"`.
    Stream {
        /// Program and arguments.
        argv: Vec<String>,
        /// How long it may be silent.
        stale_after: Duration,
    },
    /// `probe "tcp"`.
    Tcp {
        /// Where.
        address: Address,
        /// What is said first.
        send: Vec<u8>,
        /// What the role shows itself by.
        expect: Expect,
    },
    /// `probe "file"`.
    File {
        /// Which.
        path: PathBuf,
        /// How old it may be.
        stale_after: Option<Duration>,
    },
    /// `probe "push"`.
    Push {
        /// Where what was told is kept.
        keep: Option<PathBuf>,
        /// How old it may be.
        stale_after: Option<Duration>,
    },
    /// `probe "static"`.
    Fixed(Said),
}

type Read = fn(&mut Section, &mut Mistakes) -> Option<Kind>;
const MS: fn(u64) -> Duration = Duration::from_millis;

/// A kind: how its keys are read, its usual interval, and its usual timeout if it waits for somebody.
fn kinds() -> [(&'static str, Read, Duration, Option<Duration>); 8] {
    [
        ("redis", |p, m| redis::read(p, m).map(Box::new).map(Kind::Redis), MS(200), Some(MS(150))),
        ("http", |p, m| http::read(p, m).map(Box::new).map(Kind::Http), MS(1000), Some(MS(1000))),
        ("exec", local::exec, MS(1000), Some(MS(5000))),
        // What a program or a person pushed is only looked up.
        ("stream", local::stream, MS(200), Some(MS(5000))),
        ("tcp", local::tcp, MS(1000), Some(MS(1000))),
        ("file", local::file, MS(200), Some(MS(1000))),
        ("push", local::push, MS(200), None),
        ("static", local::fixed, MS(10_000), None),
    ]
}

/// Redis notices a look every 10 ms (1 % of a core); more buys nothing.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

impl ProbeConfig {
    /// The Redis that is looked at, where it is one.
    #[must_use]
    pub fn redis(&self) -> Option<&RedisConfig> {
        match &self.kind {
            Kind::Redis(redis) => Some(redis),
            _ => None,
        }
    }

    /// The Sentinels that watch it.
    #[must_use]
    pub fn sentinel(&self) -> Option<&SentinelConfig> {
        self.redis()?.sentinel.as_ref()
    }

    /// Whether the role comes from orders on the admin pages.
    #[must_use]
    pub fn is_told(&self) -> bool {
        matches!(self.kind, Kind::Push { .. })
    }

    /// Who answers, for people.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.kind {
            Kind::Redis(redis) => format!("Redis at {}", redis.link.address),
            Kind::Http(http) => http.shown(),
            Kind::Exec { argv, .. } | Kind::Stream { argv, .. } => shown(argv),
            Kind::Tcp { address, .. } => address.to_string(),
            Kind::File { path, .. } => path.display().to_string(),
            Kind::Push { .. } => "PUT /role".into(),
            Kind::Fixed(_) => "the configuration".into(),
        }
    }

    /// Where it connects to, unless that is nowhere.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        match &self.kind {
            Kind::Redis(redis) => Some(redis.link.address.clone()),
            Kind::Tcp { address, .. } => Some(address.clone()),
            Kind::Http(http) => {
                let host = http.base.host_str()?.trim_matches(['[', ']']).to_owned();
                Some(Address::Tcp(host, http.base.port_or_known_default()?))
            }
            _ => None,
        }
    }

    /// What the roles are called unless chosen.
    pub(super) fn words(&self) -> Words {
        match self.kind {
            Kind::Redis(_) => Words::of_redis(),
            _ => Words::default(),
        }
    }
}

/// After mistakes, which say so themselves.
impl Default for ProbeConfig {
    fn default() -> Self {
        Self { kind: Kind::Redis(Box::default()), interval: LEAST_INTERVAL, timeout: Duration::ZERO }
    }
}

/// Takes the one probe out of a service block; `None` after a mistake.
pub(super) fn read(service: &mut Section, mistakes: &mut Mistakes) -> Option<ProbeConfig> {
    let there = service.has("probe");
    let Some((name, mut probe)) = service.labelled_block("probe", mistakes) else {
        if !there {
            let why = "is needed to learn the role: write probe \"redis\" { … }, or another kind";
            service.mistake("probe", why, mistakes);
        }
        return None;
    };
    let Some((_, read, interval, timeout)) = kinds().into_iter().find(|(kind, ..)| *kind == name) else {
        let why = format!(
            "there is no probe \"{name}\"; the kinds are {}",
            kinds().map(|(kind, ..)| kind).join(", ")
        );
        mistakes.note(probe.place().clone(), probe.path(), why);
        return None;
    };
    let kind = read(&mut probe, mistakes);
    let interval = probe.duration("interval", mistakes).unwrap_or(interval);
    if interval < LEAST_INTERVAL {
        probe.mistake("interval", "must be 10ms or more", mistakes);
    }
    let timeout = timeout.map(|usual| limit(&mut probe, usual, mistakes)).unwrap_or_default();
    let watched = matches!(&kind, Some(Kind::Redis(redis)) if redis.sentinel.is_some());
    if watched && interval + timeout >= STALL {
        let why = format!(
            "interval and timeout together must be under {STALL:?}: longer without a look, and a crown is forgotten"
        );
        probe.mistake("interval", why, mistakes);
    }
    probe.finish(mistakes);
    Some(ProbeConfig { kind: kind?, interval, timeout })
}

fn limit(probe: &mut Section, usual: Duration, mistakes: &mut Mistakes) -> Duration {
    let timeout = probe.duration("timeout", mistakes).unwrap_or(usual);
    if timeout.is_zero() {
        probe.mistake("timeout", "must be more than zero", mistakes);
    }
    timeout
}

/// A block of numbers with a meaning: `primary = ["200"]`, `replica = ["429", "472-473"]`.
fn codes(mut block: Section, bounds: RangeInclusive<u16>, mistakes: &mut Mistakes) -> Codes {
    let mut codes = |key: &str| {
        let texts = block.strings(key, mistakes).unwrap_or_default();
        let read: Vec<_> = texts.iter().map(|text| range(text, &bounds)).collect();
        read.into_iter()
            .filter_map(|code| code.map_err(|why| block.mistake(key, why, mistakes)).ok())
            .collect()
    };
    let codes = Codes { primary: codes("primary"), replica: codes("replica") };
    if codes.overlap() {
        block.mistake("replica", "names a number that means primary too", mistakes);
    }
    block.finish(mistakes);
    codes
}
