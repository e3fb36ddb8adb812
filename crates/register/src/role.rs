//! From sightings and witnesses to a belief: what this instance is, and in which of Sentinel's epochs it became it.
//!
//! `ROLE` proves that a node is a replica, and no more than that a node takes itself for master: one that was replaced
//! goes on doing so for about ten seconds, and all writes that it takes are lost. So a master is **crowned** by a
//! majority of the known Sentinels, or by the one that is just promoting it; it **holds** the crown while nobody says
//! otherwise; and it is **fenced** at once by a single witness of a later epoch, or by the Sentinel that has chosen
//! another to promote. A stall or a restart forgets the crown, unless all Sentinels are silent: their silence is no
//! witness against it.

mod ballot;
mod evidence;
mod own_word;

pub use evidence::{Claim, Evidence};

use crate::sentinel::Place;
use ballot::Ballot;
use consul::{Role, election::Epoch};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// One life of the instance's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Redis' run id, when it may be asked.
    pub run_id: Option<String>,
    /// Counts the probe's connections: without a run id, a new one may be a new process.
    pub connection: u64,
}

impl Life {
    fn is(&self, other: &Life) -> bool {
        match (&self.run_id, &other.run_id) {
            (Some(one), Some(other)) => one == other,
            _ => self.connection == other.connection,
        }
    }
}

/// What one look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// The instance answered.
    Answer {
        /// What it takes itself for.
        role: Role,
        /// In its own word.
        word: String,
        /// In which epoch, where it knows one.
        epoch: Option<u64>,
        /// In which life.
        life: Life,
    },
    /// It did not, for this reason.
    Failure(String),
}

/// The addresses under which Sentinel may name this instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub BTreeSet<Place>);

/// What an instance is, after all that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It never answered.
    Unknown,
    /// It follows a master.
    Replica,
    /// It is the master.
    Master,
    /// It takes itself for master, and nobody who counts says so.
    Candidate,
    /// It takes itself for master, and another is.
    Fenced,
}

impl Standing {
    /// The value of `Meta.role`; `None` before anything is known.
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        match self {
            Standing::Unknown => None,
            Standing::Replica => Some(Role::Replica.word()),
            Standing::Master => Some(Role::Master.word()),
            Standing::Candidate => Some("candidate"),
            Standing::Fenced => Some("fenced"),
        }
    }

    /// The role whose tag it carries; only these two get traffic.
    #[must_use]
    pub fn role(self) -> Option<Role> {
        match self {
            Standing::Master => Some(Role::Master),
            Standing::Replica => Some(Role::Replica),
            _ => None,
        }
    }
}

/// What is held to be true of the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belief {
    /// What it took itself for at the last good look.
    pub role: Option<Role>,
    /// Its own word for that.
    pub word: String,
    /// What it is.
    pub standing: Standing,
    /// Why, for people.
    pub why: String,
    /// The epoch in which it was crowned.
    pub epoch: Option<Epoch>,
    /// How often epochs began anew, as far as known.
    pub generation: u64,
    /// Why the last look failed.
    pub failure: Option<String>,
    sentinel: bool,
    /// The epoch that it told itself at the last good look.
    told: Option<u64>,
    life: Option<Life>,
    seen: Option<Instant>,
    /// Whether a majority named it in that epoch. Until then another in the same epoch is a witness against it.
    confirmed: bool,
    /// The crown of this life that a stall took away: good for as long as no Sentinel says anything at all.
    lapsed: Option<Epoch>,
    /// The latest epoch in which it was ever crowned, as far as known.
    crowned: Option<Epoch>,
    /// Since when answers of Sentinels count: since this stretch as master began. `None` when it began before this
    /// program looked, so that every answer speaks of it.
    stint: Option<Instant>,
    /// When it was last fenced: the crown is not taken up again on what was said before.
    fenced: Option<Instant>,
    /// When this program, or the whole machine, was last found to have slept: what was asked before is of another time.
    woke: Option<Instant>,
    /// The choice of this instance to be promoted, and since when it is known.
    mine: Option<(Epoch, Instant)>,
    /// The choice of another, and since when.
    successor: Option<(Claim, Instant)>,
    /// The latest epoch in which another was named, by anybody. It is never forgotten: a majority of those who have not
    /// heard of it is no reason to.
    other: Option<Claim>,
    /// Since when a majority names this instance although another was named in a later epoch.
    reborn: Option<Instant>,
    /// Epochs up to this one are of a former time: a single witness of them proves nothing any more.
    floor: Option<u64>,
    /// It was just seen to become master in the life in which it was a replica.
    rises: bool,
    /// What the pointer said when it became so: only after that does it take the next epoch.
    risen: Option<Option<Epoch>>,
    /// The epoch that it has to take from the pointer, and at which index.
    seeks: Option<(Epoch, u64)>,
    settled: bool,
}

