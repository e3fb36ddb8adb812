//! Overviews: questions whose answers tell of many others, held open for the sake of those that have no seat. A tree of
//! keys that begin alike gives each of them its answer ([`prefixes`]); the lists of all services and of all checks tell
//! which service to ask for now ([`marks`]).

mod keep;
pub mod marks;
pub mod prefixes;
pub mod told;

use crate::{Client, Query};
use keep::keep;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use told::{Rest, Told, written};

/// A question that has no seat is asked no more often.
const REST: Duration = Duration::from_secs(1);
/// One of which an overview tells needs this for safety alone.
const LONG_REST: Duration = Duration::from_secs(30);
/// Questions that begin together are looked at together: until nobody came for so long …
const QUIET: Duration = Duration::from_millis(5);
/// … or this time is over.
const SETTLE: Duration = Duration::from_millis(250);

/// The overviews that are held for all questions of one program; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Overviews {
    book: Arc<Mutex<Book>>,
    news: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Book {
    lines: BTreeMap<Query, Line>,
    /// Whether somebody keeps the overviews.
    kept: bool,
}

/// One question that an overview may tell of.
#[derive(Debug, Default)]
struct Line {
    told: watch::Sender<Told>,
    /// Whether it had to wait for its turn once.
    waits: bool,
}

/// What one question hears of overviews. A clone hears on its own.
#[derive(Clone, Debug)]
pub struct Ear {
    client: Client,
    query: Query,
    told: watch::Receiver<Told>,
    waits: bool,
}

impl Ear {
    /// Of the question `query`; `None` where no overview would tell of it.
    #[must_use]
    pub fn of(client: &Client, query: &Query) -> Option<Ear> {
        let is_told = matches!(query, Query::Key { .. } | Query::Health { connect: false, .. });
        is_told.then(|| {
            let told = client.overviews().enter(query);
            Ear { client: client.clone(), query: query.clone(), told, waits: false }
        })
    }

    /// Waits for an answer that is told, and no older than one of `known`.
    pub async fn answer(&mut self, known: Option<u64>) -> Arc<Value> {
        answer(&mut self.told, known).await
    }

    /// Whether it hears enough to leave a seat to others.
    #[must_use]
    pub fn is_told(&self) -> bool {
        matches!(*self.told.borrow(), Told::Pair(_))
    }

    /// Says that it has to wait for its turn.
    pub fn waits(&mut self) {
        if !std::mem::replace(&mut self.waits, true) && !self.client.overviews().wait(&self.query) {
            tokio::spawn(keep(self.client.clone(), self.client.overviews().clone()));
        }
    }

    /// Waits as long as the question may rest that was answered at `known`, and had its turn or left its seat at `asked`: true
    /// when it is to be asked before others.
    pub(crate) async fn rest(&mut self, known: Option<u64>, asked: Option<Instant>) -> bool {
        rest(&mut self.told, known, asked).await
    }
}

async fn answer(told: &mut watch::Receiver<Told>, known: Option<u64>) -> Arc<Value> {
    while told.changed().await.is_ok() {
        if let Some(pair) = told.borrow().pair().filter(|pair| written(pair) >= known) {
            return Arc::clone(pair);
        }
    }
    std::future::pending().await
}

