//! `scripts/soak`: what takes too long for the tests.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, value_parser};
use tests::{
    Outcome, arguments,
    equivalence::{Counts, haproxies, pairs, version},
};

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
}

/// A chain of pairs begins anew after so many, with another first configuration.
const CHAIN: u32 = 500;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let What::Equivalence { pairs, seed } = arguments.what;
    match equivalence(pairs, seed).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("soak: {trouble}");
            ExitCode::FAILURE
        }
    }
}

async fn equivalence(many: u32, seed: u64) -> Outcome {
    for program in haproxies()? {
        let counts = chains(program.clone(), seed, many).await?;
        let Counts { same, steered, orders, reloads } = counts;
        println!(
            "HAProxy {}: {many} pairs, {steered} steered as a fresh start ({orders} orders), {same} the same, \
             {reloads} to be reloaded",
            version(&program).await?
        );
    }
    Ok(())
}

/// Two chains at once.
async fn chains(program: PathBuf, seed: u64, many: u32) -> Outcome<Counts> {
    let mut total = Counts::default();
    let mut left = many;
    let mut next = seed * 1_000_000;
    while left > 0 {
        let first = left.min(CHAIN);
        let second = (left - first).min(CHAIN);
        let (one, other) = tokio::join!(pairs(&program, next, first), pairs(&program, next + 1, second));
        for counts in [one?, other?] {
            total.same += counts.same;
            total.steered += counts.steered;
            total.orders += counts.orders;
            total.reloads += counts.reloads;
        }
        left -= first + second;
        next += 2;
        eprintln!("{}: {left} pairs left, {total:?}", program.display());
    }
    Ok(total)
}
