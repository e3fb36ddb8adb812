//! What Sentinels say: each one's own answer (`ask`), and what they tell each other through this Redis (`hello`).

pub mod ask;
pub mod hello;

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
    /// The others, as far as it tells their addresses.
    pub others: BTreeSet<Place>,
}

/// A fail-over in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// Who is promoted.
    pub address: Place,
    /// Its run id.
    pub run_id: Option<String>,
    /// The epoch in which it will be named.
    pub epoch: u64,
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

    /// How many Sentinels there are: those that are configured here, or those that one of them knows of.
    #[must_use]
    pub fn known(&self) -> usize {
        let listed = self.0.values().filter(|answer| answer.listed).count();
        self.said().map(|(_, named)| named.known).max().unwrap_or_default().max(listed)
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
