//! Role flips in a row, with a writer beside them.

use tests::{Outcome, Say, Shape, Stack, Writers, when};
use tokio::time::Instant;

/// How much memory may grow between the first tenth and the end.
const SLACK_MB: f64 = 2.0;

/// Flips that often, tells of memory ten times, and looks whether all is right at the end.
pub async fn flips(times: usize) -> Outcome {
    let say = Say::new();
    say.line("starting Consul, two Redis, rolecall and HAProxy");
    let stack = Stack::start(Shape::PAIR, |_| {}).await?;
    let writers = Writers::start(stack.ports.write.number());
    let from = writers.reach(stack.redis[0].port(), Instant::now()).await?;
    let mut seen = vec![stack.memory()?];
    say.line(&format!("before: {}", shown(&seen[0])));
    let each = |done: usize| {
        if done.is_multiple_of(times / 10) {
            let now = stack.memory()?;
            say.line(&format!("{done} flips: {}", shown(&now)));
            seen.push(now);
        }
        Ok(())
    };
    stack.flip(times, each).await?;
    // An even number in all leaves the first one master.
    stack.flip_in_a_burst(times % 2 + 100).await?;
    let last = stack.redis[0].port();
    stack.routes_to(last).await?;
    stack.settled(last).await?;
    writers.only(last, Instant::now()).await?;
    let tally = writers.kept.tally(from, Instant::now());
    say.line(&format!("a burst of 100 more; all agree on 127.0.0.1:{last}, writes flow"));
    say.line(&format!("{} writes acknowledged over the kept connection meanwhile", tally.acknowledged));
    let (first, end) = (&seen[1], stack.memory()?);
    say.line(&format!("after:  {}", shown(&end)));
    for ((name, before), (_, after)) in first.iter().zip(&end) {
        when(after - before < SLACK_MB, || format!("{name} grew from {before:.1} to {after:.1} MB"))?;
    }
    say.line(&format!(
        "two masters were never advertised; memory grew by less than {SLACK_MB} MB after the first tenth"
    ));
    Ok(())
}

fn shown(memory: &[(String, f64)]) -> String {
    memory.iter().map(|(name, mb)| format!("{name} {mb:.2} MB")).collect::<Vec<_>>().join(", ")
}
