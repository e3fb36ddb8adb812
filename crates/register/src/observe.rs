//! Looks again and again, and turns what is seen and heard into a wish.

use crate::{
    complaint::{Complaint, News},
    history::History,
    plan::{Desired, Identity, desired},
    pointer::Sight,
    probe::Probe,
    quality::{Following, Quality},
    recount::Count,
    role::{Belief, Evidence, Names, Sighting},
    sentinel::{Report, hello::Hellos},
};
use consul::{Watched, wire};
use daemon::clock::{Moment, unix_millis};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

/// The last look, for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Glance {
    /// Looks so far.
    pub looks: u64,
    /// Looks that failed.
    pub failures: u64,
    /// Why the last one failed.
    pub error: Option<String>,
    /// How long the last one took.
    pub took: Duration,
    /// When it ended, in Unix milliseconds.
    pub at_ms: f64,
}

/// Where the results go.
#[derive(Debug)]
pub struct Outlook {
    /// What is believed.
    pub belief: watch::Sender<Belief>,
    /// What Consul should say.
    pub desired: watch::Sender<Desired>,
    /// The last look.
    pub glance: watch::Sender<Glance>,
    /// What is known of the replication.
    pub quality: watch::Sender<Quality>,
    /// The last changes.
    pub history: watch::Sender<History>,
    /// When what is desired was last compared with the instance.
    pub looked: watch::Sender<Option<Moment>>,
}

/// What is known beside the instance's own word, as it comes in.
#[derive(Debug)]
pub struct Witnesses {
    /// The Sentinels' answers.
    pub report: watch::Receiver<Report>,
    /// What they tell each other through this Redis.
    pub hellos: watch::Receiver<Hellos>,
    /// The service's rows in the catalog.
    pub catalog: watch::Receiver<Watched>,
    /// The same rows, asked for on purpose.
    pub count: watch::Receiver<Count>,
    /// The epoch pointer, where there is one.
    pub pointer: Option<watch::Receiver<Watched>>,
}

impl Witnesses {
    async fn changed(&mut self) {
        // A witness that is gone says nothing new.
        let pointer = async {
            match &mut self.pointer {
                Some(pointer) => pointer.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok(()) = pointer => {}
            Ok(()) = self.report.changed() => {}
            Ok(()) = self.hellos.changed() => {}
            Ok(()) = self.catalog.changed() => {}
            Ok(()) = self.count.changed() => {}
            else => std::future::pending().await,
        }
    }

    fn evidence(&mut self, me: &Identity, belief: &Belief) -> Evidence {
        let count = self.count.borrow_and_update();
        let catalog = self.catalog.borrow_and_update();
        let rows = catalog.value.as_deref().map(wire::instances).unwrap_or_default();
        let heard = self.pointer.as_mut().map(|pointer| pointer.borrow_and_update().clone());
        let pointer = heard.as_ref().map(Sight::of).unwrap_or_default();
        Evidence {
            report: self.report.borrow_and_update().clone(),
            hellos: self.hellos.borrow_and_update().clone(),
            unread: !count.is_of(belief.doubts()) || catalog.value.is_none() && catalog.trouble.is_none(),
            ..Evidence::of(&me.id, me.many, &rows, pointer).remembers(me.many, &count.rows)
        }
    }
}

/// Looks every `every`, and at once when the instance gives a reason, until it is dropped. `timed` is told how
/// long each look took.
pub async fn observe(
    mut probe: impl Probe,
    every: Duration,
    me: &Identity,
    names: &Names,
    mut witnesses: Witnesses,
    out: &Outlook,
    timed: impl Fn(Duration),
) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut following = Following::default();
    let mut calm = true;
    let mut complaint = Complaint::default();
    let mut awake = Moment::now();
    loop {
        let look = tokio::select! {
            _ = ticks.tick() => { calm = true; true }
            // Once between two ticks, or a server that closes every connection would be asked without a pause.
            () = probe.disturbed(), if calm => { calm = false; true }
            () = witnesses.changed() => false,
        };
        // Whatever woke it: what was believed before a sleep is not said again before a look.
        let asleep = awake.slept();
        awake = Moment::now();
        let mut belief = out.belief.borrow().clone().slept(asleep, Instant::now());
        let mut replication = None;
        if look {
            let began = Instant::now();
            let seen = probe.look().await;
            let took = began.elapsed();
            timed(took);
            let sighting = match seen {
                Ok(look) => {
                    replication = Some(look.replication);
                    Sighting::Answer { role: look.role, word: look.word, epoch: look.epoch, life: look.life }
                }
                Err(error) => Sighting::Failure(error.to_string()),
            };
            out.noted(&sighting, took);
            belief = belief.saw(sighting, Instant::now());
        }
        let evidence = witnesses.evidence(me, &belief);
        let now = Instant::now();
        complain(me, &belief, complaint.after(belief.failure.as_deref(), now));
        following = following.after(replication, evidence.led, now);
        let quality = following.quality(me.ttl, me.max_lag, now);
        out.publish(me, belief.judged(&evidence, names, now), quality);
        if look {
            out.looked.send_replace(Some(Moment::now()));
        }
    }
}