/// A gap between two good looks after which a crown is forgotten: no fail-over is decided faster (`down-after` is a
/// second in the most eager deployments). It also catches this program's own freeze.
pub const STALL: Duration = Duration::from_millis(500);
/// After all Sentinels lost their memory, epochs begin again at zero. When a majority has named this instance for so
/// long in spite of a later epoch of another, the later epoch is of a former time.
const REBIRTH: Duration = Duration::from_secs(30);
/// From the choice to the promotion it takes some 60 ms, and a second more until it is told. One that was chosen and is
/// lost blocks its predecessor no longer than this, and not for the fail-over's time limit (180 s by default).
const PATIENCE: Duration = Duration::from_secs(3);

impl Belief {
    /// Before the first look. Without Sentinels, the instance's own word is all there is.
    #[must_use]
    pub fn new(sentinel: bool) -> Self {
        Self {
            role: None,
            word: String::new(),
            standing: Standing::Unknown,
            why: "not looked at yet".into(),
            epoch: None,
            generation: 0,
            failure: None,
            sentinel,
            told: None,
            confirmed: false,
            life: None,
            seen: None,
            lapsed: None,
            crowned: None,
            stint: None,
            fenced: None,
            woke: None,
            mine: None,
            successor: None,
            other: None,
            reborn: None,
            floor: None,
            rises: false,
            risen: None,
            seeks: None,
            settled: false,
        }
    }

    /// Takes in that the machine was suspended for so long, which `Instant` does not count.
    #[must_use]
    pub fn slept(self, asleep: Duration, now: Instant) -> Belief {
        if asleep <= STALL {
            return self;
        }
        let failure = self.role.map(|_| format!("the machine slept for {asleep:?}; it is looked at again"));
        // Long before now, so that the next look finds a gap.
        let seen = self.seen.map(|seen| seen.checked_sub(asleep).unwrap_or(seen));
        Belief { failure: failure.or(self.failure), seen, woke: Some(now), ..self }
    }

    /// Takes in one look.
    #[must_use]
    pub fn saw(self, sighting: Sighting, at: Instant) -> Belief {
        let (role, word, told, life) = match sighting {
            Sighting::Answer { role, word, epoch, life } => (role, word, epoch, life),
            Sighting::Failure(why) => return Belief { failure: Some(why), ..self },
        };
        let same = self.role == Some(role) && self.life.as_ref().is_some_and(|known| known.is(&life));
        let gap = self.seen.map(|seen| at - seen);
        let awake = gap.is_some_and(|gap| gap <= STALL);
        let (epoch, stint) = match (same && awake, self.life.is_some()) {
            (true, _) => (self.epoch, self.stint),
            (false, true) => (None, Some(at)),
            (false, false) => (None, None),
        };
        // Without a failed look in between it was this program that slept: what it said last may be long untrue.
        let slept =
            self.sentinel && self.epoch.is_some() && epoch.is_none() && self.failure.is_none() && same;
        let failure = gap.filter(|_| slept).map(|gap| {
            format!("nothing was seen of it for {gap:?}; the Sentinels are asked whether it is still master")
        });
        let lapsed = self.epoch.or(self.lapsed).filter(|_| same && role == Role::Master);
        let woke = if gap.is_some() && !awake { Some(at) } else { self.woke };
        let confirmed = self.confirmed && epoch.is_some();
        let here = self.life.as_ref().is_some_and(|known| known.is(&life));
        let rises = here && self.role == Some(Role::Replica) && role == Role::Master;
        let (risen, reborn) = (self.risen.filter(|_| same), self.reborn.filter(|_| same));
        let (role, life, seen) = (Some(role), Some(life), Some(at));
        Belief {
            role,
            word,
            told,
            life,
            seen,
            failure,
            epoch,
            confirmed,
            lapsed,
            stint,
            woke,
            rises,
            risen,
            reborn,
            ..self
        }
    }

