//! SIGTERM: the instance is shown as draining, then it is gone from the catalog, then the program ends with 0.

use tests::{Outcome, PATIENCE, Shape, Signal, Stack, consul::Entry, stack::SERVICE};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_drains_then_deregisters_then_ends() -> Outcome {
    let mut stack = Stack::start(Shape::PAIR, |_| {}).await?;
    let mut tries = vec![];
    // Its agent may tell the servers of both at once, and nobody sees it drain.
    while !tries.iter().flatten().any(drains) {
        assert!(tries.len() < 10, "nobody saw it drain: {tries:?}");
        if !tries.is_empty() {
            stack.registers[1].part.restart()?;
            stack.registers[1].ready().await?;
        }
        let (_, index) = stack.server.entries_after(SERVICE, 0).await?;
        stack.registers[1].part.signal(Signal::TERM)?;
        let seen = timeout(PATIENCE, until_gone(&stack, "redis-1", index)).await;
        let seen = stack.registers[1].part.explain(seen.unwrap_or_else(|late| Err(late.into())))?;
        let status = stack.registers[1].part.end(PATIENCE).await?;
        assert_eq!(status.code(), Some(0), "{}", stack.registers[1].part.tail());
        tries.push(seen);
    }

    stack.render.part.signal(Signal::TERM)?;
    assert_eq!(stack.render.part.end(PATIENCE).await?.code(), Some(0), "{}", stack.render.part.tail());
    stack.writes_flow().await
}

fn drains(entry: &Entry) -> bool {
    !entry.passing && entry.outputs.iter().any(|said| said.contains("critical: draining"))
}

/// What the catalog shows of an instance until it is gone. Each look holds until the catalog changes, so that a
/// state of milliseconds is not missed.
async fn until_gone(stack: &Stack, id: &str, mut index: u64) -> Outcome<Vec<Entry>> {
    let mut seen = Vec::new();
    loop {
        let (entries, next) = stack.server.entries_after(SERVICE, index).await?;
        index = next;
        match entries.into_iter().find(|entry| entry.id == id) {
            Some(entry) => seen.push(entry),
            None => return Ok(seen),
        }
    }
}
