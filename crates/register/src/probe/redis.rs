//! Asks a Redis data node what it is, over one connection that is kept.

use super::{
    Look, Probe, ProbeError,
    link::{Ear, Link, LinkError, Push},
    remedy::explain,
};
use crate::{
    quality::{LinkState, Replication},
    role::Life,
    sentinel::{
        aliases::Aliases,
        hello::{self, FRESH, Hello, Hellos, hello},
    },
};
use consul::Role;
use redis::{RedisError, Value, aio::MultiplexedConnection, cmd};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// A TLS handshake reads certificate files and costs some round trips, so it may take longer than a look.
const HANDSHAKE: Duration = Duration::from_secs(1);
/// How often `INFO replication` is asked: it counts in seconds.
const INFO_AGAIN: Duration = Duration::from_secs(1);

/// Looks at one Redis.
#[derive(Debug)]
pub struct RedisProbe {
    link: Link,
    limit: Duration,
    connections: u64,
    open: Option<Open>,
    hellos: Option<Listener>,
}

/// Where the Sentinels' words about one master go.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The master's name.
    pub master: String,
    /// What this instance is called.
    pub aliases: Aliases,
    /// What was heard.
    pub hellos: watch::Sender<Hellos>,
}

struct Open {
    connection: MultiplexedConnection,
    closed: watch::Receiver<bool>,
    life: Life,
    told: Told,
}

/// The last answer to `INFO replication`; nothing when it was denied.
#[derive(Debug)]
struct Told {
    at: Instant,
    of: (Role, Option<LinkState>),
    replication: Option<Replication>,
}

impl RedisProbe {
    /// Will look over `link`, giving each look `limit` to answer; passes on what Sentinels say through this Redis.
    #[must_use]
    pub fn new(link: Link, limit: Duration, hellos: Option<Listener>) -> Self {
        Self { link, limit, connections: 0, open: None, hellos }
    }

    /// A new connection, and the first look over it.
    async fn connect(&mut self) -> Result<Look, ProbeError> {
        let limit = if self.link.tls.is_some() { self.limit.max(HANDSHAKE) } else { self.limit };
        let (close, closed) = watch::channel(false);
        let listener = self.hellos.clone();
        let ear: Ear = Arc::new(move |push| match push {
            Push::Closed => _ = close.send_replace(true),
            Push::Message { text, .. } => listener.iter().for_each(|listener| listener.hear(&text)),
        });
        let opened = timeout(limit, self.link.open(Some(ear))).await;
        let mut connection =
            opened.map_err(|_| self.no_connection(limit))?.map_err(|error| self.unreachable(&error))?;
        self.connections += 1;
        // All in one breath: when the role changed, every round trip is time without a master.
        let (mut one, mut two, mut three) = (connection.clone(), connection.clone(), connection.clone());
        let hears = async {
            // Without the right to subscribe, the Sentinels' answers have to do.
            if self.hellos.is_some() {
                let _denied = three.subscribe(hello::CHANNEL).await;
            }
        };
        let all =
            async { tokio::join!(answer(&mut connection), replication(&mut one), run_id(&mut two), hears) };
        let (value, replication, run_id, ()) =
            timeout(self.limit, all).await.map_err(|_| self.silent(self.limit))?;
        let refused = |error| self.refused(explain(&error));
        let (value, replication, run_id) =
            (value.map_err(refused)?, replication.map_err(refused)?, run_id.map_err(refused)?);
        let (role, word, link) = self.read(&value)?;
        let told = Told { at: Instant::now(), of: (role, link), replication };
        let life = Life { run_id, connection: self.connections };
        Ok(self.keep(Open { connection, closed, life, told }, word))
    }

    async fn ask(&mut self) -> Result<Look, ProbeError> {
        let kept = self.open.take().filter(|open| !*open.closed.borrow());
        if let Some(open) = kept {
            match self.ask_over(open).await? {
                Ok(look) => return Ok(look),
                // Sentinel closes connections when it changes the role: that says nothing against the instance.
                Err(error) if error.is_connection_dropped() => {}
                Err(error) => return Err(self.refused(explain(&error))),
            }
        }
        self.connect().await
    }

    async fn ask_over(&mut self, mut open: Open) -> Result<Result<Look, RedisError>, ProbeError> {
        let began = Instant::now();
        let said = timeout(self.limit, answer(&mut open.connection)).await;
        let value = match said.map_err(|_| self.silent(self.limit))? {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        };
        let (role, word, link) = self.read(&value)?;
        let telling = timeout(self.limit.saturating_sub(began.elapsed()), open.hear((role, link))).await;
        let told = telling.map_err(|_| self.silent(self.limit))?;
        Ok(told.map(|()| self.keep(open, word)))
    }

    /// What an answer to `ROLE` says.
    fn read(&self, value: &Value) -> Result<(Role, String, Option<LinkState>), ProbeError> {
        let (role, word) = role(value).map_err(|strange| self.strange(strange))?;
        Ok((role, word, link(value).filter(|_| role == Role::Replica)))
    }

    /// What was seen. Only a connection that just worked is kept, so every error leads to a new one at the next look.
    fn keep(&mut self, open: Open, word: String) -> Look {
        let (role, link) = open.told.of;
        let replication = Replication { link, ..open.told.replication.clone().unwrap_or_default() };
        let life = open.life.clone();
        self.open = Some(open);
        Look { role, word, epoch: None, life, replication }
    }

