//! What a proxy costs Redis: straight to the Pod, through HAProxy to a Service's address, and through HAProxy to the
//! Pod's address by our template; each in network namespaces of its own, with a `kube-proxy`-like DNAT between.

mod host;
mod load;
mod plot;
pub mod table;

use std::path::Path;

use serde_json::{Value, json};
use tempfile::tempdir;
use tests::{Outcome, Say, write_json};

use host::Hosts;
use load::{Load, Sample};

/// One way from the client to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The client connects to the Pod.
    Direct,
    /// Through HAProxy to the Service's address, which the node translates.
    Service,
    /// Through HAProxy to the Pod's address, as the template writes it.
    Pod,
    /// The same with one thread.
    PodOneThread,
}

impl Way {
    /// All of them; every round takes them in this order.
    pub const ALL: [Way; 4] = [Way::Direct, Way::Service, Way::Pod, Way::PodOneThread];

    /// Its key in the file.
    pub fn word(self) -> &'static str {
        match self {
            Way::Direct => "direct",
            Way::Service => "haproxy_service_ip",
            Way::Pod => "haproxy_pod_ip",
            Way::PodOneThread => "haproxy_pod_ip_one_thread",
        }
    }

    /// Its line in the table.
    pub fn title(self) -> &'static str {
        match self {
            Way::Direct => "direct to the Pod",
            Way::Service => "HAProxy → Service IP",
            Way::Pod => "HAProxy → Pod IP",
            Way::PodOneThread => "HAProxy → Pod IP, nbthread 1",
        }
    }

    /// The port that leads it through HAProxy.
    pub fn port(self) -> u16 {
        match self {
            Way::Direct | Way::Pod => 6379,
            Way::Service => 6378,
            Way::PodOneThread => 6377,
        }
    }
}

/// One measured number with where it belongs.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Counted from 1.
    pub round: u32,
    /// How the requests went.
    pub way: Way,
    /// Which requests.
    pub load: Load,
    /// What was measured.
    pub sample: Sample,
}

/// Measures all ways in alternating rounds, prints the table, and writes data and plot.
pub async fn proxy(rounds: u32, json: Option<&Path>, svg: Option<&Path>) -> Outcome {
    let say = Say::new();
    let directory = tempdir()?;
    say.line("building the hosts, starting Redis, Consul and HAProxy");
    let hosts = Hosts::start(directory.path()).await?;
    let mut cells = Vec::new();
    for round in 1..=rounds {
        for load in Load::ALL {
            for way in Way::ALL {
                let sample = load.run(&hosts, way).await?;
                cells.push(Cell { round, way, load, sample });
            }
        }
        say.line(&format!("round {round} of {rounds}"));
    }
    table::table(&cells);
    if let Some(svg) = svg {
        std::fs::write(svg, plot::plot(&cells))?;
    }
    write_json(json, &data(&cells))
}

fn data(cells: &[Cell]) -> Value {
    let one = |cell: &Cell| {
        json!({
            "round": cell.round, "way": cell.way.word(), "command": cell.load.command, "pipeline": cell.load.pipeline,
            "requests_per_second": cell.sample.per_second,
            "haproxy_cpu_us_per_request": cell.sample.haproxy_us, "redis_cpu_us_per_request": cell.sample.redis_us,
        })
    };
    json!({ "clients": load::CLIENTS, "samples": cells.iter().map(one).collect::<Value>() })
}
