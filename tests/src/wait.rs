//! Waiting for a predicate, never for a time: the harness has no other sleep.

use std::{fmt::Display, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use crate::{Outcome, Trouble};

// Short enough not to blur a measurement of tens of milliseconds, long enough to leave the cores to the parts.
const PACE: Duration = Duration::from_millis(10);

/// How long a story waits for a thing that ought to take well under a second, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long one answer may take: who waits for something asks again.
pub const ANSWER: Duration = Duration::from_secs(5);

/// Looks every 10 ms until `look` succeeds. After `limit` it fails with what was awaited and what the last
/// look said.
pub async fn until<T>(
    what: impl Display,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Outcome<T>,
) -> Outcome<T> {
    let end = Instant::now() + limit;
    let mut last = Trouble::new("nothing yet");
    loop {
        match timeout(end.saturating_duration_since(Instant::now()), look()).await {
            Ok(Ok(seen)) => return Ok(seen),
            Ok(Err(why)) => last = why,
            Err(_) => {}
        }
        if Instant::now() >= end {
            return Err(Trouble::new(format!("waited {limit:?} for {what}; last seen: {last}")));
        }
        sleep(PACE).await;
    }
}

/// `Ok` when `holds`, else what was seen instead: the body of most predicates.
pub fn when(holds: bool, seen: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Trouble::new(seen())) }
}