impl Outlook {
    fn noted(&self, sighting: &Sighting, took: Duration) {
        self.glance.send_modify(|glance| {
            glance.looks += 1;
            glance.took = took;
            glance.at_ms = unix_millis();
            glance.error = match sighting {
                Sighting::Failure(why) => Some(why.clone()),
                Sighting::Answer { .. } => None,
            };
            glance.failures += u64::from(glance.error.is_some());
        });
    }

    fn publish(&self, me: &Identity, belief: Belief, quality: Quality) {
        let wish = quality.grade(desired(me, &belief));
        let early = wish == Desired::Undecided;
        let before = self.quality.send_replace(quality.clone());
        match (before.fault, quality.fault) {
            (None, Some(why)) => tracing::warn!(id = me.id, why, "no replica to read from; the check warns"),
            (Some(_), None) => tracing::info!(id = me.id, "a replica to read from again"),
            _ => {}
        }
        self.belief.send_if_modified(|known| {
            let news = *known != belief;
            if news {
                tell(me, known, &belief);
                self.history.send_modify(|history| history.note(known, &belief, &me.words, unix_millis()));
                *known = belief;
            }
            news
        });
        self.desired.send_if_modified(|known| {
            // What was said last stands until there is something better to say.
            let news = *known != wish && !early;
            if news {
                *known = wish;
            }
            news
        });
    }
}

fn tell(me: &Identity, before: &Belief, after: &Belief) {
    let id = &me.id;
    let shown = |belief| shown(me, belief);
    if after.is_settled() && (before.standing, before.epoch) != (after.standing, after.epoch) {
        let epoch = after.epoch.map_or("none".to_owned(), |epoch| epoch.to_string());
        tracing::info!(id, role = shown(after), was = shown(before), epoch, why = after.why, "role");
    }
}

fn complain(me: &Identity, belief: &Belief, news: Option<News>) {
    let (id, error) = (&me.id, belief.failure.as_deref().unwrap_or_default());
    match news {
        Some(News::Fails) => tracing::warn!(id, error, "the probe fails; the check turns critical"),
        Some(News::Differs) => tracing::warn!(id, error, "the probe still fails"),
        Some(News::Over) => tracing::info!(id, role = shown(me, belief), "the probe succeeds again"),
        None => {}
    }
}

