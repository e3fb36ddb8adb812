//! Who may keep a question open at Consul. It takes 200 connections from one address (`http_max_conns_per_client`), each
//! held question needs one, and others on this machine need some too. Where there are more questions than seats, those
//! that changed last are held open; the others are asked in turn, and one that changes takes the seat of the one that has
//! been quiet longest. A key's turn comes at once where its folder tells that it changed (`hints`).

use crate::hints::{Hint, usual_rest};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

/// So many of the connections are for those that are asked in turn.
const TURNS: usize = 8;
/// Some of these are only for those that are in a hurry: keys that changed, and questions that had no turn yet.
const HURRIED: usize = 2;
/// A turn takes so long at least: no more than 400 questions a second, whatever their number.
const TURN: Duration = Duration::from_millis(15);
/// The turn of one that is in a hurry: no more than 1,600 a second.
const SHORT: Duration = Duration::from_millis(5);
/// One that hangs keeps its turn no longer: the others wait behind it.
const LONG: Duration = Duration::from_millis(500);

/// The seats for all questions of one program; clones share them.
#[derive(Clone, Debug)]
pub struct Seats {
    table: Arc<Mutex<Table>>,
    turns: Arc<Semaphore>,
    hurried: Arc<Semaphore>,
}

/// One question's claim to a seat, which ends when dropped.
#[derive(Debug)]
pub struct Claim {
    seats: Seats,
    number: u64,
    gives_up: Arc<Notify>,
    /// When it had its last turn.
    asked: Option<Instant>,
    /// When it gave its seat up.
    sat: Option<Instant>,
    hint: Option<Hint>,
}

/// How many may be held open of so many connections.
#[must_use]
pub fn held(connections: usize) -> usize {
    connections.saturating_sub(TURNS)
}

impl Seats {
    /// For so many connections in all.
    #[must_use]
    pub fn new(connections: usize) -> Seats {
        let table = Table { seats: held(connections), ..Table::default() };
        let turns = |turns| Arc::new(Semaphore::new(turns));
        Seats { table: Arc::new(Mutex::new(table)), turns: turns(TURNS - HURRIED), hurried: turns(HURRIED) }
    }

    /// A claim of a question that is new.
    #[must_use]
    pub fn claim(&self) -> Claim {
        let gives_up = Arc::new(Notify::new());
        let number = self.with(|table| table.enter(Arc::clone(&gives_up)));
        Claim { seats: self.clone(), number, gives_up, asked: None, sat: None, hint: None }
    }

    /// How many seats folders may have: a quarter.
    pub(crate) fn folders(&self) -> usize {
        self.with(|table| table.seats / 4)
    }

    /// Waits for a turn, which ends when dropped.
    async fn turn(&self, hurried: bool) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        if !hurried {
            return turn.await.ok();
        }
        tokio::select! {
            turn = Arc::clone(&self.hurried).acquire_owned() => turn.ok(),
            turn = turn => turn.ok(),
        }
    }

    fn with<T>(&self, what: impl FnOnce(&mut Table) -> T) -> T {
        what(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Claim {
    /// Asks: `ask` is told whether it may keep the question open. `None` when the seat was given to another meanwhile. One
    /// that has no answer yet need not rest for its turn.
    pub async fn ask<T, F: Future<Output = T>>(
        &mut self,
        first: bool,
        ask: impl FnOnce(bool) -> F,
    ) -> Option<T> {
        if self.seats.with(|table| table.sit(self.number)) {
            let seat = Seat(self);
            let answer = tokio::select! {
                answer = ask(true) => Some(answer),
                () = self.gives_up.notified() => None,
            };
            drop(seat);
            self.sat = Some(Instant::now());
            return answer;
        }
        let hurried = first || self.rest().await;
        let turn = self.seats.turn(hurried).await?;
        let now = Instant::now();
        let asking = ask(false);
        tokio::pin!(asking);
        let answer = tokio::select! {
            answer = &mut asking => {
                if !first {
                    end(turn, now + if hurried { SHORT } else { TURN });
                }
                answer
            }
            () = sleep_until(now + LONG) => {
                drop(turn);
                asking.await
            }
        };
        self.asked = Some(Instant::now());
        Some(answer)
    }

    /// Waits until it may have its next turn; true when it is in a hurry.
    async fn rest(&mut self) -> bool {
        match (&mut self.hint, self.asked) {
            (Some(hint), asked) => hint.rest(asked, self.sat).await,
            (None, Some(asked)) => {
                usual_rest(asked).await;
                false
            }
            (None, None) => true,
        }
    }

    /// The same, for a key whose folder may tell that it changed.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: Hint) -> Claim {
        self.hint = Some(hint);
        self
    }

    /// What the folder need not tell any more.
    pub(crate) fn knows(&mut self, written: Option<u64>) {
        if let Some(hint) = &mut self.hint {
            hint.knows(written);
        }
    }

    /// The answer changed: it is of those that changed last.
    pub fn changed(&self) {
        self.seats.with(|table| table.change(self.number));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.seats.with(|table| table.leave(self.number));
    }
}

/// Ends a turn when it took its time, while its answer is used.
fn end(turn: OwnedSemaphorePermit, over: Instant) {
    tokio::spawn(async move {
        sleep_until(over).await;
        drop(turn);
    });
}

/// A seat that is taken, until dropped: whoever asked may have gone on before the answer.
struct Seat<'a>(&'a Claim);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.seats.with(|table| table.rise(self.0.number));
    }
}

