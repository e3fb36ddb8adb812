//! Role flips in a row: the last one counts, and memory stays as it was. `scripts/soak flips` does a thousand.

use tests::{Outcome, Shape, Stack};

/// What an allocator keeps may grow a little; what is kept for each flip shows.
const SLACK_MB: f64 = 1.5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flips_in_a_row_end_right() -> Outcome {
    let stack = Stack::start(Shape::PAIR, |_| {}).await?;
    stack.flip(4, |_| Ok(())).await?;
    let before = stack.memory()?;
    stack.flip(30, |_| Ok(())).await?;
    stack.flip_in_a_burst(31).await?;
    let last = stack.redis[1].port();
    stack.routes_to(last).await?;
    stack.settled(last).await?;
    stack.writes_flow().await?;
    for ((name, before), (_, after)) in before.into_iter().zip(stack.memory()?) {
        assert!(after - before < SLACK_MB, "{name} grew from {before:.1} to {after:.1} MB");
    }
    Ok(())
}
