//! Programs that ask Consul the same, of which one asks for all: the leader, who holds a key by a session. It tells the
//! others what it hears by a [`document`]; they follow that key, and take its place when it is gone.
//!
//! The leader writes under its session alone, so one that was replaced and does not know it yet changes nothing.

pub mod document;

use crate::{Client, ClientError, Query, Watched, query::Scope, registration::span, watch};
use base64::prelude::{BASE64_STANDARD, Engine};
use document::{Answers, Content, Pointer, Refused, pack, unpack};
use reqwest::Method;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch as channel,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
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

/// One program's part in it, until dropped.
#[derive(Debug)]
pub struct Member {
    task: JoinHandle<()>,
    leaves: channel::Sender<bool>,
}

/// Consul takes no session of less, and ends one up to twice as late.
const LEAST_TTL: Duration = Duration::from_secs(10);
/// Until what did not work is tried again, unless something happens sooner.
const AGAIN: Duration = Duration::from_secs(1);
/// A document is written no more often: many answers may change at once.
const PACE: Duration = Duration::from_millis(50);
/// To give the lead away.
const FAREWELL: Duration = Duration::from_secs(2);
/// As the log says it.
const LEADS: (&str, &str) = ("leads", "asks Consul for all that have this template");
/// Of so many beats in the time-to-live, the others may miss one.
const BEATS: u32 = 3;

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

    /// Takes in what the leader tells; false when that could not be read just now.
    async fn follow(&mut self, text: &str) -> bool {
        let heard = Instant::now();
        match self.read(text).await {
            Ok(Ok(answers)) => {
                self.well("follows", "another asks Consul for it");
                (self.tell)(Place::Follows(answers, heard));
                true
            }
            Ok(Err(refused)) => {
                self.alone(format!("the document in {} is refused: {refused}", self.key()));
                // Another document has another pointer.
                true
            }
            Err(error) => {
                self.warn(&error.to_string());
                false
            }
        }
    }

    async fn read(&mut self, text: &str) -> Result<Result<Arc<Answers>, Refused>, ClientError> {
        let content = match Pointer::read(text) {
            Ok(Pointer { content: Some(content), .. }) => content,
            Ok(Pointer { content: None, .. }) => return Ok(Ok(Arc::default())),
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some((_, answers)) = self.read.as_ref().filter(|(read, _)| *read == content) {
            return Ok(Ok(Arc::clone(answers)));
        }
        let parts = self.parts(&content).await?;
        let answers = match unpack(&content, &parts) {
            Ok(answers) => Arc::new(answers),
            Err(refused) => return Ok(Err(refused)),
        };
        self.read = Some((content, Arc::clone(&answers)));
        Ok(Ok(answers))
    }

    async fn parts(&self, content: &Content) -> Result<Vec<Vec<u8>>, ClientError> {
        let folder = format!("{}/{}/", self.folder, content.sha256);
        let rows = match self.client.call(Method::GET, &path(&folder), &[("recurse", "")], None).await {
            Err(ClientError::Refused { status: 404, .. }) => Value::Null,
            other => other?,
        };
        let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
        let bytes = |row: &Value| BASE64_STANDARD.decode(row["Value"].as_str().unwrap_or_default()).ok();
        Ok(rows.iter().filter_map(bytes).collect())
    }

    /// Takes the lead and keeps it as long as it can; false when it could not take it.
    async fn lead(&mut self, pointer: &mut channel::Receiver<Watched>) -> bool {
        let taken = match self.session().await {
            Ok(session) => self.point(&Pointer::default(), &session).await.map(|taken| (taken, session)),
            Err(error) => Err(error),
        };
        match taken {
            Ok((true, session)) => {
                self.well(LEADS.0, LEADS.1);
                (self.tell)(Place::Leads);
                self.serve(&session, pointer).await;
                tracing::info!(folder = self.folder, "does not lead any more");
                (self.session, self.read) = (None, None);
                _ = self.end(&session).await;
                false
            }
            // Another was sooner.
            Ok((false, session)) => {
                self.session = None;
                _ = self.end(&session).await;
                false
            }
            Err(error) => {
                if is_over(&error) {
                    self.session = None;
                }
                match error.denied() {
                    Some(right) => self.alone(format!("it may not lead, the token lacks {right}")),
                    None => self.warn(&error.to_string()),
                }
                false
            }
        }
    }

    async fn session(&mut self) -> Result<String, ClientError> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let ttl = span(self.ttl.max(LEAST_TTL));
        let wish =
            json!({"Name": "rolecall deduplicate", "TTL": ttl, "Behavior": "release", "LockDelay": "0s"});
        let begun = self.client.call(Method::PUT, &["session", "create"], &[], Some(wish)).await?;
        let session = begun["ID"].as_str().unwrap_or_default().to_owned();
        self.session = Some(session.clone());
        Ok(session)
    }

    /// Tells what is heard, until the lead is lost. What does not work is tried again: the session may last.
    async fn serve(&mut self, session: &str, pointer: &mut channel::Receiver<Watched>) {
        let mut told = Told::default();
        let every = self.ttl / BEATS;
        let (mut beat, mut due) = (Instant::now() + every, Some(Instant::now()));
        loop {
            let led = tokio::select! {
                Ok(()) = self.mine.changed(), if due.is_none() => {
                    due = Some(told.written.map_or_else(Instant::now, |written| written + PACE));
                    continue;
                }
                () = sleep_until(due.unwrap_or(beat)), if due.is_some() => {
                    due = None;
                    let mine = Arc::clone(&self.mine.borrow_and_update());
                    self.publish(&mine, &mut told, session).await
                }
                () = sleep_until(beat) => {
                    beat = Instant::now() + every;
                    self.beat(&mut told, session).await
                }
                // What is seen may be older than our lead; a beat decides.
                Ok(()) = pointer.changed() => {
                    let seen = pointer.borrow_and_update().clone();
                    match sight(&seen) {
                        Sight::Unseen => continue,
                        Sight::Held(holder, _) if holder == session => continue,
                        _ => self.beat(&mut told, session).await,
                    }
                }
            };
            match led {
                Ok(true) => self.well(LEADS.0, LEADS.1),
                Ok(false) => return,
                Err(error) if is_over(&error) => return,
                Err(error) => {
                    self.warn(&format!("the others cannot be told: {error}"));
                    due = Some(Instant::now() + AGAIN);
                }
            }
        }
    }

    /// Says that the leader is well; false when the lead is lost.
    async fn beat(&self, told: &mut Told, session: &str) -> Result<bool, ClientError> {
        self.client.call(Method::PUT, &["session", "renew", session], &[], None).await?;
        if !told.swept {
            self.sweep(told).await?;
            told.swept = true;
        }
        told.pointer.beat += 1;
        self.point(&told.pointer, session).await
    }

    /// Writes the parts, then the pointer, then takes away what nobody reads any more; false when the lead is lost.
    async fn publish(&self, mine: &Answers, told: &mut Told, session: &str) -> Result<bool, ClientError> {
        let (content, parts) =
            pack(mine).map_err(|e| ClientError::Setup(format!("cannot be packed: {e}")))?;
        if told.pointer.content.as_ref() == Some(&content) {
            return Ok(true);
        }
        for (n, part) in parts.into_iter().enumerate() {
            self.client.set_key(&format!("{}/{}/{n:05}", self.folder, content.sha256), part, &[]).await?;
        }
        let next = Pointer { content: Some(content), beat: told.pointer.beat + 1 };
        let leads = self.point(&next, session).await?;
        let last = std::mem::replace(&mut told.pointer, next).content;
        let old = std::mem::replace(&mut told.before, last);
        told.written = Some(Instant::now());
        // Somebody may still be reading the one before.
        if let Some(old) = old.filter(|old| leads && !told.names(&old.sha256)) {
            self.forget(&old.sha256).await?;
        }
        Ok(leads)
    }

    /// Writes the pointer if this session holds the key, or nobody does.
    async fn point(&self, pointer: &Pointer, session: &str) -> Result<bool, ClientError> {
        self.client.set_key(&self.key(), pointer.show().into_bytes(), &[("acquire", session)]).await
    }

    /// Takes away what leaders before left.
    async fn sweep(&self, told: &Told) -> Result<(), ClientError> {
        let folder = format!("{}/", self.folder);
        let params = [("keys", ""), ("separator", "/")];
        let found = self.client.call(Method::GET, &path(&folder), &params, None).await?;
        for key in found.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some(name) = key.strip_prefix(&folder).and_then(|name| name.strip_suffix('/'))
                && !told.names(name)
            {
                self.forget(name).await?;
            }
        }
        Ok(())
    }

    async fn forget(&self, content: &str) -> Result<(), ClientError> {
        let folder = format!("{}/{content}/", self.folder);
        self.client.call(Method::DELETE, &path(&folder), &[("recurse", "")], None).await.map(drop)
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

/// What a leader told.
#[derive(Default)]
struct Told {
    pointer: Pointer,
    before: Option<Content>,
    written: Option<Instant>,
    /// Whether what leaders before left is gone.
    swept: bool,
}

impl Told {
    fn names(&self, sha256: &str) -> bool {
        self.pointer.content.iter().chain(&self.before).any(|content| content.sha256 == sha256)
    }
}

/// Whether Consul does not know the session any more.
fn is_over(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { status: 404, .. } => true,
        ClientError::Refused { status: 500, said, .. } => said.contains("invalid session"),
        _ => false,
    }
}

fn path(key: &str) -> Vec<&str> {
    std::iter::once("kv").chain(key.split('/')).collect()
}
