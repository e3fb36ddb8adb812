//! Makes the agent hold the wanted entry, again and again: it compares with what the agent says, never with what
//! it once did.

use crate::{
    agent::{Agent, Refusal},
    beat::Beats,
    plan::{Desired, EntryStep, Known, Written, entry_step, same},
};
use consul::{Held, Registration, backoff::Backoff};
use daemon::clock::unix_millis;
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

/// What is known of the entry at the agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actual {
    /// What the agent holds.
    pub known: Known,
    /// Entries that the agent accepted so far.
    pub registrations: u64,
    /// When it last did, in Unix milliseconds.
    pub registered_ms: Option<f64>,
    /// Under which token of [`consul::Client::tokens`] it last did.
    pub token: Option<u64>,
    /// Why the last request failed; `None` when it did not.
    pub error: Option<String>,
}

/// A self-watch that comes back sooner than this without news does not block, as behind some proxies.
const TOO_SOON: Duration = Duration::from_millis(500);
/// How often an agent is asked that cannot be waited for.
const POLL: Duration = Duration::from_secs(1);

/// Follows `desired` until it is [`Desired::Absent`] or its sender is gone. A request under way is finished first,
/// so that it cannot overtake the deregistration that comes next. Under a new token the entry is written again: the
/// agent would go on to bring it to the servers with the old one.
pub async fn keep_entry(
    agent: &impl Agent,
    id: &str,
    desired: watch::Receiver<Desired>,
    tokens: watch::Receiver<u64>,
    beats: watch::Receiver<Beats>,
    actual: &watch::Sender<Actual>,
    backoff: Backoff,
) {
    let mut keeper = Keeper { agent, id, beats, actual, backoff, written: None, token: 0, refusals: 0 };
    let mut news = News { desired, tokens };
    loop {
        let (want, token) = news.take();
        keeper.under(token);
        let known = actual.borrow().known.clone();
        let done = match entry_step(&want, &known, keeper.written.as_ref(), Instant::now()) {
            EntryStep::Stop => return,
            EntryStep::Wait => match news.heard().await {
                Ok(()) => Ok(()),
                Err(_) => return,
            },
            EntryStep::Pause(until) => {
                first(news.heard(), sleep_until(until)).await;
                Ok(())
            }
            // What is wanted now goes first; the agent is read after that.
            EntryStep::Read => tokio::select! {
                Ok(()) = news.heard() => Ok(()),
                done = keeper.read() => done,
            },
            EntryStep::Register => match &want {
                Desired::Present(entry, _) => keeper.register(entry, &known).await,
                _ => Ok(()),
            },
            EntryStep::Watch => tokio::select! {
                _ = news.heard() => Ok(()),
                done = keeper.watch(&known) => done,
            },
        };
        if let Err(refusal) = done {
            let pause = keeper.failed(&refusal);
            first(news.heard(), sleep(pause)).await;
        }
    }
}

/// What may ask for another entry.
struct News {
    desired: watch::Receiver<Desired>,
    tokens: watch::Receiver<u64>,
}

impl News {
    fn take(&mut self) -> (Desired, u64) {
        (self.desired.borrow_and_update().clone(), *self.tokens.borrow_and_update())
    }

    async fn heard(&mut self) -> Result<(), watch::error::RecvError> {
        tokio::select! {
            changed = self.desired.changed() => changed,
            Ok(()) = self.tokens.changed() => Ok(()),
        }
    }
}

async fn first(
    changed: impl Future<Output = Result<(), watch::error::RecvError>>,
    other: impl Future<Output = ()>,
) {
    tokio::select! {
        Ok(()) = changed => {}
        () = other => {}
    }
}

struct Keeper<'a, A> {
    agent: &'a A,
    id: &'a str,
    beats: watch::Receiver<Beats>,
    actual: &'a watch::Sender<Actual>,
    backoff: Backoff,
    written: Option<Written>,
    /// The token in use.
    token: u64,
    /// Heartbeats refused that are already answered by a registration.
    refusals: u64,
}

