//! The status page: everything the rooms know, put together when somebody asks. Never a secret.

use crate::{
    beat::Beats,
    diagnosis::Cause,
    drain::{Drain, Stage},
    drift::Drift,
    history::History,
    observe::Glance,
    plan::{Desired, Known},
    pointer::Sight,
    quality::{LinkState, Quality},
    reconcile::Actual,
    role::Belief,
    sentinel::Report,
    several::Answering,
    words::Words,
};
use consul::Watched;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;

/// What is shown of one service: the reading end of everything that is passed between its rooms.
#[derive(Clone, Debug)]
pub struct Board {
    /// Consul service name.
    pub name: String,
    /// Consul service id.
    pub id: String,
    /// Where clients reach it; `None` until it is known.
    pub address: watch::Receiver<Option<String>>,
    /// Its port there.
    pub port: u16,
    /// What the service calls its roles.
    pub words: Words,
    /// Sentinel's name of the master, and how many Sentinels have to answer; `None` without Sentinel.
    pub sentinel: Option<(String, usize)>,
    /// How long a look may take, the pause before it included.
    pub pace: Duration,
    /// The epoch pointer's key, what was heard of it, and why it cannot be written; `None` without one.
    pub pointer: Option<(String, watch::Receiver<Watched>, watch::Receiver<Option<String>>)>,
    /// What is believed.
    pub belief: watch::Receiver<Belief>,
    /// The last look.
    pub glance: watch::Receiver<Glance>,
    /// What is known of the replication.
    pub quality: watch::Receiver<Quality>,
    /// The last changes of the role.
    pub history: watch::Receiver<History>,
    /// The Sentinels' last answers.
    pub report: watch::Receiver<Report>,
    /// Whether it is in service.
    pub drain: watch::Receiver<Drain>,
    /// What Consul should say.
    pub desired: watch::Receiver<Desired>,
    /// The entry at the agent.
    pub actual: watch::Receiver<Actual>,
    /// Heartbeats.
    pub beats: watch::Receiver<Beats>,
    /// The catalog against the agent.
    pub drift: watch::Receiver<Drift>,
    /// Who answers at Consul's address.
    pub answering: watch::Receiver<Answering>,
    /// Consul's address.
    pub consul: String,
}

impl Board {
    /// The service's part of the status page.
    #[must_use]
    pub fn show(&self) -> Value {
        let belief = self.belief.borrow();
        json!({
            "name": self.name,
            "id": self.id,
            "address": *self.address.borrow(),
            "port": self.port,
            "role": self.words.name(belief.standing),
            "why": belief.why,
            "says": belief.role.map(|_| &belief.word),
            "epoch": belief.epoch.map(|epoch| epoch.number),
            "generation": belief.generation,
            "pointer": self.pointer(),
            "run_id": belief.run_id(),
            "probe": self.probe(),
            "replication": replication(&self.quality.borrow()),
            "sentinel": self.sentinel.as_ref().map(|asked| sentinel(asked, &self.report.borrow())),
            "drain": self.drain.borrow().show(),
            "desired": self.desired(),
            "agent": self.agent(),
            "catalog": catalog(&self.drift.borrow()),
            "history": self.history.borrow().show(),
        })
    }

