//! Probes of other systems: services of several kinds in one agent, whose troubles stay their own; and several ways to
//! look at the same real servers, which see one role flip alike.

use std::{fs, process::Command};

use serde_json::{Value, json};
use tests::{
    Http, Outcome, PATIENCE, Port, Recipe, Rolecall, Scene, Scripted, Signal, Trouble, binary,
    consul::{Access, Agent, Entry},
    found,
    redis::Redis,
    until, when,
};

/// Waits until the catalog's one entry of a service fits.
async fn entry(
    agent: &Agent,
    part: &Rolecall,
    service: &str,
    fits: impl Fn(&Entry) -> bool,
) -> Outcome<Entry> {
    let seen = until(format!("the entry of {service} to fit"), PATIENCE, async || {
        let entries = agent.entries(service).await?;
        entries.iter().find(|entry| fits(entry)).cloned().ok_or_else(|| Trouble::new(format!("{entries:?}")))
    });
    part.part.explain(seen.await)
}

fn has(entry: &Entry, tag: &str, epoch: Option<u64>) -> bool {
    entry.passing && entry.is(tag) && entry.epoch == epoch
}

/// What a member of etcd answers, as its HTTP gateway writes it.
fn etcd(leader: u8, term: u8) -> Scene {
    let body = json!({
        "header": {"cluster_id": "14", "member_id": "7", "raft_term": term.to_string()}, "version": "3.5.9",
        "leader": leader.to_string(), "raftTerm": term.to_string(),
    })
    .to_string();
    Scene::Raw(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    ))
}

const KINDS: &str = r#"
consul { address = "CONSUL" }
service "redis" {
  id      = "redis-0"
  address = "127.0.0.1"
  probe "redis" { address = "127.0.0.1:REDIS" }
}
service "etcd" {
  id      = "etcd-0"
  address = "127.0.0.1"
  probe "http" {
    url      = "http://ETCD"
    interval = "100ms"
    request {
      path = "/v3/maintenance/status"
      body = "{}"
      json {
        same  = ["/leader", "/header/member_id"]
        epoch = "/raftTerm"
      }
    }
  }
}
service "pg" {
  id      = "pg-0"
  address = "127.0.0.1"
  port    = 5432
  roles {
    primary = "rw"
    replica = "ro"
  }
  probe "push" { keep = "HOME/pg-role" }
}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_agent_keeps_services_of_several_kinds_apart() -> Outcome {
    let home = tempfile::tempdir()?;
    let consul = Agent::server(home.path(), Access::Open)?;
    let mut redis = Redis::server("redis", home.path(), None)?;
    let server = Scripted::start(etcd(7, 3)).await?;
    tokio::try_join!(consul.ready(), redis.ready())?;
    let config = KINDS
        .replace("CONSUL", &consul.address())
        .replace("REDIS", &redis.port().to_string())
        .replace("ETCD", server.address())
        .replace("HOME", &home.path().display().to_string());
    let mut agent = Rolecall::start("register", "register", home.path(), &config, vec![])?;

    // Each is what its own source says, and waits for nobody else's.
    entry(&consul, &agent, "redis", |e| has(e, "master", None)).await?;
    entry(&consul, &agent, "etcd", |e| has(e, "primary", Some(3))).await?;
    entry(&consul, &agent, "pg", |e| !e.passing && e.tags.is_empty()).await?;
    let why = |status: &Value| status["services"][2]["probe"]["error"].to_string();
    agent.shows("how to tell it", PATIENCE, |status| why(status).contains("PUT role=primary")).await?;
    assert!(agent.page("readyz").await?.1.contains("PUT /role"), "it waits for the third alone");

    let hook = Http::new(None)?;
    let tell = async |id: &str, what: &str| {
        hook.put(&format!("http://{}/role/{id}", agent.address()), what.into()).await
    };
    assert_eq!(tell("pg-1", "role=primary").await?.status, 404);
    assert_eq!(tell("pg-0", "primary").await?.status, 400);
    assert_eq!(tell("pg-0", "role=primary epoch=5").await?.status, 200);
    entry(&consul, &agent, "pg", |e| has(e, "rw", Some(5))).await?;
    agent.ready().await?;
    let rows = consul.get("health/service/pg").await?;
    assert_eq!(rows[0]["Service"]["Meta"]["role"], "primary", "the same word for all: {rows}");

    // One that hangs and one that is gone disturb nobody.
    server.play(Scene::Silence);
    entry(&consul, &agent, "etcd", |e| !e.passing && e.is("primary")).await?;
    redis.part.kill()?;
    entry(&consul, &agent, "redis", |e| !e.passing).await?;
    assert_eq!(tell("pg-0", "{\"role\": \"standby\", \"epoch\": 5}").await?.status, 200);
    entry(&consul, &agent, "pg", |e| has(e, "ro", None)).await?;
    redis.part.restart()?;
    entry(&consul, &agent, "redis", |e| has(e, "master", None)).await?;
    server.play(etcd(8, 4));
    entry(&consul, &agent, "etcd", |e| has(e, "replica", None)).await?;
    server.play(etcd(7, 5));
    entry(&consul, &agent, "etcd", |e| has(e, "primary", Some(5))).await?;

    // What was told is kept over a restart.
    agent.part.restart()?;
    agent.ready().await?;
    entry(&consul, &agent, "pg", |e| has(e, "ro", None)).await?;
    agent.part.signal(Signal::TERM)?;
    assert_eq!(agent.part.end(PATIENCE).await?.code(), Some(0), "{}", agent.part.tail());
    for service in ["redis", "etcd", "pg"] {
        assert_eq!(consul.entries(service).await?, [], "{service}");
    }
    Ok(())
}

