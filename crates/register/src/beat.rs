//! Tells the check how the instance is: on its own timer, over its own connections, so that nothing delays it.

use crate::{
    agent::{Agent, Refusal},
    plan::{Desired, Known, beat},
    reconcile::Actual,
};
use consul::{Status, backoff::Backoff};
use daemon::clock::unix_millis;
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// What came of the heartbeats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beats {
    /// The status that the agent last accepted, unless something failed since.
    pub said: Option<Status>,
    /// Heartbeats that the agent accepted.
    pub beats: u64,
    /// Heartbeats that failed for any reason.
    pub failures: u64,
    /// Heartbeats refused since the agent does not know the check: each asks for a registration.
    pub refusals: u64,
    /// When the agent last accepted one, in Unix milliseconds.
    pub beat_ms: Option<f64>,
    /// Why the last one failed; `None` when it did not.
    pub error: Option<String>,
}

/// Sends heartbeats every `every`, and at once when the status or the entry changes, until `desired` is
/// [`Desired::Absent`] or its sender is gone.
pub async fn keep_beating(
    agent: &impl Agent,
    every: Duration,
    mut desired: watch::Receiver<Desired>,
    mut actual: watch::Receiver<Actual>,
    beats: &watch::Sender<Beats>,
    mut backoff: Backoff,
) {
    let mut told = None;
    let mut due = Instant::now();
    loop {
        let want = desired.borrow_and_update().clone();
        let is = actual.borrow_and_update().clone();
        let status = beat(&want, &is.known, beats.borrow().said);
        match (&want, status) {
            (Desired::Absent, _) => return,
            (Desired::Present(entry, output), Some(status)) => {
                // A new registration may have brought an older status along, and an agent that was just heard
                // again is told at once; good news once it is known what the agent holds, not twice.
                let held = matches!(is.known, Known::Held(..));
                let news = Some((status, is.registrations, held));
                let tells = told != news && (held || status != Status::Passing);
                if tells || Instant::now() >= due {
                    let done = agent.beat(&entry.check.id, status, output).await;
                    told = news;
                    beats.send_modify(|beats| beats.noted(&entry.id, status, &done));
                    due = Instant::now() + pause(&done, every, &mut backoff);
                    continue;
                }
            }
            _ => {}
        }
        tokio::select! {
            changed = desired.changed() => if changed.is_err() { return },
            Ok(()) = actual.changed() => {}
            () = sleep_until(due), if status.is_some() => {
                // Frozen, perhaps together with the instance: what was believed then has to be looked at before it is
                // said again.
                if Instant::now() > due + OVERSLEPT {
                    due = Instant::now() + LOOK;
                }
            }
        }
    }
}

/// A timer that comes so late was not late: the program did not run.
const OVERSLEPT: Duration = Duration::from_millis(500);
/// What a look and the Sentinels' answers may take.
const LOOK: Duration = Duration::from_millis(600);

fn pause(done: &Result<(), Refusal>, every: Duration, backoff: &mut Backoff) -> Duration {
    if done.is_err() {
        return backoff.pause().min(every);
    }
    backoff.reset();
    every
}

