//! Keeps one template's file true: fills the template when an answer changes, and brings the text into use.

use crate::{
    again::Again,
    apply::{Done, Marks, Target, Trouble},
    facts::Facts,
    haproxy::{outline::outline, steward::Applied},
    questions::Asks,
    quiet::{Patience, Quiet},
    report::Report,
    status::State,
    steer::Ahead,
    template::{Draft, Template},
};
use consul::Query;
use daemon::{clock::unix_millis, exit::Exit, ready::Awaited, shutdown::Leaving};
use std::{
    collections::BTreeSet,
    io::{self, Write},
    sync::Arc,
};
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
    /// How long a burst of changes is waited out, after the first text.
    pub patience: Patience,
    /// What it asks.
    pub asks: Asks,
    /// What is known.
    pub facts: watch::Receiver<Facts>,
    /// What it says of itself.
    pub report: Report,
    /// What it tells HAProxy's steward.
    pub applied: watch::Sender<Applied>,
    /// What the steward tells: HAProxy runs.
    pub runs: Arc<Notify>,
    /// Held until the first text is in place.
    pub awaited: Option<Awaited>,
    /// Print instead of writing.
    pub dry: bool,
    /// End after the first text.
    pub once: bool,
    /// The loop's memory.
    pub memory: Memory,
}

/// What a keeper remembers from one turn to the next.
pub struct Memory {
    quiet: Quiet,
    seen: Vec<Option<Instant>>,
    /// The text that could not be brought into use, and when to act for its sake.
    again: Option<Again>,
    wake: Option<Instant>,
    /// The last text that was printed by `--dry`.
    printed: Option<String>,
}

impl Memory {
    /// At the start: a first text is due.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let quiet = Quiet::default().stir(now, Patience::default());
        Memory { quiet, seen: vec![], again: None, wake: None, printed: None }
    }

    fn due(&self) -> Option<Instant> {
        self.quiet.due().into_iter().chain(self.wake).min()
    }
}

impl Keeper {
    /// Keeps until told to leave, or until the first text is in use when that is all that was asked for.
    pub async fn keep(mut self, mut leaving: Leaving) -> Exit {
        loop {
            let due = self.memory.due();
            tokio::select! {
                // Asked to render once and told to leave before: the file is not what it should be.
                () = leaving.signaled() => return if self.once { Exit::Failed } else { Exit::Done },
                heard = self.facts.changed() => match heard {
                    Ok(()) => self.hear(),
                    Err(_) => return Exit::Failed,
                },
                () = self.runs.notified() => self.go_on(),
                () = at(due) => {
                    let exit = self.act(&mut leaving).await;
                    if let Some(exit) = exit.filter(|_| self.once) {
                        return exit;
                    }
                }
            }
        }
    }

    /// An answer changed somewhere: is it one of ours?
    fn hear(&mut self) {
        let facts = self.facts.borrow_and_update().clone();
        if moments(&self.asks.present(), &facts) != self.memory.seen {
            let first = self.report.state() == State::Waiting;
            let patience = if first { Patience::default() } else { self.patience };
            self.memory.quiet = self.memory.quiet.stir(Instant::now(), patience);
        }
    }

    /// HAProxy runs: the same text again, of which it is not known that it is in use.
    fn go_on(&mut self) {
        if self.report.state() == State::Pending {
            self.memory.wake = Some(Instant::now());
        }
    }

    /// Fills the template and brings the text into use; an exit when the first text is done with.
    async fn act(&mut self, leaving: &mut Leaving) -> Option<Exit> {
        (self.memory.quiet, self.memory.wake) = (Quiet::default(), None);
        let facts = self.facts.borrow_and_update().clone();
        let draft = self.template.fill(&facts);
        let mut marks = Marks { rendered: Some(unix_millis()), ..Marks::default() };
        let asked = self.publish(&draft);
        self.memory.seen = moments(&asked, &facts);
        if !draft.missing.is_empty() {
            return None;
        }
        let newest = self.memory.seen.iter().flatten().max();
        marks.heard = newest.map(|heard| unix_millis() - heard.elapsed().as_secs_f64() * 1e3);
        match draft.text {
            Err(error) => {
                self.report.failed("refused", Marks::default(), &error.to_string());
                Some(Exit::Failed)
            }
            Ok(text) if self.dry => self.print(text),
            Ok(text) => self.apply(&text, marks, leaving).await,
        }
    }

