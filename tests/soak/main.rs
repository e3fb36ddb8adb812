//! `scripts/soak`: what takes too long for the tests. Fails when it does not end right.

mod equivalence;
mod flips;
mod switches;

use std::process::ExitCode;

use clap::{Parser, Subcommand, value_parser};
use tests::{Outcome, arguments};

/// Tests for long on real parts.
#[derive(Parser, Debug)]
#[command(name = "scripts/soak", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Whether steering HAProxy ends where a fresh start would, for random pairs of configurations
    Equivalence {
        /// How many pairs on each HAProxy
        #[arg(default_value_t = 10_000, value_parser = value_parser!(u32).range(1..))]
        pairs: u32,
        /// Which pairs; each number gives others
        #[arg(long, default_value_t = 2)]
        seed: u64,
    },
    /// Role flips in a row: the final state is right, memory stays flat
    Flips {
        /// How many
        #[arg(default_value_t = 1000, value_parser = value_parser!(u32).range(10..))]
        times: u32,
    },
    /// Master switches and scale events under persistent connections, by orders and by reloads
    Switches {
        /// How many switches
        #[arg(default_value_t = 1_000)]
        switches: u32,
        /// How many scale events
        #[arg(default_value_t = 500)]
        scales: u32,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    match soak(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("soak: {trouble}");
            ExitCode::FAILURE
        }
    }
}

async fn soak(arguments: Arguments) -> Outcome {
    match arguments.what {
        What::Equivalence { pairs, seed } => equivalence::equivalence(pairs, seed).await,
        What::Switches { switches, scales } => switches::switches(switches, scales).await,
        What::Flips { times } => flips::flips(times as usize).await,
    }
}
