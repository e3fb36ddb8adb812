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
        let course: Vec<_> = seen.course(later).into_iter().map(|(at, port)| (at > later, port)).collect();
        assert_eq!(course, [(false, 2), (true, 1)], "2 held already");
    }
}
