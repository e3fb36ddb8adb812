//! Ways to Consul: TLS with certificates that change on the disk, a unix socket, and one that is refused: a balancer
//! before several agents.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tests::{
    Outcome, PATIENCE, Part, Port, Recipe, Rolecall,
    consul::{Access, Agent},
    issuer::Issuer,
    redis::Redis,
    stack::{SERVICE, register_config},
    until, when,
};

fn in_sync(s: &Value) -> bool {
    s["services"][0]["agent"]["state"] == "in sync" && s["services"][0]["catalog"]["state"] == "in sync"
}

async fn logged(part: &Part, words: &str) -> Outcome {
    until(format!("the log to say `{words}`"), PATIENCE, async || {
        when(part.log().contains(words), || part.tail())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_certificates_are_used_and_bad_ones_are_not() -> Outcome {
    let directory = tempfile::tempdir()?;
    let home = directory.path();
    let (issuer, stranger) = (Issuer::new(home, "issuer")?, Issuer::new(home, "stranger")?);
    let (https, own) = (Port::lease()?, issuer.certificate("agent")?);
    let server = Agent::server(home, Access::Open)?;
    let tls = json!({
        "ports": { "https": https.number() }, "ca_file": issuer.authority(), "cert_file": own, "key_file": own,
        "verify_incoming_https": true,
    });
    let agent = Agent::client_as("consul-client", home, &server, Access::Open, tls)?;
    let redis = Redis::server("redis-0", home, None)?;
    tokio::try_join!(server.ready(), agent.ready(), redis.ready())?;

    let shown = home.join("client.pem");
    fs::copy(stranger.certificate("client")?, &shown)?;
    let ssl = format!(
        "consul {{\n  ssl {{\n    ca_cert = \"{}\"\n    cert = \"{}\"\n  }}",
        issuer.authority().display(),
        shown.display()
    );
    let config = register_config(&https.address().to_string(), "redis-0", redis.port(), &[]);
    let config = config.replacen("consul {", &ssl, 1);
    let register = Rolecall::start("register", "register", home, &config, vec![])?;
    let refused =
        |s: &Value| s["consul"]["trouble"].as_str().is_some_and(|told| told.contains("cannot be reached"));
    register.shows("that the agent does not take a stranger's certificate", PATIENCE, refused).await?;

    fs::copy(issuer.certificate("client")?, &shown)?;
    register.shows("its entry in Consul", PATIENCE, in_sync).await?;
    logged(&register.part, "the certificates changed").await?;

    fs::write(&shown, "no certificate")?;
    logged(&register.part, "going on with the old ones").await?;
    redis.ask::<()>(redis::cmd("REPLICAOF").arg("127.0.0.1").arg(1)).await?;
    until("the new role in the catalog", PATIENCE, async || {
        let entries = server.entries(SERVICE).await?;
        when(entries.iter().any(|entry| entry.is("replica")), || format!("{entries:?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_a_way_too() -> Outcome {
    let directory = tempfile::tempdir()?;
    let home = directory.path();
    let server = Agent::server(home, Access::Open)?;
    let (redis, socket) = (Redis::server("redis-0", home, None)?, home.join("consul.sock"));
    let http = format!("127.0.0.1 unix://{}", socket.display());
    let agent = Agent::client_as(
        "consul-client",
        home,
        &server,
        Access::Open,
        json!({ "addresses": { "http": http } }),
    )?;
    tokio::try_join!(server.ready(), agent.ready(), redis.ready())?;
    let config = register_config(&format!("unix://{}", socket.display()), "redis-0", redis.port(), &[]);
    let register = Rolecall::start("register", "register", home, &config, vec![])?;
    register.shows("its entry in Consul", PATIENCE, in_sync).await.map(drop)
}

fn balancer(home: &Path, front: &Port, agents: &[&Agent]) -> Outcome<Part> {
    let servers: String = agents
        .iter()
        .enumerate()
        .map(|(n, agent)| format!("    server agent{n} {}\n", agent.address()))
        .collect();
    // Who asks who answers goes to one after the other, whatever else is asked meanwhile.
    let config = format!(
        "defaults\n    mode http\n    balance roundrobin\n    timeout connect 2s\n    timeout client 1m\n    \
         timeout server 1m\n\
         frontend consul\n    bind {}\n    use_backend who if {{ path /v1/agent/self }}\n    default_backend rest\n\
         backend who\n{servers}backend rest\n{servers}",
        front.address()
    );
    let file = home.join("balancer.cfg");
    fs::write(&file, config)?;
    Recipe::new("balancer", "haproxy", home, ["-db".as_ref(), "-f".as_ref(), file.as_os_str()]).start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_agents_behind_one_name_are_refused() -> Outcome {
    let directory = tempfile::tempdir()?;
    let home = directory.path();
    let server = Agent::server(home, Access::Open)?;
    let agents = ["one", "two"].map(|name| Agent::client_as(name, home, &server, Access::Open, json!({})));
    let [one, two] = agents;
    let (one, two, redis) = (one?, two?, Redis::server("redis-0", home, None)?);
    tokio::try_join!(server.ready(), one.ready(), two.ready(), redis.ready())?;
    let front = Port::lease()?;
    let mut both = balancer(home, &front, &[&one, &two])?;
    let config = register_config(&front.address().to_string(), "redis-0", redis.port(), &[]);
    let register = Rolecall::start("register", "register", home, &config, vec![])?;
    let refused = |s: &Value| {
        s["consul"]["trouble"].as_str().is_some_and(|told| told.contains("several agents answer"))
    };
    let status = register.shows("that it refuses several agents", PATIENCE, refused).await?;
    assert!(
        status["consul"]["trouble"]
            .as_str()
            .is_some_and(|told| told.contains("one (") && told.contains("two ("))
    );
    logged(&register.part, "several agents answer").await?;
    assert_eq!(register.page("readyz").await?.0, 503);
    assert_eq!(server.entries(SERVICE).await?, []);

    both.kill()?;
    let _only = balancer(home, &front, &[&one])?;
    register.shows("its entry in Consul", PATIENCE, in_sync).await.map(drop)
}

/// Passes on what comes to it, until it is frozen: then the connections of before stay open, and hear nothing more.
struct Forwarder {
    address: std::net::SocketAddr,
    frozen: tokio::sync::watch::Sender<()>,
    _accepting: tokio::task::JoinSet<()>,
}

impl Forwarder {
    async fn before(to: std::net::SocketAddr) -> Outcome<Forwarder> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let frozen = tokio::sync::watch::channel(()).0;
        let mut accepting = tokio::task::JoinSet::new();
        let freezes = frozen.subscribe();
        accepting.spawn(async move {
            let mut passing = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut freezes = freezes.clone();
                freezes.mark_unchanged();
                passing.spawn(async move {
                    let Ok(mut far) = tokio::net::TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        Ok(()) = freezes.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Ok(Forwarder { address, frozen, _accepting: accepting })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_all_questions_share_one_connection() -> Outcome {
    const QUESTIONS: usize = 300;
    let directory = tempfile::tempdir()?;
    let home = directory.path();
    let (issuer, https) = (Issuer::new(home, "issuer")?, Port::lease()?);
    let own = issuer.certificate("agent")?;
    let server = Agent::server(home, Access::Open)?;
    let tls = json!({ "ports": { "https": https.number() }, "cert_file": own, "key_file": own });
    let agent = Agent::client_as("consul-client", home, &server, Access::Open, tls)?;
    tokio::try_join!(server.ready(), agent.ready())?;
    let mut expected: Vec<String> = (0..QUESTIONS).map(|n| format!("{n}.0")).collect();
    for (n, value) in expected.iter().enumerate() {
        server.put(&format!("kv/many/{n}"), value).await?;
    }
    let (source, out) = (home.join("t.hbs"), home.join("out"));
    fs::write(&source, (0..QUESTIONS).map(|n| format!("{{{{key \"many/{n}\"}}}}\n")).collect::<String>())?;
    let forwarder = Forwarder::before(https.address()).await?;
    let config = format!(
        "consul {{\n  address = \"https://{}\"\n  block_query_wait = \"10m\"\n  ssl {{\n    ca_cert = \"{}\"\n  }}\n}}\ntemplate {{\n  source =          \"{}\"\n  destination = \"{}\"\n}}\n",
        forwarder.address,
        issuer.authority().display(),
        source.display(),
        out.display()
    );
    let render = Rolecall::start("render", "render", home, &config, vec![])?;
    let holds = async |expected: &[String], what: &str| {
        let text = expected.iter().map(|line| format!("{line}\n")).collect::<String>();
        let held = until(format!("the file to hold {what}"), PATIENCE, async || {
            let found = fs::read_to_string(&out).unwrap_or_default();
            when(found == text, || format!("{} lines", found.lines().count()))
        });
        render.part.explain(held.await)
    };
    holds(&expected, "each key").await?;
    let one = async || {
        let open = connections(forwarder.address.port())?;
        when(open == 1, || format!("{open} connections"))
    };
    until("one connection", PATIENCE, one).await?;
    for (round, n) in [0, 150, 299].into_iter().enumerate() {
        expected[n] = format!("{n}.{}", round + 1);
        server.put(&format!("kv/many/{n}"), &expected[n]).await?;
        holds(&expected, &format!("what key {n} became")).await?;
    }
    until("one connection, still", PATIENCE, one).await?;

    // All questions hang with the connection; a new one is made long before their deadlines, which are minutes away.
    forwarder.frozen.send_replace(());
    expected[7] = "7.9".into();
    server.put("kv/many/7", "7.9").await?;
    holds(&expected, "what came after the freeze").await
}

/// How many connections to a port of loopback are open, as their clients see them.
fn connections(port: u16) -> Outcome<usize> {
    let table = fs::read_to_string("/proc/net/tcp")?;
    let to = format!(":{port:04X}");
    let is_open = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.get(2).is_some_and(|remote| remote.ends_with(&to)) && columns.get(3) == Some(&"01")
    };
    Ok(table.lines().skip(1).filter(is_open).count())
}
