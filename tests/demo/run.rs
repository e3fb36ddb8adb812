//! The course of the demo: start, writes, faults, results.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    Fault, Outcome, Part, Say, Shape, Stack, Trouble, plain, redis::DOWN_AFTER, resident_mb, until, when,
    write_json,
};

use crate::{
    Arguments,
    faults::{Cost, Eyes},
    report,
};

/// What runs after the demo has shown what it has to show.
pub struct Running {
    // Ends first: it only watches.
    _eyes: Eyes,
    stack: Stack,
}

/// Starts everything, lets the faults happen, prints and writes the results.
pub async fn run(arguments: &Arguments, say: &Say) -> Outcome<Running> {
    let file = arguments.json.as_deref();
    // A file of an earlier run must not tell others that this one is ready.
    write_json(file, &json!({ "ready": false }))?;
    say.line("starting Consul, Redis and Sentinel");
    let mut stack = Stack::start(Shape::WHOLE, |text| say.line(text)).await?;
    stack.down_after(DOWN_AFTER).await?;
    let eyes = Eyes::open(&stack)?;
    until("the writer's first 100 writes", Duration::from_secs(10), async || {
        let done = eyes.writer.acknowledged();
        when(done >= 100, || format!("{done} acknowledged"))
    })
    .await?;
    say.line("the writer writes through HAProxy, about 500 times a second");
    write_json(file, &addresses(&stack, &[]).await?)?;

    let mut costs = Vec::new();
    let mut failed = None;
    if !arguments.no_faults {
        for fault in Fault::DEMO {
            match eyes.measure(&mut stack, fault, say).await {
                Ok(cost) => costs.push(cost),
                Err(trouble) => {
                    let (fault, logs) = (fault.title(), stack.tails());
                    failed = Some(Trouble::new(format!("{fault} did not end well: {trouble}\n{logs}")));
                    break;
                }
            }
            write_json(file, &addresses(&stack, &costs).await?)?;
        }
        report::table(&costs);
    }
    report::memory(&memory(&stack).await?);
    match failed {
        Some(trouble) => Err(trouble),
        None => Ok(Running { _eyes: eyes, stack }),
    }
}

impl Running {
    /// Prints where everything listens.
    pub fn addresses(&self, say: &Say) {
        let Stack { ports, agent, render, registers, redis, sentinels, .. } = &self.stack;
        let list = |parts: Vec<String>| parts.join("  ");
        plain("");
        plain(&format!("  HAProxy   write {}   read {}", ports.write.address(), ports.read.address()));
        plain(&format!("            http://{}/stats", ports.stats.address()));
        plain(&format!("  Consul    http://{}/ui", agent.address()));
        plain(&format!("  render    http://{}/status", render.address()));
        for register in registers {
            plain(&format!("  register  http://{}/status", register.address()));
        }
        plain(&format!("  Redis     {}", list(redis.iter().map(|r| r.address()).collect())));
        plain(&format!("  Sentinel  {}", list(sentinels.iter().map(|s| s.address()).collect())));
        plain(&format!("  HAProxy's configuration: {}", self.stack.haproxy_config().display()));
        plain("");
        say.line("everything is left running; Ctrl-C stops it");
    }
}

/// What `--json` holds.
async fn addresses(stack: &Stack, costs: &[Cost]) -> Outcome<Value> {
    let mut all = json!({
        "ready": true,
        "haproxy": {
            "write": stack.ports.write.address(),
            "read": stack.ports.read.address(),
            "stats": stack.ports.stats.address(),
            "pid": stack.haproxy.part.pid(),
            "config": stack.haproxy_config(),
        },
        "consul": { "http": stack.agent.address(), "pid": stack.agent.part.pid() },
        "redis": stack.redis.iter().map(|r| json!({ "address": r.address(), "pid": r.part.pid() })).collect::<Value>(),
        "sentinel":
            stack.sentinels.iter().map(|s| json!({ "address": s.address(), "pid": s.part.pid() })).collect::<Value>(),
        "register":
            stack.registers.iter().map(|r| json!({ "admin": r.address(), "pid": r.part.pid() })).collect::<Value>(),
        "render": { "admin": stack.render.address(), "pid": stack.render.part.pid() },
    });
    if !costs.is_empty() {
        all["faults"] = costs.iter().map(report::data).collect();
        all["memory_mb"] = memory(stack).await?.into_iter().collect();
    }
    Ok(all)
}

/// The resident memory of every process, by name.
async fn memory(stack: &Stack) -> Outcome<Vec<(String, f64)>> {
    let mut parts: Vec<&Part> = stack.registers.iter().map(|r| &r.part).collect();
    parts.extend([&stack.render.part, &stack.server.part, &stack.agent.part]);
    parts.extend(stack.redis.iter().chain(&stack.sentinels).map(|r| &r.part));
    let mut sizes = Vec::new();
    for part in parts {
        let size = resident_mb(part.pid()).map_err(|trouble| trouble.during(part.name()))?;
        sizes.push((part.name().to_string(), size));
    }
    for process in stack.haproxy.processes().await? {
        // An old worker may end between the list and the look.
        if let Ok(size) = resident_mb(process.pid) {
            let age = if process.old { "old-" } else { "" };
            sizes.push((format!("haproxy-{age}{}", process.kind), size));
        }
    }
    Ok(sizes)
}
