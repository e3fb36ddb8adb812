//! The epoch pointer: one key in Consul that names the master of a service and its epoch, written by compare-and-set, so
//! that each epoch has one holder and none comes back.
//!
//! With Sentinel it is a floor that survives the loss of every entry in the catalog and of every Sentinel's memory. Without
//! Sentinel it is what gives epochs.

pub mod order;

use crate::{
    plan::Identity,
    role::{Belief, Standing},
};
use consul::{Client, ClientError, Watched, election::Epoch};
use serde_json::{Value, json};
use std::{fmt, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The layout of the value.
const VERSION: u64 = 1;

/// What the key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// The latest epoch.
    pub epoch: Epoch,
    /// Who became master in it; nobody after an operator's reset.
    pub holder: Option<Holder>,
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Some(Holder { id, address, .. }) => {
                write!(f, "{id} ({address}) became master in epoch {}", self.epoch)
            }
            None => write!(f, "nobody is master in epoch {}", self.epoch),
        }
    }
}

/// A master that the pointer names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Consul service id.
    pub id: String,
    /// Which life of it.
    pub run_id: Option<String>,
    /// Where clients reach it.
    pub address: String,
}

/// What is known of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// There is no pointer: no `lock {}`.
    #[default]
    None,
    /// Not read yet.
    Unread,
    /// It cannot be used, for this reason.
    Trouble(String),
    /// What it holds (nothing: the key is not there), and at which index.
    Read(Option<Pointer>, u64),
}

impl Sight {
    /// What a watch on the key heard.
    #[must_use]
    pub fn of(heard: &Watched) -> Sight {
        match (&heard.value, &heard.trouble) {
            (Some(value), _) if value.is_null() => Sight::Read(None, 0),
            (Some(value), _) => match Pointer::parse(value["Value"].as_str().unwrap_or_default()) {
                Ok(pointer) => Sight::Read(Some(pointer), value["ModifyIndex"].as_u64().unwrap_or_default()),
                Err(why) => Sight::Trouble(why),
            },
            (None, Some(trouble)) => Sight::Trouble(trouble.clone()),
            (None, None) => Sight::Unread,
        }
    }

    /// The pointer, where it is known and there is one.
    #[must_use]
    pub fn pointer(&self) -> Option<&Pointer> {
        match self {
            Sight::Read(pointer, _) => pointer.as_ref(),
            _ => None,
        }
    }
}

/// The key of a service under the configured prefix.
#[must_use]
pub fn key(prefix: &str, service: &str) -> String {
    format!("{prefix}/{service}")
}

impl Pointer {
    /// Reads the value of the key.
    pub fn parse(text: &str) -> Result<Pointer, String> {
        let value: Value = serde_json::from_str(text).map_err(|e| format!("it holds no JSON ({e})"))?;
        let epoch = Epoch::read(&value).filter(|_| value["version"] == VERSION);
        let epoch = epoch.ok_or_else(|| format!("it holds no epoch of version {VERSION}"))?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let holder = text("id").map(|id| Holder {
            id,
            run_id: text("run_id"),
            address: text("address").unwrap_or_default(),
        });
        Ok(Pointer { epoch, holder })
    }

    /// The value of the key.
    #[must_use]
    pub fn show(&self) -> String {
        let mut value = self.epoch.show();
        value["version"] = json!(VERSION);
        if let Some(Holder { id, run_id, address }) = &self.holder {
            value["id"] = json!(id);
            value["run_id"] = json!(run_id);
            value["address"] = json!(address);
        }
        value.to_string()
    }

    /// Whom it names, unless that is `id`.
    #[must_use]
    pub fn other(&self, id: &str) -> Option<&Holder> {
        self.holder.as_ref().filter(|holder| holder.id != id)
    }
}

/// What to write, and at which index of the key, so that exactly one of several who want to gets through.
#[must_use]
pub fn step(me: &Identity, belief: &Belief, sight: &Sight) -> Option<(Pointer, u64)> {
    let Sight::Read(present, index) = sight else { return None };
    let holder = Holder {
        id: me.id.clone(),
        run_id: belief.run_id().map(str::to_owned),
        address: format!("{}:{}", me.address, me.port),
    };
    if let Some((epoch, at)) = belief.seeks() {
        return (at == *index).then_some((Pointer { epoch, holder: Some(holder) }, at));
    }
    let epoch = belief.epoch.filter(|_| belief.standing == Standing::Master && belief.failure.is_none())?;
    let next = Pointer { epoch, holder: Some(holder) };
    let write = match present {
        None => true,
        Some(present) if present.epoch == epoch => present.other(&me.id).is_none() && *present != next,
        Some(present) => present.epoch < epoch,
    };
    write.then_some((next, *index))
}

