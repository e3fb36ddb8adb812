//! A planned switch that loses no acknowledged write: pause writes, wait until the replicas have everything, let
//! Sentinel promote one, make the old master follow it, and only then let go of those who waited.
//!
//! `SENTINEL FAILOVER` alone promotes first and demotes ten seconds later; what the old master takes meanwhile is lost.

use crate::{
    config::{RegisterConfig, SentinelConfig, ServiceConfig},
    probe::{
        link::{Address, Link},
        remedy::explain,
    },
    sentinel::Place,
};
use redis::{Cmd, FromRedisValue, Value, aio::MultiplexedConnection, cmd, from_redis_value_ref};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, sleep, timeout};

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

/// Looks this often at what is about to happen.
const STEP: Duration = Duration::from_millis(10);
/// A pause ends by itself this long after everything should be over, in case this program is killed.
const LEASH: Duration = Duration::from_secs(5);
/// One command's limit.
const LIMIT: Duration = Duration::from_secs(2);

/// Switches the master of `service` (of the only one, when it is not named) within `limit`.
pub async fn failover(
    config: &RegisterConfig,
    service: Option<&str>,
    limit: Duration,
    say: impl Fn(&str),
) -> Result<Switched, FailoverError> {
    let until = Instant::now() + limit;
    let mut stage = Stage::set(config, service).await.map_err(FailoverError::Refused)?;
    say(&format!("{} is master and can be switched", stage.master.name));
    let began = Instant::now();
    stage.pause(limit + LEASH).await.map_err(FailoverError::Refused)?;
    say("writes are paused");
    let new = match stage.switch(until, &say).await {
        Ok(new) => new,
        Err(why) => return Err(stage.give_up(why).await),
    };
    let (to, took) = (format!("{}:{}", new.0, new.1), began.elapsed());
    say(&format!("{to} is master after {took:.0?}"));
    let from = stage.master.name.clone();
    match stage.follow(&new).await {
        Ok(()) => Ok(Switched { from, to, took }),
        Err(why) => Err(FailoverError::Unfinished(format!(
            "{from} does not follow {to} yet ({why}); Sentinel sees to it, and its writes stay paused meanwhile"
        ))),
    }
}

/// Those who take part: the Sentinel that is given the order, and the master.
struct Stage<'a> {
    sentinel: &'a SentinelConfig,
    voice: Server,
    old: Place,
    master: Server,
}

impl<'a> Stage<'a> {
    /// Finds them, and sees whether a switch is possible; changes nothing.
    async fn set(config: &'a RegisterConfig, service: Option<&str>) -> Result<Self, String> {
        let (service, sentinel) = chosen(config, service)?;
        let (voice, old) = listen(sentinel).await?;
        let address = Address::Tcp(old.0.clone(), old.1);
        let master = Server::open(Link { address, ..service.probe.link.clone() }).await?;
        let mut stage = Stage { sentinel, voice, old, master };
        stage.ready().await?;
        Ok(stage)
    }

    async fn ready(&mut self) -> Result<(), String> {
        let name = &self.sentinel.master;
        self.voice.ask::<Value>(cmd("SENTINEL").arg("CKQUORUM").arg(name)).await?;
        let fields: BTreeMap<String, String> =
            self.voice.ask(cmd("SENTINEL").arg("MASTER").arg(name)).await?;
        let flags = fields.get("flags").cloned().unwrap_or_default();
        if flags != "master" {
            return Err(format!("{} says of the master: {flags}", self.voice.name));
        }
        let found = self.master.replication().await?;
        match (found.word.as_str(), found.replicas.len()) {
            ("master", 0) => Err(format!("no replica is connected to {}", self.master.name)),
            ("master", _) => Ok(()),
            (word, _) => Err(format!("{} says {word}, although Sentinel calls it master", self.master.name)),
        }
    }

    /// Holds back writes; they wait, and are not refused. The pause ends by itself, in case this program is killed.
    async fn pause(&mut self, leash: Duration) -> Result<(), String> {
        let millis = leash.as_millis().to_string();
        self.master.ask(cmd("CLIENT").arg("PAUSE").arg(millis).arg("WRITE")).await
    }

    /// Waits until the replicas have everything, orders the switch, and waits until Sentinel names another.
    async fn switch(&mut self, until: Instant, say: impl Fn(&str)) -> Result<Place, String> {
        let replicas = self.caught_up(until).await?;
        say(&format!("{} have everything; ordering the switch", replicas.join(" and ")));
        self.voice.ask::<()>(cmd("SENTINEL").arg("FAILOVER").arg(&self.sentinel.master)).await?;
        while Instant::now() < until {
            match named(&mut self.voice, self.sentinel).await {
                Ok(new) if new != self.old => return Ok(new),
                _ => sleep(STEP).await,
            }
        }
        Err("Sentinel promoted nobody in time".into())
    }

    async fn caught_up(&mut self, until: Instant) -> Result<Vec<String>, String> {
        loop {
            let Replication { offset, replicas, .. } = self.master.replication().await?;
            let behind: Vec<_> =
                replicas.iter().filter(|(_, at)| *at < offset).map(|(name, _)| name.as_str()).collect();
            if behind.is_empty() && !replicas.is_empty() {
                return Ok(replicas.into_iter().map(|(name, _)| name).collect());
            }
            if Instant::now() >= until {
                return Err(format!("switching now would lose writes: behind are {}", behind.join(" and ")));
            }
            sleep(STEP).await;
        }
    }

