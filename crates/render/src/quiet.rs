//! When to act on a burst of changes: once it is quiet, but not later than a limit.

use std::time::Duration;
use tokio::time::Instant;

/// How long to wait. Zero for `min` acts at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// After the last change.
    pub min: Duration,
    /// After the first.
    pub max: Duration,
}

/// A burst in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quiet(Option<(Instant, Instant)>);

impl Quiet {
    /// Takes in one change.
    #[must_use]
    pub fn stir(self, now: Instant, patience: Patience) -> Quiet {
        let first = self.0.map_or(now, |(first, _)| first);
        Quiet(Some((first, (now + patience.min).min(first + patience.max.max(patience.min)))))
    }

    /// When to act; `None` when nothing changed.
    #[must_use]
    pub fn due(self) -> Option<Instant> {
        self.0.map(|(_, due)| due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_quiet_but_not_for_ever() {
        let patience = Patience { min: Duration::from_secs(2), max: Duration::from_secs(5) };
        let start = Instant::now();
        let due = |stirs: &[u64]| {
            stirs
                .iter()
                .fold(Quiet::default(), |q, &s| q.stir(start + Duration::from_secs(s), patience))
                .due()
        };
        assert_eq!(due(&[]), None);
        assert_eq!(due(&[0]), Some(start + Duration::from_secs(2)));
        assert_eq!(due(&[0, 1]), Some(start + Duration::from_secs(3)));
        assert_eq!(due(&[0, 1, 2, 3, 4]), Some(start + Duration::from_secs(5)));
        assert_eq!(
            Quiet::default().stir(start, Patience::default()).due(),
            Some(start),
            "no patience, no wait"
        );
    }
}
