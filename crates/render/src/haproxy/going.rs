//! Servers that were let go: their sessions end when their time is over, whatever else goes on.

use super::{door::Door, runtime::Runtime, sessions::Server};
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

/// Servers by the worker that they were drained in, and when their time is over.
type Going = BTreeMap<Server, (u32, Instant)>;

/// Those that were let go of one HAProxy, and who ends their sessions.
#[derive(Debug)]
pub struct LetGo {
    going: watch::Sender<Going>,
    ending: Option<JoinHandle<()>>,
}

/// How long cutting takes at most; it is a millisecond, unless HAProxy hangs.
const LAST: Duration = Duration::from_secs(1);

impl Default for LetGo {
    fn default() -> Self {
        LetGo { going: watch::channel(Going::new()).0, ending: None }
    }
}

impl LetGo {
    /// These have so much time left in this worker.
    pub fn add(&mut self, door: &Door, servers: impl IntoIterator<Item = Server>, pid: u32, time: Duration) {
        let due = Instant::now() + time;
        let more: Vec<_> = servers.into_iter().map(|server| (server, (pid, due))).collect();
        if more.is_empty() {
            return;
        }
        self.going.send_modify(|going| {
            going.retain(|_, (_, due)| *due + LAST > Instant::now());
            going.extend(more);
        });
        let end = || tokio::spawn(end(door.clone(), self.going.subscribe()));
        self.ending.get_or_insert_with(end);
    }

    /// Only these are still to go: the others came back, or are gone.
    pub fn retain(&mut self, stays: impl Fn(&Server) -> bool) {
        self.going.send_if_modified(|going| {
            let before = going.len();
            going.retain(|server, _| stays(server));
            going.len() != before
        });
    }

    /// Whether a server of this worker has time left, or is about to be cut.
    #[must_use]
    pub fn has(&self, server: &Server, pid: u32) -> bool {
        let now = Instant::now();
        self.going.borrow().get(server).is_some_and(|(of, due)| *of == pid && *due + LAST > now)
    }

    /// Cuts all at once that have time left: nobody would do it later.
    pub async fn finish(&mut self) {
        self.going = watch::channel(Going::new()).0;
        if let Some(ending) = self.ending.take() {
            _ = timeout(LAST, ending).await;
        }
    }
}

/// Ends the sessions of each when its time is over, and of all when nobody tells of more.
async fn end(door: Door, mut going: watch::Receiver<Going>) {
    let mut done = None;
    loop {
        let next =
            going.borrow_and_update().values().map(|(_, due)| *due).filter(|due| Some(*due) > done).min();
        let over = tokio::select! {
            news = going.changed() => if news.is_ok() { continue } else { None },
            () = at(next) => next,
        };
        let ripe: Going = going
            .borrow()
            .iter()
            .filter(|(_, (_, due))| Some(*due) > done && over.is_none_or(|over| *due <= over))
            .map(|(server, of)| (server.clone(), *of))
            .collect();
        cut(&door, ripe).await;
        if over.is_none() {
            return;
        }
        done = over;
    }
}

/// Out of use, and without sessions. A worker that was left by a reload is the steward's.
async fn cut(door: &Door, ripe: Going) {
    if ripe.is_empty() {
        return;
    }
    let told = match Runtime::find(door).await {
        Ok((runtime, look)) => {
            let here = ripe
                .into_iter()
                .filter(|(server, (pid, _))| *pid == look.pid && look.running.servers.contains_key(server));
            let out: Vec<_> = here.map(|(server, _)| (server, "maint")).collect();
            runtime.turn(&out).await.map(drop)
        }
        Err(error) => Err(error),
    };
    if let Err(error) = told {
        tracing::warn!("sessions of servers that left could not be cut: {error}");
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
