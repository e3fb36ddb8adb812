//! Steers HAProxy: tells the worker that serves what a new text changes, where that ends as a start with the text
//! would. Where it does not, what cannot wait for the check and the reload is steered ahead of them.
//!
//! What the worker runs is the file, unless `.NAME.previous` says that this is not certain; a text that was steered
//! and is not in the file yet is remembered with the worker's process id, which HAProxy is asked for each time.
//!
//! `known` is what is remembered of the worker, `told` gives it orders, `course` is what was done about a text before its
//! check, `after` what is done once its file is in place or is not, `look` the look whether all is still so.

mod after;
mod course;
mod known;
mod look;
mod told;

pub use course::Course;
pub use look::Looked;

use crate::{
    apply::{Marks, Trouble},
    files::{Destination, FileError},
    haproxy::{
        ahead::leaving,
        capability::{Capabilities, capabilities},
        demote::Demote,
        door::Door,
        going::LetGo,
        outline::Recent,
        runtime::{Look, Runtime},
        sessions::Server,
        socket::SocketError,
        verdict::{Configuration, Verdict, verdict},
    },
};
use known::Known;
use std::{collections::BTreeSet, time::Duration};
use tokio::sync::mpsc;
use told::Told;

/// Why a text is not steered: nobody is there, or it does not answer, as one that starts does not.
const DID_NOT_RUN: &str = "HAProxy did not run";
const CANNOT_BE_STEERED: &str = "HAProxy cannot be steered";

/// When a reload is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Never: the file is written, and waits for somebody else's reload.
    Never,
    /// When orders cannot do it.
    #[default]
    WhenNeeded,
    /// For each change.
    Always,
}

/// One HAProxy, steered.
#[derive(Debug)]
pub struct Helm {
    door: Door,
    destination: Destination,
    policy: Policy,
    /// The least time between two reloads.
    pub interval: Duration,
    /// What was taken out ahead of a reload that has to wait.
    ahead: Vec<(Server, &'static str)>,
    /// Whether it was certain that HAProxy runs the file, before the present text.
    certain: bool,
    /// What is known of the worker.
    known: Known,
    /// What becomes of sessions to servers that leave.
    demote: Demote,
    /// The servers whose sessions have some time left.
    going: LetGo,
}

impl Helm {
    /// For a HAProxy that reads this file.
    #[must_use]
    pub fn new(
        door: Door,
        destination: Destination,
        policy: Policy,
        interval: Duration,
        demote: Demote,
        recent: Recent,
    ) -> Self {
        Helm {
            door,
            destination,
            policy,
            interval,
            ahead: vec![],
            certain: false,
            known: Known { recent, ..Known::default() },
            demote,
            going: LetGo::default(),
        }
    }

    /// Remembers what was steered ahead of a reload that has to wait.
    pub fn keep(&mut self, course: &Course) {
        if let Course::Reload { ahead, .. } = course {
            self.ahead.clone_from(ahead);
        }
    }

