//! The Redis template: who answers must be the process that is registered, over TLS and with a password too.

use std::{collections::BTreeMap, path::Path, process::Command};

use redis::{AsyncConnectionConfig, Client, Cmd};
use serde_json::json;
use tempfile::tempdir;
use tests::{
    Outcome, PATIENCE, Part, Port, Recipe, Scene, Scripted, Trouble, Writer, found,
    issuer::Issuer,
    redis::{self as server, Redis},
    until, when,
};

use super::{Front, Shipped};

const IDENTITIES: Option<(&str, &str)> = Some(("redis-identities.map.hbs", "ROLECALL_IDENTITIES"));

/// Consul's answer: the master at this port, and the process that it is, if that is told.
fn master(index: u64, port: u16, run_id: Option<&str>) -> Scene {
    let mut meta = json!({ "role": "primary", "epoch": "1" });
    if let Some(run_id) = run_id {
        meta["run_id"] = run_id.into();
    }
    let row = json!({
        "Node": {"Node": "n", "Address": "127.0.0.1"},
        "Service": {"ID": "redis-0", "Service": "redis", "Address": "127.0.0.1", "Port": port, "Tags": ["master"], "Meta": meta},
        "Checks": [],
    });
    Scene::Good { index, body: json!([row]).to_string() }
}

fn fields(info: &str) -> BTreeMap<String, String> {
    info.lines().filter_map(|line| line.split_once(':')).map(|(k, v)| (k.into(), v.trim().into())).collect()
}

async fn run_id(server: &Redis) -> Outcome<String> {
    let info: String = server.ask(redis::cmd("INFO").arg("server")).await?;
    fields(&info).remove("run_id").ok_or_else(|| Trouble::new(info))
}

/// How often each command was called on a server.
async fn calls(server: &Redis, command: &str) -> Outcome<u64> {
    let info: String = server.ask(redis::cmd("INFO").arg("commandstats")).await?;
    let stats = fields(&info).remove(&format!("cmdstat_{command}")).unwrap_or_default();
    let calls = stats.split(',').find_map(|stat| stat.strip_prefix("calls=")).unwrap_or("0");
    Ok(calls.parse().unwrap_or(0))
}

fn set() -> Cmd {
    let mut set = redis::cmd("SET");
    set.arg("rolecall:story").arg(1);
    set
}

async fn written(front: &Front) -> Outcome {
    let written = until("a write through HAProxy", PATIENCE, async || {
        server::ask::<()>(front.write.number(), &set()).await
    });
    front.render.part.explain(written.await)
}

/// Waits until HAProxy has no master, since its check refused this server for who it is, and until it has looked again and
/// again.
async fn refused(front: &Front, server: &Redis) -> Outcome {
    let refused = until("checks that refuse it", PATIENCE, async || {
        let said = front.says("show stat").await?;
        when(said.contains("run_id as registered") && is_down(front).await?, || said.clone())
    });
    front.render.part.explain(refused.await)?;
    let before = calls(server, "role").await?;
    until("more checks of it", PATIENCE, async || {
        let looks = calls(server, "role").await? - before;
        when(looks > 10, || format!("{looks} looks"))
    })
    .await
}

