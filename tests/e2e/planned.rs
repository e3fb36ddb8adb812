//! `rolecall failover`: a switch by plan loses no acknowledged write, and refuses what it cannot do without loss.

use std::process::{Command, Output};

use tests::{Outcome, PATIENCE, Shape, Signal, Stack, Writer, binary, until, when};
use tokio::time::Instant;

async fn failover(stack: &Stack, more: &[&str]) -> Outcome<(Option<i32>, String)> {
    let mut order = Command::new(binary()?);
    order.args(["failover", "-c"]).arg(stack.registers[0].config()).args(more).env_clear();
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
