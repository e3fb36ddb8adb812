//! The door to the worker that serves: asks what it runs, and steers it.

use super::{
    door::Door,
    order::{Order, VERSION},
    processes::info,
    running::{Running, running},
    sessions::{Server, Servers, servers},
    socket::{Socket, SocketError},
};
use std::time::Duration;

/// The runtime socket of the worker that serves.
#[derive(Clone, Debug)]
pub struct Runtime {
    socket: Socket,
    /// What each order begins with: over the master's socket, the worker is named.
    prefix: &'static str,
}

/// What a worker says of itself.
#[derive(Clone, Debug)]
pub struct Look {
    /// Its process.
    pub pid: u32,
    /// When it started, in whole seconds of Unix time.
    pub started: Option<u64>,
    /// HAProxy's version.
    pub version: String,
    /// Its servers.
    pub running: Running,
    /// The same, as old workers are compared with it.
    pub servers: Servers,
    /// What it said to the orders before, for people.
    pub said: String,
}

/// A worker answers within a millisecond; whoever waits for this waits with a fail-over.
const LIMIT: Duration = Duration::from_millis(250);
/// Thousands of orders, or a large map, take longer.
const LONG: Duration = Duration::from_secs(5);
/// HAProxy's own buffer for a line has 16 kB (`tune.bufsize`).
const LINE: usize = 8_000;
/// Seen last, for all that is to be known: who answers, and what its servers are.
const LOOK: [&str; 2] = ["show info", "show servers state"];

impl Runtime {
    /// Finds the worker that serves, and what it runs: over the stats socket where it is known, which needs no detour;
    /// else, or if nobody answers there as a worker should, over the master's, if there is one.
    pub async fn find(door: &Door) -> Result<(Runtime, Look), SocketError> {
        let detour = door.master().map(|socket| Runtime { socket: socket.clone(), prefix: "@1 " });
        let direct = door.stats.as_ref().map(|socket| Runtime { socket: socket.clone(), prefix: "" });
        let mut nearest = None;
        for runtime in direct.into_iter().chain(detour) {
            match (runtime.say(vec![], LIMIT).await, nearest.take()) {
                (Ok(look), _) => return Ok((runtime, look)),
                // Without a master, the nearer trouble is the one to tell of.
                (Err(SocketError::Nobody(_)), Some(error)) | (Err(error), _) => nearest = Some(error),
            }
        }
        Err(nearest.expect("an HAProxy has a socket"))
    }

    /// Gives orders, and looks at what runs then: replies tell little, and a success may say the same as a failure.
    pub async fn give(&self, orders: &[Order]) -> Result<Look, SocketError> {
        let mut plain = vec![];
        for order in orders {
            let commands = order.commands();
            if commands.iter().any(|command| command.contains(VERSION) || command.contains('\n')) {
                self.lines(std::mem::take(&mut plain), LONG).await?;
                self.transact(order, commands).await?;
            } else {
                plain.extend(commands);
            }
        }
        self.say(plain, LONG).await
    }

    /// Gives each server this state (`ready`, `drain` or `maint`); where it is `maint`, its sessions are cut after
    /// that, or their clients would come back to it.
    pub async fn turn(&self, states: &[(Server, &'static str)]) -> Result<Look, SocketError> {
        let mut commands = vec![];
        for ((proxy, server), state) in states {
            commands.push(format!("set server {proxy}/{server} state {state}"));
            if *state == "maint" {
                commands.push(format!("shutdown sessions server {proxy}/{server}"));
            }
        }
        self.say(commands, LIMIT).await
    }

    /// How many connections each server of the worker holds or keeps.
    pub async fn connections(&self) -> Result<String, SocketError> {
        self.lines(vec!["show stat -1 4 -1".into()], LIMIT).await
    }

    /// Commands that go together: the first opens a version that the others name, or they carry a payload. Each goes
    /// alone; an empty line ends a payload.
    async fn transact(&self, order: &Order, commands: Vec<String>) -> Result<(), SocketError> {
        let mut version = String::new();
        for command in commands {
            // The end of a line is added to each; one more would be a command of its own.
            let command = command.strip_suffix('\n').unwrap_or(&command).replace(VERSION, &version);
            let line = format!("{}{command}", self.prefix);
            let said = self.socket.ask_within(&line, LONG).await?;
            if let Some((_, number)) = said.split_once("New version created: ") {
                version = format!("@{}", number.split_whitespace().next().unwrap_or_default());
            } else if !order.is_content_with(&said) {
                let why = format!("HAProxy would not {order}: {}", said.trim());
                return Err(SocketError::Broken { socket: self.socket.clone(), why });
            }
        }
        Ok(())
    }

    async fn say(&self, mut commands: Vec<String>, limit: Duration) -> Result<Look, SocketError> {
        commands.extend(LOOK.map(str::to_owned));
        let said = self.lines(commands, limit).await?;
        let broken = |why: &str| SocketError::Broken { socket: self.socket.clone(), why: why.into() };
        if !said.ends_with("\n\n") {
            return Err(broken("its answer is cut off"));
        }
        let pid = info(&said, "Pid").and_then(|pid| pid.parse().ok());
        let (Some(pid), Some(version)) = (pid, info(&said, "Version")) else {
            return Err(broken("it does not answer `show info`"));
        };
        if info(&said, "Stopping").is_some_and(|stopping| stopping != "0") {
            return Err(broken("a worker that is leaving answers there"));
        }
        let (Some(running), Some(servers)) = (running(&said), servers(&said)) else {
            return Err(broken("it does not answer `show servers state`"));
        };
        let started = info(&said, "Start_time_sec").and_then(|at| at.parse().ok());
        let version = version.to_owned();
        let words = said.split("Name: HAProxy").next().unwrap_or_default();
        let words: Vec<_> = words.lines().map(str::trim).filter(|line| !line.is_empty()).take(5).collect();
        Ok(Look { pid, started, version, running, servers, said: words.join("; ") })
    }

    /// Sends commands in as few lines as fit, one after the other; a line takes one connection, so that none stays
    /// behind and keeps a worker alive. Answers what was said to the last line.
    async fn lines(&self, commands: Vec<String>, limit: Duration) -> Result<String, SocketError> {
        let mut lines = vec![];
        let mut line = String::new();
        for command in commands {
            if !line.is_empty() && line.len() + command.len() > LINE {
                lines.push(std::mem::take(&mut line));
            }
            line.push_str(if line.is_empty() { "" } else { ";" });
            line.push_str(self.prefix);
            line.push_str(&command);
        }
        let mut said = String::new();
        for line in lines.into_iter().chain((!line.is_empty()).then_some(line)) {
            said = self.socket.ask_within(&line, limit).await?;
        }
        Ok(said)
    }
}
