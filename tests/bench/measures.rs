//! What is told of a run: once, for the table, its goals and the file.

use serde_json::{Value, json};
use tests::Fault;

use crate::run::Run;

/// One number of a run; NaN when it could not be seen.
pub struct Measure {
    /// Its key in the file.
    pub key: &'static str,
    /// Its line in the table.
    pub title: &'static str,
    /// The number; milliseconds unless the title says otherwise.
    pub of: fn(&Run) -> f64,
    /// The most it should be.
    pub goal: fn(Fault) -> Option<f64>,
}

const NONE: fn(Fault) -> Option<f64> = |_| None;
const ZERO: fn(Fault) -> Option<f64> = |_| Some(0.0);

/// All of them, in the order of the table.
pub const MEASURES: [Measure; 15] = [
    measure("promoted_ms", "fault → ROLE of the new master flips", |r| r.promoted, NONE),
    measure("advertised_ms", "ROLE flips → Consul advertises it", advertised, |_| Some(30.0)),
    measure("withdrawn_ms", "fault → the old one is withdrawn", withdrawn, |fault| match fault {
        Fault::Kill => Some(20.0),
        Fault::Pause => Some(750.0),
        Fault::Planned => None,
    }),
    measure("overlap_ms", "two masters advertised", |r| r.adverts.several(), ZERO),
    measure("nobody_ms", "no master advertised", |r| r.adverts.nobody(), NONE),
    measure("readvertised", "the old one advertised again, times", |r| returns(r) as f64, ZERO),
    measure("again", "Sentinel failed over once more, times", again, NONE),
    measure("gap_ms", "longest gap between acknowledgements", gap, NONE),
    measure(
        "gap_beyond_promotion_ms",
        "  beyond the flip",
        |r| gap(r) - r.promoted,
        |fault| (fault == Fault::Kill).then_some(100.0),
    ),
    measure("acknowledged", "writes acknowledged", |r| r.tally.acknowledged as f64, NONE),
    measure("lost", "  and lost", |r| r.lost as f64, NONE),
    measure("lost_of_10000", "  and lost, of 10 000", lost_of_10000, |fault| {
        (fault == Fault::Planned).then_some(50.0)
    }),
    measure(
        "stale",
        "  by the old one after the new one's first",
        |r| r.stale as f64,
        |fault| (fault != Fault::Planned).then_some(0.0),
    ),
    measure("unknown", "writes without an answer", |r| r.tally.unknown as f64, NONE),
    measure("refused", "writes refused", |r| r.tally.refused.values().sum::<usize>() as f64, NONE),
];

const fn measure(
    key: &'static str,
    title: &'static str,
    of: fn(&Run) -> f64,
    goal: fn(Fault) -> Option<f64>,
) -> Measure {
    Measure { key, title, of, goal }
}

fn advertised(run: &Run) -> f64 {
    run.adverts.shown(run.masters.1).map_or(f64::NAN, |at| at - run.promoted)
}

fn withdrawn(run: &Run) -> f64 {
    run.adverts.withdrawn(run.masters.0).unwrap_or(f64::NAN)
}

/// Until the end of the run, so also after it became a replica.
fn returns(run: &Run) -> usize {
    run.adverts.returns(run.masters.0)
}

/// Then the other numbers tell of both.
fn again(run: &Run) -> f64 {
    f64::from(u8::from(run.survivor != run.masters.1))
}

fn gap(run: &Run) -> f64 {
    run.tally.longest_gap.as_secs_f64() * 1e3
}

fn lost_of_10000(run: &Run) -> f64 {
    run.lost as f64 * 10_000.0 / (run.tally.acknowledged.max(1) as f64)
}

/// A run as data: its numbers, and what they were made of.
pub fn data(run: &Run) -> Value {
    let mut all = json!({
        "fault": run.fault.word(),
        "fault_unix_ms": run.at,
        "old_master": run.masters.0,
        "new_master": run.masters.1,
        "last_master": run.survivor,
        "first_write_ms": run.written,
        "old_master_replica_ms": run.demoted,
        "advertised": run.adverts.changes.iter().map(|(at, who)| json!({ "ms": at, "ports": who })).collect::<Value>(),
        "ended_ms": run.adverts.end,
        "acknowledged_by": run.tally.by_server.iter().map(|(port, n)| (port.to_string(), json!(n))).collect::<Value>(),
        "refused_why": run.tally.refused,
        "render": run.render,
    });
    for Measure { key, of, .. } in &MEASURES {
        all[*key] = json!(of(run));
    }
    all
}
