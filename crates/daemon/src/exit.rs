//! What the exit code of the process means.

use std::process::ExitCode;

/// How the process ended. The numbers follow `sysexits.h` and the shell's 128 + signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// 0: did what was asked, or left cleanly when told to.
    Done = 0,
    /// 1: failed while running.
    Failed = 1,
    /// 64: wrong usage or configuration; nothing was started.
    Usage = 64,
    /// 69: could not leave cleanly, because something it needed did not answer in time.
    Unavailable = 69,
    /// 70: a bug in the program itself ended it.
    Aborted = 70,
    /// 130: a second signal came while leaving, and it was SIGINT.
    Interrupted = 130,
    /// 143: a second signal came while leaving, and it was SIGTERM.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
