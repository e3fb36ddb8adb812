//! One HAProxy's part in a text: steered ahead of the check; then, with the file in its place, confirmed or reloaded. It
//! goes its way as a task of its own, so that one that hangs or is gone holds up none of the others.

use crate::{
    again::Again,
    apply::{Done, Marks, Trouble},
    haproxy::steward::Applied,
    report::HaproxyReport,
    steer::{Course, Helm, Looked},
};
use std::sync::Arc;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// One HAProxy, and what is remembered of it from one text to the next.
pub struct Follower {
    /// Steers it.
    pub helm: Helm,
    /// What is said of it.
    pub report: HaproxyReport,
    /// What its steward is told.
    pub applied: watch::Sender<Applied>,
    /// The text that it was given last.
    pub text: Arc<str>,
    /// The text that it did not take.
    pub again: Option<Again>,
    /// When it wants that text again.
    pub wake: Option<Instant>,
    /// What was done for a text whose reload has to wait.
    waiting: Option<Marks>,
    /// When it was last reloaded.
    reloaded: Option<Instant>,
    /// What a reload was to put right last.
    hopeless: Vec<String>,
}

/// A text that is to come into use.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The text.
    pub text: Arc<str>,
    /// When what was done for it so far was done.
    pub marks: Marks,
    /// Whether it was tried before, and refused.
    pub again: bool,
    /// What becomes of its file; when nobody says so any more, nothing.
    pub file: watch::Receiver<Placing>,
    /// Told of each of HAProxy's answers, and dropped when all that can be steered is steered.
    pub steering: mpsc::Sender<()>,
}

impl Wish {
    /// For a text whose file is in its place already.
    #[must_use]
    pub fn in_place(text: &Arc<str>) -> Wish {
        let marks = Marks::default();
        let (file, steering) = (watch::channel(Placing::InPlace(marks)).1, mpsc::channel(1).0);
        Wish { text: Arc::clone(text), marks, again: false, file, steering }
    }
}

/// What becomes of a file.
#[derive(Clone, Debug)]
pub enum Placing {
    /// It is being checked.
    Awaited,
    /// The text is in its place.
    InPlace(Marks),
    /// It is not.
    Refused(Arc<Trouble>),
    /// It will not be: a later text is there already, which goes on from what was steered.
    Superseded,
}

/// How a task ended.
pub enum Landed {
    /// The text came into use, or not, for this trouble.
    Came(Result<Done, Trouble>, Marks),
    /// Its turn has not come: see [`Follower::wake`].
    Waits,
    /// The file did not come into its place.
    Withdrawn,
    /// It was compared with the file; nothing when it could not be.
    Looked(Option<Looked>),
    /// A reload was to put right what ran otherwise than the file says.
    Mended(Result<Done, Trouble>, Marks),
}

impl Follower {
    /// One that was given nothing yet.
    #[must_use]
    pub fn new(helm: Helm, report: HaproxyReport, applied: watch::Sender<Applied>) -> Self {
        Follower {
            helm,
            report,
            applied,
            text: "".into(),
            again: None,
            wake: None,
            waiting: None,
            reloaded: None,
            hopeless: vec![],
        }
    }

