//! A planned switch that loses no acknowledged write: writes are paused, one waits until the replicas have everything,
//! another takes over, and only then those who waited are let go. [`by_sentinel`] where Sentinels watch; else
//! [`by_redis`].

mod by_redis;
mod by_sentinel;
pub(crate) mod server;

use crate::{
    config::{RegisterConfig, ServiceConfig},
    sentinel::aliases::Aliases,
};
use std::time::Duration;

/// Why a switch was refused, or where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum FailoverError {
    /// Nothing was done.
    #[error("refused, nothing was changed: {0}")]
    Refused(String),
    /// Writes were paused, and go on as before.
    #[error("given up, writes go on at {master} as before: {why}")]
    GivenUp {
        /// Who is still master.
        master: String,
        /// What was missing.
        why: String,
    },
    /// It was ordered, and its end was not seen.
    #[error("ordered, but not seen to end: {0}")]
    Unfinished(String),
}

/// What a switch did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switched {
    /// Who was master.
    pub from: String,
    /// Who is.
    pub to: String,
    /// From the pause until the new master took writes.
    pub took: Duration,
}

/// How a switch is to go.
struct Manner<'a> {
    /// Nobody but this instance is switched.
    only: Option<&'a Aliases>,
    /// How long it may take.
    limit: Duration,
    /// Is told each step, for people.
    say: &'a (dyn Fn(&str) + Sync),
    /// Whether it should be given up, where that is still possible without loss.
    stop: &'a (dyn Fn() -> bool + Sync),
}

/// Less than this is over before Sentinel has done its part.
const LEAST: Duration = Duration::from_secs(5);
/// A pause ends by itself this long after everything should be over, in case this program is killed.
const LEASH: Duration = Duration::from_secs(5);
/// Looks this often at what is about to happen.
const STEP: Duration = Duration::from_millis(10);

/// Switches the master of `service` (of the only one, when it is not named) within `limit`. Once `stop` says so it is given
/// up, but not after the order: then it has to be seen through.
pub async fn failover(
    config: &RegisterConfig,
    service: Option<&str>,
    limit: Duration,
    say: impl Fn(&str) + Sync,
    stop: impl Fn() -> bool + Sync,
) -> Result<Switched, FailoverError> {
    let service = chosen(config, service).map_err(FailoverError::Refused)?;
    switch(service, &Manner { only: None, limit, say: &say, stop: &stop }).await
}

/// Hands over the role of this very instance, which is called so, within `limit`.
pub async fn hand_over(
    service: &ServiceConfig,
    aliases: &Aliases,
    limit: Duration,
) -> Result<Switched, FailoverError> {
    let say = |text: &str| tracing::info!(id = service.id, "hand-over: {text}");
    switch(service, &Manner { only: Some(aliases), limit, say: &say, stop: &|| false }).await
}

async fn switch(service: &ServiceConfig, manner: &Manner<'_>) -> Result<Switched, FailoverError> {
    if manner.limit < LEAST {
        let why = format!("a switch takes seconds; give it at least {LEAST:?}");
        return Err(FailoverError::Refused(why));
    }
    let Some(redis) = service.probe.redis() else {
        let why =
            format!("service \"{}\" has no probe \"redis\", and only Redis can be switched", service.name);
        return Err(FailoverError::Refused(why));
    };
    match &redis.sentinel {
        Some(sentinel) => by_sentinel::switch(&redis.link, sentinel, manner).await,
        None => by_redis::switch(&redis.link, manner).await,
    }
}

fn chosen<'a>(config: &'a RegisterConfig, service: Option<&str>) -> Result<&'a ServiceConfig, String> {
    match (service, config.services.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err("there are several services; name one with --service".into()),
        (Some(name), services) => services
            .iter()
            .find(|service| service.name == name || service.id == name)
            .ok_or_else(|| format!("the configuration has no service \"{name}\"")),
    }
}
