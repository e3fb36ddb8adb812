//! Exec mode: a program that is started once every template is in place, told of each change, and ended with us. Its end
//! is ours.

use crate::command::prepared;
use config::Environment;
use daemon::{child::Running, exit::Exit, shutdown::Leaving, signal::Signal};
use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

/// The program that is supervised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Program and arguments. A single word with blanks in it is run by `sh -c`.
    pub argv: Vec<String>,
    /// Asks it to end; it is killed at once where there is none.
    pub kill_signal: Option<Signal>,
    /// How long it has to end.
    pub kill_timeout: Duration,
    /// How it is told of a change.
    pub told: Told,
    /// A random time up to this is waited before it is told, so that not all hosts do it at once.
    pub splay: Duration,
    /// What it sees of the environment.
    pub env: Environment,
}

/// How a program is told that files changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is ended and started again.
    ByRestart,
    /// By a signal.
    By(Signal),
    /// Not at all.
    Nothing,
}

/// How the rendered files stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// All of them are in place.
    pub complete: bool,
    /// How often one of them changed.
    pub changes: u64,
}

/// What a supervisor hears.
pub struct Hears {
    /// How the files stand.
    pub files: watch::Receiver<Files>,
    /// Signals for the program.
    pub signals: mpsc::Receiver<Signal>,
    /// That it is time to end.
    pub leaving: Leaving,
}

impl Program {
    /// Supervises the program until it ends, or until it is time to leave; an exit of its own is ours.
    pub async fn supervise(&self, hears: &mut Hears) -> Exit {
        let started = tokio::select! {
            files = hears.files.wait_for(|files| files.complete) => files.map(|files| files.changes),
            () = hears.leaving.signaled() => return Exit::Done,
        };
        let Ok(mut seen) = started else { return Exit::Done };
        let Some(mut running) = self.start() else { return Exit::Failed };
        loop {
            tokio::select! {
                ended = running.end() => return self.ended(ended),
                () = hears.leaving.signaled() => {
                    running.ask_to_end(self.kill_signal, self.kill_timeout).await;
                    return Exit::Done;
                }
                Some(signal) = hears.signals.recv() => running.signal(signal),
                changes = change(&mut hears.files, seen) => {
                    seen = changes;
                    match self.tell(running, hears).await {
                        Ok(goes_on) => running = goes_on,
                        Err(exit) => return exit,
                    }
                }
            }
        }
    }

    fn start(&self) -> Option<Running> {
        let mut program = prepared(&self.argv, &self.env)?;
        match Running::start(&mut program) {
            Ok(running) => {
                tracing::info!(command = self.argv.join(" "), "the program was started");
                Some(running)
            }
            Err(error) => {
                tracing::error!(command = self.argv.join(" "), %error, "the program cannot be started");
                None
            }
        }
    }

    /// Tells the program of a change, after the splay; the program that runs then, or our exit.
    async fn tell(&self, mut running: Running, hears: &mut Hears) -> Result<Running, Exit> {
        if self.told == Told::Nothing {
            return Ok(running);
        }
        tokio::select! {
            () = sleep(self.splay.mul_f64(fastrand::f64())) => {}
            ended = running.end() => return Err(self.ended(ended)),
            () = hears.leaving.signaled() => return Ok(running),
        }
        match self.told {
            Told::By(signal) => {
                running.signal(signal);
                Ok(running)
            }
            _ => {
                running.ask_to_end(self.kill_signal, self.kill_timeout).await;
                if hears.leaving.is_signaled() {
                    return Err(Exit::Done);
                }
                self.start().ok_or(Exit::Failed)
            }
        }
    }

    fn ended(&self, ended: std::io::Result<ExitStatus>) -> Exit {
        match ended {
            Ok(status) => {
                tracing::info!(command = self.argv.join(" "), %status, "the program ended, and so do we");
                exit_of(status)
            }
            Err(error) => {
                tracing::error!(%error, "the program was lost");
                Exit::Failed
            }
        }
    }
}

/// Waits until files changed beyond what was seen; for ever when nobody renders any more.
async fn change(files: &mut watch::Receiver<Files>, seen: u64) -> u64 {
    let changed = files.wait_for(|files| files.complete && files.changes != seen).await;
    match changed.map(|files| files.changes).ok() {
        Some(changes) => changes,
        None => std::future::pending().await,
    }
}

