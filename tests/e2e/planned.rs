//! `rolecall failover`: a switch by plan loses no acknowledged write, with Sentinel or without, refuses what it cannot do
//! without loss, and never leaves a master paused.

use std::{
    fs,
    process::{Command, Output},
};

use tests::{Outcome, PATIENCE, Part, Recipe, Shape, Signal, Stack, Writer, binary, until, when};
use tokio::time::Instant;

/// What an order may take, in which it finds replicas that have everything on a busy machine, too. A pause that nobody
/// ends takes longer than [`PATIENCE`] then.
const LONG: [&str; 2] = ["--timeout", "60s"];

/// Everything, once each Sentinel knows all; none gives up a switch or takes anybody for dead before a story is over. Half
/// of that silence is also what a switch waits for the replicas.
async fn start() -> Outcome<(Stack, u16)> {
    let stack = Stack::start(Shape::WHOLE, |_| {}).await?;
    stack.down_after(PATIENCE * 4).await?;
    for sentinel in &stack.sentinels {
        sentinel.fail_over_time_out(PATIENCE).await?;
        sentinel.believes(PATIENCE).await?;
    }
    let master = stack.sentinels[0].named().await?;
    Ok((stack, master))
}

async fn failover(stack: &Stack, more: &[&str]) -> Outcome<(Option<i32>, String)> {
    failover_beside(stack, 0, more).await
}

