//! The runs as a table: minimum, median and maximum of each number, and the goal beside.

use tests::{Fault, plain};

use crate::{
    measures::{MEASURES, Measure},
    run::Run,
};

/// Prints a block for each fault that happened.
pub fn table(runs: &[Run]) {
    for fault in Fault::ALL {
        let of: Vec<&Run> = runs.iter().filter(|run| run.fault == fault).collect();
        if !of.is_empty() {
            block(fault, &of);
        }
    }
    plain("");
}

fn block(fault: Fault, runs: &[&Run]) {
    plain("");
    let title = format!("{}, {} runs", fault.title(), runs.len());
    plain(&format!("  {title:<44}{:>9}{:>9}{:>9}   {:<8}{}", "min", "median", "max", "goal", "met in"));
    for measure in &MEASURES {
        plain(&row(measure, fault, runs.iter().map(|run| (measure.of)(run)).collect()));
    }
}

fn row(measure: &Measure, fault: Fault, mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let [min, median, max] = [0, values.len() / 2, values.len() - 1].map(|at| shown(measure, values[at]));
    let goal = (measure.goal)(fault).map_or(String::new(), |goal| {
        let met = values.iter().filter(|value| **value <= goal).count();
        format!("{:<8}{met} of {}", format!("≤ {goal:.0}"), values.len())
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
