//! Who was master when, as one observer saw it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// The changes one observer saw, oldest first. Servers are told apart by their ports.
#[derive(Debug, Clone)]
pub struct Sightings<T = u16>(Arc<Mutex<Vec<(Instant, T)>>>);

impl<T> Default for Sightings<T> {
    fn default() -> Sightings<T> {
        Sightings(Arc::default())
    }
}

impl<T: Clone + PartialEq> Sightings<T> {
    /// Notes what is seen now; only a change is kept.
    pub fn note(&self, what: T) {
        self.note_since(Instant::now(), what);
    }

    /// Notes what has been so since `at`, which is later than anything noted before; only a change is kept.
    pub fn note_since(&self, at: Instant, what: T) {
        let mut seen = self.seen();
        if seen.last().is_none_or(|(_, last)| *last != what) {
            seen.push((at, what));
        }
    }

    /// When `what` was first seen, at `since` or later.
    pub fn first(&self, what: T, since: Instant) -> Option<Instant> {
        self.seen().iter().find(|(at, seen)| *seen == what && *at >= since).map(|(at, _)| *at)
    }

    /// What was seen last.
    pub fn last(&self) -> Option<T> {
        self.seen().last().map(|(_, what)| what.clone())
    }

    /// All that was seen from `since` on, and when; first what held then already.
    pub fn course(&self, since: Instant) -> Vec<(Instant, T)> {
        let seen = self.seen();
        let later = seen.partition_point(|(at, _)| *at <= since);
        let held = seen[..later].last().map(|(_, what)| (since, what.clone()));
        held.into_iter().chain(seen[later..].iter().cloned()).collect()
    }

    fn seen(&self) -> MutexGuard<'_, Vec<(Instant, T)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_changes_count_and_a_return_counts_again() {
        let (seen, start) = (Sightings::default(), Instant::now());
        let at = |n| start + Duration::from_millis(n);
        for (n, port) in [(1, 1), (2, 1), (3, 2), (4, 2), (6, 2)] {
            seen.note_since(at(n), port);
        }
        assert_eq!((seen.first(2, at(5)), seen.last()), (None, Some(2)), "2 was there before");
        seen.note_since(at(7), 1);
        assert_eq!(seen.first(1, at(5)), Some(at(7)), "1 came back");
        assert_eq!((seen.first(1, start), seen.first(2, start)), (Some(at(1)), Some(at(3))));
        assert_eq!(seen.course(at(5)), [(at(5), 2), (at(7), 1)], "2 held already");
    }
}
