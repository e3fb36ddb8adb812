//! Who sits, and how many may. Those that changed last sit; where Consul turns a connection away, there are as few seats
//! as it takes, and more again by and by.

use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

/// All who were turned away together have left after this time.
const LEFT: Duration = Duration::from_secs(1);
/// There are more seats again after this time: Consul counts the connections of who was killed for up to a minute.
const LATER: Duration = Duration::from_secs(30);
/// Then so many of all, a share.
const MORE: usize = 10;
/// Those that begin together all have an answer, or had so much time for it, before one is held open.
const SETTLE: Duration = Duration::from_millis(500);
/// There are so many seats in any case, if there are as many at all.
const LEAST: usize = 4;
/// Where Consul takes no more, so many connections are left to turns, and to others on this machine.
const OTHERS: usize = 8;
/// What was left to others is theirs for so long at least.
pub(crate) const RELIEF: Duration = Duration::from_secs(11);
/// For so many that were given up there is room beside the seats, a share of these: as long as there are more, nobody else sits.
pub(super) const SPARE: usize = 4;

/// The claims to seats, and who sits.
#[derive(Debug)]
pub(super) struct Table {
    /// How many there are at most.
    most: usize,
    /// How many there are now.
    seats: usize,
    /// When there are more again.
    more: Option<Instant>,
    /// When Consul turned somebody away, for whose sake nothing is left to others yet.
    crowded: Option<Instant>,
    /// Until when no more than so many sit.
    full: Option<(Instant, usize)>,
    /// When something was left to others.
    relieved: Option<Instant>,
    /// When Consul answered last.
    answered: Option<Instant>,
    clock: u64,
    claims: BTreeMap<u64, Place>,
    /// How many of them have had no answer yet.
    new: usize,
    /// Until when those that had one wait for these.
    settles: Option<Instant>,
    /// Until when those that were given up count.
    given_up: Vec<Instant>,
}

#[derive(Debug)]
struct Place {
    changed: u64,
    is_new: bool,
    /// Given up, its question counts for so long: until Consul would have answered it.
    counts: Duration,
    /// Since when.
    sits: Option<Instant>,
    gives_up: Arc<Notify>,
}

impl Table {
    pub(super) fn new(seats: usize) -> Table {
        Table {
            most: seats,
            seats,
            more: None,
            crowded: None,
            full: None,
            relieved: None,
            answered: None,
            clock: 0,
            claims: BTreeMap::new(),
            new: 0,
            settles: None,
            given_up: Vec::new(),
        }
    }

