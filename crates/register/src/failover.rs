//! A planned switch that loses no acknowledged write: pause writes, wait until the replicas have everything, let
//! Sentinel promote one, make the old master follow it, and only then let go of those who waited.
//!
//! `SENTINEL FAILOVER` alone promotes first and demotes ten seconds later; what the old master takes meanwhile is lost.

pub(crate) mod server;

use crate::{
    config::{RegisterConfig, SentinelConfig, ServiceConfig},
    probe::link::{Address, Link},
    role::Names,
    sentinel::Place,
};
use redis::{Value, cmd};
use server::{Replication, Server};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::{Instant, sleep};

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
/// Sentinel demotes a replaced master after about eleven seconds (measured); until then its writes must wait.
const DEMOTION: Duration = Duration::from_secs(30);
/// Less than this is over before Sentinel has done its part.
const LEAST: Duration = Duration::from_secs(5);
/// With less, the pause alone could look like a death.
const LEAST_DOWN_AFTER: Duration = Duration::from_millis(2500);

/// Switches the master of `service` (of the only one, when it is not named) within `limit`.
pub async fn failover(
    config: &RegisterConfig,
    service: Option<&str>,
    limit: Duration,
    say: impl Fn(&str),
) -> Result<Switched, FailoverError> {
    let service = chosen(config, service).map_err(FailoverError::Refused)?;
    switch(service, None, limit, say).await
}

/// Hands over the role of this very instance, which has these names, within `limit`.
pub async fn hand_over(
    service: &ServiceConfig,
    names: &Names,
    limit: Duration,
) -> Result<Switched, FailoverError> {
    let say = |text: &str| tracing::info!(id = service.id, "hand-over: {text}");
    switch(service, Some(names), limit, say).await
}