/// The same server in four ways. A shell asks it with the product's own client.
const WAYS: &str = r#"
service "asked-NUMBER" {
  id      = "asked-NUMBER"
  address = "127.0.0.1"
  port    = PORT
  probe "tcp" {
    address  = "127.0.0.1:PORT"
    send     = "ROLE\r\n"
    interval = "100ms"
    expect {
      primary = "^*3\r\n$6\r\nmaster"
      replica = "^*5\r\n$5\r\nslave"
    }
  }
}
service "run-NUMBER" {
  id      = "run-NUMBER"
  address = "127.0.0.1"
  port    = PORT
  probe "exec" {
    command  = ["sh", "-c", "echo role=$(redis-cli -p PORT role | head -1)"]
    interval = "100ms"
  }
}
service "heard-NUMBER" {
  id      = "heard-NUMBER"
  address = "127.0.0.1"
  port    = PORT
  probe "stream" {
    command = ["sh", "-c", "while echo role=$(redis-cli -p PORT role | head -1); do sleep 0.1; done"]
  }
}
service "read-NUMBER" {
  id      = "read-NUMBER"
  address = "127.0.0.1"
  port    = PORT
  probe "file" { path = "HOME/role-NUMBER" }
}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_look_sees_a_role_flip() -> Outcome {
    let home = tempfile::tempdir()?;
    let consul = Agent::server(home.path(), Access::Open)?;
    let old = Redis::server("redis-0", home.path(), None)?;
    let new = Redis::server("redis-1", home.path(), Some(old.port()))?;
    tokio::try_join!(consul.ready(), old.ready(), new.ready())?;
    let hook = |number: usize, role: &str| -> Outcome {
        let (file, beside) = (home.path().join(format!("role-{number}")), home.path().join("role.new"));
        fs::write(&beside, format!("role={role}\n"))?;
        Ok(fs::rename(beside, file)?)
    };
    hook(0, "MASTER")?;
    hook(1, "standby")?;
    let ways = [&old, &new].into_iter().enumerate().map(|(number, redis)| {
        let home = home.path().display().to_string();
        let text = WAYS.replace("NUMBER", &number.to_string()).replace("HOME", &home);
        text.replace("PORT", &redis.port().to_string())
    });
    let config = format!("consul {{\n  address = \"{}\"\n}}\n{}", consul.address(), ways.collect::<String>());
    let agent = Rolecall::start("register", "register", home.path(), &config, vec![])?;
    let all = async |number: usize, role: &str| -> Outcome {
        for way in ["asked", "run", "heard", "read"] {
            entry(&consul, &agent, &format!("{way}-{number}"), |e| has(e, role, None)).await?;
        }
        Ok(())
    };
    all(0, "primary").await?;
    all(1, "replica").await?;

    new.ask::<()>(redis::cmd("REPLICAOF").arg("NO").arg("ONE")).await?;
    old.ask::<()>(redis::cmd("REPLICAOF").arg("127.0.0.1").arg(new.port())).await?;
    hook(0, "slave")?;
    hook(1, "leader")?;
    all(0, "replica").await?;
    all(1, "primary").await
}

