//! Keeps one template's file true: fills the template when an answer changes, and brings the text into use.

use crate::{
    again::Again,
    apply::{Done, Marks, Placed, Prepared, Target, Trouble},
    facts::Facts,
    haproxy::{outline::outline, steward::Applied},
    ledger::{Followed, Ledger},
    questions::Asks,
    quiet::{Patience, Quiet},
    report::Report,
    status::{State, TemplateStatus},
    steer::{Course, Helm},
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
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

/// One template with its target and its ends of the channels.
pub struct Keeper {
    /// The template.
    pub template: Box<dyn Template>,
    /// Where its text goes.
    pub target: Target,
    /// Steers HAProxy, if that is who reads the file.
    pub helm: Option<Helm>,
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
    /// What it tells HAProxy's steward.
    pub applied: watch::Sender<Applied>,
    /// What the steward tells: HAProxy runs.
    pub runs: Arc<Notify>,
    /// The keepers whose HAProxy may read this file too.
    pub readers: Vec<Arc<Notify>>,
    /// The files of the templates that HAProxy may read beside its configuration, and how these templates fare.
    pub beside: Vec<(PathBuf, watch::Receiver<TemplateStatus>)>,
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
    /// The text that could not be brought into use, and when to act for its sake.
    again: Option<Again>,
    wake: Option<Instant>,
    /// When to look whether HAProxy still runs what it should.
    look: Option<Instant>,
    /// When HAProxy was last reloaded.
    reloaded: Option<Instant>,
    /// What a reload was to put right last.
    hopeless: Vec<String>,
    /// The last text that was printed by `--dry`.
    printed: Option<String>,
    /// Whether it was the template that failed last.
    unfilled: bool,
}

/// Somebody may use the socket by hand, or restart HAProxy: looked for this often.
const LOOK: Duration = Duration::from_secs(2);
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
            look: None,
            reloaded: None,
            hopeless: vec![],
            printed: None,
            unfilled: false,
        }
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
                () = leaving.signaled() => {
                    self.leave().await;
                    return if self.once { Exit::Failed } else { Exit::Done };
                }
                heard = self.facts.changed() => match heard {
                    Ok(()) => self.hear(),
                    Err(_) => return Exit::Failed,
                },
                () = self.runs.notified() => self.go_on(),
                () = at(self.memory.look) => self.look().await,
                () = at(due) => {
                    let exit = self.act(&mut leaving).await;
                    if exit == Some(Exit::Failed) {
                        self.tell_readers();
                    }
                    if let Some(exit) = exit.filter(|exit| self.once || self.is_fatal(*exit)) {
                        self.leave().await;
                        return exit;
                    }
                }
            }
        }
    }

    async fn leave(&mut self) {
        if let Some(helm) = &mut self.helm {
            helm.leave().await;
        }
    }

    /// Whether an end of [`Keeper::act`] is that of the process.
    fn is_fatal(&self, exit: Exit) -> bool {
        let fatal = if self.memory.unfilled { self.fatal.template } else { self.fatal.others };
        exit != Exit::Done && fatal
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

    /// Another worker runs than before, or a file beside changed: the same text again, if it is not known to be in use;
    /// else a look.
    fn go_on(&mut self) {
        match self.report.state() {
            State::Waiting | State::Pending => self.memory.wake = Some(Instant::now()),
            _ => self.memory.look = Some(Instant::now()),
        }
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
    fn fill(&self, facts: &Facts) -> Draft {
        let (followed, unread) = match self.ledger.read() {
            Ok(followed) => (followed, None),
            Err(why) => (Followed::new(), Some(why)),
        };
        let mut draft = self.template.fill(facts, &followed);
        draft.warnings.extend(unread);
        if let Ok(text) = &draft.text {
            draft.missing.extend(self.unwritten(text));
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

    /// The files that a text names and that do not exist, since another template has yet to write them: HAProxy would
    /// refuse the text.
    fn unwritten(&self, text: &str) -> Vec<String> {
        if self.helm.is_none() || self.dry || self.beside.is_empty() {
            return vec![];
        }
        let named = outline(text).files();
        let due = self.beside.iter().filter(|(path, status)| {
            path.to_str().is_some_and(|path| named.contains_key(path))
                && status.borrow().state == State::Waiting
                && !path.exists()
        });
        due.map(|(path, _)| format!("{} (another template writes it)", path.display())).collect()
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
        let course = match self.steer(text, &mut marks).await {
            Ok(course) => course,
            Err(trouble) => return Some(self.stumble(&trouble, text, marks)),
        };
        if let Some(due) = self.must_wait(&course) {
            self.memory.wake = Some(due);
            return None;
        }
        let prepared = tokio::select! {
            prepared = self.target.prepare(text, &mut marks) => prepared,
            () = leaving.signaled() => {
                self.back(course, text, None).await;
                return None;
            }
        };
        let came = match prepared {
            Ok(prepared) => self.bring(prepared, &course, &mut marks).await,
            Err(trouble) => Err(trouble),
        };
        self.report.took(&course, &came);
        Some(match came {
            Ok(done) => self.succeed(done, text, marks),
            Err(trouble) => {
                self.back(course, text, Some(&trouble)).await;
                self.stumble(&trouble, text, marks)
            }
        })
    }

    /// Does at run time what can be done for a text.
    async fn steer(&mut self, text: &str, marks: &mut Marks) -> Result<Course, Trouble> {
        let again = self.memory.again.as_ref().is_some_and(|again| again.is_about(text));
        let Some(helm) = &mut self.helm else { return Ok(Course::Settled) };
        let course = helm.steer(text, again, marks).await?;
        if course.told() {
            let cutting = helm.cutting(text);
            self.applied.send_modify(|applied| {
                applied.cutting.extend(cutting);
                applied.steered += 1;
            });
        }
        Ok(course)
    }

    /// Reloads come one after the other, not closer than they may; what cannot wait was steered ahead.
    fn must_wait(&mut self, course: &Course) -> Option<Instant> {
        let helm = self.helm.as_mut()?;
        course.why()?;
        let due = self.memory.reloaded.map(|then| then + helm.interval).filter(|due| *due > Instant::now());
        if due.is_some() {
            helm.keep(course);
        }
        due
    }

    async fn bring(
        &mut self,
        prepared: Prepared,
        course: &Course,
        marks: &mut Marks,
    ) -> Result<Done, Trouble> {
        let placed = Target::place(prepared, marks)?;
        if let (Some(helm), Course::Same) = (&mut self.helm, course) {
            helm.settle();
            marks.applied = marks.renamed;
            return Ok(Done::Written);
        }
        if let (Some(helm), Course::Steered { orders, .. }) = (&mut self.helm, course)
            && helm.confirms(course).await
        {
            marks.applied = marks.steered.or(marks.renamed);
            return Ok(match (*orders, placed) {
                (0, None) => Done::Unchanged,
                (0, Some(_)) => Done::Written,
                _ => Done::Steered,
            });
        }
        let Some(placed) = placed else { return Ok(Done::Unchanged) };
        if course.why().is_some() {
            self.memory.reloaded = Some(Instant::now());
        }
        self.target.bring(placed, marks).await
    }

    async fn back(&mut self, course: Course, text: &str, trouble: Option<&Trouble>) {
        if let Some(helm) = &mut self.helm {
            helm.back(course, text, trouble).await;
        }
    }

    /// Looks whether HAProxy still runs what the file says, and puts it right.
    async fn look(&mut self) {
        self.memory.look = Some(Instant::now() + LOOK);
        let Some(helm) = &mut self.helm else { return };
        if self.report.state() != State::Applied {
            return;
        }
        let Some(looked) = helm.look_after().await else { return };
        self.report.looked_after(&looked);
        if looked.other_files {
            self.memory.wake = Some(Instant::now());
        }
        if looked.leaving > 0 {
            self.memory.look = Some(Instant::now() + LOOK_SOON);
        }
        // Once: what a reload does not put right is said, and no more.
        if !looked.mended && self.memory.hopeless != looked.drift {
            let why = format!("HAProxy ran otherwise than the file says: {}", looked.drift.join(", "));
            self.memory.hopeless.clone_from(&looked.drift);
            let mut marks = Marks::default();
            let came = self.target.bring(Placed::Now, &mut marks).await;
            self.memory.reloaded = Some(Instant::now());
            self.report.took(&Course::reload(why), &came);
            match came {
                Ok(done) => self.report.came(done, marks),
                Err(trouble) => tracing::warn!("{trouble}"),
            }
        }
    }

    fn succeed(&mut self, done: Done, text: &str, marks: Marks) -> Exit {
        self.memory.again = None;
        self.awaited = None;
        // The first look comes at once: an earlier run may have been killed.
        let pause = if self.memory.look.is_none() { Duration::ZERO } else { LOOK_SOON };
        self.memory.look = Some(Instant::now() + pause);
        self.report.came(done, marks);
        if done != Done::Unchanged {
            self.tell_readers();
        }
        let cutting = self.helm.as_mut().map(|helm| helm.cutting(text)).unwrap_or_default();
        self.applied.send_if_modified(|applied| {
            let before = applied.clone();
            applied.cutting.extend(cutting);
            applied.reloads += u64::from(done == Done::Reloaded);
            *applied != before
        });
        Exit::Done
    }

    /// HAProxy may read this file beside its configuration: it is another one, or its first text failed.
    fn tell_readers(&self) {
        if self.helm.is_none() {
            self.readers.iter().for_each(|reader| reader.notify_one());
        }
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
