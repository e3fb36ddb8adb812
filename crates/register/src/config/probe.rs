//! The `probe "KIND" { … }` block: what all kinds share, and which kinds there are.

mod redis;

pub use redis::{RedisConfig, SentinelConfig};

use crate::{
    probe::{link::Address, said::Said},
    role::STALL,
    words::Words,
};
use config::{Mistakes, Section};
use std::time::Duration;

/// How an instance is looked at.
#[derive(Clone, Debug)]
pub struct ProbeConfig {
    /// In which way.
    pub kind: Kind,
    /// Time between two looks.
    pub interval: Duration,
    /// How long one look may take.
    pub timeout: Duration,
}

/// The ways to learn a role.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `probe "redis"`.
    Redis(Box<RedisConfig>),
    /// `probe "static"`.
    Fixed(Said),
}

const KINDS: [&str; 2] = ["redis", "static"];
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

    /// Who answers, for people.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.kind {
            Kind::Redis(redis) => format!("Redis at {}", redis.link.address),
            Kind::Fixed(_) => "the configuration".into(),
        }
    }

    /// Where it connects to, unless that is nowhere.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        match &self.kind {
            Kind::Redis(redis) => Some(&redis.link.address),
            Kind::Fixed(_) => None,
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
        let kind = Kind::Redis(Box::default());
        Self { kind, interval: redis::INTERVAL, timeout: redis::TIMEOUT }
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
    let (kind, interval, timeout) = match name.as_str() {
        "redis" => (
            redis::read(&mut probe, mistakes).map(|redis| Kind::Redis(Box::new(redis))),
            redis::INTERVAL,
            redis::TIMEOUT,
        ),
        "static" => (fixed(&mut probe, mistakes).map(Kind::Fixed), Duration::from_secs(10), Duration::ZERO),
        _ => {
            let why = format!("there is no probe \"{name}\"; the kinds are {}", KINDS.join(", "));
            mistakes.note(probe.place().clone(), probe.path(), why);
            return None;
        }
    };
    let interval = probe.duration("interval", mistakes).unwrap_or(interval);
    if interval < LEAST_INTERVAL {
        probe.mistake("interval", "must be 10ms or more", mistakes);
    }
    // A role that stands here is not waited for.
    let timeout = if timeout.is_zero() { timeout } else { limit(&mut probe, timeout, mistakes) };
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

fn limit(probe: &mut Section, default: Duration, mistakes: &mut Mistakes) -> Duration {
    let timeout = probe.duration("timeout", mistakes).unwrap_or(default);
    if timeout.is_zero() {
        probe.mistake("timeout", "must be more than zero", mistakes);
    }
    timeout
}

/// `static`: a role, and perhaps an epoch.
fn fixed(probe: &mut Section, mistakes: &mut Mistakes) -> Option<Said> {
    let there = probe.has("role");
    let role = probe.parsed("role", |word| Said::word(word, None), mistakes);
    let epoch = probe.integer("epoch", 0..=i64::MAX, mistakes).and_then(|epoch| u64::try_from(epoch).ok());
    if !there {
        probe.mistake("role", "is needed: \"primary\" or \"replica\"", mistakes);
    }
    Some(Said { epoch, ..role? })
}
