//! The Consul server hangs, connections and all: HAProxy serves on, and what happened meanwhile is there at once when it
//! goes on.

use serde_json::Value;
use tests::{
    LIMIT, Outcome, PATIENCE, Shape, Signal, Stack, Trouble, Writers, redis, stack::SERVICE, until,
    watch_consul,
};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_while_consul_hangs_is_followed_when_it_goes_on() -> Outcome {
    let stack = Stack::start(Shape::WHOLE, |_| {}).await?;
    for sentinel in &stack.sentinels {
        sentinel.believes(PATIENCE).await?;
    }
    let old = stack.sentinels[0].named().await?;
    stack.settled(old).await?;
    let place = stack.redis.iter().position(|redis| redis.port() == old).expect("the master is ours");
    let (elect, writers) =
        (watch_consul(stack.agent.address(), SERVICE)?, Writers::start(stack.ports.write.number()));
    let from = writers.reach(old, Instant::now()).await?;

    let mut held = redis::connect(stack.ports.write.number(), PATIENCE).await?;
    assert_eq!(redis::behind(&mut held).await?, old);

    stack.server.part.signal(Signal::STOP)?;
    let unsure = |s: &Value| s["services"][0]["catalog"]["state"] == "unknown";
    stack.registers[place].shows("that it cannot know what others see", PATIENCE, unsure).await?;
    // A write may take its time on a busy machine, but a connection that was there before is not cut.
    assert_eq!(redis::behind(&mut held).await?, old);
    writers.only(old, from).await?;

    stack.sentinels[0].fail_over().await?;
    let crowned = until("another to be crowned", LIMIT, async || {
        for (redis, register) in stack.redis.iter().zip(&stack.registers) {
            if redis.port() != old && register.status().await?["services"][0]["role"] == "master" {
                return Ok(redis.port());
            }
        }
        Err(Trouble::new("nobody yet"))
    });
    let new = crowned.await?;
    stack.server.part.signal(Signal::CONT)?;
    let shown = until("Consul to show it", PATIENCE, async || {
        elect.seen.first(new, from).ok_or_else(|| Trouble::new(format!("{:?}", elect.seen.last())))
    });
    let shown = stack.registers[place].part.explain(shown.await)?;
    let reached = writers.reach(new, from).await?;
    stack.redis[place].follows(new, LIMIT).await?;
    stack.settled(new).await?;
    let elected = elect.seen.course(shown);
    assert!(elected.iter().all(|(_, port)| *port == new), "not steady: {elected:?}");
    writers.only(new, reached).await
}
