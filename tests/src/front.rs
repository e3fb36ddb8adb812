//! A small front: HAProxy with `rolecall render`, behind a Consul that says what it is told, for stories about the
//! two of them alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    Outcome, PATIENCE, Port, Rolecall, Scene, Scripted,
    haproxy::{self, Haproxy},
    stack::render_config,
    until, when,
};

/// Everything that runs. The fields end in the order in which they stand here.
#[derive(Debug)]
pub struct Front {
    /// `rolecall render`.
    pub render: Rolecall,
    /// HAProxy, once it is started.
    pub haproxy: Option<Haproxy>,
    /// Where HAProxy listens, for the servers whose sessions are cut when they go.
    pub bind: Port,
    /// And for those of the pool, whose sessions are left to end.
    pub pool: Port,
    consul: Scripted,
    directory: TempDir,
    said: u64,
}

/// How a front differs from the usual one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Special<'a> {
    /// A shell script in place of HAProxy's program for the check.
    pub check: Option<&'a str>,
    /// The name of a socket in its folder that render is given for the master's.
    pub master: Option<&'a str>,
    /// A second template: its text, and the name of its file in the folder, which the configuration may know as
    /// `FOLDER/NAME`.
    pub other: Option<(&'a str, &'a str)>,
    /// More of render's `haproxy` block.
    pub haproxy: &'a str,
    /// More of the environment.
    pub environment: &'a [(&'a str, &'a str)],
}

const TEMPLATE: &str = "\
global
    stats socket STATS mode 600 level admin expose-fd listeners
    hard-stop-after 60s
defaults
    mode tcp
    timeout connect 1s
    timeout client 1h
    timeout server 1h
frontend also
    bind POOL
    default_backend pool
