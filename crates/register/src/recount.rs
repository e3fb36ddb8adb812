//! Asks the catalog on purpose. A watch tells what changed; that nothing did, of late, only a question tells.

use crate::role::Belief;
use consul::{Client, Instance};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// As long as a Sentinel may take: a catalog that takes longer is out of reach, and no crown waits for it.
const LIMIT: Duration = Duration::from_millis(500);
/// Until one that was out of reach is asked again, while an answer is wanted.
const AGAIN: Duration = Duration::from_secs(1);

/// What the catalog had when it was asked on purpose.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// When it was asked last, whether it answered or not.
    pub asked: Option<Instant>,
    /// The rows of its last answer.
    pub rows: Vec<Instance>,
}

impl Count {
    /// Whether it was asked after `since` (ever, without it).
    #[must_use]
    pub fn is_of(&self, since: Option<Instant>) -> bool {
        self.asked.is_some() && self.asked >= since
    }
}

/// Asks at the start, and again whenever the belief doubts what was said before; until the belief's sender is gone.
pub async fn recount(
    client: &Client,
    service: &str,
    mut belief: watch::Receiver<Belief>,
    count: &watch::Sender<Count>,
) {
    loop {
        let since = belief.borrow_and_update().doubts();
        if count.borrow().is_of(since) {
            if belief.changed().await.is_err() {
                return;
            }
            continue;
        }
        let asked = Instant::now();
        let answer = timeout(LIMIT, client.instances(service)).await.ok().and_then(Result::ok);
        let answered = answer.is_some();
        count.send_modify(|count| {
            count.asked = Some(asked);
            count.rows = answer.unwrap_or_else(|| std::mem::take(&mut count.rows));
        });
        if !answered {
            sleep(AGAIN).await;
        }
    }
}
