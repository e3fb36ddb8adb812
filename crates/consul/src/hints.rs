//! Questions for whole folders, held open for the sake of keys that have no seat: their answers tell which key changed,
//! and that one is asked for at once. A key whose folder says what is known of it already rests long.

use crate::{
    Client, ClientError, Query,
    cursor::{Cursor, Heard},
    folders::{Rest, Told, choose, covers, rest},
    watch::Pace,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

/// A question that has no seat is asked no more often.
const REST: Duration = Duration::from_secs(1);
/// One whose folder is watched needs this for safety alone.
const LONG_REST: Duration = Duration::from_secs(30);
/// Keys that begin together are looked at together.
const SETTLE: Duration = Duration::from_millis(250);
/// So often it is looked who is still there.
const ROUND: Duration = Duration::from_secs(10);
/// A folder that was refused is tried again after this time.
const REFUSED: Duration = Duration::from_secs(600);
/// A folder's answer that is larger costs more than it saves.
const LARGEST: usize = 1 << 20;
/// What folders may take of Consul for long, in bytes a second, each.
const FLOW: f64 = 4e6;

/// The folders that are watched for all questions of one program; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    book: Arc<Mutex<Book>>,
    news: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Book {
    /// Each key that had to wait for its turn once, and what its folder told of it.
    keys: BTreeMap<Query, watch::Sender<Told>>,
    /// When the keys of each folder were written, by its last answer; for keys that come later.
    folders: BTreeMap<Query, BTreeMap<String, u64>>,
    /// Whether somebody looks after the folders.
    kept: bool,
}

/// What one key's question hears of its folder.
#[derive(Debug)]
pub struct Hint {
    place: Place,
    known: Option<u64>,
}

#[derive(Debug)]
enum Place {
    /// It never had to wait for its turn.
    Outside(Client, Box<Query>),
    /// In the book.
    Inside(watch::Receiver<Told>),
}

impl Hint {
    /// For the question `key`.
    #[must_use]
    pub fn new(client: Client, key: Query) -> Hint {
        Hint { place: Place::Outside(client, Box::new(key)), known: None }
    }

    /// What its own question told: when the key was written, `None` when it does not exist.
    pub fn knows(&mut self, written: Option<u64>) {
        self.known = written;
    }

    /// Waits as long as the key may rest, which had its turn at `asked`, and a seat until `sat`: true when it is to be asked
    /// for before others.
    pub(crate) async fn rest(&mut self, asked: Option<Instant>, sat: Option<Instant>) -> bool {
        self.enter();
        let Place::Inside(told) = &mut self.place else { return false };
        let mut news = told.has_changed().unwrap_or_default();
        loop {
            let (since, time) = match rest(*told.borrow_and_update(), news, self.known) {
                Rest::None => return true,
                Rest::Usual => (asked, REST),
                Rest::Long => (asked.max(sat), LONG_REST),
            };
            let Some(until) = since.map(|since| since + time) else { return true };
            tokio::select! {
                () = sleep_until(until) => return false,
                Ok(()) = told.changed() => news = true,
            }
        }
    }

    fn enter(&mut self) {
        if let Place::Outside(client, key) = &self.place {
            let (told, is_kept) = client.hints().enter(key);
            if !is_kept {
                tokio::spawn(keep(client.clone(), client.hints().clone()));
            }
            self.place = Place::Inside(told);
        }
    }
}

/// Waits as long as a question may rest of which no folder tells.
pub(crate) async fn usual_rest(asked: Instant) {
    sleep_until(asked + REST).await;
}

impl Hints {
    fn with<T>(&self, what: impl FnOnce(&mut Book) -> T) -> T {
        what(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is told of a key from now on, and whether somebody looks after the folders already.
    fn enter(&self, key: &Query) -> (watch::Receiver<Told>, bool) {
        let entered = self.with(|book| {
            let now = book.folders.iter().find(|(folder, _)| covers(folder, key));
            let now = now.map_or(Told::Nothing, |(_, written)| of(key, Some(written)));
            let told = book.keys.entry(key.clone()).or_insert_with(|| watch::Sender::new(now));
            let mut told = told.subscribe();
            told.mark_changed();
            (told, std::mem::replace(&mut book.kept, true))
        });
        self.news.notify_one();
        entered
    }

    /// Tells each key of a folder when it was written by this answer; without one, that nothing is known.
    fn tell(&self, folder: &Query, written: Option<BTreeMap<String, u64>>) {
        self.with(|book| {
            for (key, told) in book.keys.iter().filter(|(key, _)| covers(folder, key)) {
                let now = of(key, written.as_ref());
                told.send_if_modified(|told| std::mem::replace(told, now) != now);
            }
            match written {
                Some(written) => _ = book.folders.insert(folder.clone(), written),
                None => _ = book.folders.remove(folder),
            }
        });
    }

    /// The keys that are asked for still; `None` when there is none, and nobody looks after them any more.
    fn keys(&self) -> Option<Vec<Query>> {
        self.with(|book| {
            book.keys.retain(|_, told| told.receiver_count() > 0);
            book.kept = !book.keys.is_empty();
            if !book.kept {
                book.folders.clear();
            }
            book.kept.then(|| book.keys.keys().cloned().collect())
        })
    }
}

/// What a folder's answer tells of a key.
fn of(key: &Query, written: Option<&BTreeMap<String, u64>>) -> Told {
    match (key, written) {
        (Query::Key { key, .. }, Some(written)) => Told::Written(written.get(key).copied()),
        _ => Told::Nothing,
    }
}

/// Keeps the folders' questions that the keys need, as long as there are any.
async fn keep(client: Client, hints: Hints) {
    let mut held: BTreeMap<Query, tokio::task::AbortHandle> = BTreeMap::new();
    let mut refused: BTreeMap<Query, Instant> = BTreeMap::new();
    let (mut asking, mut before) = (JoinSet::new(), (vec![], BTreeSet::new()));
    let most = client.seats().folders();
    loop {
        sleep(SETTLE).await;
        let Some(keys) = hints.keys() else { return };
        refused.retain(|_, since| since.elapsed() < REFUSED);
        let now = (keys, refused.keys().cloned().collect());
        if now != before {
            let folders = choose(&now.0.iter().collect::<Vec<_>>(), &now.1, most);
            held.retain(|folder, asking| {
                let stays = folders.contains(folder);
                if !stays {
                    asking.abort();
                    hints.tell(folder, None);
                }
                stays
            });
            for folder in folders {
                let hold = hold(client.clone(), hints.clone(), folder.clone());
                held.entry(folder).or_insert_with(|| asking.spawn(hold));
            }
            before = now;
        }
        tokio::select! {
            _ = timeout(ROUND, hints.news.notified()) => {}
            Some(Ok((folder, error))) = asking.join_next() => {
                tracing::info!(folder = %folder, %error, "this folder's keys are asked for one by one, each in its turn");
                held.remove(&folder);
                refused.insert(folder, Instant::now());
            }
        }
    }
}

/// Asks for one folder, and tells its keys, until it is refused.
async fn hold(client: Client, hints: Hints, folder: Query) -> (Query, ClientError) {
    let (mut claim, mut cursor) = (client.claim(), Cursor::default());
    let (mut backoff, mut pace) = (client.backoff(), Pace::new(Instant::now()));
    loop {
        // It stands for many: the seat is that of the quietest.
        claim.changed();
        let index = cursor.index;
        let ask = |held: bool| client.written(&folder, if held { index } else { 0 }, LARGEST);
        match claim.ask(index == 0, ask).await {
            None => {}
            Some(Ok(written)) => {
                let (next, heard) = cursor.hear(written.index);
                cursor = next;
                backoff.reset();
                hints.tell(&folder, (heard != Heard::Reset).then_some(written.keys));
                let cost = Duration::from_secs_f64(written.size as f64 / FLOW);
                sleep(pace.due(Instant::now(), cost)).await;
            }
            Some(Err(error)) => {
                hints.tell(&folder, None);
                if matches!(error, ClientError::TooLarge { .. }) || error.denied().is_some() {
                    return (folder, error);
                }
                cursor = cursor.fail();
                sleep(backoff.pause()).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Scope;

    fn folder() -> Query {
        Query::Tree { prefix: "app/".into(), scope: Scope::default() }
    }

    fn hint(hints: &Hints, name: &str, known: Option<u64>) -> Hint {
        let key = Query::Key { key: format!("app/{name}"), scope: Scope::default() };
        Hint { place: Place::Inside(hints.enter(&key).0), known }
    }

    async fn rested(hint: &mut Hint) -> (bool, Duration) {
        let asked = Instant::now();
        let hurried = hint.rest(Some(asked), None).await;
        (hurried, asked.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_asked_for_when_its_folder_tells_something_else() {
        let hints = Hints::default();
        let tell = |written: Option<u64>| {
            hints.tell(&folder(), Some(written.map(|index| ("app/a".into(), index)).into_iter().collect()));
        };
        let mut one = hint(&hints, "a", Some(7));
        assert_eq!(rested(&mut one).await, (false, REST), "nothing is told yet");
        tell(Some(7));
        assert_eq!(rested(&mut one).await, (false, LONG_REST), "it is known already");
        tell(Some(8));
        assert_eq!(rested(&mut one).await, (true, Duration::ZERO), "it changed");
        assert_eq!(rested(&mut one).await, (false, REST), "its own answer is behind");
        one.knows(Some(8));
        let changes = async {
            sleep(REST * 3).await;
            tell(None);
        };
        assert_eq!(tokio::join!(rested(&mut one), changes).0, (true, REST * 3), "it went, while it rested");
        one.knows(None);
        let fails = async {
            sleep(REST * 3).await;
            hints.tell(&folder(), None);
        };
        assert_eq!(tokio::join!(rested(&mut one), fails).0, (false, REST * 3), "nobody would tell any more");
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_later_is_told_and_the_last_one_ends_it() {
        let hints = Hints::default();
        let first = hint(&hints, "a", None);
        hints.tell(&folder(), Some([("app/b".into(), 7)].into()));
        let mut second = hint(&hints, "b", Some(7));
        assert_eq!(rested(&mut second).await, (false, LONG_REST));
        assert_eq!(hints.keys().map(|keys| keys.len()), Some(2));
        drop(first);
        assert_eq!(hints.keys().map(|keys| keys.len()), Some(1));
        drop(second);
        assert_eq!(hints.keys(), None);
        assert_eq!(rested(&mut hint(&hints, "b", Some(7))).await, (false, REST), "that is over");
    }
}