    /// Tells what the template asks, lacks and warns of. A template that failed did not come to its last
    /// question, so its earlier ones stand.
    fn publish(&self, draft: &Draft) -> BTreeSet<Query> {
        let mut asked = draft.asked.clone();
        if draft.text.is_err() {
            asked.extend(self.asks.present());
        }
        self.asks.publish(&asked);
        self.report.filled(draft);
        asked
    }

    /// Brings a text into use, unless its turn has not come again; no exit when told to leave before.
    async fn apply(&mut self, text: &str, mut marks: Marks, leaving: &mut Leaving) -> Option<Exit> {
        if let Some(again) = self.memory.again.as_ref().filter(|again| again.forbids(text, Instant::now())) {
            self.memory.wake = again.due();
            _ = self.report.is_wrong(&again.error);
            return Some(Exit::Failed);
        }
        let ahead = self.ahead(text, &mut marks).await;
        let prepared = tokio::select! {
            prepared = self.target.prepare(text, &mut marks) => prepared,
            () = leaving.signaled() => {
                self.target.undo(ahead, None).await;
                return None;
            }
        };
        let came = match prepared {
            Ok(prepared) => self.target.bring(prepared, &mut marks).await,
            Err(trouble) => Err(trouble),
        };
        Some(match came {
            Ok(done) => self.succeed(done, text, marks),
            Err(trouble) => {
                self.target.undo(ahead, Some(&trouble)).await;
                self.stumble(&trouble, text, marks)
            }
        })
    }

    /// Steers ahead of a text, unless it failed before: a text that is refused again and again must not cut clients
    /// off each time.
    async fn ahead(&mut self, text: &str, marks: &mut Marks) -> Ahead {
        if self.memory.again.as_ref().is_some_and(|again| again.is_about(text)) {
            return Ahead::default();
        }
        let ahead = self.target.ahead(text, marks).await;
        if !ahead.is_empty() {
            self.applied.send_modify(|applied| applied.steered += 1);
        }
        ahead
    }

    fn succeed(&mut self, done: Done, text: &str, marks: Marks) -> Exit {
        self.memory.again = None;
        self.awaited = None;
        self.report.came(done, marks);
        self.applied.send_if_modified(|applied| {
            let before = applied.clone();
            applied.cutting.extend(outline(text).cutting().iter().cloned());
            applied.reloads += u64::from(done == Done::Reloaded);
            *applied != before
        });
        Exit::Done
    }

    fn stumble(&mut self, trouble: &Trouble, text: &str, marks: Marks) -> Exit {
        if trouble.is_of_the_reader() {
            // The file is what it should be; what its reader makes of it does not get better by our being unready.
            self.awaited = None;
        }
        let (before, now) = (self.memory.again.take(), Instant::now());
        let again = Again::after(before, text, trouble.to_string(), trouble.again(), now);
        self.memory.wake = again.due();
        self.memory.again = Some(again);
        self.report.stumbled(trouble, marks);
        Exit::Failed
    }

    /// Prints a new text; nobody who reads any more is the end of it.
    fn print(&mut self, text: String) -> Option<Exit> {
        self.awaited = None;
        self.report.printed();
        if self.memory.printed.as_ref() == Some(&text) {
            return Some(Exit::Done);
        }
        let mut out = io::stdout().lock();
        let path = self.target.destination.path().display();
        let printed = write!(out, "> {path}\n{text}").and_then(|()| out.flush());
        if let Err(error) = printed.as_ref().map_err(io::Error::kind)
            && error != io::ErrorKind::BrokenPipe
        {
            self.report.failed("failed", Marks::default(), "the text cannot be printed");
            return Some(Exit::Failed);
        }
        self.memory.printed = Some(text);
        Some(Exit::Done)
    }
}

/// When each question was answered with its present value.
fn moments(asked: &BTreeSet<Query>, facts: &Facts) -> Vec<Option<Instant>> {
    asked.iter().map(|query| facts.get(query).and_then(|watched| watched.heard)).collect()
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
