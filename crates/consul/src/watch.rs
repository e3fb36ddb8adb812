//! Follows one question for ever: the client's answers, by the cursor's rules, into a watch channel.

use crate::{
    Answer, Client, Query,
    cursor::{Cursor, Heard},
    doubt::{Signs, doubt, empties, rights},
    overview::{Ear, told::written},
    shared::document::Answered,
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// What a watch knows.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// The last good answer; `None` before the first.
    pub value: Option<Arc<Value>>,
    /// Whether another program asked, and told it.
    pub shared: bool,
    /// When that value came.
    pub heard: Option<Instant>,
    /// Since when it has been followed.
    pub since: Option<Instant>,
    /// When the last good answer came, an equal one too.
    pub answered: Option<Instant>,
    /// Index of the last good answer.
    pub index: u64,
    /// Good answers so far.
    pub answers: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Failures so far.
    pub failed: u64,
    /// The present failure; the value is then the last known good one.
    pub trouble: Option<String>,
    /// Whether that failure is an answer that is not believed.
    pub doubted: bool,
    /// Since when there has been trouble.
    pub troubled: Option<Instant>,
    /// The last failure and when it came, over or not.
    pub last_error: Option<(Instant, String)>,
}

/// A question that Consul cannot hold open is asked again after this time (consul-template does the same).
const POLL: Duration = Duration::from_secs(15);
/// Answers are taken at most this often, after a burst that is always let through: a service that changes all
/// the time must not turn its watchers into a load test.
const PACE: Duration = Duration::from_millis(50);
const BURST: u32 = 20;

/// Starts to follow `query`, which ends when all receivers are gone. Receivers are woken by a new value and by
/// the beginning and end of trouble, never by an equal value; what they read then holds equal answers too.
#[must_use]
pub fn watch(client: Client, query: Query) -> watch::Receiver<Watched> {
    watch_after(client, query, Watched::default())
}

/// The same, by somebody who knows an answer already: one that takes all of it away is doubted as any.
#[must_use]
pub fn watch_after(client: Client, query: Query, known: Watched) -> watch::Receiver<Watched> {
    let known = Watched { since: known.since.or_else(|| Some(Instant::now())), ..known };
    let (tx, rx) = watch::channel(known);
    tokio::spawn(async move {
        tokio::select! {
            () = tx.closed() => {}
            () = follow(&client, &query, &tx) => {}
        }
    });
    rx
}

async fn follow(client: &Client, query: &Query, tx: &watch::Sender<Watched>) {
    let mut cursor = Cursor::default();
    let mut backoff = client.backoff();
    let mut pace = Pace::new(Instant::now());
    let mut rewound = None;
    let mut ear = Ear::of(client, query);
    let mut claim = client.claim().with_ear(ear.clone());
    loop {
        let (index, known) = (cursor.index, tx.borrow().value.as_deref().and_then(written));
        claim.knows(known);
        let ask = |held: bool| client.ask(query, if held { index } else { 0 });
        let answered = tokio::select! {
            biased;
            told = told(&mut ear, known) => Some(Ok(told)),
            answered = claim.ask(index == 0, ask) => answered,
        };
        let Some(mut answered) = answered else { continue };
        let known = tx.borrow().clone();
        if client.may_be_cached(query)
            && answered.as_ref().is_ok_and(|answer| empties(known.value.as_deref(), &answer.value))
        {
            // A cache is not believed that all is gone.
            answered = client.clone().fresh().ask(query, 0).await;
        }
        let trouble = match &answered {
            Ok(answer) => doubts(client, query, &known, answer, &mut rewound).await,
            Err(error) => Some(error.to_string()),
        };
        let doubted = answered.is_ok();
        match (answered, trouble) {
            (Ok(answer), None) => {
                let (next, heard) = cursor.hear(answer.index);
                cursor = next;
                backoff.reset();
                if heard == Heard::Reset {
                    tracing::info!(%query, "the index went backwards (Consul was restarted or restored); asking anew");
                } else {
                    rewound = None;
                    if known.value.as_deref().is_some_and(|known| *known != *answer.value) {
                        claim.changed();
                    }
                    if known.trouble.is_some() {
                        tracing::info!(%query, "there are answers again");
                    }
                    tx.send_if_modified(|watched| watched.take(answer.value, answer.index, Instant::now()));
                }
                let due = if query.blocks() { pace.due(Instant::now(), PACE) } else { POLL };
                // The runtime's clock ticks in whole milliseconds.
                if !due.is_zero() {
                    sleep(due).await;
                }
            }
            (_, trouble) => {
                cursor = cursor.fail();
                let trouble = trouble.unwrap_or_default();
                let (mut news, limit) = (false, client.settings().retry.attempts);
                tx.send_if_modified(|watched| {
                    news = watched.fail(&trouble, doubted, Instant::now());
                    news || watched.failures == limit
                });
                if news {
                    tracing::warn!(%query, trouble, "no answer that can be believed; keeping the last known value");
                }
                sleep(backoff.pause()).await;
            }
        }
    }
}

