//! The Consul agent dies and comes back knowing nothing: the registrations come back without human help.

use tests::{Outcome, PATIENCE, Shape, Stack, stack::SERVICE, until, when};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_return_to_an_agent_that_lost_its_data() -> Outcome {
    let mut stack = Stack::start(Shape::PAIR, |_| {}).await?;
    stack.agent.kill_and_forget()?;
    stack.registers[0]
        .shows("that Consul is away", PATIENCE, |s| s["services"][0]["agent"]["state"] != "in sync")
        .await?;
    stack.agent.part.restart()?;
    stack.agent.ready().await?;
    let back = until("both registrations in the catalog", PATIENCE, async || {
        let entries = stack.server.entries(SERVICE).await?;
        let of = |tag| entries.iter().filter(|entry| entry.passing && entry.is(tag)).count();
        when((entries.len(), of("master"), of("replica")) == (2, 1, 1), || format!("{entries:?}"))
    });
    stack.registers[0].part.explain(back.await)?;
    for register in &stack.registers {
        let in_sync = |s: &serde_json::Value| {
            s["services"][0]["agent"]["state"] == "in sync"
                && s["services"][0]["catalog"]["state"] == "in sync"
        };
        register.shows("agent and catalog in sync", PATIENCE, in_sync).await?;
        register.ready().await?;
    }
    stack.routes_to(stack.redis[0].port()).await?;
    stack.hand_over(0, 1).await?;
    stack.routes_to(stack.redis[1].port()).await
}
