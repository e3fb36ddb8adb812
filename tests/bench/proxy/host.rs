//! The hosts: a client, HAProxy and three Redis, each in a network namespace, and the node between them, which routes
//! and translates a Service's address as kube-proxy does. They end with this process.

use std::{fs, path::Path, process::Command};

use serde_json::json;
use tests::{Outcome, PATIENCE, Part, Recipe, Trouble, binary, consul, until, when};

use super::Way;

const CLIENT: &str = "client";
const PROXY: &str = "proxy";
const REDIS: [&str; 3] = ["redis-0", "redis-1", "redis-2"];
/// As Kubernetes hands them out; nobody owns it.
const SERVICE: &str = "10.96.0.10";
const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../templates/haproxy-redis.cfg.hbs");

/// Everything that runs; the first Redis is the master.
pub struct Hosts {
    redis: Vec<Part>,
    haproxy: Vec<(Way, Part)>,
}

impl Hosts {
    /// Builds the networks and starts all parts.
    pub async fn start(directory: &Path) -> Outcome<Hosts> {
        run("mount", &["-t", "tmpfs", "none", "/run"]).map_err(|trouble| {
            trouble.during(
                "making room for network namespaces; this runs inside `unshare`, as scripts/bench does it",
            )
        })?;
        run("ip", &["link", "set", "lo", "up"])?;
        for (number, name) in [CLIENT, PROXY].into_iter().chain(REDIS).enumerate() {
            host(number, name)?;
        }
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        translate(directory)?;
        let redis: Vec<Part> = REDIS
            .iter()
            .map(|name| inside(name, "redis-server", directory, &redis_arguments(name)))
            .collect::<Outcome<_>>()?;
        for name in REDIS {
            answers(CLIENT, &address(name), 6379).await?;
        }
        let text = rendered(directory).await?;
        let mut haproxy = Vec::new();
        for way in [Way::Service, Way::Pod, Way::PodOneThread] {
            let file = directory.join(format!("{}.cfg", way.word()));
            fs::write(&file, config(&text, way, directory)?)?;
            let arguments = ["-db".to_string(), "-f".into(), file.display().to_string()];
            haproxy.push((way, inside_as(way.word(), PROXY, "haproxy", directory, &arguments)?));
            answers(CLIENT, &address(PROXY), way.port()).await?;
        }
        Ok(Hosts { redis, haproxy })
    }

    /// Where the client connects for this way.
    pub fn target(way: Way) -> (String, u16) {
        let host = if way == Way::Direct { REDIS[0] } else { PROXY };
        (address(host), way.port())
    }

