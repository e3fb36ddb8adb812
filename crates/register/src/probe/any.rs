//! One probe of whatever kind was configured: the only place that knows all kinds.

use super::{
    Look, Probe, ProbeError,
    fixed::FixedProbe,
    redis::{Listener, RedisProbe},
};
use crate::config::{Kind, ProbeConfig};

/// A probe of any kind.
#[derive(Debug)]
pub enum AnyProbe {
    /// Asks a Redis.
    Redis(Box<RedisProbe>),
    /// Says what was configured.
    Fixed(FixedProbe),
}

impl AnyProbe {
    /// The probe as configured. What Sentinels say through a Redis goes to the listener.
    #[must_use]
    pub fn new(config: &ProbeConfig, listener: Option<Listener>) -> AnyProbe {
        let limit = config.timeout;
        match &config.kind {
            Kind::Redis(redis) => {
                AnyProbe::Redis(Box::new(RedisProbe::new(redis.link.clone(), limit, listener)))
            }
            Kind::Fixed(said) => AnyProbe::Fixed(FixedProbe(said.clone())),
        }
    }
}

impl Probe for AnyProbe {
    async fn look(&mut self) -> Result<Look, ProbeError> {
        match self {
            AnyProbe::Redis(probe) => probe.look().await,
            AnyProbe::Fixed(probe) => probe.look().await,
        }
    }

    async fn disturbed(&mut self) {
        match self {
            AnyProbe::Redis(probe) => probe.disturbed().await,
            AnyProbe::Fixed(probe) => probe.disturbed().await,
        }
    }
}
