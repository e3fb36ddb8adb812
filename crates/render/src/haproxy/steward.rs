//! Looks after HAProxy in the background: learns what runs, says when it is back, and cuts what old workers still
//! hold to servers that are gone. Whatever hangs here holds up no news.

use super::{
    demote::Demote,
    door::Door,
    elders::Elders,
    sessions::Servers,
    socket::Socket,
    sweep::{Cuts, LIMIT, Named, Since, Sweep, clear, table},
};
use crate::{report::HaproxyReport, status::State};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::sleep,
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
    /// How it is reached.
    door: Door,
    /// What was brought into use; the steward ends with its sender.
    applied: watch::Receiver<Applied>,
    /// How many old workers may live on.
    most_old: Option<usize>,
    /// What becomes of sessions to servers that are gone.
    demote: Demote,
    /// Told when HAProxy runs and a text waits for it, or another worker runs than before.
    runs: Arc<Notify>,
    /// Where it says what it sees.
    report: HaproxyReport,
    elders: Elders,
    /// The servers that are gone, by the old worker that still has them.
    gone: BTreeMap<u32, Since>,
    /// Old workers that ended, and that the master lists all the same.
    ended: BTreeSet<u32>,
    /// The sessions that were cut and not reported yet.
    cut: Arc<Cuts>,
}

/// HAProxy is looked after this often; right after a reload, sooner and then ever less often, since the worker
/// that leaves may take one more connection before it closes its listeners.
const TEND: Duration = Duration::from_secs(1);
const TEND_SOON: Duration = Duration::from_millis(20);
/// The master takes ten connections at once (2.6), and others need it too.
const AT_ONCE: usize = 4;

impl Steward {
    /// One that has not looked yet.
    #[must_use]
    pub fn new(
        door: Door,
        most_old: Option<usize>,
        demote: Demote,
        applied: watch::Receiver<Applied>,
        runs: Arc<Notify>,
        report: HaproxyReport,
    ) -> Self {
        let (elders, gone, ended, cut) = Default::default();
        Steward { door, applied, most_old, demote, runs, report, elders, gone, ended, cut }
    }

    /// Serves until the keeper is gone; its last reload is still swept up after.
    pub async fn serve(mut self) {
        let mut applied = self.applied.clone();
        let mut seen = applied.borrow_and_update().clone();
        let (mut pause, mut fresh) = (TEND, false);
        loop {
            tokio::select! {
                // News first: a reload is swept up after at once, whatever a stuck worker is waited for.
                biased;
                news = applied.changed() => {
                    if news.is_err() {
                        // What has some time left has none any more: nobody would cut it later.
                        let drained = std::mem::replace(&mut self.demote, Demote::Kill) != Demote::Kill;
                        if fresh || drained {
                            self.tend(&seen.cutting, fresh).await;
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
                looked = self.tend_after(pause, &seen.cutting, fresh) => {
                    fresh &= !looked;
                    pause = (pause * 2).clamp(TEND_SOON, TEND);
                }
            }
        }
    }

    async fn tend_after(&mut self, pause: Duration, cutting: &BTreeSet<String>, fresh: bool) -> bool {
        if !pause.is_zero() {
            sleep(pause).await;
        }
        self.tend(cutting, fresh).await
    }

    /// Looks once, and sweeps; false when nobody answers. `fresh` says that a reload was not yet swept up after.
    async fn tend(&mut self, cutting: &BTreeSet<String>, fresh: bool) -> bool {
        let mut looked = self.door.look_within(LIMIT).await;
        if let (Ok(haproxy), None, Some(stats)) = (&mut looked, self.door.master(), &self.door.stats)
            && let Some(worker) = haproxy.worker
        {
            self.elders.serves(stats, worker).await;
            haproxy.old_workers = self.elders.old(worker);
        }
        let seen = looked.as_ref().ok().map(|haproxy| (haproxy.worker, haproxy.old_workers.clone()));
        let before = self.report.worker();
        if let Ok(haproxy) = &mut looked {
            haproxy.old_workers.retain(|pid| !self.ended.contains(pid));
        }
        self.report.looked(looked);
        let Some((serving, old)) = seen else { return false };
        if self.report.state() == State::Pending || serving != before {
            self.runs.notify_one();
        }
        match self.door.master().cloned() {
            Some(master) => {
                self.sweep(&master, &old, cutting).await;
                self.cap(&master, &old).await;
            }
            None => self.sweep_elders(serving, cutting).await,
        }
        self.report.cut(self.cut.take(), fresh);
        true
    }

    /// As [`Steward::sweep`] and [`Steward::cap`], over lines of our own.
    async fn sweep_elders(&mut self, serving: Option<u32>, cutting: &BTreeSet<String>) {
        let (Some(serving), Some(stats)) = (serving, &self.door.stats) else { return };
        let mut now = Named { socket: stats.clone(), prefix: String::new() };
        let Some(now) = table(&mut now).await else { return };
        let sweep = self.sweeps(now, cutting);
        self.elders.sweep(serving, &sweep, self.most_old).await;
    }

    /// Cuts all sessions of the oldest workers beyond what may live on; they end with the last one.
    async fn cap(&self, master: &Socket, old: &[u32]) {
        let living = old.iter().filter(|pid| !self.ended.contains(pid));
        for pid in living.skip(self.most_old.unwrap_or(usize::MAX)) {
            clear(&mut Named { socket: master.clone(), prefix: format!("@!{pid} ") }, &self.cut).await;
        }
    }

    fn sweeps(&self, now: Servers, cutting: &BTreeSet<String>) -> Sweep {
        Sweep { now, cutting: cutting.clone(), time: self.demote.time(), cut: Arc::clone(&self.cut) }
    }

    /// Cuts the sessions that old workers hold to servers which the present one has not.
    async fn sweep(&mut self, master: &Socket, old: &[u32], cutting: &BTreeSet<String>) {
        self.gone.retain(|pid, _| old.contains(pid));
        self.ended.retain(|pid| old.contains(pid));
        if old.is_empty() {
            return;
        }
        let mut now = Named { socket: master.clone(), prefix: "@1 ".into() };
        let Some(now) = table(&mut now).await else { return };
        let sweep = Arc::new(self.sweeps(now, cutting));
        for some in old.chunks(AT_ONCE) {
            let mut sweeping = JoinSet::new();
            for pid in some.iter().copied() {
                let sweep = Arc::clone(&sweep);
                let mut since = self.gone.get(&pid).cloned().unwrap_or_default();
                let mut worker = Named { socket: master.clone(), prefix: format!("@!{pid} ") };
                sweeping.spawn(async move { (sweep.sweep(&mut worker, &mut since).await, pid, since) });
            }
            for (lives, pid, since) in sweeping.join_all().await {
                // Asked again each time: it only seems so while the master has no descriptor left for a connection.
                if lives {
                    self.ended.remove(&pid)
                } else {
                    self.ended.insert(pid)
                };
                self.gone.insert(pid, since);
            }
        }
    }
}
