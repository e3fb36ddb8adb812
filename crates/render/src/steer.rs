//! Steers HAProxy: tells the worker that serves what a new text changes, where that ends as a start with the text
//! would. Where it does not, what cannot wait for the check and the reload is steered ahead of them.
//!
//! What the worker runs is the file, unless `.NAME.previous` says that this is not certain; a text that was steered
//! and is not in the file yet is remembered with the worker's process id, which HAProxy is asked for each time.

use crate::{
    apply::{Done, Marks, Trouble},
    files::{Destination, FileError},
    haproxy::{
        ahead::leaving,
        capability::{Capabilities, capabilities},
        check::CheckError,
        compared::{Compared, compared},
        contents::{contents, read_at},
        demote::Demote,
        door::Door,
        going::LetGo,
        master::Reload,
        order::Order,
        outline::{self, Recent},
        runtime::{Look, Runtime},
        sessions::{Server, idle},
        socket::SocketError,
        verdict::{Configuration, Drift, Files, Verdict, drift, says_the_same, verdict},
    },
};
use daemon::clock::unix_millis;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

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
    /// What a worker is known to run, whether the file says that or not.
    live: Option<(u32, String)>,
    /// Whether it was certain that HAProxy runs the file, before the present text.
    certain: bool,
    /// What the files hold that the configuration names, as the worker read them or was told.
    files: Option<(u32, Files)>,
    /// What they held before the last reload that was needed.
    before: Files,
    /// What the servers were that were steered out of use in a worker, and may still be there.
    left: (u32, BTreeMap<Server, Vec<String>>),
    /// The texts that were compared last.
    recent: Recent,
    /// What becomes of sessions to servers that leave.
    demote: Demote,
    /// The servers whose sessions have some time left.
    going: LetGo,
}

/// What was done about a text before its check, and what is left to do.
#[derive(Debug)]
pub enum Course {
    /// The file already has it.
    Settled,
    /// It says the same as the file, which is in use: whatever runs, there is nothing to tell.
    Same,
    /// The worker runs it; the file is to be written.
    Steered {
        /// The worker.
        pid: u32,
        /// How many orders that took.
        orders: usize,
        /// How many servers are out of use and wait for their last connections.
        leaving: usize,
        /// What ran before.
        before: String,
    },
    /// It takes a reload.
    Reload {
        /// Why.
        why: String,
        /// The servers that were taken out ahead of it, and how each was before.
        ahead: Vec<(Server, &'static str)>,
    },
}

/// What orders came to.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// How many they were.
    orders: usize,
    /// How many servers are still there for their last connections.
    leaving: usize,
    /// When HAProxy had done them, in milliseconds of Unix time.
    at: f64,
}

/// What a look at a worker found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// What ran otherwise than the file says, in plain English.
    pub drift: Vec<String>,
    /// Whether it was put right; if not, only a reload can.
    pub mended: bool,
    /// Whether a file that the configuration names holds something else than before.
    pub other_files: bool,
    /// Servers out of use that are still there, for their last connections.
    pub leaving: usize,
    /// All servers, as they ran when it was looked.
    pub servers: Arc<Vec<Compared>>,
}

impl Course {
    /// A reload, for this reason.
    pub fn reload(why: impl Into<String>) -> Self {
        Course::Reload { why: why.into(), ahead: vec![] }
    }

    /// Whether HAProxy was told anything.
    #[must_use]
    pub fn told(&self) -> bool {
        match self {
            Course::Settled | Course::Same => false,
            Course::Steered { orders, .. } => *orders > 0,
            Course::Reload { ahead, .. } => !ahead.is_empty(),
        }
    }

