//! From sightings to a belief: what this instance is, and under which of Sentinel's epochs it was named master.
//!
//! `ROLE` alone proves little: a master that was replaced keeps answering `master` for about ten seconds. The
//! epoch is what tells two masters apart, so it is only taken from an answer that names *this* instance.

use crate::sentinel::{Answer, Named, Report};
use consul::Role;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// Which life of the instance was seen: a restart, or a connection that tells nothing of one, begins another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Redis' run id; `None` when the instance does not tell it.
    pub run_id: Option<String>,
    /// Number of the connection over which it was seen.
    pub connection: u64,
}

impl Life {
    /// Whether both are certainly the same life.
    fn is(&self, other: &Life) -> bool {
        match (&self.run_id, &other.run_id) {
            (Some(one), Some(other)) => one == other,
            _ => self.connection == other.connection,
        }
    }
}

/// One look at the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// It answered.
    Answer {
        /// What it says it is.
        role: Role,
        /// Which life of it said so.
        life: Life,
    },
    /// It did not, for this reason.
    Failure(String),
}

/// The names under which Sentinel may mean this instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub BTreeSet<(String, u16)>);

/// What is held to be true of the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belief {
    /// The role of the last answer; kept through failures.
    pub role: Option<Role>,
    /// The highest epoch under which Sentinel named this instance, in this stint as master.
    pub epoch: Option<u64>,
    /// Why the last look failed; `None` when it did not.
    pub failure: Option<String>,
    life: Option<Life>,
    /// Answers asked for before this moment speak of an earlier stint.
    stint: Option<Instant>,
    looked: bool,
    awaits_sentinel: bool,
}

impl Belief {
    /// Nothing is known; `sentinel` says whether one is to be asked.
    #[must_use]
    pub fn new(sentinel: bool) -> Self {
        Self {
            role: None,
            epoch: None,
            failure: None,
            life: None,
            stint: None,
            looked: false,
            awaits_sentinel: sentinel,
        }
    }

    /// Takes in one look that ended at `at`.
    #[must_use]
    pub fn saw(self, sighting: Sighting, at: Instant) -> Belief {
        let Sighting::Answer { role, life } = sighting else {
            let Sighting::Failure(why) = sighting else { return self };
            return Belief { failure: Some(why), looked: true, awaits_sentinel: false, ..self };
        };
        let goes_on = self.role == Some(role) && self.life.as_ref().is_some_and(|known| known.is(&life));
        let (epoch, stint) = match (goes_on, self.life.is_some()) {
            (true, _) => (self.epoch, self.stint),
            (false, true) => (None, Some(at)),
            // The first stint began before this program looked, so every answer speaks of it.
            (false, false) => (None, None),
        };
        let awaits_sentinel = self.awaits_sentinel && role == Role::Master;
        Belief {
            role: Some(role),
            epoch,
            failure: None,
            life: Some(life),
            stint,
            looked: true,
            awaits_sentinel,
        }
    }

    /// Takes in the last answers of the sentinels.
    #[must_use]
    pub fn heard(self, report: &Report, names: &Names) -> Belief {
        if self.role != Some(Role::Master) {
            return self;
        }
        // An answer asked for before this stint began may speak of an earlier one.
        let present = |answer: &&Answer| self.stint.is_none_or(|began| answer.asked >= Some(began));
        let me = |named: &&Named| {
            names.0.contains(&named.address)
                || named.run_id.is_some() && named.run_id.as_deref() == self.run_id()
        };
        let said = report.answers.iter().filter(present).filter_map(|answer| answer.said.as_ref().ok());
        let epoch = said.filter(me).map(|named| named.epoch).max().max(self.epoch);
        Belief { epoch, awaits_sentinel: self.awaits_sentinel && !report.complete(), ..self }
    }

    /// The run id of the instance that was last seen.
    #[must_use]
    pub fn run_id(&self) -> Option<&str> {
        self.life.as_ref()?.run_id.as_deref()
    }

    /// Whether the instance answers as master and no sentinel has named it yet: time to ask often.
    #[must_use]
    pub fn unnamed(&self) -> bool {
        self.role == Some(Role::Master) && self.failure.is_none() && self.epoch.is_none()
    }

    /// Whether enough is known to write anything at all. A program that was restarted must not take away the
    /// epoch of a master that its predecessor wrote, so a master waits for the first round of answers.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.looked && !(self.awaits_sentinel && self.unnamed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Role::{Master, Replica};
    use std::time::Duration;

