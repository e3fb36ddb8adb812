//! Consul is away and roles change: nothing is queued, and what comes back hears the last word only.

use serde_json::Value;
use tests::{
    Outcome, PATIENCE, Rolecall,
    consul::{Access, Agent},
    redis::Redis,
    resident_mb,
    stack::{SERVICE, register_config},
    until, when,
};

/// Each queued change would hold an entry of some 500 bytes; the allocator itself moves within this.
const NOISE_MB: f64 = 1.0;

async fn flip(redis: &Redis, register: &Rolecall, number: usize) -> Outcome {
    let (role, mut order) = (["master", "replica"][number % 2], redis::cmd("REPLICAOF"));
    match role {
        "master" => order.arg("NO").arg("ONE"),
        _ => order.arg("127.0.0.1").arg(1),
    };
    redis.ask::<()>(&order).await?;
    register.shows(role, PATIENCE, |s: &Value| s["services"][0]["role"] == role).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_grows_while_consul_is_away() -> Outcome {
    let directory = tempfile::tempdir()?;
    let home = directory.path();
    let server = Agent::server(home, Access::Open)?;
    let mut agent = Agent::client(home, &server, None, Access::Open)?;
    let redis = Redis::server("redis-0", home, None)?;
    tokio::try_join!(server.ready(), agent.ready(), redis.ready())?;
    let config = register_config(&agent.address(), "redis-0", redis.port(), &[]);
    let register = Rolecall::start("register", "register", home, &config, vec![])?;
    register.ready().await?;
    agent.part.kill()?;
    register.shows("that Consul is away", PATIENCE, |s| !s["consul"]["trouble"].is_null()).await?;
    for number in 1..=40 {
        flip(&redis, &register, number).await?;
    }
    let before = resident_mb(register.part.pid())?;
    for number in 1..=201 {
        flip(&redis, &register, number).await?;
    }
    let after = resident_mb(register.part.pid())?;
    assert!(after - before < NOISE_MB, "{before} MB before 201 changes of the role, {after} MB after");
    agent.part.restart()?;
    let last = until("the last role in the catalog", PATIENCE, async || {
        let entries = server.entries(SERVICE).await?;
        when(entries.len() == 1 && entries[0].is("replica") && entries[0].passing, || format!("{entries:?}"))
    });
    register.part.explain(last.await)
}
