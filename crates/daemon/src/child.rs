//! Child processes: they see none of our secrets, and when one is given up, its own children end with it.

use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    ffi::OsStr,
    io,
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, ChildStderr, ChildStdout, Command},
    time::timeout,
};

/// Variables with secrets of ours, which no child gets to see.
pub const SECRETS: [&str; 3] = ["CONSUL_HTTP_TOKEN", "CONSUL_TOKEN", "CONSUL_HTTP_AUTH"];
/// More than this of what a child writes is of no use to anybody.
const MOST_OUTPUT: u64 = 1024 * 1024;

/// A program that will see none of our secrets, reads nothing, and leads a process group of its own.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).kill_on_drop(true).process_group(0);
    for name in SECRETS {
        command.env_remove(name);
    }
    command
}

/// A child that runs. Dropped before its end, it is killed with all that it started; after its own end, what it left
/// running goes on.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    /// Starts a command of [`command`].
    pub fn start(command: &mut Command) -> io::Result<Running> {
        let child = command.spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(Running { child, group })
    }

    /// What it writes, where that is a pipe and was not taken yet.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// What it complains of, where that is a pipe and was not taken yet.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Sends it a signal, and all that it started; nothing when it ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // Gone already is as good.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Asks it to end by a signal, and kills it with all that it started when the time is up, or at once without a signal.
    /// It is gone when this returns, so that another one may take its place.
    pub async fn ask_to_end(mut self, signal: Option<Signal>, limit: Duration) {
        if let Some(signal) = signal {
            self.signal(signal);
            if timeout(limit, self.end()).await.is_ok() {
                return;
            }
            tracing::warn!(
                limit = config::show_duration(limit),
                "the program did not end in time and is killed"
            );
        }
        self.signal(Signal::KILL);
        if let Err(error) = self.end().await {
            tracing::warn!(%error, "nobody knows whether the program ended");
        }
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.group = None;
        Ok(status)
    }

    /// Waits for its end and for all that it writes into its pipes, also by the hand of its own children.
    pub async fn output(mut self) -> io::Result<Output> {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let (stdout, stderr, status) = tokio::try_join!(whole(stdout), whole(stderr), self.child.wait())?;
        self.group = None;
        Ok(Output { status, stdout, stderr })
    }
}

async fn whole(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut all = vec![];
    if let Some(pipe) = pipe {
        pipe.take(MOST_OUTPUT).read_to_end(&mut all).await?;
    }
    Ok(all)
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            // Gone already is as good.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{path::Path, time::Duration};
    use tokio::{
        io::{AsyncBufReadExt, BufReader},
        time::{Instant, sleep},
    };

    fn shell(line: &str) -> Command {
        let mut shell = command("sh");
        shell.arg("-c").arg(line).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell
    }

    /// Whether a process runs, and is not only waiting to be buried.
    fn runs(pid: &str) -> bool {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }

    #[tokio::test]
    async fn what_a_child_says_and_how_it_ends() {
        let output =
            Running::start(&mut shell("echo out; echo err >&2; exit 3")).unwrap().output().await.unwrap();
        assert_eq!(
            (output.status.code(), output.stdout, output.stderr),
            (Some(3), b"out\n".into(), b"err\n".into())
        );
        assert_eq!(Running::start(&mut shell("exit 4")).unwrap().end().await.unwrap().code(), Some(4));
        assert!(Running::start(&mut command("no-such-program")).is_err());
    }

    #[tokio::test]
    async fn a_child_that_is_asked_to_end_is_gone_afterwards() {
        for (signal, line) in [
            (Some(Signal::INT), "echo; exec sleep 1000"),
            (Some(Signal::INT), "trap '' INT; echo; while :; do sleep 0.01; done"),
            (None, "echo; exec sleep 1000"),
        ] {
            let mut running = Running::start(&mut shell(line)).unwrap();
            let here = Path::new("/proc").join(running.child.id().unwrap().to_string());
            // It has set its trap by then.
            BufReader::new(running.stdout().unwrap()).lines().next_line().await.unwrap();
            running.ask_to_end(signal, Duration::from_millis(50)).await;
            assert!(!here.exists(), "{signal:?} {line}");
        }
    }

    #[tokio::test]
    async fn a_child_that_is_given_up_takes_its_own_children_along() {
        let mut running =
            Running::start(&mut shell("sleep 1000 & echo $!; sleep 1001 & echo $!; wait")).unwrap();
        let mut lines = BufReader::new(running.stdout().unwrap()).lines();
        let first = lines.next_line().await.unwrap().unwrap();
        let second = lines.next_line().await.unwrap().unwrap();
        assert!(runs(&first) && runs(&second));
        drop(running);
        let limit = Instant::now() + Duration::from_secs(60);
        while (runs(&first) || runs(&second)) && Instant::now() < limit {
            sleep(Duration::from_millis(5)).await;
        }
        assert!(!runs(&first) && !runs(&second), "grandchildren {first} and {second} outlived their time");
    }
}
