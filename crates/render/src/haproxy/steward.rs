//! Looks after HAProxy in the background: learns what runs, says when it is back, and cuts what old workers still
//! hold to servers that are gone. Whatever hangs here holds up no news.

use super::{
    demote::Demote,
    master::Master,
    sessions::{self, Server, Servers},
    socket::Socket,
};
use crate::{report::Report, status::State};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, sleep},
};

/// What was brought into use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The proxies whose sessions are cut, of this configuration and of all before.
    pub cutting: BTreeSet<String>,
    /// How many reloads worked.
    pub reloads: u64,
    /// How often servers were steered ahead of a reload.
    pub steered: u64,
}

/// One HAProxy's steward.
pub struct Steward {
    /// Its master.
    pub master: Master,
    /// What was brought into use; the steward ends with its sender.
    pub applied: watch::Receiver<Applied>,
    /// How many old workers may live on.
    pub most_old: Option<usize>,
    /// What becomes of sessions to servers that are gone.
    pub demote: Demote,
    /// Told when HAProxy runs and a text waits for it, or another worker runs than before.
    pub runs: Arc<Notify>,
    /// Where it says what it sees.
    pub report: Report,
}

/// Since when servers are gone.
type Since = BTreeMap<Server, Instant>;
/// The same, by the old worker that still has them.
type Gone = BTreeMap<u32, Since>;

/// HAProxy is looked after this often; right after a reload, sooner and then ever less often, since the worker
/// that leaves may take one more connection before it closes its listeners.
const TEND: Duration = Duration::from_secs(1);
const TEND_SOON: Duration = Duration::from_millis(20);
/// For an answer: a worker that is stopped or stuck must not keep the others waiting.
const LIMIT: Duration = Duration::from_millis(500);
/// The master takes ten connections at once (2.6), and others need it too.
const AT_ONCE: usize = 4;

impl Steward {
    /// Serves until the keeper is gone; its last reload is still swept up after.
    pub async fn serve(self) {
        let mut applied = self.applied.clone();
        let mut seen = applied.borrow_and_update().clone();
        let (mut pause, mut fresh) = (TEND, false);
        let mut gone = Gone::new();
        loop {
            tokio::select! {
                // News first: a reload is swept up after at once, whatever a stuck worker is waited for.
                biased;
                news = applied.changed() => {
                    if news.is_err() {
                        if fresh {
                            self.tend(&seen.cutting, &mut gone, fresh).await;
                        }
                        return;
                    }
                    let now = applied.borrow_and_update().clone();
                    fresh |= now.reloads != seen.reloads;
                    if now != seen {
                        pause = Duration::ZERO;
                    }
                    seen = now;
                }
                looked = self.tend_after(pause, &seen.cutting, &mut gone, fresh) => {
                    fresh &= !looked;
                    pause = (pause * 2).clamp(TEND_SOON, TEND);
                }
            }
        }
    }

    async fn tend_after(
        &self,
        pause: Duration,
        cutting: &BTreeSet<String>,
        gone: &mut Gone,
        fresh: bool,
    ) -> bool {
        if !pause.is_zero() {
            sleep(pause).await;
        }
        self.tend(cutting, gone, fresh).await
    }

    /// Looks once, and sweeps; false when nobody answers. `fresh` says that a reload was not yet swept up after.
    async fn tend(&self, cutting: &BTreeSet<String>, gone: &mut Gone, fresh: bool) -> bool {
        let looked = self.master.look_within(LIMIT).await;
        let old = looked.as_ref().ok().map(|haproxy| haproxy.old_workers.clone());
        let before = self.report.worker();
        self.report.looked(looked);
        let Some(old) = old else { return false };
        let worker = self.report.worker();
        if self.report.state() == State::Pending || worker != before {
            self.runs.notify_one();
        }
        let cut = self.sweep(&old, cutting, gone).await + self.cap(&old).await;
        self.report.cut(cut, fresh);
        true
    }

    /// Cuts all sessions of the oldest workers beyond what may live on; they end with the last one.
    async fn cap(&self, old: &[u32]) -> usize {
        let mut cut = 0;
        for pid in old.iter().skip(self.most_old.unwrap_or(usize::MAX)) {
            let worker = format!("@!{pid}");
            let list = self.master.socket.ask_within(&format!("{worker} show sess"), LIMIT).await;
            let sessions = list.map(|list| sessions::all(&list)).unwrap_or_default();
            cut += shut(&self.master.socket, &worker, &sessions).await;
        }
        cut
    }

    /// Cuts the sessions that old workers hold to servers which the present one has not. A leaving worker can no
    /// longer be steered and checks nothing any more, so its clients would stay on a demoted master for ever.
    async fn sweep(&self, old: &[u32], cutting: &BTreeSet<String>, gone: &mut Gone) -> usize {
        gone.retain(|pid, _| old.contains(pid));
        if old.is_empty() || cutting.is_empty() {
            return 0;
        }
        let Some(now) = table(&self.master.socket, "@1").await else { return 0 };
        let (now, cutting) = (Arc::new(now), Arc::new(cutting.clone()));
        let mut cut = 0;
        for some in old.chunks(AT_ONCE) {
            let mut sweeping = JoinSet::new();
            for pid in some {
                let (socket, time) = (self.master.socket.clone(), self.demote.time());
                let (now, cutting) = (Arc::clone(&now), Arc::clone(&cutting));
                let (pid, since) = (*pid, gone.get(pid).cloned().unwrap_or_default());
                let swept = async move { (pid, sweep(socket, pid, now, cutting, since, time).await) };
                sweeping.spawn(swept);
            }
            for (pid, (some, since)) in sweeping.join_all().await {
                cut += some;
                gone.insert(pid, since);
            }
        }
        cut
    }
}

async fn table(socket: &Socket, worker: &str) -> Option<Servers> {
    let said = socket.ask_within(&format!("{worker} show servers state"), LIMIT).await.ok()?;
    sessions::servers(&said)
}

/// Sweeps one old worker of what is gone for this `time`; returns how many sessions were cut, and what is gone since
/// when.
async fn sweep(
    socket: Socket,
    pid: u32,
    now: Arc<Servers>,
    cutting: Arc<BTreeSet<String>>,
    since: Since,
    time: Duration,
) -> (usize, Since) {
    let worker = format!("@!{pid}");
    let ask = async |order: &str| socket.ask_within(&format!("{worker} {order}"), LIMIT).await;
    let Some(old) = table(&socket, &worker).await else { return (0, since) };
    let at = Instant::now();
    let departed = sessions::departed(&old, &now, &cutting).into_iter();
    let since: Since = departed
        .map(|server| (since.get(&server).copied().unwrap_or(at), server))
        .map(|(at, s)| (s, at))
        .collect();
    let due = since.iter().filter(|(_, at)| at.elapsed() >= time).map(|(server, _)| server.clone());
    let due: BTreeSet<Server> = due.collect();
    if due.is_empty() {
        return (0, since);
    }
    let Ok(list) = ask("show sess").await else { return (0, since) };
    (shut(&socket, &worker, &sessions::held(&list, &due)).await, since)
}

/// Ends sessions of a worker, as many as it takes; returns how many.
async fn shut(socket: &Socket, worker: &str, pointers: &[String]) -> usize {
    let mut cut = 0;
    for pointer in pointers {
        if socket.ask_within(&format!("{worker} shutdown session {pointer}"), LIMIT).await.is_err() {
            break;
        }
        cut += 1;
    }
    cut
}