/// Keeps the pointer at what is believed, until the belief's sender is gone. What fails is told in `trouble`, and tried
/// again; nothing else waits for it.
pub async fn keep(
    client: &Client,
    key: &str,
    me: &Identity,
    mut belief: watch::Receiver<Belief>,
    mut heard: watch::Receiver<Watched>,
    trouble: &watch::Sender<Option<String>>,
) {
    let mut backoff = client.backoff();
    let mut again = None;
    loop {
        let sight = Sight::of(&heard.borrow_and_update());
        let wanted = step(me, &belief.borrow_and_update(), &sight);
        let pausing = again.is_some_and(|again| Instant::now() < again);
        if let Some((pointer, index)) = wanted.filter(|_| !pausing) {
            // When somebody else was faster, the watch tells who.
            let done = client.compare_and_set(key, &pointer.show(), index).await;
            if matches!(done, Ok(true)) {
                tracing::info!(id = me.id, key, epoch = %pointer.epoch, "the epoch pointer names this instance");
            }
            let pause = if done.is_ok() { POLL } else { backoff.pause() };
            again = Some(Instant::now() + pause);
            tell(me, key, done.err(), trouble);
        }
        tokio::select! {
            changed = belief.changed() => if changed.is_err() { return },
            Ok(()) = heard.changed() => again = None,
            () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => again = None,
        }
    }
}

/// The answer to a write reaches the watch within milliseconds; one that does not is asked for again.
const POLL: Duration = Duration::from_secs(1);

