//! The runs as a table: minimum, median and maximum of each number, the goal beside, and whether it was met.

use tests::{Fault, plain};

use crate::{
    measures::{MEASURES, Measure},
    run::Run,
};

/// Prints a block for each fault that happened. A run in which Sentinel failed over once more tells of two fail-overs:
/// it stands in a line of its own, and in no verdict.
pub fn table(runs: &[Run]) {
    for fault in Fault::ALL {
        let of = || runs.iter().filter(|run| run.fault == fault);
        let once: Vec<&Run> = of().filter(|run| !run.again()).collect();
        if !once.is_empty() {
            block(fault, &once);
        }
        for run in of().filter(|run| run.again()) {
            plain(&format!(
                "  aside, as Sentinel failed over once more: two masters advertised for {:.1} ms, {} of {} lost",
                run.adverts.several(),
                run.lost(),
                run.acknowledged()
            ));
        }
    }
    plain("");
}

fn block(fault: Fault, runs: &[&Run]) {
    plain("");
    let title = format!("{}, {} runs", fault.title(), runs.len());
    plain(&format!(
        "  {title:<44}{:>9}{:>9}{:>9}   {:<9}{:<9}verdict",
        "min", "median", "max", "goal", "met in"
    ));
    for measure in &MEASURES {
        let values: Vec<f64> = runs.iter().map(|run| (measure.of)(run)).collect();
        // What does not happen in this fault is no line; what has a goal always is one.
        if (measure.goal)(fault).is_some() || !values.iter().all(|value| value.is_nan()) {
            plain(&row(measure, fault, values));
        }
    }
}

fn row(measure: &Measure, fault: Fault, mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let [min, median, max] = [0, values.len() / 2, values.len() - 1].map(|at| shown(measure, values[at]));
    let goal = (measure.goal)(fault).map_or(String::new(), |goal| {
        // A number that could not be seen is a miss too.
        let met = values.iter().filter(|value| **value <= goal).count();
        let count = format!("{met} of {}", values.len());
        let verdict = if met == values.len() { "met" } else { "NOT MET" };
        format!("{:<9}{count:<9}{verdict}", format!("≤ {goal:.0}"))
    });
    format!("  {:<44}{min:>9}{median:>9}{max:>9}   {goal}", measure.title).trim_end().to_string()
}

/// Counts are whole.
fn shown(measure: &Measure, value: f64) -> String {
    if value.is_nan() {
        "?".into()
    } else if measure.key.ends_with("_ms") {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}
