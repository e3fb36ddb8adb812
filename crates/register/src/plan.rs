//! The whole policy: what Consul should say of the instance, and what to do about what it says now.

use crate::{
    role::{Belief, Standing},
    words::Words,
};
use consul::{
    HeldService, Registration, Role, Status, TtlCheck,
    instance::{MANY, meta},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Who this instance is; fixed for the life of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Consul service name.
    pub service: String,
    /// Consul service id, one per instance.
    pub id: String,
    /// Where clients reach it.
    pub address: String,
    /// Its port there.
    pub port: u16,
    /// Tags beside the role tag.
    pub tags: Vec<String>,
    /// Meta beside role, epoch and run id.
    pub meta: BTreeMap<String, String>,
    /// What the service calls its roles.
    pub words: Words,
    /// Whether several instances may be master at once.
    pub many: bool,
    /// How long Consul believes a heartbeat.
    pub ttl: Duration,
    /// For how long a replica may have heard nothing of its master.
    pub max_lag: Option<Duration>,
    /// How long Consul keeps an instance that nobody speaks for.
    pub deregister_critical_after: Duration,
}

impl Identity {
    /// The id of its one check; constant, since a changed id would leave the old check behind, critical for ever.
    #[must_use]
    pub fn check_id(&self) -> String {
        format!("rolecall:{}", self.id)
    }

    /// How often a heartbeat is sent: two may be lost before Consul stops to believe.
    #[must_use]
    pub fn beat_every(&self) -> Duration {
        self.ttl / 3
    }
}

/// What Consul should say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// Too little is known to say anything: what Consul says is left alone.
    Undecided,
    /// Nothing: the instance is leaving.
    Absent,
    /// This entry; its check has the wanted status, and this text for people.
    Present(Box<Registration>, String),
}

/// What Consul should say of an instance of which this is believed.
#[must_use]
pub fn desired(me: &Identity, belief: &Belief) -> Desired {
    if !belief.is_settled() {
        return Desired::Undecided;
    }
    let role = belief.standing.role();
    let epoch = belief.epoch.filter(|_| role == Some(Role::Master));
    let mut meta = me.meta.clone();
    let facts = [
        (meta::ROLE, belief.standing.word().map(str::to_owned)),
        (meta::SAYS, Some(belief.word.clone()).filter(|word| !word.is_empty())),
        (meta::CARDINALITY, me.many.then(|| MANY.to_owned())),
        (meta::EPOCH, epoch.map(|epoch| epoch.number.to_string())),
        (meta::LAST_EPOCH, belief.last_epoch().map(|epoch| epoch.number.to_string())),
        (meta::GENERATION, (belief.generation > 0).then(|| belief.generation.to_string())),
        (meta::RUN_ID, belief.run_id().map(str::to_owned)),
    ];
    meta.extend(facts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    let status = match (&belief.failure, belief.standing) {
        (None, Standing::Master | Standing::Replica) => Status::Passing,
        // It answers, and must not be written to: `?passing` leaves it out, and people see why.
        (None, Standing::Candidate | Standing::Fenced) => Status::Warning,
        _ => Status::Critical,
    };
    let entry = Registration {
        id: me.id.clone(),
        name: me.service.clone(),
        tags: me.tags.iter().cloned().chain(role.map(|role| me.words.tag(role).to_owned())).collect(),
        address: me.address.clone(),
        port: me.port,
        meta,
        check: TtlCheck {
            id: me.check_id(),
            name: format!("rolecall: {}", me.service),
            ttl: me.ttl,
            status,
            deregister_critical_after: me.deregister_critical_after,
        },
    };
    Desired::Present(Box::new(entry), output(&me.words, belief))
}

fn output(words: &Words, belief: &Belief) -> String {
    match (&belief.failure, words.name(belief.standing), belief.epoch) {
        (Some(why), _, _) => why.clone(),
        (None, Some(word), Some(epoch)) => format!("{word} in epoch {epoch}: {}", belief.why),
        (None, Some(word), None) => format!("{word}: {}", belief.why),
        (None, None, _) => belief.why.clone(),
    }
}

/// What the agent is known to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// Not known: never read, just written, or the agent is out of reach.
    #[default]
    Unknown,
    /// No entry, or one without its check.
    Absent,
    /// This entry; the hash waits for a change of it.
    Held(HeldService, String),
}

