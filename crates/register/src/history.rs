//! The last role changes with their reasons, and how often the role of a master was taken away: for people and Prometheus.

use crate::{
    role::{Belief, Standing},
    words::Words,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// What became of the role so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The last changes, oldest first.
    pub changes: VecDeque<Change>,
    /// How often it was fenced, by reason.
    pub fencings: BTreeMap<&'static str, u64>,
}

/// One change of role or epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// When, in Unix milliseconds.
    pub at_ms: f64,
    /// What it was.
    pub was: Option<String>,
    /// What it became.
    pub role: Option<String>,
    /// In which epoch.
    pub epoch: Option<u64>,
    /// Why.
    pub why: String,
}

/// As many as fit on a page.
const MOST: usize = 20;
/// Why an instance is fenced: another is being promoted, or another has a later epoch.
pub const REASONS: [&str; 2] = ["promotion", "epoch"];

impl History {
    /// Takes in a new belief.
    pub fn note(&mut self, before: &Belief, after: &Belief, words: &Words, at_ms: f64) {
        if !after.is_settled() || (before.standing, before.epoch) == (after.standing, after.epoch) {
            return;
        }
        if after.standing == Standing::Fenced && before.standing != Standing::Fenced {
            let reason = REASONS[usize::from(!after.why.starts_with("Sentinel promotes"))];
            *self.fencings.entry(reason).or_default() += 1;
        }
        let name = |belief: &Belief| words.name(belief.standing).map(str::to_owned);
        self.changes.push_back(Change {
            at_ms,
            was: name(before),
            role: name(after),
            epoch: after.epoch.map(|epoch| epoch.number),
            why: after.why.clone(),
        });
        if self.changes.len() > MOST {
            self.changes.pop_front();
        }
    }

    /// For the status page.
    #[must_use]
    pub fn show(&self) -> Value {
        let show = |change: &Change| {
            let Change { at_ms, was, role, epoch, why } = change;
            json!({"at_ms": at_ms, "was": was, "role": role, "epoch": epoch, "why": why})
        };
        self.changes.iter().map(show).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{failed, seen};
    use consul::Role;

    #[test]
    fn changes_are_kept_with_their_reasons_and_fencings_counted() {
        let (replica, master) = (seen(Role::Replica), seen(Role::Master));
        let words = Words::of_redis();
        let mut history = History::default();
        for _ in 0..30 {
            history.note(&replica, &master, &words, 1.0);
            history.note(&master, &failed(master.clone()), &words, 2.0);
            history.note(&master, &replica, &words, 3.0);
        }
        assert_eq!(history.changes.len(), MOST);
        let last = history.changes.back().unwrap();
        assert_eq!(
            (last.was.as_deref(), last.role.as_deref(), last.at_ms),
            (Some("master"), Some("replica"), 3.0)
        );
        assert_eq!(last.why, "it says replica");
        assert_eq!(history.fencings, BTreeMap::new());

        let (mut fenced, mut chosen) = (master.clone(), master.clone());
        (fenced.standing, fenced.why) = (Standing::Fenced, "redis-1 became master in epoch 9".into());
        (chosen.standing, chosen.why) = (Standing::Fenced, "Sentinel promotes redis-1 in its place".into());
        for after in [&fenced, &fenced, &chosen] {
            history.note(&master, after, &words, 4.0);
        }
        history.note(&fenced, &chosen, &words, 5.0);
        assert_eq!(history.fencings, [("epoch", 2), ("promotion", 1)].into());
    }
}