/// Its code, or 128 and the signal that ended it, as a shell says it.
fn exit_of(status: ExitStatus) -> Exit {
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    match code {
        0 => Exit::Done,
        code => Exit::OfChild(u8::try_from(code).unwrap_or(u8::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon::shutdown::{Shutdown, channel};
    use std::{fs, path::Path};
    use tokio::signal::unix::{SignalKind, signal};

    /// A program that writes a line to `log` for each start and each SIGUSR1, and the ends of the channels.
    struct Story {
        log: tempfile::TempDir,
        files: watch::Sender<Files>,
        signals: mpsc::Sender<Signal>,
        shutdown: Shutdown,
        hears: Option<Hears>,
    }

    const LINE: &str = "trap 'echo told >> $LOG' USR1; trap 'echo winch >> $LOG' WINCH; \
                        trap 'echo ended >> $LOG; exit 0' INT; echo started >> $LOG; while :; do sleep 0.01; done";

    impl Story {
        fn begin() -> Story {
            // As the program does: a shell's background job begins with an ignored SIGINT, which its children would
            // ignore too and cannot trap, but a signal that is listened for is theirs again.
            drop(signal(SignalKind::interrupt()).unwrap());
            let (shutdown, leaving) = channel();
            let (files, heard) = watch::channel(Files::default());
            let (signals, receiver) = mpsc::channel(8);
            let hears = Some(Hears { files: heard, signals: receiver, leaving });
            Story { log: tempfile::tempdir().unwrap(), files, signals, shutdown, hears }
        }

        fn program(&self, told: Told, line: &str) -> Program {
            let path = self.log.path().join("log").display().to_string();
            Program {
                argv: vec!["sh".into(), "-c".into(), line.into()],
                kill_signal: Some(Signal::INT),
                kill_timeout: Duration::from_secs(30),
                told,
                splay: Duration::from_millis(1),
                env: [("LOG".into(), path), ("PATH".into(), "/usr/bin:/bin".into())].into(),
            }
        }

        fn supervise(&mut self, program: Program) -> tokio::task::JoinHandle<Exit> {
            let mut hears = self.hears.take().unwrap();
            tokio::spawn(async move { program.supervise(&mut hears).await })
        }

        fn files(&self, complete: bool, changes: u64) {
            self.files.send_replace(Files { complete, changes });
        }

        async fn says(&self, wanted: &str) {
            let said = |path: &Path| fs::read_to_string(path).unwrap_or_default().replace('\n', " ");
            for _ in 0..3000 {
                if said(&self.log.path().join("log")) == wanted {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
            panic!("expected {wanted:?}, found {:?}", said(&self.log.path().join("log")));
        }
    }

    #[tokio::test]
    async fn a_program_is_told_by_a_signal_and_ended_with_us() {
        let mut story = Story::begin();
        let program = story.program(Told::By(Signal::USR1), LINE);
        let supervisor = story.supervise(program);
        story.files(false, 1);
        story.files(true, 2);
        story.says("started ").await;
        story.files(true, 3);
        story.says("started told ").await;
        story.signals.send(Signal::WINCH).await.unwrap();
        story.says("started told winch ").await;
        story.shutdown.tell();
        assert_eq!(supervisor.await.unwrap(), Exit::Done);
        story.says("started told winch ended ").await;
    }

    #[tokio::test]
    async fn without_a_signal_it_is_started_again() {
        let mut story = Story::begin();
        let program = story.program(Told::ByRestart, LINE);
        let supervisor = story.supervise(program);
        story.files(true, 1);
        story.says("started ").await;
        story.files(true, 2);
        story.says("started ended started ").await;
        story.shutdown.tell();
        assert_eq!(supervisor.await.unwrap(), Exit::Done);
    }

    #[tokio::test]
    async fn told_to_end_while_it_is_started_again_it_is_not() {
        let line =
            "trap 'echo asked >> $LOG' INT; echo started >> $LOG; until test -e $LOG.go; do sleep 0.01; done";
        let mut story = Story::begin();
        let program = story.program(Told::ByRestart, line);
        let supervisor = story.supervise(program);
        story.files(true, 1);
        story.says("started ").await;
        story.files(true, 2);
        story.says("started asked ").await;
        story.shutdown.tell();
        fs::write(story.log.path().join("log.go"), "").unwrap();
        assert_eq!(supervisor.await.unwrap(), Exit::Done);
        story.says("started asked ").await;
    }

    #[tokio::test]
    async fn its_end_is_ours() {
        for (line, exit) in
            [("exit 0", Exit::Done), ("exit 7", Exit::OfChild(7)), ("kill -9 $$", Exit::OfChild(137))]
        {
            let mut story = Story::begin();
            let program = story.program(Told::Nothing, line);
            story.files(true, 1);
            assert_eq!(story.supervise(program).await.unwrap(), exit, "{line}");
        }
        let mut story = Story::begin();
        let program = Program { argv: vec!["no-such-program".into()], ..story.program(Told::Nothing, "") };
        story.files(true, 1);
        assert_eq!(story.supervise(program).await.unwrap(), Exit::Failed);
    }
}
