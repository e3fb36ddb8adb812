//! What `render` says of itself: plain values, turned into the `/status` page.

use crate::{
    apply::Marks,
    facts::Facts,
    haproxy::{compared::Compared, processes::Processes},
    ledger::Followed,
    services::services,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

/// How a template stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Answers are missing.
    #[default]
    Waiting,
    /// The rendered text is in use.
    Applied,
    /// It is written, and HAProxy does not run yet.
    Pending,
    /// It is not in use; the last good one is.
    Failed,
}

/// One try to bring a text into use.
#[derive(Clone, Debug)]
pub struct Change {
    /// When it was remembered, in milliseconds of Unix time.
    pub at: f64,
    /// What came of it, in a word: written, steered, reloaded, pending, refused, failed.
    pub outcome: &'static str,
    /// When each step was done.
    pub marks: Marks,
    /// Sessions cut on old workers.
    pub sessions_cut: usize,
    /// What went wrong.
    pub error: Option<String>,
}

/// Everything about one template.
#[derive(Clone, Debug, Default)]
pub struct TemplateStatus {
    /// The template file.
    pub source: String,
    /// The rendered file.
    pub destination: String,
    /// How it stands.
    pub state: State,
    /// What there is no answer to yet.
    pub missing: BTreeSet<String>,
    /// What went wrong last, if it is still wrong.
    pub error: Option<String>,
    /// What the template's functions warn of.
    pub warnings: BTreeSet<String>,
    /// The epochs of the masters that it followed.
    pub followed: Followed,
    /// Files written.
    pub writes: u64,
    /// Reloads that worked.
    pub reloads: u64,
    /// Changes that HAProxy was told at run time, without a reload.
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
    /// Reloads that failed.
    pub reload_failures: u64,
    /// Sessions cut on old workers.
    pub sessions_cut: u64,
    /// HAProxy's processes, when one is configured and runs.
    pub haproxy: Option<Processes>,
    /// Why HAProxy could not be looked at.
    pub haproxy_trouble: Option<String>,
    /// HAProxy's servers, as the file says them and as they ran at the last look.
    pub servers: Arc<Vec<Compared>>,
    /// When that was, in milliseconds of Unix time.
    pub compared: Option<f64>,
    /// The last changes, oldest first.
    pub history: VecDeque<Change>,
}

/// Why HAProxy was reloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// In plain English.
    pub why: String,
    /// How often.
    pub count: u64,
}

const HISTORY: usize = 50;
const REASONS: usize = 20;

impl TemplateStatus {
    /// Remembers a change, and forgets the oldest.
    pub fn remember(&mut self, change: Change) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(change);
    }

    /// Counts a reload for this reason; the one that is longest ago goes, when there are many.
    pub fn reloaded_for(&mut self, why: &str) {
        let known = self.reload_reasons.iter().position(|reason| reason.why == why);
        let before = known.and_then(|at| self.reload_reasons.remove(at)).map_or(0, |reason| reason.count);
        if self.reload_reasons.len() == REASONS {
            self.reload_reasons.pop_front();
        }
        self.reload_reasons.push_back(Reason { why: why.to_owned(), count: before + 1 });
    }

    /// Old workers were swept after the reloads so far; the last of them gets the sessions.
    pub fn swept(&mut self, sessions: usize, at: f64) {
        let mut swept = self.history.iter_mut().rev().filter(|change| change.outcome == "reloaded");
        if let Some(last) = swept.next() {
            last.sessions_cut += sessions;
            last.marks.cut.get_or_insert(at);
        }
        swept.take_while(|change| change.marks.cut.is_none()).for_each(|change| change.marks.cut = Some(at));
    }

    fn show(&self) -> Value {
        json!({
            "source": self.source,
            "destination": self.destination,
            "state": self.state.word(),
            "missing": self.missing,
            "error": self.error,
            "warnings": self.warnings,
            "writes": self.writes,
            "reloads": self.reloads,
            "reload_failures": self.reload_failures,
            "steers": self.steers,
            "reload_reasons": self.reload_reasons.iter().rev()
                .map(|reason| json!({"why": reason.why, "count": reason.count})).collect::<Vec<_>>(),
            "reload_needed": self.reload_needed,
            "drift": self.drift,
            "drifts": self.drifts,
            "leaving_servers": self.leaving_servers,
            "sessions_cut": self.sessions_cut,
            "haproxy": {
                "running": self.haproxy.is_some(),
                "version": self.haproxy.as_ref().map(|h| &h.version),
                "worker_pid": self.haproxy.as_ref().and_then(|h| h.worker),
                "reloads": self.haproxy.as_ref().map(|h| h.reloads),
                "old_workers": self.haproxy.as_ref().map(|h| h.old_workers.len()),
                "trouble": self.haproxy_trouble,
                "compared_ms": self.compared,
                "servers": self.servers.iter().map(Compared::show).collect::<Vec<_>>(),
            },
            "last": self.history.back().map(Change::show),
            "history": self.history.iter().map(Change::show).collect::<Vec<_>>(),
        })
    }
}

