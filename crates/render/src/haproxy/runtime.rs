//! The door to the worker that serves: asks what it runs, and steers it.

use super::{
    door::Door,
    order::{Order, VERSION},
    processes::info,
    running::{Running, running},
    sessions::{Server, Servers, servers},
    socket::{Socket, SocketError},
};
use daemon::clock::unix_millis;
use std::time::Duration;
use tokio::sync::mpsc;

/// The runtime socket of the worker that serves.
#[derive(Clone, Debug)]
pub struct Runtime {
    socket: Socket,
    /// What each order begins with: over the master's socket, the worker is named.
    prefix: &'static str,
    /// Who is told of each answer.
    waits: Option<mpsc::Sender<()>>,
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
    /// What it said to the orders before, for people.
    pub said: String,
    /// When it had said it, in milliseconds of Unix time.
    pub at: f64,
    /// Its whole answer.
    answer: String,
}

/// A worker answers within a millisecond, on a busy machine later. In place of its answer there would be a reload, which
/// takes such a machine longer.
const LIMIT: Duration = Duration::from_secs(1);
/// Where there is another way to it: whoever waits for this waits with a fail-over.
const NEAR: Duration = Duration::from_millis(250);
/// Thousands of orders, or a large map, take longer.
const LONG: Duration = Duration::from_secs(5);
/// HAProxy's own buffer for a line has 16 kB (`tune.bufsize`).
const LINE: usize = 8_000;
/// Seen last, for all that is to be known: who answers, and what its servers are.
const LOOK: [&str; 2] = ["show info", "show servers state"];

impl Look {
    /// Its servers, as old workers are compared with it.
    #[must_use]
    pub fn servers(&self) -> Servers {
        servers(&self.answer).unwrap_or_default()
    }
}

impl Runtime {
    /// Finds the worker that serves, and what it runs: over the stats socket where it is known, which needs no detour;
    /// else, or if nobody answers there as a worker should, over the master's, if there is one.
    pub async fn find(door: &Door) -> Result<(Runtime, Look), SocketError> {
        let detour = door.master().map(|socket| Runtime::over(socket, "@1 "));
        let direct = door.stats.as_ref().map(|socket| Runtime::over(socket, ""));
        let mut nearest = None;
        let mut ways = direct.into_iter().chain(detour).peekable();
        while let Some(runtime) = ways.next() {
            let limit = if ways.peek().is_some() { NEAR } else { LIMIT };
            match (runtime.say(vec![], limit).await, nearest.take()) {
                (Ok(look), _) => return Ok((runtime, look)),
                // Without a master, the nearer trouble is the one to tell of.
                (Err(SocketError::Nobody(_)), Some(error)) | (Err(error), _) => nearest = Some(error),
            }
        }
        Err(nearest.expect("an HAProxy has a socket"))
    }

    fn over(socket: &Socket, prefix: &'static str) -> Runtime {
        Runtime { socket: socket.clone(), prefix, waits: None }
    }

    /// The same; each answer is told to who waits for them.
    #[must_use]
    pub fn telling(self, waits: &mpsc::Sender<()>) -> Runtime {
        Runtime { waits: Some(waits.clone()), ..self }
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
            let said = self.ask(&line, LONG).await?;
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
        let at = unix_millis();
        let Some(running) = running(&said) else {
            return Err(broken("it does not answer `show servers state`"));
        };
        let started = info(&said, "Start_time_sec").and_then(|at| at.parse().ok());
        let version = version.to_owned();
        let words = said.split("Name: HAProxy").next().unwrap_or_default();
        let words: Vec<_> = words.lines().map(str::trim).filter(|line| !line.is_empty()).take(5).collect();
        let words = words.join("; ");
        Ok(Look { pid, started, version, running, said: words, at, answer: said })
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
            said = self.ask(&line, limit).await?;
        }
        Ok(said)
    }

    async fn ask(&self, line: &str, limit: Duration) -> Result<String, SocketError> {
        let said = self.socket.ask_within(line, limit).await?;
        // One that is not taken yet says the same.
        _ = self.waits.as_ref().map(|waits| waits.try_send(()));
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::order::State;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
    };

    #[tokio::test]
    async fn who_waits_is_told_of_each_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let answers = tokio::spawn(async move {
            for said in 1.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut line = String::new();
                stream.read_to_string(&mut line).await.unwrap();
                let table = "1\n# be_id be_name srv_id srv_name srv_addr srv_admin_state srv_uweight srv_port \
                    srv_check_state srv_agent_state\n\n";
                stream.write_all(format!("Version: 2.6.12\nPid: 7\n\n{table}").as_bytes()).await.unwrap();
                if line.contains("show servers state") {
                    return said;
                }
            }
            0
        });
        let (waits, mut told) = mpsc::channel(9);
        let runtime = Runtime::over(&Socket::Unix(path), "").telling(&waits);
        let orders: Vec<Order> =
            (0..400).map(|n| Order::State(("b".into(), format!("server{n}")), State::Ready)).collect();
        assert_eq!(runtime.give(&orders).await.unwrap().pid, 7);
        let lines = answers.await.unwrap();
        assert!(lines > 1, "they fit in a line");
        drop((runtime, waits));
        let mut heard = 0;
        while told.recv().await.is_some() {
            heard += 1;
        }
        assert_eq!(heard, lines);
    }
}