/// Waits for an answer by an overview, which is the pair of a key: its index is that of the key's own answer.
async fn told(ear: &mut Option<Ear>, known: Option<u64>) -> Answer {
    match ear {
        Some(ear) => {
            let value = ear.answer(known).await;
            Answer { index: written(&value).unwrap_or_default(), value }
        }
        None => std::future::pending().await,
    }
}

/// Why an answer is not believed, if it is not: only one that takes all away may not be. `rewound` is since when the
/// index has been lower than it was.
async fn doubts(
    client: &Client,
    query: &Query,
    known: &Watched,
    answer: &Answer,
    rewound: &mut Option<Instant>,
) -> Option<String> {
    let (quarantine, now) = (client.quarantine(), Instant::now());
    if query.blocks() && answer.index < known.index {
        rewound.get_or_insert(now);
    }
    let before = known.value.as_deref().filter(|_| !quarantine.is_zero())?;
    if !empties(Some(before), &answer.value) {
        return None;
    }
    let rights = rights(query, before);
    let may = client.may(&rights).await.unwrap_or_default();
    let signs = Signs {
        same_index: query.blocks() && answer.index == known.index,
        rewound: rewound.map(|since| now - since),
        lacks: rights.iter().zip(may).find_map(|(right, may)| (!may).then_some(right)),
    };
    doubt(&signs, quarantine)
}

impl Watched {
    /// Takes in a good answer; true when somebody should be woken.
    fn take(&mut self, value: Arc<Value>, index: u64, now: Instant) -> bool {
        // That it was asked here is news too, for whoever tells others.
        let mended = self.trouble.take().is_some() || self.shared;
        (self.failures, self.doubted, self.troubled, self.shared) = (0, false, None, false);
        self.answered = Some(now);
        self.answers += 1;
        self.index = index;
        let news = self.value.as_ref() != Some(&value);
        if news {
            self.value = Some(value);
            self.heard = Some(now);
        }
        news || mended
    }

    /// Takes in what another program told at `heard`; true when somebody should be woken.
    pub fn read(&mut self, told: &Answered, heard: Instant) -> bool {
        let mended = self.trouble.take().is_some();
        (self.failures, self.doubted, self.troubled, self.shared) = (0, false, None, true);
        self.since.get_or_insert(heard);
        (self.index, self.answered) = (told.index, Some(heard));
        let is_known =
            self.value.as_ref().is_some_and(|value| Arc::ptr_eq(value, &told.value) || *value == told.value);
        if !is_known {
            self.answers += 1;
            self.heard = Some(Instant::now());
        }
        self.value = Some(Arc::clone(&told.value));
        !is_known || mended
    }

    /// Takes in a failure; true when it is a new one.
    fn fail(&mut self, trouble: &str, doubted: bool, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.failed += 1;
        let news = self.trouble.as_deref() != Some(trouble);
        self.trouble = Some(trouble.to_owned());
        self.shared = false;
        self.doubted = doubted;
        self.troubled.get_or_insert(now);
        self.last_error = Some((now, trouble.to_owned()));
        news
    }
}

/// A bucket of answers that may be taken at once, filled at a steady rate.
#[derive(Debug)]
pub(crate) struct Pace {
    free_from: Instant,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Pace { free_from: now }
    }

    /// How long to wait before the next question, after an answer that cost so much time at the steady rate.
    pub(crate) fn due(&mut self, now: Instant, cost: Duration) -> Duration {
        self.free_from = self.free_from.max(now) + cost.max(PACE);
        self.free_from.saturating_duration_since(now + PACE * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_equal_value_wakes_nobody_and_trouble_keeps_the_value() {
        let now = Instant::now();
        let mut watched = Watched::default();
        assert!(watched.take(Arc::new(json!([1])), 5, now), "the first answer is news");
        assert!(!watched.take(Arc::new(json!([1])), 6, now), "an equal one is not");
        let later = now + Duration::from_secs(1);
        assert!(watched.fail("down", false, later), "trouble is news once");
        assert!(!watched.fail("down", false, later + Duration::from_secs(1)));
        assert_eq!(watched.troubled, Some(later), "it began with the first failure");
        assert_eq!(watched.value.as_deref(), Some(&json!([1])), "the last good value is kept");
        assert!(watched.take(Arc::new(json!([1])), 6, now), "its end is news");
        assert_eq!((watched.failures, watched.troubled), (0, None));
        let told = Answered { index: 7, value: Arc::new(json!([1])) };
        assert!(!watched.read(&told, now), "another tells the same");
        assert_eq!((watched.shared, watched.index), (true, 7));
        assert!(watched.take(Arc::new(json!([1])), 8, now), "that it was asked here is news");
        assert_eq!(
            watched.last_error.map(|(_, said)| said).as_deref(),
            Some("down"),
            "what was wrong is known still"
        );
    }

    #[test]
    fn a_burst_passes_and_a_flood_is_slowed() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert!((0..BURST).all(|_| pace.due(now, PACE).is_zero()), "a burst passes at once");
        assert_eq!(pace.due(now, PACE), PACE);
        assert_eq!(pace.due(now + PACE, PACE), PACE, "one for each interval");
        assert!(pace.due(now + Duration::from_secs(10), PACE).is_zero(), "and the burst fills up again");
    }
}