    /// Lets the old master follow the new one, and then lets go of the writes that waited: they are refused.
    async fn follow(&mut self, new: &Place) -> Result<(), String> {
        self.master.ask::<()>(cmd("REPLICAOF").arg(&new.0).arg(new.1)).await?;
        self.master.ask(cmd("CLIENT").arg("UNPAUSE")).await
    }

    async fn give_up(&mut self, why: String) -> FailoverError {
        let master = self.master.name.clone();
        match self.master.ask::<()>(cmd("CLIENT").arg("UNPAUSE")).await {
            Ok(()) => FailoverError::GivenUp { master, why },
            Err(trouble) => FailoverError::Unfinished(format!(
                "{why}; and writes at {master} could not be let go ({trouble}), which they are by themselves in seconds"
            )),
        }
    }
}

fn chosen<'a>(
    config: &'a RegisterConfig,
    service: Option<&str>,
) -> Result<(&'a ServiceConfig, &'a SentinelConfig), String> {
    let service = match (service, config.services.as_slice()) {
        (None, [only]) => only,
        (None, _) => return Err("there are several services; name one with --service".into()),
        (Some(name), services) => services
            .iter()
            .find(|service| service.name == name || service.id == name)
            .ok_or_else(|| format!("the configuration has no service \"{name}\""))?,
    };
    match &service.probe.sentinel {
        Some(sentinel) => Ok((service, sentinel)),
        None => Err(format!(
            "service \"{}\" has no sentinel {{}} block, and only Sentinel can switch",
            service.name
        )),
    }
}

/// The first Sentinel that answers, and whom it names.
async fn listen(sentinel: &SentinelConfig) -> Result<(Server, Place), String> {
    let mut troubles = vec![];
    for link in &sentinel.sentinels {
        let asked = async {
            let mut voice = Server::open(link.clone()).await?;
            let named = named(&mut voice, sentinel).await?;
            Ok::<_, String>((voice, named))
        };
        match asked.await {
            Ok(found) => return Ok(found),
            Err(why) => troubles.push(why),
        }
    }
    Err(format!("no Sentinel answers: {}", troubles.join("; ")))
}

async fn named(voice: &mut Server, sentinel: &SentinelConfig) -> Result<Place, String> {
    let named: Option<Place> =
        voice.ask(cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&sentinel.master)).await?;
    named.ok_or_else(|| format!("{} watches no master named \"{}\"", voice.name, sentinel.master))
}

/// A Redis or a Sentinel that is asked.
struct Server {
    name: String,
    connection: MultiplexedConnection,
}

impl Server {
    async fn open(link: Link) -> Result<Server, String> {
        let name = link.address.to_string();
        match timeout(LIMIT, link.open(None)).await {
            Ok(Ok(connection)) => Ok(Server { name, connection }),
            Ok(Err(error)) => Err(format!("{name}: {error}")),
            Err(_) => Err(format!("{name} did not answer within {LIMIT:?}")),
        }
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, String> {
        match timeout(LIMIT, command.query_async(&mut self.connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!("{}: {}", self.name, explain(&error))),
            Err(_) => Err(format!("{} did not answer within {LIMIT:?}", self.name)),
        }
    }

    async fn replication(&mut self) -> Result<Replication, String> {
        let answer: Vec<Value> = self.ask(&cmd("ROLE")).await?;
        Replication::read(&answer).ok_or_else(|| format!("{} answered ROLE with {answer:?}", self.name))
    }
}

/// What `ROLE` says.
#[derive(Debug, PartialEq, Eq)]
struct Replication {
    /// `master` or `slave`.
    word: String,
    /// How far a master has written.
    offset: i64,
    /// Its replicas, and how far each has acknowledged.
    replicas: Vec<(String, i64)>,
}

impl Replication {
    fn read(answer: &[Value]) -> Option<Replication> {
        let word: String = from_redis_value_ref(answer.first()?).ok()?;
        if word != "master" {
            return Some(Replication { word, offset: 0, replicas: vec![] });
        }
        let offset = from_redis_value_ref(answer.get(1)?).ok()?;
        let replicas: Vec<(String, String, i64)> = from_redis_value_ref(answer.get(2)?).ok()?;
        let replicas = replicas.into_iter().map(|(host, port, at)| (format!("{host}:{port}"), at)).collect();
        Some(Replication { word, offset, replicas })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masters_replicas_are_read_with_their_offsets() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let replica = Value::Array(vec![text("10.0.0.8"), text("6379"), text("78")]);
        let answer = [text("master"), Value::Int(79), Value::Array(vec![replica])];
        let found = Replication::read(&answer).unwrap();
        assert_eq!((found.offset, found.replicas), (79, vec![("10.0.0.8:6379".into(), 78)]));
        let replica = Replication::read(&[text("slave"), text("x")]).unwrap();
        assert_eq!((replica.word.as_str(), replica.replicas), ("slave", vec![]));
        assert_eq!(Replication::read(&[text("master")]), None);
    }
}
