//! Who may keep a question open at Consul. It takes 200 connections from one address (`http_max_conns_per_client`), each
//! held question needs one, and others on this machine need some too. Where there are more questions than seats, those
//! that changed last are held open; the others are asked in turn, and one that changes takes the seat of the one that has
//! been quiet longest. An overview may answer some of them, or tell whose turn is to come at once (`overview`).

mod table;

use crate::{
    ClientError,
    overview::{Ear, usual_rest},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
pub(crate) use table::RELIEF;
use table::{SPARE, Table};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until},
};

/// So many of the connections are for those that are asked in turn.
const TURNS: usize = 8;
/// Some of these are only for those that are in a hurry: keys that changed, and questions that had no turn yet.
const HURRIED: usize = 2;
/// A turn takes so long at least: no more than 400 questions a second, whatever their number.
const TURN: Duration = Duration::from_millis(15);
/// What a turn takes of the time of all.
pub(crate) const TURN_EACH: Duration = Duration::from_micros(15_000 / (TURNS - HURRIED) as u64);
/// The turn of one that is in a hurry: no more than 1,600 a second.
const SHORT: Duration = Duration::from_millis(5);
/// Whoever is turned away waits so long to see whether others are, too.
const MOMENT: Duration = Duration::from_millis(100);
/// One that hangs keeps its turn no longer: the others wait behind it.
const LONG: Duration = Duration::from_millis(500);
/// Consul holds a question open for a sixteenth longer than it was asked to, and so much more where it is busy.
const LATE: Duration = Duration::from_millis(500);

/// The seats for all questions of one program; clones share them.
#[derive(Clone, Debug)]
pub struct Seats {
    table: Arc<Mutex<Table>>,
    met: Arc<Notify>,
    turns: Arc<Semaphore>,
    hurried: Arc<Semaphore>,
}

/// One question's claim to a seat, which ends when dropped.
#[derive(Debug)]
pub struct Claim {
    seats: Seats,
    number: u64,
    gives_up: Arc<Notify>,
    /// When it had its last turn, or left its seat.
    asked: Option<Instant>,
    ear: Option<Ear>,
    /// When what the last answer tells of was written.
    known: Option<u64>,
}

/// How many may be held open of so many connections: turns need some, and those that were given up.
#[must_use]
pub fn held(connections: usize) -> usize {
    connections.saturating_sub(TURNS) * SPARE / (SPARE + 1)
}

impl Seats {
    /// For so many connections in all.
    #[must_use]
    pub fn new(connections: usize) -> Seats {
        let table = Table::new(held(connections));
        let turns = |turns| Arc::new(Semaphore::new(turns));
        Seats {
            table: Arc::new(Mutex::new(table)),
            met: Arc::default(),
            turns: turns(TURNS - HURRIED),
            hurried: turns(HURRIED),
        }
    }

    /// A claim of a question that is new, which Consul may hold open for so long.
    #[must_use]
    pub fn claim(&self, wait: Duration) -> Claim {
        let gives_up = Arc::new(Notify::new());
        let counts = wait + wait / 16 + LATE;
        let number = self.with(|table| table.enter(Instant::now(), counts, Arc::clone(&gives_up)));
        Claim { seats: self.clone(), number, gives_up, asked: None, ear: None, known: None }
    }

