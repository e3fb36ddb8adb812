//! A role flip reaches HAProxy: fresh connections go to the new master, held ones to the old master are cut.

use std::time::Duration;

use serde_json::Value;
use tests::{Outcome, PATIENCE, Shape, Stack, redis, until, when};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_flip_reaches_haproxy() -> Outcome {
    let stack = Stack::start(Shape::PAIR, |_| {}).await?;
    let [old, new] = [stack.redis[0].port(), stack.redis[1].port()];
    stack.routes_to(old).await?;
    let mut held = redis::connect(stack.ports.write.number(), PATIENCE).await?;
    assert_eq!(redis::behind(&mut held).await?, old);

    stack.hand_over(0, 1).await?;
    stack.routes_to(new).await?;
    stack.settled(new).await?;
    until("the held connection to the old master to be cut", PATIENCE, async || {
        let answer = redis::behind(&mut held).await;
        when(answer.is_err(), || format!("{answer:?}"))
    })
    .await?;
    until("the read port to serve from the old master", PATIENCE, async || {
        let mut reader = redis::connect(stack.ports.read.number(), Duration::from_secs(1)).await?;
        let server = redis::behind(&mut reader).await?;
        when(server == old, || format!("{server}"))
    })
    .await?;

    let master =
        |s: &Value| s["services"][0]["role"] == "master" && s["services"][0]["agent"]["state"] == "in sync";
    stack.registers[1].shows("the role master, in sync", PATIENCE, master).await?;
    let applied = |s: &Value| {
        s["templates"][0]["state"] == "applied" && s["templates"][0]["last"]["renamed_ms"].is_number()
    };
    stack.render.shows("an applied template, and when its file was renamed", PATIENCE, applied).await?;

    stack.hand_over(1, 0).await?;
    stack.routes_to(old).await
}
