//! `rolecall render` beside consul-template, with the same templates, flags and Consul: from a change of a key until the
//! file holds it, at ever more questions; and 1,500 writes of one key. Without consul-template on `PATH`, rolecall alone.

mod bare;
mod flood;
mod load;
mod plot;
mod program;
mod table;

use std::{ffi::OsStr, path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::tempdir;
use tests::{Outcome, Say, consul::Agent, found, resident_mb, usage, write_json};
use tokio::time::sleep;

use bare::Bare;
use flood::Flood;
use load::{LOADS, Load, MOST};
use program::{Program, Running};

use crate::machine;

/// Changes in each round, each of another key, spread evenly over all; between them as many of a key that nobody asks for.
const CHANGES: usize = 20;
/// Between two changes, at least: neither program holds one back that comes so long after the last.
const APART: Duration = Duration::from_millis(150);

/// One program with one load, in one round.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Counted from 1.
    pub round: u32,
    /// Whose.
    pub program: Program,
    /// What it asks.
    pub load: Load,
    /// Whether it never rendered with Consul as it comes, so that Consul took as many connections as it was asked for.
    pub unlimited: bool,
    /// What was measured; nothing when it never rendered.
    pub sample: Option<Sample>,
}

/// What was measured of it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// From its start until the file was there.
    pub first_ms: f64,
    /// From the write until the file held it, each change.
    pub changes_ms: Vec<f64>,
    /// Consul's own part of such a time, with as many questions open.
    pub own_ms: Vec<f64>,
    /// Memory after that.
    pub resident_mb: f64,
    /// Processor time from the first change to the last, a change.
    pub cpu_ms: f64,
}

/// Two Consuls with the keys: one as it comes, and one that takes enough connections for all.
struct Consuls {
    usual: Agent,
    unlimited: Agent,
}

/// Measures both in alternating rounds, prints the table, and writes data and plot.
pub async fn render(rounds: u32, json: Option<&Path>, svg: Option<&Path>) -> Outcome {
    let say = Say::new();
    let home = tempdir()?;
    let programs: &[Program] = match found(OsStr::new("consul-template")) {
        Ok(_) => &[Program::Rolecall, Program::ConsulTemplate],
        Err(_) => {
            say.line("consul-template is not on PATH: rolecall alone, without ratios");
            &[Program::Rolecall]
        }
    };
    let consuls = Consuls::start(home.path()).await?;
    let (mut cells, mut floods) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        // Who begins takes turns, too.
        let mut order = programs.to_vec();
        if round % 2 == 0 {
            order.reverse();
        }
        for load in LOADS {
            for program in &order {
                cells.push(cell(&consuls, home.path(), (round, *program, load), &cells).await?);
            }
        }
        for program in &order {
            floods.push(flood::flood(&consuls.usual, home.path(), round, *program).await?);
        }
        say.line(&format!("round {round} of {rounds}"));
    }
    table::table(&cells, &floods, programs);
    if let Some(svg) = svg {
        std::fs::write(svg, plot::plot(&cells, programs))?;
    }
    write_json(json, &data(&cells, &floods))
}

impl Consuls {
    async fn start(home: &Path) -> Outcome<Consuls> {
        let any = json!({ "limits": { "http_max_conns_per_client": 4_000 } });
        let usual = Agent::server_as("consul", home, json!({}))?;
        let unlimited = Agent::server_as("consul-unlimited", home, any)?;
        for consul in [&usual, &unlimited] {
            consul.ready().await?;
            for number in 0..MOST {
                consul.put(&format!("kv/{}", load::key(number)), "start").await?;
            }
        }
        Ok(Consuls { usual, unlimited })
    }
}

/// Measures with a Consul as it comes. Who never renders there shows what it can do without the limit.
async fn cell(
    consuls: &Consuls,
    home: &Path,
    (round, program, load): (u32, Program, Load),
    before: &[Cell],
) -> Outcome<Cell> {
    let never = |cell: &Cell| cell.program == program && cell.load == load && cell.unlimited;
    if !before.iter().any(never)
        && let Some(sample) = sample(&consuls.usual, home, program, load).await?
    {
        return Ok(Cell { round, program, load, unlimited: false, sample: Some(sample) });
    }
    let sample = sample(&consuls.unlimited, home, program, load).await?;
    Ok(Cell { round, program, load, unlimited: true, sample })
}

async fn sample(consul: &Agent, home: &Path, program: Program, load: Load) -> Outcome<Option<Sample>> {
    let sample = measured(consul, home, program, load).await;
    program::let_go(consul, load.questions).await?;
    sample
}

async fn measured(consul: &Agent, home: &Path, program: Program, load: Load) -> Outcome<Option<Sample>> {
    let Some((running, first)) = Running::start(program, consul, home, load).await? else {
        return Ok(None);
    };
    // Its questions are held open by then.
    sleep(APART * 4).await;
    let (mut bare, mut changes_ms, mut own_ms) = (Bare::of(consul).await?, Vec::new(), Vec::new());
    // Each is another key, in no order that anybody could have.
    let mut keys: Vec<usize> =
        (0..CHANGES).map(|change| change * load.questions / CHANGES % load.questions).collect();
    fastrand::shuffle(&mut keys);
    let before = usage(running.part.pid())?.busy;
    for key in keys {
        changes_ms.push(running.change(consul, key).await?);
        own_ms.push(bare.change(APART).await?);
    }
    let busy = usage(running.part.pid())?.busy - before;
    Ok(Some(Sample {
        first_ms: first,
        changes_ms,
        own_ms,
        resident_mb: resident_mb(running.part.pid())?,
        cpu_ms: busy.as_secs_f64() * 1e3 / CHANGES as f64,
    }))
}

fn data(cells: &[Cell], floods: &[Flood]) -> Value {
    let cell = |cell: &Cell| {
        let sample = cell.sample.as_ref().map(|sample| {
            json!({
                "first_render_ms": sample.first_ms, "change_to_file_ms": sample.changes_ms,
                "consul_alone_ms": sample.own_ms,
                "resident_mb": sample.resident_mb, "cpu_ms_per_change": sample.cpu_ms,
            })
        });
        json!({
            "round": cell.round, "program": cell.program.word(), "questions": cell.load.questions,
            "templates": cell.load.templates(),
            "connections": if cell.unlimited { "unlimited" } else { "consul's default" }, "measured": sample,
        })
    };
    let flood = |flood: &Flood| {
        json!({
            "round": flood.round, "program": flood.program.word(), "writes": flood::WRITES, "renders": flood.renders,
            "last_value_ms": flood.last_ms, "cpu_ms": flood.cpu_ms,
        })
    };
    json!({
        "machine": machine::data(),
        "consul_template": program::version(),
        "samples": cells.iter().map(cell).collect::<Value>(),
        "floods": floods.iter().map(flood).collect::<Value>(),
    })
}
