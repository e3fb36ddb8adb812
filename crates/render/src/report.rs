//! What becomes of one template, told to whom it concerns: the status page, the metrics, the log.

mod haproxy;

pub use haproxy::HaproxyReport;

use crate::{
    apply::{Done, Marks, Trouble},
    metrics::Metrics,
    status::{Change, HaproxyStatus, State, TemplateStatus},
    template::Draft,
};
use consul::Query;
use daemon::clock::unix_millis;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::watch;

/// One template's ends of the channels; clones tell the same story.
#[derive(Clone, Debug)]
pub struct Report {
    status: watch::Sender<TemplateStatus>,
    metrics: Metrics,
    destination: String,
}

impl Report {
    /// Begins with a template that waits, and the HAProxies that read its file.
    #[must_use]
    pub fn new(source: String, destination: String, haproxies: Vec<HaproxyStatus>, metrics: Metrics) -> Self {
        metrics.state(&destination, State::default());
        let status = TemplateStatus {
            source,
            destination: destination.clone(),
            haproxies,
            ..TemplateStatus::default()
        };
        Report { status: watch::channel(status).0, metrics, destination }
    }

    /// About each of these HAProxies.
    pub fn haproxies(&self) -> Vec<HaproxyReport> {
        let names: Vec<_> =
            self.status.borrow().haproxies.iter().map(|haproxy| haproxy.name.clone()).collect();
        let about = |(position, name)| HaproxyReport::new(self.clone(), position, name);
        names.into_iter().enumerate().map(about).collect()
    }

    /// For the status page.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<TemplateStatus> {
        self.status.subscribe()
    }

    /// How the template stands, its HAProxies not counted.
    #[must_use]
    pub fn state(&self) -> State {
        self.status.borrow().state
    }

    /// What a filling asked, lacks and warns of.
    pub fn filled(&self, draft: &Draft, asked: &Arc<BTreeSet<Query>>) {
        let (mut waits, mut warns) = (false, false);
        self.metrics.evaluated(&self.destination);
        self.status.send_modify(|status| {
            status.evaluations += 1;
            status.evaluated = Some(unix_millis());
            // One that failed did not come to its last question.
            if draft.text.is_ok() {
                status.asked = Arc::clone(asked);
            }
            waits = status.missing.is_empty() && !draft.missing.is_empty();
            warns = !draft.warnings.is_subset(&status.warnings);
            status.missing.clone_from(&draft.missing);
            status.warnings.clone_from(&draft.warnings);
            status.followed.clone_from(&draft.trail.followed);
            status.followed.extend(draft.trail.follows.clone());
        });
        let template = &self.status.borrow().source;
        if waits {
            let (missing, first) = (draft.missing.len(), draft.missing.first());
            tracing::info!(template, missing, first, "waiting for answers before anything is written");
        }
        if warns {
            for warning in &draft.warnings {
                tracing::warn!(template, "{warning}");
            }
        }
    }

    /// A text is in its place, and HAProxy is to follow; or that of before stays there, since this one is held back.
    pub fn placed(&self, marks: Marks, held: Option<String>) {
        if let Some(why) =
            held.as_deref().filter(|why| self.status.borrow().held_back.as_deref() != Some(why))
        {
            tracing::warn!(destination = self.destination, "{why}");
            self.metrics.failed(&self.destination, "", "held_back");
        }
        self.change(|status| {
            (status.state, status.error, status.held_back) = (State::Applied, None, held);
            status.writes += u64::from(marks.renamed.is_some());
        });
    }

    /// A text is in its place that no HAProxy reads, and its command did its work.
    pub fn came(&self, done: Done, marks: Marks) {
        self.placed(marks, None);
        if done != Done::Unchanged {
            tracing::info!(destination = self.destination, outcome = "written", "the rendered file changed");
            self.remember("", "written", marks, None);
            self.metrics.changed(&self.destination, "", "written", &marks);
        }
    }

    /// A text was printed.
    pub fn printed(&self) {
        self.change(|status| status.state = State::Applied);
    }

    /// A text could not be put in its place, or its command failed.
    pub fn stumbled(&self, trouble: &Trouble, marks: Marks) {
        self.change(|status| status.writes += u64::from(matches!(trouble, Trouble::Command(_))));
        self.failed(trouble.outcome(), marks, &trouble.to_string());
    }

    /// Something failed; it is remembered, counted and logged when it is new.
    pub fn failed(&self, outcome: &'static str, marks: Marks, error: &str) {
        if self.is_wrong(error) {
            self.remember("", outcome, marks, Some(error));
            tracing::error!(destination = self.destination, "{error}");
        }
        self.metrics.failed(&self.destination, "", outcome);
    }

    /// The newest text is not in use for this reason; true when the status did not say so yet.
    pub fn is_wrong(&self, error: &str) -> bool {
        let mut news = false;
        self.change(|status| {
            news = status.error.as_deref() != Some(error);
            status.state = State::Failed;
            status.error = Some(error.to_owned());
        });
        news
    }

    fn remember(&self, haproxy: &str, outcome: &'static str, marks: Marks, error: Option<&str>) {
        let (haproxy, error) = (haproxy.to_owned(), error.map(str::to_owned));
        let change = Change { at: unix_millis(), haproxy, outcome, marks, sessions_cut: 0, error };
        self.status.send_modify(|status| status.remember(change));
    }

    /// Changes the status, and tells the metrics how the template stands then.
    fn change(&self, what: impl FnOnce(&mut TemplateStatus)) {
        self.status.send_modify(what);
        let state = self.status.borrow().whole_state();
        self.metrics.state(&self.destination, state);
    }
}
