//! `kill -9` of either program loses nothing.

use std::fs;

use serde_json::Value;
use tests::{Outcome, PATIENCE, Shape, Stack, Writer, stack::SERVICE, until, when};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_register_loses_nothing() -> Outcome {
    let mut stack = Stack::start(Shape::PAIR, |_| {}).await?;
    let writer = Writer::start(stack.ports.write.number());
    let from = Instant::now();
    let before = stack.server.entries(SERVICE).await?;
    stack.registers[0].part.restart()?;
    stack.registers[0].ready().await?;
    let synced = |s: &Value| s["services"][0]["catalog"]["state"] == "in sync";
    stack.registers[0].shows("the catalog in sync", PATIENCE, synced).await?;
    let mut after = stack.server.entries(SERVICE).await?;
    let plain = |entries: &mut Vec<tests::consul::Entry>| {
        entries.iter_mut().for_each(|entry| entry.outputs.clear());
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        entries.clone()
    };
    assert_eq!(plain(&mut after), plain(&mut before.clone()));

    // What happens while it is dead is told as soon as it is back.
    stack.registers[1].part.kill()?;
    stack.hand_over(0, 1).await?;
    stack.registers[1].part.restart()?;
    stack.routes_to(stack.redis[1].port()).await?;
    until("writes to flow", PATIENCE, async || {
        when(writer.first_ack(stack.redis[1].port(), from).is_some(), || "none".into())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_render_loses_nothing() -> Outcome {
    let mut stack = Stack::start(Shape::PAIR, |_| {}).await?;
    stack.render.part.kill()?;
    stack.writes_flow().await?;
    stack.hand_over(0, 1).await?;
    stack.render.part.restart()?;
    stack.routes_to(stack.redis[1].port()).await?;

    // Back with nothing new to say: HAProxy is left alone.
    stack.settled(stack.redis[1].port()).await?;
    let workers = stack.haproxy.processes().await?;
    stack.render.part.restart()?;
    stack.render.ready().await?;
    assert_eq!(stack.haproxy.processes().await?, workers, "a needless reload");

    // Killed between the rename and the reload, it leaves the previous file behind as its marker.
    let marker = stack.marker();
    stack.render.part.kill()?;
    fs::copy(stack.haproxy_config(), &marker)?;
    stack.render.part.restart()?;
    let reloaded = until("the reload that was missed", PATIENCE, async || {
        let now = stack.haproxy.processes().await?;
        let fresh = now.iter().any(|p| p.kind == "worker" && !p.old && !workers.contains(p));
        when(fresh && !marker.exists(), || format!("{now:?}, marker: {}", marker.exists()))
    });
    stack.render.part.explain(reloaded.await)?;
    stack.writes_flow().await
}
