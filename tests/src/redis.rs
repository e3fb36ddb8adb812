//! Redis servers and sentinels in directories of their own, and what they say about themselves.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Value, aio::MultiplexedConnection,
    from_redis_value_ref,
};

use crate::{ANSWER, Host, Outcome, PATIENCE, Part, Port, Recipe, Trouble, until, when};

/// What the sentinels call their master.
pub const MASTER_NAME: &str = "mymaster";

/// After how much silence a sentinel calls a server dead where fail-overs are measured.
pub const DOWN_AFTER: Duration = Duration::from_secs(1);

/// A redis-server or redis-sentinel.
#[derive(Debug)]
pub struct Redis {
    /// The process.
    pub part: Part,
    /// Where it runs.
    pub host: Host,
    port: Port,
}

impl Redis {
    /// Starts a server: a master, or a replica of the server at that port.
    pub fn server(name: &str, directory: &Path, master: Option<u16>) -> Outcome<Redis> {
        Redis::server_at(
            Host::LOOPBACK,
            name,
            directory,
            master.map(|port| (Ipv4Addr::LOCALHOST, port).into()),
        )
    }

    /// The same on that host.
    pub fn server_at(host: Host, name: &str, directory: &Path, master: Option<SocketAddr>) -> Outcome<Redis> {
        let follow = master.map(|at| format!("replicaof {} {}\n", at.ip(), at.port())).unwrap_or_default();
        let settings = format!("save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\n{follow}");
        Redis::start("redis-server", host, name, directory, &settings)
    }

    /// Starts a sentinel that watches the master at that port.
    pub fn sentinel(name: &str, directory: &Path, master: u16) -> Outcome<Redis> {
        Redis::sentinel_at(Host::LOOPBACK, name, directory, (Ipv4Addr::LOCALHOST, master).into(), DOWN_AFTER)
    }

    /// The same on that host; a server is dead after so much silence.
    pub fn sentinel_at(
        host: Host,
        name: &str,
        directory: &Path,
        master: SocketAddr,
        silence: Duration,
    ) -> Outcome<Redis> {
        let (ip, port) = (master.ip(), master.port());
        let settings = format!(
            "sentinel monitor {MASTER_NAME} {ip} {port} 2\n\
             sentinel down-after-milliseconds {MASTER_NAME} {}\n\
             sentinel failover-timeout {MASTER_NAME} 5000\n",
            silence.as_millis()
        );
        Redis::start("redis-sentinel", host, name, directory, &settings)
    }

    fn start(program: &str, host: Host, name: &str, directory: &Path, settings: &str) -> Outcome<Redis> {
        let port = Port::lease()?;
        let home = directory.join(name);
        fs::create_dir_all(&home)?;
        let file = home.join("redis.conf");
        let number = port.number();
        // Sentinel rewrites this file, and a restart reads what it wrote.
        let bind = host.addresses().iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(" ");
        // Beyond loopback Redis wants a password, or to be told that it needs none.
        let place = format!("port {number}\nbind {bind}\nprotected-mode no\ndir {}\n", home.display());
        fs::write(&file, place + settings)?;
        let part = host.runs(Recipe::new(name, program, directory, [file])).start()?;
        Ok(Redis { part, host, port })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where others reach it.
    pub fn at(&self) -> SocketAddr {
        (self.host.address, self.port()).into()
    }

    /// `ADDRESS:PORT`.
    pub fn address(&self) -> String {
        self.at().to_string()
    }

    /// Runs one command.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Outcome<T> {
        ask_at((self.host.side, self.port()).into(), command).await
    }

    /// Waits until it answers and, as a replica, follows its master.
    pub async fn ready(&self) -> Outcome {
        let ready = until(format!("{} to be in place", self.part.name()), PATIENCE, async || {
            let said = self.replication().await?;
            let says = |key: &str, value: &str| said.get(key).is_some_and(|v| v == value);
            when(says("role", "master") || says("master_link_status", "up"), || format!("{said:?}"))
        });
        self.part.explain(ready.await)
    }

    /// Waits until it follows the server at that port.
    pub async fn follows(&self, master: u16, limit: Duration) -> Outcome {
        until(format!("{} to follow {master}", self.part.name()), limit, async || {
            let said = self.replication().await?;
            let says = |key: &str, value: &str| said.get(key).is_some_and(|v| v == value);
            let follows = says("master_port", &master.to_string()) && says("master_link_status", "up");
            when(follows, || format!("{said:?}"))
        })
        .await
    }

    /// `INFO replication`.
    pub async fn replication(&self) -> Outcome<BTreeMap<String, String>> {
        let text: String = self.ask(redis::cmd("INFO").arg("replication")).await?;
        Ok(fields(&text))
    }

    /// Asks a sentinel for everything it knows of its master.
    pub async fn watched(&self) -> Outcome<BTreeMap<String, String>> {
        self.ask(redis::cmd("SENTINEL").arg("MASTER").arg(MASTER_NAME)).await
    }