/// Who sits, and who changed when.
#[derive(Debug, Default)]
struct Table {
    seats: usize,
    clock: u64,
    claims: BTreeMap<u64, Place>,
}

#[derive(Debug)]
struct Place {
    changed: u64,
    sits: bool,
    gives_up: Arc<Notify>,
}

impl Table {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn enter(&mut self, gives_up: Arc<Notify>) -> u64 {
        let number = self.tick();
        self.claims.insert(number, Place { changed: 0, sits: false, gives_up });
        number
    }

    fn leave(&mut self, number: u64) {
        self.claims.remove(&number);
    }

    fn change(&mut self, number: u64) {
        let now = self.tick();
        if let Some(place) = self.claims.get_mut(&number) {
            place.changed = now;
        }
    }

    /// Whether it gets a seat: a free one, or that of the one which has been quiet longest, if that is longer than itself.
    fn sit(&mut self, number: u64) -> bool {
        let taken = self.claims.values().filter(|place| place.sits).count();
        let mine = self.claims.get(&number).map_or(0, |place| place.changed);
        let quietest = self.claims.values_mut().filter(|place| place.sits).min_by_key(|place| place.changed);
        if taken >= self.seats {
            match quietest {
                Some(place) if place.changed < mine => {
                    place.sits = false;
                    place.gives_up.notify_one();
                }
                _ => return false,
            }
        }
        self.claims.get_mut(&number).is_some_and(|place| {
            place.sits = true;
            true
        })
    }

    fn rise(&mut self, number: u64) {
        if let Some(place) = self.claims.get_mut(&number) {
            place.sits = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn who_changed_last_sits() {
        let mut table = Table { seats: 2, ..Table::default() };
        let [a, b, c] = [(); 3].map(|()| table.enter(Arc::default()));
        assert!(table.sit(a) && table.sit(b), "there is room");
        assert!(!table.sit(c), "it has been quiet as long as they have");
        table.change(c);
        assert!(table.sit(c), "it changed last");
        let sits = |table: &Table| -> Vec<u64> {
            table.claims.iter().filter(|(_, place)| place.sits).map(|(number, _)| *number).collect()
        };
        assert_eq!(sits(&table), [b, c], "one that was quiet had to go");
        table.rise(c);
        assert!(table.sit(a), "a free seat is for anybody");
        table.leave(b);
        assert!(table.sit(c));
        assert_eq!(sits(&table), [a, c]);
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_asked_and_never_too_many_at_once() {
        let seats = Seats::new(20);
        let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let began = Instant::now();
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..500 {
            let (mut claim, counts) = (seats.claim(), Arc::clone(&counts));
            asking.spawn(async move {
                let ask = async |held: bool| {
                    let (open, most) = &*counts;
                    most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    sleep_until(Instant::now() + Duration::from_millis(if held { 10_000 } else { 1 })).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                };
                claim.ask(false, ask).await.is_some()
            });
        }
        assert!(asking.join_all().await.into_iter().all(|asked| asked));
        assert_eq!(counts.1.load(Ordering::SeqCst), 20);
        assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_changed_takes_the_seat_of_a_quiet_one() {
        let seats = Seats::new(TURNS + 1);
        let (mut quiet, mut lively) = (seats.claim(), seats.claim());
        let held = tokio::spawn(async move {
            quiet.ask(false, async |held| assert!(held && std::future::pending().await)).await
        });
        tokio::task::yield_now().await;
        assert_eq!(lively.ask(false, async |held| held).await, Some(false), "there is no seat");
        lively.changed();
        assert_eq!(lively.ask(false, async |held| held).await, Some(true));
        assert_eq!(held.await.unwrap(), None, "it gave up");
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_on_before_the_answer_leaves_its_seat() {
        let seats = Seats::new(TURNS + 1);
        let (mut first, mut second) = (seats.claim(), seats.claim());
        let gone = tokio::time::timeout(TURN, first.ask(false, async |_| std::future::pending::<()>().await));
        assert!(gone.await.is_err());
        assert_eq!(second.ask(false, async |held| held).await, Some(true));
    }
}
