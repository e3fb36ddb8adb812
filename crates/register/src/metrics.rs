//! What Prometheus is told: read from the same values as the status page, at the moment it asks.

use crate::{drain::Stage, history::REASONS, plan::Known, role::Standing, status::Board};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, family::Family, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};
use std::{fmt, sync::Arc};
use tokio::time::Instant;

type Labels = Vec<(String, String)>;

/// How long looks take, by service.
#[derive(Clone, Debug)]
pub struct ProbeSeconds(Family<Labels, Histogram, fn() -> Histogram>);

impl Default for ProbeSeconds {
    fn default() -> Self {
        // A healthy look over loopback takes 0.1–1 ms; the time limit is 150 ms unless chosen.
        let buckets =
            || Histogram::new([0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0]);
        Self(Family::new_with_constructor(buckets))
    }
}

impl ProbeSeconds {
    /// The histogram of one service.
    #[must_use]
    pub fn of(&self, service: &str, id: &str) -> Histogram {
        self.0.get_or_create_owned(&labels(service, id))
    }
}

/// A registry with everything this program counts.
#[must_use]
pub fn registry(boards: Arc<[Board]>, seconds: &ProbeSeconds) -> Registry {
    let mut registry = daemon::metrics::registry(env!("CARGO_PKG_VERSION"));
    registry.register(
        "rolecall_register_probe_seconds",
        "How long a look at the instance took",
        seconds.0.clone(),
    );
    registry.register_collector(Box::new(Boards(boards)));
    registry
}

#[derive(Debug)]
struct Boards(Arc<[Board]>);

fn labels(service: &str, id: &str) -> Labels {
    vec![("service".into(), service.into()), ("id".into(), id.into())]
}

impl Boards {
    fn each(
        &self,
        out: &mut DescriptorEncoder<'_>,
        kind: MetricType,
        (name, help): (&str, &str),
        value: impl Fn(&Board) -> Option<f64>,
    ) -> fmt::Result {
        let name = format!("rolecall_register_{name}");
        let mut family = out.encode_descriptor(&name, help, None, kind)?;
        for board in &*self.0 {
            let Some(value) = value(board) else { continue };
            let labels = labels(&board.name, &board.id);
            let one = family.encode_family(&labels)?;
            match kind {
                MetricType::Counter => ConstCounter::new(value).encode(one)?,
                _ => ConstGauge::new(value).encode(one)?,
            }
        }
        Ok(())
    }

