//! The templates, each in a real HAProxy, which follows Consul, and refuses whom the instances' own word is against.

mod http;
mod redis_front;

use std::{
    net::Ipv4Addr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tests::{
    Http, Outcome, PATIENCE, Port, Rolecall, Scene, Scripted, Shape, Stack, Trouble,
    haproxy::{self, Haproxy},
    redis::{self, MASTER_NAME},
    stack::render_config,
    until, when,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A database node and its health page behind one port of an address of its own: it tells its name to whoever comes,
/// and the health page's status is what it is told to be.
struct Node {
    address: Ipv4Addr,
    health: Arc<AtomicU16>,
    serving: JoinHandle<()>,
}

impl Node {
    async fn start(number: u8, port: u16, health: u16) -> Outcome<Node> {
        let address = Ipv4Addr::new(127, 0, 0, number);
        let listener = TcpListener::bind((address, port)).await?;
        let health = Arc::new(AtomicU16::new(health));
        let told = Arc::clone(&health);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, address, Arc::clone(&told)));
            }
        });
        Ok(Node { address, health, serving })
    }

    fn is(&self, health: u16) {
        self.health.store(health, Ordering::Relaxed);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(mut stream: TcpStream, address: Ipv4Addr, health: Arc<AtomicU16>) -> Outcome {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let status = if request.starts_with(b"GET /who") { 200 } else { health.load(Ordering::Relaxed) };
    let name = address.to_string();
    let head =
        format!("HTTP/1.1 {status} said\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", name.len());
    stream.write_all((head + &name).as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// HAProxy with one of the templates, and render beside it.
struct Front {
    render: Rolecall,
    haproxy: Haproxy,
    write: Port,
    read: Port,
    _stats: Port,
    home: TempDir,
}

/// A template with what it needs.
#[derive(Default)]
struct Shipped<'a> {
    /// Its name.
    template: &'a str,
    /// The template of a map beside it, and the variable that tells both templates' reader where the map is.
    map: Option<(&'a str, &'a str)>,
    /// More of render's environment.
    more: &'a [(&'a str, String)],
    /// HAProxy's environment.
    haproxy: &'a [(&'a str, &'a str)],
}

impl Front {
    async fn start(template: &str, consul: &str, more: &[(&str, String)]) -> Outcome<Front> {
        Front::with(consul, Shipped { template, more, ..Shipped::default() }).await
    }

    async fn with(consul: &str, shipped: Shipped<'_>) -> Outcome<Front> {
        let home = tempdir()?;
        let (write, read, stats) = (Port::lease()?, Port::lease()?, Port::lease()?);
        let template = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates").join(name);
        let socket = home.path().join("stats.sock").display().to_string();
        let mut own = vec![
            ("ROLECALL_WRITE_BIND", write.address().to_string()),
            ("ROLECALL_HTTP_BIND", write.address().to_string()),
            ("ROLECALL_SENTINEL_BIND", write.address().to_string()),
            ("ROLECALL_READ_BIND", read.address().to_string()),
            ("ROLECALL_STATS_BIND", stats.address().to_string()),
            ("ROLECALL_STATS_SOCKET", socket),
        ];
        let mut config = render_config(consul, home.path(), &template(shipped.template));
        if let Some((source, variable)) = shipped.map {
            let (source, file) = (template(source), home.path().join("shipped.map").display().to_string());
            let source = source.display();
            config += &format!("template {{\n  source = \"{source}\"\n  destination = \"{file}\"\n}}\n");
            own.push((variable, file));
        }
        let environment = own.iter().chain(shipped.more).map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let render = Rolecall::start("render", "render", home.path(), &config, environment)?;
        render.ready().await?;
        let config = home.path().join("haproxy.cfg");
        let haproxy = Haproxy::start_with(home.path(), &config, shipped.haproxy)?;
        haproxy.ready().await?;
        // HAProxy that starts within the second in which its file was written is reloaded once: nobody can know which
        // file it read.
        render.shows("an applied text", PATIENCE, |s| s["templates"][0]["state"] == "applied").await?;
        Ok(Front { render, haproxy, write, read, _stats: stats, home })
    }

    /// What HAProxy's worker answers. During a reload the master answers nobody.
    async fn says(&self, command: &str) -> Outcome<String> {
        let command = format!("@1 {command}");
        until("HAProxy to answer", PATIENCE, async || haproxy::command(self.haproxy.socket(), &command).await)
            .await
    }

    /// The worker that serves.
    async fn worker(&self) -> Outcome<u32> {
        let processes = self.haproxy.processes().await?;
        let worker = processes.iter().find(|process| process.kind == "worker" && !process.old);
        worker.map(|worker| worker.pid).ok_or_else(|| Trouble::new(format!("{processes:?}")))
    }

