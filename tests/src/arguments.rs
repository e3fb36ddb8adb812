//! What the demo and the bench are told, and how they answer nonsense.

use std::process::ExitCode;

use clap::Parser;

/// Bad usage, as in sysexits.h and in rolecall itself.
const USAGE: u8 = 64;

/// The program's arguments, or how it ends without having done anything.
pub fn arguments<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        let _ = error.print();
        if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS }
    })
}
