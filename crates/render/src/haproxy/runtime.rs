//! The door to the worker that serves: asks for its servers, and steers them.

use super::{
    master::Master,
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

/// A worker answers within a millisecond; whoever waits for this waits with a fail-over.
const LIMIT: Duration = Duration::from_millis(250);
/// HAProxy's own buffer for a line has 16 kB (`tune.bufsize`).
const LINE: usize = 8_000;

impl Runtime {
    /// Over the stats socket where it is known, which needs no detour; else over the master's.
    #[must_use]
    pub fn of(master: &Master) -> Self {
        match &master.stats {
            Some(stats) => Runtime { socket: stats.clone(), prefix: "" },
            None => Runtime { socket: master.socket.clone(), prefix: "@1 " },
        }
    }

    /// Its servers.
    pub async fn servers(&self) -> Result<Servers, SocketError> {
        self.tell(&[]).await
    }

    /// Gives each server this state (`ready`, `drain` or `maint`); where it is `maint`, its sessions are cut after
    /// that, or their clients would come back to it. Answers what the servers are then: replies tell little.
    pub async fn turn(&self, states: &[(Server, &'static str)]) -> Result<Servers, SocketError> {
        let mut orders = vec![];
        for ((proxy, server), state) in states {
            orders.push(format!("set server {proxy}/{server} state {state}"));
            if *state == "maint" {
                orders.push(format!("shutdown sessions server {proxy}/{server}"));
            }
        }
        self.tell(&orders).await
    }

    async fn tell(&self, orders: &[String]) -> Result<Servers, SocketError> {
        let mut lines = vec![String::new()];
        for order in orders.iter().map(String::as_str).chain(["show servers state"]) {
            if lines.last().is_none_or(|line| line.len() + order.len() > LINE) {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                line.push_str(if line.is_empty() { "" } else { ";" });
                line.push_str(self.prefix);
                line.push_str(order);
            }
        }
        let mut said = String::new();
        for line in lines {
            said = self.socket.ask_within(&line, LIMIT).await?;
        }
        servers(&said).ok_or_else(|| SocketError::Broken {
            socket: self.socket.clone(),
            why: "it does not answer `show servers state`".into(),
        })
    }
}
