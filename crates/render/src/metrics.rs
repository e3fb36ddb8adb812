//! What `render` counts, for Prometheus.

use crate::{apply::Marks, status::State};
use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

type Labels = Vec<(&'static str, String)>;
type Seconds = Family<Labels, Histogram, fn() -> Histogram>;

/// Counters and histograms by destination; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    changes: Family<Labels, Counter>,
    cut: Family<Labels, Counter>,
    state: Family<Labels, Gauge>,
    seconds: Seconds,
}

const STATES: [State; 4] = [State::Waiting, State::Applied, State::Pending, State::Failed];

impl Metrics {
    /// Registers everything.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics {
            changes: Family::default(),
            cut: Family::default(),
            state: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 18))),
        };
        let registry = registry.sub_registry_with_prefix("rolecall_render");
        registry.register(
            "changes",
            "Tries to bring a text into use, by outcome: written, reloaded, pending, refused, failed",
            metrics.changes.clone(),
        );
        registry.register(
            "sessions_cut",
            "Sessions that old HAProxy workers held to servers that are gone, and that were cut",
            metrics.cut.clone(),
        );
        registry.register("template_state", "1 for the state that a template is in", metrics.state.clone());
        registry.register_with_unit(
            "apply",
            "Time by step: own (Consul's answer to renamed file, without the check), check, reload",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        metrics
    }

    /// A text came into use.
    pub fn changed(&self, destination: &str, outcome: &str, marks: &Marks) {
        self.changes.get_or_create(&labels(destination, "outcome", outcome)).inc();
        let step = |from: Option<f64>, to: Option<f64>| Some(to? - from?);
        for (name, millis) in [
            ("own", marks.own_part()),
            ("check", step(marks.staged, marks.checked)),
            ("reload", step(marks.renamed, marks.applied)),
        ] {
            if let Some(millis) = millis {
                self.seconds.get_or_create(&labels(destination, "step", name)).observe(millis / 1e3);
            }
        }
    }

    /// A text did not come into use.
    pub fn failed(&self, destination: &str, outcome: &str) {
        self.changes.get_or_create(&labels(destination, "outcome", outcome)).inc();
    }

    /// Sessions were cut.
    pub fn cut(&self, destination: &str, sessions: usize) {
        let destination = vec![("destination", destination.to_owned())];
        self.cut.get_or_create(&destination).inc_by(sessions as u64);
    }

    /// A template is in this state.
    pub fn state(&self, destination: &str, state: State) {
        for known in STATES {
            let gauge = self.state.get_or_create(&labels(destination, "state", known.word())).clone();
            gauge.set(i64::from(known == state));
        }
    }
}

fn labels(destination: &str, name: &'static str, value: &str) -> Labels {
    vec![("destination", destination.to_owned()), (name, value.to_owned())]
}
