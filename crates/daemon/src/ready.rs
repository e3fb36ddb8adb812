//! Readiness as a list of what is still awaited.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What the process still waits for. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Ready(Arc<Mutex<BTreeMap<String, usize>>>);

/// Holds readiness back until dropped.
#[derive(Debug)]
#[must_use = "readiness is held back only while this is kept"]
pub struct Awaited {
    ready: Ready,
    name: String,
}

impl Ready {
    /// Adds something to wait for; the same name may be added more than once.
    pub fn await_for(&self, name: impl Into<String>) -> Awaited {
        let name = name.into();
        *self.lock().entry(name.clone()).or_default() += 1;
        Awaited { ready: self.clone(), name }
    }

    /// The names of what is still awaited, sorted; empty means ready.
    pub fn awaited(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// True when nothing is awaited.
    pub fn is_ready(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut names = self.ready.lock();
        if let Some(count) = names.get_mut(&self.name) {
            *count -= 1;
        }
        names.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_it_waits_for() {
        let ready = Ready::default();
        assert!(ready.is_ready());
        let consul = ready.await_for("first answer from consul");
        let probe = ready.await_for(format!("first probe of {}", "redis"));
        let again = ready.clone().await_for("first answer from consul");
        assert_eq!(ready.awaited(), ["first answer from consul", "first probe of redis"]);
        drop((consul, probe));
        assert_eq!(ready.awaited(), ["first answer from consul"]);
        drop(again);
        assert!(ready.is_ready());
    }
}