    enum Event {
        Seen(Role, &'static str),
        Unidentified(Role, u64),
        Failed,
        /// Address, run id, epoch; asked at the present step.
        Says(u16, &'static str, u64),
        /// The same, asked `.3` steps ago.
        Said(u16, &'static str, u64, u32),
        NoSentinel,
    }
    use Event::*;

    const STEP: Duration = Duration::from_secs(1);

    fn report(at: Instant, port: u16, run_id: &str, epoch: u64) -> Report {
        let named = Named {
            address: ("10.0.0.7".into(), port),
            run_id: (!run_id.is_empty()).then(|| run_id.to_owned()),
            epoch,
        };
        said(at, Ok(named))
    }

    fn said(at: Instant, said: Result<Named, String>) -> Report {
        Report { answers: vec![Answer { sentinel: "s1:26379".into(), asked: Some(at), said }] }
    }

    fn believe(events: &[Event]) -> Belief {
        let names = Names(BTreeSet::from([("10.0.0.7".into(), 6379)]));
        let mut now = Instant::now();
        let mut belief = Belief::new(true);
        for event in events {
            now += STEP;
            let life = |run_id: &str| Life { run_id: Some(run_id.to_owned()), connection: 1 };
            belief = match *event {
                Seen(role, run_id) => belief.saw(Sighting::Answer { role, life: life(run_id) }, now),
                Unidentified(role, connection) => {
                    belief.saw(Sighting::Answer { role, life: Life { run_id: None, connection } }, now)
                }
                Failed => belief.saw(Sighting::Failure("no answer".into()), now),
                Says(port, run_id, epoch) => belief.heard(&report(now, port, run_id, epoch), &names),
                Said(port, run_id, epoch, ago) => {
                    belief.heard(&report(now - STEP * ago, port, run_id, epoch), &names)
                }
                NoSentinel => belief.heard(&said(now, Err("down".into())), &names),
            };
        }
        belief
    }

    #[test]
    fn the_epoch_is_of_an_answer_that_names_this_instance() {
        for (events, epoch, what) in [
            (vec![Seen(Master, "a")], None, "nobody named it"),
            (vec![Seen(Master, "a"), Says(6379, "", 3)], Some(3), "named by address"),
            (vec![Seen(Master, "a"), Says(1, "a", 3)], Some(3), "named by run id"),
            (vec![Seen(Master, "a"), Says(1, "b", 3)], None, "another is named"),
            (vec![Unidentified(Master, 1), Says(1, "", 3)], None, "an unknown run id equals no unknown one"),
            (vec![Seen(Replica, "a"), Says(6379, "a", 3)], None, "a replica has no epoch"),
            (vec![Seen(Master, "a"), Says(6379, "", 3), Says(6379, "", 5)], Some(5), "it rises"),
            (vec![Seen(Master, "a"), Says(6379, "", 3), Says(6379, "", 2)], Some(3), "and never falls"),
            (vec![Seen(Master, "a"), Says(6379, "", 3), Says(1, "b", 4)], Some(3), "kept when replaced"),
            (vec![Seen(Master, "a"), Says(6379, "", 3), NoSentinel], Some(3), "kept through silence"),
            (vec![Seen(Master, "a"), Says(6379, "", 3), Failed, Seen(Master, "a")], Some(3), "and failures"),
            (vec![Seen(Master, "a"), Says(6379, "", 3), Seen(Replica, "a")], None, "dropped by a replica"),
            (vec![Seen(Master, "a"), Says(6379, "", 3), Seen(Master, "b")], None, "and by a restart"),
            (
                vec![Unidentified(Master, 1), Says(6379, "", 3), Unidentified(Master, 1)],
                Some(3),
                "one connection",
            ),
            (
                vec![Unidentified(Master, 1), Says(6379, "", 3), Unidentified(Master, 2)],
                None,
                "without a run id a new connection may be a new process",
            ),
            (
                vec![
                    Seen(Master, "a"),
                    Says(6379, "", 3),
                    Seen(Replica, "a"),
                    Seen(Master, "a"),
                    Said(6379, "", 3, 2),
                ],
                None,
                "an answer asked for before this stint speaks of the last one",
            ),
            (
                vec![Seen(Master, "a"), Said(6379, "", 3, 5)],
                Some(3),
                "the first stint began before it was seen",
            ),
        ] {
            assert_eq!(believe(&events).epoch, epoch, "{what}");
        }
    }

    #[test]
    fn a_failure_keeps_the_role() {
        let belief = believe(&[Seen(Master, "a"), Says(6379, "", 3), Failed]);
        assert_eq!((belief.role, belief.failure.as_deref()), (Some(Master), Some("no answer")));
        assert!(!belief.unnamed(), "a silent master is not asked about often");
        assert_eq!(believe(&[Failed]).role, None);
    }

    #[test]
    fn nothing_is_said_before_enough_is_known() {
        for (events, settled) in [
            (vec![], false),
            (vec![Failed], true),
            (vec![Seen(Replica, "a")], true),
            (vec![Seen(Master, "a")], false),
            (vec![Seen(Master, "a"), NoSentinel], true),
            (vec![Seen(Master, "a"), Says(6379, "", 3)], true),
            (vec![Seen(Replica, "a"), Seen(Master, "a")], true),
            (vec![Failed, Seen(Master, "a")], true),
        ] {
            assert_eq!(believe(&events).settled(), settled);
        }
    }
}
