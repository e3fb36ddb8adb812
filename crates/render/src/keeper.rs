//! Keeps one template's file true: fills the template when an answer changes, and brings the text into use.

use crate::{
    again::Again,
    apply::{Done, Marks, Placed, Target, Trouble},
    facts::Facts,
    fleet::Fleet,
    follow::{Follower, Landed, Placing, Wish},
    gate::{Gate, Passed},
    ledger::{Followed, Ledger},
    parts,
    questions::Asks,
    quiet::{Patience, Quiet},
    report::Report,
    status::State,
    template::{Draft, Template},
};
use consul::Query;
use daemon::{clock::unix_millis, exit::Exit, ready::Awaited, shutdown::Leaving};
use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep_until, timeout},
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

/// How soon an operator's reset is seen while a master is refused.
const RESET: Duration = Duration::from_secs(2);

/// What a keeper remembers from one turn to the next.
pub struct Memory {
    quiet: Quiet,
    seen: Vec<Option<Instant>>,
    /// The text whose file could not be put in its place, and when to act for its sake.
    again: Option<Again>,
    wake: Option<Instant>,
    /// The text that was put in its place last.
    placed: Option<Arc<str>>,
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
/// Steering goes before the check, which would take the processor from it. It takes a millisecond or two; that of a
/// thousand servers takes longer, and HAProxy answers all the while. One that hangs is not waited for.
const HEAD_START: Duration = Duration::from_millis(50);
/// After a change, and while servers that left wait for their last connections.
const LOOK_SOON: Duration = Duration::from_secs(1);

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
                () = at(next) => self.turn(&mut leaving).await,
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

    /// Fills the template and brings the text into use; an exit when the first text is done with.
    async fn act(&mut self, leaving: &mut Leaving) -> Option<Exit> {
        (self.memory.quiet, self.memory.wake) = (Quiet::default(), None);
        let facts = self.facts.borrow_and_update().clone();
        let draft = self.fill(&facts);
        let mut marks = Marks { rendered: Some(unix_millis()), ..Marks::default() };
        let asked = self.publish(&draft);
        self.memory.seen = moments(&asked, &facts);
        if !draft.missing.is_empty() {
            return None;
        }
        if draft.trail.former {
            self.memory.wake = Some(Instant::now() + RESET);
        }
        let newest = self.memory.seen.iter().flatten().max();
        marks.heard = newest.map(|heard| unix_millis() - heard.elapsed().as_secs_f64() * 1e3);
        self.memory.unfilled = draft.text.is_err();
        match draft.text {
            Err(error) => {
                self.report.failed("refused", Marks::default(), &error.to_string());
                Some(Exit::Failed)
            }
            Ok(text) if self.dry => self.print(text),
            Ok(text) => self.apply(&text, marks, leaving).await,
        }
    }