    fn address(&self) -> String {
        self.link.address.to_string()
    }

    fn silent(&self, limit: Duration) -> ProbeError {
        ProbeError::Silent { address: self.address(), limit }
    }

    fn no_connection(&self, limit: Duration) -> ProbeError {
        if self.link.tls.is_none() {
            return self.silent(limit);
        }
        let why =
            format!("no TLS handshake within {limit:?}: is it stopped, or does this port speak plain text?");
        ProbeError::Unreachable { address: self.address(), why }
    }

    fn refused(&self, why: String) -> ProbeError {
        ProbeError::Refused { address: self.address(), why }
    }

    fn unreachable(&self, error: &LinkError) -> ProbeError {
        match error {
            LinkError::Redis(redis) if !redis.is_io_error() => self.refused(error.to_string()),
            _ => ProbeError::Unreachable { address: self.address(), why: error.to_string() },
        }
    }

    fn strange(&self, strange: Strange) -> ProbeError {
        match strange {
            Strange::Sentinel => ProbeError::Sentinel { address: self.address() },
            Strange::Other(found) => ProbeError::Strange { address: self.address(), found },
        }
    }
}

impl Open {
    /// Hears what `INFO replication` says: asked again after a second, and at once when the role or the link changed. When
    /// it is denied, only then. Fails when the connection ends meanwhile, as it does when the role just changed.
    async fn hear(&mut self, of: (Role, Option<LinkState>)) -> Result<(), RedisError> {
        let stale = self.told.replication.is_some() && self.told.at.elapsed() >= INFO_AGAIN;
        if self.told.of != of || stale {
            let replication = replication(&mut self.connection).await?;
            self.told = Told { at: Instant::now(), of, replication };
        }
        Ok(())
    }
}

impl Listener {
    fn hear(&self, text: &str) {
        if let Some((sentinel, mut word)) = hello(text, &self.master, Instant::now()) {
            self.aliases.rename_at_hand(&mut word.address);
            self.hellos.send_if_modified(|hellos| {
                hellos.retain(|_, hello| word.at - hello.at <= FRESH);
                let same = |old: Hello| (old.address, old.epoch) == (word.address.clone(), word.epoch);
                !hellos.insert(sentinel, word.clone()).is_some_and(same)
            });
        }
    }
}

impl Probe for RedisProbe {
    async fn look(&mut self) -> Result<Look, ProbeError> {
        self.ask().await
    }

    /// Sentinel closes every client's connection in the same moment in which it changes the role, so the end of
    /// an idle connection is the fastest sign of a change (1–3 ms; `SENTINEL` source, measured on 7.0).
    async fn disturbed(&mut self) {
        if let Some(open) = &mut self.open
            && open.closed.wait_for(|closed| *closed).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

async fn answer(connection: &mut MultiplexedConnection) -> Result<Value, RedisError> {
    cmd("ROLE").query_async(connection).await
}

/// What `INFO replication` says; `None` when it is denied.
async fn replication(connection: &mut MultiplexedConnection) -> Result<Option<Replication>, RedisError> {
    Ok(info(connection, "replication").await?.map(|info| Replication::read(&info)))
}

/// The run id from `INFO server`; `None` when it is denied, as for a user that may only ask `ROLE`.
async fn run_id(connection: &mut MultiplexedConnection) -> Result<Option<String>, RedisError> {
    Ok(info(connection, "server").await?.and_then(|info| named_run(&info)))
}

async fn info(connection: &mut MultiplexedConnection, section: &str) -> Result<Option<String>, RedisError> {
    match cmd("INFO").arg(section).query_async(connection).await {
        // Nothing was denied: what was seen before belongs to a time that is over.
        Err(error) if error.is_connection_dropped() => Err(error),
        said => Ok(said.ok()),
    }
}

/// Dragonfly tells none.
fn named_run(info: &str) -> Option<String> {
    let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"))?.trim();
    (!run_id.is_empty()).then(|| run_id.to_owned())
}

#[derive(Debug, PartialEq, Eq)]
enum Strange {
    Sentinel,
    Other(String),
}

/// Reads the answer to `ROLE`. Only the first element counts: Dragonfly answers with two, a replica that has
/// just begun to connect with an offset of -1, and the word for a replica is `slave` or `replica`. Gives the word too.
///
/// KeyDB's `active-replica` takes writes as its peers do; with several of them it answers with a list of answers.
fn role(answer: &Value) -> Result<(Role, String), Strange> {
    let first = match answer {
        Value::Array(items) => match items.first() {
            Some(Value::Array(first)) => first.first(),
            first => first,
        },
        _ => None,
    };
    let word = match first {
        Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Some(Value::SimpleString(text)) => text.clone(),
        _ => String::new(),
    };
    match word.as_str() {
        "master" | "active-replica" => Ok((Role::Master, word)),
        "slave" | "replica" => Ok((Role::Replica, word)),
        "sentinel" => Err(Strange::Sentinel),
        _ => Err(Strange::Other(format!("{answer:?}").chars().take(80).collect())),
    }
}

/// A replica's word for its link: the fourth element of its answer to `ROLE`.
fn link(answer: &Value) -> Option<LinkState> {
    match answer {
        Value::Array(items) => match items.get(3)? {
            Value::BulkString(bytes) => LinkState::read(&String::from_utf8_lossy(bytes)),
            _ => None,
        },
        _ => None,
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("life", &self.life).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
