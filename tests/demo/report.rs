//! The results, as a table for people and as data.

use serde_json::{Value, json};
use tests::plain;

use crate::faults::{Cost, Render};

/// A row of the table: what it says, and the value for one fault.
type Row = (&'static str, fn(&Cost) -> String);

const ROWS: [Row; 16] = [
    ("fault → Sentinel decided", |c| ms(c.decided.as_secs_f64() * 1e3)),
    ("fault → Consul shows the new role", |c| ms(c.shown.as_secs_f64() * 1e3)),
    ("fault → HAProxy routes to it", |c| ms(c.routed.as_secs_f64() * 1e3)),
    ("fault → first write acknowledged", |c| ms(c.written.as_secs_f64() * 1e3)),
    ("longest gap between acknowledgements", |c| ms(c.tally.longest_gap.as_secs_f64() * 1e3)),
    ("writes acknowledged", |c| c.tally.acknowledged.to_string()),
    ("writes acknowledged and lost", |c| c.losses().to_string()),
    ("  by the old master after the new one began", |c| c.stale.to_string()),
    ("writes without an answer", |c| c.tally.unknown.to_string()),
    ("writes refused", |c| c.tally.refused.values().sum::<usize>().to_string()),
    ("Consul answered → new worker routes", |c| part(c, |r| r.routed)),
    ("  answered → rendered", |c| part(c, |r| r.rendered)),
    ("  haproxy -c", |c| part(c, |r| r.checked - r.rendered)),
    ("  file renamed", |c| part(c, |r| r.renamed - r.checked)),
    ("  HAProxy told that it reloaded", |c| part(c, |r| r.applied - r.renamed)),
    ("  render's own part (to renamed, no check)", |c| part(c, |r| r.own())),
];

fn ms(value: f64) -> String {
    format!("{value:.0} ms")
}

fn part(cost: &Cost, of: impl Fn(&Render) -> f64) -> String {
    cost.render.as_ref().map_or("?".into(), |render| format!("{:.1} ms", of(render)))
}

/// Prints a column for each fault.
pub fn table(costs: &[Cost]) {
    plain("");
    let line = |head: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>19}")).collect();
        plain(&format!("  {head:<43}{cells}"));
    };
    line("", costs.iter().map(|cost| cost.fault.title().to_string()).collect());
    for (head, value) in ROWS {
        line(head, costs.iter().map(value).collect());
    }
    plain("");
}

/// Prints what each process holds in memory.
pub fn memory(sizes: &[(String, f64)]) {
    plain("  resident memory");
    for (name, size) in sizes {
        plain(&format!("    {name:<20}{size:8.1} MB"));
    }
    plain("");
}

/// The same as data.
pub fn data(cost: &Cost) -> Value {
    let ms = |of: std::time::Duration| of.as_secs_f64() * 1e3;
    let address = |port: u16| format!("127.0.0.1:{port}");
    json!({
        "fault": cost.fault.word(),
        "old_master": address(cost.masters.0),
        "new_master": address(cost.masters.1),
        "sentinel_ms": ms(cost.decided),
        "consul_ms": ms(cost.shown),
        "haproxy_ms": ms(cost.routed),
        "first_write_ms": ms(cost.written),
        "longest_gap_ms": ms(cost.tally.longest_gap),
        "acknowledged": cost.tally.acknowledged,
        "lost": cost.losses(),
        "acknowledged_by_old_after_new": cost.stale,
        "unknown": cost.tally.unknown,
        "refused": cost.tally.refused,
        "render": cost.render.as_ref().map(|r| json!({
            "answered_to_rendered_ms": r.rendered,
            "answered_to_checked_ms": r.checked,
            "answered_to_renamed_ms": r.renamed,
            "answered_to_applied_ms": r.applied,
            "answered_to_routed_ms": r.routed,
            "own_ms": r.own(),
            "sessions_cut": r.cut,
        })),
    })
}
