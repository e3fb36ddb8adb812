//! One probe of whatever kind was configured: the only place that knows all kinds.

use super::{
    Look, Probe, ProbeError,
    exec::ExecProbe,
    file::FileProbe,
    fixed::FixedProbe,
    http::HttpProbe,
    push::{PushProbe, Told},
    redis::{Listener, RedisProbe},
    stream::StreamProbe,
    tcp::TcpProbe,
};
use crate::config::{Kind, ProbeConfig};
use tokio::sync::watch;

/// A probe of any kind.
#[derive(Debug)]
pub enum AnyProbe {
    /// Asks a Redis.
    Redis(Box<RedisProbe>),
    /// Asks an HTTP server.
    Http(Box<HttpProbe>),
    /// Runs a program for each look.
    Exec(ExecProbe),
    /// Listens to a program.
    Stream(StreamProbe),
    /// Talks to a port.
    Tcp(TcpProbe),
    /// Reads a file.
    File(FileProbe),
    /// Is told.
    Push(PushProbe),
    /// Says what was configured.
    Fixed(FixedProbe),
}

/// What reaches a service beside its configuration.
#[derive(Debug)]
pub struct Around<'a> {
    /// The service's id.
    pub id: &'a str,
    /// Where the Sentinels' words go.
    pub listener: Option<Listener>,
    /// What was told on the admin pages.
    pub told: watch::Receiver<Told>,
}

impl AnyProbe {
    /// The probe as configured.
    #[must_use]
    pub fn new(config: &ProbeConfig, around: Around<'_>) -> AnyProbe {
        let limit = config.timeout;
        match config.kind.clone() {
            Kind::Redis(redis) => {
                AnyProbe::Redis(Box::new(RedisProbe::new(redis.link, limit, around.listener)))
            }
            Kind::Http(http) => AnyProbe::Http(Box::new(HttpProbe::new(*http, limit))),
            Kind::Exec { argv, codes } => AnyProbe::Exec(ExecProbe { argv, codes, limit }),
            Kind::Stream { argv, stale_after } => {
                AnyProbe::Stream(StreamProbe::new(argv, stale_after, limit))
            }
            Kind::Tcp { address, send, expect } => AnyProbe::Tcp(TcpProbe { address, send, expect, limit }),
            Kind::File { path, stale_after } => AnyProbe::File(FileProbe::new(path, stale_after, limit)),
            Kind::Push { keep, stale_after } => {
                AnyProbe::Push(PushProbe::new(around.id, around.told, keep.as_deref(), stale_after))
            }
            Kind::Fixed(said) => AnyProbe::Fixed(FixedProbe(said)),
        }
    }
}

impl Probe for AnyProbe {
    async fn look(&mut self) -> Result<Look, ProbeError> {
        match self {
            AnyProbe::Redis(probe) => probe.look().await,
            AnyProbe::Http(probe) => probe.look().await,
            AnyProbe::Exec(probe) => probe.look().await,
            AnyProbe::Stream(probe) => probe.look().await,
            AnyProbe::Tcp(probe) => probe.look().await,
            AnyProbe::File(probe) => probe.look().await,
            AnyProbe::Push(probe) => probe.look().await,
            AnyProbe::Fixed(probe) => probe.look().await,
        }
    }

    async fn disturbed(&mut self) {
        match self {
            AnyProbe::Redis(probe) => probe.disturbed().await,
            AnyProbe::Http(probe) => probe.disturbed().await,
            AnyProbe::Exec(probe) => probe.disturbed().await,
            AnyProbe::Stream(probe) => probe.disturbed().await,
            AnyProbe::Tcp(probe) => probe.disturbed().await,
            AnyProbe::File(probe) => probe.disturbed().await,
            AnyProbe::Push(probe) => probe.disturbed().await,
            AnyProbe::Fixed(probe) => probe.disturbed().await,
        }
    }
}
