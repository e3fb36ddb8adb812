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
/// What changed goes its way first.
const AFTER: Duration = Duration::from_millis(100);

/// Tells for ever.
pub async fn tell(heard: Heard, templates: Vec<watch::Receiver<TemplateStatus>>, metrics: Metrics) {
    look_after(heard, templates, |status, blocks, say, now| {
        metrics.blocked(&status.destination, blocks.len());
        if let Some(say) = say {
            log(status, blocks, say, now);
        }
    })
    .await;
}

/// Looks at each template when something changed or is due, and hands on what is to be said.
async fn look_after(
    mut heard: Heard,
    templates: Vec<watch::Receiver<TemplateStatus>>,
    mut told: impl FnMut(&TemplateStatus, &[Block], Option<Say>, Instant),
) {
    let mut waits = vec![Wait::default(); templates.len()];
    loop {
        let (facts, now) = (heard.now(), Instant::now());
        let mut begins = false;
        for (wait, template) in waits.iter_mut().zip(&templates) {
            let status = template.borrow();
            let blocks = blocks(&status.asked, &status.missing, &facts);
            let (next, say) = wait.after(!blocks.is_empty(), now);
            *wait = next;
            told(&status, &blocks, say, now);
            begins |= status.state == State::Waiting || !blocks.is_empty();
        }
        let due = waits.iter().filter_map(|wait| wait.due()).chain(begins.then_some(now + LOOK)).min();
        tokio::select! {
            changed = heard.changed() => {
                if changed.is_err() {
                    return;
                }
                sleep(AFTER).await;
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;
    use consul::{Query, Watched, query::Scope};
    use std::sync::{Arc, Mutex};

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_told_ever_less_often_and_its_end_once() {
        let query = Query::Key { key: "a".into(), scope: Scope::default() };
        let (facts, known) = watch::channel(Facts::default());
        let mut status = TemplateStatus { missing: ["kv/a".to_owned()].into(), ..TemplateStatus::default() };
        status.asked = Arc::new([query.clone()].into());
        let (status, shown) = watch::channel(status);
        let (said, start) = (Arc::new(Mutex::new(vec![])), Instant::now());
        let hears = Arc::clone(&said);
        let looking = look_after(Heard::beside(known), vec![shown], move |_, blocks, say, now| {
            let named = blocks.iter().map(|block| block.why.word()).collect::<Vec<_>>();
            hears.lock().unwrap().extend(say.map(|say| ((now - start).as_secs(), named, say)));
        });
        tokio::spawn(looking);
        sleep(Duration::from_secs(45)).await;
        let watched = Watched { value: Some(Arc::new("x".into())), ..Watched::default() };
        facts.send_modify(|facts| _ = Arc::make_mut(facts).insert(query, watched));
        status.send_modify(|status| (status.missing, status.state) = (Default::default(), State::Applied));
        sleep(Duration::from_secs(3600)).await;
        let waits = |seconds| (seconds, vec!["unanswered"], Say::Waits(Duration::from_secs(seconds)));
        let said = said.lock().unwrap().clone();
        assert_eq!(said[..3], [waits(10), waits(20), waits(40)]);
        assert!(matches!(said[3..], [(45..=46, _, Say::Over(_))]), "{said:?}");
    }
}