    /// Runs a program on the client's host and gives back what it printed.
    pub async fn on_client(arguments: Vec<String>) -> Outcome<String> {
        let mut command = tokio::process::Command::new("ip");
        command.args(["netns", "exec", CLIENT]).args(arguments).kill_on_drop(true);
        let output = command.output().await?;
        when(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The CPU time so far, in seconds, of HAProxy on this way, and of the master.
    pub fn cpu(&self, way: Way) -> Outcome<(f64, f64)> {
        let haproxy = self.haproxy.iter().find(|(of, _)| *of == way);
        Ok((haproxy.map_or(Ok(0.0), |(_, part)| cpu(part.pid()))?, cpu(self.redis[0].pid())?))
    }
}

fn redis_arguments(name: &str) -> Vec<String> {
    let mut all: Vec<String> =
        ["--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]
            .map(String::from)
            .into();
    if name != REDIS[0] {
        all.extend(["--replicaof".into(), address(REDIS[0]), "6379".into()]);
    }
    all
}

fn address(name: &str) -> String {
    let number = [CLIENT, PROXY].into_iter().chain(REDIS).position(|one| one == name);
    format!("10.90.{}.2", number.unwrap_or_default())
}

/// A namespace with one link to the node.
fn host(number: usize, name: &str) -> Outcome {
    let (near, far) = (format!("node{number}"), "eth0");
    let (gateway, own) = (format!("10.90.{number}.1"), format!("10.90.{number}.2/24"));
    run("ip", &["netns", "add", name])?;
    run("ip", &["link", "add", &near, "type", "veth", "peer", "name", far, "netns", name])?;
    run("ip", &["address", "add", &format!("{gateway}/24"), "dev", &near])?;
    run("ip", &["link", "set", &near, "up"])?;
    run("ip", &["-n", name, "address", "add", &own, "dev", far])?;
    run("ip", &["-n", name, "link", "set", far, "up"])?;
    run("ip", &["-n", name, "link", "set", "lo", "up"])?;
    run("ip", &["-n", name, "route", "add", "default", "via", &gateway])
}

/// What kube-proxy makes of a Service with one endpoint.
fn translate(directory: &Path) -> Outcome {
    let file = directory.join("service.nft");
    let pod = address(REDIS[0]);
    let rules = format!(
        "table ip service {{\n  chain before {{\n    type nat hook prerouting priority dstnat;\n    \
         ip daddr {SERVICE} tcp dport 6379 dnat to {pod}:6379\n  }}\n}}\n"
    );
    fs::write(&file, rules)?;
    run("nft", &["-f", &file.display().to_string()])
}

/// The template's text for these three, by the real Consul and the real render.
async fn rendered(directory: &Path) -> Outcome<String> {
    let agent = consul::Agent::server(directory, consul::Access::Open)?;
    agent.ready().await?;
    for name in REDIS {
        let role = if name == REDIS[0] { "master" } else { "replica" };
        let entry =
            json!({ "ID": name, "Name": "redis", "Address": address(name), "Port": 6379, "Tags": [role] });
        agent.put("agent/service/register", entry).await?;
    }
    let file = directory.join("template.cfg");
    let arguments = [
        "render".to_string(),
        "--once".into(),
        format!("--consul-addr={}", agent.address()),
        format!("--template={TEMPLATE}:{}", file.display()),
    ];
    let mut recipe = Recipe::new("render", binary()?, directory, &arguments);
    recipe.environment = vec![("ROLECALL_FD_LIMIT".into(), "4096".into())];
    let mut render = recipe.start()?;
    let ended = render.end(PATIENCE).await?;
    render.explain(when(ended.success(), || ended.to_string()))?;
    Ok(fs::read_to_string(file)?)
}

/// The template's text for one way: own ports and sockets, and what this way differs in.
fn config(text: &str, way: Way, directory: &Path) -> Outcome<String> {
    let write = format!("bind :{}", way.port());
    let pod = address(REDIS[0]);
    let master = format!("    server {pod}:6379 {pod}:6379\n");
    when(text.contains(&master) && text.contains("bind :6379"), || format!("no master in:\n{text}"))?;
    let socket = directory.join(format!("{}.sock", way.word()));
    let mut text = text
        .replace("bind :6379", &write)
        .replace("bind :6380", &format!("bind :{}", way.port() + 1000))
        .replace("bind 127.0.0.1:8404", &format!("bind 127.0.0.1:{}", way.port() + 2000))
        .replace("/run/haproxy/stats.sock", &socket.display().to_string());
    if way == Way::Service {
        text = text.replace(&master, &format!("    server {pod}:6379 {SERVICE}:6379\n"));
    }
    if way == Way::PodOneThread {
        text = text.replacen("global\n", "global\n    nbthread 1\n", 1);
    }
    Ok(text)
}

async fn answers(from: &str, address: &str, port: u16) -> Outcome {
    until(format!("{address}:{port} to answer"), PATIENCE, async || {
        let port = port.to_string();
        let arguments = ["netns", "exec", from, "redis-cli", "-h", address, "-p", &port, "PING"];
        let output = Command::new("ip").args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        when(said.trim() == "PONG", || said)
    })
    .await
}

fn inside(host: &str, program: &str, directory: &Path, arguments: &[String]) -> Outcome<Part> {
    inside_as(host, host, program, directory, arguments)
}

fn inside_as(name: &str, host: &str, program: &str, directory: &Path, arguments: &[String]) -> Outcome<Part> {
    let whole =
        ["netns", "exec", host, program].into_iter().map(String::from).chain(arguments.iter().cloned());
    Recipe::new(name, "ip", directory, whole.collect::<Vec<_>>()).start()
}

fn run(program: &str, arguments: &[&str]) -> Outcome {
    let output = Command::new(program).args(arguments).output();
    let what = || format!("{program} {}", arguments.join(" "));
    let output = output.map_err(|e| Trouble::from(e).during(what()))?;
    when(output.status.success(), || format!("{}: {}", what(), String::from_utf8_lossy(&output.stderr)))
}

/// User and system time of a process with all its threads; `/proc/PID/stat` counts hundredths of a second.
fn cpu(pid: u32) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold blanks.
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<f64> = after.split_whitespace().skip(11).take(2).filter_map(|n| n.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / 100.0)
}
