//! `kill -9` of either program loses nothing.

use std::fs;

use serde_json::Value;
use tests::{Outcome, PATIENCE, Shape, Stack, Writer, consul::Entry, stack::SERVICE, until, when};
use tokio::time::Instant;

/// What is promised of entries, in their order.
fn plain(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.iter_mut().for_each(|entry| entry.outputs.clear());
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_register_loses_nothing() -> Outcome {
    let mut stack = Stack::start(Shape::PAIR, |_| {}).await?;
    stack.settled(stack.redis[0].port()).await?;
    let writer = Writer::start(stack.ports.write.number());
    let from = Instant::now();
    let before = plain(stack.server.entries(SERVICE).await?);
    stack.registers[0].part.restart()?;
    stack.registers[0].ready().await?;
    let synced = |s: &Value| s["services"][0]["catalog"]["state"] == "in sync";
    stack.registers[0].shows("the catalog in sync", PATIENCE, synced).await?;
    let same = until("the entries as they were", PATIENCE, async || {
        let after = plain(stack.server.entries(SERVICE).await?);
        when(after == before, || format!("{after:?} in place of {before:?}"))
    });
    stack.registers[0].part.explain(same.await)?;

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
    let applied = |s: &Value| s["templates"][0]["state"] == "applied";
    let status = stack.render.shows("an applied text", PATIENCE, applied).await?;
    // Where a look at a Redis found no core in time, there is something new to say.
    let news = status["templates"][0]["writes"].as_u64() > Some(0);
    let now = stack.haproxy.processes().await?;
    stack.render.part.explain(when(news || now == workers, || format!("a needless reload: {now:?}")))?;

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
