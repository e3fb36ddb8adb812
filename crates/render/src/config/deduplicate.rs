//! Whether one render asks for all that have the same template: `deduplicate {}`, with consul-template's keys.

use config::{Mistakes, Section, show_duration};
use serde_json::{Value, json};
use std::time::Duration;

/// How answers are shared between hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deduplicate {
    /// The folder of the key-value store, with a slash at its end.
    pub prefix: String,
    /// A leader that is silent for so long is gone.
    pub ttl: Duration,
    /// How old what the leader told may be that a server of Consul gives without asking its own leader.
    pub max_stale: Duration,
    /// How long Consul may hold the question for the leader's document open.
    pub block_query_wait: Duration,
}

/// consul-template's, so that its policies fit.
const PREFIX: &str = "consul-template/dedup/";
/// As in consul-template.
const TTL: Duration = Duration::from_secs(15);
const LEAST_TTL: Duration = Duration::from_secs(3);
const MAX_STALE: Duration = Duration::from_secs(2);
const KEYS: [&str; 4] = ["prefix", "ttl", "max_stale", "block_query_wait"];

impl Deduplicate {
    /// Takes the block out of `top`; `wait` is that of Consul's other questions.
    pub(super) fn read(top: &mut Section, wait: Duration, mistakes: &mut Mistakes) -> Option<Deduplicate> {
        let mut section = top.block("deduplicate", mistakes)?;
        let given = KEYS.iter().any(|key| section.has(key));
        let enabled = section.bool("enabled", mistakes).unwrap_or(given);
        let prefix = section.string("prefix", mistakes).filter(|prefix| !prefix.is_empty());
        let ttl = section.duration("ttl", mistakes).unwrap_or(TTL);
        if ttl < LEAST_TTL {
            section.mistake(
                "ttl",
                "must be 3s at least: the leader says three times in it that it is well",
                mistakes,
            );
        }
        let max_stale = section.duration("max_stale", mistakes).unwrap_or(MAX_STALE);
        let block_query_wait = section.duration("block_query_wait", mistakes).unwrap_or(wait);
        section.finish(mistakes);
        let prefix = prefix.unwrap_or_else(|| PREFIX.into());
        let prefix = format!("{}/", prefix.trim_matches('/'));
        enabled.then_some(Deduplicate { prefix, ttl, max_stale, block_query_wait })
    }

    pub(super) fn show(&self) -> Value {
        json!({
            "prefix": self.prefix,
            "ttl": show_duration(self.ttl),
            "max_stale": show_duration(self.max_stale),
            "block_query_wait": show_duration(self.block_query_wait),
        })
    }
}