/// By the configuration of that instance's register.
async fn failover_beside(stack: &Stack, number: usize, more: &[&str]) -> Outcome<(Option<i32>, String)> {
    let mut order = Command::new(binary()?);
    order.args(["failover", "-c"]).arg(stack.registers[number].config()).args(more).env_clear();
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(move || order.output()).await??;
    Ok((status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_switch_loses_nothing() -> Outcome {
    let (stack, old) = start().await?;
    let writer = Writer::start(stack.ports.write.number());
    let from = Instant::now();
    until("writes", PATIENCE, async || {
        when(writer.acknowledged() > 200, || writer.acknowledged().to_string())
    })
    .await?;

    let (code, said) = failover(&stack, &LONG).await?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("no acknowledged write was lost"), "{said}");
    // The Sentinel that was given the order knows first.
    let mut new = old;
    until("the first Sentinel to name another", PATIENCE, async || {
        new = stack.sentinels[0].named().await?;
        when(new != old, || said.clone())
    })
    .await?;
    stack.routes_to(new).await?;
    until("a write at the new master", PATIENCE, async || {
        when(writer.first_ack(new, from).is_some(), || "none".into())
    })
    .await?;
    let demoted = stack.redis.iter().find(|redis| redis.port() == old).expect("the old master");
    demoted.follows(new, PATIENCE).await?;
    let lost = writer.lost(from, Instant::now(), new).await?;
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}\n{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_would_lose_writes_is_given_up() -> Outcome {
    let (stack, old) = start().await?;
    // The replicas are there, and take nothing in any more.
    let replicas = || stack.redis.iter().filter(|redis| redis.port() != old);
    for replica in replicas() {
        replica.part.signal(Signal::STOP)?;
    }
    stack.writes_flow().await?;
    let (code, said) = failover(&stack, &["--timeout", "5s"]).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing was changed") || said.contains("would lose writes"), "{said}");
    stack.writes_flow().await?;
    for replica in replicas() {
        replica.part.signal(Signal::CONT)?;
    }
    assert_eq!(stack.sentinels[0].named().await?, old);
    let (code, said) = failover(&stack, &["--service", "mysql"]).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("has no service \"mysql\""), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sentinel_redis_itself_switches() -> Outcome {
    let stack = Stack::start(Shape::LOCKED, |_| {}).await?;
    let [old, new] = [0, 1].map(|number: usize| stack.redis[number].port());
    let writer = Writer::start(stack.ports.write.number());
    let from = Instant::now();
    until("writes", PATIENCE, async || {
        when(writer.acknowledged() > 200, || writer.acknowledged().to_string())
    })
    .await?;
    // Beside the replica: its master is found through it.
    let (code, said) = failover_beside(&stack, 1, &LONG).await?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("switched from 127.0.0.1:{old} to 127.0.0.1:{new};")), "{said}");
    stack.routes_to(new).await?;
    until("a write at the new master", PATIENCE, async || {
        when(writer.first_ack(new, from).is_some(), || "none".into())
    })
    .await?;
    stack.redis[0].follows(new, PATIENCE).await?;
    let lost = writer.lost(from, Instant::now(), new).await?;
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}\n{said}");
    Ok(())
}

/// Waits until the master takes a write, and fails when that takes as long as a pause that nobody ends.
async fn takes_writes_soon(stack: &Stack, master: u16, said: &str) -> Outcome {
    until("a write at the master", PATIENCE, async || {
        tests::redis::ask::<()>(master, redis::cmd("SET").arg("rolecall:soon").arg(1)).await
    })
    .await
    .map_err(|waited| waited.during(said))?;
    assert_eq!(stack.sentinels[0].named().await?, master, "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_sentinel_refuses_leaves_nothing_paused() -> Outcome {
    let (stack, old) = start().await?;
    for sentinel in &stack.sentinels {
        let mut forbid = redis::cmd("ACL");
        forbid.arg("SETUSER").arg("default").arg("-sentinel|failover");
        sentinel.ask::<()>(&forbid).await?;
    }
    // A configuration that does not know of them.
    let home = tempfile::tempdir()?;
    let (text, file) = (fs::read_to_string(stack.registers[0].config())?, home.path().join("register.hcl"));
    let (before, _) = text.split_once("    sentinel {").expect("the block");
    fs::write(&file, format!("{before}  }}\n}}\n"))?;
    let mut order = begin("unaware", home.path(), &["failover", "-c", &file.to_string_lossy()])?;
    assert_eq!(order.end(PATIENCE).await?.code(), Some(1), "{}", order.log());
    let said = order.log();
    assert!(said.contains("nothing was changed") && said.contains("Sentinels listen at"), "{said}");

    let (code, said) = failover(&stack, &LONG).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ordering the switch") && said.contains("given up, writes go on at"), "{said}");
    assert!(said.contains("ACL SETUSER NAME +sentinel|failover"), "{said}");
    takes_writes_soon(&stack, old, &said).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_is_told_to_end_or_killed_leaves_nothing_paused() -> Outcome {
    let (stack, old) = start().await?;
    for replica in stack.redis.iter().filter(|redis| redis.port() != old) {
        replica.part.signal(Signal::STOP)?;
    }
    // What they lack now.
    stack.writes_flow().await?;
    let home = tempfile::tempdir()?;
    for (name, signal, told) in [
        ("told", Signal::INT, "as before: it was told to end"),
        ("killed", Signal::KILL, "writes are paused"),
    ] {
        let config = stack.registers[0].config().to_string_lossy().into_owned();
        let mut order = begin(name, home.path(), &[&["failover", "-c", &config], &LONG[..]].concat())?;
        until("the pause", PATIENCE, async || {
            when(order.log().contains("writes are paused"), || order.log())
        })
        .await?;
        order.signal(signal)?;
        takes_writes_soon(&stack, old, &order.log()).await?;
        let _status = order.end(PATIENCE).await?;
        assert!(order.log().contains(told), "{}", order.log());
    }
    let since = Instant::now();
    let (code, said) = failover(&stack, &["--timeout", "5s"]).await?;
    assert!(code == Some(1) && said.contains("would lose writes"), "{said}");
    // Half of the Sentinels' silence is a minute.
    assert!(
        since.elapsed() < PATIENCE,
        "it waited for {:?}, which is more than it was given",
        since.elapsed()
    );
    Ok(())
}

fn begin(name: &str, home: &std::path::Path, arguments: &[&str]) -> Outcome<Part> {
    Recipe::new(name, binary()?, home, arguments).start()
}
