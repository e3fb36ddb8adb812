//! What the process counts, for Prometheus: the build, and itself as Linux sees it.

mod format;

pub use format::Format;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};
use std::{fmt, fs};

/// A tick of `/proc/self/stat`: 1/100 s in Linux's interface to programs, whatever the kernel's own rate.
const TICKS_PER_SECOND: f64 = 100.0;

/// A registry with `rolecall_build_info` and the `process_*` metrics.
pub fn registry(version: &'static str) -> Registry {
    let mut registry = Registry::default();
    registry.register("rolecall_build", "The running build", Info::new([("version", version)]));
    registry.register_collector(Box::new(Process));
    registry
}

/// Everything in a registry, as OpenMetrics text.
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).expect("writing to a string cannot fail");
    text
}

/// Reads `/proc` when asked; what cannot be read is left out.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        use MetricType::{Counter, Gauge};
        let file = |path| fs::read_to_string(path).unwrap_or_default();
        let stat = file("/proc/self/stat");
        let memory = resident_bytes(&file("/proc/self/status"));
        let start = start_seconds(&stat, &file("/proc/stat"));
        let open = fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as f64);
        for (kind, name, help, unit, value) in [
            (Gauge, "process_resident_memory", "Memory held in RAM", Some(&Unit::Bytes), memory),
            (Counter, "process_cpu", "Processor time used", Some(&Unit::Seconds), cpu_seconds(&stat)),
            (Gauge, "process_start_time", "When the process began, since 1970", Some(&Unit::Seconds), start),
            (Gauge, "process_open_fds", "Open files and sockets", None, open),
        ] {
            let Some(value) = value else { continue };
            let encoder = out.encode_descriptor(name, help, unit, kind)?;
            match kind {
                Counter => ConstCounter::new(value).encode(encoder)?,
                _ => ConstGauge::new(value).encode(encoder)?,
            }
        }
        Ok(())
    }
}

/// `VmRSS:  1234 kB` of `/proc/self/status`.
fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok().map(|kib: f64| kib * 1024.0)
}

/// utime + stime of `/proc/self/stat`.
fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS_PER_SECOND)
}

/// starttime of `/proc/self/stat` after btime of `/proc/stat`.
fn start_seconds(stat: &str, system: &str) -> Option<f64> {
    let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

/// A field of `/proc/self/stat`, counted from 1 as in proc(5); the second, a name in parentheses, may hold
/// spaces and parentheses of its own.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_proc() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 99 0 0 0 150 50 0 0 20 0 1 0 12345 2000 300";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(start_seconds(stat, "cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_123.45));
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    1234 kB\n"), Some(1_263_616.0));
        assert_eq!((cpu_seconds(""), start_seconds("", ""), resident_bytes("")), (None, None, None));
    }

    #[test]
    fn shows_the_build_and_the_process() {
        let text = text(&registry("0.1.0"));
        for name in [
            "rolecall_build_info{version=\"0.1.0\"} 1",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "process_start_time_seconds ",
            "process_open_fds ",
        ] {
            assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing in:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
