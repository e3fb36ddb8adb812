//! Observers of a fail-over: what the sentinels say, what each Redis says of itself, what Consul shows, where
//! HAProxy routes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ::redis::aio::MultiplexedConnection;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    Http, Outcome, Sightings,
    consul::{self, Entry},
    redis::{self, Role},
};

/// An observer at work, until it is dropped.
#[derive(Debug)]
pub struct Watcher<T = u16> {
    /// What it has seen so far.
    pub seen: Sightings<T>,
    task: JoinHandle<()>,
}

impl<T: Clone> Watcher<T> {
    fn start<F: Future<Output = ()> + Send + 'static>(watch: impl FnOnce(Sightings<T>) -> F) -> Watcher<T> {
        let seen = Sightings::default();
        Watcher { task: tokio::spawn(watch(seen.clone())), seen }
    }
}

impl<T> Drop for Watcher<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Which master a quorum (a majority) of the sentinels at these ports names, asked every 5 ms.
pub fn watch_sentinels(ports: Vec<u16>) -> Watcher {
    Watcher::start(async move |seen| {
        let mut voices: Vec<Voice> = ports.into_iter().map(Voice::new).collect();
        let mut tick = interval(Duration::from_millis(5));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let mut votes: BTreeMap<u16, usize> = BTreeMap::new();
            for voice in &mut voices {
                if let Ok(named) = voice.named().await {
                    *votes.entry(named).or_default() += 1;
                }
            }
            if let Some((port, _)) = votes.iter().find(|(_, count)| **count > voices.len() / 2) {
                seen.note(*port);
            }
        }
    })
}

/// A kept connection to one sentinel.
struct Voice {
    port: u16,
    connection: Option<MultiplexedConnection>,
}

impl Voice {
    const LIMIT: Duration = Duration::from_millis(200);

    fn new(port: u16) -> Voice {
        Voice { port, connection: None }
    }

    async fn named(&mut self) -> Outcome<u16> {
        let mut connection = match self.connection.take() {
            Some(kept) => kept,
            None => redis::connect(self.port, Voice::LIMIT).await?,
        };
        let (_, port): (String, u16) = redis::get_master().query_async(&mut connection).await?;
        self.connection = Some(connection);
        Ok(port)
    }
}

/// What the server at that port says of itself, asked every 20 ms over a connection of its own: more often would take the
/// cores from what is watched. Since when: since the last look that saw something else was sent. So a change is noted
/// some 20 ms early, never late; [`crate::Promotion`] tells a promotion to the millisecond.
pub fn watch_role(port: u16) -> Watcher<Role> {
    Watcher::start(async move |seen| {
        let mut kept = None;
        let mut since = Instant::now();
        let mut tick = interval(Duration::from_millis(20));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let asked = Instant::now();
            if let Ok(role) = role(port, &mut kept).await {
                seen.note_since(since, role);
                since = asked;
            }
        }
    })
}

async fn role(port: u16, kept: &mut Option<MultiplexedConnection>) -> Outcome<Role> {
    let mut connection = match kept.take() {
        Some(kept) => kept,
        None => redis::connect(port, Voice::LIMIT).await?,
    };
    let role = redis::role(&mut connection).await?;
    *kept = Some(connection);
    Ok(role)
}

/// Which instance is *the* master of a service in Consul, by a blocking health query.
pub fn watch_consul(address: String, service: &str) -> Outcome<Watcher> {
    watch_health(format!("{address}/v1/health/service/{service}?"), consul::master)
}

/// Which instances of a service Consul shows to be passing and master: each of them is written to by somebody.
pub fn watch_masters(address: String, service: &str) -> Outcome<Watcher<BTreeSet<u16>>> {
    let ports = |entries: &[Entry]| Some(entries.iter().map(|entry| entry.port).collect());
    watch_health(format!("{address}/v1/health/service/{service}?passing&tag=master&"), ports)
}

fn watch_health<T: Clone + PartialEq + Send + 'static>(
    query: String,
    read: fn(&[Entry]) -> Option<T>,
) -> Outcome<Watcher<T>> {
    let http = Http::new(None)?;
    Ok(Watcher::start(async move |seen| {
        let mut index = 0;
        loop {
            let asked =
                http.get(&format!("http://{query}wait=30s&index={index}"), Duration::from_secs(40)).await;
            let Some((next, answer)) = asked.ok().and_then(|a| Some((a.index?, a.json().ok()?))) else {
                // Consul is away: look again from the beginning, not more often than a person would.
                index = 0;
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            index = if next < index { 0 } else { next };
            if let Some(what) = read(&consul::entries(&answer)) {
                seen.note(what);
            }
        }
    }))
}

/// Which server a fresh connection through HAProxy reaches, tried every 3 ms.
pub fn watch_proxy(port: u16) -> Watcher {
    Watcher::start(async move |seen| {
        // A stopped server holds its connections; the next try must not wait for them.
        let mut tries = JoinSet::new();
        let mut tick = interval(Duration::from_millis(3));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            while tries.try_join_next().is_some() {}
            let seen = seen.clone();
            tries.spawn(async move {
                if let Ok(server) = reached(port).await {
                    seen.note(server);
                }
            });
        }
    })
}

async fn reached(port: u16) -> Outcome<u16> {
    let mut connection = redis::connect(port, Duration::from_millis(300)).await?;
    redis::behind(&mut connection).await
}
