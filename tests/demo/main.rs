//! `scripts/demo`: the whole path on real parts, three fail-overs, and what each of them cost.

mod faults;
mod report;
mod run;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use tests::{Outcome, Say, Trouble, arguments};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs Consul, Redis, Sentinel, rolecall and HAProxy on loopback, writes through HAProxy all the time, and shows
/// what three fail-overs cost.
#[derive(Parser, Debug)]
#[command(name = "scripts/demo")]
struct Arguments {
    /// Writes addresses, process ids and results to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leaves everything running until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Skips the fail-overs
    #[arg(long)]
    no_faults: bool,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    match demo(&arguments).await {
        Ok(code) => code,
        Err(trouble) => {
            eprintln!("demo: {trouble}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(arguments: &Arguments) -> Outcome<ExitCode> {
    let mut stop = Stop::listen()?;
    let say = Say::new();
    let running = tokio::select! {
        running = run::run(arguments, &say) => running?,
        code = stop.asked() => {
            say.line("stopping everything");
            return Ok(code.into());
        }
    };
    if arguments.keep {
        running.addresses(&say);
        stop.asked().await;
        say.line("stopping everything");
    }
    drop(running);
    Ok(ExitCode::SUCCESS)
}

/// The signals that ask the demo to stop.
struct Stop {
    signals: [(u8, Signal); 3],
}

impl Stop {
    fn listen() -> Outcome<Stop> {
        let listen = |number: u8, kind| Ok::<_, Trouble>((number, signal(kind)?));
        let signals = [
            listen(1, SignalKind::hangup())?,
            listen(2, SignalKind::interrupt())?,
            listen(15, SignalKind::terminate())?,
        ];
        Ok(Stop { signals })
    }

    /// Waits for one, and gives the exit code that a shell expects of it.
    async fn asked(&mut self) -> u8 {
        let [hangup, interrupt, terminate] = &mut self.signals;
        let number = tokio::select! {
            _ = hangup.1.recv() => hangup.0,
            _ = interrupt.1.recv() => interrupt.0,
            _ = terminate.1.recv() => terminate.0,
        };
        128 + number
    }
}