    /// How many seats there are now.
    pub(super) fn seats(&self) -> usize {
        self.seats
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub(super) fn enter(&mut self, now: Instant, counts: Duration, gives_up: Arc<Notify>) -> u64 {
        let number = self.tick();
        self.claims.insert(number, Place { changed: 0, is_new: true, counts, sits: None, gives_up });
        self.new += 1;
        self.settles = Some(now + SETTLE);
        number
    }

    /// It is gone; whether it was the last new one.
    pub(super) fn leave(&mut self, number: u64) -> bool {
        let was_last = self.meet(number);
        self.claims.remove(&number);
        was_last
    }

    /// It is not new any more: it had an answer. Whether it was the last new one.
    pub(super) fn meet(&mut self, number: u64) -> bool {
        let is_new = self.claims.get_mut(&number).is_some_and(|place| std::mem::take(&mut place.is_new));
        self.new -= usize::from(is_new);
        is_new && self.new == 0
    }

    /// Until when it leaves the connections to those that had no answer yet, unless it is one of these.
    pub(super) fn settles(&self, number: u64, now: Instant) -> Option<Instant> {
        let is_new = self.claims.get(&number).is_some_and(|place| place.is_new);
        let there_are_more = self.new > 0 && self.claims.len() > self.seats;
        self.settles.filter(|until| !is_new && there_are_more && now < *until)
    }

    pub(super) fn change(&mut self, number: u64) {
        let now = self.tick();
        if let Some(place) = self.claims.get_mut(&number) {
            place.changed = now;
        }
    }

    fn taken(&self) -> usize {
        self.claims.values().filter(|place| place.sits.is_some()).count()
    }

    /// Whether Consul counts so few that one more may be asked.
    fn has_room(&mut self, now: Instant) -> bool {
        self.given_up.retain(|over| *over > now);
        self.taken() + self.given_up.len() < self.seats + self.seats.div_ceil(SPARE)
    }

    /// Who has been quiet longest of those that sit, and how long.
    fn quietest(&self) -> Option<(u64, u64)> {
        let sits = self.claims.iter().filter(|(_, place)| place.sits.is_some());
        sits.map(|(number, place)| (place.changed, *number)).min()
    }

    /// Whether it gets a seat: a free one, or that of the one which has been quiet longest, if that is longer than itself.
    pub(super) fn sit(&mut self, number: u64, now: Instant) -> bool {
        // By now, all those who were turned away have left.
        if self.crowded.is_some_and(|since| since + LEFT <= now) {
            self.relieve(now);
        }
        self.add(now);
        let is_full = self.full(now).is_some_and(|most| self.taken() >= most);
        if is_full || !self.has_room(now) {
            return false;
        }
        let mine = self.claims.get(&number).map_or(0, |place| place.changed);
        if self.taken() >= self.seats {
            match self.quietest() {
                Some((changed, quiet)) if changed < mine => self.dismiss(quiet),
                _ => return false,
            }
        }
        self.claims.get_mut(&number).is_some_and(|place| {
            place.sits = Some(now);
            true
        })
    }

    pub(super) fn sits(&self, number: u64) -> bool {
        self.claims.get(&number).is_some_and(|place| place.sits.is_some())
    }

    /// Its question was answered.
    pub(super) fn rise(&mut self, number: u64) {
        if let Some(place) = self.claims.get_mut(&number) {
            place.sits = None;
        }
    }

    /// Its question is given up, if it still sits.
    pub(super) fn give_up(&mut self, number: u64) {
        let place = self.claims.get_mut(&number);
        let since = place.and_then(|place| Some((place.sits.take()?, place)));
        // A first answer is not waited for, so that Consul has done with it already.
        let counts = since.filter(|(_, place)| !place.is_new).map(|(since, place)| since + place.counts);
        self.given_up.extend(counts);
    }

    /// Has it give up its question, for the sake of others.
    fn dismiss(&mut self, number: u64) {
        self.give_up(number);
        if let Some(place) = self.claims.get(&number) {
            place.gives_up.notify_one();
        }
    }

    /// Consul answered somebody.
    pub(super) fn hear(&mut self, now: Instant) {
        self.answered = Some(now);
    }

    /// Consul turned somebody away just now: until then no more sit than do, since it would turn them away, too.
    pub(super) fn fill(&mut self, now: Instant, until: Instant) {
        let most = self.full(now).map_or(self.taken(), |most| most.min(self.taken()));
        self.full = Some((until, most.max(self.least())));
    }

    fn full(&self, now: Instant) -> Option<usize> {
        self.full.filter(|(until, _)| now < *until).map(|(_, most)| most)
    }

    /// Consul turned somebody away at `then`; whether it serves others, so that the number of connections is the cause, and
    /// it may be asked again. There are as few seats from now on as are taken, and less where it was a turn.
    pub(super) fn turned_away(&mut self, turn: bool, then: Instant, now: Instant) -> bool {
        let is_open = |place: &Place| place.sits.is_some_and(|since| since < then);
        let serves = self.answered.is_some_and(|heard| heard >= then) || self.claims.values().any(is_open);
        let begins = self.new > 0 && self.settles.is_some_and(|until| then < until);
        if !serves || begins {
            // Many that begin are answered one after another, and hold nothing open yet.
            return serves;
        }
        if self.seats == self.most {
            tracing::warn!(
                "Consul takes no more connections from this address (limits.http_max_conns_per_client; those of a program \
                 that was killed count for a minute): fewer questions are held open"
            );
        }
        let fewer = self.seats.min(self.taken()).max(self.least());
        (self.seats, self.more) = (fewer, Some(now + LATER));
        self.crowded.get_or_insert(now);
        !turn || self.relieve(now)
    }

    /// Leaves some seats to others, unless it did just now; false when there is none to spare.
    fn relieve(&mut self, now: Instant) -> bool {
        self.crowded = None;
        if self.relieved.is_some_and(|at| now < at + RELIEF) {
            return true;
        }
        let fewer = self.seats.saturating_sub(OTHERS).max(self.least());
        let some = fewer < self.seats;
        if some {
            (self.seats, self.relieved) = (fewer, Some(now));
            self.shrink();
        }
        some
    }

    fn least(&self) -> usize {
        LEAST.min(self.most)
    }

    /// Has those go for whom there is no seat.
    fn shrink(&mut self) {
        for _ in self.seats..self.taken() {
            if let Some((_, quiet)) = self.quietest() {
                self.dismiss(quiet);
            }
        }
    }

    /// There are more seats again, when it is time.
    fn add(&mut self, now: Instant) {
        if self.more.is_some_and(|more| more <= now) {
            self.seats = self.most.min(self.seats + self.most.div_ceil(MORE));
            self.more = (self.seats < self.most).then_some(now + LATER);
            if self.more.is_none() {
                tracing::info!("as many questions are held open as before");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(11);

    fn sit(table: &Table) -> Vec<u64> {
        let sits = table.claims.iter().filter(|(_, place)| place.sits.is_some());
        sits.map(|(number, _)| *number).collect()
    }

    #[test]
    fn who_changed_last_sits() {
        let (mut table, now) = (Table::new(2), Instant::now());
        let [a, b, c] = [(); 3].map(|()| table.enter(Instant::now(), WAIT, Arc::default()));
        assert!(table.sit(a, now) && table.sit(b, now), "there is room");
        assert!(!table.sit(c, now), "it has been quiet as long as they have");
        table.change(c);
        assert!(table.sit(c, now), "it changed last");
        assert_eq!(sit(&table), [b, c], "one that was quiet had to go");
        table.rise(c);
        assert!(table.sit(a, now), "a free seat is for anybody");
        table.leave(b);
        assert!(table.sit(c, now));
        assert_eq!(sit(&table), [a, c]);
    }

    #[test]
    fn who_had_an_answer_waits_for_those_that_had_none() {
        let start = Instant::now();
        let mut table = Table::new(2);
        let [a, b, c] = [(); 3].map(|()| table.enter(start, WAIT, Arc::default()));
        assert_eq!(table.settles(a, start), None, "it is new itself");
        assert!(!table.meet(a));
        assert_eq!(table.settles(a, start), Some(start + SETTLE));
        assert_eq!(table.settles(a, start + SETTLE), None, "one of them may hang");
        table.hear(start);
        assert!(table.turned_away(true, start, start) && table.seats() == 2, "too many began at once");
        assert!(!table.meet(b) && table.leave(c) && !table.meet(b), "the last one is met once");
        assert_eq!(table.settles(a, start), None);
        table.enter(start, WAIT, Arc::default());
        assert_eq!(table.settles(a, start), Some(start + SETTLE));
        table.leave(b);
        assert_eq!(table.settles(a, start), None, "there is a seat for each");
    }

    #[test]
    fn those_that_were_given_up_count_until_consul_has_done_with_them() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut table = Table::new(8);
        let claims: Vec<u64> = (0..13).map(|_| table.enter(Instant::now(), WAIT, Arc::default())).collect();
        assert!(claims[..8].iter().all(|claim| table.sit(*claim, at(0))));
        table.give_up(claims[0]);
        assert!(table.given_up.is_empty() && table.sit(claims[0], at(0)), "a first answer comes at once");
        claims.iter().for_each(|claim| _ = table.meet(*claim));
        claims[8..].iter().for_each(|claim| table.change(*claim));
        let sits: Vec<bool> = claims[8..].iter().map(|claim| table.sit(*claim, at(1))).collect();
        assert_eq!(sits, [true, true, false, false, false], "a quarter");
        assert_eq!(sit(&table), [&claims[2..8], &claims[8..10]].concat(), "nobody goes for nothing");
        table.rise(claims[2]);
        assert!(table.sit(claims[10], at(1)), "who was answered does not count");
        table.give_up(claims[3]);
        table.give_up(claims[0]);
        assert!(!table.sit(claims[11], at(10)), "though there is a free seat");
        assert!(table.sit(claims[11], at(11)));
        assert_eq!(table.given_up, [], "each counts from when it was asked, and once");
    }

    #[test]
    fn there_are_as_many_seats_as_consul_takes_connections() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut table = Table::new(30);
        let claims: Vec<u64> = (0..31).map(|_| table.enter(start, WAIT, Arc::default())).collect();
        claims.iter().for_each(|claim| _ = table.meet(*claim));
        assert!(claims[..30].iter().all(|claim| table.sit(*claim, at(0))));
        assert!(!table.turned_away(false, at(0), at(0)), "nobody knows yet whether Consul serves anybody");
        table.hear(at(0));
        for (claim, left) in claims[27..30].iter().zip([29, 28, 27]) {
            table.rise(*claim);
            assert!(table.turned_away(false, at(0), at(0)), "it serves others");
            assert_eq!(table.seats(), left);
        }
        assert!(!table.sit(claims[29], at(0)), "there is no seat for it now");
        assert!(table.turned_away(true, at(0), at(0)) && table.turned_away(true, at(10), at(10)));
        assert_eq!(
            (table.seats(), sit(&table).len()),
            (19, 19),
            "some room is left to others, once for a while"
        );
        assert!(!table.sit(claims[29], at(39)));
        assert!(table.sit(claims[29], at(40)), "there are more after a while");
        assert_eq!(table.seats(), 22);
        for later in 2..9 {
            table.sit(claims[29], at(10 + later * 30));
        }
        assert_eq!((table.seats(), table.more), (30, None), "and all in the end");
        assert!(table.turned_away(false, at(999), at(999)), "who is held is served");
        table.sit(claims[29], at(1000));
        assert_eq!(table.seats(), 12, "some room is left though no turn was turned away");
        assert!(table.turned_away(true, at(1020), at(1020)));
        assert!(!table.turned_away(true, at(1040), at(1040)), "there is none to spare");
        assert_eq!(table.seats(), LEAST);
        table.hear(at(1998));
        for claim in &claims {
            table.rise(*claim);
        }
        assert!(!table.turned_away(false, at(1999), at(1999)), "Consul is gone, which answered a moment ago");
    }
}