    /// Fills the template, over the epochs that were followed so far. The file is the memory of these, so that an operator
    /// can reset it; one that cannot be read protects nobody, and must not take the master away either.
    fn fill(&mut self, facts: &Facts) -> Draft {
        let (followed, unread) = match self.ledger.read() {
            Ok(followed) => (followed, None),
            Err(why) => (Followed::new(), Some(why)),
        };
        let mut draft = self.template.fill(facts, &followed);
        draft.warnings.extend(unread);
        if let (Ok(text), false) = (&draft.text, self.dry) {
            draft.missing.extend(self.gate.unwritten(text));
        }
        let mut next = followed.clone();
        next.extend(draft.trail.follows.clone());
        // Before the text is in use: rather once too often than to forget.
        if draft.text.is_ok() && draft.missing.is_empty() && !self.dry && next != followed {
            let create = self.target.destination.creates_folders();
            draft.warnings.extend(self.ledger.write(&next, create).err());
        }
        draft
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

    /// Puts a text into its place and has HAProxy follow, or the command run, unless its turn has not come again. No
    /// exit when told to leave before, or while HAProxy is under way with it.
    async fn apply(&mut self, text: &str, mut marks: Marks, leaving: &mut Leaving) -> Option<Exit> {
        if let Some(again) = self.memory.again.as_ref().filter(|again| again.forbids(text, Instant::now())) {
            self.memory.wake = again.due();
            _ = self.report.is_wrong(&again.error);
            return Some(Exit::Failed);
        }
        let Passed { text, held } = match self.gate.pass(text, &self.target.destination) {
            Ok(passed) => passed,
            Err(trouble) => return Some(self.stumble(&trouble, text, marks)),
        };
        if self.fleet.is_away() {
            self.memory.behind = true;
            return None;
        }
        if self.fleet.forbids(&text, Instant::now()) {
            return Some(Exit::Failed);
        }
        let again = self.memory.again.as_ref().is_some_and(|again| again.is_about(&text));
        let (file, placing) = watch::channel(Placing::Awaited);
        self.steer(&text, marks, again, placing).await;
        let prepared = tokio::select! {
            prepared = self.target.prepare(&text, &mut marks) => prepared,
            () = leaving.signaled() => return None,
        };
        match prepared.and_then(|prepared| Target::place(prepared, &mut marks)) {
            Ok(placed) => self.settle(placed, text, (marks, held), &file).await,
            Err(trouble) => {
                let trouble = Arc::new(trouble);
                file.send_replace(Placing::Refused(Arc::clone(&trouble)));
                Some(self.stumble(&trouble, &text, marks))
            }
        }
    }

    /// Sends each HAProxy that is free after a text, and gives it a moment to be steered, from each answer to the next.
    async fn steer(&mut self, text: &Arc<str>, marks: Marks, again: bool, file: watch::Receiver<Placing>) {
        let (steering, mut steered) = mpsc::channel(1);
        self.fleet.follow(&Wish { text: Arc::clone(text), marks, again, file, steering });
        if !self.fleet.is_empty() {
            while let Ok(Some(())) = timeout(HEAD_START, steered.recv()).await {}
        }
    }

    /// The text is in its place: the rest is for HAProxy, or the command.
    async fn settle(
        &mut self,
        placed: Placed,
        text: Arc<str>,
        (mut marks, held): (Marks, Option<String>),
        file: &watch::Sender<Placing>,
    ) -> Option<Exit> {
        self.memory.again = None;
        if !self.fleet.is_empty() {
            self.report.placed(marks, held);
            self.memory.placed = Some(text);
            file.send_replace(Placing::InPlace(marks));
            return None;
        }
        let ran = self.target.run(placed, &mut marks).await;
        self.awaited = None;
        match ran {
            Ok(done) => {
                self.report.came(done, marks);
                if done != Done::Unchanged {
                    self.tell_readers();
                }
                Some(Exit::Done)
            }
            Err(trouble) => Some(self.stumble(&trouble, &text, marks)),
        }
    }

    /// HAProxy may read this file beside its configuration: it is another one, or its first text failed.
    fn tell_readers(&self) {
        if self.fleet.is_empty() {
            self.readers.iter().for_each(|reader| reader.notify_one());
        }
    }

    /// One HAProxy ended what it did.
    fn land(&mut self, position: usize, mut follower: Follower, landed: Landed) -> Option<Exit> {
        match landed {
            Landed::Came(came, marks) => {
                self.memory.ended = true;
                self.came(position, &mut follower, came, marks);
            }
            Landed::Waits | Landed::Withdrawn | Landed::Looked(None) => {}
            Landed::Looked(Some(looked)) => {
                follower.report.looked_after(&looked);
                if looked.other_files {
                    self.memory.wake = Some(Instant::now());
                }
                if looked.leaving > 0 {
                    self.look_within(LOOK_SOON);
                }
                if follower.needs_mending(&looked) {
                    self.fleet.mend(position, follower, looked.drift);
                    return None;
                }
            }
            Landed::Mended(Ok(done), marks) => {
                if done == Done::Reloaded && self.memory.placed.as_ref() == Some(&follower.text) {
                    follower.helm.settle();
                }
                follower.report.came(done, marks);
            }
            Landed::Mended(Err(trouble), _) => tracing::warn!("{trouble}"),
        }
        let late = self.memory.placed.as_ref().is_some_and(|placed| *placed != follower.text);
        if std::mem::take(&mut self.memory.behind) || late {
            self.memory.wake = Some(Instant::now());
        }
        self.fleet.moor(position, follower);
        let failed = self.fleet.free().any(|follower| follower.again.is_some());
        (self.memory.ended && self.fleet.is_home()).then_some(if failed { Exit::Failed } else { Exit::Done })
    }

    /// A text came into use in one HAProxy, or did not.
    fn came(&mut self, position: usize, follower: &mut Follower, came: Result<Done, Trouble>, marks: Marks) {
        // What a text does in one HAProxy does not get better by our being unready for the others.
        self.awaited = None;
        match came {
            Ok(done) => {
                // A later text may be in the file by now.
                let is_in_place = self.memory.placed.as_ref() == Some(&follower.text);
                if is_in_place && !matches!(done, Done::Held | Done::NotRunning) {
                    follower.helm.settle();
                }
                follower.succeed(done, marks);
                // The first look comes at once: an earlier run may have been killed.
                self.look_within(if self.memory.look.is_none() { Duration::ZERO } else { LOOK_SOON });
            }
            Err(Trouble::Reload { why, .. }) => {
                let back = if self.fleet.another_runs(position, &follower.text) {
                    "; the new file stays, another HAProxy may run it".into()
                } else {
                    self.memory.placed = None;
                    follower.helm.put_back()
                };
                follower.stumble(&Trouble::Reload { why, back }, marks);
            }
            Err(trouble) => follower.stumble(&trouble, marks),
        }
    }

    fn look_within(&mut self, pause: Duration) {
        let soon = Instant::now() + pause;
        self.memory.look = Some(self.memory.look.map_or(soon, |look| look.min(soon)));
    }

    /// The text did not get into its place, or its command failed.
    fn stumble(&mut self, trouble: &Trouble, text: &str, marks: Marks) -> Exit {
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
        let path = self.target.destination.path();
        let files = match self.target.folder {
            Some(_) => parts::split(&text).into_iter().map(|(name, text)| (path.join(name), text)).collect(),
            None => vec![(path.to_owned(), text.as_str())],
        };
        let each = |(path, text): &(PathBuf, &str)| write!(out, "> {}\n{text}", path.display());
        let printed = files.iter().try_for_each(each).and_then(|()| out.flush());
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
