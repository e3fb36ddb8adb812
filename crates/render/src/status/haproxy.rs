//! What is said of one HAProxy.

use super::State;
use crate::haproxy::{compared::Compared, processes::Processes};
use serde_json::{Value, json};
use std::{collections::VecDeque, sync::Arc};

/// Everything about one HAProxy that reads a template's file.
#[derive(Clone, Debug, Default)]
pub struct HaproxyStatus {
    /// Its name in the configuration; empty when it has none.
    pub name: String,
    /// Where it is reached.
    pub address: String,
    /// What came of the last text that had its turn.
    pub state: State,
    /// Whether another text has its turn, or waits for it.
    pub follows: bool,
    /// Why it does not run the newest text.
    pub error: Option<String>,
    /// Reloads that worked.
    pub reloads: u64,
    /// Reloads that failed.
    pub reload_failures: u64,
    /// Changes that it was told at run time, without a reload.
    pub steers: u64,
    /// What reloads were made for, the last ones.
    pub reload_reasons: VecDeque<Reason>,
    /// Why a reload is needed that somebody else is to make.
    pub reload_needed: Option<String>,
    /// What ran otherwise than the file says at the last look.
    pub drift: Vec<String>,
    /// How often something ran otherwise than the file says.
    pub drifts: u64,
    /// Servers out of use that wait for their last connections.
    pub leaving_servers: usize,
    /// Sessions cut on old workers.
    pub sessions_cut: u64,
    /// Its processes, when it runs.
    pub processes: Option<Processes>,
    /// Why it could not be looked at.
    pub trouble: Option<String>,
    /// Its servers, as the file says them and as they ran at the last look.
    pub servers: Arc<Vec<Compared>>,
    /// When that was, in milliseconds of Unix time.
    pub compared: Option<f64>,
}

/// Why HAProxy was reloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// In plain English.
    pub why: String,
    /// How often.
    pub count: u64,
}

const REASONS: usize = 20;

impl HaproxyStatus {
    /// Counts a reload for this reason; the one that is longest ago goes, when there are many.
    pub fn reloaded_for(&mut self, why: &str) {
        let known = self.reload_reasons.iter().position(|reason| reason.why == why);
        let before = known.and_then(|at| self.reload_reasons.remove(at)).map_or(0, |reason| reason.count);
        if self.reload_reasons.len() == REASONS {
            self.reload_reasons.pop_front();
        }
        self.reload_reasons.push_back(Reason { why: why.to_owned(), count: before + 1 });
    }

    /// Its name before what is said of it, where it has one.
    pub(super) fn named(&self, what: &str) -> String {
        if self.name.is_empty() { what.to_owned() } else { format!("{}: {what}", self.name) }
    }

    /// How it stands: one that ran the text of before does not run the one that it is to follow.
    #[must_use]
    pub fn stands(&self) -> State {
        if self.follows && self.state == State::Applied { State::Pending } else { self.state }
    }

    pub(super) fn reasons(&self) -> impl Iterator<Item = Value> {
        self.reload_reasons
            .iter()
            .rev()
            .map(|reason| json!({"why": self.named(&reason.why), "count": reason.count}))
    }

    /// What runs of it.
    pub(super) fn runs(&self) -> Value {
        let processes = self.processes.as_ref();
        json!({
            "running": processes.is_some(),
            "version": processes.map(|p| &p.version),
            "worker_pid": processes.and_then(|p| p.worker),
            "reloads": processes.map(|p| p.reloads),
            "old_workers": processes.map(|p| p.old_workers.len()),
            "trouble": self.trouble,
            "compared_ms": self.compared,
            "servers": self.servers.iter().map(Compared::show).collect::<Vec<_>>(),
        })
    }

    pub(super) fn show(&self) -> Value {
        json!({
            "name": self.name,
            "address": self.address,
            "state": self.stands().word(),
            "error": self.error,
            "steers": self.steers,
            "reloads": self.reloads,
            "reload_failures": self.reload_failures,
            "reload_reasons": self.reasons().collect::<Vec<_>>(),
            "reload_needed": self.reload_needed,
            "drift": self.drift,
            "drifts": self.drifts,
            "leaving_servers": self.leaving_servers,
            "sessions_cut": self.sessions_cut,
            "processes": self.runs(),
        })
    }
}
