//! Keeps one template's file true: fills the template when an answer changes (`fill`), brings the text into use (`place`),
//! unless a later one is there already (`skip`), and takes in what its HAProxies come back with (`landed`).

mod fill;
mod landed;
mod place;
mod skip;

use crate::{
    again::Again,
    apply::Target,
    facts::Facts,
    fleet::Fleet,
    follow::Follower,
    gate::Gate,
    ledger::Ledger,
    questions::Asks,
    quiet::{Patience, Quiet},
    report::Report,
    status::State,
    template::Template,
};
use daemon::{exit::Exit, ready::Awaited, shutdown::Leaving};
use fill::moments;
use skip::Skipped;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

/// One template with its target and its ends of the channels.
pub struct Keeper {
    /// The template.
    pub template: Box<dyn Template>,
    /// Where its text goes.
    pub target: Target,
    /// The HAProxies that read the file.
    pub fleet: Fleet,
    /// What a text has to pass for their sake.
    pub gate: Gate,
    /// How long a burst of changes is waited out, after the first text.
    pub patience: Patience,
    /// Where the epochs of masters are kept.
    pub ledger: Ledger,
    /// What it asks.
    pub asks: Asks,
    /// What is known.
    pub facts: watch::Receiver<Facts>,
    /// What it says of itself.
    pub report: Report,
    /// What the stewards tell: an HAProxy runs.
    pub runs: Arc<Notify>,
    /// The keepers whose HAProxy may read this file too.
    pub readers: Vec<Arc<Notify>>,
    /// Held until the first text is in place.
    pub awaited: Option<Awaited>,
    /// Print instead of writing.
    pub dry: bool,
    /// End after the first text.
    pub once: bool,
    /// Which failures are the end.
    pub fatal: Fatal,
    /// The loop's memory.
    pub memory: Memory,
}

/// Which failures end the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fatal {
    /// The template cannot be filled.
    pub template: bool,
    /// Its text cannot be brought into use, or its command fails.
    pub others: bool,
}

/// What a keeper remembers from one turn to the next.
pub struct Memory {
    quiet: Quiet,
    seen: Vec<Option<Instant>>,
    /// The text whose file could not be put in its place, and when to act for its sake.
    again: Option<Again>,
    wake: Option<Instant>,
    /// The text that was put in its place last.
    placed: Option<Arc<str>>,
    /// A text that HAProxy was told, and whose check was given up for a later one.
    skipped: Option<Skipped>,
    /// A text that came while every HAProxy was under way.
    behind: bool,
    /// Whether a text had its turn in an HAProxy.
    ended: bool,
    /// When to look whether HAProxy still runs what it should.
    look: Option<Instant>,
    /// The last text that was printed by `--dry`.
    printed: Option<String>,
    /// Whether it was the template that failed last.
    unfilled: bool,
}

/// Somebody may use the socket by hand, or restart HAProxy: looked for this often.
const LOOK: Duration = Duration::from_secs(2);
/// While answers are outstanding nothing can be written, and filling only finds what else to ask.
const GATHER: Patience = Patience { min: Duration::from_millis(100), max: Duration::from_millis(100) };

impl Memory {
    /// At the start: a first text is due.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let quiet = Quiet::default().stir(now, Patience::default());
        Memory {
            quiet,
            seen: vec![],
            again: None,
            wake: None,
            placed: None,
            skipped: None,
            behind: false,
            ended: false,
            look: None,
            printed: None,
            unfilled: false,
        }
    }
}

impl Keeper {
    /// Keeps until told to leave, or until the first text is in use when that is all that was asked for.
    pub async fn keep(mut self, mut leaving: Leaving) -> Exit {
        if !self.dry {
            self.target.sweep();
        }
        loop {
            let next = self.next();
            let exit = tokio::select! {
                () = leaving.signaled() => return self.leave().await,
                heard = self.facts.changed() => match heard {
                    Ok(()) => self.hear(),
                    Err(_) => return Exit::Failed,
                },
                () = self.runs.notified() => self.go_on(),
                (position, follower, landed) = self.fleet.landed() => self.land(position, follower, landed),
                // A keeper waits for most of its life, and what a turn needs is ten times as much.
                () = at(next) => Box::pin(self.turn(&mut leaving)).await,
            };
            if let Some(exit) = exit.filter(|exit| self.once || self.is_fatal(*exit)) {
                self.leave().await;
                return exit;
            }
        }
    }

    /// What is under way with HAProxy ends first.
    async fn leave(&mut self) -> Exit {
        while !self.fleet.is_home() {
            let (position, follower, landed) = self.fleet.landed().await;
            self.land(position, follower, landed);
        }
        self.fleet.leave().await;
        // Asked to render once and told to leave before: the file is not what it should be.
        if self.once { Exit::Failed } else { Exit::Done }
    }

    /// When there is something to do, if nothing happens.
    fn next(&self) -> Option<Instant> {
        self.due().into_iter().chain(self.memory.look).min()
    }

    fn due(&self) -> Option<Instant> {
        self.memory.quiet.due().into_iter().chain(self.memory.wake).chain(self.fleet.wake()).min()
    }

    async fn turn(&mut self, leaving: &mut Leaving) -> Option<Exit> {
        let now = Instant::now();
        if self.memory.look.is_some_and(|look| look <= now) {
            self.memory.look = (!self.fleet.is_empty()).then(|| now + LOOK);
            self.fleet.look();
        }
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        let roused = self.fleet.rouse(now);
        let exit = self.act(leaving).await;
        self.catch_up(leaving).await;
        // A text that could not be filled, or is not to be used, keeps nobody from the one that is in its place.
        if let Some(placed) = &self.memory.placed {
            self.fleet.resume(&roused, placed);
        }
        if exit == Some(Exit::Failed) {
            self.tell_readers();
        }
        exit
    }

    /// Whether an end of [`Keeper::act`] is that of the process.
    fn is_fatal(&self, exit: Exit) -> bool {
        let fatal = if self.memory.unfilled { self.fatal.template } else { self.fatal.others };
        exit != Exit::Done && fatal
    }

    /// An answer changed somewhere: is it one of ours?
    fn hear(&mut self) -> Option<Exit> {
        let facts = self.facts.borrow_and_update().clone();
        let moments = moments(&self.asks.present(), &facts);
        if moments != self.memory.seen {
            let patience = if moments.iter().any(Option::is_none) {
                GATHER
            } else if self.report.state() == State::Waiting {
                Patience::default()
            } else {
                self.patience
            };
            self.memory.quiet = self.memory.quiet.stir(Instant::now(), patience);
        }
        None
    }

    /// Another worker runs than before, or a file beside changed: a look; and the same text again, if it is not known to
    /// be in use.
    fn go_on(&mut self) -> Option<Exit> {
        let now = Instant::now();
        let is_pending = |follower: &Follower| follower.report.state() == State::Pending;
        if self.report.state() == State::Waiting || self.fleet.free().any(is_pending) {
            self.memory.wake = Some(now);
        }
        self.memory.look = Some(now);
        None
    }
}

/// Waits for a moment; for ever without one. A moment that has come is not waited for: the runtime's clock ticks
/// in whole milliseconds, and would round it up.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) if moment <= Instant::now() => {}
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
