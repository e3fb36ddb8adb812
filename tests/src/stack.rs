//! The whole path on loopback: Consul, Redis, Sentinel, register, render, HAProxy.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::try_join;

use crate::{
    Host, Outcome, PATIENCE, Port, Rolecall, Trouble,
    consul::{Access, Agent, Entry},
    haproxy::{self, Haproxy},
    redis::{MASTER_NAME, Redis},
    until, when,
};

/// The service that the instances are registered as.
pub const SERVICE: &str = "redis";

/// A `down-after` that a busy machine does not reach by itself, least of all while everything starts: a story must not see a
/// fail-over that nobody caused.
pub const PATIENT: Duration = Duration::from_secs(5);

/// How many of what.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Redis servers, each with a `rolecall register`; the first one starts as master.
    pub redis: usize,
    /// Sentinels: three, or none.
    pub sentinels: usize,
    /// Whether there is an epoch pointer.
    pub lock: bool,
    /// What is added to the end of the shipped template.
    pub more: &'static str,
}

impl Shape {
    /// A master and a replica without sentinels: what most stories need.
    pub const PAIR: Shape = Shape { redis: 2, sentinels: 0, lock: false, more: "" };
    /// The same with an epoch pointer in Consul.
    pub const LOCKED: Shape = Shape { lock: true, ..Shape::PAIR };
    /// What people run: three of each.
    pub const WHOLE: Shape = Shape { redis: 3, sentinels: 3, lock: false, more: "" };
}

/// Everything that runs. The fields end in the order in which they stand here.
#[derive(Debug)]
pub struct Stack {
    /// `rolecall render`.
    pub render: Rolecall,
    /// A `rolecall register` for each Redis server.
    pub registers: Vec<Rolecall>,
    /// HAProxy.
    pub haproxy: Haproxy,
    /// The sentinels.
    pub sentinels: Vec<Redis>,
    /// The Redis servers.
    pub redis: Vec<Redis>,
    /// The Consul agent that the programs talk to; with an island, those that are not on it.
    pub agent: Agent,
    /// The agent on the island.
    pub island_agent: Option<Agent>,
    /// The Consul server.
    pub server: Agent,
    /// HAProxy's ports.
    pub ports: Ports,
    directory: TempDir,
}

/// The ports that HAProxy listens on.
#[derive(Debug)]
pub struct Ports {
    /// To the master.
    pub write: Port,
    /// To the replicas.
    pub read: Port,
    /// Statistics and metrics.
    pub stats: Port,
}

impl Stack {
    /// Starts everything and waits until a write through HAProxy is acknowledged. `say` hears of each step.
    pub async fn start(shape: Shape, say: impl Fn(&str)) -> Outcome<Stack> {
        Stack::start_on(Host::LOOPBACK, None, shape, say).await
    }

    /// The same with hosts. On the island are the first Redis, which is the master, and the first Sentinel, the
    /// `register` and the Consul agent beside it.
    pub async fn start_on(
        host: Host,
        island: Option<Host>,
        shape: Shape,
        say: impl Fn(&str),
    ) -> Outcome<Stack> {
        let directory = tempfile::Builder::new().prefix("rolecall-").tempdir()?;
        let home = directory.path();
        let server = Agent::server_at(host, home, Access::Open)?;
        let agent = Agent::client_at(
            host,
            "consul-client",
            home,
            &server,
            Access::Open,
            json!({ "node_id": NODE_ID }),
        )?;
        let join = |on| Agent::client_at(on, "consul-island", home, &server, Access::Open, json!({}));
        let island_agent = island.map(join).transpose()?;
        let on = |number: usize| island.filter(|_| number == 0).unwrap_or(host);
        let (redis, sentinels) = try_join!(data(home.into(), shape, &on, &say), async {
            try_join!(server.ready(), agent.ready())?;
            say("Consul has a leader, and the client agent has joined");
            Ok(())
        })
        .map(|(parts, ())| parts)?;

        let named: Vec<SocketAddr> = sentinels.iter().map(Redis::at).collect();
        let mut registers = Vec::new();
        for (number, redis) in redis.iter().enumerate() {
            let id = format!("{SERVICE}-{number}");
            let agent = island_agent.as_ref().filter(|_| number == 0).unwrap_or(&agent);
            let mut config = register_config_at(&agent.address(), &id, redis.at(), &named);
            if shape.lock {
                let lock = "lock {\n    prefix = \"rolecall\"\n  }\n  probe";
                config = config.replacen("probe", lock, 1);
            }
            registers.push(Rolecall::start_at(
                redis.host,
                "register",
                &format!("register-{number}"),
                home,
                &config,
                vec![],
            )?);
        }
        let ports = Ports { write: Port::lease()?, read: Port::lease()?, stats: Port::lease()? };
        let render = render(home, &agent, &ports, shape.more)?;
        for register in &registers {
            register.ready().await?;
        }
        say(&format!("{} times rolecall register: in Consul", registers.len()));
        let haproxy = proxy(home, &render).await?;
        say("rolecall render wrote the configuration, HAProxy runs with it");
        let stack = Stack {
            render,
            registers,
            haproxy,
            sentinels,
            redis,
            agent,
            island_agent,
            server,
            ports,
            directory,
        };
        stack.writes_flow().await?;
        say("a write through HAProxy is acknowledged");
        Ok(stack)
    }

