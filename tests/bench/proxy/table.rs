//! The samples as a table: requests per second, the ratio to direct within each round, and CPU time per request.

use tests::plain;

use super::{Cell, Way, load::Load};

/// What the blog post measured that this project grew from, as ratios to direct: GET and SET without pipelining.
pub const POST: [(Way, &str, f64); 4] = [
    (Way::Service, "GET", 0.722),
    (Way::Service, "SET", 0.651),
    (Way::Pod, "GET", 0.853),
    (Way::Pod, "SET", 0.786),
];

/// Smallest, median and largest.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Smallest.
    pub low: f64,
    /// Median.
    pub middle: f64,
    /// Largest.
    pub high: f64,
}

/// The spread of some values; NaN without any.
pub fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    Spread { low: at(0), middle: at(values.len() / 2), high: at(values.len().saturating_sub(1)) }
}

/// The ratio of a way to direct, each round for itself.
pub fn ratio(cells: &[Cell], way: Way, load: Load) -> Spread {
    let rate = |round: u32, way: Way| {
        let cell = cells.iter().find(|c| c.round == round && c.way == way && c.load == load)?;
        Some(cell.sample.per_second)
    };
    let rounds = cells.iter().map(|cell| cell.round).max().unwrap_or_default();
    let ratios = (1..=rounds).filter_map(|round| Some(rate(round, way)? / rate(round, Way::Direct)?));
    spread(ratios.collect())
}

/// Prints a block for each load.
pub fn table(cells: &[Cell]) {
    for load in Load::ALL {
        plain("");
        let title = format!("{}, pipeline {}", load.command, load.pipeline);
        plain(&format!(
            "  {title:<32}{:>11}{:>9}  {:<15}{:>6}{:>14}{:>12}",
            "ops/s", "ratio", "(min–max)", "post", "HAProxy µs", "Redis µs"
        ));
        for way in Way::ALL {
            plain(&row(cells, way, load));
        }
    }
    plain("");
}

fn row(cells: &[Cell], way: Way, load: Load) -> String {
    let middle = |of: fn(&Cell) -> f64| {
        spread(cells.iter().filter(|c| c.way == way && c.load == load).map(of).collect()).middle
    };
    let ratio = ratio(cells, way, load);
    let post =
        POST.iter().find(|(of, command, _)| load.pipeline == 1 && (*of, *command) == (way, load.command));
    let post = post.map_or(String::new(), |(_, _, ratio)| format!("{ratio:.3}"));
    let bounds = format!("({:.2}–{:.2})", ratio.low, ratio.high);
    format!(
        "  {:<32}{:>11.0}{:>9.3}  {bounds:<15}{post:>6}{:>14.1}{:>12.1}",
        way.title(),
        middle(|c| c.sample.per_second),
        ratio.middle,
        middle(|c| c.sample.haproxy_us),
        middle(|c| c.sample.redis_us)
    )
}
