//! HAProxies in any number and run in any way, fed by one `rolecall render`, behind a Consul that says what it is told.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::Instant,
};

use crate::{
    ANSWER, Outcome, PATIENCE, Part, Port, Recipe, Rolecall, Scripted, Signal, Trouble, front::scene,
    haproxy, unix_ms, until, when,
};

/// Everything that runs.
#[derive(Debug)]
pub struct Crew {
    /// `rolecall render`.
    pub render: Rolecall,
    /// The HAProxies, each by its place.
    pub mates: Vec<Mate>,
    consul: Scripted,
    directory: TempDir,
    said: u64,
}

/// How an HAProxy is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// As master and workers, with sockets in the file system.
    Master,
    /// The same, with sockets that listen on loopback.
    Tcp,
    /// As master and workers, reloaded by a signal, as systemd and Docker do it.
    Signal,
    /// As one process that goes into the background, without a master.
    Daemon,
}

/// One HAProxy.
#[derive(Debug)]
pub struct Mate {
    /// Its process, once it is started; of a daemon, the one that started it.
    pub part: Option<Part>,
    /// Where it listens.
    pub bind: Port,
    /// Where it listens too, for a story about a port that is held.
    pub extra: Port,
    run: Run,
    name: String,
    stats: String,
    master: String,
    leases: [Port; 2],
    home: PathBuf,
    was: Vec<u32>,
}

const TEMPLATE: &str = "\
global
    stats socket \"${STATS}\" level admin expose-fd listeners
    hard-stop-after 60s
defaults
    mode tcp
    timeout connect 1s
    timeout client 1h
    timeout server 1h
