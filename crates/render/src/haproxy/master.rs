//! The door to HAProxy's master process: reload and learn the result, look at the workers, cut what old workers
//! still hold.

use super::{
    outline::Outline,
    processes::{Processes, info, processes},
    sessions,
    socket::{Socket, SocketError},
};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::{Instant, sleep};

/// HAProxy's master, reached over its command-line socket (`haproxy -W -S …`).
#[derive(Clone, Debug)]
pub struct Master {
    /// The master's socket.
    pub socket: Socket,
    /// The stats socket of the configuration: answers from the worker that took it over, if it is known.
    pub stats: Option<Socket>,
}

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// A new worker serves.
    Done,
    /// HAProxy does not run; it reads the file when it starts.
    NotRunning,
    /// HAProxy could not be told, or did not say how it ended.
    Unreachable(String),
    /// It tried and failed; the old worker still serves the old configuration.
    Failed(String),
}

/// A failed bind keeps 2.6 busy for 2.5 s (measured); a huge configuration takes a second to parse.
const RELOAD: Duration = Duration::from_secs(15);
/// 2.6 replaces its master at each reload and is away for about 80 ms (measured).
const AWAY: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(5);

impl Master {
    /// What runs.
    pub async fn look(&self) -> Result<Processes, SocketError> {
        let answer = self.socket.ask("show proc").await?;
        // While it starts or replaces itself, a master takes the connection and says nothing.
        if answer.trim().is_empty() {
            return Err(SocketError::Nobody(self.socket.clone()));
        }
        processes(&answer).ok_or_else(|| SocketError::Broken {
            socket: self.socket.clone(),
            why: "it does not answer `show proc`; is it the master's socket (haproxy -W -S), and not the stats socket?"
                .into(),
        })
    }

    /// As [`Master::look`], waiting a moment for a master that is just being replaced.
    async fn look_patiently(&self, patience: Duration) -> Result<Processes, SocketError> {
        let until = Instant::now() + patience;
        loop {
            match self.look().await {
                Err(SocketError::Nobody(_)) if Instant::now() < until => sleep(STEP).await,
                other => return other,
            }
        }
    }

    /// Reloads and waits for the result, in each version's way: since 2.7 the master answers when the new worker
    /// is ready; before, it answers nothing and its count of reloads tells.
    pub async fn reload(&self) -> Reload {
        let before = match self.look_patiently(AWAY).await {
            Ok(before) => before,
            Err(SocketError::Nobody(_)) => return Reload::NotRunning,
            Err(error) => return Reload::Unreachable(error.to_string()),
        };
        let said = match self.socket.ask_within("reload", RELOAD).await {
            Ok(said) => said,
            Err(error) => return Reload::Unreachable(error.to_string()),
        };
        match said.trim().split_once('\n').map_or((said.trim(), ""), |(first, log)| (first, log)) {
            ("Success=1", _) => Reload::Done,
            ("Success=0", log) => Reload::Failed(one_line(log)),
            _ => self.result(before.reloads, &said).await,
        }
    }

    async fn result(&self, before: u32, said: &str) -> Reload {
        let until = Instant::now() + RELOAD;
        loop {
            match self.look().await {
                Ok(now) if now.reloads > before && now.failed > 0 => {
                    return Reload::Failed(
                        "the new worker did not start, HAProxy's log says why; often a port that another process \
                         holds, or a missing socket folder, which the check does not see"
                            .into(),
                    );
                }
                Ok(now) if now.reloads > before && now.worker.is_some() => {
                    self.taken_over(now.worker).await;
                    return Reload::Done;
                }
                Ok(_) if !said.trim().is_empty() => return Reload::Unreachable(one_line(said)),
                _ => {}
            }
            if Instant::now() >= until {
                return Reload::Unreachable(format!("HAProxy did not finish its reload within {RELOAD:?}"));
            }
            sleep(STEP).await;
        }
    }

    /// Waits a moment until the stats socket answers from the new worker: then its listeners are its own.
    async fn taken_over(&self, worker: Option<u32>) {
        let (Some(stats), Some(worker)) = (&self.stats, worker) else { return };
        let until = Instant::now() + AWAY;
        while Instant::now() < until {
            let answer = stats.ask("show info").await.unwrap_or_default();
            if info(&answer, "Pid") == Some(&worker.to_string()) {
                return;
            }
            sleep(STEP).await;
        }
    }

    /// When the present worker started, in whole seconds of Unix time.
    pub async fn started(&self) -> Option<u64> {
        let answer = self.socket.ask("@1 show info").await.ok()?;
        info(&answer, "Start_time_sec")?.parse().ok()
    }

    /// Cuts the sessions that old workers hold to servers which `now` does not name. A leaving worker can no
    /// longer be steered and checks nothing any more, so its clients would stay on a demoted master for ever.
    pub async fn sweep(&self, old_workers: &[u32], now: &Outline, cutting: &BTreeSet<String>) -> usize {
        let mut cut = 0;
        for pid in old_workers {
            let ask = |order: String| async move { self.socket.ask(&format!("@!{pid} {order}")).await };
            let Ok(state) = ask("show servers state".into()).await else { continue };
            let departed = sessions::departed(&state, now, cutting);
            if departed.is_empty() {
                continue;
            }
            let Ok(list) = ask("show sess".into()).await else { continue };
            for pointer in sessions::held(&list, &departed) {
                cut += usize::from(ask(format!("shutdown session {pointer}")).await.is_ok());
            }
        }
        cut
    }
}

fn one_line(text: &str) -> String {
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "--").collect();
    if lines.is_empty() { "HAProxy gives no reason; see its log".into() } else { lines.join("; ") }
}