    /// Why it takes a reload.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Course::Reload { why, .. } => Some(why),
            _ => None,
        }
    }
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
            live: None,
            certain: false,
            files: None,
            before: Files::new(),
            left: Default::default(),
            recent,
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
        let next = self.configuration(text);
        self.certain = !self.destination.is_pending();
        let Some(file) = self.file()? else { return Ok(Course::reload("there was no file before")) };
        if self.certain && !self.is_ahead(&file) && !self.other_files(&next) {
            if file == text {
                return Ok(Course::Settled);
            }
            if self.says_the_same(&file, &next) {
                return Ok(Course::Same);
            }
        }
        let (runtime, look) = match Runtime::find(&self.door).await {
            Ok((runtime, look)) => (runtime.telling(steering), look),
            Err(SocketError::Nobody(_)) => return Ok(Course::reload(DID_NOT_RUN)),
            Err(error) => return Ok(Course::reload(format!("{CANNOT_BE_STEERED}: {error}"))),
        };
        let Some(before) = self.runs(&look, &file) else {
            let why = "what HAProxy runs is not known, since an earlier change did not end well";
            return Ok(self.ahead(&runtime, why.into(), (&file, text), &look, again, marks).await);
        };
        self.live = Some((look.pid, before.clone()));
        let can = can(&look);
        let outline = self.recent.outline(&before);
        let live = Configuration { files: self.knows(&outline, &look), outline };
        let why = match verdict(&live, &next, &look.running, &can) {
            Verdict::Same => {
                self.files = Some((look.pid, next.files));
                return Ok(Course::Steered { pid: look.pid, orders: 0, leaving: 0, before });
            }
            Verdict::Steer(_) if self.policy == Policy::Always => "reload = \"always\"".into(),
            Verdict::Steer(_) if again => "a try before it failed".into(),
            Verdict::Steer(orders) => {
                match self.switch(&runtime, orders, (&live, &next), &look, &can).await {
                    Ok(Told { orders, leaving, at }) => {
                        marks.steered = Some(at);
                        self.remember(look.pid, &live, &next, &can);
                        self.live = Some((look.pid, text.to_owned()));
                        self.files = Some((look.pid, next.files));
                        return Ok(Course::Steered { pid: look.pid, orders, leaving, before });
                    }
                    Err(why) => why,
                }
            }
            Verdict::Reload(why) | Verdict::Refuse(why) => why,
        };
        self.before = next.files;
        Ok(self.ahead(&runtime, why, (&before, text), &look, again, marks).await)
    }

    /// What the worker holds of the files that its configuration names.
    fn knows(&mut self, live: &outline::Outline, look: &Look) -> Files {
        let known = self.files.take().filter(|(pid, _)| *pid == look.pid);
        let known = known.unwrap_or_else(|| (look.pid, read_at(live, look.started, &self.before)));
        self.files.insert(known).1.clone()
    }

    /// Whether a worker is known to run something else than the file.
    fn is_ahead(&self, file: &str) -> bool {
        self.live.as_ref().is_some_and(|(_, text)| text != file)
    }

    /// Whether a file that the text names holds something else than the worker knows.
    fn other_files(&self, next: &Configuration) -> bool {
        self.files.as_ref().is_some_and(|(_, files)| {
            next.files.iter().any(|(name, is)| files.get(name).is_some_and(|was| was != is))
        })
    }

    /// A text with the files that it names, as they are now.
    fn configuration(&mut self, text: &str) -> Configuration {
        let outline = self.recent.outline(text);
        Configuration { files: contents(&outline), outline }
    }

    /// Whether a text says what the file says. It is not known if the file names others whose content no worker was
    /// looked at for.
    fn says_the_same(&mut self, file: &str, next: &Configuration) -> bool {
        let outline = self.recent.outline(file);
        let files = self.files.as_ref().map(|(_, files)| files.clone());
        let known = files.is_some() || next.files.is_empty();
        known && says_the_same(&Configuration { outline, files: files.unwrap_or_default() }, next)
    }

    /// The proxies of a text whose sessions are cut.
    pub fn cutting(&mut self, text: &str) -> BTreeSet<String> {
        self.recent.outline(text).cutting().clone()
    }

    /// What the worker runs: what was steered there, or what it read. `None` when that is not certain.
    fn runs(&mut self, look: &Look, file: &str) -> Option<String> {
        if let Some((_, text)) = self.live.take_if(|(pid, _)| *pid == look.pid) {
            self.live = Some((look.pid, text.clone()));
            return Some(text);
        }
        self.live = None;
        let read = self.certain || self.destination.is_read_by(look.started);
        read.then(|| file.to_owned())
    }

    /// Does what was decided, in the manner that was chosen for sessions.
    async fn switch(
        &mut self,
        runtime: &Runtime,
        orders: Vec<Order>,
        (live, next): (&Configuration, &Configuration),
        look: &Look,
        can: &Capabilities,
    ) -> Result<Told, String> {
        let (orders, going) = self.demote.soften(orders, &live.outline);
        // Who comes back stays; who goes has its time from now on, and is not missed when it is read back.
        let back: BTreeSet<Server> =
            orders.iter().filter(|order| order.takes_in()).filter_map(Order::server).cloned().collect();
        self.going.retain(|server| !back.contains(server));
        self.going.add(&self.door, going, look.pid, self.demote.time());
        self.order(runtime, &orders, next, look, can).await
    }

    /// Gives orders and reads back what runs then. Fails with the reason why it is not what the text says.
    async fn order(
        &self,
        runtime: &Runtime,
        orders: &[Order],
        next: &Configuration,
        look: &Look,
        can: &Capabilities,
    ) -> Result<Told, String> {
        let given = orders.len();
        let orders = due(orders, &self.revived(orders, look));
        if orders.iter().any(Order::can_wait) {
            let idle = idle(&runtime.connections().await.map_err(|error| error.to_string())?);
            let busy = orders.iter().filter(|order| order.can_wait()).filter_map(Order::server);
            if let Some((proxy, name)) = busy.into_iter().find(|server| !idle.contains(*server)) {
                return Err(format!("a server {proxy}/{name} that left still has connections"));
            }
        }
        self.doubt();
        let after = runtime.give(&orders).await.map_err(|error| format!("steering failed: {error}"))?;
        if after.pid != look.pid {
            return Err("another worker took over while it was steered".into());
        }
        let drift = drift(&after.running, &next.outline, can);
        match wrong(drift.iter().filter(|drift| !self.waits(drift, look.pid))) {
            Some(what) => Err(format!("steering did not work: {what}; HAProxy said: {}", after.said)),
            None => Ok(Told { orders: given, leaving: drift.len(), at: after.at }),
        }
    }

    /// Whether it is about a server that has to wait: for its last connections, or for its time to be over.
    fn waits(&self, drift: &Drift, pid: u32) -> bool {
        let server = drift.orders.first().and_then(Order::server);
        server.is_some_and(|server| self.going.has(server, pid))
            || (!drift.orders.is_empty() && drift.orders.iter().all(Order::can_wait))
    }

    /// The end: what has some time left has none any more.
    pub async fn leave(&mut self) {
        self.going.finish().await;
    }

    /// Remembers what the servers were that left: one that comes back before its last connection ended is still there.
    fn remember(&mut self, pid: u32, before: &Configuration, next: &Configuration, can: &Capabilities) {
        if self.left.0 != pid {
            self.left = (pid, BTreeMap::new());
        }
        let name = |server: &outline::Server| (server.proxy.clone(), server.name.clone());
        let gone =
            before.outline.servers().filter_map(|server| Some((name(server), server.to_add(can).ok()?)));
        self.left.1.extend(gone);
        for server in next.outline.servers() {
            self.left.1.remove(&name(server));
        }
    }

    /// The servers that come back as what they were, to a worker that still has them: they need not be made anew.
    fn revived(&self, orders: &[Order], look: &Look) -> BTreeSet<Server> {
        let same = |order: &Order| {
            let Order::Add { server, address: (ip, port), settings } = order else { return None };
            let runs = look.running.servers.get(server)?;
            let (words, id) = match settings.as_slice() {
                [words @ .., id, number] if id == "id" => (words, Some(number)),
                words => (words, None),
            };
            let was = self.left.1.get(server).filter(|_| self.left.0 == look.pid)?;
            let same = was == words
                && (runs.ip, runs.port) == (Some(*ip), *port)
                && id.is_none_or(|id| *id == runs.id.to_string());
            same.then(|| server.clone())
        };
        orders.iter().filter_map(same).collect()
    }

    /// Before a worker is told what the file does not say: a next run must know of it, if this one is killed.
    fn doubt(&self) {
        if let Err(error) = self.destination.doubt() {
            self.warn(&error);
        }
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
        let leaving = leaving(&look.servers(), &self.recent.outline(live), &self.recent.outline(next));
        if again || leaving.is_empty() {
            return Course::Reload { why, ahead };
        }
        self.doubt();
        let live = self.recent.outline(live);
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

    /// The text did not come into use (for this trouble, or none if that was not tried): back to what ran before.
    pub async fn back(&mut self, course: Course, text: &str, trouble: Option<&Trouble>) {
        let unsound = matches!(trouble, Some(Trouble::Check(CheckError::Unsound(_))));
        let back = match &course {
            // What could not be written, or checked, is none the less what should run.
            Course::Steered { orders: 1.., before, .. } if unsound => self.steer_back(text, before).await,
            Course::Reload { ahead, .. } if !ahead.is_empty() => match trouble {
                // HAProxy may well run the new text.
                Some(Trouble::Unreachable(_)) => return,
                _ => self.restore(ahead).await,
            },
            _ => return,
        };
        match back {
            // A failed reload leaves a doubt of its own.
            Ok(()) if self.certain && trouble.is_none_or(|trouble| !trouble.is_of_the_reader()) => {
                self.settle()
            }
            Ok(()) => {}
            Err(why) => self.warn(&format!("HAProxy could not be steered back: {why}")),
        }
    }

    async fn restore(&mut self, ahead: &[(Server, &'static str)]) -> Result<(), String> {
        let (runtime, _) = Runtime::find(&self.door).await.map_err(|error| error.to_string())?;
        self.going.retain(|server| !ahead.iter().any(|(back, _)| back == server));
        let now = runtime.turn(ahead).await.map_err(|error| error.to_string())?;
        if obeyed(&now, ahead) { Ok(()) } else { Err(now.said) }
    }

    async fn steer_back(&mut self, from: &str, to: &str) -> Result<(), String> {
        let (runtime, look) = Runtime::find(&self.door).await.map_err(|error| error.to_string())?;
        let (can, live, next) = (can(&look), self.configuration(from), self.configuration(to));
        match verdict(&live, &next, &look.running, &can) {
            Verdict::Same => {}
            Verdict::Steer(orders) => _ = self.switch(&runtime, orders, (&live, &next), &look, &can).await?,
            Verdict::Reload(why) | Verdict::Refuse(why) => return Err(why),
        }
        self.live = Some((look.pid, to.to_owned()));
        Ok(())
    }

    /// Brings a text into use whose file is in its place: the worker that was steered still serves, or HAProxy is
    /// reloaded.
    pub async fn bring(&self, course: &Course, marks: &mut Marks) -> Result<Done, Trouble> {
        match course {
            Course::Settled => return Ok(Done::Unchanged),
            Course::Steered { pid, orders, .. } => {
                let found = Runtime::find(&self.door).await;
                if found.is_ok_and(|(_, look)| look.pid == *pid) {
                    marks.applied = marks.steered.or(marks.renamed);
                    return Ok(match (orders, marks.renamed) {
                        (0, None) => Done::Unchanged,
                        (0, Some(_)) => Done::Written,
                        _ => Done::Steered,
                    });
                }
            }
            Course::Same => {
                marks.applied = marks.renamed;
                return Ok(Done::Written);
            }
            Course::Reload { why, .. } if may_have_started(why, marks) => {
                match self.door.started().await {
                    // It has started since, and read the file that is in its place.
                    Ok(started) if self.destination.is_read_by(Some(started)) => return Ok(Done::Unchanged),
                    Err(SocketError::Nobody(_)) => return Ok(Done::NotRunning),
                    _ => {}
                }
            }
            Course::Reload { .. } => {}
        }
        if self.policy == Policy::Never {
            return match self.door.look().await {
                Ok(_) => Ok(Done::Held),
                Err(SocketError::Nobody(_)) => Ok(Done::NotRunning),
                Err(error) => Err(Trouble::Unreachable(error.to_string())),
            };
        }
        let done = match self.door.reload(self.destination.path()).await {
            Reload::Done => Done::Reloaded,
            Reload::NotRunning => return Ok(Done::NotRunning),
            Reload::Unreachable(why) => return Err(Trouble::Unreachable(why)),
            Reload::Failed(why) => return Err(Trouble::Reload { why, back: String::new() }),
        };
        marks.applied = Some(unix_millis());
        Ok(done)
    }

    /// HAProxy runs what the file says.
    pub fn settle(&mut self) {
        let file = self.file().ok().flatten();
        _ = self.live.take_if(|(_, text)| Some(&*text) != file.as_ref());
        self.ahead.clear();
        if let Err(error) = self.destination.settle() {
            self.warn(&error);
        }
    }

    /// HAProxy's reload failed: puts the file back that it runs. Empty when there was none before.
    pub fn put_back(&self) -> String {
        match self.destination.put_back() {
            Ok(true) => ", the previous file is back in place".into(),
            Ok(false) => String::new(),
            Err(error) => format!(" ({error})"),
        }
    }

    /// Compares what runs with the file, and puts right what can be put right by orders. `None` while a change is
    /// under way, or HAProxy cannot be looked at.
    pub async fn look_after(&mut self) -> Option<Looked> {
        let file = self.file().ok()??;
        // What was told and is not in the file, or waits for a reload, left a doubt.
        if self.destination.is_pending() {
            return None;
        }
        let (runtime, look) = Runtime::find(&self.door).await.ok()?;
        let (can, want) = (can(&look), self.configuration(&file));
        self.left.1.retain(|server, _| look.running.servers.contains_key(server));
        let drift = drift(&look.running, &want.outline, &can);
        let servers = Arc::new(compared(&look.running, &want.outline, &drift));
        let (left, wrong): (Vec<Drift>, _) = drift.into_iter().partition(|drift| self.waits(drift, look.pid));
        self.knows(&want.outline, &look);
        let other_files = self.other_files(&want);
        let mut looked = Looked { leaving: left.len(), mended: true, other_files, servers, drift: vec![] };
        if !left.is_empty() {
            looked.leaving -= tidy(&runtime, left).await;
        }
        if !wrong.is_empty() {
            let orders: Vec<Order> = wrong.iter().flat_map(|drift| drift.orders.clone()).collect();
            let hopeless = wrong.iter().any(|drift| drift.orders.is_empty());
            looked.mended = !hopeless && self.order(&runtime, &orders, &want, &look, &can).await.is_ok();
            looked.drift = wrong.into_iter().map(|drift| drift.what).collect();
        }
        // For the other HAProxies another text may have come into the file since.
        let stays = self.file().is_ok_and(|now| now.as_ref() == Some(&file));
        if looked.mended {
            self.live = Some((look.pid, file));
        }
        if looked.mended && stays && !looked.drift.is_empty() {
            self.settle();
        }
        Some(looked)
    }

    fn file(&self) -> Result<Option<String>, FileError> {
        Ok(self.destination.read()?.map(|text| String::from_utf8_lossy(&text).into_owned()))
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

/// Whether HAProxy, which was not seen for this reason, may have read the file that is in its place: one that hangs began
/// before a file that was placed just now.
fn may_have_started(why: &str, marks: &Marks) -> bool {
    why == DID_NOT_RUN || (why.starts_with(CANNOT_BE_STEERED) && marks.renamed.is_none())
}

/// What the version can do; one that cannot be read is taken for the oldest that is known.
fn can(look: &Look) -> Capabilities {
    capabilities(&look.version).unwrap_or_default()
}

/// The orders that are given now: one that only tidies up waits for the next look, unless its server's name is needed.
/// A revived one is neither deleted nor made.
fn due(orders: &[Order], revived: &BTreeSet<Server>) -> Vec<Order> {
    let added = orders.iter().filter(|order| matches!(order, Order::Add { .. }));
    let added: BTreeSet<&Server> = added.filter_map(Order::server).collect();
    let needed = |order: &Order| order.server().is_some_and(|server| added.contains(server));
    let spared = |order: &Order| matches!(order, Order::Delete(server) | Order::Add { server, .. } | Order::EnableHealth(server) if revived.contains(server));
    let now = |order: &&Order| !spared(order) && (!order.can_wait() || needed(order));
    orders.iter().filter(now).cloned().collect()
}

/// What is wrong beyond what may wait.
fn wrong<'a>(drift: impl Iterator<Item = &'a Drift>) -> Option<String> {
    let wrong: Vec<&str> = drift.map(|drift| drift.what.as_str()).take(3).collect();
    (!wrong.is_empty()).then(|| wrong.join(", "))
}

/// Deletes servers that are out of use and that nothing points to any more; how many.
async fn tidy(runtime: &Runtime, left: Vec<Drift>) -> usize {
    let Ok(stat) = runtime.connections().await else { return 0 };
    let idle = idle(&stat);
    let free = |order: &Order| order.server().is_some_and(|server| idle.contains(server));
    let orders: Vec<Order> = left.into_iter().flat_map(|drift| drift.orders).filter(free).collect();
    if orders.is_empty() {
        return 0;
    }
    let Ok(now) = runtime.give(&orders).await else { return 0 };
    let told: BTreeSet<&Server> = orders.iter().filter_map(Order::server).collect();
    told.into_iter().filter(|server| !now.running.servers.contains_key(*server)).count()
}
