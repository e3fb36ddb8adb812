//! Times the parts of a change, from Consul's answer to the file in its place, as `render` itself measured them. What
//! HAProxy takes to follow is `haproxy`'s matter.
//! Prints medians and ratios of one run; asserts nothing, since machines differ.

use std::env;

use serde_json::Value;
use tests::{Outcome, PATIENCE, Shape, Stack, resident_mb, unix_ms, until, when};
use tokio::time::Instant;

const SHAPE: Shape =
    Shape { redis: 3, sentinels: 0, lock: false, more: "\n# {{keyOrDefault \"bench\" \"\"}}\n" };
/// Enough for a 95th percentile that one hiccup does not decide.
const CHANGES: usize = 100;

/// One kind of step, in milliseconds.
struct Step {
    name: &'static str,
    from: &'static str,
    to: &'static str,
}

const STEPS: [Step; 3] = [
    Step { name: "render: answer heard -> template filled", from: "heard_ms", to: "rendered_ms" },
    Step { name: "render: filled -> staged on disk", from: "rendered_ms", to: "staged_ms" },
    Step { name: "haproxy -c", from: "staged_ms", to: "checked_ms" },
];

/// Changes a key a hundred times and prints what each step took.
pub async fn changes() -> Outcome {
    let stack = Stack::start(SHAPE, |_| {}).await?;
    println!("{CHANGES} changes of one key, files in {}", env::temp_dir().display());
    let mut changes = Vec::new();
    for n in 0..CHANGES {
        changes.push(change(&stack, n).await?);
    }
    let own: Vec<f64> = changes.iter().filter_map(|change| change["own_part_ms"].as_f64()).collect();
    let own = row("render's own part: answer -> file renamed, check not counted", own);
    for Step { name, from, to } in STEPS {
        let taken = |change: &Value| Some(change[to].as_f64()? - change[from].as_f64()?);
        let median = row(name, changes.iter().filter_map(taken).collect());
        println!("{:>74}: {:.1} times the own part", "", median / own);
    }
    println!("memory of render after it all: {:.1} MB", resident_mb(stack.render.part.pid())?);
    Ok(())
}

/// Changes the key and waits until HAProxy runs the new text.
async fn change(stack: &Stack, n: usize) -> Outcome<Value> {
    let put = unix_ms(Instant::now());
    stack.agent.put("kv/bench", &format!("change {n}")).await?;
    let applied = until("the new text in its place", PATIENCE, async || {
        let last = stack.render.status().await?["templates"][0]["last"].clone();
        when(last["heard_ms"].as_f64() > Some(put), || last.to_string())?;
        Ok(last)
    });
    stack.render.part.explain(applied.await)
}

fn row(name: &str, mut millis: Vec<f64>) -> f64 {
    millis.sort_by(f64::total_cmp);
    let at = |share: f64| millis.get((millis.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    println!("{name:<62} median {:7.2}  p95 {:7.2}  max {:7.2} ms", at(0.5), at(0.95), at(0.999));
    at(0.5)
}