/// Nobody but `only` is switched.
async fn switch(
    service: &ServiceConfig,
    only: Option<&Names>,
    limit: Duration,
    say: impl Fn(&str),
) -> Result<Switched, FailoverError> {
    if limit < LEAST {
        return Err(FailoverError::Refused(format!("a switch takes seconds; give it at least {LEAST:?}")));
    }
    let until = Instant::now() + limit;
    let mut stage = Stage::set(service).await.map_err(FailoverError::Refused)?;
    if only.is_some_and(|names| !names.0.contains(&stage.old)) {
        let why = format!("Sentinel names another as master: {}", stage.master.name);
        return Err(FailoverError::Refused(why));
    }
    say(&format!("{} is master and can be switched", stage.master.name));
    let began = Instant::now();
    if let Err(why) = stage.pause(limit + LEASH).await {
        return Err(stage.give_up(why).await);
    }
    say("writes are paused");
    let replicas = match stage.caught_up(began + stage.patience).await {
        Ok(replicas) => replicas,
        Err(why) => return Err(stage.give_up(why).await),
    };
    say(&format!("{} have everything; ordering the switch", replicas.join(" and ")));
    // From here on Sentinel may promote at any moment: writes are let go by nobody but the pause itself.
    let new = stage.order(until).await.map_err(FailoverError::Unfinished)?;
    let (to, took) = (format!("{}:{}", new.0, new.1), began.elapsed());
    say(&format!("{to} is master after {took:.0?}"));
    let from = stage.master.name.clone();
    match stage.follow(&new).await {
        Ok(()) if !replicas.contains(&to) => Err(FailoverError::Unfinished(format!(
            "Sentinel promoted {to}, which was not among those that had everything: acknowledged writes may be lost"
        ))),
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
    /// How long writes may be paused before the order is given. Sentinel's own questions wait behind the pause, and
    /// after `down-after` it would take the master for dead.
    patience: Duration,
    /// The replicas that Sentinel may promote.
    eligible: BTreeSet<String>,
}

impl<'a> Stage<'a> {
    /// Finds them, and sees whether a switch is possible; changes nothing.
    async fn set(service: &'a ServiceConfig) -> Result<Self, String> {
        let (link, sentinel) = parties(service)?;
        let (voice, old) = listen(sentinel).await?;
        let address = Address::Tcp(old.0.clone(), old.1);
        let master = Server::open(Link { address, ..link.clone() }).await?;
        let (patience, eligible) = (Duration::ZERO, BTreeSet::new());
        let mut stage = Stage { sentinel, voice, old, master, patience, eligible };
        stage.ready().await?;
        Ok(stage)
    }

    async fn ready(&mut self) -> Result<(), String> {
        let name = &self.sentinel.master;
        self.voice.ask::<Value>(cmd("SENTINEL").arg("CKQUORUM").arg(name)).await?;
        let fields: Fields = self.voice.ask(cmd("SENTINEL").arg("MASTER").arg(name)).await?;
        let flags = fields.get("flags").cloned().unwrap_or_default();
        if flags != "master" {
            return Err(format!("{} says of the master: {flags}", self.voice.name));
        }
        let down_after = fields.get("down-after-milliseconds").and_then(|millis| millis.parse().ok());
        let down_after = Duration::from_millis(down_after.unwrap_or_default());
        if down_after < LEAST_DOWN_AFTER {
            return Err(format!(
                "Sentinel's down-after-milliseconds is {down_after:?}; under {LEAST_DOWN_AFTER:?} it could take the paused \
                 master for dead. Raise it for the switch: SENTINEL SET {name} down-after-milliseconds 5000"
            ));
        }
        self.patience = down_after / 2;
        let replicas: Vec<Fields> = self.voice.ask(cmd("SENTINEL").arg("REPLICAS").arg(name)).await?;
        self.eligible = replicas.iter().filter_map(eligible).collect();
        let found = self.master.replication().await?;
        let connected: BTreeSet<&String> = found.replicas.iter().map(|(name, _)| name).collect();
        let missing: Vec<_> =
            self.eligible.iter().filter(|name| !connected.contains(name)).map(String::as_str).collect();
        match found.word.as_str() {
            "master" if self.eligible.is_empty() => {
                Err("Sentinel has no replica that it could promote".into())
            }
            "master" if missing.is_empty() => Ok(()),
            "master" => Err(format!(
                "Sentinel could promote {}, which {} does not feed",
                missing.join(" or "),
                self.master.name
            )),
            word => Err(format!("{} says {word}, although Sentinel calls it master", self.master.name)),
        }
    }

    /// Holds back writes; they wait, and are not refused. The pause ends by itself, in case this program is killed.
    async fn pause(&mut self, leash: Duration) -> Result<(), String> {
        let millis = leash.as_millis().to_string();
        self.master.ask(cmd("CLIENT").arg("PAUSE").arg(millis).arg("WRITE")).await
    }

    /// Waits until every replica that Sentinel may promote has acknowledged all that was written.
    async fn caught_up(&mut self, until: Instant) -> Result<Vec<String>, String> {
        loop {
            let Replication { offset, replicas, .. } = self.master.replication().await?;
            let has = |name: &String| replicas.iter().any(|(replica, at)| replica == name && *at >= offset);
            let behind: Vec<_> = self.eligible.iter().filter(|name| !has(name)).map(String::as_str).collect();
            if behind.is_empty() {
                return Ok(self.eligible.iter().cloned().collect());
            }
            if Instant::now() >= until {
                return Err(format!("switching now would lose writes: behind are {}", behind.join(" and ")));
            }
            sleep(STEP).await;
        }
    }

    /// Orders the switch, and waits until Sentinel names another.
    async fn order(&mut self, until: Instant) -> Result<Place, String> {
        self.voice.ask::<()>(cmd("SENTINEL").arg("FAILOVER").arg(&self.sentinel.master)).await?;
        while Instant::now() < until {
            match named(&mut self.voice, self.sentinel).await {
                Ok(new) if new != self.old => return Ok(new),
                _ => sleep(STEP).await,
            }
        }
        Err(format!(
            "Sentinel named nobody else in time; writes at {} are let go in seconds",
            self.master.name
        ))
    }

    /// Lets the old master follow the new one, as Sentinel would ten seconds later, and then lets go of the writes
    /// that waited: they are refused.
    async fn follow(&mut self, new: &Place) -> Result<(), String> {
        self.pause(DEMOTION).await?;
        self.master.ask::<()>(cmd("REPLICAOF").arg(&new.0).arg(new.1)).await?;
        // A server without a configuration file has nothing to rewrite.
        let _rewritten = self.master.ask::<()>(cmd("CONFIG").arg("REWRITE")).await;
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

/// How its Redis is reached, and who can switch it.
fn parties(service: &ServiceConfig) -> Result<(&Link, &SentinelConfig), String> {
    match service.probe.redis().map(|redis| (&redis.link, redis.sentinel.as_ref())) {
        Some((link, Some(sentinel))) => Ok((link, sentinel)),
        _ => Err(format!(
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

type Fields = BTreeMap<String, String>;

/// The name of a replica that Sentinel may promote: up, and not kept back by its priority.
fn eligible(replica: &Fields) -> Option<String> {
    let up = replica.get("flags").is_some_and(|flags| flags == "slave");
    let kept_back = replica.get("slave-priority").is_some_and(|priority| priority == "0");
    (up && !kept_back).then_some(format!("{}:{}", replica.get("ip")?, replica.get("port")?))
}
