//! A switch where no Sentinel watches: Redis' own `FAILOVER` (6.2 and later). The master itself pauses writes, waits for a
//! replica that has everything, hands the role over, and takes it all back when its time is over, whatever becomes of
//! this program.

use super::{
    FailoverError::{self, GivenUp, Refused, Unfinished},
    LEASH, Manner, STEP, Switched,
    server::{AskError, Replication, Server},
};
use crate::{
    probe::link::{Address, Link},
    sentinel::hello::CHANNEL,
};
use redis::cmd;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Switches the Redis behind `link`, or the master that it follows.
pub(super) async fn switch(link: &Link, manner: &Manner<'_>) -> Result<Switched, FailoverError> {
    let Manner { only, limit, say, stop } = *manner;
    let mut master = find(link, only.is_some()).await.map_err(Refused)?;
    say(&format!("{} is master and can be switched", master.name));
    let began = Instant::now();
    order(&mut master, limit).await?;
    say("ordered: writes wait, and a replica that has everything takes over");
    let mut stopped = false;
    while began.elapsed() < limit + LEASH {
        sleep(STEP).await;
        // What is not heard now may be heard at the next look.
        let Ok(stands) = stands(&mut master).await else { continue };
        let from = master.name.clone();
        match stands {
            Stands::Hands => {}
            Stands::Follows(to) => {
                let took = began.elapsed();
                say(&format!("{to} is master after {took:.0?}"));
                return Ok(Switched { from, to, took });
            }
            Stands::Keeps if stopped => {
                return Err(GivenUp { master: from, why: "it was told to end".into() });
            }
            Stands::Keeps => {
                let why = "no replica had everything in time".into();
                return Err(GivenUp { master: from, why });
            }
        }
        if stop() && !stopped {
            // Whoever has taken over by now has; Redis says so.
            stopped = master.ask::<()>(cmd("FAILOVER").arg("ABORT")).await.is_ok();
        }
    }
    let why = format!("{} does not say that it is over; see master_failover_state in its INFO", master.name);
    Err(Unfinished(why))
}

/// The master, with a replica to switch to.
async fn find(link: &Link, this_one: bool) -> Result<Server, String> {
    let mut server = Server::open(link.clone()).await?;
    let mut found = server.replication().await?;
    if let Some((host, port)) = found.follows {
        if this_one {
            return Err(format!("{} says {}: it has nothing to hand over", server.name, found.word));
        }
        server = Server::open(Link { address: Address::Tcp(host, port), ..link.clone() }).await?;
        found = server.replication().await?;
    }
    match found {
        Replication { word, .. } if word != "master" => {
            Err(format!("{} says {word}, and is followed by {}", server.name, link.address))
        }
        Replication { replicas, .. } if replicas.is_empty() => {
            Err(format!("{} has no replica that could take over", server.name))
        }
        _ if watched(&mut server).await => Err(format!(
            "Sentinels listen at {}, and would undo what they did not order: name them in sentinel {{}}",
            server.name
        )),
        _ => Ok(server),
    }
}

/// Whether Sentinels listen to one another there. Without the right to ask, nobody is known to.
async fn watched(server: &mut Server) -> bool {
    let listeners = server.ask::<(String, u64)>(cmd("PUBSUB").arg("NUMSUB").arg(CHANNEL)).await;
    listeners.is_ok_and(|(_, count)| count > 0)
}

async fn order(master: &mut Server, limit: Duration) -> Result<(), FailoverError> {
    let millis = limit.as_millis().to_string();
    match master.ask(cmd("FAILOVER").arg("TIMEOUT").arg(millis)).await {
        Ok(()) => Ok(()),
        Err(AskError::Refused(why)) => Err(Refused(why)),
        Err(AskError::Unheard(why)) => Err(Unfinished(why)),
    }
}

/// How far it is.
enum Stands {
    /// It is handing over.
    Hands,
    /// It has handed over, to this one.
    Follows(String),
    /// It is master, and hands nothing over.
    Keeps,
}

async fn stands(master: &mut Server) -> Result<Stands, String> {
    let info: String = master.ask(cmd("INFO").arg("replication")).await?;
    let over = info.lines().any(|line| line.trim() == "master_failover_state:no-failover");
    let found = master.replication().await?;
    Ok(match found.follows {
        Some((host, port)) if over => Stands::Follows(format!("{host}:{port}")),
        None if over => Stands::Keeps,
        _ => Stands::Hands,
    })
}
