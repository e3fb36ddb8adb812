//! Asks the catalog on purpose. A watch tells what changed; that nothing did, of late, only a question tells.

use crate::role::Belief;
use consul::{ClientError, Instance};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// As long as a Sentinel may take: a catalog that takes longer is out of reach, and no crown waits for it. One that
/// refuses at once is tried again until then.
const LIMIT: Duration = Duration::from_millis(500);
/// Until one that refused is asked again within that time.
const SOON: Duration = Duration::from_millis(50);
/// How long the question waits where no crown depends on it: the news that there is a master go to Consul first.
const LATER: Duration = Duration::from_millis(250);
/// Until one that was out of reach is asked again, while an answer is wanted.
const AGAIN: Duration = Duration::from_secs(1);

/// What the catalog had when it was asked on purpose.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// When it was asked last, whether it answered within the limit or not.
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
pub async fn recount<Asking: Future<Output = Result<Vec<Instance>, ClientError>>>(
    ask: impl Fn() -> Asking,
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
        let _later = timeout(LATER, belief.wait_for(|belief| !belief.is_crowned())).await.is_err();
        let asked = Instant::now();
        let answer = timeout(LIMIT, insist(&ask)).await.ok();
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

/// Asks until there is an answer: a refusal says nothing of who is master.
async fn insist<Asking: Future<Output = Result<Vec<Instance>, ClientError>>>(
    ask: &impl Fn() -> Asking,
) -> Vec<Instance> {
    loop {
        if let Ok(rows) = ask().await {
            return rows;
        }
        sleep(SOON).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::tests::crowned;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    /// Refuses so often, then answers; gives back when that counted as asked, after the start.
    async fn counted(belief: Belief, refusals: usize) -> (Duration, usize) {
        let tries = Arc::new(AtomicUsize::new(0));
        let ask = {
            let tries = Arc::clone(&tries);
            move || {
                let refused = ClientError::Refused {
                    status: 500,
                    asked: "GET x".into(),
                    said: "No cluster leader".into(),
                };
                let refuses = tries.fetch_add(1, Ordering::Relaxed) < refusals;
                std::future::ready(if refuses { Err(refused) } else { Ok(vec![]) })
            }
        };
        let (_belief, believed) = watch::channel(belief);
        let (count, mut seen) = watch::channel(Count::default());
        let start = Instant::now();
        tokio::spawn(async move { recount(ask, believed, &count).await });
        seen.wait_for(|count| count.asked.is_some()).await.unwrap();
        (start.elapsed(), tries.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refuses_at_once_has_not_been_asked() {
        let new = || Belief::new(true);
        assert_eq!(counted(new(), 0).await, (Duration::ZERO, 1));
        assert_eq!(counted(new(), 2).await, (2 * SOON, 3), "it is asked again, and that answer counts");
        let (after, tries) = counted(new(), usize::MAX).await;
        assert!(after >= LIMIT && tries > 5, "no crown waits for ever: {after:?}, {tries} tries");
    }

    #[tokio::test(start_paused = true)]
    async fn where_no_crown_waits_for_it_the_question_comes_later() {
        assert_eq!(counted(crowned(), 0).await, (LATER, 1));
        let (believed, belief) = watch::channel(crowned());
        let (count, mut seen) = watch::channel(Count::default());
        let start = Instant::now();
        tokio::spawn(async move { recount(|| std::future::ready(Ok(vec![])), belief, &count).await });
        sleep(LATER / 5).await;
        believed.send_replace(Belief::new(true));
        seen.wait_for(|count| count.asked.is_some()).await.unwrap();
        assert_eq!(start.elapsed(), LATER / 5, "at once when the crown is gone");
    }
}
