//! One rule broken at a time: what the search is worth shows where it must fail.

use super::{search::search, *};

/// A rule that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The epoch of a promotion is guessed one too low.
    EpochTooLow,
    /// Nobody speaks for another.
    FenceIgnored,
    /// One Sentinel is a majority.
    QuorumOfOne,
    /// Whatever a Sentinel said once counts as said now.
    StaleVotes,
    /// Sentinels that were not asked yet are not waited for.
    NotAllAsked,
    /// Nor is the catalog.
    CatalogUnread,
    /// What was witnessed is forgotten.
    WitnessForgotten,
    /// A row does not tell in which epoch its instance was master.
    LastEpochUnwritten,
    /// The renderer keeps no ledger.
    NoLedger,
}

impl Flaw {
    /// Weighs the evidence as one would who breaks the rule.
    pub fn judged(
        flaw: Option<Flaw>,
        belief: &Belief,
        mut seen: Evidence,
        names: &Names,
        now: Instant,
    ) -> Belief {
        let mut belief = belief.clone();
        let answers = &mut seen.report.0;
        let forget = |belief: &mut Belief| belief.other = None;
        match flaw {
            None | Some(Flaw::LastEpochUnwritten | Flaw::NoLedger) => {}
            Some(Flaw::EpochTooLow) => {
                let named = answers.values_mut().filter_map(|answer| answer.said.as_mut().ok());
                named.filter_map(|named| named.failover.as_mut()).for_each(|choice| choice.epoch -= 1);
            }
            Some(Flaw::FenceIgnored) => {
                forget(&mut belief);
                (seen.rival, seen.latest) = (None, None);
                seen.hellos.clear();
                let against = |named: &Named| {
                    let chosen = named.failover.as_ref().map_or(&named.address, |choice| &choice.address);
                    !names.0.contains(chosen)
                };
                for answer in answers.values_mut().filter(|answer| answer.said.as_ref().is_ok_and(against)) {
                    answer.said = Err(String::new());
                }
            }
            Some(Flaw::QuorumOfOne) => {
                for answer in answers.values_mut() {
                    answer.listed = false;
                    if let Ok(named) = &mut answer.said {
                        (named.known, named.quorum) = (1, 1);
                    }
                }
            }
            Some(Flaw::StaleVotes) => {
                answers.values_mut().for_each(|answer| answer.asked = answer.asked.map(|_| now));
            }
            Some(Flaw::NotAllAsked) => {
                let late = |answer: &&mut Answer| answer.asked < belief.stint || answer.asked.is_none();
                for answer in answers.values_mut().filter(late) {
                    (answer.asked, answer.said) = (Some(now), Err(String::new()));
                }
            }
            Some(Flaw::CatalogUnread) => seen.unread = false,
            Some(Flaw::WitnessForgotten) => forget(&mut belief),
        }
        belief.judged(&seen, names, now)
    }

    /// The row that is written.
    pub fn written(flaw: Option<Flaw>, row: Row) -> Row {
        let dropped = flaw == Some(Flaw::LastEpochUnwritten) && row.standing != Some(Standing::Master);
        Row { epoch: row.epoch.filter(|_| !dropped), ..row }
    }

    /// What the renderer remembers.
    pub fn ledger(flaw: Option<Flaw>, followed: Option<Epoch>) -> Option<Epoch> {
        followed.filter(|_| flaw != Some(Flaw::NoLedger))
    }
}

/// Instance 1 is named by a majority; one that has not heard of it is elected, and promotes instance 2.
const NAMED: [Step; 11] = [
    Step::Elect(0, 1),
    Step::Promote(0),
    Step::Look(1),
    Step::Read(1),
    Step::Conclude(0),
    Step::Hello(0, 2),
    Step::Ask(1, 0),
    Step::Ask(1, 1),
    Step::Ask(1, 2),
    Step::Elect(1, 2),
    Step::Promote(1),
];
/// Instance 1 followed instance 0, and then everything stood still for a while.
const STALLED: [Step; 8] = [
    Step::Elect(0, 1),
    Step::Ask(1, 0),
    Step::Promote(0),
    Step::Look(1),
    Step::Render,
    Step::Conclude(0),
    Step::Pause,
    Step::Look(0),
];

/// Each with how it shows.
fn flaws() -> Vec<(Flaw, Vec<Step>, Chance, &'static str)> {
    let none = Chance::default();
    let strict = Chance { strict: true, ..none };
    let blind = Chance { blind: true, ..strict };
    let one_epoch = "are crowned in one epoch";
    let anew = "is advertised anew";
    // The one Sentinel that knows told, and died.
    let told: Vec<Step> = [&STALLED[..6], &[Step::Ask(0, 0), Step::Die(0)], &STALLED[6..]].concat();
    // Its successor's agent was restarted meanwhile, and finds nobody who names it.
    let restarted = [Step::Die(0), Step::Restart(1), Step::Read(1), Step::Look(1)];
    let asked = [Step::Ask(1, 0), Step::Ask(1, 1), Step::Ask(1, 2)];
    let forgot: Vec<Step> = [&STALLED[..6], &restarted, &asked, &STALLED[6..]].concat();
    let dead: Vec<Step> = [&STALLED[..6], &[Step::Die(0)], &STALLED[6..]].concat();
    let orders =
        [Step::Order(0, 1), Step::Promote(0), Step::Conclude(0), Step::Order(2, 2), Step::Promote(2)];
    let looked = [Step::Conclude(2), Step::Look(1), Step::Read(1), Step::Look(2), Step::Read(2)];
    let orders: Vec<Step> = [&orders[..], &looked, &asked, &[Step::Ask(2, 0), Step::Ask(2, 1)]].concat();
    vec![
        (Flaw::EpochTooLow, NAMED.to_vec(), none, one_epoch),
        (Flaw::FenceIgnored, STALLED.to_vec(), strict, anew),
        (Flaw::QuorumOfOne, orders, Chance { twice: true, ..none }, one_epoch),
        (Flaw::StaleVotes, STALLED.to_vec(), blind, anew),
        (Flaw::NotAllAsked, STALLED.to_vec(), blind, anew),
        (Flaw::CatalogUnread, dead, strict, anew),
        (Flaw::WitnessForgotten, told, blind, anew),
        (Flaw::LastEpochUnwritten, forgot, strict, anew),
        (Flaw::NoLedger, STALLED[..7].to_vec(), none, "the renderer went back"),
    ]
}

#[test]
fn a_rule_that_is_broken_is_found() {
    for (flaw, scene, left, how) in flaws() {
        let found = search(&scene, Chance { flaw: Some(flaw), ..left }, 20_000);
        let why = found.expect_err(&format!("{flaw:?} was not found"));
        assert!(why.contains(how), "{flaw:?}: {why}");
        println!("{flaw:?}: {why}");
        let (depth, worlds) =
            search(&scene, left, 500).unwrap_or_else(|why| panic!("without {flaw:?}: {why}"));
        println!("    without it: {worlds} worlds, {depth:?}");
    }
}
