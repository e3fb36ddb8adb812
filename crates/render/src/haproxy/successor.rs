//! Reloads an HAProxy that has no master: a new process takes over from the old one, which serves out what it holds.

use super::{check, socket::Socket};
use daemon::child::{Running, command};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::time::timeout;

/// How a new process is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successor {
    /// HAProxy's program.
    pub binary: PathBuf,
    /// Where HAProxy writes its process ids (`-p`).
    pub pid_file: PathBuf,
}

impl Successor {
    /// Starts it; it tells the old process to leave when its own listeners are bound. `serving` is the process that
    /// answers now: if the pid file does not name it, another one would be told.
    pub async fn start(&self, file: &Path, stats: &Socket, serving: u32) -> Result<(), String> {
        let pids = self.pids()?;
        if !pids.contains(&serving) {
            let pid_file = self.pid_file.display();
            return Err(format!("{pid_file} does not name process {serving}, which answers on {stats}"));
        }
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        if let Socket::Unix(path) = stats
            && hands_over(&text)
        {
            match self.run(file, &pids, Some(path)).await {
                // The old one was started with a text that did not say so yet.
                Err(why) if why.contains(NOTHING_HANDED_OVER) => {}
                ran => return ran,
            }
        }
        self.run(file, &pids, None).await
    }

    async fn run(&self, file: &Path, pids: &[u32], listeners: Option<&Path>) -> Result<(), String> {
        let mut command = command(&self.binary);
        command.arg("-D").arg("-f").arg(file).arg("-p").arg(&self.pid_file);
        if let Some(socket) = listeners {
            command.arg("-x").arg(socket);
        }
        command.arg("-sf").args(pids.iter().map(ToString::to_string));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let running = Running::start(&mut command)
            .map_err(|error| format!("`{}` cannot be started: {error}", self.binary.display()))?;
        let output = timeout(check::LIMIT, running.output())
            .await
            .map_err(|_| format!("the new process did not start within {:?}", check::LIMIT))?
            .map_err(|error| error.to_string())?;
        let why = || check::plain(&String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(()) } else { Err(why()) }
    }

    fn pids(&self) -> Result<Vec<u32>, String> {
        let text = fs::read_to_string(&self.pid_file)
            .map_err(|error| format!("{}: {error}; start HAProxy with -p", self.pid_file.display()))?;
        Ok(text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
    }
}

/// What a new process says, and ends, when it asked for listeners that the old one does not give (2.6.12).
const NOTHING_HANDED_OVER: &str = "Failed to get the sockets from the old process";

/// Whether a process that runs this text gives its listeners to the next one.
fn hands_over(text: &str) -> bool {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    text.lines().map(words).any(|words| {
        words.starts_with(&["stats".into(), "socket".into()]) && words.iter().any(|word| word == "expose-fd")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_that_exposes_its_listeners_hands_them_over() {
        for (text, hands) in [
            ("global\n  stats socket /s level admin expose-fd listeners\n", true),
            ("global\n  stats socket /s level admin\n", false),
            ("global\n  # stats socket /s expose-fd listeners\n", false),
        ] {
            assert_eq!(hands_over(text), hands, "{text}");
        }
    }
}
