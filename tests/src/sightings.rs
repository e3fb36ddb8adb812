//! Who was master when, as one observer saw it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// The changes one observer saw, oldest first. Servers are told apart by their ports.
#[derive(Debug, Clone, Default)]
pub struct Sightings(Arc<Mutex<Vec<(Instant, u16)>>>);

impl Sightings {
    /// Notes what is seen now; only a change is kept.
    pub fn note(&self, port: u16) {
        let mut seen = self.seen();
        if seen.last().is_none_or(|(_, last)| *last != port) {
            seen.push((Instant::now(), port));
        }
    }

    /// When `port` was first seen, at `since` or later.
    pub fn first(&self, port: u16, since: Instant) -> Option<Instant> {
        self.seen().iter().find(|(at, seen)| *seen == port && *at >= since).map(|(at, _)| *at)
    }

    /// What was seen last.
    pub fn last(&self) -> Option<u16> {
        self.seen().last().map(|(_, port)| *port)
    }

    fn seen(&self) -> MutexGuard<'_, Vec<(Instant, u16)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_changes_count_and_a_return_counts_again() {
        let seen = Sightings::default();
        let start = Instant::now();
        for port in [1, 1, 2, 2] {
            seen.note(port);
        }
        let later = Instant::now();
        seen.note(2);
        assert_eq!((seen.first(2, later), seen.last()), (None, Some(2)), "2 was there before");
        seen.note(1);
        assert!(seen.first(1, later).is_some(), "1 came back");
        assert!(seen.first(1, start) < seen.first(2, start));
    }
}
