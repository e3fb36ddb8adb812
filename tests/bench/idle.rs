//! What the programs cost while nothing happens: processor time and memory at default settings.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tests::{
    LIMIT, Outcome, Part, Say, Shape, Stack, Usage, plain,
    redis::{DOWN_AFTER, MASTER_NAME},
    resident_mb, usage, write_json,
};
use tokio::time::{Instant, sleep};

use crate::machine;

/// The most that a `register` may use.
const CORE_PERCENT: f64 = 0.5;
const RESIDENT_MB: f64 = 10.0;

/// What one program used.
struct Idle {
    name: String,
    core_percent: f64,
    naps_per_second: f64,
    resident_mb: f64,
}

/// Lets everything settle, waits that long, prints what each program used and writes it to the file.
pub async fn idle(window: Duration, json: Option<&Path>) -> Outcome {
    let say = Say::new();
    say.line("starting Consul, Redis, Sentinel, rolecall and HAProxy");
    let stack = Stack::start(Shape::WHOLE, |_| {}).await?;
    stack.down_after(DOWN_AFTER).await?;
    let master = stack.sentinels[0].named().await?;
    stack.steady(master).await?;
    for sentinel in &stack.sentinels {
        sentinel.calm(LIMIT).await?;
    }
    say.line(&format!("all is settled; looking for {window:?}, {MASTER_NAME} is 127.0.0.1:{master}"));
    let parts: Vec<&Part> = parts(&stack);
    let before = parts.iter().map(|part| usage(part.pid())).collect::<Outcome<Vec<Usage>>>()?;
    let began = Instant::now();
    // Not a wait for something: the time is the measure.
    sleep(window).await;
    let mut all = Vec::new();
    for (part, before) in parts.iter().zip(before) {
        all.push(used(part, before, began)?);
    }
    table(&all);
    write_json(json, &data(&all, window))
}

fn parts(stack: &Stack) -> Vec<&Part> {
    let mut parts: Vec<&Part> = stack.registers.iter().map(|register| &register.part).collect();
    parts.push(&stack.render.part);
    parts.extend(stack.redis.iter().chain(&stack.sentinels).map(|redis| &redis.part));
    parts.extend([&stack.agent.part, &stack.server.part]);
    parts
}

fn used(part: &Part, before: Usage, began: Instant) -> Outcome<Idle> {
    let (after, seconds) = (usage(part.pid())?, began.elapsed().as_secs_f64());
    Ok(Idle {
        name: part.name().into(),
        core_percent: (after.busy - before.busy).as_secs_f64() / seconds * 100.0,
        naps_per_second: (after.naps - before.naps) as f64 / seconds,
        resident_mb: resident_mb(part.pid())?,
    })
}

fn table(all: &[Idle]) {
    plain("");
    plain(&format!("  {:<16}{:>12}{:>12}{:>12}   verdict", "", "% of a core", "wakeups/s", "memory MB"));
    for idle in all {
        let Idle { name, core_percent, naps_per_second, resident_mb } = idle;
        let verdict = verdict(idle).map_or(String::new(), |met| {
            let word = if met { "met" } else { "NOT MET" };
            format!("{word}: ≤ {CORE_PERCENT} % and ≤ {RESIDENT_MB} MB")
        });
        let row =
            format!("  {name:<16}{core_percent:>12.2}{naps_per_second:>12.1}{resident_mb:>12.1}   {verdict}");
        plain(row.trim_end());
    }
    plain("");
}

/// Only `register` has a goal.
fn verdict(idle: &Idle) -> Option<bool> {
    let register = idle.name.starts_with("register");
    register.then_some(idle.core_percent <= CORE_PERCENT && idle.resident_mb <= RESIDENT_MB)
}

fn data(all: &[Idle], window: Duration) -> Value {
    let one = |idle: &Idle| {
        json!({
            "program": idle.name,
            "core_percent": idle.core_percent,
            "wakeups_per_second": idle.naps_per_second,
            "resident_mb": idle.resident_mb,
            "met": verdict(idle),
        })
    };
    json!({
        "machine": machine::data(),
        "seconds": window.as_secs_f64(),
        "goals": { "core_percent": CORE_PERCENT, "resident_mb": RESIDENT_MB },
        "programs": all.iter().map(one).collect::<Value>(),
    })
}