    /// Tells the Sentinels after how much silence a server is dead; [`PATIENT`] until then.
    pub async fn down_after(&self, silence: Duration) -> Outcome {
        for sentinel in &self.sentinels {
            let mut set = redis::cmd("SENTINEL");
            set.arg("SET")
                .arg(MASTER_NAME)
                .arg("down-after-milliseconds")
                .arg(silence.as_millis().to_string());
            sentinel.ask::<()>(&set).await?;
        }
        Ok(())
    }

    /// Waits until a write through HAProxy is acknowledged.
    pub async fn writes_flow(&self) -> Outcome {
        let flow = until("a write through HAProxy", PATIENCE, async || {
            let mut set = redis::cmd("SET");
            crate::redis::ask::<()>(self.ports.write.number(), set.arg("rolecall:first").arg(1)).await
        });
        self.render.part.explain(flow.await)
    }

    /// Makes the second server the master and the first one its replica, or the other way round, as a person
    /// without sentinels would: no moment without a master.
    pub async fn hand_over(&self, from: usize, to: usize) -> Outcome {
        let [old, new] = [&self.redis[from], &self.redis[to]];
        new.ask::<()>(redis::cmd("REPLICAOF").arg("NO").arg("ONE")).await?;
        old.ask::<()>(redis::cmd("REPLICAOF").arg("127.0.0.1").arg(new.port())).await?;
        old.follows(new.port(), PATIENCE).await
    }

    /// Waits until fresh connections through HAProxy reach the server at that port.
    pub async fn routes_to(&self, port: u16) -> Outcome {
        // One at a time: a watcher that tries every 3 ms keeps a slow machine from answering at all.
        let routed = until(format!("HAProxy to route to 127.0.0.1:{port}"), PATIENCE, async || {
            let mut fresh = crate::redis::connect(self.ports.write.number(), Duration::from_secs(1)).await?;
            let server = crate::redis::behind(&mut fresh).await?;
            when(server == port, || server.to_string())
        });
        self.render.part.explain(routed.await)
    }

    /// Waits until nothing is under way any more: Consul, the file and HAProxy's one worker hold the server at
    /// that port to be the master, and all others to be replicas.
    pub async fn settled(&self, master: u16) -> Outcome {
        let settled = until("all to agree", PATIENCE, async || {
            let entries = self.agent.entries(SERVICE).await?;
            let right = |e: &Entry| e.passing && e.is("master") == (e.port == master);
            when(entries.iter().all(right) && entries.len() == self.redis.len(), || format!("{entries:?}"))?;
            let text = self.haproxy_text();
            let (writes, reads) = text.split_once("\nbackend redis_replicas").unwrap_or_default();
            let named =
                |e: &Entry| if e.port == master { writes } else { reads }.contains(&format!(":{}\n", e.port));
            when(entries.iter().all(named), || text.clone())?;
            let processes = self.haproxy.processes().await?;
            when(processes.len() == 2 && !self.marker().exists(), || format!("{processes:?}"))
        });
        self.render.part.explain(settled.await)
    }

    /// The previous configuration, which render keeps until HAProxy uses the present one.
    pub fn marker(&self) -> PathBuf {
        self.directory.path().join(format!(".{CONFIG}.previous"))
    }

    /// Where all of it lives.
    pub fn home(&self) -> &Path {
        self.directory.path()
    }

    /// The configuration that HAProxy runs with.
    pub fn haproxy_config(&self) -> PathBuf {
        self.directory.path().join(CONFIG)
    }

    /// HAProxy's configuration as it stands in the file.
    pub fn haproxy_text(&self) -> String {
        fs::read_to_string(self.haproxy_config()).unwrap_or_default()
    }

    /// The Redis server at this port.
    pub fn redis_at(&mut self, port: u16) -> Outcome<&mut Redis> {
        let known = self.redis.iter_mut().find(|redis| redis.port() == port);
        known.ok_or_else(|| Trouble::new(format!("no redis of ours listens on {port}")))
    }
}

const CONFIG: &str = "haproxy.cfg";
const NODE_ID: &str = "11111111-2222-3333-4444-555555555555";
const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../templates/haproxy-redis.cfg.hbs");