impl Known {
    /// Whether the agent is known to hold exactly this entry.
    #[must_use]
    pub fn is(&self, entry: &Registration) -> bool {
        matches!(self, Known::Held(held, _) if entry.same_as(held))
    }
}

/// The last entry that the agent accepted from this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The entry.
    pub entry: Registration,
    /// When it was accepted.
    pub at: Instant,
}

/// What to do about the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryStep {
    /// Nothing until the wish changes.
    Wait,
    /// Nothing ever again: to take the entry away is the task of `leaving`.
    Stop,
    /// Write it now.
    Register,
    /// Somebody else changes it all the time: write it then.
    Pause(Instant),
    /// Find out what the agent holds.
    Read,
    /// All is well: wait until the agent holds something else.
    Watch,
}

/// Somebody who rewrites our entry is answered, but not in a tight loop.
const FIGHT_PACE: Duration = Duration::from_secs(1);

/// What to do about the entry, given what the agent holds and what it last accepted from this process.
#[must_use]
pub fn entry_step(want: &Desired, known: &Known, written: Option<&Written>, now: Instant) -> EntryStep {
    let entry = match want {
        Desired::Undecided => return EntryStep::Wait,
        Desired::Absent => return EntryStep::Stop,
        Desired::Present(entry, _) => entry,
    };
    // Written once in any case: the predecessor may have registered another TTL or token, which nothing shows.
    let Some(written) = written.filter(|written| same(&written.entry, entry)) else {
        return EntryStep::Register;
    };
    let free = written.at + FIGHT_PACE;
    match known {
        Known::Unknown => EntryStep::Read,
        _ if known.is(entry) => EntryStep::Watch,
        _ if now < free => EntryStep::Pause(free),
        _ => EntryStep::Register,
    }
}

/// Whether both ask for the same entry; the status of a check that exists is the heartbeat's matter.
pub(crate) fn same(one: &Registration, other: &Registration) -> bool {
    let mut one = one.clone();
    one.check.status = other.check.status;
    one == *other
}

