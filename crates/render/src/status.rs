//! What `render` says of itself: plain values, turned into the `/status` page.

mod haproxy;

pub use haproxy::{HaproxyStatus, Reason};

use crate::{apply::Marks, blocked::blocks, facts::Facts, ledger::Followed, services::services};
use consul::{Query, Watched, shared::Place};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};
use tokio::time::Instant;

/// How a template stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Answers are missing.
    #[default]
    Waiting,
    /// The rendered text is in use.
    Applied,
    /// HAProxy is to follow it: it is under way, waits for its turn, or does not run.
    Pending,
    /// It is not in use; the last good one is.
    Failed,
}

/// One try to bring a text into use.
#[derive(Clone, Debug)]
pub struct Change {
    /// When it was remembered, in milliseconds of Unix time.
    pub at: f64,
    /// Which HAProxy it is about; empty when it has no name, or it is about the file alone.
    pub haproxy: String,
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
    /// How the file stands.
    pub state: State,
    /// What it asked when it was filled last.
    pub asked: Arc<BTreeSet<Query>>,
    /// How often it was filled.
    pub evaluations: u64,
    /// When it was filled last, in milliseconds of Unix time.
    pub evaluated: Option<f64>,
    /// When a text of it last came into use, in milliseconds of Unix time.
    pub changed: Option<f64>,
    /// What there is no answer to yet.
    pub missing: BTreeSet<String>,
    /// What went wrong last with the file, if it is still wrong.
    pub error: Option<String>,
    /// Why the newest text is held back, and the last good one goes on.
    pub held_back: Option<String>,
    /// What the template's functions warn of.
    pub warnings: BTreeSet<String>,
    /// The epochs of the masters that it followed.
    pub followed: Followed,
    /// Files written.
    pub writes: u64,
    /// The HAProxies that read it.
    pub haproxies: Vec<HaproxyStatus>,
    /// The last changes, oldest first.
    pub history: VecDeque<Change>,
}

const HISTORY: usize = 50;

impl TemplateStatus {
    /// Remembers a change, and forgets the oldest.
    pub fn remember(&mut self, change: Change) {
        if change.error.is_none() {
            self.changed = Some(change.at);
        }
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(change);
    }

    /// Old workers of an HAProxy were swept after its reloads so far; the last of them gets the sessions.
    pub fn swept(&mut self, haproxy: &str, sessions: usize, at: f64) {
        let reloaded = |change: &&mut Change| change.outcome == "reloaded" && change.haproxy == haproxy;
        let mut swept = self.history.iter_mut().rev().filter(reloaded);
        if let Some(last) = swept.next() {
            last.sessions_cut += sessions;
            last.marks.cut.get_or_insert(at);
        }
        swept.take_while(|change| change.marks.cut.is_none()).for_each(|change| change.marks.cut = Some(at));
    }

    /// How the template stands as a whole: as that of its HAProxies which is worst.
    #[must_use]
    pub fn whole_state(&self) -> State {
        let states = || self.haproxies.iter().map(HaproxyStatus::stands);
        match self.state {
            State::Failed => State::Failed,
            _ if states().any(|state| state == State::Failed) => State::Failed,
            _ if states().any(|state| state == State::Pending) => State::Pending,
            // In its place, and no HAProxy has it yet.
            State::Applied if states().any(|state| state == State::Waiting) => State::Waiting,
            state => state,
        }
    }

    /// What is wrong now, with the file or with an HAProxy.
    #[must_use]
    pub fn whole_error(&self) -> Option<String> {
        let of_haproxy = |haproxy: &HaproxyStatus| Some(haproxy.named(haproxy.error.as_ref()?));
        self.error.clone().or_else(|| self.haproxies.iter().find_map(of_haproxy))
    }

