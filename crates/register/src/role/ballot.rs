//! What the witnesses say of one instance, counted: who names it, who promotes it, who speaks for another.

use super::{Belief, Claim, Evidence, Names};
use crate::sentinel::{Failover, Named, Place, Report, hello::FRESH};
use consul::election::Epoch;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// Sentinel chooses whom to promote some 60 ms before it does (measured); a choice older than this is another story.
const CHOICE: Duration = Duration::from_secs(2);

/// What the witnesses say of one instance.
pub(super) struct Ballot {
    /// How many Sentinels name it, of how many known.
    votes: (usize, usize),
    /// The epoch that a majority of those who name it has reached.
    pub quorum: Option<Epoch>,
    /// The latest epoch in which anybody names it.
    pub highest: Option<Epoch>,
    /// The epoch in which a Sentinel has chosen it.
    pub mine: Option<Epoch>,
    /// The epoch in which it is being promoted, when nobody else can become master in that epoch.
    pub promoted: Option<Epoch>,
    /// Who is being promoted in its place.
    pub successor: Option<Choice>,
    /// Another whom a majority names.
    pub chosen: Option<Claim>,
    /// The latest epoch in which another is named.
    pub other: Option<Claim>,
}

/// A Sentinel's choice of another.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Choice {
    /// Who, and in which epoch at least.
    pub claim: Claim,
    /// Whether it does not answer that Sentinel.
    pub lost: bool,
}

impl Ballot {
    pub fn count(of: &Belief, evidence: &Evidence, names: &Names, now: Instant) -> Ballot {
        let report = &evidence.report;
        let who = Who::new(of.run_id(), names, report);
        let fresh = |asked: Instant| of.stint.is_none_or(|began| asked >= began);
        let ours = |named: &Named| who.is_me(named) && named.failover.is_none();
        // Sentinels count within the present generation.
        let epoch = |number: u64| Epoch { generation: of.generation, number };
        let claim =
            |number: u64, (host, port): &Place| Claim { epoch: epoch(number), who: format!("{host}:{port}") };
        let (votes, quorum, highest) = voices(report, fresh, ours);
        let others: BTreeSet<&Place> =
            report.said().filter(|(_, named)| !who.is_me(named)).map(|(_, named)| &named.address).collect();
        let naming = |place: &Place| {
            let (_, epoch, _) = voices(report, fresh, |named| named.address == *place);
            epoch.map(|number| claim(number, place))
        };
        let said = report.said().map(|(_, named)| named).filter(|named| !who.is_me(named));
        let said = said.map(|named| claim(named.epoch, &named.address));
        let heard = evidence.hellos.values().filter(|hello| now.saturating_duration_since(hello.at) <= FRESH);
        let heard = heard
            .filter(|hello| !who.is_mine(&hello.address))
            .map(|hello| claim(hello.epoch, &hello.address));
        let told = said.chain(heard).filter(|claim| of.floor.is_none_or(|floor| claim.epoch.number > floor));
        let other = told.chain(evidence.rival.clone()).chain(evidence.latest.clone()).max();
        let choices = Choices::of(report, &who, of, now);
        let mine = choices.mine.iter().map(|choice| epoch(choice.epoch)).max();
        Ballot {
            votes: (votes, report.known()),
            quorum: quorum.map(epoch),
            highest: highest.map(epoch),
            mine,
            promoted: choices.promoted(of, report, other.as_ref()),
            successor: choices.others.into_iter().max(),
            chosen: others.into_iter().filter_map(naming).max(),
            other,
        }
    }

    pub fn say(&self) -> String {
        let (votes, known) = self.votes;
        format!("{votes} of {known} known Sentinels name it master")
    }
}

/// Whom the Sentinels mean by this instance.
struct Who<'a> {
    run_id: Option<&'a str>,
    names: &'a Names,
    /// An address that a Sentinel gives together with its run id is one of its own, however it came about.
    aliases: BTreeSet<&'a Place>,
}

