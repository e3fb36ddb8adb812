//! An agent in memory, for tests with a paused clock: it holds entries, can be down or slow, and notes its calls.

use crate::{
    agent::{Agent, Refusal},
    diagnosis::Witness,
    plan::tests::held,
};
use consul::{Held, Instance, Registration, Status};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// One call that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Register,
    Beat(Status),
    Deregister,
}

#[derive(Debug, Default)]
struct Inside {
    entries: BTreeMap<String, Registration>,
    calls: Vec<Call>,
    registered: Vec<Registration>,
    down: bool,
    refuse: Option<Refusal>,
    slow: Duration,
    rewrites: Option<Registration>,
    ghosts: Vec<Instance>,
    witness: Witness,
}

#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Mutex<Inside>>, Arc<watch::Sender<u64>>);

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::default(), Arc::new(watch::channel(0).0))
    }
}

impl Memory {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }

    fn changed(&self) {
        self.1.send_modify(|version| *version += 1);
    }

    pub(crate) fn forget(&self, id: &str) {
        self.inside().entries.remove(id);
        self.changed();
    }

    pub(crate) fn put(&self, entry: Registration) {
        self.inside().entries.insert(entry.id.clone(), entry);
        self.changed();
    }

    /// Each registration is overwritten by this one.
    pub(crate) fn rewrites(&self, by: Option<Registration>) {
        self.inside().rewrites = by;
    }

    pub(crate) fn down(&self, down: bool) {
        self.inside().down = down;
        self.changed();
    }

    pub(crate) fn refuse(&self, with: Option<Refusal>) {
        self.inside().refuse = with;
    }

    pub(crate) fn slow(&self, by: Duration) {
        self.inside().slow = by;
    }

    /// Rows that stay in the catalog whatever the agent holds.
    pub(crate) fn ghosts(&self, rows: Vec<Instance>) {
        self.inside().ghosts = rows;
    }

    /// What may explain a difference.
    pub(crate) fn witness(&self, witness: Witness) {
        self.inside().witness = witness;
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.inside().calls.clone()
    }

    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.inside().calls)
    }

    pub(crate) fn registered(&self) -> Vec<Registration> {
        self.inside().registered.clone()
    }

    pub(crate) fn registrations(&self) -> usize {
        self.inside().registered.len()
    }

    async fn called(&self, call: Option<Call>) -> Result<(), Refusal> {
        let (slow, down, refuse) = {
            let mut inside = self.inside();
            inside.calls.extend(call);
            (inside.slow, inside.down, inside.refuse.clone())
        };
        sleep(slow).await;
        if down {
            return Err(Refusal::Trouble("the agent is down".into()));
        }
        refuse.map_or(Ok(()), Err)
    }
}

impl Agent for Memory {
    async fn register(&self, entry: &Registration) -> Result<(), Refusal> {
        self.called(Some(Call::Register)).await?;
        let rewrites = self.inside().rewrites.clone();
        self.inside().registered.push(entry.clone());
        self.put(rewrites.unwrap_or_else(|| entry.clone()));
        Ok(())
    }

    async fn beat(&self, check: &str, status: Status, _: &str) -> Result<(), Refusal> {
        self.called(Some(Call::Beat(status))).await?;
        let known = self.inside().entries.values().any(|entry| entry.check.id == check);
        if known { Ok(()) } else { Err(Refusal::Unregistered) }
    }

    async fn deregister(&self, id: &str) -> Result<(), Refusal> {
        self.called(Some(Call::Deregister)).await?;
        self.forget(id);
        Ok(())
    }

    async fn held(&self, id: &str, hash: Option<&str>) -> Result<Held, Refusal> {
        let mut version = self.1.subscribe();
        self.called(None).await?;
        let look = || self.inside().entries.get(id).map(|entry| (entry.clone(), format!("{entry:?}")));
        if hash.is_some() && look().map(|(_, now)| now).as_deref() == hash {
            let _unchanged = timeout(Duration::from_secs(10), version.changed()).await;
            self.called(None).await?;
        }
        Ok(match look() {
            None => Held::Absent,
            Some((entry, hash)) => match held(&entry) {
                crate::plan::Known::Held(service, _) => Held::Present { service, hash },
                _ => Held::Absent,
            },
        })
    }

    async fn instances(&self, service: &str) -> Result<Vec<Instance>, Refusal> {
        self.called(None).await?;
        let inside = self.inside();
        let ours = inside.entries.values().filter(|entry| entry.name == service).map(|entry| Instance {
            node: "n1".into(),
            id: entry.id.clone(),
            tags: entry.tags.clone(),
            address: entry.address.clone(),
            port: entry.port,
            meta: entry.meta.clone(),
            status: entry.check.status.word().into(),
            written: 0,
        });
        Ok(ours.chain(inside.ghosts.iter().cloned()).collect())
    }

    async fn witness(&self, _: &str, _: Option<&str>) -> Witness {
        self.inside().witness.clone()
    }
}
