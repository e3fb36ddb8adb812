//! Cuts what an old worker still holds to servers that are gone. It can no longer be steered and checks nothing any
//! more, so its clients would stay on a demoted master for ever.

use super::{
    line::Line,
    sessions::{self, Server, Servers},
    socket::Socket,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

/// For an answer: a worker that is stopped or stuck must not keep the others waiting.
pub(super) const LIMIT: Duration = Duration::from_millis(500);

/// What the master says in place of a worker that ended. Its table may have it for ever: 3.0.11 forgets to strike out one
/// that ends while the master replaces itself, as after a reload right after the start.
const ENDED: [&str; 2] = ["Can't connect to the target", "Can't find the target"];

/// A worker, old or not, that can be asked.
pub(super) trait Worker {
    /// What it answers, if it does.
    async fn ask(&mut self, order: &str) -> Option<String>;
}

/// A worker that is reached over a socket by a prefix: by the master's, or as who serves on the stats socket.
pub(super) struct Named {
    pub socket: Socket,
    pub prefix: String,
}

impl Worker for Named {
    async fn ask(&mut self, order: &str) -> Option<String> {
        self.socket.ask_within(&format!("{}{order}", self.prefix), LIMIT).await.ok()
    }
}

impl Worker for Line {
    async fn ask(&mut self, order: &str) -> Option<String> {
        Line::ask(self, order, LIMIT).await.ok()
    }
}

/// The servers of a worker.
pub(super) async fn table(worker: &mut impl Worker) -> Option<Servers> {
    sessions::servers(&worker.ask("show servers state").await?)
}

/// Since when servers of an old worker are gone.
pub(super) type Since = BTreeMap<Server, Instant>;

/// What old workers are swept of.
pub(super) struct Sweep {
    /// The servers of the worker that serves.
    pub now: Servers,
    /// The proxies whose sessions are cut.
    pub cutting: BTreeSet<String>,
    /// How long sessions last after their server is gone.
    pub time: Duration,
}

impl Sweep {
    /// Cuts the sessions of an old worker to servers that are gone for that long; how many. `None` when the worker has
    /// ended.
    pub async fn sweep(&self, worker: &mut impl Worker, since: &mut Since) -> Option<usize> {
        let said = worker.ask("show servers state").await.unwrap_or_default();
        if ENDED.iter().any(|ended| said.starts_with(ended)) {
            return None;
        }
        let Some(old) = sessions::servers(&said) else { return Some(0) };
        let at = Instant::now();
        let departed = sessions::departed(&old, &self.now, &self.cutting).into_iter();
        *since = departed
            .map(|server| (since.get(&server).copied().unwrap_or(at), server))
            .map(|(at, s)| (s, at))
            .collect();
        let due = since.iter().filter(|(_, at)| at.elapsed() >= self.time).map(|(server, _)| server.clone());
        let due: BTreeSet<Server> = due.collect();
        if due.is_empty() {
            return Some(0);
        }
        let list = worker.ask("show sess").await.unwrap_or_default();
        Some(shut(worker, &sessions::held(&list, &due)).await)
    }
}

/// Cuts all sessions of an old worker; it ends with the last one. How many.
pub(super) async fn clear(worker: &mut impl Worker) -> usize {
    let list = worker.ask("show sess").await.unwrap_or_default();
    shut(worker, &sessions::all(&list)).await
}

async fn shut(worker: &mut impl Worker, pointers: &[String]) -> usize {
    let mut cut = 0;
    for pointer in pointers {
        if worker.ask(&format!("shutdown session {pointer}")).await.is_none() {
            break;
        }
        cut += 1;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says one thing to everything.
    struct Says(Option<&'static str>);

    impl Worker for Says {
        async fn ask(&mut self, _: &str) -> Option<String> {
            self.0.map(str::to_owned)
        }
    }

    #[tokio::test]
    async fn a_worker_that_ended_is_told_from_one_that_hangs() {
        let sweep = Sweep { now: Servers::new(), cutting: BTreeSet::new(), time: Duration::ZERO };
        for (says, swept) in [
            (Some("Can't connect to the target CLI!\n"), None),
            (Some("Can't find the target PID matching the prefix '@!7'\n"), None),
            (Some("1\n# be_id be_name srv_id srv_name\n\n"), Some(0)),
            (Some(""), Some(0)),
            (None, Some(0)),
        ] {
            assert_eq!(sweep.sweep(&mut Says(says), &mut Since::new()).await, swept, "{says:?}");
        }
    }
}