    /// Weighs all that is known now.
    #[must_use]
    pub fn judged(self, evidence: &Evidence, names: &Names, now: Instant) -> Belief {
        let known = Belief { generation: self.generation.max(evidence.generation), ..self };
        if known.sentinel { known.by_sentinel(evidence, names, now) } else { known.by_own_word(evidence) }
    }

    fn by_sentinel(self, evidence: &Evidence, names: &Names, now: Instant) -> Belief {
        let ballot = Ballot::count(&self, evidence, names, now);
        let early = !evidence.report.complete(self.stint.max(self.fenced)) || evidence.unread;
        let held = self.held(evidence);
        let other = self.other.clone().max(ballot.other.clone());
        let crowned = self.crowned.max(evidence.mine);
        let quorum = ballot.quorum.is_some();
        let lower = self.role == Some(Role::Master) && quorum && ballot.highest < crowned;
        if lower && !early && other.as_ref().map(|other| other.epoch) <= crowned {
            // A majority's word is the truth: they count lower than this instance did, so they began anew.
            return self.anew(crowned.unwrap_or_default()).by_sentinel(evidence, names, now);
        }
        let best = ballot.promoted.max(ballot.quorum.max(held));
        let confirmed = quorum && ballot.quorum >= best || self.confirmed && best == self.epoch;
        let beyond = |claim: &&Claim| Some(claim.epoch) > best;
        let later = |claim: &&Claim| beyond(claim) || !confirmed && Some(claim.epoch) == best;
        let contested = quorum && other.as_ref().filter(beyond).is_some();
        // A moment in which no majority is heard, as after a stall, says nothing against it.
        let unheard = !quorum && ballot.chosen.is_none();
        let reborn = if contested { self.reborn.or(Some(now)) } else { self.reborn.filter(|_| unheard) };
        let reborn = reborn.filter(|_| self.claims(evidence, best));
        let due = contested && reborn.is_some_and(|since| now - since >= REBIRTH);
        if let Some(other) = other.as_ref().filter(|_| due) {
            let floor = Some(other.epoch.number).max(self.floor);
            let anew = self.clone().anew(other.epoch);
            return Belief { floor, other: None, reborn: None, ..anew }.by_sentinel(evidence, names, now);
        }
        let against = ballot.chosen.as_ref().filter(later).or(other.as_ref().filter(later));
        let choice =
            ballot.successor.as_ref().map(|choice| (choice.claim.clone(), self.since(&choice.claim, now)));
        // One that was chosen, and does not answer those who chose it, becomes nobody's master soon, if ever.
        let lost = ballot.successor.as_ref().is_some_and(|choice| choice.lost);
        let waits = choice.as_ref().filter(|(_, since)| !lost || now - *since < PATIENCE);
        let (standing, why) =
            self.verdict(&ballot, held, waits.map(|(claim, _)| claim).filter(later), against);
        // Two Sentinels may not have heard yet what the third knows, or the catalog: a crown that is not worn and that nobody
        // promises is worth an answer, or silence, of each.
        let hasty = standing == Standing::Master && early && !self.is_crowned() && ballot.promoted.is_none();
        let standing = if hasty { Standing::Candidate } else { standing };
        let epoch = if standing == Standing::Master { best } else { self.epoch };
        let epoch = epoch.filter(|_| self.role == Some(Role::Master));
        let known =
            |epoch: Epoch| self.mine.filter(|(known, _)| *known == epoch).map_or(now, |(_, since)| since);
        let mine = ballot.mine.map(|epoch| (epoch, known(epoch)));
        let crowned = crowned.max(epoch);
        let weighed = Belief { other, reborn, epoch, crowned, confirmed, mine, successor: choice, ..self };
        // A replica that was just promoted looks like a stale master until the Sentinels were asked again.
        let open = standing == Standing::Candidate
            || standing == Standing::Fenced && weighed.standing == Standing::Replica;
        // What the catalog remembers of this instance is not overwritten unread.
        let blind = evidence.unread && weighed.standing == Standing::Unknown;
        if open && early && weighed.failure.is_none() || blind {
            // Too early to tell: what was said before is left as it is, for as long as a Sentinel may take to answer.
            return Belief { settled: false, ..weighed };
        }
        let falls = standing == Standing::Fenced && weighed.standing != Standing::Fenced;
        let fenced = if falls { Some(now) } else { weighed.fenced };
        Belief { fenced, ..weighed }.stands(standing, why)
    }

