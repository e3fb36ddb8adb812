//! Fail-overs on the whole path, each fault as often as asked.

use std::path::Path;

use serde_json::{Value, json};
use tests::{Fault, Outcome, Say, Shape, Stack, redis::DOWN_AFTER, when, write_json};

use crate::{
    machine,
    measures::{self, MEASURES},
    run::{Eyes, Run},
    table,
};

/// Measures each fault that many times, prints a table and writes all runs to the file. A run that does not end well is
/// told, followed by a fresh start, and makes the whole a failure.
pub async fn failover(rounds: u32, json: Option<&Path>) -> Outcome {
    let mut bench = Bench::start().await?;
    let mut ended = Ok(());
    'all: for round in 1..=rounds {
        for fault in Fault::ALL {
            ended = bench.once(fault, &format!("{} {round} of {rounds}", fault.title())).await;
            if ended.is_err() {
                break 'all;
            }
        }
    }
    table::table(&bench.runs);
    write_json(json, &bench.data())?;
    ended?;
    let failed = &bench.failed;
    when(failed.is_empty(), || format!("{} runs did not end well: {}", failed.len(), failed.join(", ")))
}

/// Where it happens, what watches it, and what came of it.
struct Bench {
    // Ends first: it only watches.
    eyes: Eyes,
    stack: Stack,
    say: Say,
    runs: Vec<Run>,
    failed: Vec<String>,
    /// How many runs may yet be repeated since Sentinel failed over once more.
    spare: u32,
}

impl Bench {
    async fn start() -> Outcome<Bench> {
        let say = Say::new();
        let (eyes, stack) = place(&say).await?;
        Ok(Bench { eyes, stack, say, runs: Vec::new(), failed: Vec::new(), spare: 3 })
    }

    /// One fault. Fails only when everything could not be started anew.
    async fn once(&mut self, fault: Fault, title: &str) -> Outcome {
        loop {
            match self.eyes.measure(&mut self.stack, fault).await {
                Ok(run) => {
                    self.say.line(&format!("{title}: {}", summary(&run)));
                    let again = run.again() && self.spare > 0;
                    self.runs.push(run);
                    if !again {
                        return Ok(());
                    }
                    self.spare -= 1;
                    self.say.line(&format!("{title}: Sentinel failed over once more; measured again"));
                }
                Err(trouble) => {
                    let logs = self.stack.tails();
                    self.say.line(&format!("{title} did not end well: {trouble}\n{logs}"));
                    self.failed.push(title.into());
                    (self.eyes, self.stack) = place(&self.say).await?;
                    return Ok(());
                }
            }
        }
    }

    fn data(&self) -> Value {
        let goals = |fault: Fault| {
            let goals = MEASURES.iter().filter_map(|m| Some((m.key.to_string(), json!((m.goal)(fault)?))));
            (fault.word().to_string(), goals.collect::<Value>())
        };
        json!({
            "machine": machine::data(),
            "down_after_ms": DOWN_AFTER.as_secs_f64() * 1e3,
            "did_not_end_well": self.failed,
            "goals": Fault::ALL.map(goals).into_iter().collect::<Value>(),
            "runs": self.runs.iter().map(measures::data).collect::<Value>(),
        })
    }
}

async fn place(say: &Say) -> Outcome<(Eyes, Stack)> {
    say.line("starting Consul, Redis, Sentinel, rolecall and HAProxy");
    let stack = Stack::start(Shape::WHOLE, |_| {}).await?;
    stack.down_after(DOWN_AFTER).await?;
    Ok((Eyes::open(&stack)?, stack))
}

/// The numbers that have a goal, in short.
fn summary(run: &Run) -> String {
    let measures = MEASURES.iter().filter(|measure| (measure.goal)(run.fault).is_some());
    let words: Vec<String> = measures
        .map(|measure| {
            let (value, goal) = ((measure.of)(run), (measure.goal)(run.fault));
            // A number that could not be seen is a miss too.
            let missed = if goal.is_some_and(|goal| value <= goal) { "" } else { " (missed)" };
            format!("{} {value:.1}{missed}", measure.key)
        })
        .collect();
    words.join(", ")
}
