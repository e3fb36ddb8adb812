//! `rolecall failover`: a switch by plan loses no acknowledged write, with Sentinel or without, refuses what it cannot do
//! without loss, and never leaves a master paused.

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use tests::{Outcome, PATIENCE, Part, Recipe, Shape, Signal, Stack, Writer, binary, until, when};
use tokio::time::Instant;

/// Much less than a pause that nobody ends would take, and much more than a write does.
const SOON: Duration = Duration::from_secs(10);

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
    let stack = Stack::start(Shape::WHOLE, |_| {}).await?.patient().await?;
    for sentinel in &stack.sentinels {
        sentinel.believes(PATIENCE).await?;
    }
    let writer = Writer::start(stack.ports.write.number());
    let from = Instant::now();
    until("writes", PATIENCE, async || {
        when(writer.acknowledged() > 200, || writer.acknowledged().to_string())
    })
    .await?;
    let old = stack.sentinels[0].named().await?;

    let (code, said) = failover(&stack, &[]).await?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("no acknowledged write was lost"), "{said}");
    let new = stack.sentinels[0].named().await?;
    assert_ne!(new, old, "{said}");
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
    let stack = Stack::start(Shape::WHOLE, |_| {}).await?.patient().await?;
    let old = stack.sentinels[0].named().await?;
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
    let (code, said) = failover_beside(&stack, 1, &[]).await?;
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

/// Waits until the master takes a write, and fails when that takes longer than it may.
async fn takes_writes_soon(stack: &Stack, master: u16, said: &str) -> Outcome {
    let since = Instant::now();
    until("a write at the master", PATIENCE, async || {
        tests::redis::ask::<()>(master, redis::cmd("SET").arg("rolecall:soon").arg(1)).await
    })
    .await?;
    assert!(since.elapsed() < SOON, "writes waited for {:?}\n{said}", since.elapsed());
    assert_eq!(stack.sentinels[0].named().await?, master, "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_sentinel_refuses_leaves_nothing_paused() -> Outcome {
    let stack = Stack::start(Shape::WHOLE, |_| {}).await?.patient().await?;
    let old = stack.sentinels[0].named().await?;
    for sentinel in &stack.sentinels {
        sentinel.believes(PATIENCE).await?;
        let mut forbid = redis::cmd("ACL");
        forbid.arg("SETUSER").arg("default").arg("-sentinel|failover");
        sentinel.ask::<()>(&forbid).await?;
    }
    // A configuration that does not know of them.
    let home = tempfile::tempdir()?;
    let (text, file) = (fs::read_to_string(stack.registers[0].config())?, home.path().join("register.hcl"));
    let (before, _) = text.split_once("    sentinel {").expect("the block");
    fs::write(&file, format!("{before}  }}\n}}\n"))?;
    let mut order = start("unaware", home.path(), &["failover", "-c", &file.to_string_lossy()])?;
    assert_eq!(order.end(PATIENCE).await?.code(), Some(1), "{}", order.log());
    let said = order.log();
    assert!(said.contains("nothing was changed") && said.contains("Sentinels listen at"), "{said}");

    let (code, said) = failover(&stack, &[]).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ordering the switch") && said.contains("given up, writes go on at"), "{said}");
    assert!(said.contains("ACL SETUSER NAME +sentinel|failover"), "{said}");
    takes_writes_soon(&stack, old, &said).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_is_told_to_end_or_killed_leaves_nothing_paused() -> Outcome {
    let stack = Stack::start(Shape::WHOLE, |_| {}).await?;
    // Long enough for a switch to wait in, and for both to go by before a replica is called dead.
    stack.down_after(PATIENCE * 2).await?;
    let old = stack.sentinels[0].named().await?;
    for sentinel in &stack.sentinels {
        sentinel.believes(PATIENCE).await?;
    }
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
        let mut order = start(name, home.path(), &["failover", "-c", &config, "--timeout", "60s"])?;
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
    assert!(since.elapsed() < SOON, "it waited for {:?}, which is more than it was given", since.elapsed());
    Ok(())
}

fn start(name: &str, home: &std::path::Path, arguments: &[&str]) -> Outcome<Part> {
    Recipe::new(name, binary()?, home, arguments).start()
}
