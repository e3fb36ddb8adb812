//! Without an agent: rows of external nodes in the catalog, under leases, with no more rights than the page names.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tests::{
    Outcome, PATIENCE, Rolecall, Signal,
    consul::{Access, Agent},
    redis::Redis,
    stack::{SERVICE, register_config},
    until, when,
};

/// A session of 10 s ends up to 20 s after its last renewal; then somebody has to look.
const EXPIRED: Duration = Duration::from_secs(60);

async fn start(home: &Path, server: &Agent, number: u16, redis: &Redis) -> Outcome<Rolecall> {
    let rules = format!(
        "service \"redis\" {{ policy = \"write\" }}\nnode_prefix \"\" {{ policy = \"read\" }}\n\
         node \"external-{number}\" {{ policy = \"write\" }}\nsession \"external-{number}\" {{ policy = \"write\" }}\n\
         key_prefix \"rolecall/lease/redis/\" {{ policy = \"write\" }}"
    );
    let secret = server.token(&format!("registrar-{number}"), &rules).await?;
    let config = register_config(&server.address(), &format!("redis-{number}"), redis.port(), &[]);
    let mode =
        format!("consul {{\n  mode = \"catalog\"\n  node = \"external-{number}\"\n  token = \"{secret}\"");
    let config = config.replacen("consul {", &mode, 1);
    Rolecall::start("register", &format!("register-{number}"), home, &config, vec![])
}

async fn shows(server: &Agent, what: &str, limit: Duration, wanted: &[(&str, &str, bool)]) -> Outcome {
    until(format!("the catalog to show {what}"), limit, async || {
        let entries = server.entries(SERVICE).await?;
        let fits = |(id, tag, passing): &(&str, &str, bool)| {
            entries.iter().any(|entry| entry.id == *id && entry.is(tag) && entry.passing == *passing)
        };
        when(entries.len() == wanted.len() && wanted.iter().all(fits), || format!("{entries:?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_without_an_agent_live_by_their_leases() -> Outcome {
    let directory = tempfile::tempdir()?;
    let home = directory.path();
    let server = Agent::server(home, Access::Closed)?;
    let master = Redis::server("redis-0", home, None)?;
    let replica = Redis::server("redis-1", home, Some(master.port()))?;
    tokio::try_join!(server.ready(), master.ready(), replica.ready())?;
    let mut first = start(home, &server, 0, &master).await?;
    let second = start(home, &server, 1, &replica).await?;
    let both = [("redis-0", "master", true), ("redis-1", "replica", true)];
    first.part.explain(shows(&server, "both", PATIENCE, &both).await)?;
    let in_sync = |s: &Value| s["services"][0]["agent"]["state"] == "in sync";
    first.shows("its entry in the catalog", PATIENCE, in_sync).await?;

    server.put("catalog/deregister", json!({ "Node": "external-1", "ServiceID": "redis-1" })).await?;
    second.part.explain(shows(&server, "the entry again that somebody removed", PATIENCE, &both).await)?;

    first.part.kill()?;
    let dead = [("redis-0", "master", false), ("redis-1", "replica", true)];
    second.part.explain(shows(&server, "the entry critical whose registrar died", EXPIRED, &dead).await)?;
    // It says so once it is done.
    until("the second to say that it did it", PATIENCE, async || {
        when(second.part.log().contains("the lease of an entry ran out"), || second.part.tail())
    })
    .await?;
    first.part.restart()?;
    first.part.explain(shows(&server, "both again", PATIENCE, &both).await)?;

    first.part.signal(Signal::TERM)?;
    until("its end", PATIENCE, async || match first.part.ended()? {
        Some(status) => when(status.success(), || format!("{status}: {}", first.part.tail())),
        None => when(false, || "still there".into()),
    })
    .await?;
    shows(&server, "one less", PATIENCE, &both[1..]).await?;
    let nodes = server.get("catalog/nodes").await?;
    assert!(!nodes.to_string().contains("external-0"), "its node is left: {nodes}");
    let keys = server.get("kv/rolecall/?keys").await?;
    assert_eq!(keys, json!(["rolecall/lease/redis/redis-1"]), "its lease is left");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_an_agent_is_left_alone() -> Outcome {
    let directory = tempfile::tempdir()?;
    let home = directory.path();
    let server = Agent::server(home, Access::Open)?;
    let redis = Redis::server("redis-0", home, None)?;
    tokio::try_join!(server.ready(), redis.ready())?;
    // The leader enters the node bare; its agent adds what it knows of itself up to two seconds later.
    let nodes = until("the agent to say what it knows of its node", PATIENCE, async || {
        let nodes = server.get("catalog/nodes").await?;
        when(nodes[0]["Meta"].is_object(), || nodes.to_string())?;
        Ok(nodes)
    })
    .await?;
    let name = nodes[0]["Node"].as_str().unwrap_or_default();
    let config = register_config(&server.address(), "redis-0", redis.port(), &[]);
    let mode = format!("consul {{\n  mode = \"catalog\"\n  node = \"{name}\"");
    let config = config.replacen("consul {", &mode, 1).replacen("\"127.0.0.1\"", "\"10.9.9.9\"", 1);
    assert!(config.contains("address = \"10.9.9.9\""), "{config}");
    let register = Rolecall::start("register", "register", home, &config, vec![])?;
    let told = |s: &Value| {
        let error = s["services"][0]["agent"]["error"].as_str();
        error.is_some_and(|error| error.contains("has an agent of its own"))
    };
    register.shows("why it does not register", PATIENCE, told).await?;
    let after = server.get("catalog/nodes").await?;
    for key in ["Address", "Meta"] {
        assert_eq!(after[0][key], nodes[0][key], "{after}");
    }
    assert!(server.entries(SERVICE).await?.is_empty());
    Ok(())
}