    fn show(&self, facts: &Facts, place: Option<&Place>, unix_ms: &impl Fn(Instant) -> f64) -> Value {
        let blocked: Vec<Value> = blocks(&self.asked, &self.missing, facts)
            .into_iter()
            .map(|block| {
                let since = block.since.map(unix_ms);
                json!({"what": block.what, "kind": block.why.word(), "why": block.why.to_string(), "since_ms": since})
            })
            .collect();
        let sum = |what: fn(&HaproxyStatus) -> u64| self.haproxies.iter().map(what).sum::<u64>();
        let needed = |haproxy: &HaproxyStatus| Some(haproxy.named(haproxy.reload_needed.as_ref()?));
        let drift = |haproxy: &HaproxyStatus| -> Vec<String> {
            haproxy.drift.iter().map(|what| haproxy.named(what)).collect()
        };
        json!({
            "source": self.source,
            "destination": self.destination,
            "state": self.whole_state().word(),
            "asks": self.asked.len(),
            "evaluations": self.evaluations,
            "evaluated_ms": self.evaluated,
            "changed_ms": self.changed,
            "blocked_by": blocked,
            "deduplicate": place.map(|place| shared(place, unix_ms)),
            "missing": self.missing,
            "error": self.whole_error(),
            "held_back": self.held_back,
            "warnings": self.warnings,
            "writes": self.writes,
            "reloads": sum(|haproxy| haproxy.reloads),
            "reload_failures": sum(|haproxy| haproxy.reload_failures),
            "steers": sum(|haproxy| haproxy.steers),
            "reload_reasons": self.haproxies.iter().flat_map(HaproxyStatus::reasons).collect::<Vec<_>>(),
            "reload_needed": self.haproxies.iter().find_map(needed),
            "drift": self.haproxies.iter().flat_map(drift).collect::<Vec<_>>(),
            "drifts": sum(|haproxy| haproxy.drifts),
            "leaving_servers": sum(|haproxy| haproxy.leaving_servers as u64),
            "sessions_cut": sum(|haproxy| haproxy.sessions_cut),
            "haproxy": self.haproxies.first().cloned().unwrap_or_default().runs(),
            "haproxies": self.haproxies.iter().map(HaproxyStatus::show).collect::<Vec<_>>(),
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
            "haproxy": self.haproxy,
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

/// The `/status` page. `unix_ms` says when a moment was, in milliseconds of Unix time.
#[must_use]
pub fn page(
    consul: &str,
    awaited: &[String],
    facts: &Facts,
    (templates, places): (&[TemplateStatus], &[Option<Place>]),
    unix_ms: impl Fn(Instant) -> f64,
) -> Value {
    let queries: Vec<Value> =
        facts.iter().map(|(query, watched)| question(query, watched, &unix_ms)).collect();
    let mut followed = Followed::new();
    for (name, epoch) in templates.iter().flat_map(|template| &template.followed) {
        let latest = followed.entry(name.clone()).or_default();
        *latest = (*latest).max(*epoch);
    }
    let place = |position: usize| places.get(position).and_then(Option::as_ref);
    let shown = templates.iter().enumerate();
    let shown: Vec<_> = shown.map(|(at, template)| template.show(facts, place(at), &unix_ms)).collect();
    json!({
        "program": "render",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "ready": {"ok": awaited.is_empty(), "awaited": awaited},
        "consul": {"address": consul, "trouble": facts.values().find_map(|watched| watched.trouble.as_ref())},
        "queries": queries,
        "services": services(facts, &followed),
        "templates": shown,
    })
}

fn shared(place: &Place, unix_ms: &impl Fn(Instant) -> f64) -> Value {
    let (heard, why) = match place {
        Place::Unknown | Place::Leads => (None, None),
        Place::Follows(_, heard) => (Some(*heard), None),
        Place::Alone(why) => (None, Some(why)),
    };
    json!({"place": place.word(), "heard_ms": heard.map(unix_ms), "why": why})
}

fn question(query: &Query, watched: &Watched, unix_ms: &impl Fn(Instant) -> f64) -> Value {
    let age = watched.answered.map(|answered| answered.elapsed().as_millis() as u64);
    let error = watched.last_error.as_ref();
    json!({
        "query": query.to_string(), "index": watched.index, "answers": watched.answers, "age_ms": age,
        "shared": watched.shared,
        "failures": watched.failures, "trouble": watched.trouble,
        "heard_ms": watched.heard.map(unix_ms),
        "last_error": error.map(|(at, said)| json!({"at_ms": unix_ms(*at), "said": said})),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_stands_as_its_worst_haproxy() {
        use State::{Applied, Failed, Pending, Waiting};
        for (file, haproxies, whole) in [
            (Applied, vec![], Applied),
            (Applied, vec![(Applied, false), (Applied, false)], Applied),
            // It runs the text of before, and the new one is in the file.
            (Applied, vec![(Applied, false), (Applied, true)], Pending),
            (Applied, vec![(Applied, true), (Failed, true)], Failed),
            (Failed, vec![(Applied, true)], Failed),
            (Applied, vec![(Waiting, true)], Waiting),
            (Applied, vec![(Waiting, false), (Pending, false)], Pending),
        ] {
            let haproxies = haproxies.into_iter();
            let haproxies = haproxies.map(|(state, follows)| HaproxyStatus {
                state,
                follows,
                ..HaproxyStatus::default()
            });
            let haproxies = haproxies.collect();
            let status = TemplateStatus { state: file, haproxies, ..TemplateStatus::default() };
            assert_eq!(status.whole_state(), whole, "{status:?}");
        }
    }

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
            let haproxy = String::new();
            status.remember(Change { at: 0.0, haproxy, outcome, marks, sessions_cut: 0, error: None });
        }
        status.swept("", 2, 9.0);
        status.swept("another", 5, 10.0);
        let seen: Vec<_> = status.history.iter().map(|c| (c.marks.cut, c.sessions_cut)).collect();
        assert_eq!(seen, [(Some(1.0), 0), (Some(9.0), 0), (None, 0), (Some(9.0), 2), (None, 0)]);
    }
}
