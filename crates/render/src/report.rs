//! What becomes of one template, told to whom it concerns: the status page, the metrics, the log.

use crate::{
    apply::{Done, Marks, Trouble},
    haproxy::{processes::Processes, socket::SocketError},
    metrics::Metrics,
    status::{Change, State, TemplateStatus},
    steer::{Course, Looked},
    template::Draft,
};
use daemon::clock::unix_millis;
use std::sync::Arc;
use tokio::sync::watch;

/// One template's ends of the channels; clones tell the same story.
#[derive(Clone, Debug)]
pub struct Report {
    status: watch::Sender<TemplateStatus>,
    metrics: Metrics,
    destination: String,
}

impl Report {
    /// Begins with a template that waits.
    #[must_use]
    pub fn new(source: String, destination: String, metrics: Metrics) -> Self {
        metrics.state(&destination, State::default());
        let status = TemplateStatus { source, destination: destination.clone(), ..TemplateStatus::default() };
        Report { status: watch::channel(status).0, metrics, destination }
    }

    /// For the status page.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<TemplateStatus> {
        self.status.subscribe()
    }

    /// How the template stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.status.borrow().state
    }

    /// The worker that was seen last.
    #[must_use]
    pub fn worker(&self) -> Option<u32> {
        self.status.borrow().haproxy.as_ref().and_then(|haproxy| haproxy.worker)
    }

    /// What a filling lacks and warns of.
    pub fn filled(&self, draft: &Draft) {
        let (mut waits, mut warns) = (false, false);
        self.status.send_modify(|status| {
            waits = status.missing != draft.missing;
            warns = !draft.warnings.is_subset(&status.warnings);
            status.missing.clone_from(&draft.missing);
            status.warnings.clone_from(&draft.warnings);
            status.followed.clone_from(&draft.trail.followed);
            status.followed.extend(draft.trail.follows.clone());
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

    /// A text is in its place.
    pub fn came(&self, done: Done, marks: Marks) {
        let outcome = match done {
            Done::Unchanged => None,
            Done::Written => Some("written"),
            Done::Steered => Some("steered"),
            Done::Reloaded => Some("reloaded"),
            Done::Held if marks.renamed.is_none() && self.state() == State::Pending => None,
            Done::Held | Done::NotRunning => Some("pending"),
        };
        if let Some(outcome) = outcome {
            tracing::info!(destination = self.destination, outcome, "the rendered file changed");
            self.metrics.changed(&self.destination, outcome, &marks);
        }
        self.status.send_modify(|status| {
            let pending = matches!(done, Done::NotRunning | Done::Held);
            status.state = if pending { State::Pending } else { State::Applied };
            status.error = None;
            if !pending {
                status.reload_needed = None;
            }
            status.writes += u64::from(marks.renamed.is_some());
            status.reloads += u64::from(done == Done::Reloaded);
            status.steers += u64::from(done == Done::Steered);
            if let Some(outcome) = outcome {
                status.remember(Change { at: unix_millis(), outcome, marks, sessions_cut: 0, error: None });
            }
        });
        self.metrics.state(&self.destination, self.state());
    }

    /// What it took to bring a text into use: people can see what costs them reloads.
    pub fn took(&self, course: &Course, came: &Result<Done, Trouble>) {
        if let Course::Steered { orders: 1.., leaving, .. } = course {
            self.status.send_modify(|status| status.leaving_servers = *leaving);
        }
        let Some(why) = course.why() else { return };
        match came {
            Ok(Done::Reloaded) | Err(Trouble::Reload { .. }) => {
                tracing::info!(destination = self.destination, why, "HAProxy was reloaded");
                self.status.send_modify(|status| status.reloaded_for(why));
            }
            Ok(Done::Held) => {
                tracing::warn!(
                    destination = self.destination,
                    why,
                    "a reload is needed, and reload = \"never\""
                );
            }
            _ => {}
        }
        let held = matches!(came, Ok(Done::Held)).then(|| why.to_owned());
        self.status.send_modify(|status| status.reload_needed = held);
    }

    /// HAProxy was compared with the file.
    pub fn looked_after(&self, looked: &Looked) {
        let news = self.status.send_if_modified(|status| {
            let news = status.drift != looked.drift;
            let changed = news || status.leaving_servers != looked.leaving;
            status.drifts += u64::from(news && !looked.drift.is_empty());
            status.drift.clone_from(&looked.drift);
            if status.servers != looked.servers {
                status.servers = Arc::clone(&looked.servers);
            }
            status.compared = Some(unix_millis());
            status.leaving_servers = looked.leaving;
            changed
        });
        if news && !looked.drift.is_empty() {
            let (drift, mended) = (looked.drift.join(", "), looked.mended);
            tracing::warn!(
                destination = self.destination,
                mended,
                "HAProxy ran otherwise than the file says: {drift}"
            );
            self.metrics.drifted(&self.destination);
        }
    }

    /// A text was printed.
    pub fn printed(&self) {
        self.status.send_modify(|status| status.state = State::Applied);
    }

    /// A text could not be brought into use.
    pub fn stumbled(&self, trouble: &Trouble, marks: Marks) {
        self.status.send_modify(|status| {
            status.reload_failures += u64::from(matches!(trouble, Trouble::Reload { .. }));
            status.writes += u64::from(matches!(trouble, Trouble::Command(_)));
        });
        self.failed(trouble.outcome(), marks, &trouble.to_string());
    }

    /// Something failed; it is remembered, counted and logged when it is new.
    pub fn failed(&self, outcome: &'static str, marks: Marks, error: &str) {
        if self.is_wrong(error) {
            let (at, told) = (unix_millis(), Some(error.to_owned()));
            let change = Change { at, outcome, marks, sessions_cut: 0, error: told };
            self.status.send_modify(|status| status.remember(change));
            tracing::error!(destination = self.destination, "{error}");
        }
        self.metrics.failed(&self.destination, outcome);
    }

    /// The newest text is not in use for this reason; true when the status did not say so yet.
    pub fn is_wrong(&self, error: &str) -> bool {
        let news = self.status.send_if_modified(|status| {
            let news = status.error.as_deref() != Some(error);
            status.state = State::Failed;
            status.error = Some(error.to_owned());
            news
        });
        self.metrics.state(&self.destination, State::Failed);
        news
    }

    /// What runs of HAProxy.
    pub fn looked(&self, looked: Result<Processes, SocketError>) {
        let (haproxy, trouble) = match looked {
            Ok(haproxy) => (Some(haproxy), None),
            Err(SocketError::Nobody(_)) => (None, None),
            Err(error) => (None, Some(error.to_string())),
        };
        self.status.send_if_modified(|status| {
            let news = status.haproxy != haproxy || status.haproxy_trouble != trouble;
            (status.haproxy, status.haproxy_trouble) = (haproxy, trouble);
            if status.haproxy.is_none() {
                (status.servers, status.compared) = (Arc::default(), None);
            }
            news
        });
    }

    /// Old workers were swept, and lost so many sessions; `fresh` says for the first time since a reload.
    pub fn cut(&self, sessions: usize, fresh: bool) {
        if sessions > 0 {
            tracing::info!(
                destination = self.destination,
                sessions_cut = sessions,
                "cut sessions of old workers to servers that are gone"
            );
            self.metrics.cut(&self.destination, sessions);
        }
        self.status.send_if_modified(|status| {
            status.sessions_cut += sessions as u64;
            if fresh {
                status.swept(sessions, unix_millis());
            }
            fresh || sessions > 0
        });
    }
}
