//! When a server's kernel closed its connections: an idle one tells, as the one that `register` holds.

use std::{
    net::Ipv4Addr,
    sync::{Arc, OnceLock},
};

use tests::Outcome;
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinHandle, time::Instant};

/// An idle connection to a port of loopback, until it is dropped.
pub struct Closing {
    at: Arc<OnceLock<Instant>>,
    task: JoinHandle<()>,
}

impl Closing {
    /// Opens it.
    pub async fn watch(port: u16) -> Outcome<Closing> {
        let mut idle = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let at = Arc::new(OnceLock::new());
        let seen = Arc::clone(&at);
        let task = tokio::spawn(async move {
            _ = idle.read(&mut [0; 1]).await;
            _ = seen.set(Instant::now());
        });
        Ok(Closing { at, task })
    }

    /// When it ended; nothing while it stands.
    pub fn seen(&self) -> Option<Instant> {
        self.at.get().copied()
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.task.abort();
    }
}
