//! How long to wait before trying again: exponential growth with full jitter, for ever.

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// Pauses that grow from a first to a longest one; each is drawn evenly from zero to its bound, so that many
/// programs that lost the same Consul do not come back in step.
#[derive(Debug)]
pub struct Backoff {
    plan: ExponentialBuilder,
    bounds: ExponentialBackoff,
    longest: Duration,
}

impl Backoff {
    /// Starts at `first` and doubles up to `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        let longest = longest.max(first);
        let plan =
            ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest).without_max_times();
        Self { plan, bounds: plan.build(), longest }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let bound = self.bounds.next().unwrap_or(self.longest);
        bound.mul_f64(fastrand::f64())
    }

    /// Starts over, after something worked.
    pub fn reset(&mut self) {
        self.bounds = self.plan.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_bound_and_never_ends() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let pauses: Vec<_> = (0..1000).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= Duration::from_millis(100));
        assert!(pauses.iter().all(|p| *p <= Duration::from_secs(1)));
        assert!(pauses[10..].iter().any(|p| *p > Duration::from_millis(500)), "late pauses reach far");
        assert!(pauses[10..].iter().any(|p| *p < Duration::from_millis(500)), "and are jittered");
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(100));
    }
}