    /// One line about it, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let (belief, drain) = (self.belief.borrow(), self.drain.borrow());
        let role = self.words.name(belief.standing).unwrap_or("unknown");
        let epoch = belief.epoch.map(|epoch| format!(" in epoch {epoch}")).unwrap_or_default();
        let failure = belief.failure.as_ref().map(|why| format!(", {why}")).unwrap_or_default();
        let drained = if drain.stage == Stage::Serving { "" } else { ", drained by order" };
        format!("{}: {role}{epoch}{drained}{failure}", self.id)
    }

    /// How often it was looked at (`None` before it is known where it is), and how long a look may take.
    #[must_use]
    pub fn looks(&self) -> (Option<u64>, Duration) {
        (self.address.borrow().is_some().then(|| self.glance.borrow().looks), self.pace)
    }

    /// Why Consul does not do as asked; `None` when it does.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let refused = self.answering.borrow().refusal(&self.consul);
        let registering = refused.or_else(|| self.actual.borrow().error.clone());
        registering.or_else(|| self.beats.borrow().error.clone())
    }

    fn pointer(&self) -> Value {
        let Some((key, heard, trouble)) = &self.pointer else { return Value::Null };
        let (sight, trouble) = (Sight::of(&heard.borrow()), trouble.borrow().clone());
        let error = match &sight {
            Sight::Trouble(why) => Some(why.clone()),
            _ => trouble,
        };
        let pointer = sight.pointer();
        json!({
            "key": key,
            "epoch": pointer.map(|pointer| pointer.epoch.number),
            "generation": pointer.map(|pointer| pointer.epoch.generation),
            "id": pointer.and_then(|pointer| Some(&pointer.holder.as_ref()?.id)),
            "error": error,
        })
    }

    fn probe(&self) -> Value {
        let glance = self.glance.borrow();
        let looked = glance.looks > 0;
        json!({
            "ok": looked && glance.error.is_none(),
            "error": glance.error,
            "latency_ms": looked.then(|| glance.took.as_secs_f64() * 1000.0),
            "at_ms": looked.then_some(glance.at_ms),
        })
    }

    fn desired(&self) -> Value {
        match &*self.desired.borrow() {
            Desired::Undecided => Value::Null,
            Desired::Absent => json!({"leaving": true}),
            Desired::Present(entry, _) => json!({"tags": entry.tags, "status": entry.check.status.word()}),
        }
    }

    fn agent(&self) -> Value {
        let (actual, beats) = (self.actual.borrow(), self.beats.borrow());
        let state = match (&*self.desired.borrow(), &actual.known) {
            (_, Known::Unknown) | (Desired::Undecided, _) => "unknown",
            (_, Known::Absent) => "absent",
            (Desired::Present(entry, _), known) if known.is(entry) => "in sync",
            _ => "differs",
        };
        json!({
            "state": state,
            "status": beats.said.map(|status| status.word()),
            "last_register_ms": actual.registered_ms,
            "last_beat_ms": beats.beat_ms,
            "registrations": actual.registrations,
            "beats": beats.beats,
            "error": self.trouble(),
        })
    }
}

fn replication(quality: &Quality) -> Value {
    json!({
        "link": quality.link.map(LinkState::word),
        "replid": quality.replid,
        "lag_s": quality.lag.map(|lag| lag.as_secs()),
        "fault": quality.fault,
    })
}

fn sentinel((master, quorum): &(String, usize), report: &Report) -> Value {
    let errors: Vec<String> = report
        .0
        .iter()
        .filter_map(|(address, answer)| Some(format!("{address}: {}", answer.said.as_ref().err()?)))
        .collect();
    let named = report.newest();
    json!({
        "ok": report.said().count() >= *quorum.min(&report.known().max(1)),
        "answering": report.said().count(),
        "known": report.known(),
        "named": named.map(|named| {
            let (host, port) = named.address.clone();
            crate::probe::link::Address::Tcp(host, port).to_string()
        }),
        "epoch": named.map(|named| named.epoch),
        "promotes": report.said().find_map(|(_, named)| {
            named.failover.as_ref().map(|failover| format!("{}:{}", failover.address.0, failover.address.1))
        }),
        "gone": report.gone(),
        "remedy": report.remedy(master),
        "error": (!errors.is_empty()).then(|| errors.join("; ")),
    })
}

fn catalog(drift: &Drift) -> Value {
    json!({
        "state": drift.state.word(),
        "agent_says": drift.agent_says,
        "catalog_says": drift.catalog_says,
        "since_ms": drift.since.map(|(_, millis)| millis),
        "since_s": drift.since.map(|(since, _)| since.elapsed().as_secs()),
        "cause": drift.cause.as_ref().map(Cause::word),
        "hint": drift.hint,
    })
}

