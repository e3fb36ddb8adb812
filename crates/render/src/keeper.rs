//! Keeps one template's file true: fills the template when an answer changes, brings the text into use, and
//! looks after HAProxy in between.

use crate::{
    apply::{Done, Marks, Reader, Target, Trouble},
    facts::Facts,
    haproxy::{
        master::Master,
        outline::{Outline, outline},
        socket::SocketError,
    },
    metrics::Metrics,
    quiet::{Patience, Quiet},
    status::{Change, State, TemplateStatus},
    template::{Draft, Template},
};
use consul::{Query, backoff::Backoff};
use daemon::{clock::unix_millis, exit::Exit, ready::Awaited, shutdown::Leaving};
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};
use tokio::{
    sync::watch,
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
    pub asked: watch::Sender<BTreeSet<Query>>,
    /// What is known.
    pub facts: watch::Receiver<Facts>,
    /// What it says of itself.
    pub status: watch::Sender<TemplateStatus>,
    /// Counters.
    pub metrics: Metrics,
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
    /// A text that failed for good, not to be tried again.
    rejected: Option<String>,
    retry: Option<Instant>,
    backoff: Backoff,
    /// When to look after HAProxy next, and how long after that.
    tend: Instant,
    pause: Duration,
    /// The configuration in use, and the proxies whose sessions are cut, of it and of all before.
    now: Outline,
    cutting: BTreeSet<String>,
    /// The last texts that were printed by `--dry`.
    printed: VecDeque<String>,
}

/// HAProxy is looked after this often; right after a reload, sooner and then ever less often, since the worker
/// that leaves may take one more connection before it closes its listeners.
const TEND: Duration = Duration::from_secs(1);
const TEND_SOON: Duration = Duration::from_millis(20);
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_LONGEST: Duration = Duration::from_secs(30);