    /// Epochs began anew, after those of the generation of `last`.
    fn anew(self, last: Epoch) -> Belief {
        let generation = last.generation.max(self.generation) + 1;
        Belief { generation, epoch: None, lapsed: None, confirmed: false, ..self }
    }

    /// Since when this choice of another is known.
    fn since(&self, choice: &Claim, now: Instant) -> Instant {
        self.successor.as_ref().filter(|(known, _)| known == choice).map_or(now, |(_, since)| *since)
    }

    /// The crown that nobody has taken away yet.
    fn held(&self, evidence: &Evidence) -> Option<Epoch> {
        let silent = evidence.report.said().next().is_none() && evidence.report.complete(self.stint);
        let own = evidence.own.as_ref().filter(|(run_id, _)| self.run_id() == Some(run_id));
        self.epoch.or(self.lapsed.max(own.map(|(_, epoch)| *epoch)).filter(|_| silent))
    }

    /// Whether it takes itself for master, and no instance that passes does so in a later epoch.
    fn claims(&self, evidence: &Evidence, best: Option<Epoch>) -> bool {
        let rival = evidence.rival.as_ref().is_some_and(|rival| Some(rival.epoch) > best);
        self.role == Some(Role::Master) && !rival
    }

    /// What it is, and why. Its own word comes first: nobody makes a master of a replica.
    fn verdict(
        &self,
        ballot: &Ballot,
        held: Option<Epoch>,
        successor: Option<&Claim>,
        against: Option<&Claim>,
    ) -> (Standing, String) {
        match (self.role, successor, against) {
            (None, ..) => (Standing::Unknown, "it never answered".into()),
            (Some(Role::Replica), ..) => (Standing::Replica, format!("it says {}", self.word)),
            (_, Some(successor), _) => {
                (Standing::Fenced, format!("Sentinel promotes {} in its place", successor.who))
            }
            (_, _, Some(Claim { who, epoch })) => {
                (Standing::Fenced, format!("{who} became master in epoch {epoch}"))
            }
            _ if ballot.quorum.is_some() => (Standing::Master, ballot.say()),
            _ if ballot.promoted.is_some() => (Standing::Master, "Sentinel promotes it".into()),
            _ if held.is_some() => (Standing::Master, format!("it holds: {}", ballot.say())),
            _ => (Standing::Candidate, ballot.say()),
        }
    }

    fn stands(self, standing: Standing, why: impl Into<String>) -> Belief {
        let settled = standing != Standing::Unknown || self.failure.is_some();
        Belief { standing, why: why.into(), settled, ..self }
    }

    /// The run id at the last good look.
    #[must_use]
    pub fn run_id(&self) -> Option<&str> {
        self.life.as_ref()?.run_id.as_deref()
    }

    /// The latest epoch of this generation in which it was master, where it is none now: others have to know it, also when
    /// this program, or all who named it, forget.
    #[must_use]
    pub fn last_epoch(&self) -> Option<Epoch> {
        self.crowned.filter(|epoch| self.standing != Standing::Master && epoch.generation == self.generation)
    }

    /// Since when the catalog has to have been asked, for a crown that nobody promises: since this stretch as master began,
    /// or it was last fenced.
    #[must_use]
    pub fn doubts(&self) -> Option<Instant> {
        self.stint.max(self.fenced).filter(|_| self.sentinel && self.role == Some(Role::Master))
    }

    /// Whether it takes itself for master and is not known to be, or was chosen to become it and is none yet: then Sentinels
    /// are asked often. All that they have to say of a promotion is known by the time it happens.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let open = match self.role {
            Some(Role::Master) => self.standing != Standing::Master || !self.settled,
            _ => self.mine.is_some(),
        };
        self.sentinel && open && self.failure.is_none()
    }

    /// Whether it wears a crown.
    #[must_use]
    pub fn is_crowned(&self) -> bool {
        self.standing == Standing::Master && self.epoch.is_some()
    }

    /// Whether enough is known to say something in Consul.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.settled
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
pub(crate) mod tests;
