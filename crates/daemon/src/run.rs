//! A program's runtime, and its end under signals.
//!
//! The program runs on a thread of its own, so that signals and the limit are kept even when it is stuck: the
//! main thread does nothing but listen, and returns from `main` when it is time.

use crate::{
    exit::Exit,
    shutdown::{Leaving, Shutdown, Signal, Signals, channel},
};
use std::{io, thread, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::SignalKind,
    sync::{mpsc, oneshot},
    time::timeout,
};

/// Runs a program until it returns.
///
/// The first SIGTERM or SIGINT tells its [`Leaving`]; it then has `limit` to return. A second signal ends it
/// at once with 128 + the signal's number, the limit with [`Exit::Unavailable`], and a panic with
/// [`Exit::Aborted`]. Return what comes back from `main`, which ends whatever still runs.
pub fn run<P, F>(limit: Duration, program: P) -> Exit
where
    P: FnOnce(Leaving) -> F + Send + 'static,
    F: Future<Output = Exit>,
{
    run_with(Manners { limit, ends: None, reloads: false }, program)
}

/// How a program takes signals.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// How long it may take to leave.
    pub limit: Duration,
    /// One more signal that asks it to leave.
    pub ends: Option<SignalKind>,
    /// It listens for SIGHUP itself.
    pub reloads: bool,
}

/// The same as [`run`], with other manners.
pub fn run_with<P, F>(manners: Manners, program: P) -> Exit
where
    P: FnOnce(Leaving) -> F + Send + 'static,
    F: Future<Output = Exit>,
{
    try_run(manners, program).unwrap_or_else(|error| {
        tracing::error!(%error, "cannot start: the system gave no thread, runtime or signal handler");
        Exit::Failed
    })
}

fn try_run<P, F>(manners: Manners, program: P) -> io::Result<Exit>
where
    P: FnOnce(Leaving) -> F + Send + 'static,
    F: Future<Output = Exit>,
{
    let supervisor = runtime()?;
    let (shutdown, leaving) = channel();
    let (end, ended) = oneshot::channel();
    supervisor.block_on(async {
        // Signals are listened to before the program can have anything to clean up.
        let signals = forward(Signals::listen(manners.ends, manners.reloads)?);
        let runtime = runtime()?;
        thread::Builder::new().name("program".into()).spawn(move || {
            let _nobody_waits = end.send(runtime.block_on(program(leaving)));
            runtime.shutdown_background();
        })?;
        Ok(supervise(shutdown, signals, ended, manners.limit).await)
    })
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn forward(mut signals: Signals) -> mpsc::Receiver<Signal> {
    let (heard, hear) = mpsc::channel(1);
    tokio::spawn(async move { while heard.send(signals.next().await).await.is_ok() {} });
    hear
}

async fn supervise(
    shutdown: Shutdown,
    mut signals: mpsc::Receiver<Signal>,
    mut ended: oneshot::Receiver<Exit>,
    limit: Duration,
) -> Exit {
    tokio::select! {
        exit = &mut ended => return exit.unwrap_or(Exit::Aborted),
        Some(signal) = signals.recv() => tracing::info!(%signal, "leaving; a second signal ends at once"),
    }
    shutdown.tell();
    tokio::select! {
        exit = timeout(limit, ended) => match exit {
            Ok(exit) => exit.unwrap_or(Exit::Aborted),
            Err(_) => {
                tracing::error!(limit = config::show_duration(limit), "could not leave in time; ending anyway");
                Exit::Unavailable
            }
        },
        Some(signal) = signals.recv() => {
            tracing::warn!(%signal, "second signal; ending at once");
            signal.exit()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    const LIMIT: Duration = Duration::from_secs(10);

    /// A program that takes `leaving_takes` seconds to leave; signals come after these seconds.
    async fn story(leaving_takes: u64, signals: &'static [(u64, Signal)]) -> (Exit, u64) {
        let began = Instant::now();
        let (shutdown, mut leaving) = channel();
        let (send, receive) = mpsc::channel(1);
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            leaving.signaled().await;
            sleep(Duration::from_secs(leaving_takes)).await;
            let _ = end.send(Exit::Done);
        });
        tokio::spawn(async move {
            for (after, signal) in signals {
                sleep(Duration::from_secs(*after)).await;
                let _ = send.send(*signal).await;
            }
            std::future::pending::<()>().await;
        });
        let exit = supervise(shutdown, receive, ended, LIMIT).await;
        (exit, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn ends_by_itself_or_by_the_limit_or_by_a_second_signal() {
        use Signal::*;
        assert_eq!(story(2, &[(5, Terminate)]).await, (Exit::Done, 7));
        assert_eq!(story(60, &[(5, Terminate)]).await, (Exit::Unavailable, 15));
        assert_eq!(story(60, &[(5, Terminate), (1, Interrupt)]).await, (Exit::Interrupted, 6));
        assert_eq!(story(60, &[(5, Interrupt), (3, Terminate)]).await, (Exit::Terminated, 8));
    }

    #[test]
    fn a_program_returns_what_it_wants_and_may_be_stuck_elsewhere() {
        let stuck = |_leaving| async {
            tokio::task::spawn_blocking(|| thread::sleep(Duration::from_secs(3600)));
            Exit::Failed
        };
        assert_eq!(run(LIMIT, stuck), Exit::Failed);
        assert_eq!(run(LIMIT, |_leaving| async { panic!("this is a test") }), Exit::Aborted);
    }
}