fn tell(me: &Identity, key: &str, error: Option<ClientError>, trouble: &watch::Sender<Option<String>>) {
    let error = error.map(|error| match error.denied() {
        Some(right) => format!(
            "the Consul token may not write the epoch pointer: it lacks {right}; give it the policy \
             key \"{key}\" {{ policy = \"write\" }}"
        ),
        None => format!("the epoch pointer {key} cannot be written: {error}"),
    });
    trouble.send_if_modified(|known| {
        let news = *known != error;
        if let Some(error) = error.as_ref().filter(|_| news) {
            tracing::warn!(id = me.id, "{error}");
        }
        *known = error;
        news
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::tests::me,
        role::{Evidence, Life, Names, Sighting},
    };
    use consul::Role;

    fn named(id: &str, number: u64) -> Pointer {
        let holder = Holder { id: id.into(), run_id: Some("r".into()), address: "10.0.0.7:6379".into() };
        Pointer { epoch: number.into(), holder: Some(holder) }
    }

    /// One instance without Sentinel, which looks again and again in one moment: it never sleeps.
    struct Node {
        belief: Belief,
        id: &'static str,
        now: Instant,
    }

    impl Node {
        fn new(id: &'static str) -> Node {
            Node { belief: Belief::new(false), id, now: Instant::now() }
        }

        fn looks(&mut self, role: Role, run_id: &str, key: &(Option<Pointer>, u64)) -> Standing {
            let life = Life { run_id: Some(run_id.into()), connection: 1 };
            let seen = Sighting::Answer { role, word: role.to_string(), epoch: None, life };
            let pointer = Sight::Read(key.0.clone(), key.1);
            let evidence = Evidence::of(self.id, false, &[], pointer);
            let belief = self.belief.clone().saw(seen, self.now);
            self.belief = belief.judged(&evidence, &Names::default(), self.now);
            self.belief.standing
        }

        /// What its program does with the key now, as Consul would do it.
        fn writes(&self, sight: &(Option<Pointer>, u64), key: &mut (Option<Pointer>, u64)) {
            let me = Identity { id: self.id.into(), ..me() };
            if let Some((pointer, index)) = step(&me, &self.belief, &Sight::Read(sight.0.clone(), sight.1))
                && index == key.1
            {
                *key = (Some(pointer), key.1 + 1);
            }
        }
    }

    fn holder(key: &(Option<Pointer>, u64)) -> (String, u64) {
        let pointer = key.0.as_ref().unwrap();
        (pointer.holder.as_ref().unwrap().id.clone(), pointer.epoch.number)
    }

    #[test]
    fn the_value_of_the_key_is_what_is_documented() {
        let text =
            r#"{"address":"10.0.0.7:6379","epoch":4,"generation":0,"id":"redis-0","run_id":"r","version":1}"#;
        assert_eq!(named("redis-0", 4).show(), text);
        assert_eq!(Pointer::parse(text), Ok(named("redis-0", 4)));
        let nobody = Pointer { epoch: Epoch { generation: 2, number: 0 }, holder: None };
        assert_eq!(Pointer::parse(&nobody.show()), Ok(nobody));
        for broken in ["", "x", "{}", r#"{"version":2,"epoch":1,"generation":0}"#] {
            assert!(Pointer::parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn of_two_that_are_promoted_at_once_one_gets_the_epoch() {
        let mut key = (Some(named("a", 7)), 3);
        let (mut b, mut c) = (Node::new("b"), Node::new("c"));
        for node in [&mut b, &mut c] {
            assert_eq!(node.looks(Role::Replica, "r", &key), Standing::Replica);
            assert_eq!(
                node.looks(Role::Master, "r", &key),
                Standing::Candidate,
                "it has to take the pointer first"
            );
        }
        let seen = key.clone();
        b.writes(&seen, &mut key);
        c.writes(&seen, &mut key);
        assert_eq!(holder(&key), ("b".into(), 8));
        assert_eq!((b.looks(Role::Master, "r", &key), b.belief.epoch), (Standing::Master, Some(8.into())));
        assert_eq!(c.looks(Role::Master, "r", &key), Standing::Candidate, "it does not try again");
        let seen = key.clone();
        c.writes(&seen, &mut key);
        assert_eq!(holder(&key), ("b".into(), 8));
        c.looks(Role::Replica, "r", &key);
        c.looks(Role::Master, "r", &key);
        let seen = key.clone();
        c.writes(&seen, &mut key);
        assert_eq!(holder(&key), ("c".into(), 9), "a new promotion is one");
        assert_eq!(b.looks(Role::Master, "r", &key), Standing::Fenced);
    }

    #[test]
    fn one_that_merely_boots_as_master_gets_nothing() {
        let mut key = (Some(named("a", 7)), 3);
        let mut b = Node::new("b");
        assert_eq!(b.looks(Role::Master, "r", &key), Standing::Candidate);
        b.looks(Role::Replica, "r", &key);
        assert_eq!(
            b.looks(Role::Master, "restarted", &key),
            Standing::Candidate,
            "another life was no promotion"
        );
        let seen = key.clone();
        b.writes(&seen, &mut key);
        assert_eq!(holder(&key), ("a".into(), 7));
        let mut a = Node::new("a");
        assert_eq!(
            a.looks(Role::Master, "restarted", &key),
            Standing::Master,
            "the one that is named may restart"
        );
        let nobody = (Some(Pointer { epoch: Epoch { generation: 1, number: 0 }, holder: None }), 4);
        let mut key = nobody.clone();
        assert_eq!(b.looks(Role::Master, "restarted", &key), Standing::Candidate);
        b.writes(&nobody, &mut key);
        assert_eq!(key.0.unwrap().epoch, Epoch { generation: 1, number: 1 }, "after an operator's reset");
    }

    #[test]
    fn with_sentinel_the_pointer_only_rises() {
        let crowned = |number: u64| {
            let life = Life { run_id: Some("r".into()), connection: 1 };
            let seen =
                Sighting::Answer { role: Role::Master, word: "master".into(), epoch: Some(number), life };
            let evidence = Evidence::of("redis-0", false, &[], Sight::None);
            Belief::new(false).saw(seen, Instant::now()).judged(&evidence, &Names::default(), Instant::now())
        };
        for (present, epoch, writes) in [
            (None, 3, true),
            (Some(named("redis-1", 2)), 3, true),
            (Some(named("redis-1", 3)), 3, false),
            (Some(named("redis-1", 4)), 3, false),
            (Some(named("redis-0", 4)), 3, false),
            (Some(named("redis-0", 3)), 3, false),
        ] {
            let step = step(&me(), &crowned(epoch), &Sight::Read(present.clone(), 9));
            assert_eq!(step.is_some(), writes, "{present:?}");
        }
        assert_eq!(step(&me(), &crowned(3), &Sight::Unread), None);
    }
}
