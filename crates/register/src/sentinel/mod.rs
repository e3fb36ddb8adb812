//! What Sentinels say: each one's own answer (`ask`, `reply`), and what they tell each other through this Redis
//! (`hello`); and what else this instance is called (`aliases`).

pub mod aliases;
pub mod ask;
pub mod hello;
pub mod reply;

use crate::probe::link::Address;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// A host and a port, as Sentinel writes them.
pub type Place = (String, u16);

/// What one Sentinel said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The Sentinel's own id: one Sentinel may be known under several addresses.
    pub id: Option<String>,
    /// Whom it holds to be master.
    pub address: Place,
    /// That server's run id, as it last saw it; unknown while it replaces the master.
    pub run_id: Option<String>,
    /// The epoch in which that server was named.
    pub epoch: u64,
    /// The fail-over that this Sentinel leads, from the moment it chose whom to promote.
    pub failover: Option<Failover>,
    /// How many Sentinels there are by its count, itself included.
    pub known: usize,
    /// How many have to agree, as its own configuration says.
    pub quorum: usize,
    /// The others that it knows, by id.
    pub others: BTreeMap<String, Peer>,
}

/// What a Sentinel holds of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it is; `None` when another took its address.
    pub place: Option<Place>,
    /// Whether it was replaced, or has been down for a minute.
    pub gone: bool,
}

/// A fail-over in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// Who is promoted.
    pub address: Place,
    /// Its run id.
    pub run_id: Option<String>,
    /// The epoch in which it will be named, or the least that it can be.
    pub epoch: u64,
    /// Whether that epoch is known, by votes or by announcement.
    pub certain: bool,
    /// Whether others voted for the Sentinel that promotes. An order by hand (`SENTINEL FAILOVER`) takes an epoch that
    /// another Sentinel may take too.
    pub elected: bool,
    /// Whether the one that was chosen does not answer the Sentinel.
    pub lost: bool,
}

/// One Sentinel's place in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When it was asked last; `None` before the first time.
    pub asked: Option<Instant>,
    /// What it said, or why it said nothing.
    pub said: Result<Named, String>,
    /// Whether it was configured here, and not found through another.
    pub listed: bool,
}

/// The last answer of each Sentinel, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(pub BTreeMap<String, Answer>);

/// Fewer configured Sentinels cannot be told from a part of a larger group.
const LEAST: usize = 3;

impl Report {
    /// Before anybody was asked.
    pub fn new(sentinels: impl IntoIterator<Item = String>) -> Self {
        let silent = || Answer { asked: None, said: Err("not asked yet".into()), listed: true };
        Report(sentinels.into_iter().map(|sentinel| (sentinel, silent())).collect())
    }

    /// What was said, and when it was asked for.
    pub fn said(&self) -> impl Iterator<Item = (Instant, &Named)> {
        self.0.values().filter_map(|answer| Some((answer.asked?, answer.said.as_ref().ok()?)))
    }

    /// Whether every Sentinel was asked, after `since` if that is given.
    #[must_use]
    pub fn complete(&self, since: Option<Instant>) -> bool {
        self.0.values().all(|answer| answer.asked.is_some() && answer.asked >= since)
    }

    /// How many Sentinels there are: those that are configured here, or those that one of them knows of. Those that are
    /// gone do not count where every configured one answers, at least three: then all that may exist have spoken.
    #[must_use]
    pub fn known(&self) -> usize {
        let listed = self.0.values().filter(|answer| answer.listed).count();
        let all_answer = self.0.values().all(|answer| !answer.listed || answer.said.is_ok());
        let gone = if listed >= LEAST && all_answer { self.gone() } else { BTreeSet::new() };
        let others = |named: &Named| named.others.keys().filter(|id| gone.contains(id.as_str())).count();
        let known = self.said().map(|(_, named)| named.known.saturating_sub(others(named)));
        known.max().unwrap_or_default().max(listed)
    }

    /// The ids that some Sentinel remembers, and that each which does calls gone. Sentinels never forget one another by
    /// themselves, and count all of them when a majority has to agree.
    #[must_use]
    pub fn gone(&self) -> BTreeSet<&str> {
        let all = || self.said().flat_map(|(_, named)| &named.others);
        let present = |id: &String| {
            all().any(|(other, peer)| other == id && !peer.gone)
                || self.said().any(|(_, named)| named.id.as_ref() == Some(id))
        };
        all().map(|(id, _)| id).filter(|id| !present(id)).map(String::as_str).collect()
    }

