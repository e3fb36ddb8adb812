//! What may hang for ever, as a file on another machine: it has a time limit, and at most one thread hangs with it.

use std::{io, time::Duration};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

/// Does one thing after the other.
#[derive(Debug)]
pub struct Slow {
    limit: Duration,
    last: Option<JoinHandle<()>>,
}

impl Slow {
    /// Gives each thing `limit`.
    #[must_use]
    pub fn new(limit: Duration) -> Slow {
        Slow { limit, last: None }
    }

    /// Does it, once the one before has ended, which may have been given up: what that one brings is old.
    pub async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let limit = self.limit;
        let late = |_| io::Error::other(format!("no answer within {limit:?}: does its file system hang?"));
        timeout(limit, self.after_the_last(work)).await.map_err(late)?
    }

    async fn after_the_last<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        if let Some(last) = &mut self.last {
            _ = last.await;
        }
        let (tell, told) = oneshot::channel();
        self.last = Some(spawn_blocking(move || _ = tell.send(work())));
        told.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn one_thread_hangs_and_what_it_brings_is_not_taken() {
        let mut slow = Slow::new(Duration::from_millis(10));
        let (end, hangs) = mpsc::channel();
        let hanging = slow.run(move || hangs.recv().map(|()| "old").map_err(io::Error::other)).await;
        assert!(hanging.unwrap_err().to_string().contains("no answer within 10ms"));
        let second = slow.run(|| -> io::Result<()> { panic!("a second thread") }).await;
        assert!(second.unwrap_err().to_string().contains("no answer within 10ms"));
        end.send(()).unwrap();
        slow.limit = Duration::from_secs(30);
        assert_eq!(slow.run(|| Ok("new")).await.unwrap(), "new");
        assert_eq!(slow.run(|| Ok("newer")).await.unwrap(), "newer");
    }
}
