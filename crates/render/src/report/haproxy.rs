//! What becomes of a template's texts in one HAProxy.

use super::Report;
use crate::{
    apply::{Done, Marks, Trouble},
    haproxy::{processes::Processes, socket::SocketError},
    status::{HaproxyStatus, State},
    steer::{Course, Looked},
};
use daemon::clock::unix_millis;
use std::sync::Arc;

/// A template's report, as far as it is about one HAProxy; clones tell the same story.
#[derive(Clone, Debug)]
pub struct HaproxyReport {
    template: Report,
    position: usize,
    name: String,
}

impl HaproxyReport {
    pub(super) fn new(template: Report, position: usize, name: String) -> Self {
        HaproxyReport { template, position, name }
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.look(|status| status.state)
    }

    /// The worker that was seen last.
    #[must_use]
    pub fn worker(&self) -> Option<u32> {
        self.look(|status| status.processes.as_ref().and_then(|processes| processes.worker))
    }

    /// A text has its turn, or waits for it; or it is withdrawn.
    pub fn follows(&self, follows: bool) {
        self.change(|status| status.follows = follows);
    }

    /// A text came into use.
    pub fn came(&self, done: Done, marks: Marks) {
        let outcome = match done {
            Done::Unchanged => None,
            Done::Written => Some("written"),
            Done::Steered => Some("steered"),
            Done::Reloaded => Some("reloaded"),
            Done::Held if marks.renamed.is_none() && self.state() == State::Pending => None,
            Done::NotRunning if marks.renamed.is_none() && self.state() == State::Pending => None,
            Done::Held | Done::NotRunning => Some("pending"),
        };
        self.change(|status| {
            let pending = matches!(done, Done::NotRunning | Done::Held);
            status.state = if pending { State::Pending } else { State::Applied };
            (status.error, status.follows) = (None, false);
            if !pending {
                status.reload_needed = None;
            }
            status.reloads += u64::from(done == Done::Reloaded);
            status.steers += u64::from(done == Done::Steered);
        });
        let Some(outcome) = outcome else { return };
        let (destination, haproxy) = self.labels();
        tracing::info!(destination, haproxy, outcome, "the rendered file changed");
        self.template.metrics.changed(destination, haproxy, outcome, &marks);
        self.template.remember(haproxy, outcome, marks, None);
    }

    /// What it took to bring a text into use: people can see what costs them reloads.
    pub fn took(&self, course: &Course, came: &Result<Done, Trouble>) {
        let (destination, haproxy) = self.labels();
        if let Course::Steered { orders: 1.., leaving, .. } = course {
            self.change(|status| status.leaving_servers = *leaving);
        }
        let Some(why) = course.why() else { return };
        let held = matches!(came, Ok(Done::Held)).then(|| why.to_owned());
        match came {
            Ok(Done::Reloaded) | Err(Trouble::Reload { .. }) => {
                tracing::info!(destination, haproxy, why, "HAProxy was reloaded");
                self.change(|status| status.reloaded_for(why));
            }
            Ok(Done::Held) if self.look(|status| status.reload_needed != held) => {
                tracing::warn!(destination, haproxy, why, "a reload is needed, and reload = \"never\"");
            }
            _ => {}
        }
        self.change(|status| status.reload_needed = held);
    }

    /// HAProxy was compared with the file.
    pub fn looked_after(&self, looked: &Looked) {
        let news = self.look(|status| status.drift != looked.drift);
        self.change(|status| {
            status.drifts += u64::from(news && !looked.drift.is_empty());
            status.drift.clone_from(&looked.drift);
            status.leaving_servers = looked.leaving;
            (status.servers, status.compared) = (Arc::clone(&looked.servers), Some(unix_millis()));
        });
        if news && !looked.drift.is_empty() {
            let (drift, mended) = (looked.drift.join(", "), looked.mended);
            let (destination, haproxy) = self.labels();
            tracing::warn!(destination, haproxy, mended, "HAProxy ran otherwise than the file says: {drift}");
            self.template.metrics.drifted(destination, haproxy);
        }
    }

    /// A text could not be brought into use.
    pub fn stumbled(&self, trouble: &Trouble, marks: Marks) {
        let ((destination, haproxy), error) = (self.labels(), trouble.to_string());
        let news = self.look(|status| status.error.as_ref() != Some(&error));
        self.change(|status| {
            status.reload_failures += u64::from(matches!(trouble, Trouble::Reload { .. }));
            (status.state, status.error, status.follows) = (State::Failed, Some(error.clone()), false);
        });
        if news {
            self.template.remember(haproxy, trouble.outcome(), marks, Some(&error));
            tracing::error!(destination, haproxy, "{error}");
        }
        self.template.metrics.failed(destination, haproxy, trouble.outcome());
    }

    /// What runs of HAProxy.
    pub fn looked(&self, looked: Result<Processes, SocketError>) {
        let (processes, trouble) = match looked {
            Ok(processes) => (Some(processes), None),
            Err(SocketError::Nobody(_)) => (None, None),
            Err(error) => (None, Some(error.to_string())),
        };
        if self.look(|status| status.processes != processes || status.trouble != trouble) {
            self.change(|status| {
                (status.processes, status.trouble) = (processes, trouble);
                if status.processes.is_none() {
                    (status.servers, status.compared) = (Arc::default(), None);
                }
            });
        }
    }

    /// Old workers were swept, and lost so many sessions; `fresh` says for the first time since a reload.
    pub fn cut(&self, sessions: usize, fresh: bool) {
        let (destination, haproxy) = self.labels();
        if sessions > 0 {
            tracing::info!(
                destination,
                haproxy,
                sessions_cut = sessions,
                "cut sessions of old workers to servers that are gone"
            );
            self.template.metrics.cut(destination, haproxy, sessions);
        }
        if fresh || sessions > 0 {
            self.change(|status| status.sessions_cut += sessions as u64);
        }
        if fresh {
            self.template.status.send_modify(|status| status.swept(haproxy, sessions, unix_millis()));
        }
    }

    fn labels(&self) -> (&str, &str) {
        (&self.template.destination, &self.name)
    }

    fn look<T>(&self, what: impl FnOnce(&HaproxyStatus) -> T) -> T {
        what(&self.template.status.borrow().haproxies[self.position])
    }

    fn change(&self, what: impl FnOnce(&mut HaproxyStatus)) {
        self.template.change(|status| what(&mut status.haproxies[self.position]));
    }
}