async fn rest(told: &mut watch::Receiver<Told>, known: Option<u64>, asked: Option<Instant>) -> bool {
    let mut news = told.has_changed().unwrap_or_default();
    loop {
        let rest = told.borrow_and_update().rest(news, known);
        let until = match rest {
            Rest::None => return true,
            Rest::Answered => None,
            Rest::Usual => Some(asked.map(|asked| asked + REST)),
            Rest::Long => Some(asked.map(|asked| asked + LONG_REST)),
        };
        let over = async {
            match until {
                Some(Some(until)) => sleep_until(until).await,
                // It had no turn yet.
                Some(None) => {}
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => return until.flatten().is_none(),
            Ok(()) = told.changed() => news = true,
        }
    }
}

/// Waits as long as a question may rest of which no overview tells.
pub(crate) async fn usual_rest(asked: Instant) {
    sleep_until(asked + REST).await;
}

impl Overviews {
    fn with<T>(&self, what: impl FnOnce(&mut Book) -> T) -> T {
        what(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is told of a question from now on.
    fn enter(&self, query: &Query) -> watch::Receiver<Told> {
        let mut told = self.with(|book| {
            // Often enough, and not each time.
            if book.lines.len().is_power_of_two() {
                book.forget();
            }
            book.lines.entry(query.clone()).or_default().told.subscribe()
        });
        told.mark_changed();
        self.news.notify_one();
        told
    }

    /// Notes that a question has to wait; whether somebody keeps the overviews already.
    fn wait(&self, query: &Query) -> bool {
        let is_kept = self.with(|book| {
            book.lines.entry(query.clone()).or_default().waits = true;
            std::mem::replace(&mut book.kept, true)
        });
        self.news.notify_one();
        is_kept
    }

    /// Waits until those who came together are all there.
    async fn settle(&self) {
        let all = async { while timeout(QUIET, self.news.notified()).await.is_ok() {} };
        _ = timeout_at(Instant::now() + SETTLE, all).await;
    }

    /// Tells the questions that `whom` fits what `what` says of them, which may be nothing new.
    fn tell(&self, whom: impl Fn(&Query) -> bool, what: impl Fn(&Query, &mut Told) -> bool) {
        self.with(|book| {
            for (query, line) in book.lines.iter().filter(|(query, _)| whom(query)) {
                line.told.send_if_modified(|told| what(query, told));
            }
        });
    }

    /// The questions that are asked still, and whether each had to wait; `None` when none had, and nobody keeps the
    /// overviews any more.
    fn asked(&self) -> Option<BTreeMap<Query, bool>> {
        self.with(|book| {
            book.forget();
            book.kept = book.lines.values().any(|line| line.waits);
            book.kept.then(|| book.lines.iter().map(|(query, line)| (query.clone(), line.waits)).collect())
        })
    }
}

impl Book {
    /// Strikes out what nobody asks any more.
    fn forget(&mut self) {
        self.lines.retain(|_, line| line.told.receiver_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Scope;
    use serde_json::json;
    use tokio::time::sleep;
    use told::Touched;

    fn key(name: &str) -> Query {
        Query::Key { key: format!("app/{name}"), scope: Scope::default() }
    }

    fn pair(index: u64) -> Told {
        Told::Pair(Some(Arc::new(json!({"ModifyIndex": index}))))
    }

    fn tell(overviews: &Overviews, now: &Told) {
        overviews.tell(|_| true, |_, told| std::mem::replace(told, now.clone()) != *now);
    }

    async fn rested(told: &mut watch::Receiver<Told>, known: Option<u64>) -> (bool, Duration) {
        let asked = Instant::now();
        (rest(told, known, Some(asked)).await, asked.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_answered_and_asked_for_where_it_is_not() {
        let overviews = Overviews::default();
        let mut told = overviews.enter(&key("a"));
        let mut hears = told.clone();
        assert_eq!(rested(&mut told, Some(7)).await, (false, REST), "nothing is told yet");
        tell(&overviews, &pair(7));
        assert_eq!(
            *answer(&mut hears, Some(7)).await,
            json!({"ModifyIndex": 7}),
            "an equal answer is one too"
        );
        let older = timeout(REST, async {
            tell(&overviews, &pair(6));
            answer(&mut hears, Some(7)).await
        });
        assert!(older.await.is_err(), "one that is older is none");
        assert_eq!(rested(&mut told, Some(7)).await, (false, REST), "its own answer is newer");
        tell(&overviews, &pair(8));
        let goes = async {
            sleep(REST * 100).await;
            tell(&overviews, &Told::Pair(None));
        };
        assert_eq!(
            tokio::join!(rested(&mut told, Some(8)), goes).0,
            (true, REST * 100),
            "it is answered till it goes"
        );
        assert_eq!(rested(&mut told, None).await, (false, LONG_REST), "it is known not to be there");
        tell(&overviews, &Told::Nothing);
        assert_eq!(rested(&mut told, None).await, (false, REST), "nobody would tell any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_is_asked_for_when_something_of_it_changed() {
        let overviews = Overviews::default();
        let mut told = overviews.enter(&Query::health("web", true));
        let changed = |count| Told::Changed(Touched { entries: Some(0), checks: Some(count) });
        tell(&overviews, &changed(0));
        assert_eq!(rested(&mut told, None).await, (true, Duration::ZERO), "what was before is not known");
        assert_eq!(rested(&mut told, None).await, (false, LONG_REST));
        let changes = async {
            sleep(REST * 3).await;
            tell(&overviews, &changed(1));
        };
        assert_eq!(tokio::join!(rested(&mut told, None), changes).0, (true, REST * 3));
    }

    #[test]
    fn who_is_gone_is_struck_out_and_the_last_one_who_waits_ends_it() {
        let overviews = Overviews::default();
        let asked = || overviews.asked().map(|asked| asked.len());
        let (first, second) = (overviews.enter(&key("a")), overviews.enter(&key("b")));
        assert_eq!(asked(), None, "nobody waits");
        assert!(!overviews.wait(&key("a")), "nobody keeps the overviews yet");
        assert!(overviews.wait(&key("a")));
        assert_eq!(asked(), Some(2), "those who have a seat may leave it");
        drop(second);
        assert_eq!(asked(), Some(1));
        drop(first);
        assert_eq!(asked(), None);
        let _all: Vec<_> = (0..9).map(|_| overviews.enter(&key("c"))).collect();
        (0..100).for_each(|n| drop(overviews.enter(&key(&n.to_string()))));
        assert!(overviews.with(|book| book.lines.len()) <= 4, "though nobody keeps them");
    }
}
