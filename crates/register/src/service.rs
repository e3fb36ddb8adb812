//! One service from its first look to its verified end: its rooms, and the channels between them.

use crate::{
    agent::{ConsulAgent, Looked},
    beat::{Beats, keep_beating},
    config::{AddressConfig, ProbeConfig, ServiceConfig},
    drain::{self, Drain, Order, Stage, Views},
    drift::{Drift, Sync},
    failover,
    history::History,
    identity,
    leaving::{LeaveError, leave},
    observe::{Glance, Outlook, Witnesses, observe},
    plan::{Desired, Identity, Known},
    pointer,
    probe::{
        any::{AnyProbe, Around},
        link::Address,
        push::Told,
        redis::Listener,
    },
    quality::Quality,
    readback::read_back,
    reconcile::{Actual, keep_entry},
    recount::{Count, recount},
    role::{Belief, Names, STALL},
    sentinel::{Report, aliases::Aliases, ask::ask_all, hello::Hellos},
    several::Answering,
    status::Board,
    superseded::clear,
};
use consul::{Client, External, Query, Watched, external::police, query::Scope};
use daemon::{
    ready::{Awaited, Ready},
    shutdown::Leaving,
};
use prometheus_client::metrics::histogram::Histogram;
use std::{collections::BTreeSet, net::IpAddr, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// How often this machine's addresses are read.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One service, ready to run.
#[derive(Debug)]
pub struct Service {
    config: ServiceConfig,
    client: Client,
    /// Connections of the heartbeats alone.
    beating: Client,
    /// Where there is no agent.
    external: Option<External>,
    answering: watch::Receiver<Answering>,
    address: watch::Sender<Option<String>>,
    /// What somebody told of its role.
    told: watch::Sender<Told>,
    aliases: Aliases,
    outlook: Outlook,
    /// What Consul should say, after orders to drain.
    desired: watch::Sender<Desired>,
    drain: watch::Sender<Drain>,
    orders: watch::Receiver<Order>,
    report: watch::Sender<Report>,
    count: watch::Sender<Count>,
    actual: watch::Sender<Actual>,
    beats: watch::Sender<Beats>,
    drift: watch::Sender<Drift>,
    seconds: Histogram,
    awaited: Option<[Awaited; 2]>,
    pointer: Option<Pointing>,
}

/// The epoch pointer's key, what is heard of it, and why it cannot be written.
#[derive(Debug)]
struct Pointing {
    key: String,
    heard: watch::Receiver<Watched>,
    trouble: watch::Sender<Option<String>>,
}

impl Service {
    /// Prepares one service; the board shows it from now on.
    pub fn new(
        config: ServiceConfig,
        (client, beating): (Client, Client),
        (answering, orders): (watch::Receiver<Answering>, watch::Receiver<Order>),
        seconds: Histogram,
        ready: &Ready,
    ) -> (Service, Board) {
        let sentinels = config.probe.sentinel();
        let asked = sentinels.iter().flat_map(|sentinel| &sentinel.sentinels);
        let report = Report::new(asked.map(|link| link.address.to_string()));
        let (address, address_board) = watch::channel(config.address.given().cloned());
        let (belief, belief_board) = watch::channel(Belief::new(sentinels.is_some()));
        let (desired, desired_board) = watch::channel(Desired::Undecided);
        let (drain, drain_board) = watch::channel(Drain::default());
        let (glance, glance_board) = watch::channel(Glance::default());
        let (quality, quality_board) = watch::channel(Quality::default());
        let (history, history_board) = watch::channel(History::default());
        let (report, report_board) = watch::channel(report);
        let (actual, actual_board) = watch::channel(Actual::default());
        let (beats, beats_board) = watch::channel(Beats::default());
        let (drift, drift_board) = watch::channel(Drift::default());
        let pointer = config.lock.as_ref().map(|prefix| {
            let key = pointer::key(prefix, &config.name);
            let query = Query::Key { key: key.clone(), scope: Scope::default() };
            Pointing { key, heard: consul::watch(client.clone(), query), trouble: watch::channel(None).0 }
        });
        let board = Board {
            name: config.name.clone(),
            id: config.id.clone(),
            address: address_board,
            port: config.port,
            words: config.words.clone(),
            sentinel: sentinels.map(|sentinel| (sentinel.master.clone(), sentinel.quorum)),
            pace: config.probe.interval + config.probe.timeout,
            pointer: pointer.as_ref().map(|p| (p.key.clone(), p.heard.clone(), p.trouble.subscribe())),
            belief: belief_board,
            glance: glance_board,
            quality: quality_board,
            history: history_board,
            report: report_board,
            desired: desired_board,
            drain: drain_board,
            actual: actual_board,
            beats: beats_board,
            drift: drift_board,
            answering: answering.clone(),
            consul: client.settings().address.clone(),
        };
        let awaited = [
            ready.await_for(format!(
                "first answer of {} to the probe of {}",
                config.probe.target(),
                config.id
            )),
            ready.await_for(format!("registration of {} at the Consul agent", config.id)),
        ];
        let wish = watch::channel(Desired::Undecided).0;
        let outlook =
            Outlook { belief, desired: wish, glance, quality, history, looked: watch::channel(None).0 };
        let node = client.settings().external.clone();
        let who = (config.name.as_str(), config.id.as_str());
        let external = node.map(|node| External::new(client.clone(), &node, who, config.ttl));
        let service = Service {
            config,
            client,
            beating,
            external,
            answering,
            address,
            told: watch::channel(None).0,
            aliases: Aliases::default(),
            outlook,
            desired,
            drain,
            orders,
            report,
            count: watch::channel(Count::default()).0,
            actual,
            beats,
            drift,
            seconds,
            awaited: Some(awaited),
            pointer,
        };
        (service, board)
    }

    /// Where its role may be told.
    #[must_use]
    pub fn told(&self) -> watch::Sender<Told> {
        self.told.clone()
    }

    /// Keeps the service in Consul until it is time to leave, then takes it away within `limit`.
    pub async fn run(mut self, mut leaving: Leaving, limit: Duration) -> Result<(), LeaveError> {
        let mut me = tokio::select! {
            me = self.identity() => me,
            () = leaving.signaled() => self.named(""),
        };
        let who = me.clone();
        let awaited = self.awaited.take();
        let told = watch::channel(None::<Instant>).0;
        let catalog = consul::watch(self.client.clone(), Query::health(&me.service, false));
        tokio::select! {
            () = self.stay(&mut me, catalog.clone(), &mut leaving, &told) => {}
            () = self.watch(&who, catalog.clone()) => {}
            () = self.obey(&who.id, catalog) => {}
            () = self.readiness(awaited) => {}
            () = overdue(&told, limit / 2) => tracing::warn!(id = who.id, "a request to Consul does not end; leaving without it"),
        }
        let spent = told.borrow().map_or(Duration::ZERO, |told| told.elapsed());
        let agent = ConsulAgent::new(self.beating.clone(), &me.service).at(self.external.as_ref());
        leave(&agent, &me, limit.saturating_sub(spent), self.beating.backoff()).await?;
        tracing::info!(id = me.id, "gone from Consul");
        Ok(())
    }

    /// Keeps the entry until it is time to leave, wherever the instance moves meanwhile.
    async fn stay(
        &self,
        me: &mut Identity,
        catalog: watch::Receiver<Watched>,
        leaving: &mut Leaving,
        told: &watch::Sender<Option<Instant>>,
    ) {
        while let Some(ip) = self.keep(me, catalog.clone(), leaving, told).await {
            tracing::info!(id = me.id, was = me.address, address = %ip, "moved: registering the new address");
            me.address = ip.to_string();
            self.address.send_replace(Some(me.address.clone()));
            self.outlook.desired.send_replace(Desired::Undecided);
            self.desired.send_replace(Desired::Undecided);
        }
    }

    /// Looks and writes until the address changes, which it returns, or it is time to leave. The last request is done
    /// then.
    async fn keep(
        &self,
        me: &Identity,
        catalog: watch::Receiver<Watched>,
        leaving: &mut Leaving,
        told: &watch::Sender<Option<Instant>>,
    ) -> Option<IpAddr> {
        let looked = self.looked();
        let entry_agent = ConsulAgent::new(self.client.clone(), &me.service)
            .at(self.external.as_ref())
            .only_after(looked.clone())
            .with_one(self.answering.clone());
        let beat_agent =
            ConsulAgent::new(self.beating.clone(), &me.service).at(self.external.as_ref()).only_after(looked);
        let wish = || self.desired.subscribe();
        let (beats, actual) = (self.beats.subscribe(), self.actual.subscribe());
        let (hellos, heard) = watch::channel(Hellos::default());
        let sentinel = self.config.probe.sentinel();
        let listener = sentinel.map(|sentinel| Listener {
            master: sentinel.master.clone(),
            aliases: self.aliases.of(self.names(me)),
            hellos,
        });
        let around = Around { id: &self.config.id, listener, told: self.told.subscribe() };
        let probe = AnyProbe::new(&self.config.probe, around);
        let pointer = self.pointer.as_ref().map(|pointer| pointer.heard.clone());
        let witnesses = Witnesses {
            report: self.report.subscribe(),
            hellos: heard,
            catalog,
            count: self.count.subscribe(),
            pointer,
        };
        let names = self.names(me);
        let timed = |took: Duration| self.seconds.observe(took.as_secs_f64());
        let looking = async {
            let moved = tokio::select! {
                () = observe(probe, self.config.probe.interval, me, &names, witnesses, &self.outlook, timed) => None,
                ip = self.moved(me) => Some(ip),
                () = self.until_told(leaving, told) => None,
            };
            self.outlook.desired.send_replace(Desired::Absent);
            moved
        };
        let (moved, ..) = tokio::join!(
            looking,
            keep_entry(
                &entry_agent,
                &me.id,
                wish(),
                self.client.tokens(),
                beats,
                &self.actual,
                self.client.backoff()
            ),
            drain::pass_on(self.outlook.desired.subscribe(), self.drain.subscribe(), &self.desired),
            keep_beating(&beat_agent, me.beat_every(), wish(), actual, &self.beats, self.beating.backoff()),
        );
        moved
    }

    /// Ends when this machine has another address to tell; one that is gone without another is kept.
    async fn moved(&self, me: &Identity) -> IpAddr {
        let AddressConfig::Found(wanted) = &self.config.address else { return std::future::pending().await };
        if wanted.is_anything() {
            return std::future::pending().await;
        }
        let (present, mut told) = (me.address.parse().ok(), false);
        loop {
            sleep(LOOK_AGAIN).await;
            match identity::find(wanted, "", present).await {
                Ok(ip) if Some(ip) != present => return ip,
                Ok(_) => told = false,
                Err(why) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(
                            id = me.id,
                            address = me.address,
                            why,
                            "the address is gone; keeping it until there is another"
                        );
                    }
                }
            }
        }
    }

    /// Ends when it is time to leave; a switch in progress is not stopped half-way.
    async fn until_told(&self, leaving: &mut Leaving, told: &watch::Sender<Option<Instant>>) {
        leaving.signaled().await;
        told.send_replace(Some(Instant::now()));
        let mut drain = self.drain.subscribe();
        let _ended = drain.wait_for(|drain| drain.stage != Stage::HandingOver).await;
    }

    /// Carries out orders to drain, without end.
    async fn obey(&self, id: &str, catalog: watch::Receiver<Watched>) {
        let views = Views {
            belief: self.outlook.belief.subscribe(),
            desired: self.desired.subscribe(),
            actual: self.actual.subscribe(),
            beats: self.beats.subscribe(),
            catalog,
        };
        let hand_over = |limit| async move {
            let address = self.address.borrow().clone().unwrap_or_default();
            let aliases = self.aliases.of(self.names(&self.named(&address)));
            let switched = failover::hand_over(&self.config, &aliases, limit).await;
            switched.map(drop).map_err(|error| error.to_string())
        };
        drain::obey(id, self.orders.clone(), views, hand_over, &self.drain).await;
    }

    /// Listens to the Sentinels and to the catalog, without end.
    async fn watch(&self, me: &Identity, catalog: watch::Receiver<Watched>) {
        let check = me.check_id();
        let (actual, beats) = (self.actual.subscribe(), self.beats.subscribe());
        let asking = async {
            if let Some(sentinel) = self.config.probe.sentinel().cloned() {
                let belief = self.outlook.belief.subscribe();
                let (sentinels, aliases) = (sentinel.sentinels, self.aliases.of(self.names(me)));
                ask_all(sentinels, sentinel.master, aliases, belief, &self.report).await;
            }
        };
        let agent = ConsulAgent::new(self.client.clone(), &me.service);
        let who = (me.service.as_str(), me.id.as_str());
        let reading = read_back(&agent, who, &check, catalog.clone(), actual, beats, &self.drift);
        let clearing = clear(&self.client, me, catalog.clone(), self.outlook.belief.subscribe());
        let policing = async {
            if self.external.is_some() {
                police(&self.client, &me.service, catalog, me.deregister_critical_after).await;
            }
        };
        let pointing = async {
            if let Some(Pointing { key, heard, trouble }) = &self.pointer {
                let belief = self.outlook.belief.subscribe();
                pointer::keep(&self.client, key, me, belief, heard.clone(), trouble).await;
            }
        };
        let asking_catalog = || self.client.instances(&me.service);
        let counting = recount(asking_catalog, self.outlook.belief.subscribe(), &self.count);
        tokio::join!(asking, counting, clearing, reading, policing, pointing, self.hold(&me.id));
        std::future::pending().await
    }

    /// Tells under which token the entry that others see was written, so that older ones may be given back.
    async fn hold(&self, id: &str) {
        let (mut actual, mut drift) = (self.actual.subscribe(), self.drift.subscribe());
        self.client.holds(id, 0);
        loop {
            let seen = drift.borrow_and_update().state == Sync::InSync;
            let token = actual.borrow_and_update().token;
            if let Some(token) = token.filter(|_| seen) {
                self.client.holds(id, token);
            }
            tokio::select! {
                Ok(()) = actual.changed() => {}
                Ok(()) = drift.changed() => {}
                else => return,
            }
        }
    }

    /// Drops the guards one after the other, then never ends.
    async fn readiness(&self, awaited: Option<[Awaited; 2]>) {
        let (looked, held) = awaited.map(|[looked, held]| (looked, held)).unzip();
        let (mut belief, mut actual) = (self.outlook.belief.subscribe(), self.actual.subscribe());
        let looks = async {
            let _seen = belief.wait_for(|belief| belief.role.is_some()).await;
            drop(looked);
        };
        let holds = async {
            let _held = actual.wait_for(|actual| matches!(actual.known, Known::Held(..))).await;
            drop(held);
        };
        tokio::join!(looks, holds);
        std::future::pending().await
    }

    async fn identity(&self) -> Identity {
        let wanted = match &self.config.address {
            AddressConfig::Given(address) => return self.named(address),
            AddressConfig::Found(wanted) => wanted,
        };
        let mut backoff = self.client.backoff();
        let mut told = None;
        loop {
            match identity::find(wanted, &self.client.settings().address, None).await {
                Ok(ip) => return self.located(ip, wanted.is_anything()),
                Err(why) if told.as_ref() != Some(&why) => {
                    tracing::warn!(id = self.config.id, why, "no address to register yet; looking again");
                    told = Some(why);
                }
                Err(_) => {}
            }
            sleep(backoff.pause()).await;
        }
    }

    /// A look may take its time limit several times over, for the connection, for TLS and for the question.
    fn looked(&self) -> Looked {
        let ProbeConfig { interval, timeout, .. } = &self.config.probe;
        Looked { at: self.outlook.looked.subscribe(), limit: STALL + *interval + *timeout * 3 }
    }

    fn located(&self, ip: IpAddr, by_route: bool) -> Identity {
        let id = &self.config.id;
        if ip.is_loopback() && by_route {
            tracing::warn!(
                id,
                "Consul is reached over loopback, so {ip} is registered, which only this machine can reach; set address or address_interface"
            );
        } else {
            tracing::info!(id, address = %ip, "the address that clients are told");
        }
        let address = ip.to_string();
        self.address.send_replace(Some(address.clone()));
        self.named(&address)
    }

    fn named(&self, address: &str) -> Identity {
        let config = &self.config;
        Identity {
            service: config.name.clone(),
            id: config.id.clone(),
            address: address.to_owned(),
            port: config.port,
            tags: config.tags.clone(),
            meta: config.meta.clone(),
            words: config.words.clone(),
            many: config.many,
            ttl: config.ttl,
            max_lag: config.probe.redis().and_then(|redis| redis.max_lag),
            deregister_critical_after: config.deregister_critical_after,
        }
    }

    /// Sentinel means this instance by the address that clients use, or by the one that is probed.
    fn names(&self, me: &Identity) -> Names {
        let mut names = BTreeSet::from([(me.address.clone(), me.port)]);
        // Every node is 127.0.0.1 to itself: that tells nothing, unless it is what clients are told too.
        if let Some(Address::Tcp(host, port)) = self.config.probe.address()
            && !host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        {
            names.insert((host, port));
        }
        Names(names)
    }
}

/// Ends `patience` after the program was told to leave.
async fn overdue(told: &watch::Sender<Option<Instant>>, patience: Duration) {
    let mut told = told.subscribe();
    let heard = told.wait_for(Option::is_some).await.is_ok();
    if heard {
        sleep(patience).await;
    } else {
        std::future::pending().await
    }
}
