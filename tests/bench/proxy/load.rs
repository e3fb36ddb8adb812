//! The load: `redis-benchmark` with a hundred connections, and what it cost.

use tests::{Outcome, Trouble};

use super::{Way, host::Hosts};

/// Connections at a time.
pub const CLIENTS: u32 = 100;

/// Which requests, and how many of them travel together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Load {
    /// `GET` or `SET`.
    pub command: &'static str,
    /// Requests per round trip.
    pub pipeline: u32,
}

/// What one run measured.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Requests per second.
    pub per_second: f64,
    /// CPU time of HAProxy per request, in microseconds.
    pub haproxy_us: f64,
    /// CPU time of the master per request, in microseconds.
    pub redis_us: f64,
}

impl Load {
    /// All of them, in the order of the table.
    pub const ALL: [Load; 4] = [
        Load { command: "GET", pipeline: 1 },
        Load { command: "SET", pipeline: 1 },
        Load { command: "GET", pipeline: 16 },
        Load { command: "SET", pipeline: 16 },
    ];

    /// Enough for about two seconds on a small machine.
    fn requests(self) -> u32 {
        if self.pipeline == 1 { 60_000 } else { 500_000 }
    }

    /// Runs it once.
    pub async fn run(self, hosts: &Hosts, way: Way) -> Outcome<Sample> {
        let (address, port) = Hosts::target(way);
        let arguments = format!(
            "redis-benchmark -h {address} -p {port} -c {CLIENTS} -n {} -P {} -t {} --csv",
            self.requests(),
            self.pipeline,
            self.command.to_lowercase()
        );
        let before = hosts.cpu(way)?;
        let said = Hosts::on_client(arguments.split(' ').map(String::from).collect()).await?;
        let after = hosts.cpu(way)?;
        let per_request = |seconds: f64| seconds * 1e6 / f64::from(self.requests());
        Ok(Sample {
            per_second: per_second(&said, self.command)
                .ok_or_else(|| Trouble::new(format!("no rate in: {said}")))?,
            haproxy_us: per_request(after.0 - before.0),
            redis_us: per_request(after.1 - before.1),
        })
    }
}

/// The rate in `"GET","26123.4",…`.
fn per_second(said: &str, command: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.starts_with(&format!("\"{command}\"")))?;
    line.split(',').nth(1)?.trim_matches('"').parse().ok()
}
