//! The part of the leader: it holds the key by its session, tells what it hears, and takes away what nobody reads any more.

use super::{
    AGAIN, Group, Place, Sight, aside,
    document::{Answers, Content, Pointer, pack},
    path, sight,
};
use crate::{ClientError, Watched, registration::span};
use reqwest::Method;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch as channel,
    time::{Instant, sleep_until},
};

/// Consul takes no session of less, and ends one up to twice as late.
const LEAST_TTL: Duration = Duration::from_secs(10);
/// A document is written no more often: many answers may change at once.
const PACE: Duration = Duration::from_millis(50);
/// As the log says it.
const LEADS: (&str, &str) = ("leads", "asks Consul for all that have this template");
/// Of so many beats in the time-to-live, the others may miss one.
const BEATS: u32 = 3;

impl<T: Fn(Place) + Send + Sync> Group<T> {
    /// Takes the lead and keeps it as long as it can; false when it could not take it.
    pub(super) async fn lead(&mut self, pointer: &mut channel::Receiver<Watched>) -> bool {
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
    async fn publish(
        &self,
        mine: &Arc<Answers>,
        told: &mut Told,
        session: &str,
    ) -> Result<bool, ClientError> {
        let mine = Arc::clone(mine);
        let packed = aside(move || pack(&mine)).await;
        let (content, parts) = packed.map_err(|e| ClientError::Setup(format!("cannot be packed: {e}")))?;
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
