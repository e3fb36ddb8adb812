//! Leaving well: everyone is told once, and the process waits for those who asked it to.

use crate::exit::Exit;
use std::{fmt, io, time::Duration};
use tokio::{
    signal::unix::{self, SignalKind},
    sync::{mpsc, watch},
};

/// Tells everyone to leave, and waits for them.
#[derive(Debug)]
pub struct Shutdown {
    told: watch::Sender<bool>,
    held: mpsc::Receiver<()>,
}

/// Told when to leave. Shutdown waits for every clone to be dropped.
#[derive(Clone, Debug)]
pub struct Leaving {
    told: watch::Receiver<bool>,
    _hold: mpsc::Sender<()>,
}

/// A pair of the two ends.
pub fn channel() -> (Shutdown, Leaving) {
    let (tell, told) = watch::channel(false);
    let (hold, held) = mpsc::channel(1);
    (Shutdown { told: tell, held }, Leaving { told, _hold: hold })
}

impl Shutdown {
    /// Tells everyone to leave.
    pub fn tell(&self) {
        self.told.send_replace(true);
    }

    /// Whether everyone was told.
    pub fn was_told(&self) -> bool {
        *self.told.borrow()
    }

    /// Tells everyone, then waits until all are gone or `limit` has passed; true when all went.
    pub async fn drain(mut self, limit: Duration) -> bool {
        self.tell();
        tokio::time::timeout(limit, self.held.recv()).await.is_ok()
    }
}

impl Leaving {
    /// Waits until it is time to leave.
    pub async fn signaled(&mut self) {
        let _gone_is_leaving_too = self.told.wait_for(|leave| *leave).await;
    }

    /// True when it is time to leave.
    pub fn is_signaled(&self) -> bool {
        *self.told.borrow() || self.told.has_changed().is_err()
    }
}

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, as from Ctrl-C.
    Interrupt,
    /// SIGTERM, as from Kubernetes and systemd.
    Terminate,
}

impl Signal {
    /// How a process ends that is ended at once by this signal.
    pub fn exit(self) -> Exit {
        match self {
            Signal::Interrupt => Exit::Interrupted,
            Signal::Terminate => Exit::Terminated,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        })
    }
}

/// Hears SIGTERM and SIGINT, and one more where that is wanted, one at a time, from the moment it is made. SIGHUP is told
/// apart: it ends nothing.
#[derive(Debug)]
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    more: Option<unix::Signal>,
    hangup: Option<unix::Signal>,
}

impl Signals {
    /// Begins to listen; from now on these signals no longer end the process by themselves. `more` counts as SIGTERM;
    /// `reloads` says that somebody else listens for SIGHUP.
    pub fn listen(more: Option<SignalKind>, reloads: bool) -> io::Result<Signals> {
        Ok(Signals {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            more: more.map(unix::signal).transpose()?,
            hangup: (!reloads).then(|| unix::signal(SignalKind::hangup())).transpose()?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Signal {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return Signal::Interrupt,
                _ = self.terminate.recv() => return Signal::Terminate,
                () = heard(&mut self.more) => return Signal::Terminate,
                () = heard(&mut self.hangup) => {
                    tracing::warn!("SIGHUP changes nothing: files are read at the start; restart to read them again");
                }
            }
        }
    }
}

async fn heard(signal: &mut Option<unix::Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_for_those_who_hold_it() {
        let (shutdown, mut leaving) = channel();
        assert!(!leaving.is_signaled());
        let worker = tokio::spawn(async move {
            leaving.signaled().await;
            assert!(leaving.is_signaled());
            tokio::time::sleep(Duration::from_secs(2)).await;
        });
        assert!(shutdown.drain(Duration::from_secs(5)).await);
        worker.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn waits_no_longer_than_the_limit() {
        let (shutdown, leaving) = channel();
        assert!(!shutdown.drain(Duration::from_secs(5)).await);
        assert!(leaving.is_signaled());
    }

    #[tokio::test]
    async fn a_shutdown_that_is_gone_means_leaving() {
        let (shutdown, mut leaving) = channel();
        drop(shutdown);
        leaving.signaled().await;
        assert!(leaving.is_signaled());
    }
}
