//! Says in the log, and in the metrics, which templates wait for what: a silent wait is the worst of all.

use crate::{
    blocked::{Block, Say, Wait, blocks, line},
    metrics::Metrics,
    questions::Heard,
    status::{State, TemplateStatus},
};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

/// A burst of answers is looked at once, and a template that has not begun to ask again after this time.
const LOOK: Duration = Duration::from_secs(1);

/// Tells for ever.
pub async fn tell(mut heard: Heard, templates: Vec<watch::Receiver<TemplateStatus>>, metrics: Metrics) {
    let mut waits = vec![Wait::default(); templates.len()];
    loop {
        let (facts, now) = (heard.now(), Instant::now());
        let mut begins = false;
        for (wait, template) in waits.iter_mut().zip(&templates) {
            let status = template.borrow();
            let blocks = blocks(&status.asked, &status.missing, &facts);
            let (next, say) = wait.after(!blocks.is_empty(), now);
            *wait = next;
            metrics.blocked(&status.destination, blocks.len());
            say.inspect(|say| log(&status, &blocks, *say, now));
            begins |= status.state == State::Waiting || !blocks.is_empty();
        }
        let due = waits.iter().filter_map(|wait| wait.due()).chain(begins.then_some(now + LOOK)).min();
        tokio::select! {
            changed = heard.changed() => if changed.is_err() { return },
            () = sleep_until(due.unwrap_or(now)), if due.is_some() => {}
        }
        sleep(LOOK.saturating_sub(now.elapsed())).await;
    }
}

fn log(status: &TemplateStatus, blocks: &[Block], say: Say, now: Instant) {
    let (template, destination) = (&status.source, &status.destination);
    match say {
        Say::Waits(lasted) if status.missing.is_empty() => {
            let waited_s = lasted.as_secs();
            tracing::warn!(
                template,
                destination,
                waited_s,
                "goes on with the last known answers, and waits for {}",
                line(blocks, now)
            );
        }
        Say::Waits(lasted) => {
            let waited_s = lasted.as_secs();
            tracing::warn!(template, destination, waited_s, "waiting for {}", line(blocks, now));
        }
        Say::Over(lasted) => {
            let waited_s = lasted.as_secs();
            tracing::info!(
                template,
                destination,
                waited_s,
                "waits no more: there is an answer to each question"
            );
        }
    }
}
