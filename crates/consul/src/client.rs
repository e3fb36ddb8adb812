//! The HTTP door to one Consul agent: whom it speaks to and how. `ask` has the questions, `calls` what is asked of the
//! agent and told to it, `send` the requests themselves, each with its own time-out and each error in plain English.

mod ask;
mod calls;
mod send;

pub use ask::Answer;

use crate::{
    ClientError, ConsulSettings,
    access::Access,
    backoff::Backoff,
    connection::Connection,
    overview::Overviews,
    seats::{Claim, Seats},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Speaks to one agent. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    settings: Arc<ConsulSettings>,
    connection: Arc<Connection>,
    access: Arc<Access>,
    /// How old an answer may be that a server gives without asking the leader; zero for not at all.
    max_stale: Duration,
    /// How long the last value is kept when Consul seems to have lost its data; zero to believe everything.
    quarantine: Duration,
    /// Whether the agent's cache may answer.
    cached: bool,
    seats: Seats,
    overviews: Overviews,
}

/// How many questions are held open at once within so many connections; the others are asked in turn.
#[must_use]
pub fn held_at_once(connections: usize) -> usize {
    crate::seats::held(connections)
}

/// An agent answers a local call at once; a server that is frozen behind it held one for 25 s (measured).
const LOCAL: Duration = Duration::from_secs(5);
/// What a loaded server may take beyond the wait it was asked for.
const MARGIN: Duration = Duration::from_secs(2);

impl Client {
    /// Prepares the connections; nothing is sent yet. Reads the TLS files.
    pub fn new(settings: &ConsulSettings) -> Result<Client, ClientError> {
        let settings = Arc::new(settings.clone());
        let connection = Arc::new(Connection::new(Arc::clone(&settings))?);
        let access = Arc::new(Access::new(&settings)?);
        let seats = Seats::new(settings.max_connections);
        Ok(Client {
            settings,
            connection,
            access,
            max_stale: Duration::ZERO,
            quarantine: Duration::ZERO,
            cached: false,
            seats,
            overviews: Overviews::default(),
        })
    }

    /// The same Consul by connections of its own, so that nothing queues behind another's calls. The token is shared.
    pub fn separate(&self) -> Result<Client, ClientError> {
        Ok(self.over(Arc::new(Connection::new(Arc::clone(&self.settings))?)))
    }

    pub(crate) fn over(&self, connection: Arc<Connection>) -> Client {
        Client { connection, ..self.clone() }
    }

    pub(crate) fn shared_settings(&self) -> Arc<ConsulSettings> {
        Arc::clone(&self.settings)
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Counts the tokens in use. A registration belongs to the token that made it, so write it again under a new one.
    #[must_use]
    pub fn tokens(&self) -> watch::Receiver<u64> {
        self.access.version()
    }

    /// Says that what `holder` holds in Consul was written under this token and is seen there. The token of an older
    /// login is given back when all holders said so of a newer one.
    pub fn holds(&self, holder: &str, token: u64) {
        self.access.hold(holder, token);
    }

    /// The same, but any server may answer as long as it heard from the leader within this time.
    #[must_use]
    pub fn allow_stale(self, max_stale: Duration) -> Client {
        Client { max_stale, ..self }
    }

    /// The same, but the agent's cache may answer, as far as `max_stale` allows.
    #[must_use]
    pub fn allow_cached(self, cached: bool) -> Client {
        Client { cached, ..self }
    }

    /// The same, but Consul may hold a question open for this time.
    #[must_use]
    pub fn wait_for(self, block_query_wait: Duration) -> Client {
        let settings = ConsulSettings { block_query_wait, ..(*self.settings).clone() };
        Client { settings: Arc::new(settings), ..self }
    }

    /// The same, but a watch does not believe at once that all is gone ([`crate::doubt`]).
    #[must_use]
    pub fn doubt_for(self, quarantine: Duration) -> Client {
        Client { quarantine, ..self }
    }

    /// Who may keep a question open.
    pub(crate) fn seats(&self) -> &Seats {
        &self.seats
    }

    /// The overviews that are held.
    pub(crate) fn overviews(&self) -> &Overviews {
        &self.overviews
    }

    /// A claim to keep one question open: what is held open is bounded by `max_connections`.
    #[must_use]
    pub fn claim(&self) -> Claim {
        self.seats.claim(self.settings.block_query_wait)
    }

    pub(crate) fn quarantine(&self) -> Duration {
        self.quarantine
    }

    /// How this Consul is reached.
    #[must_use]
    pub fn settings(&self) -> &ConsulSettings {
        &self.settings
    }

    /// Pauses between tries, as configured.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        Backoff::new(self.settings.retry.backoff, self.settings.retry.max_backoff)
    }
}