    /// How many seats overviews of keys may have: what all others need is a quarter at least.
    pub(crate) fn overviews(&self) -> usize {
        self.with(|table| table.seats() * 3 / 4)
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

    /// Takes in how a question ended that was asked in its turn or on a seat; nothing when it is to be asked again, since
    /// Consul took no more connections.
    async fn judge<T>(&self, answer: Result<T, ClientError>, turn: bool) -> Option<Result<T, ClientError>> {
        match answer {
            Err(error) if error.turned_away() => {
                // Others may be answered meanwhile, or not.
                let then = Instant::now();
                self.with(|table| table.fill(then, then + MOMENT));
                sleep(MOMENT).await;
                let again = self.with(|table| table.turned_away(turn, then, Instant::now()));
                (!again).then_some(Err(error))
            }
            answer => {
                if answer.as_ref().err().is_none_or(ClientError::is_answer) {
                    self.with(|table| table.hear(Instant::now()));
                }
                Some(answer)
            }
        }
    }

    fn with<T>(&self, what: impl FnOnce(&mut Table) -> T) -> T {
        what(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Claim {
    /// Asks: `ask` is told whether it may keep the question open. `None` when the seat was given to another meanwhile, or
    /// Consul takes no more connections. One that has no answer yet need not rest for its turn.
    pub async fn ask<T, F: Future<Output = Result<T, ClientError>>>(
        &mut self,
        first: bool,
        ask: impl FnOnce(bool) -> F,
    ) -> Option<Result<T, ClientError>> {
        if !first {
            self.settled().await;
        }
        let answer = self.seated(first, ask).await;
        if answer.is_some() {
            self.met();
        }
        answer
    }

    /// Asks on a seat, or in its turn.
    async fn seated<T, F: Future<Output = Result<T, ClientError>>>(
        &mut self,
        first: bool,
        ask: impl FnOnce(bool) -> F,
    ) -> Option<Result<T, ClientError>> {
        let told = self.ear.as_ref().is_some_and(Ear::is_told);
        if !told && self.seats.with(|table| table.sit(self.number, Instant::now())) {
            let mut seat = Seat { claim: self, is_answered: false };
            let answer = tokio::select! {
                biased;
                answer = ask(true) => Some(answer),
                () = self.dismissed() => None,
            };
            seat.is_answered = answer.is_some();
            drop(seat);
            self.asked = Some(Instant::now());
            return self.seats.judge(answer?, false).await;
        }
        if let Some(ear) = self.ear.as_mut() {
            ear.waits();
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
        self.seats.judge(answer, true).await
    }

    /// Waits until those that began together all had an answer, or time enough for it.
    async fn settled(&self) {
        let mut at_most = None;
        loop {
            let met = self.seats.met.notified();
            let settles = self.seats.with(|table| table.settles(self.number, Instant::now()));
            let Some(until) = settles.map(|until| *at_most.get_or_insert(until)) else { return };
            tokio::select! {
                () = met => {}
                () = sleep_until(until) => return,
            }
        }
    }

    /// Waits until its seat is given to another. It may have been told so when it had left the one before already.
    async fn dismissed(&self) {
        while self.seats.with(|table| table.sits(self.number)) {
            self.gives_up.notified().await;
        }
    }

    /// Waits until it may have its next turn; true when it is in a hurry.
    async fn rest(&mut self) -> bool {
        match (&mut self.ear, self.asked) {
            (Some(ear), asked) => ear.rest(self.known, asked).await,
            (None, Some(asked)) => {
                usual_rest(asked).await;
                false
            }
            (None, None) => true,
        }
    }

    /// The same, for a question whose answer is known already.
    #[must_use]
    pub fn answered(self) -> Claim {
        self.met();
        self
    }

    /// The same, for a question that hears of overviews.
    #[must_use]
    pub(crate) fn with_ear(mut self, ear: Option<Ear>) -> Claim {
        self.ear = ear;
        self
    }

    /// What an overview need not tell any more.
    pub(crate) fn knows(&mut self, written: Option<u64>) {
        self.known = written;
        if written.is_some() {
            self.met();
        }
    }

    /// It is not new any more.
    fn met(&self) {
        if self.seats.with(|table| table.meet(self.number)) {
            self.seats.met.notify_waiters();
        }
    }

    /// The answer changed: it is of those that changed last.
    pub fn changed(&self) {
        self.seats.with(|table| table.change(self.number));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.seats.with(|table| table.leave(self.number)) {
            self.seats.met.notify_waiters();
        }
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
struct Seat<'a> {
    claim: &'a Claim,
    is_answered: bool,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let number = self.claim.number;
        self.claim
            .seats
            .with(|table| if self.is_answered { table.rise(number) } else { table.give_up(number) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    async fn sits(claim: &mut Claim) -> bool {
        claim.ask(false, async |held| Ok(held)).await.and_then(Result::ok).is_some_and(|held| held)
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_turned_away_asks_in_its_turn() {
        let seats = Seats::new(TURNS + 13);
        assert_eq!(held(TURNS + 13), 10);
        let mut claims: Vec<_> = (0..10).map(|_| seats.claim(LONG)).collect();
        let away = |held: bool| async move {
            if !held {
                return Ok(());
            }
            let (address, why) = (String::new(), String::new());
            Err(ClientError::Unreachable { address, why, at_once: true })
        };
        let (mut last, mut another) = (claims.remove(0), seats.claim(LONG));
        assert!(last.ask(false, away).await.is_some_and(|answer| answer.is_err()), "Consul may be gone");
        assert!(sits(&mut claims[0]).await);
        let mut holding = tokio::task::JoinSet::new();
        for mut claim in claims {
            holding.spawn(async move {
                drop(claim.ask(false, async |_| std::future::pending::<Result<(), _>>().await).await)
            });
        }
        tokio::task::yield_now().await;
        sleep(LONG).await;
        let asked = Instant::now();
        let (answer, sat) = tokio::join!(last.ask(false, away), sits(&mut another));
        assert!(answer.is_none(), "it does not serve it alone");
        assert!(!sat && asked.elapsed() == MOMENT, "meanwhile, nobody else asks for long");
        assert!(last.ask(false, away).await.is_some_and(|answer| answer.is_ok()), "there is no seat for it");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_holds_on_before_those_that_began_with_it_have_an_answer() {
        const TAKES: Duration = Duration::from_millis(200);
        let seats = Seats::new(TURNS + 2);
        let (mut quick, mut slow) = (seats.claim(LONG), seats.claim(LONG));
        assert!(quick.ask(true, async |_| Ok(())).await.is_some());
        let began = Instant::now();
        let again = quick.ask(false, async |_| Ok(began.elapsed()));
        let first = slow.ask(true, async |_| {
            sleep(TAKES).await;
            Ok(())
        });
        let (asked, _first) = tokio::join!(again, first);
        assert_eq!(asked.and_then(Result::ok), Some(TAKES));
        let asked = quick.ask(false, async |_| Ok(began.elapsed())).await;
        assert_eq!(asked.and_then(Result::ok), Some(TAKES), "all had one");
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_asked_and_never_too_many_at_once() {
        let seats = Seats::new(20);
        let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let began = Instant::now();
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..500 {
            let (mut claim, counts) = (seats.claim(LONG), Arc::clone(&counts));
            asking.spawn(async move {
                let ask = async |held: bool| {
                    let (open, most) = &*counts;
                    most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    sleep_until(Instant::now() + Duration::from_millis(if held { 10_000 } else { 1 })).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                };
                claim.ask(false, ask).await.is_some()
            });
        }
        assert!(asking.join_all().await.into_iter().all(|asked| asked));
        assert_eq!(counts.1.load(Ordering::SeqCst), 9 + TURNS, "three are for those that are given up");
        assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_changed_takes_the_seat_of_a_quiet_one() {
        let seats = Seats::new(TURNS + 2);
        let (mut quiet, mut lively) = (seats.claim(LONG), seats.claim(LONG));
        let held = tokio::spawn(async move {
            quiet
                .ask(false, async |held| if held { std::future::pending().await } else { Ok(()) })
                .await
                .is_some()
        });
        tokio::task::yield_now().await;
        assert!(!sits(&mut lively).await, "there is no seat");
        lively.changed();
        assert!(sits(&mut lively).await);
        assert!(!held.await.unwrap(), "it gave up");
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_on_before_the_answer_leaves_its_seat() {
        let seats = Seats::new(TURNS + 2);
        let (mut first, mut second) = (seats.claim(LONG), seats.claim(LONG));
        let gone = tokio::time::timeout(
            TURN,
            first.ask(false, async |_| std::future::pending::<Result<(), _>>().await),
        );
        assert!(gone.await.is_err());
        assert!(sits(&mut second).await);
    }
}
