//! What `render` counts, for Prometheus.

mod sharing;

pub use sharing::Places;

use crate::{apply::Marks, facts::Facts, questions::Heard, status::State};
use consul::Watched;
use daemon::clock::unix_millis;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use std::{fmt, sync::atomic::AtomicU64};

type Labels = Vec<(&'static str, String)>;
type Seconds = Family<Labels, Histogram, fn() -> Histogram>;

/// Counters and histograms by destination; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    changes: Family<Labels, Counter>,
    cut: Family<Labels, Counter>,
    drifts: Family<Labels, Counter>,
    state: Family<Labels, Gauge>,
    evaluations: Family<Labels, Counter>,
    blocked: Family<Labels, Gauge>,
    moments: Family<Labels, Gauge<f64, AtomicU64>>,
    seconds: Seconds,
}

const STATES: [State; 4] = [State::Waiting, State::Applied, State::Pending, State::Failed];

impl Metrics {
    /// Registers everything.
    pub fn register(registry: &mut Registry, heard: Heard) -> Self {
        let metrics = Metrics {
            changes: Family::default(),
            cut: Family::default(),
            drifts: Family::default(),
            state: Family::default(),
            evaluations: Family::default(),
            blocked: Family::default(),
            moments: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 18))),
        };
        registry.register_collector(Box::new(Queries(heard)));
        let registry = registry.sub_registry_with_prefix("rolecall_render");
        registry.register(
            "changes",
            "Tries to bring a text into use, by outcome: written, steered, reloaded, pending, refused, held_back, failed",
            metrics.changes.clone(),
        );
        registry.register(
            "sessions_cut",
            "Sessions that old HAProxy workers held to servers that are gone, and that were cut",
            metrics.cut.clone(),
        );
        registry.register(
            "drifts",
            "How often HAProxy was found to run otherwise than the file says",
            metrics.drifts.clone(),
        );
        registry.register("template_state", "1 for the state that a template is in", metrics.state.clone());
        registry.register("evaluations", "How often a template was filled", metrics.evaluations.clone());
        registry.register(
            "template_blocked",
            "How many questions of a template have no answer to go by, or only the last known one",
            metrics.blocked.clone(),
        );
        registry.register_with_unit(
            "template_last_timestamp",
            "Unix time of what a template did last: evaluated, changed",
            Unit::Seconds,
            metrics.moments.clone(),
        );
        registry.register_with_unit(
            "apply",
            "Time by step: own (Consul's answer to renamed file, without the check), check, steer, reload, command",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        metrics
    }

    /// A text came into use.
    pub fn changed(&self, destination: &str, haproxy: &str, outcome: &str, marks: &Marks) {
        self.moment(destination, "changed");
        self.changes.get_or_create(&labels(destination, haproxy, "outcome", outcome)).inc();
        let step = |from: Option<f64>, to: Option<f64>| Some(to? - from?);
        let follow = if outcome == "reloaded" { "reload" } else { "command" };
        for (name, millis) in [
            ("own", marks.own_part()),
            ("check", step(marks.staged, marks.checked)),
            ("steer", step(marks.rendered, marks.steered)),
            (follow, step(marks.renamed, marks.applied).filter(|millis| *millis > 0.0)),
        ] {
            // What was steered was in use before its file was in place.
            if let Some(millis) = millis.filter(|millis| *millis >= 0.0) {
                self.seconds.get_or_create(&labels(destination, haproxy, "step", name)).observe(millis / 1e3);
            }
        }
    }

    /// A text did not come into use.
    pub fn failed(&self, destination: &str, haproxy: &str, outcome: &str) {
        self.changes.get_or_create(&labels(destination, haproxy, "outcome", outcome)).inc();
    }

    /// Sessions were cut.
    pub fn cut(&self, destination: &str, haproxy: &str, sessions: usize) {
        self.cut.get_or_create(&whose(destination, haproxy)).inc_by(sessions as u64);
    }

    /// HAProxy ran otherwise than the file says.
    pub fn drifted(&self, destination: &str, haproxy: &str) {
        self.drifts.get_or_create(&whose(destination, haproxy)).inc();
    }

    /// A template was filled.
    pub fn evaluated(&self, destination: &str) {
        self.evaluations.get_or_create(&whose(destination, "")).inc();
        self.moment(destination, "evaluated");
    }

    /// So many of its questions have no answer to go by.
    pub fn blocked(&self, destination: &str, questions: usize) {
        self.blocked.get_or_create(&whose(destination, "")).set(questions as i64);
    }

    fn moment(&self, destination: &str, event: &str) {
        self.moments.get_or_create(&labels(destination, "", "event", event)).set(unix_millis() / 1e3);
    }

    /// A template is in this state.
    pub fn state(&self, destination: &str, state: State) {
        for known in STATES {
            let gauge = self.state.get_or_create(&labels(destination, "", "state", known.word())).clone();
            gauge.set(i64::from(known == state));
        }
    }
}

/// What a gauge shows of a question; nothing where it has none.
type Reading<'a> = &'a dyn Fn(&Watched) -> Option<f64>;

/// The state of each question, read from what is known when Prometheus asks.
#[derive(Debug)]
struct Queries(Heard);

impl Collector for Queries {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let facts = self.0.now();
        let trouble = |watched: &Watched| Some(f64::from(u8::from(watched.trouble.is_some())));
        let age = |watched: &Watched| watched.answered.map(|answered| answered.elapsed().as_secs_f64());
        let index = |watched: &Watched| Some(watched.index as f64);
        let of: [(&str, &str, Reading<'_>); 3] = [
            ("trouble", "1 while Consul gives no good answer and the last one is kept", &trouble),
            ("age_seconds", "Time since Consul's last good answer, an equal one too", &age),
            ("index", "X-Consul-Index of the last good answer", &index),
        ];
        for (name, help, value) in of {
            gauges(&mut out, &format!("rolecall_render_query_{name}"), help, &facts, value)?;
        }
        let mut failures = out.encode_descriptor(
            "rolecall_render_query_failures",
            "Requests to Consul that got no good answer",
            None,
            MetricType::Counter,
        )?;
        for (query, watched) in facts.iter() {
            ConstCounter::new(watched.failed)
                .encode(failures.encode_family(&[("query", query.to_string())])?)?;
        }
        Ok(())
    }
}

fn gauges(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    facts: &Facts,
    value: Reading<'_>,
) -> fmt::Result {
    let mut gauge = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (query, watched) in facts.iter() {
        if let Some(value) = value(watched) {
            ConstGauge::new(value).encode(gauge.encode_family(&[("query", query.to_string())])?)?;
        }
    }
    Ok(())
}

fn labels(destination: &str, haproxy: &str, name: &'static str, value: &str) -> Labels {
    let mut labels = whose(destination, haproxy);
    labels.push((name, value.to_owned()));
    labels
}

/// Only where several HAProxies read a file have they names.
fn whose(destination: &str, haproxy: &str) -> Labels {
    let haproxy = (!haproxy.is_empty()).then(|| ("haproxy", haproxy.to_owned()));
    [("destination", destination.to_owned())].into_iter().chain(haproxy).collect()
}