impl Beats {
    /// Takes in the outcome of one heartbeat.
    fn noted(&mut self, id: &str, status: Status, done: &Result<(), Refusal>) {
        let Err(refusal) = done else {
            self.beats += 1;
            self.said = Some(status);
            self.beat_ms = Some(unix_millis());
            if self.error.take().is_some() {
                tracing::info!(id, "heartbeats are taken again");
            }
            return;
        };
        let error = refusal.to_string();
        if self.error.as_ref() != Some(&error) {
            tracing::warn!(id, %error, "a heartbeat failed; trying again");
        }
        self.failures += 1;
        self.refusals += u64::from(*refusal == Refusal::Unregistered);
        self.said = None;
        self.error = Some(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        memory::{Call, Memory},
        plan::{
            desired,
            tests::{entry, failed, held, me, seen},
        },
    };
    use consul::Role;
    use tokio::time::sleep;

    const EVERY: Duration = Duration::from_secs(3);

    struct Stage {
        agent: Memory,
        desired: watch::Sender<Desired>,
        actual: watch::Sender<Actual>,
        beats: watch::Receiver<Beats>,
    }

    fn start() -> Stage {
        let agent = Memory::default();
        let (wish, desired) = watch::channel(Desired::Undecided);
        let (actual, is) = watch::channel(Actual::default());
        let (tell, beats) = watch::channel(Beats::default());
        let ours = agent.clone();
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        tokio::spawn(async move { keep_beating(&ours, EVERY, desired, is, &tell, backoff).await });
        Stage { agent, desired: wish, actual, beats }
    }

    impl Stage {
        /// The agent holds the entry that `want` asks for.
        fn registered(&self, want: &Desired) {
            self.agent.put(entry(want));
            self.actual.send_modify(|actual| {
                actual.known = held(&entry(want));
                actual.registrations += 1;
            });
        }

        async fn beaten(&self) -> Vec<Status> {
            sleep(Duration::from_millis(10)).await;
            let beat = |call| if let Call::Beat(status) = call { Some(status) } else { None };
            self.agent.take_calls().into_iter().filter_map(beat).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bad_news_is_told_at_once_and_good_news_of_the_wanted_entry_only() {
        use Status::{Critical, Passing};
        let stage = start();
        let replica = desired(&me(), &seen(Role::Replica));
        stage.registered(&replica);
        assert_eq!(stage.beaten().await, [], "nothing is told before anything is known");
        stage.desired.send_replace(replica.clone());
        assert_eq!(stage.beaten().await, [Passing]);
        sleep(EVERY * 3).await;
        assert_eq!(stage.beaten().await, [Passing, Passing, Passing], "three in three intervals");

        stage.desired.send_replace(desired(&me(), &failed(seen(Role::Replica))));
        assert_eq!(stage.beaten().await, [Critical]);

        let master = desired(&me(), &seen(Role::Master));
        stage.desired.send_replace(master.clone());
        sleep(EVERY).await;
        assert_eq!(stage.beaten().await, [], "a replica's entry does not pass for a master");
        stage.registered(&master);
        assert_eq!(stage.beaten().await, [Passing]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_registration_is_followed_by_one_heartbeat() {
        use Status::{Critical, Passing};
        let stage = start();
        let (want, down) =
            (desired(&me(), &seen(Role::Replica)), desired(&me(), &failed(seen(Role::Replica))));
        stage.registered(&want);
        stage.desired.send_replace(want.clone());
        assert_eq!(stage.beaten().await, [Passing]);
        let just_registered = |actual: &mut Actual| {
            actual.known = Known::Unknown;
            actual.registrations += 1;
        };
        stage.actual.send_modify(just_registered);
        assert_eq!(stage.beaten().await, [], "good news waits until it is known what the agent holds");
        stage.actual.send_modify(|actual| actual.known = held(&entry(&want)));
        assert_eq!(stage.beaten().await, [Passing]);
        stage.actual.send_modify(just_registered);
        stage.desired.send_replace(down);
        assert_eq!(stage.beaten().await, [Critical], "bad news waits for nothing");
        stage.desired.send_replace(want);
        sleep(EVERY).await;
        assert_eq!(stage.beaten().await, [], "and stands until then");
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_that_was_frozen_waits_for_a_look() {
        let stage = start();
        let master = desired(&me(), &seen(Role::Master));
        stage.registered(&master);
        stage.desired.send_replace(master.clone());
        assert_eq!(stage.beaten().await, [Status::Passing]);
        tokio::time::advance(EVERY * 10).await;
        assert_eq!(stage.beaten().await, [], "nothing is said of a belief from before the sleep");
        stage.desired.send_replace(desired(&me(), &failed(seen(Role::Master))));
        assert_eq!(stage.beaten().await, [Status::Critical], "what is seen then is told at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_heartbeat_waits_for_the_registration() {
        let mut stage = start();
        let want = desired(&me(), &seen(Role::Replica));
        stage.registered(&want);
        stage.desired.send_replace(want.clone());
        stage.beats.wait_for(|beats| beats.beats == 1).await.unwrap();
        stage.agent.forget("redis-0");
        stage.beats.wait_for(|beats| beats.refusals == 1).await.unwrap();
        stage.actual.send_modify(|actual| actual.known = Known::Absent);
        stage.agent.take_calls();
        sleep(EVERY * 2).await;
        assert_eq!(stage.beaten().await, [], "no use to tell an agent that knows nothing");
        stage.registered(&want);
        assert_eq!(stage.beaten().await, [Status::Passing]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_is_back_hears_at_once() {
        let mut stage = start();
        let want = desired(&me(), &seen(Role::Replica));
        stage.registered(&want);
        stage.desired.send_replace(want.clone());
        stage.beats.wait_for(|beats| beats.beats == 1).await.unwrap();
        stage.agent.down(true);
        stage.actual.send_modify(|actual| actual.known = Known::Unknown);
        sleep(Duration::from_secs(600)).await;
        assert!(stage.beats.borrow().error.is_some());
        stage.agent.down(false);
        stage.agent.take_calls();
        stage.actual.send_modify(|actual| actual.known = held(&entry(&want)));
        assert_eq!(stage.beaten().await, [Status::Passing]);
        assert_eq!(stage.beats.borrow().error, None);
    }
}