impl Memory {
    /// At the start: a first text is due.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Memory {
            quiet: Quiet::default().stir(now, Patience::default()),
            seen: vec![],
            rejected: None,
            retry: None,
            backoff: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            tend: now + TEND,
            pause: TEND,
            now: Outline::default(),
            cutting: BTreeSet::new(),
            printed: VecDeque::new(),
        }
    }

    fn due(&self) -> Option<Instant> {
        self.quiet.due().into_iter().chain(self.retry).min()
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
                () = at(due) => {
                    let exit = self.act().await;
                    if let Some(exit) = exit.filter(|_| self.once) {
                        return exit;
                    }
                }
                () = at(Some(self.memory.tend)) => self.tend().await,
            }
        }
    }

    /// An answer changed somewhere: is it one of ours?
    fn hear(&mut self) {
        if self.moments() != self.memory.seen {
            let first = self.status.borrow().state == State::Waiting;
            let patience = if first { Patience::default() } else { self.patience };
            self.memory.quiet = self.memory.quiet.stir(Instant::now(), patience);
        }
    }

    /// When each of our questions was answered with its present value.
    fn moments(&mut self) -> Vec<Option<Instant>> {
        let facts = self.facts.borrow_and_update();
        self.asked.borrow().iter().map(|query| facts.get(query).and_then(|watched| watched.heard)).collect()
    }

    /// Fills the template and brings the text into use; an exit when the first text is done with.
    async fn act(&mut self) -> Option<Exit> {
        self.memory.quiet = Quiet::default();
        self.memory.retry = None;
        let facts = self.facts.borrow_and_update().clone();
        let filled = self.template.fill(&facts);
        let draft = match filled {
            Ok(draft) => draft,
            Err(error) => {
                self.memory.seen = self.moments();
                self.fail("refused", Marks::default(), &error.to_string());
                return Some(Exit::Failed);
            }
        };
        let mut marks = Marks { rendered: Some(unix_millis()), ..Marks::default() };
        self.publish(&draft);
        self.memory.seen = self.moments();
        if !draft.missing.is_empty() {
            return None;
        }
        let newest = self.memory.seen.iter().flatten().max();
        marks.heard = newest.map(|heard| unix_millis() - heard.elapsed().as_secs_f64() * 1e3);
        if self.dry {
            self.print(draft.text);
            return Some(Exit::Done);
        }
        Some(self.apply(&draft.text, marks).await)
    }

    /// Tells what the template asks, lacks and warns of.
    fn publish(&mut self, draft: &Draft) {
        self.asked.send_if_modified(|asked| {
            let news = *asked != draft.asked;
            asked.clone_from(&draft.asked);
            news
        });
        let (mut waits, mut warns) = (false, false);
        self.status.send_modify(|status| {
            waits = status.missing != draft.missing;
            warns = !draft.warnings.is_subset(&status.warnings);
            status.missing.clone_from(&draft.missing);
            status.warnings.clone_from(&draft.warnings);
        });
        let template = &self.status.borrow().source;
        if waits && !draft.missing.is_empty() {
            let missing: Vec<_> = draft.missing.iter().map(String::as_str).collect();
            tracing::info!(
                template,
                missing = missing.join(", "),
                "waiting for answers before anything is written"
            );
        }
        if warns {
            for warning in &draft.warnings {
                tracing::warn!(template, "{warning}");
            }
        }
    }

    async fn apply(&mut self, text: &str, mut marks: Marks) -> Exit {
        if self.memory.rejected.as_deref() == Some(text) {
            return Exit::Failed;
        }
        self.memory.rejected = None;
        match self.target.apply(text, &mut marks).await {
            Ok(done) => {
                self.succeed(done, text, marks).await;
                Exit::Done
            }
            Err(trouble) => {
                self.stumble(&trouble, text, marks);
                Exit::Failed
            }
        }
    }

    async fn succeed(&mut self, done: Done, text: &str, mut marks: Marks) {
        let next = outline(text);
        self.memory.cutting.extend(next.cutting.iter().cloned());
        self.memory.now = next;
        self.memory.backoff.reset();
        self.awaited = None;
        let outcome = match done {
            Done::Unchanged => None,
            Done::Written => Some("written"),
            Done::Reloaded => Some("reloaded"),
            Done::NotRunning => Some("pending"),
        };
        let mut cut = 0;
        if done == Done::Reloaded {
            cut = self.sweep().await;
            marks.cut = Some(unix_millis());
            (self.memory.tend, self.memory.pause) = (Instant::now() + TEND_SOON, TEND_SOON);
        }
        let destination = self.target.destination.path().display().to_string();
        if let Some(outcome) = outcome {
            tracing::info!(destination, outcome, sessions_cut = cut, "the rendered file changed");
            self.metrics.changed(&destination, outcome, &marks);
        }
        self.status.send_modify(|status| {
            status.state = if done == Done::NotRunning { State::Pending } else { State::Applied };
            status.error = None;
            status.writes += u64::from(marks.renamed.is_some());
            status.reloads += u64::from(done == Done::Reloaded);
            if let Some(outcome) = outcome {
                status.remember(Change { outcome, marks, sessions_cut: cut, error: None });
            }
        });
        self.metrics.state(&destination, self.status.borrow().state);
    }

    fn stumble(&mut self, trouble: &Trouble, text: &str, marks: Marks) {
        if trouble.is_worth_another_try() {
            self.memory.retry = Some(Instant::now() + RETRY_FIRST.max(self.memory.backoff.pause()));
        } else {
            self.memory.rejected = Some(text.to_owned());
        }
        let outcome = if matches!(trouble, Trouble::Check(_)) { "refused" } else { "failed" };
        self.status.send_modify(|status| {
            status.reload_failures += u64::from(matches!(trouble, Trouble::Reload { .. }));
            status.writes += u64::from(matches!(trouble, Trouble::Command(_)));
        });
        self.fail(outcome, marks, &trouble.to_string());
    }

    fn fail(&mut self, outcome: &'static str, marks: Marks, error: &str) {
        let destination = self.target.destination.path().display().to_string();
        let mut news = false;
        self.status.send_modify(|status| {
            news = status.error.as_deref() != Some(error);
            status.state = State::Failed;
            status.error = Some(error.to_owned());
            if news {
                status.remember(Change { outcome, marks, sessions_cut: 0, error: Some(error.to_owned()) });
            }
        });
        if news {
            tracing::error!(destination, "{error}");
        }
        self.metrics.failed(&destination, outcome);
        self.metrics.state(&destination, State::Failed);
    }

    fn print(&mut self, text: String) {
        self.awaited = None;
        self.status.send_modify(|status| status.state = State::Applied);
        if self.memory.printed.back() != Some(&text) {
            print!("> {}\n{text}", self.target.destination.path().display());
            self.memory.printed = VecDeque::from([text]);
        }
    }

    /// Looks after HAProxy: learns what runs, finishes what could not be finished, sweeps old workers.
    async fn tend(&mut self) {
        self.memory.pause = (self.memory.pause * 2).min(TEND);
        self.memory.tend = Instant::now() + self.memory.pause;
        let Some(master) = self.master() else { return };
        let looked = master.look().await;
        let (haproxy, trouble) = match looked {
            Ok(haproxy) => (Some(haproxy), None),
            Err(SocketError::Nobody(_)) => (None, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let (runs, old) = (haproxy.is_some(), haproxy.as_ref().is_some_and(|h| !h.old_workers.is_empty()));
        self.status.send_if_modified(|status| {
            let news = status.haproxy != haproxy || status.haproxy_trouble != trouble;
            (status.haproxy, status.haproxy_trouble) = (haproxy, trouble);
            news
        });
        if runs && self.status.borrow().state == State::Pending {
            // The same text again: apply finds that it is not known to be in use, and finishes.
            self.memory.retry = Some(Instant::now());
        }
        if old {
            let cut = self.sweep().await;
            if cut > 0 {
                tracing::info!(sessions_cut = cut, "cut sessions of an old worker to servers that are gone");
            }
        }
    }

    fn master(&self) -> Option<Master> {
        match &self.target.reader {
            Reader::Haproxy { master, .. } if !self.dry => Some(master.clone()),
            _ => None,
        }
    }

    /// Cuts what old workers still hold to servers that are gone; returns how many sessions.
    async fn sweep(&mut self) -> usize {
        let Some(master) = self.master() else { return 0 };
        let Ok(haproxy) = master.look().await else { return 0 };
        let cut = master.sweep(&haproxy.old_workers, &self.memory.now, &self.memory.cutting).await;
        self.status.send_modify(|status| {
            status.sessions_cut += cut as u64;
            status.haproxy = Some(haproxy);
        });
        self.metrics.cut(&self.target.destination.path().display().to_string(), cut);
        cut
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