/// Whether HAProxy has no master to send anybody to.
async fn is_down(front: &Front) -> Outcome<bool> {
    let said = front.says("show servers state redis_master").await?;
    Ok(said.lines().nth(2).and_then(|row| row.split(' ').nth(5)) == Some("0"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_redis_on_the_masters_address_gets_no_traffic() -> Outcome {
    let home = tempdir()?;
    let mut redis = Redis::server("redis-0", home.path(), None)?;
    redis.ready().await?;
    let first = run_id(&redis).await?;
    let consul = Scripted::start(master(1, redis.port(), Some(&first))).await?;
    let shipped = Shipped { template: "haproxy-redis.cfg.hbs", map: IDENTITIES, ..Shipped::default() };
    let front = Front::with(consul.address(), shipped).await?;
    let worker = front.worker().await?;
    written(&front).await?;

    // The pod is gone, and another one gets its address before Consul hears of it: a master in its own eyes.
    redis.part.kill()?;
    let down = until("HAProxy to miss it", PATIENCE, async || {
        when(is_down(&front).await?, || "it has a master".into())
    });
    front.render.part.explain(down.await)?;
    let writers = (Writer::start(front.write.number()), Writer::fresh(front.write.number()));
    redis.part.restart()?;
    redis.ready().await?;
    let second = run_id(&redis).await?;
    assert_ne!(first, second);
    refused(&front, &redis).await?;
    assert_eq!(calls(&redis, "set").await?, 0, "a write reached who is not registered");

    // Registered, it is the master.
    consul.play(master(2, redis.port(), Some(&second)));
    written(&front).await?;
    // That of another process, while this one serves.
    consul.play(master(3, redis.port(), Some(&first)));
    refused(&front, &redis).await?;
    let before = calls(&redis, "set").await?;
    refused(&front, &redis).await?;
    assert_eq!(calls(&redis, "set").await?, before, "a write reached who is not registered");
    consul.play(master(4, redis.port(), Some(&second)));
    written(&front).await?;
    // Who tells no run id is believed.
    consul.play(master(5, redis.port(), None));
    let told = format!("127.0.0.1:{} $", redis.port());
    let known = until("the map to say so", PATIENCE, async || {
        let map =
            front.says(&format!("show map {}", front.home.path().join("shipped.map").display())).await?;
        when(map.contains(&told), || map.clone())
    });
    front.render.part.explain(known.await)?;
    let before = calls(&redis, "role").await?;
    until("more checks", PATIENCE, async || {
        let looks = calls(&redis, "role").await? - before;
        when(looks > 2, || looks.to_string())
    })
    .await?;
    written(&front).await?;
    let status = front.render.status().await?;
    assert_eq!(front.worker().await?, worker, "it was reloaded: {status:#}");
    drop(writers);
    Ok(())
}

const PASSWORD: &str = "only for this story";

/// A Redis that speaks TLS and nothing else, and wants a password.
fn guarded(home: &Path, port: &Port, certificate: &Path, authority: &Path) -> Outcome<Part> {
    let (port, certificate) = (port.number().to_string(), certificate.display().to_string());
    let authority = authority.display().to_string();
    let arguments = [
        ["--port", "0"],
        ["--tls-port", &port],
        ["--bind", "127.0.0.1"],
        ["--tls-cert-file", &certificate],
        ["--tls-key-file", &certificate],
        ["--tls-ca-cert-file", &authority],
        ["--tls-auth-clients", "no"],
        ["--requirepass", PASSWORD],
        ["--save", ""],
    ];
    Recipe::new("guarded", "redis-server", home, arguments.as_flattened()).start()
}

/// What `redis-cli` answers that speaks TLS, to a command at this port.
async fn over_tls(port: u16, authority: &Path, command: &[&str]) -> Outcome<String> {
    let mut cli = Command::new(found("redis-cli".as_ref())?);
    cli.args(["-h", "127.0.0.1", "-p", &port.to_string(), "--no-auth-warning", "--pass", PASSWORD]);
    cli.arg("--tls").arg("--cacert").arg(authority).args(command);
    let done = tokio::task::spawn_blocking(move || cli.output()).await??;
    let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    when(done.status.success(), || String::from_utf8_lossy(&done.stderr).into_owned())?;
    Ok(said)
}

/// A write by a client that has the password, and speaks no TLS.
async fn logged_in(port: u16) -> Outcome {
    let client = Client::open(format!("redis://:{}@127.0.0.1:{port}", PASSWORD.replace(' ', "%20")))?;
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let mut connection = client.get_multiplexed_async_connection_with_config(&settings).await?;
    Ok(set().query_async::<()>(&mut connection).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_speak_tls_and_log_in() -> Outcome {
    let home = tempdir()?;
    let (ours, stranger) = (Issuer::new(home.path(), "ours")?, Issuer::new(home.path(), "stranger")?);
    let port = Port::lease()?;
    let redis = guarded(home.path(), &port, &ours.certificate("redis")?, &ours.authority())?;
    let info = until("the guarded Redis", PATIENCE, async || {
        over_tls(port.number(), &ours.authority(), &["INFO", "server"]).await
    });
    let run_id = fields(&redis.explain(info.await)?).remove("run_id").unwrap_or_default();
    let consul = Scripted::start(master(1, port.number(), Some(&run_id))).await?;
    for (tls, authority, is_up) in [
        ("server", ours.authority(), true),
        ("check", ours.authority(), true),
        ("server", stranger.authority(), false),
    ] {
        let more = [
            ("ROLECALL_REDIS_AUTH", "1".to_owned()),
            ("ROLECALL_REDIS_TLS", tls.to_owned()),
            ("ROLECALL_REDIS_CA", authority.display().to_string()),
        ];
        let shipped = Shipped {
            template: "haproxy-redis.cfg.hbs",
            map: IDENTITIES,
            more: &more,
            haproxy: &[("REDIS_PASSWORD", PASSWORD)],
        };
        let front = Front::with(consul.address(), shipped).await?;
        let word = if is_up { ",L7OK," } else { ",L6RSP," };
        let checked = until(format!("{word} with {tls}"), PATIENCE, async || {
            let said = front.says("show stat").await?;
            when(said.contains(word), || said.clone())
        });
        front.render.part.explain(checked.await)?;
        let write = front.write.number();
        let write = async || match tls {
            "server" => logged_in(write).await,
            _ => {
                let said = over_tls(write, &authority, &["SET", "rolecall:story", "1"]).await?;
                when(said == "OK", || said.clone())
            }
        };
        if is_up {
            front.render.part.explain(until(format!("a write with {tls}"), PATIENCE, write).await)?;
        } else {
            assert!(write().await.is_err(), "a write reached a Redis that nobody vouches for");
        }
    }
    Ok(())
}
