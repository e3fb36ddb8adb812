//! Consul is gone for a while: HAProxy keeps serving, and both programs recover by themselves.

use std::time::Duration;

use serde_json::Value;
use tests::{Outcome, PATIENCE, Shape, Stack, Writer, stack::SERVICE, until, when};
use tokio::time::Instant;

/// Longer than every pause between tries and every TTL; `ROLECALL_OUTAGE_SECONDS` shortens it.
#[expect(clippy::disallowed_methods, reason = "the harness runs programs; it is a door")]
fn outage() -> Duration {
    let given = std::env::var("ROLECALL_OUTAGE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(given.unwrap_or(60))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_serves_through_an_outage_of_consul() -> Outcome {
    let mut stack = Stack::start(Shape::PAIR, |_| {}).await?;
    stack.settled(stack.redis[0].port()).await?;
    let writer = Writer::patient(stack.ports.write.number());
    until("the first writes", PATIENCE, async || when(writer.acknowledged() > 10, || "few".into())).await?;
    let (text, from) = (stack.haproxy_text(), Instant::now());

    stack.agent.part.kill()?;
    stack.server.part.kill()?;
    let troubled = |s: &Value| !s["queries"][0]["trouble"].is_null();
    stack.render.shows("the trouble with its queries", PATIENCE, troubled).await?;
    let unsure = |s: &Value| s["services"][0]["agent"]["state"] == "unknown";
    stack.registers[0].shows("that it cannot know what Consul holds", PATIENCE, unsure).await?;
    until("the outage to be over", outage() + PATIENCE, async || {
        when(from.elapsed() >= outage(), || format!("{:?}", from.elapsed()))
    })
    .await?;
    let tally = writer.tally(from, Instant::now());
    assert!(tally.unknown == 0 && tally.refused.is_empty(), "HAProxy served no clean service: {tally:?}");
    assert_eq!(stack.haproxy_text(), text, "the configuration changed while Consul was away");

    // An agent that finds no leader at its start tries again half a minute later.
    stack.server.part.restart()?;
    stack.server.ready().await?;
    stack.agent.part.restart()?;
    stack.agent.ready().await?;
    until("both registrations to pass", PATIENCE, async || {
        let entries = stack.server.entries(SERVICE).await?;
        when(entries.iter().filter(|entry| entry.passing).count() == 2, || format!("{entries:?}"))
    })
    .await?;
    stack.render.shows("no trouble", PATIENCE, |s| s["queries"][0]["trouble"].is_null()).await?;
    stack.hand_over(0, 1).await?;
    stack.routes_to(stack.redis[1].port()).await
}
