//! The harness on the real parts: what it starts works, what it drops is gone.

use std::{fs, path::Path, time::Duration};

use tests::{
    LIMIT, Outcome, PATIENCE, Port, Recipe, Signal, Watcher, Writer,
    consul::{Access, Agent, ROOT_TOKEN},
    haproxy::{self, Haproxy},
    redis::Redis,
    until, watch_proxy, watch_sentinels, when,
};
use tokio::time::Instant;

const PROXY: &str = "\
global
    hard-stop-after 1s
defaults
    mode tcp
    timeout connect 1s
    timeout client 10s
    timeout server 10s
listen redis
    bind 127.0.0.1:BIND
    server one 127.0.0.1:REDIS
";

fn running(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_ends_with_its_value_even_when_stopped() -> Outcome {
    let home = tempfile::tempdir()?;
    let sleeper = Recipe::new("sleeper", "sleep", home.path(), ["1000"]).start()?;
    let pid = sleeper.pid();
    sleeper.signal(Signal::STOP)?;
    drop(sleeper);
    assert!(!running(pid), "process {pid} outlived its value");
    Ok(())
}

#[test]
fn a_missing_part_is_a_failure_that_says_how_to_get_it() {
    let missing = tests::found("no-such-program".as_ref()).unwrap_err();
    assert_eq!(missing.to_string(), "no-such-program is not on this machine; run scripts/setup");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_fails_says_for_what_and_what_was_seen() {
    let waited = until("the moon", Duration::from_millis(30), async || when(false, || "clouds".into())).await;
    assert_eq!(waited.unwrap_err().to_string(), "waited 30ms for the moon; last seen: clouds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consul_joins_and_comes_back_without_its_data() -> Outcome {
    let home = tempfile::tempdir()?;
    let server = Agent::server(home.path(), Access::Open)?;
    let id = "11111111-2222-3333-4444-555555555555";
    let mut agent = Agent::client(home.path(), &server, Some(id), Access::Open)?;
    tokio::try_join!(server.ready(), agent.ready())?;
    let service = serde_json::json!({ "Name": "web", "Port": 80, "Tags": ["master"] });
    agent.put("agent/service/register", service).await?;
    until("the service in the catalog", PATIENCE, async || {
        let entries = server.entries("web").await?;
        when(entries.len() == 1 && entries[0].is("master"), || format!("{entries:?}"))
    })
    .await?;
    agent.kill_and_forget()?;
    agent.part.restart()?;
    until("the service to be forgotten", PATIENCE, async || {
        let entries = server.entries("web").await?;
        when(entries.is_empty(), || format!("{entries:?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_consul_wants_a_token() -> Outcome {
    let home = tempfile::tempdir()?;
    let server = Agent::server(home.path(), Access::Closed)?;
    let agent = Agent::client(home.path(), &server, None, Access::Closed)?;
    tokio::try_join!(server.ready(), agent.ready())?;
    let token = server.token("reader", "node_prefix \"\" { policy = \"read\" }").await?;
    assert_ne!(token, ROOT_TOKEN);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_are_seen_to_name_a_new_master() -> Outcome {
    let home = tempfile::tempdir()?;
    let (master, replicas) = servers(home.path()).await?;
    let sentinels = [0, 1, 2].map(|n| Redis::sentinel(&format!("sentinel-{n}"), home.path(), master.port()));
    let sentinels = sentinels.into_iter().collect::<Outcome<Vec<_>>>()?;
    for sentinel in &sentinels {
        sentinel.calm(PATIENCE).await?;
    }
    let told = watch_sentinels(sentinels.iter().map(Redis::port).collect());
    // On a machine that is busy they may have chosen another by now.
    let first = seen(&told, |_| true).await?;
    let mut servers: Vec<Redis> = replicas.into_iter().chain([master]).collect();
    let place = servers.iter().position(|redis| redis.port() == first).expect("one of ours");
    servers.remove(place).part.kill()?;
    let next = seen(&told, |port| port != first).await?;
    assert!(servers.iter().any(|redis| redis.port() == next));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_knows_what_became_of_its_writes() -> Outcome {
    let home = tempfile::tempdir()?;
    let (master, _replicas) = servers(home.path()).await?;
    let port = master.port();
    let (haproxy, bind) = proxy(home.path(), port).await?;
    let start = Instant::now();
    let (routed, writer) = (watch_proxy(bind.number()), Writer::start(bind.number()));
    assert_eq!(seen(&routed, |_| true).await?, port);
    until("100 writes", PATIENCE, async || when(writer.acknowledged() >= 100, || "fewer".into())).await?;
    let end = Instant::now();
    let tally = writer.tally(start, end);
    assert_eq!(tally.by_server.keys().copied().collect::<Vec<_>>(), [port], "{tally:?}");
    // As many gaps as that cannot all be shorter than this.
    let least = (end - start) / u32::try_from(tally.acknowledged + 1)?;
    assert!((least..=end - start).contains(&tally.longest_gap), "{tally:?}");
    assert!(writer.lost(start, end, port).await?.is_empty());
    let _: String = master.ask(::redis::cmd("FLUSHALL").arg("SYNC")).await?;
    assert!(writer.lost(start, end, port).await?[&port] >= 100, "a flushed server has lost them");

    let pids: Vec<u32> = haproxy.processes().await?.iter().map(|p| p.pid).collect();
    assert_eq!(pids.len(), 2, "a master and a worker: {pids:?}");
    assert!(haproxy::command(haproxy.socket(), "@1 show info").await?.contains("Process_num"));
    drop(haproxy);
    until("HAProxy's worker to end with its master", PATIENCE, async || {
        when(!pids.iter().any(|pid| running(*pid)), || format!("one of {pids:?} runs"))
    })
    .await
}

/// A master and its two replicas.
async fn servers(home: &Path) -> Outcome<(Redis, Vec<Redis>)> {
    let master = Redis::server("redis-0", home, None)?;
    let replicas = [1, 2].map(|n| Redis::server(&format!("redis-{n}"), home, Some(master.port())));
    let replicas = replicas.into_iter().collect::<Outcome<Vec<_>>>()?;
    for redis in replicas.iter().chain([&master]) {
        redis.ready().await?;
    }
    Ok((master, replicas))
}

/// HAProxy in front of one server, and the port it listens on.
async fn proxy(home: &Path, server: u16) -> Outcome<(Haproxy, Port)> {
    let bind = Port::lease()?;
    let config = home.join("haproxy.cfg");
    let text = PROXY.replace("BIND", &bind.number().to_string()).replace("REDIS", &server.to_string());
    fs::write(&config, text)?;
    let haproxy = Haproxy::start(home, &config)?;
    haproxy.ready().await?;
    Ok((haproxy, bind))
}

async fn seen(watcher: &Watcher, fits: impl Fn(u16) -> bool) -> Outcome<u16> {
    until("the watcher to see it", LIMIT, async || {
        let last = watcher.seen.last();
        last.filter(|port| fits(*port)).ok_or_else(|| tests::Trouble::new(format!("{last:?}")))
    })
    .await
}