frontend in
    bind \"127.0.0.1:${PORT}\"
    default_backend out
{{#each (service \"web\")}}{{#if ServiceMeta.more}}{{ServiceMeta.more}}
{{/if}}{{/each}}
backend out
    default-server on-marked-down shutdown-sessions
{{#each (service \"web\")}}{{#unless ServiceMeta.pool}}
    server {{ID}} {{Address}}:{{Port}}
{{/unless}}{{/each}}
backend pool
{{#each (service \"web\")}}{{#if ServiceMeta.pool}}
    server {{ID}} {{Address}}:{{Port}}
{{/if}}{{/each}}
";

impl Crew {
    /// Starts render for HAProxies that are run in these ways, each with more of its `haproxy` block, and a server at
    /// `port`; HAProxy is not started.
    pub async fn render(port: u16, ways: &[(Run, &str)]) -> Outcome<Crew> {
        let directory = tempfile::Builder::new().prefix("rolecall-").tempdir()?;
        let home = directory.path();
        let mates = ways.iter().enumerate().map(|(at, (run, _))| Mate::new(at, *run, home));
        let mates = mates.collect::<Outcome<Vec<_>>>()?;
        let consul = Scripted::start(scene(1, vec![("m", "127.0.0.1", port)], &[], "")).await?;
        let (template, config) = (home.join("haproxy.cfg.hbs"), home.join("haproxy.cfg"));
        fs::write(&template, TEMPLATE)?;
        let named = ways.len() > 1;
        let blocks = mates.iter().zip(ways).map(|(mate, (_, more))| mate.block(named, more));
        let text = format!(
            "consul {{\n  address = \"{}\"\n}}\ntemplate {{\n  source = \"{}\"\n  destination = \"{}\"\n{}}}\n",
            consul.address(),
            template.display(),
            config.display(),
            blocks.collect::<String>(),
        );
        // `haproxy -c` fills the variables too, and a process that render starts gets them.
        let environment = mates.first().map(Mate::environment).unwrap_or_default();
        let render = Rolecall::start("render", "render", home, &text, environment)?;
        Ok(Crew { render, mates, consul, directory, said: 1 })
    }

    /// Starts render and all HAProxies, and waits until they serve.
    pub async fn start(port: u16, ways: &[(Run, &str)]) -> Outcome<Crew> {
        let mut crew = Crew::render(port, ways).await?;
        crew.render.ready().await?;
        crew.next_second().await?;
        for mate in &mut crew.mates {
            mate.start().await?;
        }
        crew.applied().await?;
        Ok(crew)
    }

    /// Waits until the second is over in which the file was placed: an HAProxy that starts in it may have read the one of
    /// before, and is reloaded.
    async fn next_second(&self) -> Outcome {
        let placed = fs::metadata(self.home().join("haproxy.cfg"))?.ctime();
        let over = || unix_ms(Instant::now()) >= (placed as f64 + 1.0) * 1e3;
        until("the next second", PATIENCE, async || when(over(), || "not yet".into())).await
    }

    /// From now on Consul says that these servers are there; `more` is put into the frontend.
    pub fn say(&mut self, servers: &[(&str, u16)], more: &str) {
        self.said += 1;
        let rows = servers.iter().map(|(name, port)| (*name, "127.0.0.1", *port));
        self.consul.play(scene(self.said, rows.collect(), &[], more));
    }

    /// From now on Consul says that these servers are there, and those in the pool.
    pub fn say_pool(&mut self, servers: &[(&str, u16)], pool: &[(String, u16)]) {
        self.said += 1;
        let rows = servers.iter().map(|(name, port)| (*name, "127.0.0.1", *port));
        self.consul.play(scene(self.said, rows.collect(), pool, ""));
    }

    /// Waits until render says that all is well.
    pub async fn applied(&self) -> Outcome<Value> {
        let applied = |s: &Value| s["templates"][0]["state"] == "applied";
        Ok(self.render.shows("an applied text", PATIENCE, applied).await?["templates"][0].clone())
    }

    /// Waits until render says this of an HAProxy; what it says of the template then.
    pub async fn shows(&self, at: usize, what: &str, fits: impl Fn(&Value) -> bool) -> Outcome<Value> {
        let of = |s: &Value| fits(&s["templates"][0]["haproxies"][at]);
        Ok(self.render.shows(what, PATIENCE, of).await?["templates"][0].clone())
    }

    /// Waits until an HAProxy sends new connections to this port.
    pub async fn runs(&self, at: usize, port: u16) -> Outcome {
        let runs = until(format!("HAProxy {at} to run a server at {port}"), PATIENCE, async || {
            let table = self.mates[at].ask("show servers state out").await?;
            when(table.contains(&format!(" {port} ")), || table.clone())
        });
        self.render.part.explain(runs.await)
    }

    /// The rendered file.
    pub fn text(&self) -> Outcome<String> {
        Ok(fs::read_to_string(self.home().join("haproxy.cfg"))?)
    }

    /// Where all of it lives.
    pub fn home(&self) -> &Path {
        self.directory.path()
    }
}

impl Mate {
    fn new(at: usize, run: Run, home: &Path) -> Outcome<Mate> {
        let name = ["a", "b", "c", "d"][at].to_owned();
        let leases = [Port::lease()?, Port::lease()?];
        let [stats, master] = if run == Run::Tcp {
            [format!("ipv4@{}", leases[0].address()), leases[1].address().to_string()]
        } else {
            ["stats", "master"].map(|kind| home.join(format!("{name}.{kind}.sock")).display().to_string())
        };
        let (bind, extra) = (Port::lease()?, Port::lease()?);
        let home = home.into();
        Ok(Mate { part: None, bind, extra, run, name, stats, master, leases, home, was: vec![] })
    }

    /// Its block in render's configuration.
    fn block(&self, named: bool, more: &str) -> String {
        let name = if named { format!("    name = \"{}\"\n", self.name) } else { String::new() };
        let way = match self.run {
            Run::Master => format!("master_socket = \"{}\"", self.master),
            Run::Tcp => format!("master_socket = \"tcp://{}\"", self.master),
            Run::Signal => format!(
                "reload_command = [\"sh\", \"-c\", \"kill -USR2 $(cat {}/{}.pid)\"]",
                self.home.display(),
                self.name
            ),
            Run::Daemon => format!("pid_file = \"{}\"", self.pid_file().display()),
        };
        let stats = &self.stats;
        format!("  haproxy {{\n{name}    {way}\n    stats_socket = \"{stats}\"\n    {more}\n  }}\n")
    }

    fn environment(&self) -> Vec<(String, String)> {
        let pair = |name: &str, value: String| (name.to_owned(), value);
        vec![
            pair("STATS", self.stats.clone()),
            pair("PORT", self.bind.number().to_string()),
            pair("EXTRA", self.extra.number().to_string()),
        ]
    }

    fn pid_file(&self) -> PathBuf {
        self.home.join(format!("{}.pid", self.name))
    }

    /// Starts it, and waits until it answers.
    pub async fn start(&mut self) -> Outcome {
        let (config, pid) = (self.home.join("haproxy.cfg"), self.pid_file());
        let master = format!("{},level,admin", self.master);
        let mut arguments = vec!["-f".as_ref(), config.as_os_str()];
        arguments.extend(match self.run {
            Run::Master | Run::Tcp => vec!["-W".as_ref(), "-S".as_ref(), master.as_ref()],
            Run::Signal => vec!["-W".as_ref(), "-p".as_ref(), pid.as_os_str()],
            Run::Daemon => vec!["-D".as_ref(), "-p".as_ref(), pid.as_os_str()],
        });
        let mut recipe = Recipe::new(&format!("haproxy-{}", self.name), "haproxy", &self.home, arguments);
        recipe.environment = self.environment();
        self.part = Some(recipe.start()?);
        until("HAProxy to answer", PATIENCE, async || self.pid().await).await?;
        if self.run != Run::Master {
            return Ok(());
        }
        // Once its worker runs, the master replaces itself, and listens nowhere in between.
        until("HAProxy's master to answer", PATIENCE, async || {
            let said = talk(UnixStream::connect(&self.master).await?, "show proc").await?;
            when(said.contains("worker"), || said.clone())
        })
        .await
    }

    /// The process that serves.
    pub async fn pid(&self) -> Outcome<u32> {
        let said = self.ask("show info").await?;
        let pid = said.lines().find_map(|line| line.strip_prefix("Pid: "));
        pid.ok_or_else(|| Trouble::new(said.clone()))?.parse().map_err(Trouble::from)
    }

    /// Waits until another process serves than this one, which may still take a connection while it leaves.
    pub async fn another(&self, before: u32) -> Outcome<u32> {
        until("another process to serve", PATIENCE, async || {
            let now = self.pid().await?;
            when(now != before, || format!("still {now}"))?;
            Ok(now)
        })
        .await
    }

    /// Waits until it is gone: its worker lives on for a moment when its master was killed.
    pub async fn gone(&self) -> Outcome {
        haproxy::gone(Path::new(&self.stats)).await
    }

    /// Remembers a process that is to be ended with it: nobody else ends a daemon.
    pub fn ends_too(&mut self, pid: u32) {
        self.was.push(pid);
    }

    /// Asks it over its stats socket.
    pub async fn ask(&self, line: &str) -> Outcome<String> {
        if self.run == Run::Tcp {
            return talk(TcpStream::connect(self.leases[0].address()).await?, line).await;
        }
        talk(UnixStream::connect(&self.stats).await?, line).await
    }
}

async fn talk(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, line: &str) -> Outcome<String> {
    let talk = async {
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<String, Trouble>(answer)
    };
    tokio::time::timeout(ANSWER, talk).await?
}

impl Drop for Mate {
    fn drop(&mut self) {
        if self.run != Run::Daemon {
            return;
        }
        let now = fs::read_to_string(self.pid_file()).unwrap_or_default();
        let now = now.split_whitespace().filter_map(|pid| pid.parse().ok());
        for pid in now.chain(self.was.drain(..)) {
            // Ended already is as good.
            _ = i32::try_from(pid).ok().and_then(Pid::from_raw).map(|pid| kill_process(pid, Signal::KILL));
        }
    }
}