    fn roles(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "1 for what the instance is, in the service's words; candidate and fenced get no traffic";
        let mut family = out.encode_descriptor("rolecall_register_role", help, None, MetricType::Gauge)?;
        for board in &*self.0 {
            for standing in [Standing::Master, Standing::Replica, Standing::Candidate, Standing::Fenced] {
                let mut labels = labels(&board.name, &board.id);
                labels.push(("role".into(), board.words.name(standing).unwrap_or_default().into()));
                let has = board.belief.borrow().standing == standing;
                ConstGauge::new(f64::from(u8::from(has))).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl Boards {
    fn fencings(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help =
            "How often the role of a master was taken away: another is being promoted, or has a later epoch";
        let mut family =
            out.encode_descriptor("rolecall_register_fencings", help, None, MetricType::Counter)?;
        for board in &*self.0 {
            for reason in REASONS {
                let mut labels = labels(&board.name, &board.id);
                labels.push(("reason".into(), reason.into()));
                let count = board.history.borrow().fencings.get(reason).copied().unwrap_or_default();
                ConstCounter::new(count as f64).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl Collector for Boards {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        use MetricType::{Counter, Gauge};
        let (now, flag) = (Instant::now(), |yes: bool| Some(f64::from(u8::from(yes))));
        let out = &mut out;
        self.roles(out)?;
        let epoch = ("epoch", "The epoch in which the instance became master");
        self.each(out, Gauge, epoch, |board| board.belief.borrow().epoch.map(|epoch| epoch.number as f64))?;
        let up = ("probe_success", "1 if the last look succeeded");
        self.each(out, Gauge, up, |board| {
            let glance = board.glance.borrow();
            flag(glance.looks > 0 && glance.error.is_none())
        })?;
        let lag = ("replica_lag_seconds", "For how long a replica has heard nothing of its master");
        self.each(out, Gauge, lag, |board| board.quality.borrow().lag.map(|lag| lag.as_secs_f64()))?;
        let failures = ("probe_failures", "Looks that failed");
        self.each(out, Counter, failures, |board| Some(board.glance.borrow().failures as f64))?;
        let registrations = ("registrations", "Entries that the agent accepted");
        self.each(out, Counter, registrations, |board| Some(board.actual.borrow().registrations as f64))?;
        let held = ("agent_holds_entry", "1 if the agent is known to hold an entry");
        self.each(out, Gauge, held, |board| flag(matches!(board.actual.borrow().known, Known::Held(..))))?;
        let beats = ("beats", "Heartbeats that the agent accepted");
        self.each(out, Counter, beats, |board| Some(board.beats.borrow().beats as f64))?;
        let lost = ("beat_failures", "Heartbeats that failed");
        self.each(out, Counter, lost, |board| Some(board.beats.borrow().failures as f64))?;
        let drift =
            ("catalog_drift", "1 if the catalog has shown something else than the agent for over 2 s");
        self.each(out, Gauge, drift, |board| flag(board.drift.borrow().lasts(now)))?;
        let lag = (
            "catalog_lag_seconds",
            "For how long the catalog has shown something else than the agent; 0 if it does not",
        );
        self.each(out, Gauge, lag, |board| {
            let since = board.drift.borrow().since;
            Some(since.map_or(0.0, |(since, _)| now.saturating_duration_since(since).as_secs_f64()))
        })?;
        let drained = ("drained", "1 if it is out of service by order");
        self.each(out, Gauge, drained, |board| {
            flag(matches!(board.drain.borrow().stage, Stage::Draining | Stage::Drained))
        })?;
        self.fencings(out)?;
        let ack = ("last_ack_timestamp_seconds", "When the agent last accepted a heartbeat, since 1970");
        self.each(out, Gauge, ack, |board| board.beats.borrow().beat_ms.map(|millis| millis / 1000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::board;

    #[test]
    fn every_number_is_there() {
        let seconds = ProbeSeconds::default();
        seconds.of("redis", "redis-0").observe(0.0003);
        let text = daemon::metrics::text(&registry([board()].into(), &seconds));
        for line in [
            "rolecall_register_role{service=\"redis\",id=\"redis-0\",role=\"master\"} 1",
            "rolecall_register_role{service=\"redis\",id=\"redis-0\",role=\"replica\"} 0",
            "rolecall_register_epoch{service=\"redis\",id=\"redis-0\"} 3",
            "rolecall_register_replica_lag_seconds{service=\"redis\",id=\"redis-0\"} 1",
            "rolecall_register_probe_failures_total{service=\"redis\",id=\"redis-0\"} 0",
            "rolecall_register_probe_seconds_count{service=\"redis\",id=\"redis-0\"} 1",
            "rolecall_register_registrations_total{service=\"redis\",id=\"redis-0\"} 2",
            "rolecall_register_beats_total{service=\"redis\",id=\"redis-0\"} 10",
            "rolecall_register_beat_failures_total{service=\"redis\",id=\"redis-0\"} 1",
            "rolecall_register_catalog_lag_seconds{service=\"redis\",id=\"redis-0\"} 0",
            "rolecall_register_drained{service=\"redis\",id=\"redis-0\"} 0",
            "rolecall_register_fencings_total{service=\"redis\",id=\"redis-0\",reason=\"epoch\"} 0",
            "rolecall_register_fencings_total{service=\"redis\",id=\"redis-0\",reason=\"promotion\"} 0",
            "rolecall_register_catalog_drift{service=\"redis\",id=\"redis-0\"} 0",
            "rolecall_register_last_ack_timestamp_seconds{service=\"redis\",id=\"redis-0\"} 5",
        ] {
            assert!(text.lines().any(|found| found.starts_with(line)), "{line}\n---\n{text}");
        }
    }
}
