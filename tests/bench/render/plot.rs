//! From a change until the file holds it, over the number of questions, as a picture; both axes grow by factors.

use std::fmt::Write;

use super::{
    Cell,
    load::{LOADS, MOST, Templates},
    program::Program,
    table,
};
use crate::proxy::table::spread;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 60.0;
const HEIGHT: f64 = 300.0;
/// Milliseconds, at the bottom and at the top.
const RANGE: (f64, f64) = (0.1, 10_000.0);

fn colour(program: Program) -> &'static str {
    match program {
        Program::Rolecall => "#2f6fde",
        Program::ConsulTemplate => "#d07a2d",
    }
}

fn across(questions: usize) -> f64 {
    let most = MOST as f64;
    LEFT + 30.0 + (WIDTH - LEFT - 90.0) * (questions as f64).log10() / most.log10()
}

fn down(ms: f64) -> f64 {
    let (low, high) = RANGE;
    TOP + HEIGHT * (1.0 - (ms.clamp(low, high) / low).log10() / (high / low).log10())
}

fn text(x: f64, y: f64, anchor: &str, words: &str) -> String {
    format!("<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{words}</text>\n")
}

/// An SVG.
pub fn plot(cells: &[Cell], programs: &[Program]) -> String {
    let mut out = text(
        LEFT,
        24.0,
        "start",
        "From a change in Consul until the file holds it (median of the rounds; line: min to max of all changes)",
    );
    for power in -1..=4 {
        let (ms, y) = (10f64.powi(power), down(10f64.powi(power)));
        _ = writeln!(out, "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>");
        out += &text(LEFT - 8.0, y + 4.0, "end", &format!("{ms} ms"));
    }
    for questions in LOADS.iter().filter(|load| load.templates == Templates::One).map(|load| load.questions) {
        out += &text(across(questions), TOP + HEIGHT + 20.0, "middle", &questions.to_string());
    }
    out += &text(
        WIDTH / 2.0,
        TOP + HEIGHT + 42.0,
        "middle",
        "questions; broken lines: each in a template of its own",
    );
    out += &text(LEFT + 420.0, 47.0, "start", "hollow: on a Consul that takes more than 200 connections");
    for (place, program) in programs.iter().enumerate() {
        out += &series(cells, *program, Templates::One);
        out += &series(cells, *program, Templates::Each);
        let x = LEFT + 210.0 * place as f64;
        _ = writeln!(
            out,
            "<rect x=\"{x:.0}\" y=\"36\" width=\"12\" height=\"12\" fill=\"{}\"/>",
            colour(*program)
        );
        out += &text(x + 18.0, 47.0, "start", program.word());
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} 420\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{out}</svg>\n"
    )
}

/// The points of one program. A hollow one was measured on a Consul without its limit.
fn series(cells: &[Cell], program: Program, templates: Templates) -> String {
    let (mut out, mut path, colour) = (String::new(), Vec::new(), colour(program));
    for load in LOADS.into_iter().filter(|load| load.templates == templates) {
        let of = table::of(cells, program, load, |s| spread(s.changes_ms.clone()).middle);
        if of.middle.is_nan() {
            continue;
        }
        let mine = cells.iter().filter(|c| c.program == program && c.load == load);
        let all = mine.clone().filter_map(|c| c.sample.as_ref()).flat_map(|s| s.changes_ms.iter().copied());
        let (all, hollow) = (spread(all.collect()), mine.clone().any(|c| c.unlimited));
        let shift = if program == Program::Rolecall { -3.0 } else { 3.0 };
        let (x, y) = (across(load.questions) + shift, down(of.middle));
        path.push(format!("{x:.1},{y:.1}"));
        let fill = if hollow { "white" } else { colour };
        _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>\n\
             <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            down(all.high),
            down(all.low)
        );
        out += &text(
            x + 8.0 * shift.signum(),
            if templates == Templates::Each && program == Program::Rolecall { y + 18.0 } else { y - 8.0 },
            if shift < 0.0 { "end" } else { "start" },
            &format!("{:.1}", of.middle),
        );
    }
    let dashes = if templates == Templates::Each { " stroke-dasharray=\"5 4\"" } else { "" };
    format!("<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"{dashes}/>\n{out}", path.join(" "))
}
