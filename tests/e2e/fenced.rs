//! A master that was replaced is never advertised again, whatever it says of itself, and gets no write through HAProxy.

use serde_json::Value;
use tests::{Adverts, LIMIT, Outcome, PATIENCE, Shape, Signal, Stack, Writers};
use tokio::time::Instant;

/// Everything, once every Sentinel knows that the others follow, and who is master.
async fn start() -> Outcome<(Stack, Adverts, usize)> {
    let stack = Stack::start(Shape::WHOLE, |_| {}).await?;
    for sentinel in &stack.sentinels {
        sentinel.believes(PATIENCE).await?;
    }
    let master = stack.sentinels[0].named().await?;
    let place = stack.redis.iter().position(|redis| redis.port() == master).expect("the master is ours");
    let adverts = Adverts::watch(&stack)?;
    adverts.shows(master).await?;
    Ok((stack, adverts, place))
}

fn is_replica(status: &Value) -> bool {
    status["services"][0]["role"] == "replica"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_fail_over_never_shows_two_masters() -> Outcome {
    let (stack, adverts, place) = start().await?;
    let (old, from) = (stack.redis[place].port(), Instant::now());
    stack.sentinels[0].fail_over().await?;
    let new = adverts.another(&[old]).await?;
    let next = stack.redis.iter().position(|redis| redis.port() == new).expect("the new master is ours");
    let steady = adverts.steady(&stack.registers[next]);
    stack.redis[place].follows(new, LIMIT).await?;
    adverts.never_two(from)?;
    adverts.unchanged(&steady, &stack.registers[next])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_sleeps_with_its_registrar_wakes_up_fenced() -> Outcome {
    let (stack, adverts, place) = start().await?;
    let (old, from) = (stack.redis[place].port(), Instant::now());
    let writers = Writers::start(stack.ports.write.number());
    stack.redis[place].part.signal(Signal::STOP)?;
    stack.registers[place].part.signal(Signal::STOP)?;
    // Its last heartbeat is believed until the TTL has passed.
    let new = adverts.another(&[old]).await?;
    let reached = writers.reach(new, from).await?;
    let alone = Instant::now();
    stack.registers[place].part.signal(Signal::CONT)?;
    stack.redis[place].part.signal(Signal::CONT)?;
    stack.registers[place].shows("a replica", LIMIT, is_replica).await?;
    adverts.never(old, alone)?;
    writers.only(new, reached).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_slept_gets_no_write_when_it_wakes_up() -> Outcome {
    let (stack, adverts, place) = start().await?;
    let (old, from) = (stack.redis[place].port(), Instant::now());
    let writers = Writers::start(stack.ports.write.number());
    stack.redis[place].part.signal(Signal::STOP)?;
    let new = adverts.another(&[old]).await?;
    let reached = writers.reach(new, from).await?;
    let back = Instant::now();
    stack.redis[place].part.signal(Signal::CONT)?;
    stack.registers[place].shows("a replica", LIMIT, is_replica).await?;
    adverts.never_two(from)?;
    adverts.never(old, back)?;
    writers.only(new, reached).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_master_that_comes_back_is_fenced() -> Outcome {
    let (mut stack, adverts, place) = start().await?;
    let (old, from) = (stack.redis[place].port(), Instant::now());
    let writers = Writers::start(stack.ports.write.number());
    stack.redis[place].part.kill()?;
    let new = adverts.another(&[old]).await?;
    let reached = writers.reach(new, from).await?;
    let back = Instant::now();
    stack.redis[place].part.restart()?;
    let fenced = |s: &Value| s["services"][0]["says"] == "master" && s["services"][0]["role"] != "master";
    let status = stack.registers[place].shows("that it says master and is none", PATIENCE, fenced).await?;
    assert!(status["services"][0]["why"].as_str().is_some_and(|why| !why.is_empty()), "{status:#}");
    stack.registers[place].shows("a replica", LIMIT, is_replica).await?;
    adverts.never_two(from)?;
    adverts.never(old, back)?;
    writers.only(new, reached).await
}