    /// Brings a text into use.
    pub async fn follow(mut self, wish: Wish) -> (Self, Landed) {
        let Wish { text, mut marks, again, mut file, steering } = wish;
        let earlier = self.waiting.take().filter(|_| self.text == text).unwrap_or_default();
        self.text = Arc::clone(&text);
        if let Some(due) = self.again.as_ref().filter(|again| again.forbids(&text, Instant::now())) {
            self.wake = due.due();
            return (self, Landed::Waits);
        }
        self.wake = None;
        self.report.follows(true);
        let again = again || self.again.as_ref().is_some_and(|again| again.is_about(&text));
        let course = self.helm.steer(&text, again, &mut marks, &steering).await;
        drop(steering);
        let course = match course {
            Ok(course) => course,
            Err(trouble) => return (self, Landed::Came(Err(trouble), marks)),
        };
        if course.told() {
            self.tell(&text, |applied| applied.steered += 1);
        }
        let placing = file.wait_for(|file| !matches!(file, Placing::Awaited)).await;
        match placing.map(|placing| placing.clone()) {
            Ok(Placing::InPlace(placed)) => {
                marks = Marks { steered: marks.steered, ..placed }.after(earlier);
            }
            Ok(Placing::Superseded) => {
                self.helm.keep(&course);
                self.report.follows(false);
                marks.applied = marks.steered;
                let landed = if matches!(course, Course::Steered { orders: 1.., .. }) {
                    Landed::Came(Ok(Done::Steered), marks)
                } else {
                    Landed::Withdrawn
                };
                return (self, landed);
            }
            Ok(Placing::Refused(trouble)) => {
                self.helm.back(course, &text, Some(&*trouble)).await;
                self.report.follows(false);
                return (self, Landed::Withdrawn);
            }
            _ => {
                self.helm.back(course, &text, None).await;
                self.report.follows(false);
                return (self, Landed::Withdrawn);
            }
        }
        if let Some(due) = self.must_wait(&course) {
            (self.wake, self.waiting) = (Some(due), Some(marks));
            return (self, Landed::Waits);
        }
        let came = self.bring(&course, &mut marks).await;
        if let Err(trouble) = &came {
            self.helm.back(course, &text, Some(trouble)).await;
        }
        (self, Landed::Came(came, marks))
    }

    async fn bring(&mut self, course: &Course, marks: &mut Marks) -> Result<Done, Trouble> {
        if course.why().is_some() {
            self.reloaded = Some(Instant::now());
        }
        let came = self.helm.bring(course, marks).await;
        self.report.took(course, &came);
        if came.is_ok() {
            let reloaded = matches!(came, Ok(Done::Reloaded));
            let text = Arc::clone(&self.text);
            self.tell(&text, |applied| applied.reloads += u64::from(reloaded));
        }
        came
    }

    /// Reloads come one after the other, not closer than they may; what cannot wait was steered ahead.
    fn must_wait(&mut self, course: &Course) -> Option<Instant> {
        course.why()?;
        let due = self.reloaded.map(|then| then + self.helm.interval).filter(|due| *due > Instant::now());
        if due.is_some() {
            self.helm.keep(course);
        }
        due
    }

    /// Compares what runs with the file, and puts right what orders can.
    pub async fn look(mut self) -> (Self, Landed) {
        let looked = self.helm.look_after().await;
        (self, Landed::Looked(looked))
    }

    /// Whether only a reload can put this right. Once: what a reload does not put right is said, and no more.
    pub fn needs_mending(&mut self, looked: &Looked) -> bool {
        if looked.drift.is_empty() {
            self.hopeless.clear();
        }
        let needs = !looked.mended && self.hopeless != looked.drift;
        if needs {
            self.hopeless.clone_from(&looked.drift);
        }
        needs
    }

    /// Reloads, since what runs is not what the file says.
    pub async fn mend(mut self, drift: Vec<String>) -> (Self, Landed) {
        let why = format!("HAProxy ran otherwise than the file says: {}", drift.join(", "));
        let mut marks = Marks::default();
        let came = self.bring(&Course::reload(why), &mut marks).await;
        (self, Landed::Mended(came, marks))
    }

    /// The text came into use.
    pub fn succeed(&mut self, done: Done, marks: Marks) {
        (self.again, self.wake) = (None, None);
        self.report.came(done, marks);
    }

    /// The text did not come into use.
    pub fn stumble(&mut self, trouble: &Trouble, marks: Marks) {
        let (before, now) = (self.again.take(), Instant::now());
        let again = Again::after(before, &self.text, trouble.to_string(), trouble.again(), now);
        self.wake = again.due();
        self.again = Some(again);
        self.report.stumbled(trouble, marks);
    }

    fn tell(&mut self, text: &str, what: impl FnOnce(&mut Applied)) {
        let cutting = self.helm.cutting(text);
        self.applied.send_if_modified(|applied| {
            let before = applied.clone();
            applied.cutting.extend(cutting);
            what(applied);
            *applied != before
        });
    }
}