/// The whole page.
#[must_use]
pub fn page(since: &str, consul: &str, awaited: &[String], boards: &[Board]) -> Value {
    json!({
        "program": "register",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "since": since,
        "ready": {"ok": awaited.is_empty(), "awaited": awaited},
        "consul": {"address": consul, "trouble": boards.iter().find_map(Board::trouble)},
        "services": boards.iter().map(Board::show).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        plan::{
            desired,
            tests::{entry, held, me},
        },
        role::{Evidence, Life, Names, Sighting},
        sentinel::{Answer, Named},
    };
    use consul::{Role, Status};
    use std::collections::BTreeMap;
    use tokio::time::Instant;

    fn rx<T>(value: T) -> watch::Receiver<T> {
        watch::channel(value).1
    }

    pub(crate) fn board() -> Board {
        let named = Named {
            id: None,
            address: ("10.0.0.7".into(), 6379),
            run_id: None,
            epoch: 3,
            failover: None,
            known: 1,
            quorum: 1,
            others: Default::default(),
        };
        let answer = |said, listed| Answer { asked: Some(Instant::now()), said, listed };
        let report = Report(BTreeMap::from([
            ("s".to_owned(), answer(Ok(named), true)),
            ("t".to_owned(), answer(Err("down".into()), false)),
        ]));
        let names = Names([("10.0.0.7".to_owned(), 6379)].into());
        let evidence = Evidence { report: report.clone(), ..Evidence::default() };
        let life = Life { run_id: Some("abc".into()), connection: 1 };
        let seen = Sighting::Answer { role: Role::Master, word: "master".into(), epoch: None, life };
        let seen = Belief::new(true).saw(seen, Instant::now());
        let belief = seen.judged(&evidence, &names, Instant::now());
        let want = desired(&me(), &belief);
        let mut history = History::default();
        history.note(&Belief::new(true), &belief, &Words::of_redis(), 6.0);
        let actual = Actual { known: held(&entry(&want)), registrations: 2, ..Actual::default() };
        let said = Some(Status::Passing);
        let beats = Beats { said, beats: 10, failures: 1, beat_ms: Some(5000.0), ..Beats::default() };
        Board {
            name: "redis".into(),
            id: "redis-0".into(),
            address: rx(Some("10.0.0.7".into())),
            port: 6379,
            words: Words::of_redis(),
            sentinel: Some(("mymaster".into(), 1)),
            pace: Duration::from_millis(350),
            pointer: None,
            belief: rx(belief),
            glance: rx(Glance { looks: 1, at_ms: 7.0, ..Glance::default() }),
            quality: rx(Quality {
                link: Some(LinkState::Up),
                replid: Some("86fa".into()),
                lag: Some(Duration::from_secs(1)),
                fault: None,
            }),
            history: rx(history),
            report: rx(report),
            drain: rx(Drain::default()),
            desired: rx(want),
            actual: rx(actual),
            beats: rx(beats),
            drift: rx(Drift::default()),
            answering: rx(Answering::default()),
            consul: "http://127.0.0.1:8500".into(),
        }
    }

    #[test]
    fn the_page_has_its_promised_shape() {
        let page = page("2026-11-23T00:00:00.000Z", "http://127.0.0.1:8500", &[], &[board()]);
        assert_eq!(page["ready"], json!({"ok": true, "awaited": []}));
        assert_eq!(page["consul"], json!({"address": "http://127.0.0.1:8500", "trouble": null}));
        let service = &page["services"][0];
        for (pointer, wanted) in [
            ("/role", json!("master")),
            ("/epoch", json!(3)),
            ("/run_id", json!("abc")),
            ("/probe", json!({"ok": true, "error": null, "latency_ms": 0.0, "at_ms": 7.0})),
            (
                "/sentinel",
                json!({"ok": true, "answering": 1, "known": 1, "named": "10.0.0.7:6379", "epoch": 3,
                       "promotes": null, "gone": [], "remedy": null, "error": "t: down"}),
            ),
            ("/says", json!("master")),
            ("/replication", json!({"link": "up", "replid": "86fa", "lag_s": 1, "fault": null})),
            ("/drain", json!({"order": 0, "state": "serving", "why": null})),
            ("/desired", json!({"tags": ["v7", "master"], "status": "passing"})),
            ("/agent/state", json!("in sync")),
            ("/agent/registrations", json!(2)),
            ("/agent/beats", json!(10)),
            ("/catalog/state", json!("unknown")),
            ("/history/0/role", json!("master")),
            ("/history/0/epoch", json!(3)),
            ("/history/0/at_ms", json!(6.0)),
            ("/catalog/since_ms", json!(null)),
        ] {
            assert_eq!(service.pointer(pointer), Some(&wanted), "{pointer}");
        }
    }
}
