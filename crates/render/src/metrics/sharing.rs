//! Who asks Consul for whom, for Prometheus.

use crate::sharing::Shown;
use consul::shared::Place;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};
use std::fmt;

/// Where each template stands among those that share their answers, read when Prometheus asks.
#[derive(Debug)]
pub struct Places {
    /// The places.
    pub shown: Shown,
    /// The templates' destinations, in their order.
    pub destinations: Vec<String>,
}

impl Collector for Places {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let places = self.shown.places();
        let places =
            || self.destinations.iter().zip(&places).filter_map(|(at, place)| Some((at, place.as_ref()?)));
        let mut gauge = out.encode_descriptor(
            "rolecall_render_deduplicate",
            "1 for where a template stands among the equal ones of other hosts: unknown, leads, follows, alone",
            None,
            MetricType::Gauge,
        )?;
        for (destination, place) in places() {
            let labels = [("destination", destination.as_str()), ("place", place.word())];
            ConstGauge::new(1_i64).encode(gauge.encode_family(&labels)?)?;
        }
        let mut gauge = out.encode_descriptor(
            "rolecall_render_deduplicate_silence_seconds",
            "Time since the leader that a template follows was heard",
            None,
            MetricType::Gauge,
        )?;
        for (destination, place) in places() {
            if let Place::Follows(_, heard) = place {
                let labels = [("destination", destination.as_str())];
                ConstGauge::new(heard.elapsed().as_secs_f64()).encode(gauge.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
