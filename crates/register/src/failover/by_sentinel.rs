//! A switch by Sentinel: pause writes, wait until the replicas have everything, let Sentinel promote one, make the old
//! master follow it, and only then let go of those who waited.
//!
//! `SENTINEL FAILOVER` alone promotes first and demotes ten seconds later; what the old master takes meanwhile is lost.

use super::{
    FailoverError, LEASH, Manner, STEP, Switched,
    server::{AskError, Replication, Server},
};
use crate::{
    config::SentinelConfig,
    probe::link::{Address, Link},
    sentinel::Place,
};
use redis::{Value, cmd};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// While it is waited for the replicas, writes are held for no longer than this at a time, so that they go on when this
/// program is killed.
const HOLD: Duration = Duration::from_secs(2);
/// Sentinel demotes a replaced master after about eleven seconds (measured); until then its writes must wait.
const DEMOTION: Duration = Duration::from_secs(30);
/// The same, from the order on, when this program is killed right then.
const ALONE: Duration = Duration::from_secs(15);
/// With less, the pause alone could look like a death.
const LEAST_DOWN_AFTER: Duration = Duration::from_millis(2500);

/// Switches the master that `sentinel` names, which is reached as `link` is.
pub(super) async fn switch(
    link: &Link,
    sentinel: &SentinelConfig,
    manner: &Manner<'_>,
) -> Result<Switched, FailoverError> {
    let Manner { only, limit, say, stop } = *manner;
    let until = Instant::now() + limit;
    let mut stage = Stage::set(link, sentinel).await.map_err(FailoverError::Refused)?;
    if let Some(aliases) = only
        && !aliases.know(&stage.old).await
    {
        let why = format!("Sentinel names another as master: {}", stage.master.name);
        return Err(FailoverError::Refused(why));
    }
    say(&format!("{} is master and can be switched", stage.master.name));
    // The other half is Sentinel's.
    stage.patience = stage.patience.min(limit / 2);
    let began = Instant::now();
    if let Err(why) = stage.pause(HOLD).await {
        return Err(stage.give_up(why.into()).await);
    }
    say("writes are paused");
    let replicas = match stage.caught_up(limit.max(ALONE) + LEASH, stop).await {
        Ok(replicas) => replicas,
        Err(why) => return Err(stage.give_up(why).await),
    };
    say(&format!("{} have everything; ordering the switch", replicas.join(" and ")));
    match stage.order().await {
        Ok(()) => {}
        Err(AskError::Refused(why)) => return Err(stage.give_up(why).await),
        Err(AskError::Unheard(why)) => return Err(stage.unfinished(&why)),
    }
    // From here on Sentinel may promote at any moment: writes are let go by nobody but the pause itself.
    let Some(new) = stage.named_another(until).await else {
        return Err(stage.unfinished("Sentinel named nobody else in time"));
    };
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
    async fn set(link: &Link, sentinel: &'a SentinelConfig) -> Result<Self, String> {
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

    /// Holds back writes; they wait, and are not refused. A pause ends by itself; one that is longer already stays.
    async fn pause(&mut self, leash: Duration) -> Result<(), AskError> {
        let millis = leash.as_millis().to_string();
        self.master.ask(cmd("CLIENT").arg("PAUSE").arg(millis).arg("WRITE")).await
    }

    /// Waits until every replica that Sentinel may promote has acknowledged all that was written, and then holds writes
    /// for `leash`.
    async fn caught_up(
        &mut self,
        leash: Duration,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<String>, String> {
        let until = Instant::now() + self.patience;
        let mut held = false;
        loop {
            // A pause may have run out before the next one, were this program stopped for a while: so what counts is
            // seen under the long one.
            self.pause(if held { leash } else { HOLD }).await?;
            let behind = self.behind().await?;
            match (behind.is_empty(), held) {
                _ if stop() => return Err("it was told to end".into()),
                (true, true) => return Ok(self.eligible.iter().cloned().collect()),
                (true, false) => held = true,
                (false, _) if Instant::now() >= until => {
                    return Err(format!(
                        "switching now would lose writes: behind are {}",
                        behind.join(" and ")
                    ));
                }
                (false, _) => sleep(STEP).await,
            }
        }
    }

    /// The replicas that Sentinel may promote and that lack something.
    async fn behind(&mut self) -> Result<Vec<String>, String> {
        let Replication { offset, replicas, .. } = self.master.replication().await?;
        let has = |name: &String| replicas.iter().any(|(replica, at)| replica == name && *at >= offset);
        Ok(self.eligible.iter().filter(|name| !has(name)).cloned().collect())
    }

    async fn order(&mut self) -> Result<(), AskError> {
        self.voice.ask(cmd("SENTINEL").arg("FAILOVER").arg(&self.sentinel.master)).await
    }

    /// Waits until Sentinel names another.
    async fn named_another(&mut self, until: Instant) -> Option<Place> {
        while Instant::now() < until {
            match named(&mut self.voice, self.sentinel).await {
                Ok(new) if new != self.old => return Some(new),
                _ => sleep(STEP).await,
            }
        }
        None
    }

    /// Lets the old master follow the new one, as Sentinel would ten seconds later, and then lets go of the writes
    /// that waited: they are refused.
    async fn follow(&mut self, new: &Place) -> Result<(), AskError> {
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

    fn unfinished(&self, why: &str) -> FailoverError {
        FailoverError::Unfinished(format!("{why}; writes at {} are let go in seconds", self.master.name))
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