    /// Steers towards a text as far as orders can. One that failed before (`again`) is checked before anything is
    /// told: it must not cut off clients each time. Each answer is told to `steering`.
    pub async fn steer(
        &mut self,
        text: &str,
        again: bool,
        marks: &mut Marks,
        steering: &mpsc::Sender<()>,
    ) -> Result<Course, Trouble> {
        let next = self.known.configuration(text);
        self.certain = !self.destination.is_pending();
        let Some(file) = self.file()? else { return Ok(Course::reload("there was no file before")) };
        if self.certain && !self.known.is_ahead(&file) && !self.known.other_files(&next) {
            if file == text {
                return Ok(Course::Settled);
            }
            if self.known.says_the_same(&file, &next) {
                return Ok(Course::Same);
            }
        }
        let (runtime, look) = match Runtime::find(&self.door).await {
            Ok((runtime, look)) => (runtime.telling(steering), look),
            Err(SocketError::Nobody(_)) => return Ok(Course::reload(DID_NOT_RUN)),
            Err(error) => return Ok(Course::reload(format!("{CANNOT_BE_STEERED}: {error}"))),
        };
        let is_read = || self.certain || self.destination.is_read_by(look.started);
        let Some(before) = self.known.runs(&look, &file, is_read) else {
            let why = "what HAProxy runs is not known, since an earlier change did not end well";
            return Ok(self.ahead(&runtime, why.into(), (&file, text), &look, again, marks).await);
        };
        self.known.live = Some((look.pid, before.clone()));
        let can = can(&look);
        let outline = self.known.recent.outline(&before);
        let live = Configuration { files: self.known.holds(&outline, &look), outline };
        let why = match verdict(&live, &next, &look.running, &can) {
            Verdict::Same => {
                self.known.files = Some((look.pid, next.files));
                return Ok(Course::Steered { pid: look.pid, orders: 0, leaving: 0, before });
            }
            Verdict::Steer(_) if self.policy == Policy::Always => "reload = \"always\"".into(),
            Verdict::Steer(_) if again => "a try before it failed".into(),
            Verdict::Steer(orders) => {
                match self.switch(&runtime, orders, (&live, &next), &look, &can).await {
                    Ok(Told { orders, leaving, at }) => {
                        marks.steered = Some(at);
                        self.known.remember(look.pid, &live, &next, &can);
                        self.known.live = Some((look.pid, text.to_owned()));
                        self.known.files = Some((look.pid, next.files));
                        return Ok(Course::Steered { pid: look.pid, orders, leaving, before });
                    }
                    Err(why) => why,
                }
            }
            Verdict::Reload(why) | Verdict::Refuse(why) => why,
        };
        self.known.before = next.files;
        Ok(self.ahead(&runtime, why, (&before, text), &look, again, marks).await)
    }

    /// Points new traffic away from servers that `next` takes out of a proxy that cuts, and cuts their sessions. If
    /// this fails, the reload still does its work.
    async fn ahead(
        &mut self,
        runtime: &Runtime,
        why: String,
        (live, next): (&str, &str),
        look: &Look,
        again: bool,
        marks: &mut Marks,
    ) -> Course {
        let mut ahead = std::mem::take(&mut self.ahead);
        let leaving =
            leaving(&look.servers(), &self.known.recent.outline(live), &self.known.recent.outline(next));
        if again || leaving.is_empty() {
            return Course::Reload { why, ahead };
        }
        self.doubt();
        let live = self.known.recent.outline(live);
        let drains = |server: &Server| self.demote != Demote::Kill && Demote::may_drain(&live, server);
        let state = |server: &Server| if drains(server) { "drain" } else { "maint" };
        let out: Vec<_> = leaving.keys().map(|server| (server.clone(), state(server))).collect();
        let going: Vec<_> = leaving.keys().filter(|server| drains(server)).cloned().collect();
        self.going.add(&self.door, going, look.pid, self.demote.time());
        match runtime.turn(&out).await {
            Ok(now) if obeyed(&now, &out) => marks.steered = Some(now.at),
            Ok(now) => self.warn(&format!("HAProxy did not obey: {}", now.said)),
            Err(error) => self.warn(&error),
        }
        ahead.extend(leaving.into_iter().map(|(server, seen)| (server, seen.state())));
        Course::Reload { why, ahead }
    }

    /// Whether HAProxy, which started with this text, may run something else than it says.
    #[must_use]
    pub fn is_overruled(&self, text: &str) -> bool {
        self.known.recent.outline(text).loads_states()
    }

    /// The proxies of a text whose sessions are cut.
    #[must_use]
    pub fn cutting(&self, text: &str) -> BTreeSet<String> {
        self.known.cutting(text)
    }

    /// The end: what has some time left has none any more.
    pub async fn leave(&mut self) {
        self.going.finish().await;
    }

    fn file(&self) -> Result<Option<String>, FileError> {
        Ok(self.destination.read()?.map(|text| octets::text(&text)))
    }

    fn warn(&self, why: &dyn std::fmt::Display) {
        let destination = self.destination.path().display().to_string();
        tracing::warn!(destination, "steering HAProxy: {why}");
    }
}

/// Whether all of these that are still there have the states that they were given.
fn obeyed(now: &Look, states: &[(Server, &'static str)]) -> bool {
    let servers = now.servers();
    states.iter().all(|(server, state)| servers.get(server).is_none_or(|seen| seen.state() == *state))
}

/// What the version can do; one that cannot be read is taken for the oldest that is known.
fn can(look: &Look) -> Capabilities {
    capabilities(&look.version).unwrap_or_default()
}
