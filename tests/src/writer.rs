//! A client that writes through HAProxy all the time, and knows afterwards what became of each write.
//!
//! It holds one connection, or opens one for each write; gives up on an answer after 1 s (a patient one, later) and
//! reconnects, never retries a write and never uses a key twice. *Acknowledged* is an OK within that time; *unknown* was
//! sent and never answered; *refused* was answered with an error, or could not be sent; *lost* was acknowledged and is
//! absent from the surviving master.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::redis::aio::MultiplexedConnection;
use tokio::{
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use crate::{Outcome, PATIENCE, redis};

const TIMEOUT: Duration = Duration::from_secs(1);
// About 500 writes a second: enough to see a loss of milliseconds, little enough to leave the cores to the parts.
const PACE: Duration = Duration::from_millis(2);
// At most so often is a connection opened: as a client's own pause between tries.
const CONNECTS: Duration = Duration::from_millis(5);
// Keys expire and records are dropped after this, so that a demo left running does not grow for ever.
const MEMORY: Duration = Duration::from_secs(600);

/// How a writer uses connections, which see different outages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Manner {
    /// One, as long as it lasts.
    #[default]
    Kept,
    /// A fresh one for each write.
    Fresh,
}

/// The writer at work, until it is dropped.
#[derive(Debug)]
pub struct Writer {
    record: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Record {
    manner: Manner,
    next: u64,
    acknowledged: usize,
    acks: VecDeque<Ack>,
    failures: VecDeque<(Instant, Failure)>,
}

impl Record {
    fn note(&mut self, at: Instant, outcome: Result<Ack, Failure>) {
        match outcome {
            Ok(ack) => {
                self.acknowledged += 1;
                self.acks.push_back(ack);
            }
            Err(failure) => self.failures.push_back((at, failure)),
        }
        while self.acks.front().is_some_and(|ack| at - ack.at > MEMORY) {
            self.acks.pop_front();
        }
        while self.failures.front().is_some_and(|(then, _)| at - *then > MEMORY) {
            self.failures.pop_front();
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Ack {
    at: Instant,
    key: u64,
    server: u16,
}

#[derive(Debug, Clone)]
enum Failure {
    Unknown,
    Refused(String),
}

/// What happened between two moments.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Writes acknowledged.
    pub acknowledged: usize,
    /// Writes acknowledged, by the port of the server that did.
    pub by_server: BTreeMap<u16, usize>,
    /// Writes sent and never answered.
    pub unknown: usize,
    /// Writes refused or not sent, by reason.
    pub refused: BTreeMap<String, usize>,
    /// The longest time without an acknowledgement.
    pub longest_gap: Duration,
}

impl Writer {
    /// Starts to write to 127.0.0.1:`port` over one connection.
    pub fn start(port: u16) -> Writer {
        Writer::with(port, Manner::Kept, TIMEOUT)
    }

    /// The same, for a story in which no write may fail: an answer that comes late is one.
    pub fn patient(port: u16) -> Writer {
        Writer::with(port, Manner::Kept, PATIENCE)
    }

    /// Starts to write to 127.0.0.1:`port`, each time over a fresh connection.
    pub fn fresh(port: u16) -> Writer {
        Writer::with(port, Manner::Fresh, TIMEOUT)
    }

    fn with(port: u16, manner: Manner, limit: Duration) -> Writer {
        let record = Arc::new(Mutex::new(Record { manner, ..Record::default() }));
        let task = tokio::spawn(write_for_ever(port, limit, record.clone()));
        Writer { record, task }
    }

    /// When `server` first acknowledged a write, at `since` or later.
    pub fn first_ack(&self, server: u16, since: Instant) -> Option<Instant> {
        let record = held(&self.record);
        record.acks.iter().find(|ack| ack.server == server && ack.at >= since).map(|ack| ack.at)
    }

    /// When `server` last acknowledged a write, at `since` or later.
    pub fn last_ack(&self, server: u16, since: Instant) -> Option<Instant> {
        let record = held(&self.record);
        record.acks.iter().rfind(|ack| ack.server == server && ack.at >= since).map(|ack| ack.at)
    }

    /// How many writes were acknowledged since the start.
    pub fn acknowledged(&self) -> usize {
        held(&self.record).acknowledged
    }

    /// What happened between two moments.
    pub fn tally(&self, from: Instant, to: Instant) -> Tally {
        let record = held(&self.record);
        let mut tally = Tally::default();
        // The last acknowledgement before the window opens the first gap.
        let mut last = record.acks.iter().rfind(|ack| ack.at < from).map_or(from, |ack| ack.at);
        for ack in record.acks.iter().filter(|ack| ack.at >= from && ack.at <= to) {
            tally.acknowledged += 1;
            *tally.by_server.entry(ack.server).or_default() += 1;
            tally.longest_gap = tally.longest_gap.max(ack.at - last);
            last = ack.at;
        }
        tally.longest_gap = tally.longest_gap.max(to.saturating_duration_since(last));
        for (_, failure) in record.failures.iter().filter(|(at, _)| *at >= from && *at <= to) {
            match failure {
                Failure::Unknown => tally.unknown += 1,
                Failure::Refused(why) => *tally.refused.entry(why.clone()).or_default() += 1,
            }
        }
        tally
    }

    /// How many writes acknowledged between two moments the server at `survivor` does not have, by the port of the
    /// server that acknowledged them. Right only once every other server follows the survivor.
    pub async fn lost(&self, from: Instant, to: Instant, survivor: u16) -> Outcome<BTreeMap<u16, usize>> {
        let (manner, acks) = {
            let record = held(&self.record);
            let within = record.acks.iter().filter(|ack| ack.at >= from && ack.at <= to);
            (record.manner, within.copied().collect::<Vec<Ack>>())
        };
        let mut connection = redis::connect(survivor, Duration::from_secs(5)).await?;
        let mut lost = BTreeMap::new();
        for chunk in acks.chunks(500) {
            let mut ask = ::redis::pipe();
            for ack in chunk {
                ask.cmd("EXISTS").arg(key(manner, ack.key));
            }
            let there: Vec<bool> = ask.query_async(&mut connection).await?;
            for (ack, _) in chunk.iter().zip(there).filter(|(_, there)| !there) {
                *lost.entry(ack.server).or_default() += 1;
            }
        }
        Ok(lost)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn held(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(manner: Manner, number: u64) -> String {
    format!("rolecall:{manner:?}:{number}")
}

async fn write_for_ever(port: u16, limit: Duration, record: Arc<Mutex<Record>>) {
    let mut tick = pace(CONNECTS);
    loop {
        tick.tick().await;
        match open(port, limit).await {
            Ok((connection, server)) => write_on(connection, server, &record).await,
            Err(_) => held(&record).note(Instant::now(), Err(Failure::Refused("no connection".into()))),
        }
    }
}

fn pace(every: Duration) -> Interval {
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

async fn open(port: u16, limit: Duration) -> Outcome<(MultiplexedConnection, u16)> {
    let mut connection = redis::connect(port, limit).await?;
    let server = redis::behind(&mut connection).await?;
    Ok((connection, server))
}

/// Writes until the connection fails, or once.
async fn write_on(mut connection: MultiplexedConnection, server: u16, record: &Mutex<Record>) {
    let mut tick = pace(PACE);
    loop {
        tick.tick().await;
        let (manner, number) = {
            let mut record = held(record);
            record.next += 1;
            (record.manner, record.next)
        };
        let mut set = ::redis::cmd("SET");
        set.arg(key(manner, number)).arg(number).arg("EX").arg(MEMORY.as_secs());
        let answer = set.query_async::<()>(&mut connection).await;
        let at = Instant::now();
        let outcome = match &answer {
            Ok(()) => Ok(Ack { at, key: number, server }),
            Err(error) => Err(error.code().map_or(Failure::Unknown, |code| Failure::Refused(code.into()))),
        };
        held(record).note(at, outcome);
        // After an error reply, READONLY above all, a plain client stays on its connection.
        if manner == Manner::Fresh || answer.is_err_and(|error| error.code().is_none()) {
            return;
        }
    }
}
