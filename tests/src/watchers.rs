//! Three observers of a fail-over: what the sentinels say, what Consul shows, where HAProxy routes.

use std::{collections::BTreeMap, time::Duration};

use ::redis::aio::MultiplexedConnection;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};

use crate::{Http, Outcome, Sightings, consul, redis};

/// An observer at work, until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    /// What it has seen so far.
    pub seen: Sightings,
    task: JoinHandle<()>,
}

impl Watcher {
    fn start<F: Future<Output = ()> + Send + 'static>(watch: impl FnOnce(Sightings) -> F) -> Watcher {
        let seen = Sightings::default();
        Watcher { task: tokio::spawn(watch(seen.clone())), seen }
    }
}

impl Drop for Watcher {
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

/// Which instance is *the* master of a service in Consul, by a blocking health query.
pub fn watch_consul(address: String, service: &'static str) -> Outcome<Watcher> {
    let http = Http::new(None)?;
    Ok(Watcher::start(async move |seen| {
        let mut index = 0;
        loop {
            let url = format!("http://{address}/v1/health/service/{service}?wait=30s&index={index}");
            let asked = http.get(&url, Duration::from_secs(40)).await;
            let Some((next, answer)) = asked.ok().and_then(|a| Some((a.index?, a.json().ok()?))) else {
                // Consul is away: look again from the beginning, not more often than a person would.
                index = 0;
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            index = if next < index { 0 } else { next };
            if let Some(port) = consul::master(&consul::entries(&answer)) {
                seen.note(port);
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
