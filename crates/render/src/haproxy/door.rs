//! The door to one HAProxy, in whichever way it is run: looks at what runs, and has it take in its file anew.

use super::{
    master::{Master, RELOAD, Reload, STEP},
    processes::{Processes, info},
    socket::{self, Socket, SocketError},
    successor::Successor,
};
use crate::command::AfterWrite;
use std::{path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// One HAProxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The stats socket of the configuration, if it is known: answers from the process that took it over.
    pub stats: Option<Socket>,
    /// How it is reloaded.
    pub way: Way,
}

/// How an HAProxy is reloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over the socket of its master process (`haproxy -W -S …`), which tells its workers too.
    Master(Socket),
    /// By a command, such as `systemctl reload haproxy`.
    Command(AfterWrite),
    /// By a new process that takes over from the old one (`haproxy -sf …`).
    Successor(Successor),
    /// Not by us.
    Nobody,
}

/// How long a worker that starts is waited for.
const START: Duration = Duration::from_secs(1);
/// Since 3.1 the master is there before its first worker is, and never answers what that one was asked too early
/// (measured on 3.2.26); at other times it takes a millisecond.
const ANSWER: Duration = Duration::from_millis(100);

/// A process that answers: its id, and when it started, in whole seconds of Unix time. A container that is started anew
/// may give the same id again.
type Process = (u32, Option<u64>);

impl Door {
    /// Its master's socket, where it has one.
    #[must_use]
    pub fn master(&self) -> Option<&Socket> {
        if let Way::Master(socket) = &self.way { Some(socket) } else { None }
    }

    /// What to call it: its most telling address.
    #[must_use]
    pub fn address(&self) -> String {
        self.master().or(self.stats.as_ref()).map(ToString::to_string).unwrap_or_default()
    }

    /// What runs.
    pub async fn look(&self) -> Result<Processes, SocketError> {
        self.look_within(socket::LIMIT).await
    }

    /// As [`Door::look`], with its own time limit.
    pub async fn look_within(&self, limit: Duration) -> Result<Processes, SocketError> {
        if let Some(master) = self.with_master() {
            return master.look_within(limit).await;
        }
        let stats = self.only_stats();
        let said = stats.ask_within("show info", limit).await?;
        let process = process(&said).zip(info(&said, "Version"));
        let ((pid, _), version) = process.ok_or_else(|| SocketError::Broken {
            socket: stats.clone(),
            why: "it does not answer `show info`; is it HAProxy's stats socket?".into(),
        })?;
        Ok(Processes { version: version.to_owned(), worker: Some(pid), ..Processes::default() })
    }

    /// When the process that serves started, in whole seconds of Unix time. One that starts just now, or takes over, is
    /// waited for.
    pub async fn started(&self) -> Result<u64, SocketError> {
        let (socket, question) = match self.master() {
            Some(master) => (master, "@1 show info"),
            None => (self.only_stats(), "show info"),
        };
        let (until, mut limit) = (Instant::now() + START, ANSWER);
        loop {
            let said = socket.ask_within(question, limit).await;
            // The master takes ten connections at once (2.6), and one stays for each question to a worker that hangs.
            if matches!(said, Err(SocketError::Broken { .. })) {
                limit = START.min(limit * 2);
            }
            match said.map(|said| info(&said, "Start_time_sec").and_then(|at| at.parse().ok())) {
                Ok(Some(started)) => return Ok(started),
                Err(error) if Instant::now() >= until => return Err(error),
                Ok(None) if Instant::now() >= until => {
                    let why = "no worker says when it started".into();
                    return Err(SocketError::Broken { socket: socket.clone(), why });
                }
                _ => sleep(STEP).await,
            }
        }
    }

    /// Has it read `file` anew, and waits for the result.
    pub async fn reload(&self, file: &Path) -> Reload {
        if let Some(master) = self.with_master() {
            return master.reload().await;
        }
        let before = match self.process().await {
            Ok(before) => before,
            Err(SocketError::Nobody(_)) => return Reload::NotRunning,
            Err(error) => return Reload::Unreachable(error.to_string()),
        };
        let (told, limit) = match &self.way {
            Way::Command(command) => {
                (command.run().await.map_err(|error| error.to_string()), command.timeout)
            }
            Way::Successor(successor) => (successor.start(file, self.only_stats(), before.0).await, RELOAD),
            Way::Master(_) | Way::Nobody => return Reload::Unreachable("render may not reload it".into()),
        };
        match told {
            Ok(()) => self.taken_over(before, limit).await,
            Err(why) => Reload::Failed(why),
        }
    }

    /// Waits until another process than before answers.
    async fn taken_over(&self, before: Process, limit: Duration) -> Reload {
        let until = Instant::now() + limit;
        loop {
            if self.process().await.is_ok_and(|now| now != before) {
                return Reload::Done;
            }
            if Instant::now() >= until {
                let stats = self.only_stats();
                return Reload::Failed(format!(
                    "within {limit:?} no new process answered on {stats}; HAProxy's log says why"
                ));
            }
            sleep(STEP).await;
        }
    }

    /// The process that answers on the stats socket.
    async fn process(&self) -> Result<Process, SocketError> {
        let stats = self.only_stats();
        let said = stats.ask("show info").await?;
        process(&said).ok_or_else(|| SocketError::Nobody(stats.clone()))
    }

    fn with_master(&self) -> Option<Master> {
        Some(Master { socket: self.master()?.clone(), stats: self.stats.clone() })
    }

    /// Without a master there always is one: the configuration asks for it.
    fn only_stats(&self) -> &Socket {
        self.stats.as_ref().expect("without a master, a stats socket is required")
    }
}

fn process(show_info: &str) -> Option<Process> {
    let pid = info(show_info, "Pid")?.parse().ok()?;
    Some((pid, info(show_info, "Start_time_sec").and_then(|at| at.parse().ok())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
        task::{LocalSet, spawn_local},
    };

    /// How often a master is asked when its worker started, that answers so; it hangs after the last answer.
    async fn asked(answers: &[&'static str]) -> (usize, Option<u64>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let door = Door { stats: None, way: Way::Master(Socket::Unix(path)) };
        let (mut started, mut held) = (std::pin::pin!(door.started()), vec![]);
        loop {
            let mut stream = tokio::select! {
                started = &mut started => return (held.len(), started.ok()),
                accepted = listener.accept() => accepted.unwrap().0,
            };
            let answer = answers.get(held.len()).copied();
            held.push(spawn_local(async move {
                match answer {
                    Some(answer) => {
                        stream.read_u8().await.unwrap();
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                    None => std::future::pending().await,
                }
            }));
        }
    }

    /// All in one task: a stopped clock does not go on while one of them has something to read.
    #[tokio::test(start_paused = true)]
    async fn a_worker_that_starts_is_waited_for_and_one_that_hangs_is_not_asked_for_ever() {
        let answer = "Name: HAProxy\nPid: 7\nStart_time_sec: 5\n\n";
        assert_eq!(LocalSet::new().run_until(asked(&["\n", "\n", answer])).await, (3, Some(5)));
        let (times, started) = LocalSet::new().run_until(asked(&[])).await;
        assert!((2..=5).contains(&times) && started.is_none(), "{times}: each takes a place at the master");
    }
}
