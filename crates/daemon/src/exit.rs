//! What the exit code of the process means.

use std::process::ExitCode;

/// How the process ended. The numbers follow `sysexits.h` and the shell's 128 + signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: did what was asked, or left cleanly when told to.
    Done,
    /// 1: failed while running.
    Failed,
    /// 64: wrong usage or configuration; nothing was started.
    Usage,
    /// 69: could not leave cleanly, because something it needed did not answer in time.
    Unavailable,
    /// 70: a bug in the program itself ended it.
    Aborted,
    /// 130: a second signal came while leaving, and it was SIGINT.
    Interrupted,
    /// 143: a second signal came while leaving, and it was SIGTERM.
    Terminated,
    /// The program that this one supervised ended with this code.
    OfChild(u8),
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 64,
            Exit::Unavailable => 69,
            Exit::Aborted => 70,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
            Exit::OfChild(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
