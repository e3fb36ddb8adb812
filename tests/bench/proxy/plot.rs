//! The ratios as a picture: our bars with their spread, and the post's figures as marks beside them.

use std::fmt::Write;

use super::{
    Cell, Way,
    load::Load,
    table::{POST, ratio},
};

const WAYS: [(Way, &str); 3] =
    [(Way::Service, "#b0b7c3"), (Way::Pod, "#2f6fde"), (Way::PodOneThread, "#8fb4f2")];
const WIDTH: f64 = 860.0;
const TOP: f64 = 70.0;
const HEIGHT: f64 = 280.0;

/// An SVG.
pub fn plot(cells: &[Cell]) -> String {
    let mut out = String::new();
    let down = |ratio: f64| TOP + HEIGHT * (1.0 - ratio / 1.2);
    let text = |x: f64, y: f64, anchor: &str, words: &str| {
        format!("<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{words}</text>\n")
    };
    for tenth in 0..=6 {
        let ratio = f64::from(tenth) * 0.2;
        let y = down(ratio);
        _ = writeln!(out, "<line x1=\"60\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>");
        out += &text(52.0, y + 4.0, "end", &format!("{ratio:.1}"));
    }
    for (group, load) in Load::ALL.into_iter().enumerate() {
        let left = 80.0 + 195.0 * group as f64;
        for (bar, (way, colour)) in WAYS.into_iter().enumerate() {
            let (x, of) = (left + 52.0 * bar as f64, ratio(cells, way, load));
            let (y, middle) = (down(of.middle), x + 22.0);
            _ = writeln!(
                out,
                "<rect x=\"{x:.0}\" y=\"{y:.1}\" width=\"44\" height=\"{:.1}\" fill=\"{colour}\"/>\n\
                 <line x1=\"{middle:.0}\" x2=\"{middle:.0}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#222\"/>",
                down(0.0) - y,
                down(of.high),
                down(of.low)
            );
            out += &text(middle, down(0.0) - 6.0, "middle", &format!("{:.2}", of.middle));
            let post = POST.iter().find(|(of, command, _)| (*of, *command) == (way, load.command));
            if let Some((_, _, post)) = post.filter(|_| load.pipeline == 1) {
                let y = down(*post);
                _ = writeln!(
                    out,
                    "<line x1=\"{x:.0}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#d33\" stroke-width=\"3\"/>",
                    x + 44.0
                );
            }
        }
        out += &text(
            left + 74.0,
            TOP + HEIGHT + 20.0,
            "middle",
            &format!("{}, pipeline {}", load.command, load.pipeline),
        );
    }
    let mut legend = text(
        60.0,
        24.0,
        "start",
        "Requests per second, as a ratio to a client that connects to Redis itself (median; line: min to max of the rounds)",
    );
    let mut x = 60.0;
    for (way, colour) in WAYS {
        _ = writeln!(legend, "<rect x=\"{x:.0}\" y=\"36\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
        legend += &text(x + 18.0, 47.0, "start", way.title());
        x += 210.0;
    }
    _ = writeln!(legend, "<rect x=\"{x:.0}\" y=\"40\" width=\"12\" height=\"3\" fill=\"#d33\"/>");
    legend += &text(x + 18.0, 47.0, "start", "the blog post");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} 390\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{legend}{out}</svg>\n"
    )
}