const TOLD: &str = r#"
service "pg" {
  id      = "pg-ID"
  address = "127.0.0.1"
  port    = 543ID
  probe "file" { path = "HOME/role-ID" }
}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_later_epoch_wins_and_the_earlier_one_stays_fenced() -> Outcome {
    let home = tempfile::tempdir()?;
    let consul = Agent::server(home.path(), Access::Open)?;
    consul.ready().await?;
    let says = |id: &str, what: &str| -> Outcome {
        fs::write(home.path().join("role.new"), what)?;
        Ok(fs::rename(home.path().join("role.new"), home.path().join(format!("role-{id}")))?)
    };
    says("0", "role=primary epoch=1")?;
    says("1", "role=replica")?;
    let start = |id: &str| {
        let text = TOLD.replace("ID", id).replace("HOME", &home.path().display().to_string());
        let config = format!("consul {{\n  address = \"{}\"\n}}\n{text}", consul.address());
        Rolecall::start("register", &format!("register-{id}"), home.path(), &config, vec![])
    };
    let (mut old, new) = (start("0")?, start("1")?);
    entry(&consul, &old, "pg", |e| e.id == "pg-0" && has(e, "primary", Some(1))).await?;
    entry(&consul, &new, "pg", |e| e.id == "pg-1" && has(e, "replica", None)).await?;

    // The other is promoted, and nobody tells the old one.
    says("1", "role=primary epoch=2")?;
    entry(&consul, &new, "pg", |e| e.id == "pg-1" && has(e, "primary", Some(2))).await?;
    let fenced = |e: &Entry| e.id == "pg-0" && !e.passing && e.tags.is_empty();
    entry(&consul, &old, "pg", fenced).await?;
    // When the new one dies too, the old one lacks what it took; a restart of its agent changes nothing.
    fs::remove_file(home.path().join("role-1"))?;
    entry(&consul, &new, "pg", |e| e.id == "pg-1" && !e.passing && e.is("primary")).await?;
    old.part.restart()?;
    let is_fenced = |status: &Value| {
        let (role, why) = (&status["services"][0]["role"], status["services"][0]["why"].to_string());
        role == "fenced" && why.contains("pg-1 became primary in epoch 2")
    };
    old.shows("that it is fenced, and why", PATIENCE, is_fenced).await?;
    entry(&consul, &old, "pg", fenced).await.map(drop)
}

const SECURE: &str = r#"
service "NAME" {
  id      = "NAME"
  address = "127.0.0.1"
  port    = 5432
  probe "http" {
    url      = "https://127.0.0.1:PORT"
    interval = "100ms"
    tls {
      CERTS
      server_name = "pg.example"
    }
    request {
      path = "/primary"
      status { primary = ["200"] }
      json { epoch = "/timeline" }
    }
  }
}
"#;

/// HAProxy as an HTTP server that lets nobody in without a certificate.
const GATE: &str = r#"
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 1s
frontend patroni
    bind 127.0.0.1:PORT ssl crt HOME/server.pem ca-file HOME/consul-agent-ca.pem verify required
    http-request return status 200 content-type application/json string '{"timeline": 4}' if { path /primary }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_probe_shows_and_checks_certificates() -> Outcome {
    let home = tempfile::tempdir()?;
    let consul = Agent::server(home.path(), Access::Open)?;
    for arguments in [
        &["tls", "ca", "create"][..],
        &["tls", "cert", "create", "-server", "-additional-dnsname=pg.example"],
        &["tls", "cert", "create", "-client"],
    ] {
        let made =
            Command::new(found("consul".as_ref())?).args(arguments).current_dir(home.path()).output()?;
        assert!(made.status.success(), "{made:?}");
    }
    let read = |name: &str| fs::read_to_string(home.path().join(name));
    let server = read("dc1-server-consul-0.pem")? + &read("dc1-server-consul-0-key.pem")?;
    fs::write(home.path().join("server.pem"), server)?;
    let port = Port::lease()?;
    let place = home.path().display().to_string();
    let fill = |text: &str| text.replace("PORT", &port.number().to_string()).replace("HOME", &place);
    let config = home.path().join("haproxy.cfg");
    fs::write(&config, fill(GATE))?;
    let arguments = ["-db".as_ref(), "-f".as_ref(), config.as_os_str()];
    let gate = Recipe::new("haproxy", "haproxy", home.path(), arguments).start()?;
    consul.ready().await?;

    let client = "cert = \"HOME/dc1-client-consul-0.pem\"\n key = \"HOME/dc1-client-consul-0-key.pem\"";
    let authority = "ca_cert = \"HOME/consul-agent-ca.pem\"";
    let both = format!("{client}\n{authority}");
    let services = [("known", both.as_str()), ("stranger", authority), ("distrustful", client)];
    let services = services.map(|(name, certs)| fill(&SECURE.replace("CERTS", certs).replace("NAME", name)));
    let config = format!("consul {{\n  address = \"{}\"\n}}\n{}", consul.address(), services.concat());
    let agent = Rolecall::start("register", "register", home.path(), &config, vec![])?;
    let known = entry(&consul, &agent, "known", |e| has(e, "primary", Some(4))).await;
    gate.explain(known)?;
    let why = |status: &Value, n: usize| status["services"][n]["probe"]["error"].to_string();
    agent
        .shows("who is refused, and why", PATIENCE, |status| {
            why(status, 1).contains("set tls { cert, key }") && why(status, 2).contains("set tls { ca_cert }")
        })
        .await
        .map(drop)
}

