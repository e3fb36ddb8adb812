//! An upstream that empties is more often a mistake than the truth: whether a text leaves each backend enough servers.

use super::outline::Outline;
use std::collections::BTreeMap;

/// What a backend that had servers must be left with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enough {
    /// A backend that had so many servers never gets fewer.
    pub least: usize,
    /// What becomes of a text that takes the last server of a backend.
    pub on_empty: OnEmpty,
}

/// What becomes of a text that takes the last server of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnEmpty {
    /// It is taken: that there is no master is an answer too.
    #[default]
    Allow,
    /// It is held back with a warning, and the last good one goes on.
    Keep,
    /// It is an error, and the last good one goes on.
    Fail,
}

/// Why a text is not to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TooFew {
    /// It is to be held back.
    Keep(String),
    /// It is wrong.
    Fail(String),
}

impl Enough {
    /// What is wrong with the step from one configuration to the next.
    #[must_use]
    pub fn misses(self, before: &Outline, next: &Outline) -> Option<TooFew> {
        let had = counts(before);
        let has = counts(next);
        let fewer = || has.iter().filter_map(|(name, has)| Some((name, *has, *had.get(name)?)));
        if let Some((name, has, _)) = fewer().find(|(_, has, had)| *has < self.least && *had >= self.least) {
            return Some(TooFew::Fail(format!(
                "{name} would be left with {has} servers, and min_instances is {}; those of before stay",
                self.least
            )));
        }
        let empties = |word: &str| {
            let (name, ..) = fewer().find(|(_, has, had)| *has == 0 && *had > 0)?;
            Some(format!(
                "{name} would lose its last server, and on_empty is \"{word}\"; those of before stay"
            ))
        };
        match self.on_empty {
            OnEmpty::Allow => None,
            OnEmpty::Keep => empties("keep").map(TooFew::Keep),
            OnEmpty::Fail => empties("fail").map(TooFew::Fail),
        }
    }
}

fn counts(outline: &Outline) -> BTreeMap<&str, usize> {
    outline.proxies().iter().map(|(name, proxy)| (name.as_str(), proxy.servers.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::outline::outline;

    #[test]
    fn a_backend_that_empties_is_said() {
        let two = "backend a\n server x 1.1.1.1:1\n server y 1.1.1.2:1\nbackend b\n";
        let one = "backend a\n server x 1.1.1.1:1\nbackend b\n";
        let none = "backend a\nbackend b\n";
        for (least, on_empty, before, next, expected) in [
            (0, OnEmpty::Allow, two, none, None),
            (2, OnEmpty::Allow, two, one, Some("fail: a would be left with 1 servers")),
            (2, OnEmpty::Allow, one, none, None),
            (1, OnEmpty::Keep, two, none, Some("fail: a would be left with 0 servers")),
            (0, OnEmpty::Keep, two, one, None),
            (0, OnEmpty::Keep, one, none, Some("keep: a would lose its last server")),
            (0, OnEmpty::Fail, one, none, Some("fail: a would lose its last server")),
            (0, OnEmpty::Fail, none, none, None),
            (0, OnEmpty::Keep, none, one, None),
            // A backend that is gone altogether was meant to go.
            (1, OnEmpty::Fail, one, "backend b\n", None),
        ] {
            let misses = Enough { least, on_empty }.misses(&outline(before), &outline(next));
            let said = misses.map(|misses| match misses {
                TooFew::Keep(why) => format!("keep: {why}"),
                TooFew::Fail(why) => format!("fail: {why}"),
            });
            let fits = said.as_deref().is_some_and(|said| expected.is_some_and(|e| said.starts_with(e)));
            assert!(fits || said.is_none() && expected.is_none(), "{least} {on_empty:?} {next}: {said:?}");
        }
    }
}
