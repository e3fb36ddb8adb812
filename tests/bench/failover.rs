//! Fail-overs on the whole path, each fault as often as asked.

use std::path::Path;

use serde_json::{Value, json};
use tests::{Fault, Outcome, Say, Shape, Stack, Trouble, write_json};

use crate::{
    measures::{self, MEASURES},
    run::{Eyes, Run},
    table,
};

/// Measures each fault that many times, prints a table and writes all runs to the file. A run after which writes do
/// not flow is the last one, and a failure.
pub async fn failover(rounds: u32, json: Option<&Path>) -> Outcome {
    let say = Say::new();
    let mut runs = Vec::new();
    let ended = all(rounds, &say, &mut runs).await;
    table::table(&runs);
    write_json(json, &data(&runs))?;
    ended
}

async fn all(rounds: u32, say: &Say, runs: &mut Vec<Run>) -> Outcome {
    say.line("starting Consul, Redis, Sentinel, rolecall and HAProxy");
    let mut stack = Stack::start(Shape::WHOLE, |_| {}).await?;
    let eyes = Eyes::open(&stack)?;
    for round in 1..=rounds {
        for fault in Fault::ALL {
            let title = format!("{} {round} of {rounds}", fault.title());
            let run = eyes.measure(&mut stack, fault).await.map_err(|trouble| {
                Trouble::new(format!("{title} did not end well: {trouble}\n{}", stack.tails()))
            })?;
            say.line(&format!("{title}: {}", summary(&run)));
            runs.push(run);
        }
    }
    Ok(())
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

fn data(runs: &[Run]) -> Value {
    let goals = |fault: Fault| {
        let goals = MEASURES.iter().filter_map(|m| Some((m.key.to_string(), json!((m.goal)(fault)?))));
        (fault.word().to_string(), goals.collect::<Value>())
    };
    json!({
        "goals": Fault::ALL.map(goals).into_iter().collect::<Value>(),
        "runs": runs.iter().map(measures::data).collect::<Value>(),
    })
}