fn shown(me: &Identity, belief: &Belief) -> String {
    me.words.name(belief.standing).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::tests::{entry, me},
        probe::{Look, ProbeError},
        quality::{LinkState, Replication},
        role::Life,
        sentinel::{Answer, Named, Report},
    };
    use consul::{Role, Status};
    use std::{
        collections::VecDeque,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };
    use tokio::time::{sleep, timeout};

    /// Answers from a list, the last one for ever; is disturbed whenever told to.
    struct Script(VecDeque<Option<Role>>, watch::Receiver<()>, Arc<AtomicUsize>);

    impl Probe for Script {
        async fn look(&mut self) -> Result<Look, ProbeError> {
            self.2.fetch_add(1, Ordering::Relaxed);
            let next = if self.0.len() > 1 { self.0.pop_front() } else { self.0.front().copied() };
            let life = Life { run_id: Some("abc".into()), connection: 1 };
            match next.flatten() {
                Some(role) => Ok(Look {
                    role,
                    word: role.to_string(),
                    epoch: None,
                    life,
                    replication: Default::default(),
                }),
                None => Err(ProbeError::Silent { address: "x:1".into(), limit: Duration::from_secs(1) }),
            }
        }

        async fn disturbed(&mut self) {
            if self.1.changed().await.is_err() {
                std::future::pending().await
            }
        }
    }

    struct Stage {
        desired: watch::Receiver<Desired>,
        belief: watch::Receiver<Belief>,
        report: watch::Sender<Report>,
        rows: watch::Sender<Watched>,
        disturb: watch::Sender<()>,
        looks: Arc<AtomicUsize>,
    }

    fn start(script: &[Option<Role>], sentinel: bool) -> Stage {
        let (disturb, disturbed) = watch::channel(());
        let looks = Arc::new(AtomicUsize::new(0));
        let probe = Script(script.iter().copied().collect(), disturbed, Arc::clone(&looks));
        start_with(probe, sentinel, (disturb, looks))
    }

    fn start_with(
        probe: impl Probe + 'static,
        sentinel: bool,
        (disturb, looks): (watch::Sender<()>, Arc<AtomicUsize>),
    ) -> Stage {
        let (belief, believed) = watch::channel(Belief::new(sentinel));
        let (wish, desired) = watch::channel(Desired::Undecided);
        let out = Outlook {
            belief,
            desired: wish,
            glance: watch::channel(Glance::default()).0,
            quality: watch::channel(Quality::default()).0,
            history: watch::channel(History::default()).0,
            looked: watch::channel(None).0,
        };
        let (report, reports) = watch::channel(Report::new(sentinel.then(|| "s".to_owned())));
        let (rows, catalog) = watch::channel(Watched::default());
        let count = watch::channel(Count {
            asked: Some(Instant::now() + Duration::from_secs(3600)),
            ..Count::default()
        })
        .1;
        let names = Names([("10.0.0.7".to_owned(), 6379)].into());
        tokio::spawn(async move {
            let witnesses = Witnesses {
                report: reports,
                hellos: watch::channel(Hellos::default()).1,
                catalog,
                count,
                pointer: None,
            };
            observe(probe, Duration::from_millis(200), &me(), &names, witnesses, &out, |_| {}).await;
        });
        Stage { desired, belief: believed, report, rows, disturb, looks }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wish_follows_what_is_seen_and_heard() {
        let mut stage = start(&[Some(Role::Master), Some(Role::Master), None], true);
        stage.belief.wait_for(|belief| belief.role.is_some()).await.unwrap();
        assert_eq!(*stage.desired.borrow(), Desired::Undecided, "a master waits for the sentinels");
        let named = Named {
            id: None,
            address: ("10.0.0.7".into(), 6379),
            run_id: None,
            epoch: 4,
            failover: None,
            known: 1,
            quorum: 1,
            others: Default::default(),
        };
        let answer = Answer { asked: Some(Instant::now()), said: Ok(named), listed: true };
        stage.rows.send_modify(|rows| rows.value = Some(Arc::new(serde_json::json!([]))));
        stage.report.send_replace(Report([("s".to_owned(), answer)].into()));
        let wish = stage.desired.wait_for(|wish| *wish != Desired::Undecided).await.unwrap().clone();
        assert_eq!(entry(&wish).meta["epoch"], "4");
        let critical = |wish: &Desired| entry(wish).check.status == Status::Critical;
        let wish = stage.desired.wait_for(critical).await.unwrap().clone();
        assert_eq!(entry(&wish).tags, ["v7", "master"], "a failed look keeps the tags");
    }

    /// A replica whose link is as told.
    struct Replica(watch::Receiver<LinkState>);

    impl Probe for Replica {
        async fn look(&mut self) -> Result<Look, ProbeError> {
            let life = Life { run_id: Some("abc".into()), connection: 1 };
            let replication = Replication { link: Some(*self.0.borrow()), ..Replication::default() };
            Ok(Look { role: Role::Replica, word: "slave".into(), epoch: None, life, replication })
        }

        async fn disturbed(&mut self) {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_is_cut_off_warns_when_a_master_is_there() {
        let (link, told) = watch::channel(LinkState::Up);
        let mut stage = start_with(Replica(told), false, (watch::channel(()).0, Arc::default()));
        let is = |link: &'static str, status: Status| move |wish: &Desired| matches!(wish, Desired::Present(entry, _) if entry.meta["link"] == link && entry.check.status == status);
        stage.desired.wait_for(is("up", Status::Passing)).await.unwrap();
        link.send_replace(LinkState::Down);
        stage.desired.wait_for(is("down", Status::Passing)).await.unwrap();
        sleep(10 * me().ttl).await;
        assert!(is("down", Status::Passing)(&stage.desired.borrow()), "nobody is better to read from");

        let row = serde_json::json!({"Node": "n", "ID": "redis-1", "Status": "passing", "ServiceMeta": {"role": "primary"}});
        let value = Some(Arc::new(serde_json::json!([row])));
        stage.rows.send_replace(Watched { value, ..Watched::default() });
        let since = Instant::now();
        let warned = stage.desired.wait_for(is("down", Status::Warning));
        timeout(2 * me().ttl, warned).await.unwrap().unwrap();
        assert!((me().ttl..me().ttl + Duration::from_secs(1)).contains(&since.elapsed()));
        link.send_replace(LinkState::Up);
        stage.desired.wait_for(is("up", Status::Passing)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_disturbance_is_looked_at_at_once_but_not_without_end() {
        let stage = start(&[Some(Role::Replica)], false);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(stage.looks.load(Ordering::Relaxed), 1);
        for _ in 0..5 {
            stage.disturb.send_replace(());
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(stage.looks.load(Ordering::Relaxed), 2, "once at once");
        sleep(Duration::from_millis(200)).await;
        assert_eq!(stage.looks.load(Ordering::Relaxed), 4, "then with the next tick");
    }
}
