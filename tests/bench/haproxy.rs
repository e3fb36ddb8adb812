//! How long HAProxy takes to follow, from Consul's answer until it runs what the text says, as `render` itself
//! measured it: the same changes by orders at run time, and by a reload.

use std::path::Path;

use serde_json::{Value, json};
use tests::{Front, Outcome, PATIENCE, Special, Trouble, until, when, write_json};

/// As many as the issue asks for.
const MANY: u16 = 1_000;
/// Each changes all of them.
const FLOODS: u32 = 10;
/// Ports of servers that nobody connects to.
const NOBODY: u16 = 40_000;

/// What changes of each server.
#[derive(Clone, Copy)]
enum Change {
    /// Its address, as a StatefulSet's Pod that is started anew.
    Moved,
    /// Its name: one leaves, and another comes, as a Deployment's Pods.
    Replaced,
}

/// Measures, prints, and writes all times.
pub async fn haproxy(changes: u32, json: Option<&Path>) -> Outcome {
    let mut found = serde_json::Map::new();
    for (what, (change, servers), changes) in [
        ("1 server replaced", (Change::Replaced, 1), changes),
        ("1000 servers moved", (Change::Moved, MANY), FLOODS),
        ("1000 servers replaced", (Change::Replaced, MANY), FLOODS),
    ] {
        println!("{what}, {changes} changes: from Consul's answer until HAProxy runs it");
        let by = async |outcome, policy| times(outcome, policy, (change, servers), changes).await;
        let steered = by("steered", "reload = \"when_needed\"").await?;
        let reloaded = by("reloaded", "reload = \"always\"\n    reload_interval = \"0s\"").await?;
        let (steer, reload) = (row("by orders", &steered), row("by a reload", &reloaded));
        println!("  ratio of the medians: {:.0}", reload / steer);
        found.insert(what.into(), json!({ "orders_ms": steered, "reload_ms": reloaded }));
    }
    write_json(json, &Value::from(found))
}

async fn times(
    outcome: &str,
    policy: &str,
    (change, servers): (Change, u16),
    changes: u32,
) -> Outcome<Vec<f64>> {
    let mut front = Front::start(NOBODY, Special { haproxy: policy, ..Special::default() }).await?;
    say(&mut front, 0, (change, servers));
    let mut times = vec![];
    let mut heard = settled(&front, outcome, 0.0).await?["heard_ms"].as_f64().unwrap_or_default();
    for n in 1..=changes {
        let before = ended(&front, outcome);
        say(&mut front, n, (change, servers));
        let done = until(format!("a change that is {outcome}"), PATIENCE, async || {
            let now = ended(&front, outcome);
            when(now > before, || format!("{now} of them, as before"))
        });
        front.render.part.explain(done.await)?;
        let told = settled(&front, outcome, heard).await?;
        let at = |key: &str| told[key].as_f64().ok_or_else(|| Trouble::new(format!("no {key} in {told}")));
        heard = at("heard_ms")?;
        times.push(at("applied_ms")? - heard);
    }
    Ok(times)
}

/// How many changes ended so, by the log: a page of `render` would be work of its own while one is under way.
fn ended(front: &Front, outcome: &str) -> usize {
    let outcome = format!("outcome=\"{outcome}\"");
    front.render.part.log().lines().filter(|line| line.contains(&outcome)).count()
}

/// Every server has another address than before, or another name.
fn say(front: &mut Front, n: u32, (change, servers): (Change, u16)) {
    let other = n % 2 == 1;
    let of = |server: u16| match change {
        Change::Moved => (format!("s-{server}"), NOBODY + server + if other { MANY } else { 0 }),
        Change::Replaced => (format!("s{}-{server}", n % 2), NOBODY + server),
    };
    let names: Vec<(String, u16)> = (0..servers).map(of).collect();
    let all: Vec<_> = names.iter().map(|(name, port)| (name.as_str(), *port)).collect();
    front.say_all(&all, "");
}

/// The change after `heard`, once its file is in place and servers that left are deleted.
async fn settled(front: &Front, outcome: &str, heard: f64) -> Outcome<Value> {
    let done = until("servers that left to be deleted", PATIENCE, async || {
        let template = front.render.status().await?["templates"][0].clone();
        let last = &template["last"];
        let new = last["heard_ms"].as_f64() > Some(heard) && last["outcome"] == outcome;
        when(new && template["leaving_servers"] == 0, || last.to_string())?;
        Ok(last.clone())
    });
    front.render.part.explain(done.await)
}

fn row(name: &str, millis: &[f64]) -> f64 {
    let mut sorted = millis.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted.get((sorted.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    println!("  {name:<12} median {:8.2}  p99 {:8.2}  max {:8.2} ms", at(0.5), at(0.99), at(0.999_9));
    at(0.5)
}
