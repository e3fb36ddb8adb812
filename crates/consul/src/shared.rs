//! Programs that ask Consul the same, of which one asks for all: the leader, who holds a key by a session. It tells the
//! others what it hears by a [`document`]; they follow that key, and take its place when it is gone.
//!
//! The leader writes under its session alone, so one that was replaced and does not know it yet changes nothing.

pub mod document;
mod follow;
mod lead;

use crate::{Client, ClientError, Query, Watched, query::Scope, watch};
use document::{Answers, Content};
use reqwest::Method;
use std::{panic::resume_unwind, sync::Arc, time::Duration};
use tokio::{
    sync::watch as channel,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// Where a program stands among those who share their answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Place {
    /// It is not known yet whether anybody leads.
    #[default]
    Unknown,
    /// It asks for all.
    Leads,
    /// Another asks for it: what that one told last, and when it was last heard.
    Follows(Arc<Answers>, Instant),
    /// It asks for itself, for this reason.
    Alone(String),
}

impl Place {
    /// The word for it in status and metrics.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Place::Unknown => "unknown",
            Place::Leads => "leads",
            Place::Follows(..) => "follows",
            Place::Alone(_) => "alone",
        }
    }
}

/// One program's part in it, until dropped.
#[derive(Debug)]
pub struct Member {
    task: JoinHandle<()>,
    leaves: channel::Sender<bool>,
}

/// Until what did not work is tried again, unless something happens sooner.
const AGAIN: Duration = Duration::from_secs(1);
/// To give the lead away.
const FAREWELL: Duration = Duration::from_secs(2);

impl Member {
    /// Joins those whose document is in `folder` of the key-value store. What this one hears itself is in `mine`; where it
    /// stands goes to `tell`. A leader that is silent for `ttl` is gone.
    pub fn join(
        client: Client,
        folder: String,
        ttl: Duration,
        mine: channel::Receiver<Arc<Answers>>,
        tell: impl Fn(Place) + Send + Sync + 'static,
    ) -> Member {
        let (leaves, mut leaving) = channel::channel(false);
        let task = tokio::spawn(async move {
            let mut group = Group { client, folder, ttl, mine, tell, session: None, read: None, told: None };
            tokio::select! {
                () = group.belong() => {}
                _ = leaving.wait_for(|leaving| *leaving) => {}
            }
            _ = timeout(FAREWELL, group.farewell()).await;
        });
        Member { task, leaves }
    }

    /// Gives the lead away, so that another takes it at once.
    pub async fn leave(self) {
        self.leaves.send_replace(true);
        _ = self.task.await;
    }
}

struct Group<T> {
    client: Client,
    folder: String,
    ttl: Duration,
    mine: channel::Receiver<Arc<Answers>>,
    tell: T,
    session: Option<String>,
    /// The content that was read last.
    read: Option<(Content, Arc<Answers>)>,
    /// What the log was told last.
    told: Option<String>,
}

/// What stands under the key.
enum Sight {
    /// It is not known now.
    Unseen,
    /// Nobody holds it.
    Free,
    /// This session holds it, and wrote this.
    Held(String, String),
}

fn sight(seen: &Watched) -> Sight {
    match (&seen.value, &seen.trouble) {
        (None, _) | (_, Some(_)) => Sight::Unseen,
        (Some(pair), None) => match pair["Session"].as_str().unwrap_or_default() {
            "" => Sight::Free,
            session => Sight::Held(session.into(), pair["Value"].as_str().unwrap_or_default().into()),
        },
    }
}

impl<T: Fn(Place) + Send + Sync> Group<T> {
    async fn belong(&mut self) {
        let key = Query::Key { key: self.key(), scope: Scope::default() };
        let mut pointer = watch(self.client.clone(), key);
        loop {
            let seen = pointer.borrow_and_update().clone();
            let settled = match sight(&seen) {
                Sight::Unseen => true,
                Sight::Free => self.lead(&mut pointer).await,
                Sight::Held(holder, _) if Some(&holder) == self.session.as_ref() => {
                    self.lead(&mut pointer).await
                }
                Sight::Held(_, text) => self.follow(&text).await,
            };
            tokio::select! {
                changed = pointer.changed() => if changed.is_err() { return },
                () = sleep(AGAIN), if !settled => {}
            }
        }
    }

    async fn farewell(&mut self) {
        if let Some(session) = self.session.take() {
            _ = self.end(&session).await;
        }
    }

    async fn end(&self, session: &str) -> Result<(), ClientError> {
        self.client.call(Method::PUT, &["session", "destroy", session], &[], None).await.map(drop)
    }

    fn key(&self) -> String {
        format!("{}/data", self.folder)
    }

    fn alone(&mut self, why: String) {
        self.warn(&why);
        (self.tell)(Place::Alone(why));
    }

    fn warn(&mut self, why: &str) {
        if self.told.as_deref() != Some(why) {
            tracing::warn!(folder = self.folder, why, "no answers are shared; asks Consul itself");
            self.told = Some(why.into());
        }
    }

    fn well(&mut self, place: &'static str, what: &str) {
        if self.told.as_deref() != Some(place) {
            tracing::info!(folder = self.folder, place, "{what}");
            self.told = Some(place.into());
        }
    }
}

/// Works on a document beside the program's own thread: megabytes take a while, in which questions would have no answer.
async fn aside<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

fn path(key: &str) -> Vec<&str> {
    std::iter::once("kv").chain(key.split('/')).collect()
}
