//! Cuts what an old worker still holds to servers that are gone. It can no longer be steered and checks nothing any
//! more, so its clients would stay on a demoted master for ever.

use super::{
    line::Line,
    sessions::{self, Server, Servers},
    socket::Socket,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
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
    /// How many sessions were cut.
    pub cut: Arc<Cuts>,
}

/// Counts sessions that are cut, when that is ordered: whoever waits for the answers may stop waiting.
#[derive(Debug, Default)]
pub(super) struct Cuts(AtomicUsize);

impl Cuts {
    /// How many since it was asked last.
    pub fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Sweep {
    /// Cuts the sessions of an old worker to servers that are gone for that long; false when the worker has ended.
    pub async fn sweep(&self, worker: &mut impl Worker, since: &mut Since) -> bool {
        let said = worker.ask("show servers state").await.unwrap_or_default();
        if ENDED.iter().any(|ended| said.starts_with(ended)) {
            return false;
        }
        let Some(old) = sessions::servers(&said) else { return true };
        let at = Instant::now();
        let departed = sessions::departed(&old, &self.now, &self.cutting).into_iter();
        *since = departed
            .map(|server| (since.get(&server).copied().unwrap_or(at), server))
            .map(|(at, s)| (s, at))
            .collect();
        let due = since.iter().filter(|(_, at)| at.elapsed() >= self.time).map(|(server, _)| server.clone());
        let due: BTreeSet<Server> = due.collect();
        if !due.is_empty() {
            let list = worker.ask("show sess").await.unwrap_or_default();
            shut(worker, &sessions::held(&list, &due), &self.cut).await;
        }
        true
    }
}

/// Cuts all sessions of an old worker; it ends with the last one.
pub(super) async fn clear(worker: &mut impl Worker, cut: &Cuts) {
    let list = worker.ask("show sess").await.unwrap_or_default();
    shut(worker, &sessions::all(&list), cut).await;
}

async fn shut(worker: &mut impl Worker, pointers: &[String], cut: &Cuts) {
    for pointer in pointers {
        cut.0.fetch_add(1, Ordering::Relaxed);
        if worker.ask(&format!("shutdown session {pointer}")).await.is_none() {
            cut.0.fetch_sub(1, Ordering::Relaxed);
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::timeout;

    /// Says one thing to everything.
    struct Says(Option<&'static str>);

    impl Worker for Says {
        async fn ask(&mut self, _: &str) -> Option<String> {
            self.0.map(str::to_owned)
        }
    }

    /// Has a session to a server, and says this to whoever cuts it; nothing, for ever, without.
    struct Holds(Option<Option<&'static str>>);

    impl Worker for Holds {
        async fn ask(&mut self, order: &str) -> Option<String> {
            let said = match order {
                "show servers state" => {
                    "1\n# be_id be_name srv_id srv_name\n3 w 1 r1 10.0.0.1 2 0 1 1 17 6 3 4 6 0 0 0 - 6379\n\n"
                }
                "show sess" => "0x1: proto=tcpv4 src=10.0.0.9:1 fe=w be=w srv=r1 ts=00\n",
                _ => match self.0 {
                    Some(said) => return said.map(str::to_owned),
                    None => pending().await,
                },
            };
            Some(said.to_owned())
        }
    }

    fn sweep(cutting: &[&str]) -> Sweep {
        let cutting = cutting.iter().map(|&proxy| proxy.to_owned()).collect();
        Sweep { now: Servers::new(), cutting, time: Duration::ZERO, cut: Arc::default() }
    }

    #[tokio::test]
    async fn a_worker_that_ended_is_told_from_one_that_hangs() {
        for (says, lives) in [
            (Some("Can't connect to the target CLI!\n"), false),
            (Some("Can't find the target PID matching the prefix '@!7'\n"), false),
            (Some("1\n# be_id be_name srv_id srv_name\n\n"), true),
            (Some(""), true),
            (None, true),
        ] {
            assert_eq!(sweep(&[]).sweep(&mut Says(says), &mut Since::new()).await, lives, "{says:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_cut_counts_though_nobody_waits_for_the_answer() {
        for (what, cutting, says, cut) in [
            ("it is cut", &["w"][..], Some(Some("\n")), 1),
            ("nobody answers", &["w"], Some(None), 0),
            ("news came before the answer", &["w"], None, 1),
            ("its proxy does not cut", &["v"], Some(Some("\n")), 0),
        ] {
            let sweep = sweep(cutting);
            _ = timeout(Duration::from_millis(1), sweep.sweep(&mut Holds(says), &mut Since::new())).await;
            assert_eq!((sweep.cut.take(), sweep.cut.take()), (cut, 0), "{what}");
        }
    }
}