backend pool
{{#each (service \"web\")}}{{#if ServiceMeta.pool}}
    server {{ID}} {{Address}}:{{Port}}
{{/if}}{{/each}}
frontend in
    bind BIND
    default_backend out
    # For a story about a map: its file is the second template's.
{{#if (eq (envOrDefault \"MAP\" \"\") \"yes\")}}
    use_backend %[int(1),map_int(FOLDER/ways.map,out)]
{{/if}}
{{#each (service \"web\")}}{{#if ServiceMeta.more}}{{ServiceMeta.more}}
{{/if}}{{/each}}
backend out
    default-server on-marked-down shutdown-sessions
{{#each (service \"web\")}}{{#unless ServiceMeta.pool}}
    server {{ID}} {{Address}}:{{Port}}
{{/unless}}{{/each}}
";

impl Front {
    /// Starts render with a server at `port`; HAProxy is not started.
    pub async fn render(port: u16, special: Special<'_>) -> Outcome<Front> {
        let directory = tempfile::Builder::new().prefix("rolecall-").tempdir()?;
        let home = directory.path();
        let (bind, pool) = (Port::lease()?, Port::lease()?);
        let template = home.join("haproxy.cfg.hbs");
        let text = TEMPLATE.replace("BIND", &bind.address().to_string());
        let text = text.replace("POOL", &pool.address().to_string());
        let text = text.replace("FOLDER", &home.display().to_string());
        fs::write(&template, text.replace("STATS", &home.join("stats.sock").display().to_string()))?;
        let consul = Scripted::start(scene(1, vec![("m", "127.0.0.1", port)], &[], "")).await?;
        let mut config = render_config(consul.address(), home, &template);
        if let Some((text, name)) = special.other {
            let source = home.join("other.hbs");
            fs::write(&source, text)?;
            let (source, destination) = (source.display(), home.join(name));
            config.push_str(&format!(
                "template {{\n  source = \"{source}\"\n  destination = \"{}\"\n}}\n",
                destination.display()
            ));
        }
        if !special.haproxy.is_empty() {
            config = config.replace("haproxy {\n", &format!("haproxy {{\n    {}\n", special.haproxy));
        }
        if let Some(name) = special.master {
            let socket = haproxy::master_socket(home).display().to_string();
            config = config.replace(&socket, &home.join(name).display().to_string());
        }
        if let Some(script) = special.check {
            let file = home.join("check.sh");
            fs::write(&file, script)?;
            config = config.replace("\"haproxy\"", &format!("\"{}\"", file.display()));
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&file, mode)?;
        }
        let environment = special.environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let render = Rolecall::start("render", "render", home, &config, environment)?;
        Ok(Front { render, haproxy: None, bind, pool, consul, directory, said: 1 })
    }

    /// Starts render and then HAProxy, and waits until it serves.
    pub async fn start(port: u16, special: Special<'_>) -> Outcome<Front> {
        let mut front = Front::render(port, special).await?;
        front.render.ready().await?;
        front.start_haproxy().await?;
        front.applied().await?;
        Ok(front)
    }

    /// Starts HAProxy.
    pub async fn start_haproxy(&mut self) -> Outcome {
        let haproxy = Haproxy::start(self.home(), &self.config())?;
        haproxy.ready().await?;
        self.haproxy = Some(haproxy);
        Ok(())
    }

    /// From now on Consul says that the one server is there; `more` is put into the configuration's frontend.
    pub fn say(&mut self, address: &str, port: u16, more: &str) {
        self.said += 1;
        self.consul.play(scene(self.said, vec![("m", address, port)], &[], more));
    }

    /// From now on Consul says that these servers are there, each by its name and port.
    pub fn say_all(&mut self, servers: &[(&str, u16)], more: &str) {
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

    /// The process that serves.
    pub async fn worker(&self) -> Outcome<u32> {
        let haproxy = self.haproxy.as_ref().ok_or_else(|| crate::Trouble::new("HAProxy was not started"))?;
        let processes = haproxy.processes().await?;
        let worker = processes.iter().find(|process| process.kind == "worker" && !process.old);
        worker.map(|worker| worker.pid).ok_or_else(|| crate::Trouble::new(format!("{processes:?}")))
    }

    /// Waits until render says that all is well.
    pub async fn applied(&self) -> Outcome {
        let applied = |s: &serde_json::Value| s["templates"][0]["state"] == "applied";
        self.render.shows("an applied text", PATIENCE, applied).await.map(drop)
    }

    /// Waits until HAProxy's present worker sends new connections to this port.
    pub async fn runs(&self, port: u16) -> Outcome {
        let runs = until(format!("HAProxy to run a server at {port}"), PATIENCE, async || {
            let table = haproxy::command(&self.socket(), "@1 show servers state").await?;
            when(table.contains(&format!(" {port} ")), || table.clone())
        });
        self.render.part.explain(runs.await)
    }

    /// Where all of it lives.
    pub fn home(&self) -> &Path {
        self.directory.path()
    }

    /// HAProxy's configuration file.
    pub fn config(&self) -> PathBuf {
        self.home().join("haproxy.cfg")
    }

    /// What the file says.
    pub fn text(&self) -> Outcome<String> {
        Ok(fs::read_to_string(self.config())?)
    }

    /// Whether the file sends connections to this port.
    pub fn names(&self, port: u16) -> bool {
        self.text().is_ok_and(|text| text.contains(&format!(":{port}\n")))
    }

    /// HAProxy's master socket.
    pub fn socket(&self) -> PathBuf {
        haproxy::master_socket(self.home())
    }
}

/// What Consul says of a service `web` with these servers, and those in its pool; `more` stands in the first one's meta.
pub fn scene(index: u64, servers: Vec<(&str, &str, u16)>, pool: &[(String, u16)], more: &str) -> Scene {
    let row = |id: &str, address: &str, port: u16, meta: serde_json::Value| {
        json!({
            "Node": {"Node": "n", "Address": "10.0.0.1"},
            "Service": {"ID": id, "Service": "web", "Address": address, "Port": port, "Tags": [], "Meta": meta},
            "Checks": [],
        })
    };
    let mut rows = vec![];
    for (id, address, port) in servers {
        // What is added to the text stands there once.
        let more = if rows.is_empty() { more } else { "" };
        rows.push(row(id, address, port, json!({ "more": more })));
    }
    rows.extend(pool.iter().map(|(id, port)| row(id, "127.0.0.1", *port, json!({ "pool": "yes" }))));
    Scene::Good { index, body: serde_json::Value::from(rows).to_string() }
}
