//! What was measured as a table: both programs side by side, and how many times more the other one takes, within each
//! round; with the verdict where there is a goal.

use tests::plain;

use super::{
    Cell, Sample,
    flood::{Flood, WRITES},
    load::{LOADS, Load, MOST, Templates},
    program::{FIRST, Program},
};
use crate::proxy::table::{Spread, spread};

/// consul-template takes so many times as long, at so many questions.
const FASTER: [(usize, f64); 2] = [(1, 3.0), (301, 10.0)];
/// And so many times the memory, at any number.
const LEANER: f64 = 2.0;

/// One line of a block.
struct Row {
    title: &'static str,
    unit: &'static str,
    of: fn(&Sample) -> f64,
    goal: fn(Load) -> Option<f64>,
}

const ROWS: [Row; 7] = [
    Row { title: "first render", unit: "ms", of: |s| s.first_ms, goal: |_| None },
    Row {
        title: "change → file, median",
        unit: "ms",
        of: |s| spread(s.changes_ms.clone()).middle,
        goal: faster,
    },
    Row {
        title: "change → file, longest",
        unit: "ms",
        of: |s| spread(s.changes_ms.clone()).high,
        goal: |_| None,
    },
    Row { title: "Consul's own answer", unit: "ms", of: |s| spread(s.own_ms.clone()).middle, goal: |_| None },
    Row { title: "… and what comes on top", unit: "ms", of: added, goal: |_| None },
    Row { title: "CPU a change", unit: "ms", of: |s| s.cpu_ms, goal: |_| None },
    Row { title: "memory", unit: "MB", of: |s| s.resident_mb, goal: |_| Some(LEANER) },
];

fn faster(load: Load) -> Option<f64> {
    FASTER.iter().find(|(at, _)| *at == load.questions).map(|(_, goal)| *goal)
}

/// What the program adds to Consul's own time, in the middle.
fn added(sample: &Sample) -> f64 {
    spread(sample.changes_ms.clone()).middle - spread(sample.own_ms.clone()).middle
}

/// Prints a block for each number of questions, and one for the flood.
pub fn table(cells: &[Cell], floods: &[Flood], programs: &[Program]) {
    for load in LOADS {
        plain("");
        let title = load.title();
        let names: String = programs.iter().map(|p| format!("{:>26}", p.word())).collect();
        let ratio = if programs.len() > 1 { "ratio" } else { "" };
        plain(format!("  {title:<26}{names}{ratio:>9}").trim_end());
        for row in &ROWS {
            plain(&line(row, cells, programs, load));
        }
        for program in programs.iter().filter(|program| unlimited(cells, **program, load)) {
            plain(&format!(
                "    {} wrote nothing in {FIRST:?} within Consul's 200 connections; measured on a Consul that takes more",
                program.word()
            ));
        }
    }
    growth(cells, programs);
    flooded(floods, programs);
}

fn unlimited(cells: &[Cell], program: Program, load: Load) -> bool {
    cells.iter().any(|c| c.program == program && c.load == load && c.unlimited)
}

fn line(row: &Row, cells: &[Cell], programs: &[Program], load: Load) -> String {
    let title = format!("{}, {}", row.title, row.unit);
    let columns = programs.iter().map(|program| shown(of(cells, *program, load, row.of)));
    let columns: String = columns.map(|column| format!("{column:>26}")).collect();
    let ratio = ratio(cells, load, row.of).filter(|_| programs.len() > 1);
    let ratio_shown = ratio.map_or(String::new(), |ratio| format!("{:>8.1}×", ratio.middle));
    let verdict = ratio.and_then(|ratio| Some((ratio, (row.goal)(load)?)));
    let verdict =
        verdict.map_or(String::new(), |(ratio, goal)| met(ratio.middle >= goal, &format!("≥ {goal}×")));
    format!("  {title:<26}{columns}{ratio_shown}{verdict}")
}

fn met(met: bool, goal: &str) -> String {
    format!("   {} ({goal})", if met { "met" } else { "NOT MET" })
}

/// The median of the rounds' values, and their spread.
pub fn of(cells: &[Cell], program: Program, load: Load, value: fn(&Sample) -> f64) -> Spread {
    let cells = cells.iter().filter(|c| c.program == program && c.load == load);
    spread(cells.filter_map(|c| c.sample.as_ref()).map(value).collect())
}

/// How many times more the other one takes, each round for itself; nothing when one of them has no value.
pub fn ratio(cells: &[Cell], load: Load, value: fn(&Sample) -> f64) -> Option<Spread> {
    let in_round = |program, round| {
        let mut cells = cells.iter().filter(|c| c.program == program && c.load == load);
        cells.find(|c| c.round == round)?.sample.as_ref().map(value)
    };
    let rounds = 1..=cells.iter().map(|c| c.round).max().unwrap_or_default();
    let ratios = rounds.filter_map(|round| {
        Some(in_round(Program::ConsulTemplate, round)? / in_round(Program::Rolecall, round)?)
    });
    Some(spread(ratios.collect())).filter(|ratio| !ratio.middle.is_nan())
}

fn shown(spread: Spread) -> String {
    if spread.middle.is_nan() {
        return "never".into();
    }
    format!("{:.1} ({:.1}–{:.1})", spread.middle, spread.low, spread.high)
}

/// How the time of a change grows from one question to the most.
fn growth(cells: &[Cell], programs: &[Program]) {
    plain("");
    for program in programs {
        let median = |load| of(cells, *program, load, |s| spread(s.changes_ms.clone()).middle).middle;
        let times = |templates| median(Load { questions: MOST, templates }) / median(LOADS[0]);
        plain(&format!(
            "  {}: a change at {MOST} questions takes {:.1} times as long as at 1, with a template each {:.1} times",
            program.word(),
            times(Templates::One),
            times(Templates::Each)
        ));
    }
}

fn flooded(floods: &[Flood], programs: &[Program]) {
    plain("");
    plain(&format!("  {WRITES} writes of one key in 5 s"));
    for program in programs {
        let of = |value: fn(&Flood) -> f64| {
            shown(spread(floods.iter().filter(|f| f.program == *program).map(value).collect()))
        };
        let right = floods.iter().filter(|f| f.program == *program && f.last_ms.is_some()).count();
        plain(&format!(
            "  {:<26}{} renders; the last value after {} ms, in {right} rounds; CPU {} ms",
            program.word(),
            of(|f| f.renders as f64),
            of(|f| f.last_ms.unwrap_or(f64::INFINITY)),
            of(|f| f.cpu_ms)
        ));
    }
    plain("");
}
