//! The command that a template may run after its file changed.

use config::Environment;
use daemon::child::{Running, command};
use std::time::Duration;
use tokio::{process::Command, time::timeout};

/// A command: a program with arguments, or a line for the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfterWrite {
    /// Program and arguments. A single word with blanks in it is run by `sh -c`, as in consul-template.
    pub argv: Vec<String>,
    /// The command is killed after this time, with all that it started; zero for a command that is not waited for.
    pub timeout: Duration,
    /// What it sees of the environment.
    pub env: Environment,
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

impl AfterWrite {
    /// Runs the command to its end.
    pub async fn run(&self) -> Result<(), CommandError> {
        let line = self.argv.join(" ");
        let Some(mut program) = prepared(&self.argv, &self.env) else { return Ok(()) };
        if self.timeout.is_zero() {
            return unwatched(&mut program).map_err(|why| CommandError::Start { command: line, why });
        }
        let ended = async { Running::start(&mut program)?.end().await };
        match timeout(self.timeout, ended).await {
            Err(_) => Err(CommandError::Slow { command: line, limit: self.timeout }),
            Ok(Err(why)) => Err(CommandError::Start { command: line, why }),
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(CommandError::Failed { command: line, status }),
        }
    }
}

/// A program as it is started: a single word with blanks in it is for the shell. `None` without a word.
#[must_use]
pub fn prepared(argv: &[String], env: &Environment) -> Option<Command> {
    let mut prepared = match argv {
        [line] if line.contains(char::is_whitespace) => {
            let mut shell = command("sh");
            shell.arg("-c").arg(line);
            shell
        }
        [program, arguments @ ..] => {
            let mut direct = command(program);
            direct.args(arguments);
            direct
        }
        [] => return None,
    };
    prepared.env_clear().envs(env);
    Some(prepared)
}

/// Starts a command whose end is of no interest but to the log.
fn unwatched(program: &mut Command) -> std::io::Result<()> {
    let mut running = Running::start(program)?;
    tokio::spawn(async move {
        match running.end().await {
            Ok(status) => tracing::debug!(%status, "a command that was not waited for ended"),
            Err(error) => tracing::debug!(%error, "a command that was not waited for was lost"),
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn env() -> Environment {
        [("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())].into()
    }

    #[tokio::test]
    async fn a_command_that_is_too_slow_ends_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let line = format!("sleep 1000 & echo $! > {0}.new && mv {0}.new {0}; wait", file.display());
        let slow = AfterWrite { argv: vec![line], timeout: Duration::from_secs(3600), env: env() };
        let started = async {
            while !file.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // Given up as a time limit does it, once the grandchild runs.
        tokio::select! {
            _ = slow.run() => panic!("it cannot end"),
            () = started => {}
        }
        let stat = Path::new("/proc").join(std::fs::read_to_string(&file).unwrap().trim()).join("stat");
        let runs = || std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z "));
        for _ in 0..6000 {
            if !runs() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the grandchild outlived the command");
    }

    /// Milliseconds, far more than a command may take here.
    const LONG: u64 = 60_000;

    async fn run(argv: &[&str], timeout_ms: u64) -> Result<(), String> {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        AfterWrite { argv, timeout: Duration::from_millis(timeout_ms), env: env() }
            .run()
            .await
            .map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn a_command_ends_well_badly_late_or_never_starts() {
        assert_eq!(run(&["true"], LONG).await, Ok(()));
        assert_eq!(run(&["test -n \"$PATH\" && true"], LONG).await, Ok(()));
        assert_eq!(
            run(&["sh", "-c", "exit 3"], LONG).await,
            Err("`sh -c exit 3` failed (exit status: 3)".into())
        );
        assert!(run(&["sleep", "60"], 20).await.unwrap_err().contains("did not end within 20ms"));
        assert_eq!(run(&["sh", "-c", "exit 3"], 0).await, Ok(()), "nobody waits for it");
        assert!(run(&["no-such-program"], 0).await.unwrap_err().contains("cannot be started"));
        assert!(run(&["no-such-program"], LONG).await.unwrap_err().contains("cannot be started"));
    }
}
