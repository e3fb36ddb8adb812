//! What is told of a run: once, for the table, its goals and the file.

use serde_json::{Value, json};
use tests::Fault;

use crate::run::{Run, Saw};

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
pub const MEASURES: [Measure; 23] = [
    measure("promoted_ms", "fault → ROLE of the new master flips", |r| r.promoted, NONE),
    measure("advertised_ms", "ROLE flips → Consul advertises it", advertised, |_| Some(30.0)),
    measure(
        "decided_ms",
        "  until its register holds it for the master",
        |r| r.steps.decided - r.promoted,
        NONE,
    ),
    measure("accepted_ms", "  until the agent has done as asked", |r| r.steps.accepted - r.promoted, NONE),
    measure("mute_ms", "before the flip Redis writes its own files", |r| r.mute, NONE),
    measure("withdrawn_ms", "fault → the old one is withdrawn", withdrawn, |fault| match fault {
        Fault::Kill => Some(20.0),
        Fault::Pause => Some(750.0),
        Fault::Planned | Fault::Switch => None,
    }),
    measure("closed_ms", "  until its kernel closes its connections", |r| r.closed.unwrap_or(f64::NAN), NONE),
    measure("overlap_ms", "two masters advertised", |r| r.adverts.several(), ZERO),
    measure("nobody_ms", "no master advertised", |r| r.adverts.nobody(), NONE),
    measure("readvertised", "the old one advertised again, times", |r| returns(r) as f64, ZERO),
    measure("gap_ms", "longest gap between acknowledgements", |r| gap(&r.kept), NONE),
    measure("gap_beyond_promotion_ms", "  beyond the flip", |r| gap(&r.kept) - r.promoted, beyond),
    measure("fresh_gap_ms", "longest gap, fresh connections", |r| gap(&r.fresh), NONE),
    measure("fresh_gap_beyond_promotion_ms", "  beyond the flip", |r| gap(&r.fresh) - r.promoted, beyond),
    measure("acknowledged", "writes acknowledged", |r| r.acknowledged() as f64, NONE),
    measure("lost", "  and lost", |r| r.lost() as f64, |fault| (fault == Fault::Switch).then_some(0.0)),
    measure("lost_of_10000", "  and lost, of 10 000", lost_of_10000, |fault| {
        (fault == Fault::Planned).then_some(50.0)
    }),
    measure(
        "stale",
        "  by the old one after the new one's first",
        |r| r.stale() as f64,
        |fault| (fault != Fault::Planned).then_some(0.0),
    ),
    measure("both_acknowledge_ms", "both acknowledge writes, through HAProxy", |r| r.both_acknowledge, NONE),
    measure("both_say_master_ms", "both say master", |r| r.both_say_master, NONE),
    measure("unknown", "writes without an answer", |r| both(r, |saw| saw.tally.unknown), NONE),
    measure("refused", "writes refused", |r| both(r, |saw| saw.tally.refused.values().sum()), NONE),
    measure("again", "Sentinel failed over once more, times", |r| f64::from(u8::from(r.again())), NONE),
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

fn gap(saw: &Saw) -> f64 {
    saw.tally.longest_gap.as_secs_f64() * 1e3
}

fn beyond(fault: Fault) -> Option<f64> {
    (fault == Fault::Kill).then_some(100.0)
}

fn both(run: &Run, of: fn(&Saw) -> usize) -> f64 {
    (of(&run.kept) + of(&run.fresh)) as f64
}

fn lost_of_10000(run: &Run) -> f64 {
    run.lost() as f64 * 10_000.0 / (run.acknowledged().max(1) as f64)
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
        "kept_connection": saw(&run.kept),
        "fresh_connections": saw(&run.fresh),
        "render": run.render,
    });
    for Measure { key, of, .. } in &MEASURES {
        all[*key] = json!(of(run));
    }
    all
}

fn saw(saw: &Saw) -> Value {
    json!({
        "acknowledged_by": saw.tally.by_server.iter().map(|(port, n)| (port.to_string(), json!(n))).collect::<Value>(),
        "lost": saw.lost,
        "stale": saw.stale,
        "unknown": saw.tally.unknown,
        "refused_why": saw.tally.refused,
        "longest_gap_ms": gap(saw),
    })
}
