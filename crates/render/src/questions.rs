//! Has each question heard that some template asks, by its way, and gathers what is heard.

use crate::{
    facts::Facts,
    sharing::Sharing,
    ways::{Way, way},
};
use consul::{Client, Query, Watched, shared::document::Answered, watch_after};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    sync::watch as channel,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// What each template asks, by its position.
pub type Asked = BTreeMap<usize, Arc<BTreeSet<Query>>>;

/// One template's place among those who ask.
#[derive(Debug)]
pub struct Asks {
    /// Its position.
    pub position: usize,
    /// What all ask.
    pub all: channel::Sender<Asked>,
}

impl Asks {
    /// What this template asks at present.
    #[must_use]
    pub fn present(&self) -> Arc<BTreeSet<Query>> {
        self.all.borrow().get(&self.position).cloned().unwrap_or_default()
    }

    /// From now on, this template asks these.
    pub fn publish(&self, queries: &Arc<BTreeSet<Query>>) {
        self.all.send_if_modified(|all| {
            // The same set is compared at once.
            let news = all.get(&self.position) != Some(queries);
            if news {
                all.insert(self.position, Arc::clone(queries));
            }
            news
        });
    }
}

/// What is heard, for whoever shows it: the facts are told of news alone, and do not know of an answer of Consul that is
/// equal to the one before.
#[derive(Clone, Debug)]
pub struct Heard {
    facts: channel::Receiver<Facts>,
    watches: Arc<Mutex<BTreeMap<Query, channel::Receiver<Watched>>>>,
}

impl Heard {
    /// Beside these facts.
    #[must_use]
    pub fn beside(facts: channel::Receiver<Facts>) -> Heard {
        Heard { facts, watches: Arc::default() }
    }

    /// What is known at this moment.
    #[must_use]
    pub fn now(&self) -> Facts {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let mut facts = self.facts.borrow().clone();
        let live = watches.iter().map(|(query, watched)| (query.clone(), watched.borrow().clone()));
        Arc::make_mut(&mut facts).extend(live);
        facts
    }

    /// Waits for news; an error when there will be none any more.
    pub async fn changed(&mut self) -> Result<(), channel::error::RecvError> {
        self.facts.changed().await
    }

    fn change(&self, query: &Query, watched: Option<channel::Receiver<Watched>>) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        match watched {
            Some(watched) => _ = watches.insert(query.clone(), watched),
            None => _ = watches.remove(query),
        }
    }
}

/// Has all heard that is asked, until the templates that ask are gone. What nobody asks any more is forgotten.
pub async fn follow(
    client: Client,
    mut asked: channel::Receiver<Asked>,
    facts: channel::Sender<Facts>,
    live: Heard,
    mut sharing: Sharing,
) {
    let mut news = facts.subscribe();
    let mut ears =
        Ears { client, facts: Arc::new(facts), live, watches: BTreeMap::new(), since: BTreeMap::new() };
    loop {
        let due = {
            let asked = asked.borrow_and_update();
            let due = ears.settle(&asked, &sharing, Instant::now());
            sharing.publish(&asked, &news.borrow_and_update());
            due
        };
        tokio::select! {
            changed = asked.changed() => if changed.is_err() { return },
            () = sharing.changed() => {}
            Ok(()) = news.changed(), if sharing.leads() => {}
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
    }
}

/// All that is heard, and how.
struct Ears {
    client: Client,
    facts: Arc<channel::Sender<Facts>>,
    live: Heard,
    watches: BTreeMap<Query, Watch>,
    /// Since when nobody told what is shared.
    since: BTreeMap<Query, Instant>,
}

impl Ears {
    /// Has each question heard by its way; gives back when another way may have to be taken.
    fn settle(&mut self, asked: &Asked, sharing: &Sharing, now: Instant) -> Option<Instant> {
        let mut wanted: BTreeMap<&Query, Vec<usize>> = BTreeMap::new();
        for (position, queries) in asked {
            queries.iter().for_each(|query| wanted.entry(query).or_default().push(*position));
        }
        self.forget(&wanted);
        let (known, mut due) = (self.facts.borrow().clone(), None);
        for (query, positions) in wanted {
            let since = *self.since.entry(query.clone()).or_insert(now);
            let places: Vec<_> = positions.iter().map(|position| sharing.place(*position)).collect();
            let until = match way(query, known.get(query), &places, sharing.ttl(), (since, now)) {
                Way::Ask => {
                    self.ask(query, known.get(query));
                    continue;
                }
                Way::Read(told, heard) => {
                    self.read(query, &told, heard);
                    heard + sharing.ttl()
                }
                Way::Wait(until) => until,
            };
            due = Some(due.map_or(until, |due: Instant| due.min(until)));
        }
        due
    }

    fn forget(&mut self, wanted: &BTreeMap<&Query, Vec<usize>>) {
        self.since.retain(|query, _| wanted.contains_key(query));
        let facts = self.facts.borrow().clone();
        let gone = self.watches.keys().chain(facts.keys()).filter(|query| !wanted.contains_key(query));
        for query in gone.cloned().collect::<BTreeSet<_>>() {
            self.drop_watch(&query);
            self.facts.send_modify(|facts| _ = Arc::make_mut(facts).remove(&query));
        }
    }

    /// What is known already is not forgotten: an answer that takes all of it away may not be believed.
    fn ask(&mut self, query: &Query, known: Option<&Watched>) {
        if !self.watches.contains_key(query) {
            let known = known.cloned().unwrap_or_default();
            let heard = watch_after(self.client.clone(), query.clone(), known);
            self.live.change(query, Some(heard.clone()));
            self.watches.insert(query.clone(), Watch::start(query.clone(), heard, &self.facts));
        }
    }

    fn read(&mut self, query: &Query, told: &Answered, heard: Instant) {
        self.drop_watch(query);
        self.since.remove(query);
        self.facts.send_if_modified(|facts| {
            let fits = |watched: &Watched| watched.shared && watched.answered == Some(heard);
            let is_known = facts.get(query).is_some_and(|watched| {
                fits(watched) && watched.value.as_ref().is_some_and(|value| Arc::ptr_eq(value, &told.value))
            });
            !is_known && Arc::make_mut(facts).entry(query.clone()).or_default().read(told, heard)
        });
    }

    fn drop_watch(&mut self, query: &Query) {
        if self.watches.remove(query).is_some() {
            self.live.change(query, None);
        }
    }
}

/// A running watch, ended when dropped.
struct Watch(JoinHandle<()>);

impl Watch {
    fn start(
        query: Query,
        mut heard: channel::Receiver<Watched>,
        facts: &Arc<channel::Sender<Facts>>,
    ) -> Watch {
        let facts = Arc::clone(facts);
        Watch(tokio::spawn(async move {
            while heard.changed().await.is_ok() {
                let watched: Watched = heard.borrow_and_update().clone();
                facts.send_modify(|facts| _ = Arc::make_mut(facts).insert(query.clone(), watched));
            }
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}