impl<A: Agent> Keeper<'_, A> {
    fn under(&mut self, token: u64) {
        if self.token != token {
            tracing::info!(id = self.id, "the Consul token changed; registering again with the new one");
            (self.token, self.written) = (token, None);
        }
    }

    async fn register(&mut self, entry: &Registration, known: &Known) -> Result<(), Refusal> {
        self.say_why(entry, known);
        self.agent.register(entry).await?;
        self.written = Some(Written { entry: entry.clone(), at: Instant::now() });
        // What heartbeats met before this is mended by it.
        self.refusals = self.beats.borrow().refusals;
        self.actual.send_modify(|actual| {
            actual.known = Known::Unknown;
            actual.registrations += 1;
            actual.registered_ms = Some(unix_millis());
            actual.token = Some(self.token);
        });
        self.worked();
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Refusal> {
        let known = self.ask(None).await?;
        self.learned(known);
        self.worked();
        Ok(())
    }

    /// Waits until the agent holds something else, or a heartbeat finds the check gone.
    async fn watch(&mut self, known: &Known) -> Result<(), Refusal> {
        let Known::Held(_, hash) = known else { return Ok(()) };
        let (asked, refusals) = (Instant::now(), self.refusals);
        let mut beats = self.beats.clone();
        let answer = tokio::select! {
            Ok(beats) = beats.wait_for(|beats| beats.refusals != refusals) => {
                self.refusals = beats.refusals;
                self.learned(Known::Absent);
                return Ok(());
            }
            answer = self.ask(Some(hash)) => answer?,
        };
        let blocks = answer != *known || asked.elapsed() > TOO_SOON;
        self.learned(answer);
        self.worked();
        if !blocks {
            sleep(POLL).await;
        }
        Ok(())
    }

    async fn ask(&self, hash: Option<&str>) -> Result<Known, Refusal> {
        Ok(match self.agent.held(self.id, hash).await? {
            Held::Absent => Known::Absent,
            Held::Present { service, hash } => Known::Held(service, hash),
        })
    }

    fn learned(&self, known: Known) {
        self.actual.send_if_modified(|actual| {
            let news = actual.known != known;
            actual.known = known;
            news
        });
    }

    fn worked(&mut self) {
        self.backoff.reset();
        let mended = self.actual.send_if_modified(|actual| actual.error.take().is_some());
        if mended {
            tracing::info!(id = self.id, "the Consul agent does as asked again");
        }
    }

    /// Nothing is known of an agent that did not do as asked.
    fn failed(&mut self, refusal: &Refusal) -> Duration {
        let error = refusal.to_string();
        self.actual.send_modify(|actual| {
            if actual.error.as_ref() != Some(&error) {
                tracing::warn!(id = self.id, %error, "cannot keep the entry at the Consul agent; trying again");
            }
            actual.known = Known::Unknown;
            actual.error = Some(error);
        });
        self.backoff.pause()
    }

    fn say_why(&self, entry: &Registration, known: &Known) {
        let again = self.written.as_ref().is_some_and(|written| same(&written.entry, entry));
        let id = self.id;
        match known {
            Known::Absent if again => tracing::warn!(id, "the agent lost the entry; registering again"),
            Known::Held(held, _) if again => tracing::warn!(
                id, tags = ?held.tags, address = held.address, port = held.port,
                "somebody else rewrote the entry at the agent; registering again: does a second registrar use this id?"
            ),
            _ => tracing::info!(id, tags = ?entry.tags, "registering"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        memory::{Call, Memory},
        plan::{
            desired,
            tests::{entry, me, seen},
        },
    };
    use consul::Role;

    struct Stage {
        agent: Memory,
        desired: watch::Sender<Desired>,
        tokens: watch::Sender<u64>,
        beats: watch::Sender<Beats>,
        actual: watch::Receiver<Actual>,
        task: tokio::task::JoinHandle<()>,
    }

    fn start(agent: &Memory) -> Stage {
        let (wish, desired) = watch::channel(Desired::Undecided);
        let (beats, beaten) = watch::channel(Beats::default());
        let (tokens, token) = watch::channel(0);
        let (tell, actual) = watch::channel(Actual::default());
        let (ours, agent) = (agent.clone(), agent.clone());
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let task = tokio::spawn(async move {
            keep_entry(&ours, "redis-0", desired, token, beaten, &tell, backoff).await
        });
        Stage { agent, desired: wish, tokens, beats, actual, task }
    }

    fn want(role: Role) -> Desired {
        desired(&me(), &seen(role))
    }

    async fn held(stage: &mut Stage, role: Role) {
        let wanted = entry(&want(role));
        stage.actual.wait_for(|actual| actual.known.is(&wanted)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_or_rewritten_entry_is_written_again_at_once() {
        let mut stage = start(&Memory::default());
        stage.desired.send_replace(want(Role::Replica));
        held(&mut stage, Role::Replica).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(stage.agent.registrations(), 1, "nothing is written while all is well");

        let before = Instant::now();
        stage.agent.forget("redis-0");
        held(&mut stage, Role::Replica).await;
        stage.actual.wait_for(|actual| actual.registrations == 2).await.unwrap();
        assert!(before.elapsed() < Duration::from_millis(50));

        sleep(Duration::from_secs(2)).await;
        let before = Instant::now();
        stage.agent.put(entry(&want(Role::Master)));
        stage.actual.wait_for(|actual| actual.registrations == 3).await.unwrap();
        held(&mut stage, Role::Replica).await;
        assert!(before.elapsed() < Duration::from_millis(50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_that_is_refused_registers_again() {
        let mut stage = start(&Memory::default());
        stage.desired.send_replace(want(Role::Replica));
        held(&mut stage, Role::Replica).await;
        sleep(Duration::from_secs(5)).await;
        stage.beats.send_modify(|beats| beats.refusals += 1);
        stage.actual.wait_for(|actual| actual.registrations == 2).await.unwrap();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(stage.agent.registrations(), 2, "once for each refusal");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_token_registers_again() {
        let mut stage = start(&Memory::default());
        stage.desired.send_replace(want(Role::Replica));
        held(&mut stage, Role::Replica).await;
        assert_eq!(stage.actual.borrow().token, Some(0));
        sleep(Duration::from_secs(5)).await;
        let before = Instant::now();
        stage.tokens.send_replace(1);
        stage.actual.wait_for(|actual| actual.registrations == 2).await.unwrap();
        held(&mut stage, Role::Replica).await;
        assert_eq!(stage.actual.borrow().token, Some(1));
        assert!(before.elapsed() < Duration::from_millis(50));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(stage.agent.registrations(), 2, "once for each token");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fight_is_paced() {
        let mut stage = start(&Memory::default());
        stage.agent.rewrites(Some(entry(&want(Role::Master))));
        stage.desired.send_replace(want(Role::Replica));
        sleep(Duration::from_secs(10)).await;
        let fought = stage.agent.registrations();
        assert!((9..=12).contains(&fought), "{fought} in ten seconds");
        stage.agent.rewrites(None);
        held(&mut stage, Role::Replica).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_was_down_hears_the_latest_wish_only() {
        let mut stage = start(&Memory::default());
        stage.agent.down(true);
        stage.desired.send_replace(want(Role::Master));
        sleep(Duration::from_secs(3600)).await;
        assert!(stage.actual.borrow().error.is_some());
        let tries = stage.agent.calls().len();
        assert!((600..6000).contains(&tries), "{tries} tries in an hour");
        stage.desired.send_replace(want(Role::Replica));
        stage.agent.down(false);
        let back = Instant::now();
        held(&mut stage, Role::Replica).await;
        assert!(back.elapsed() <= Duration::from_secs(5));
        assert_eq!(stage.agent.registered(), [entry(&want(Role::Replica))]);
        assert_eq!(stage.actual.borrow().error, None);
    }

    #[tokio::test(start_paused = true)]
    async fn news_do_not_wait_until_the_agent_was_read() {
        let stage = start(&Memory::default());
        let slow = Duration::from_secs(3);
        stage.agent.slow(slow);
        stage.desired.send_replace(want(Role::Replica));
        sleep(slow + Duration::from_secs(1)).await;
        assert_eq!(stage.agent.registrations(), 1, "it is being read by now");
        stage.desired.send_replace(want(Role::Master));
        sleep(slow).await;
        tokio::task::yield_now().await;
        assert_eq!(stage.agent.registrations(), 2, "written at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_is_finished_before_leaving() {
        let stage = start(&Memory::default());
        stage.agent.slow(Duration::from_secs(3));
        stage.desired.send_replace(want(Role::Master));
        sleep(Duration::from_secs(1)).await;
        stage.desired.send_replace(Desired::Absent);
        let told = Instant::now();
        stage.task.await.unwrap();
        assert_eq!(told.elapsed(), Duration::from_secs(2));
        assert_eq!(stage.agent.calls(), [Call::Register]);
    }
}