const MANY: &str = r#"
service "web" {
  id          = "web-ID"
  address     = "127.0.0.1"
  port        = 808ID
  cardinality = "CARDINALITY"
  probe "static" { role = "primary" }
}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_primaries_are_all_or_nothing() -> Outcome {
    let home = tempfile::tempdir()?;
    let consul = Agent::server(home.path(), Access::Open)?;
    consul.ready().await?;
    let template = home.path().join("web.hbs");
    fs::write(
        &template,
        r#"{{#each (primaries "web")}}{{ID}} {{/each}}one {{#with (master "web")}}{{ID}}{{/with}}"#,
    )?;
    for (cardinality, wanted) in [("many", "web-0 web-1 one web-0"), ("one", "one ")] {
        let services: String =
            ["0", "1"].map(|id| MANY.replace("ID", id).replace("CARDINALITY", cardinality)).concat();
        let config = format!("consul {{\n  address = \"{}\"\n}}\n{services}", consul.address());
        let mut agent = Rolecall::start("register", cardinality, home.path(), &config, vec![])?;
        agent.ready().await?;
        until("both to pass", PATIENCE, async || {
            let entries = consul.entries("web").await?;
            when(entries.len() == 2 && entries.iter().all(|e| e.passing), || format!("{entries:?}"))
        })
        .await?;
        let file = home.path().join("web");
        let mut render = Command::new(binary()?);
        render.args(["render", "--once", "--consul-addr", &consul.address(), "--template"]);
        render.arg(format!("{}:{}", template.display(), file.display())).env_clear();
        let output = tokio::task::spawn_blocking(move || render.output()).await??;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert_eq!(fs::read_to_string(&file)?, wanted, "{said}");
        assert_eq!(said.contains("claim to be master of web"), cardinality == "one", "{said}");
        agent.part.signal(Signal::TERM)?;
        assert_eq!(agent.part.end(PATIENCE).await?.code(), Some(0), "{}", agent.part.tail());
    }
    Ok(())
}

const CURIOUS: &str = r#"
service "x" {
  id      = "x"
  address = "127.0.0.1"
  port    = 1
  probe "exec" {
    command = ["sh", "-c", "test -z \"$CONSUL_HTTP_TOKEN$CONSUL_HTTP_AUTH\" && test \"$SHOP\" = seven && echo role=primary"]
  }
}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_sees_the_environment_without_our_secrets() -> Outcome {
    let home = tempfile::tempdir()?;
    let consul = Agent::server(home.path(), Access::Open)?;
    consul.ready().await?;
    let config = format!("consul {{\n  address = \"{}\"\n}}\n{CURIOUS}", consul.address());
    let pairs = [("CONSUL_HTTP_TOKEN", "s3cret"), ("CONSUL_HTTP_AUTH", "u:s3cret"), ("SHOP", "seven")];
    let environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let agent = Rolecall::start("register", "register", home.path(), &config, environment)?;
    entry(&consul, &agent, "x", |e| has(e, "primary", None)).await.map(drop)
}