impl<'a> Who<'a> {
    fn new(run_id: Option<&'a str>, names: &'a Names, report: &'a Report) -> Who<'a> {
        let own = |named: &Named| named.run_id.is_some() && named.run_id.as_deref() == run_id;
        let aliases =
            report.said().filter(|(_, named)| own(named)).map(|(_, named)| &named.address).collect();
        Who { run_id, names, aliases }
    }

    fn is(&self, address: &Place, run_id: Option<&str>) -> bool {
        self.names.0.contains(address) || run_id.is_some() && run_id == self.run_id
    }

    fn is_me(&self, named: &Named) -> bool {
        self.is(&named.address, named.run_id.as_deref())
    }

    fn is_mine(&self, address: &Place) -> bool {
        self.names.0.contains(address) || self.aliases.contains(address)
    }
}

/// Who is being promoted, by Sentinels that said so a moment ago.
struct Choices<'a> {
    mine: Vec<&'a Failover>,
    others: Vec<Choice>,
}

impl<'a> Choices<'a> {
    fn of(report: &'a Report, who: &Who<'_>, of: &Belief, now: Instant) -> Choices<'a> {
        // A choice was made shortly before the stint that it leads to.
        let topical = |asked: Instant| {
            now.saturating_duration_since(asked) <= CHOICE && of.woke.is_none_or(|woke| asked >= woke)
        };
        let all = report.said().filter(|(asked, _)| topical(*asked)).filter_map(|(_, n)| n.failover.as_ref());
        let (mine, others): (Vec<_>, Vec<_>) =
            all.partition(|choice| who.is(&choice.address, choice.run_id.as_deref()));
        let choice = |choice: &Failover| {
            let epoch = Epoch { generation: of.generation, number: choice.epoch };
            let who = format!("{}:{}", choice.address.0, choice.address.1);
            Choice { claim: Claim { epoch, who }, lost: choice.lost }
        };
        Choices { mine, others: others.into_iter().map(choice).collect() }
    }

    /// The epoch in which this instance is promoted, provided that it is known, and that nobody else may get the same:
    /// Sentinels that order at once without a vote, or one that orders while another is elected, take one epoch.
    fn promoted(&self, of: &Belief, report: &Report, other: Option<&Claim>) -> Option<Epoch> {
        let best = self.mine.iter().filter(|choice| choice.certain).max_by_key(|choice| choice.epoch)?;
        let epoch = Epoch { generation: of.generation, number: best.epoch };
        let rivals = self.others.iter().map(|choice| &choice.claim).chain(other);
        let free = rivals.into_iter().all(|rival| rival.epoch < epoch);
        // Whoever else orders meanwhile would have been seen by this, or will see this.
        let known = |since: Instant| {
            report
                .0
                .values()
                .all(|answer| answer.said.is_ok() && answer.asked.is_some_and(|asked| asked > since))
        };
        let alone = of.mine.is_some_and(|(known_epoch, since)| known_epoch == epoch && known(since));
        // What it was crowned for once is not asked again.
        let crowned = of.epoch == Some(epoch);
        (free && (best.elected || alone || crowned)).then_some(epoch)
    }
}

/// How many Sentinels say it, the latest epoch that a majority of all has reached in saying so, and the latest that any
/// has. One Sentinel has one vote, under however many addresses; one that does not tell its id counts only where it was
/// configured.
fn voices(
    report: &Report,
    fresh: impl Fn(Instant) -> bool,
    says: impl Fn(&Named) -> bool,
) -> (usize, Option<u64>, Option<u64>) {
    let mut voters: std::collections::BTreeMap<&str, u64> = Default::default();
    for (address, answer) in &report.0 {
        let Ok(named) = &answer.said else { continue };
        let voter = named.id.as_deref().or(answer.listed.then_some(address));
        if let Some(voter) = voter.filter(|_| answer.asked.is_some_and(&fresh) && says(named)) {
            let epoch = voters.entry(voter).or_insert(named.epoch);
            *epoch = named.epoch.max(*epoch);
        }
    }
    let mut epochs: Vec<u64> = voters.into_values().collect();
    epochs.sort_unstable_by(|one, other| other.cmp(one));
    (epochs.len(), epochs.get(report.majority() - 1).copied(), epochs.first().copied())
}
