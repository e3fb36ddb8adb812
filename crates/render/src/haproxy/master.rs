//! The door to HAProxy's master process: reload and learn the result, look at its workers.

use super::{
    check,
    processes::{Processes, info, processes},
    socket::{self, Socket, SocketError},
};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

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

/// A configuration that may take so long in the check may take as long in the reload.
pub(super) const RELOAD: Duration = check::LIMIT;
/// 2.6 replaces its master at each reload and is away for about 80 ms (measured).
const AWAY: Duration = Duration::from_secs(1);
pub(super) const STEP: Duration = Duration::from_millis(5);
/// Since 3.1 the master answers so until the worker that it began last serves, the first one too.
const BUSY: &str = "Another reload is still in progress";

impl Master {
    /// What runs.
    pub async fn look(&self) -> Result<Processes, SocketError> {
        self.look_within(socket::LIMIT).await
    }

    /// As [`Master::look`], with its own time limit.
    pub async fn look_within(&self, limit: Duration) -> Result<Processes, SocketError> {
        let answer = self.socket.ask_within("show proc", limit).await?;
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

    /// Reloads and waits for the result, in each version's way: since 2.7 the master answers when the new worker
    /// is ready; before, it answers nothing and its count of reloads tells. Somebody else's reload may come
    /// between, or HAProxy still starts: then the master is away for a moment, or busy, and is told again.
    pub async fn reload(&self) -> Reload {
        let begun = Instant::now();
        loop {
            match self.try_reload().await {
                Some(Reload::NotRunning) if begun.elapsed() < AWAY => {}
                Some(result) => return result,
                None if begun.elapsed() < RELOAD => {}
                None => return Reload::Unreachable(format!("another reload did not end within {RELOAD:?}")),
            }
            sleep(STEP).await;
        }
    }

    /// `None` while HAProxy is busy with another reload.
    async fn try_reload(&self) -> Option<Reload> {
        let told = async {
            let before = self.look().await?;
            Ok((before, self.socket.ask_within("reload", RELOAD).await?))
        };
        let (before, said) = match told.await {
            Ok(told) => told,
            Err(SocketError::Nobody(_)) => return Some(Reload::NotRunning),
            Err(error) => return Some(Reload::Unreachable(error.to_string())),
        };
        Some(match said.trim().split_once('\n').map_or((said.trim(), ""), |(first, log)| (first, log)) {
            ("Success=1", _) => Reload::Done,
            ("Success=0", log) if log.contains(BUSY) => return None,
            ("Success=0", log) => Reload::Failed(one_line(log)),
            _ => self.result(&before, &said).await,
        })
    }

    async fn result(&self, before: &Processes, said: &str) -> Reload {
        let until = Instant::now() + RELOAD;
        loop {
            match self.look().await {
                Ok(now) if now.failed_after(before) => {
                    return Reload::Failed(
                        "the new worker did not start, HAProxy's log says why; often a port that another process \
                         holds, or a missing socket folder, which the check does not see"
                            .into(),
                    );
                }
                Ok(now) if now.replaced(before) => {
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
        let seen = async {
            while !stats
                .ask("show info")
                .await
                .is_ok_and(|said| info(&said, "Pid") == Some(&worker.to_string()))
            {
                sleep(STEP).await;
            }
        };
        // Longer is not worth waiting for: whatever answers there, the worker runs.
        _ = timeout(AWAY, seen).await;
    }
}

fn one_line(text: &str) -> String {
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "--").collect();
    if lines.is_empty() { "HAProxy gives no reason; see its log".into() } else { lines.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::VecDeque, fs, path::PathBuf};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
        task::{LocalSet, spawn_local},
    };

    const BEFORE: &str = "1 master 3 [failed: 0] 0d 2.6.12\n# workers\n7 worker 0 0d 2.6.12\n";
    const AFTER: &str = "1 master 4 [failed: 0] 0d 2.6.12\n# workers\n8 worker 0 0d 2.6.12\n";

    /// Answers one connection after the other by these words; at a `None` nobody listens for a moment.
    fn play(path: PathBuf, mut answers: VecDeque<Option<&'static str>>) {
        let mut listener = Some(UnixListener::bind(&path).unwrap());
        spawn_local(async move {
            while let Some(answer) = answers.pop_front() {
                let Some(answer) = answer else {
                    drop(listener.take());
                    sleep(Duration::from_millis(100)).await;
                    fs::remove_file(&path).unwrap();
                    listener = Some(UnixListener::bind(&path).unwrap());
                    continue;
                };
                let (mut stream, _) = listener.as_ref().unwrap().accept().await.unwrap();
                stream.read_to_string(&mut String::new()).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }

    /// All in one task: a stopped clock does not go on while one of them has something to read.
    #[tokio::test(start_paused = true)]
    async fn a_reload_is_told_again_to_a_master_that_is_being_replaced() {
        for (answers, result) in [
            (vec![Some(BEFORE), Some(""), None, Some(AFTER)], Reload::Done),
            (vec![Some(BEFORE), None, Some(BEFORE), Some(""), Some(AFTER)], Reload::Done),
            (vec![Some(BEFORE), Some("Success=1\n--\n")], Reload::Done),
            (vec![Some(BEFORE), Some("Success=0\n--\nwhy\n")], Reload::Failed("why".into())),
            (
                vec![
                    Some(BEFORE),
                    Some("Success=0\n--\nAnother reload is still in progress.\n"),
                    Some(AFTER),
                    Some("Success=1\n--\n"),
                ],
                Reload::Done,
            ),
            (vec![Some(BEFORE), Some("denied"), Some(BEFORE)], Reload::Unreachable("denied".into())),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("m.sock");
            let master = Master { socket: Socket::Unix(path.clone()), stats: None };
            let reload = async {
                play(path, answers.clone().into());
                master.reload().await
            };
            // A master that answers again after a moment must be found within it.
            assert_eq!(LocalSet::new().run_until(reload).await, result, "{answers:?}");
        }
    }
}