    /// Waits until whoever connects to the port comes to this node; `None` for nobody.
    async fn leads(&self, port: &Port, to: Option<&Node>) -> Outcome {
        let http = Http::new(None)?;
        let expected = to.map(|node| node.address.to_string());
        let leads = until(format!("{port:?} to lead to {expected:?}"), PATIENCE, async || {
            let answer = http.get(&format!("http://{}/who", port.address()), Duration::from_secs(2)).await;
            let who = answer.ok().map(|answer| answer.text);
            when(who == expected, || format!("{who:?}"))
        });
        self.render.part.explain(leads.await)
    }
}

fn entry(node: &Node, port: u16, role: &str, meta: &Value) -> Value {
    json!({
        "Node": {"Node": node.address.to_string(), "Address": node.address},
        "Service": {"ID": node.address.to_string(), "Service": "db", "Address": node.address, "Port": port, "Tags": [role], "Meta": meta},
        "Checks": [],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_writes_go_to_the_primary_that_consul_and_patroni_agree_on() -> Outcome {
    let port = Port::lease()?;
    let one = Node::start(2, port.number(), 200).await?;
    let two = Node::start(3, port.number(), 200).await?;
    let say = |index: u64, roles: [(&str, u64); 2]| {
        let rows = [&one, &two].into_iter().zip(roles).map(|(node, (role, epoch))| {
            entry(node, port.number(), role, &json!({ "role": role, "epoch": epoch.to_string() }))
        });
        Scene::Good { index, body: Value::from_iter(rows).to_string() }
    };
    let consul = Scripted::start(say(1, [("primary", 1), ("replica", 1)])).await?;
    let more = [("ROLECALL_SERVICE", "db".into()), ("ROLECALL_PATRONI_PORT", port.number().to_string())];
    let front = Front::start("haproxy-postgres.cfg.hbs", consul.address(), &more).await?;
    front.leads(&front.write, Some(&one)).await?;
    front.leads(&front.read, Some(&two)).await?;
    consul.play(say(2, [("replica", 1), ("primary", 2)]));
    front.leads(&front.write, Some(&two)).await?;
    front.leads(&front.read, Some(&one)).await?;
    // Consul says primary still, Patroni does not.
    two.is(503);
    front.leads(&front.write, None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn galera_writes_stay_with_one_node() -> Outcome {
    let port = Port::lease()?;
    let one = Node::start(2, port.number(), 200).await?;
    let two = Node::start(3, port.number(), 200).await?;
    let meta = json!({ "role": "primary", "cardinality": "many" });
    let rows = [&one, &two].map(|node| entry(node, port.number(), "primary", &meta));
    let consul = Scripted::start(Scene::Good { index: 1, body: Value::from_iter(rows).to_string() }).await?;
    let more = [("ROLECALL_SERVICE", "db".into()), ("ROLECALL_CHECK_PORT", port.number().to_string())];
    let front = Front::start("haproxy-galera.cfg.hbs", consul.address(), &more).await?;
    let http = Http::new(None)?;
    let url = format!("http://{}/who", front.write.address());
    let first = http.get(&url, PATIENCE).await?.text;
    let (first, second) = if first == one.address.to_string() { (&one, &two) } else { (&two, &one) };
    for _ in 0..10 {
        assert_eq!(http.get(&url, PATIENCE).await?.text, first.address.to_string());
    }
    first.is(503);
    front.leads(&front.write, Some(second)).await?;
    // The node comes back: it serves reads again, and does not draw writes to itself.
    first.is(200);
    front.leads(&front.read, Some(first)).await?;
    until("the node to be up for writes too", PATIENCE, async || {
        let table = front.says("show servers state mysql_writer").await?;
        let states = table.lines().filter_map(|line| line.split_whitespace().nth(5));
        when(states.filter(|state| *state == "2").count() == 2, || table.clone())
    })
    .await?;
    for _ in 0..10 {
        assert_eq!(http.get(&url, PATIENCE).await?.text, second.address.to_string());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_cannot_agree_are_left_out() -> Outcome {
    let mut stack = Stack::start(Shape::WHOLE, |_| {}).await?;
    for sentinel in &stack.sentinels {
        let id = sentinel.port().to_string();
        let row =
            json!({ "ID": id, "Name": "redis-sentinel", "Address": "127.0.0.1", "Port": sentinel.port() });
        stack.agent.put("agent/service/register", row).await?;
    }
    let front = Front::start("haproxy-sentinel.cfg.hbs", &stack.agent.address(), &[]).await?;
    let named = until("the Sentinels to name the master", PATIENCE, async || {
        let master: (String, u16) = redis::ask(front.write.number(), &redis::get_master()).await?;
        when(master.1 == stack.redis[0].port(), || format!("{MASTER_NAME} is {master:?}"))
    });
    front.render.part.explain(named.await)?;
    for sentinel in &mut stack.sentinels[..2] {
        sentinel.part.kill()?;
    }
    let alone = until("the last Sentinel to be left out", PATIENCE, async || {
        let answer = redis::ask::<(String, u16)>(front.write.number(), &redis::get_master()).await;
        when(answer.is_err(), || format!("{answer:?}"))
    });
    front.render.part.explain(alone.await)
}
