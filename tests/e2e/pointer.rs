//! Two Redis without Sentinel: the epoch pointer says who is master after a fail-over by hand, and one that merely comes
//! back as master gets nothing.

use serde_json::Value;
use std::process::Command;
use tests::{Outcome, PATIENCE, Shape, Stack, Trouble, binary, consul::master, redis, until, when};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_comes_back_stays_a_candidate_without_sentinel() -> Outcome {
    let mut stack = Stack::start(Shape::LOCKED, |_| {}).await?;
    let [old, new] = [stack.redis[0].port(), stack.redis[1].port()];
    let names = |id: &'static str, epoch: u64| {
        move |s: &Value| {
            s["services"][0]["pointer"]["id"] == id && s["services"][0]["pointer"]["epoch"] == epoch
        }
    };
    stack.registers[1].shows("the first master in the pointer", PATIENCE, names("redis-0", 1)).await?;

    stack.redis[0].part.kill()?;
    let mut promote = ::redis::cmd("REPLICAOF");
    stack.redis[1].ask::<()>(promote.arg("NO").arg("ONE")).await?;
    stack.routes_to(new).await?;
    stack.registers[1].shows("the new master in the pointer", PATIENCE, names("redis-1", 2)).await?;

    // The old master comes back as one: it is told apart, and gets no write.
    stack.redis[0].part.restart()?;
    stack.redis[0].ready().await?;
    let candidate = |s: &Value| {
        let service = &s["services"][0];
        service["role"] == "candidate"
            && service["probe"]["ok"] == true
            && service["agent"]["state"] == "in sync"
    };
    let shown = stack.registers[0].shows("a candidate", PATIENCE, candidate).await?;
    assert!(shown["services"][0]["why"].to_string().contains("names redis-1 in epoch 2"), "{shown:#}");
    for _ in 0..50 {
        stack.writes_flow().await?;
    }
    // Not even when it is the only one left.
    stack.redis[1].part.kill()?;
    until("the master to be withdrawn", PATIENCE, async || {
        let entries = stack.agent.entries("redis").await?;
        when(master(&entries).is_none(), || format!("{entries:?}"))
    })
    .await?;
    let mut set = ::redis::cmd("SET");
    set.arg("rolecall:nobody").arg(1);
    let answer = redis::ask::<()>(stack.ports.write.number(), &set).await;
    assert!(answer.is_err(), "somebody took a write");
    let commands: String = stack.redis[0].ask(::redis::cmd("INFO").arg("commandstats")).await?;
    assert!(!commands.contains("cmdstat_set:"), "the former master on {old} took a write: {commands}");

    // An operator's promotion is one: a replica that becomes master takes the next epoch.
    stack.redis[1].part.restart()?;
    stack.redis[1].ready().await?;
    stack.redis[1].ask::<()>(&promote).await?;
    stack.routes_to(new).await?;
    let mut follow = ::redis::cmd("REPLICAOF");
    stack.redis[0].ask::<()>(follow.arg("127.0.0.1").arg(new)).await?;
    stack.registers[0].shows("a replica", PATIENCE, |s| s["services"][0]["role"] == "replica").await?;
    stack.redis[0].ask::<()>(&promote).await?;
    stack.registers[0].shows("its promotion", PATIENCE, names("redis-0", 3)).await?;
    stack.routes_to(old).await?;

    // An operator looks at the pointer, and lets epochs begin anew: the only master takes the first of a new generation.
    let mut follow = ::redis::cmd("REPLICAOF");
    stack.redis[1].ask::<()>(follow.arg("127.0.0.1").arg(old)).await?;
    stack.registers[1].shows("a replica", PATIENCE, |s| s["services"][0]["role"] == "replica").await?;
    let config = stack.registers[0].config();
    let order = |what: &str| -> Outcome<String> {
        let done =
            Command::new(binary()?).args(["epoch", what, "--service", "redis", "-c"]).arg(config).output()?;
        when(done.status.success(), || format!("{done:?}"))?;
        String::from_utf8(done.stdout).map_err(|e| Trouble::new(e.to_string()))
    };
    let told = order("show")?;
    assert!(told.contains("/redis: redis-0 (") && told.contains("became master in epoch 3"), "{told}");
    let told = order("reset")?;
    assert!(told.contains("nobody is master in epoch 0 of generation 1"), "{told}");
    let anew = |s: &Value| {
        let pointer = &s["services"][0]["pointer"];
        pointer["id"] == "redis-0" && pointer["generation"] == 1 && pointer["epoch"] == 1
    };
    stack.registers[0].shows("a new generation", PATIENCE, anew).await?;
    stack.routes_to(old).await
}