    /// Waits until a sentinel knows its two peers and both replicas, and nothing of it is amiss.
    pub async fn calm(&self, limit: Duration) -> Outcome {
        let calm = until(format!("{} to know all its parts", self.part.name()), limit, async || {
            let said = self.watched().await?;
            let says = |key: &str, value: &str| said.get(key).is_some_and(|v| v == value);
            let whole =
                says("num-other-sentinels", "2") && says("num-slaves", "2") && says("flags", "master");
            when(whole, || format!("{said:?}"))
        });
        self.part.explain(calm.await)
    }

    /// Waits until a sentinel has heard from each replica that it is one; it asks every 10 s. Before that, a
    /// former master may be promoted by one sentinel and at once demoted by another that missed the demotion.
    pub async fn believes(&self, limit: Duration) -> Outcome {
        let believes = until(format!("{} to believe its replicas", self.part.name()), limit, async || {
            let mut ask = redis::cmd("SENTINEL");
            let replicas: Vec<BTreeMap<String, String>> =
                self.ask(ask.arg("REPLICAS").arg(MASTER_NAME)).await?;
            let is = |replica: &BTreeMap<String, String>, key| replica.get(key).is_some_and(|v| v == "slave");
            let all = replicas.iter().all(|replica| is(replica, "flags") && is(replica, "role-reported"));
            when(all, || format!("{replicas:?}"))
        });
        self.part.explain(believes.await)
    }

    /// Orders a sentinel to fail over; before it has heard of a replica lately, it takes no order.
    pub async fn fail_over(&self) -> Outcome {
        let mut order = redis::cmd("SENTINEL");
        order.arg("FAILOVER").arg(MASTER_NAME);
        let taken = until("the sentinel to take the order", PATIENCE, async || {
            self.ask::<()>(&order)
                .await
                .or_else(|no| when(no.to_string().contains("INPROG"), || no.to_string()))
        });
        self.part.explain(taken.await)
    }

    /// Tells a sentinel how long each step of a fail-over may take; twice that after one began, it may begin another.
    pub async fn fail_over_time_out(&self, limit: Duration) -> Outcome {
        let mut set = redis::cmd("SENTINEL");
        set.arg("SET").arg(MASTER_NAME).arg("failover-timeout").arg(limit.as_millis().to_string());
        self.ask(&set).await
    }

    /// The port a sentinel gives to whoever asks for the master.
    pub async fn named(&self) -> Outcome<u16> {
        let (_, port): (String, u16) = self.ask(&get_master()).await?;
        Ok(port)
    }
}

/// `SENTINEL GET-MASTER-ADDR-BY-NAME`.
pub fn get_master() -> Cmd {
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(MASTER_NAME);
    command
}

/// A fresh connection to a loopback port; connecting and each answer may take `limit`.
pub async fn connect(port: u16, limit: Duration) -> Outcome<MultiplexedConnection> {
    connect_to((Ipv4Addr::LOCALHOST, port).into(), limit).await
}

async fn connect_to(address: SocketAddr, limit: Duration) -> Outcome<MultiplexedConnection> {
    let settings =
        AsyncConnectionConfig::new().set_connection_timeout(Some(limit)).set_response_timeout(Some(limit));
    let client = Client::open((address.ip().to_string(), address.port()))?;
    Ok(client.get_multiplexed_async_connection_with_config(&settings).await?)
}

/// Runs one command on a fresh connection.
pub async fn ask<T: FromRedisValue>(port: u16, command: &Cmd) -> Outcome<T> {
    ask_at((Ipv4Addr::LOCALHOST, port).into(), command).await
}

async fn ask_at<T: FromRedisValue>(address: SocketAddr, command: &Cmd) -> Outcome<T> {
    let mut connection = connect_to(address, ANSWER).await?;
    let answer = command.query_async(&mut connection).await;
    answer.map_err(|e| Trouble::from(e).during(format!("asking {address}")))
}

/// Which server is at the other end of a connection, by its own port.
pub async fn behind(connection: &mut MultiplexedConnection) -> Outcome<u16> {
    let text: String = redis::cmd("INFO").arg("server").query_async(connection).await?;
    let port = fields(&text).remove("tcp_port").and_then(|port| port.parse().ok());
    port.ok_or_else(|| Trouble::new("INFO server names no tcp_port"))
}

/// What a server takes itself for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Master,
    /// It follows another.
    Replica,
}

/// `ROLE`.
pub async fn role(connection: &mut MultiplexedConnection) -> Outcome<Role> {
    let answer: Vec<Value> = redis::cmd("ROLE").query_async(connection).await?;
    match answer.first().map(from_redis_value_ref::<String>).transpose()?.as_deref() {
        Some("master") => Ok(Role::Master),
        Some("slave") => Ok(Role::Replica),
        _ => Err(Trouble::new(format!("ROLE says {answer:?}"))),
    }
}

fn fields(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(|l| l.split_once(':')).map(|(k, v)| (k.into(), v.trim().into())).collect()
}
