//! `scripts/bench`: measures, prints, and asserts nothing, since machines differ.

mod changes;
mod closing;
mod failover;
mod haproxy;
mod idle;
mod machine;
mod measures;
mod proxy;
mod render;
mod run;
mod table;
mod timeline;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand, value_parser};
use tests::{Outcome, arguments};

/// Measures the release binary on real parts; without a command, what a change in Consul costs.
#[derive(Parser, Debug)]
#[command(name = "scripts/bench", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand, Debug)]
enum What {
    /// What fail-overs cost: kill -9, SENTINEL FAILOVER, SIGSTOP of the master, and rolecall failover
    Failover {
        /// How often each fault happens
        #[arg(default_value_t = 5, value_parser = value_parser!(u32).range(1..))]
        runs: u32,
        /// Writes all runs to FILE
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// What a proxy costs Redis: direct, HAProxy to a Service's address, HAProxy to the Pod's
    Proxy {
        /// How often each way is measured, in turn
        #[arg(default_value_t = 5, value_parser = value_parser!(u32).range(1..))]
        rounds: u32,
        /// Writes all samples to FILE
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Draws the ratios into FILE, an SVG
        #[arg(long, value_name = "FILE")]
        plot: Option<PathBuf>,
    },
    /// From Consul's answer until HAProxy runs it: by orders, and by a reload
    Haproxy {
        /// How many changes of one server
        #[arg(default_value_t = 200, value_parser = value_parser!(u32).range(10..))]
        changes: u32,
        /// Writes all times to FILE
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Beside consul-template, where that is on PATH: from a change until the file holds it, memory, processor time
    Render {
        /// How often all is measured, in turn
        #[arg(default_value_t = 3, value_parser = value_parser!(u32).range(1..))]
        rounds: u32,
        /// Writes all samples to FILE
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Draws the times into FILE, an SVG
        #[arg(long, value_name = "FILE")]
        plot: Option<PathBuf>,
    },
    /// What the programs use while nothing happens
    Idle {
        /// For how long it is looked at
        #[arg(default_value_t = 30, value_parser = value_parser!(u64).range(1..))]
        seconds: u64,
        /// Writes the figures to FILE
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    match bench(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("bench: {trouble}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(arguments: Arguments) -> Outcome {
    match arguments.what {
        None => changes::changes().await,
        Some(What::Failover { runs, json }) => failover::failover(runs, json.as_deref()).await,
        Some(What::Haproxy { changes, json }) => haproxy::haproxy(changes, json.as_deref()).await,
        Some(What::Proxy { rounds, json, plot }) => {
            proxy::proxy(rounds, json.as_deref(), plot.as_deref()).await
        }
        Some(What::Render { rounds, json, plot }) => {
            render::render(rounds, json.as_deref(), plot.as_deref()).await
        }
        Some(What::Idle { seconds, json }) => idle::idle(Duration::from_secs(seconds), json.as_deref()).await,
    }
}