    /// Found through another, silent, and known to none of those who answer: nobody waits for it.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        let (told, answered) = (self.told(), self.said().next().is_some());
        let known = move |address: &str| told.iter().any(|place| Address::from(place).to_string() == address);
        let silent = self.0.iter().filter(|(_, answer)| !answer.listed && answer.said.is_err());
        silent.map(|(address, _)| address.as_str()).filter(move |address| answered && !known(address))
    }

    /// What to do about those who are gone; `None` when nobody is.
    #[must_use]
    pub fn remedy(&self, master: &str) -> Option<String> {
        let gone: Vec<&str> = self.gone().into_iter().map(|id| id.get(..8).unwrap_or(id)).collect();
        let (gone, count) = (gone.join(", "), gone.len());
        (count > 0).then(|| {
            format!(
                "{count} Sentinels are gone and still remembered ({gone}), and each counts when a majority has to agree \
                 on a fail-over: run `SENTINEL RESET {master}` at each Sentinel that is left, one after the other with \
                 30 s between, and keep their folders on volumes that last"
            )
        })
    }

    /// Where the others are that any Sentinel knows and none calls gone for certain.
    #[must_use]
    pub fn told(&self) -> BTreeSet<Place> {
        self.said()
            .flat_map(|(_, named)| named.others.values())
            .filter_map(|peer| peer.place.clone())
            .collect()
    }

    /// How many have to name a master: more than half, and no fewer than the Sentinels themselves ask for.
    #[must_use]
    pub fn majority(&self) -> usize {
        let asked_for = self.said().map(|(_, named)| named.quorum).max().unwrap_or_default();
        (self.known() / 2 + 1).max(asked_for)
    }

    /// The newest word: of several, the one with the highest epoch.
    #[must_use]
    pub fn newest(&self) -> Option<&Named> {
        self.said().map(|(_, named)| named).max_by_key(|named| named.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str, known: usize, others: &[(&str, bool)]) -> Named {
        let others = others.iter().map(|(id, gone)| ((*id).to_owned(), Peer { place: None, gone: *gone }));
        Named {
            id: Some(id.into()),
            address: ("10.0.0.1".into(), 6379),
            run_id: None,
            epoch: 1,
            failover: None,
            known,
            quorum: 2,
            others: others.collect(),
        }
    }

    fn report(said: &[(&str, bool, Option<Named>)], now: Instant) -> Report {
        let answers = said.iter().map(|(address, listed, named)| {
            let said = named.clone().ok_or_else(|| "down".to_owned());
            ((*address).to_owned(), Answer { asked: Some(now), said, listed: *listed })
        });
        Report(answers.collect())
    }

    #[test]
    fn ids_that_are_left_behind_do_not_make_a_majority_impossible() {
        let now = Instant::now();
        let dead = [("x", true), ("y", true), ("z", true)];
        let of = |id: &str, others: &[(&str, bool)]| Some(named(id, 6, &[&dead[..], others].concat()));
        let (a, b, c) = (
            of("a", &[("b", false), ("c", false)]),
            of("b", &[("a", false), ("c", false)]),
            of("c", &[("a", false), ("b", false)]),
        );
        let all = report(&[("1", true, a.clone()), ("2", true, b.clone()), ("3", true, c.clone())], now);
        assert_eq!((all.gone().len(), all.known(), all.majority()), (3, 3, 2));
        let silent = report(&[("1", true, a.clone()), ("2", true, b.clone()), ("3", true, None)], now);
        assert_eq!((silent.known(), silent.majority()), (6, 4), "those who are silent here may be elsewhere");
        let few = report(&[("1", true, a.clone()), ("2", true, b.clone()), ("3", false, c.clone())], now);
        assert_eq!(few.known(), 6, "two that are configured may be a part of more");
        let seen = of("c", &[("a", false), ("b", false), ("x", false)]);
        let seen = report(&[("1", true, a), ("2", true, b), ("3", true, seen)], now);
        assert!(!seen.gone().contains("x"), "one of them sees it");
    }
}