/// The status that a heartbeat has to tell now; `None` when it has to keep silent.
///
/// Bad news is told whatever the agent holds. Good news is told only of the wanted entry, so that an entry with
/// an old role never starts to pass; `said` is the status that the agent last accepted.
#[must_use]
pub fn beat(want: &Desired, known: &Known, said: Option<Status>) -> Option<Status> {
    let Desired::Present(entry, _) = want else { return None };
    match (entry.check.status, known) {
        // A registration brings the status along.
        (_, Known::Absent) => None,
        // Nothing was registered or said yet: a heartbeat would overtake the registration.
        (_, Known::Unknown) if said.is_none() => None,
        (Status::Passing, _) if known.is(entry) || said == Some(Status::Passing) => Some(Status::Passing),
        (Status::Passing, _) => None,
        (status, _) => Some(status),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::role::{Evidence, Life, Names, Sighting};

    pub(crate) fn me() -> Identity {
        Identity {
            service: "redis".into(),
            id: "redis-0".into(),
            address: "10.0.0.7".into(),
            port: 6379,
            tags: vec!["v7".into()],
            meta: BTreeMap::from([("pod".into(), "redis-0".into())]),
            words: Words::of_redis(),
            many: false,
            ttl: Duration::from_secs(9),
            max_lag: None,
            deregister_critical_after: Duration::from_secs(60),
        }
    }

    pub(crate) fn seen(role: Role) -> Belief {
        let life = Life { run_id: Some("abc".into()), connection: 1 };
        let word = Words::of_redis().tag(role).to_owned();
        weigh(Belief::new(false).saw(Sighting::Answer { role, word, epoch: None, life }, Instant::now()))
    }

    fn weigh(belief: Belief) -> Belief {
        belief.judged(&Evidence::default(), &Names::default(), Instant::now())
    }

    pub(crate) fn failed(belief: Belief) -> Belief {
        weigh(belief.saw(Sighting::Failure("no answer".into()), Instant::now()))
    }

    pub(crate) fn entry(want: &Desired) -> Registration {
        let Desired::Present(entry, _) = want else { panic!("{want:?}") };
        (**entry).clone()
    }

    pub(crate) fn held(entry: &Registration) -> Known {
        let Registration { id, name, tags, address, port, meta, .. } = entry.clone();
        Known::Held(HeldService { id, name, tags, address, port, meta }, "h".into())
    }

    #[test]
    fn the_entry_says_what_is_believed() {
        let status = |want: &Desired| entry(want).check.status;
        let new = Belief::new(false);
        assert_eq!(desired(&me(), &new), Desired::Undecided, "nothing is said before the first look");

        let master = desired(&me(), &seen(Role::Master));
        assert_eq!(entry(&master).tags, ["v7", "master"]);
        assert_eq!(entry(&master).meta["role"], "primary", "the same word for every service");
        assert_eq!(entry(&master).meta["run_id"], "abc");
        assert_eq!(entry(&master).meta["pod"], "redis-0");
        assert!(!entry(&master).meta.contains_key("epoch"), "no epoch that nobody gave");
        assert_eq!(status(&master), Status::Passing);

        let lost = desired(&me(), &failed(seen(Role::Master)));
        assert_eq!(entry(&lost).tags, ["v7", "master"], "a failure keeps the tags");
        assert_eq!(status(&lost), Status::Critical);

        let never = desired(&me(), &failed(new));
        assert_eq!(entry(&never).tags, ["v7"], "no role before the first answer");
        assert_eq!(status(&never), Status::Critical);
    }

    #[test]
    fn the_entry_is_written_when_it_is_not_there() {
        let now = Instant::now();
        let (old, long_ago) = (now - Duration::from_millis(10), now - Duration::from_secs(10));
        let want = desired(&me(), &seen(Role::Master));
        let critical = desired(&me(), &failed(seen(Role::Master)));
        let replica = desired(&me(), &seen(Role::Replica));
        let written = |want: &Desired, at| Some(Written { entry: entry(want), at });
        let (ours, foreign) = (held(&entry(&want)), held(&entry(&replica)));
        for (want, known, written, step, what) in [
            (&Desired::Undecided, &ours, None, EntryStep::Wait, "undecided"),
            (&Desired::Absent, &ours, written(&want, old), EntryStep::Stop, "leaving"),
            (&want, &ours, None, EntryStep::Register, "a predecessor's entry is written once"),
            (&want, &Known::Unknown, written(&want, old), EntryStep::Read, "just written"),
            (&want, &ours, written(&want, old), EntryStep::Watch, "in sync"),
            (&critical, &ours, written(&want, old), EntryStep::Watch, "a failure is the heartbeat's matter"),
            (&replica, &ours, written(&want, old), EntryStep::Register, "a new role at once"),
            (&want, &Known::Absent, written(&want, long_ago), EntryStep::Register, "lost: at once"),
            (&want, &foreign, written(&want, long_ago), EntryStep::Register, "rewritten: at once"),
            (&want, &foreign, written(&want, old), EntryStep::Pause(old + FIGHT_PACE), "a fight is paced"),
        ] {
            assert_eq!(entry_step(want, known, written.as_ref(), now), step, "{what}");
        }
    }

    #[test]
    fn good_news_is_told_only_of_the_wanted_entry() {
        let passing = desired(&me(), &seen(Role::Replica));
        let critical = desired(&me(), &failed(seen(Role::Replica)));
        let (ours, foreign) = (held(&entry(&passing)), held(&entry(&desired(&me(), &seen(Role::Master)))));
        let (good, bad) = (Some(Status::Passing), Some(Status::Critical));
        for (want, known, said, told) in [
            (&passing, &ours, None, good),
            (&passing, &ours, bad, good),
            (&passing, &foreign, bad, None),
            (&passing, &foreign, None, None),
            (&passing, &foreign, good, good),
            (&passing, &Known::Unknown, None, None),
            (&passing, &Known::Unknown, good, good),
            (&passing, &Known::Absent, good, None),
            (&critical, &ours, good, bad),
            (&critical, &foreign, None, bad),
            (&critical, &Known::Unknown, None, None),
            (&critical, &Known::Unknown, good, bad),
            (&critical, &Known::Absent, None, None),
            (&Desired::Undecided, &ours, good, None),
            (&Desired::Absent, &ours, good, None),
        ] {
            assert_eq!(beat(want, known, said), told, "{want:?} {known:?} {said:?}");
        }
    }
}