impl Ports {
    /// What the shipped template reads from the environment.
    pub fn environment(&self, home: &Path) -> Vec<(String, String)> {
        let pair = |name: &str, value: String| (format!("ROLECALL_{name}"), value);
        vec![
            pair("STATS_SOCKET", home.join("stats.sock").display().to_string()),
            pair("WRITE_BIND", self.write.address().to_string()),
            pair("READ_BIND", self.read.address().to_string()),
            pair("STATS_BIND", self.stats.address().to_string()),
            pair("SERVICE", SERVICE.into()),
        ]
    }
}

/// Redis first: a sentinel that finds a master with its replicas in place knows them at once, not after 10 s.
async fn data(
    home: PathBuf,
    shape: Shape,
    on: &impl Fn(usize) -> Host,
    say: &impl Fn(&str),
) -> Outcome<(Vec<Redis>, Vec<Redis>)> {
    let mut servers: Vec<Redis> = Vec::new();
    for number in 0..shape.redis {
        let master = servers.first().map(Redis::at);
        servers.push(Redis::server_at(on(number), &format!("redis-{number}"), &home, master)?);
    }
    for server in &servers {
        server.ready().await?;
    }
    say(&format!("{} Redis servers: a master and its replicas", servers.len()));
    let mut sentinels = Vec::new();
    for number in 0..shape.sentinels {
        let master = servers.first().map(Redis::at).ok_or_else(|| Trouble::new("no Redis to watch"))?;
        let name = format!("sentinel-{number}");
        sentinels.push(Redis::sentinel_at(on(number), &name, &home, master, PATIENT)?);
    }
    for sentinel in &sentinels {
        sentinel.calm(PATIENCE).await?;
    }
    if !sentinels.is_empty() {
        say(&format!("{} sentinels know each other and all servers", sentinels.len()));
    }
    Ok((servers, sentinels))
}

fn render(home: &Path, agent: &Agent, ports: &Ports, more: &str) -> Outcome<Rolecall> {
    let template = home.join("haproxy.cfg.hbs");
    fs::write(&template, fs::read_to_string(TEMPLATE)? + more)?;
    let config = render_config(&agent.address(), home, &template);
    Rolecall::start("render", "render", home, &config, ports.environment(home))
}

async fn proxy(home: &Path, render: &Rolecall) -> Outcome<Haproxy> {
    let config = home.join(CONFIG);
    let written = until("rolecall render to write HAProxy's configuration", PATIENCE, async || {
        when(config.exists(), || "no file yet".into())
    });
    render.part.explain(written.await)?;
    let haproxy = Haproxy::start(home, &config)?;
    haproxy.ready().await?;
    // HAProxy that starts within the second in which its file was written is reloaded once: not while a story has begun, whose
    // connections would keep the old worker.
    render.shows("an applied text", PATIENCE, |s| s["templates"][0]["state"] == "applied").await?;
    render.ready().await?;
    Ok(haproxy)
}

/// The configuration of one `rolecall register`.
pub fn register_config(consul: &str, id: &str, port: u16, sentinels: &[u16]) -> String {
    let here = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let sentinels: Vec<SocketAddr> = sentinels.iter().map(|port| here(*port)).collect();
    register_config_at(consul, id, here(port), &sentinels)
}

/// The same for a Redis anywhere.
fn register_config_at(consul: &str, id: &str, redis: SocketAddr, sentinels: &[SocketAddr]) -> String {
    let addresses: Vec<String> = sentinels.iter().map(|at| format!("\"{at}\"")).collect();
    let sentinel = format!(
        "    sentinel {{\n      master = \"{MASTER_NAME}\"\n      addresses = [{}]\n      quorum = 2\n    }}\n",
        addresses.join(", ")
    );
    // With Sentinels, who is late for a look is taken for dead; without them, that would be a machine that is busy.
    let more = if sentinels.is_empty() { "    timeout = \"5s\"\n".into() } else { sentinel };
    format!(
        "consul {{\n  address = \"{consul}\"\n}}\n\
         service \"{SERVICE}\" {{\n  id = \"{id}\"\n  address = \"{}\"\n  port = {}\n  \
         probe \"redis\" {{\n    address = \"{redis}\"\n{more}  }}\n}}\n",
        redis.ip(),
        redis.port()
    )
}

/// The configuration of `rolecall render` for an HAProxy in that directory.
pub fn render_config(consul: &str, home: &Path, template: &Path) -> String {
    format!(
        "consul {{\n  address = \"{consul}\"\n}}\n\
         template {{\n  source = \"{}\"\n  destination = \"{}\"\n  haproxy {{\n    \
         master_socket = \"{}\"\n    stats_socket = \"{}\"\n    binary = \"haproxy\"\n  }}\n}}\n",
        template.display(),
        home.join(CONFIG).display(),
        haproxy::master_socket(home).display(),
        home.join("stats.sock").display(),
    )
}
