//! The command that a template may run after its file changed.

use std::{process::Stdio, time::Duration};
use tokio::{process::Command, time::timeout};

/// A command: a program with arguments, or a line for the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfterWrite {
    /// Program and arguments. A single word with blanks in it is run by `sh -c`, as in consul-template.
    pub argv: Vec<String>,
    /// The command is killed after this time.
    pub timeout: Duration,
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("`{command}` cannot be started: {why}")]
    Start {
        /// The command.
        command: String,
        /// What went wrong.
        why: std::io::Error,
    },
    /// It said that it failed.
    #[error("`{command}` failed ({status})")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// It took too long and was killed.
    #[error("`{command}` did not end within {limit:?} and was killed")]
    Slow {
        /// The command.
        command: String,
        /// How long it had.
        limit: Duration,
    },
}

/// Variables with secrets of ours, which no child gets to see.
pub(crate) const SECRETS: [&str; 3] = ["CONSUL_HTTP_TOKEN", "CONSUL_TOKEN", "CONSUL_HTTP_AUTH"];

/// A child process that sees none of our secrets and does not outlive us.
#[must_use]
pub fn child(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).kill_on_drop(true);
    for name in SECRETS {
        command.env_remove(name);
    }
    command
}

impl AfterWrite {
    /// Runs the command to its end.
    pub async fn run(&self) -> Result<(), CommandError> {
        let command = self.argv.join(" ");
        let mut child = match self.argv.as_slice() {
            [line] if line.contains(char::is_whitespace) => {
                let mut shell = child("sh");
                shell.arg("-c").arg(line);
                shell
            }
            [program, arguments @ ..] => {
                let mut direct = child(program);
                direct.args(arguments);
                direct
            }
            [] => return Ok(()),
        };
        match timeout(self.timeout, child.status()).await {
            Err(_) => Err(CommandError::Slow { command, limit: self.timeout }),
            Ok(Err(why)) => Err(CommandError::Start { command, why }),
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(CommandError::Failed { command, status }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(argv: &[&str], timeout_ms: u64) -> Result<(), String> {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        AfterWrite { argv, timeout: Duration::from_millis(timeout_ms) }.run().await.map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn a_command_ends_well_badly_late_or_never_starts() {
        assert_eq!(run(&["true"], 5000).await, Ok(()));
        assert_eq!(run(&["test -n \"$PATH\" && true"], 5000).await, Ok(()));
        assert_eq!(
            run(&["sh", "-c", "exit 3"], 5000).await,
            Err("`sh -c exit 3` failed (exit status: 3)".into())
        );
        assert!(run(&["sleep", "60"], 20).await.unwrap_err().contains("did not end within 20ms"));
        assert!(run(&["no-such-program"], 5000).await.unwrap_err().contains("cannot be started"));
    }
}