impl State {
    /// The word on the status page and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Applied => "applied",
            State::Pending => "pending",
            State::Failed => "failed",
        }
    }
}

impl Change {
    fn show(&self) -> Value {
        let Marks { heard, rendered, steered, staged, checked, renamed, applied, cut } = self.marks;
        json!({
            "outcome": self.outcome,
            "at_ms": self.at,
            "heard_ms": heard, "rendered_ms": rendered, "steered_ms": steered,
            "staged_ms": staged, "checked_ms": checked,
            "renamed_ms": renamed, "applied_ms": applied, "cut_ms": cut,
            "own_part_ms": self.marks.own_part(),
            "sessions_cut": self.sessions_cut,
            "error": self.error,
        })
    }
}

/// The `/status` page. `age_ms` says how long ago, in milliseconds, something was heard.
#[must_use]
pub fn page(
    consul: &str,
    awaited: &[String],
    facts: &Facts,
    templates: &[TemplateStatus],
    heard_ms: impl Fn(tokio::time::Instant) -> f64,
) -> Value {
    let queries: Vec<Value> = facts
        .iter()
        .map(|(query, watched)| {
            json!({
                "query": query.to_string(), "index": watched.index, "answers": watched.answers,
                "failures": watched.failures, "trouble": watched.trouble,
                "heard_ms": watched.heard.map(&heard_ms),
            })
        })
        .collect();
    let mut followed = Followed::new();
    for (name, epoch) in templates.iter().flat_map(|template| &template.followed) {
        let latest = followed.entry(name.clone()).or_default();
        *latest = (*latest).max(*epoch);
    }
    json!({
        "program": "render",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "ready": {"ok": awaited.is_empty(), "awaited": awaited},
        "consul": {"address": consul, "trouble": facts.values().find_map(|watched| watched.trouble.as_ref())},
        "queries": queries,
        "services": services(facts, &followed),
        "templates": templates.iter().map(TemplateStatus::show).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_belongs_to_the_last_reload_and_ends_those_before() {
        let mut status = TemplateStatus::default();
        for (outcome, cut) in [
            ("reloaded", Some(1.0)),
            ("reloaded", None),
            ("refused", None),
            ("reloaded", None),
            ("failed", None),
        ] {
            let marks = Marks { cut, ..Marks::default() };
            status.remember(Change { at: 0.0, outcome, marks, sessions_cut: 0, error: None });
        }
        status.swept(2, 9.0);
        let seen: Vec<_> = status.history.iter().map(|c| (c.marks.cut, c.sessions_cut)).collect();
        assert_eq!(seen, [(Some(1.0), 0), (Some(9.0), 0), (None, 0), (Some(9.0), 2), (None, 0)]);
    }
}
