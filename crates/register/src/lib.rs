//! Keeps Consul's view of one instance true to what the instance is: its address and its role.
//!
//! A value travels one way through these rooms:
//!
//! | room | |
//! |---|---|
//! | [`probe`] | looks at the instance: asks a Redis for its `ROLE`, or another system in its way, |
//! | [`sentinel`] | asks whom the Sentinels name, and in which epoch; |
//! | [`pointer`] | keeps the last epoch and its holder in Consul's KV; |
//! | [`recount`] | asks the catalog on purpose, where a crown is in doubt; |
//! | [`role`] | believes: sightings become a role and an epoch; |
//! | [`plan`] | wishes: a belief becomes what Consul should say, and what to do about what it says; |
//! | [`drain`] | lets the wish pass, or takes it out of service on order; |
//! | [`observe`] | is the loop around these; |
//! | [`reconcile`] | makes the agent hold the wanted entry, |
//! | [`beat`] | tells its check how the instance is, |
//! | [`readback`] | and holds the catalog against the agent ([`drift`]), and finds out why they differ ([`diagnosis`]); |
//! | [`superseded`] | takes away what a lost node left behind; |
//! | [`leaving`] | takes the entry away at the end. |
//!
//! [`failover`] stands beside this way: an order by hand, carried out once. [`doctor`] tries what all of it needs.
//!
//! [`service`] puts them together for one `service` block; [`config`](mod@config), [`identity`], [`address`], [`words`], [`pulse`], [`complaint`], [`history`], [`status`],
//! [`page`] and [`metrics`] are what the name says. [`agent`] is the door to Consul, [`several`] refuses one
//! behind which several agents answer.

pub mod address;
pub mod agent;
pub mod beat;
pub mod complaint;
pub mod config;
pub mod diagnosis;
pub mod doctor;
pub mod drain;
pub mod drift;
pub mod failover;
pub mod history;
pub mod identity;
pub mod leaving;
#[cfg(test)]
mod memory;
pub mod metrics;
pub mod observe;
pub mod page;
pub mod plan;
pub mod pointer;
pub mod probe;
pub mod pulse;
pub mod quality;
pub mod readback;
pub mod reconcile;
pub mod recount;
pub mod role;
pub mod sentinel;
pub mod service;
pub mod several;
pub mod status;
pub mod superseded;
pub mod words;

pub use crate::config::{RegisterConfig, RegisterFlags};

use consul::{Client, ClientError, Session};
use daemon::{
    admin::{self, AdminError, Orders, Pages},
    clock,
    exit::Exit,
    notify::{Notify, Vitals},
    ready::Ready,
    shutdown::{Leaving, channel},
};
use drain::Order;
use metrics::ProbeSeconds;
use probe::push;
use pulse::Pulse;
use service::Service;
use several::Answering;
use status::Board;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::Instant};

/// Why the program could not begin.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot prepare the connection to Consul: {0}")]
    Consul(#[from] ClientError),
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// What the admin pages are given to end, after the services.
const PAGES_LIMIT: Duration = Duration::from_secs(1);
/// What giving back the tokens of a login may take: two of them, of 2 s each.
const LOG_OUT_LIMIT: Duration = Duration::from_secs(4);

/// How long [`run`] may take from the signal to its end; give this to [`daemon::run()`].
#[must_use]
pub fn leave_limit(config: &RegisterConfig) -> Duration {
    config.leave_timeout + LOG_OUT_LIMIT + PAGES_LIMIT * 2
}

/// Keeps every configured service in Consul until it is time to leave.
///
/// [`Exit::Done`] when all of them were seen to be gone, [`Exit::Unavailable`] when one was not, and
/// [`Exit::Failed`] when the program could not begin.
pub async fn run(config: RegisterConfig, systemd: Option<Notify>, leaving: Leaving) -> Exit {
    // TLS to Redis takes the process' default; another crate may have set the same one already.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    match start(config, systemd, leaving).await {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!(%error, "cannot begin");
            Exit::Failed
        }
    }
}

async fn start(
    config: RegisterConfig,
    systemd: Option<Notify>,
    leaving: Leaving,
) -> Result<Exit, StartError> {
    let (ready, seconds) = (Ready::default(), ProbeSeconds::default());
    let client = Client::new(&config.consul)?;
    let session = Session::start(&client);
    let (order, orders) = watch::channel(Order::default());
    let answering = watch::Sender::new(Answering::default());
    let mut services = vec![];
    let mut boards = vec![];
    let mut told = BTreeMap::new();
    for service in config.services {
        let (id, is_told) = (service.id.clone(), service.probe.is_told());
        let histogram = seconds.of(&service.name, &service.id);
        let clients = (client.clone(), client.separate()?);
        let heard = (answering.subscribe(), orders.clone());
        let (service, board) = Service::new(service, clients, heard, histogram, &ready);
        told.extend(is_told.then(|| (id, service.told())));
        services.push(service);
        boards.push(board);
    }
    let boards: Arc<[Board]> = boards.into();
    // The pages outlive the services, so that they show how leaving goes.
    let (close_pages, pages_leaving) = channel();
    if let Some(address) = config.admin.address {
        let bound = admin::bind(address).await?;
        tracing::info!(address = %bound.address(), "admin pages");
        let mut takers = drain::takers(order);
        takers.insert("role", push::taker(told));
        let orders = Orders { token_file: config.admin.token_file, takers };
        let pages = pages(&config.consul.address, ready.clone(), Arc::clone(&boards), &seconds, orders);
        tokio::spawn(bound.serve(pages, pages_leaving));
    } else {
        drop(pages_leaving);
    }
    tokio::spawn(async move { several::ask(&client, &answering).await });
    if let Some(systemd) = systemd {
        tokio::spawn(systemd.keep(vitals(ready, boards), leaving.clone()));
    }
    let exit = keep(services, leaving, config.leave_timeout).await;
    if exit == Exit::Done {
        // An agent that still has to bring news of ours to the servers would need the token for it.
        session.end().await;
    }
    close_pages.drain(PAGES_LIMIT).await;
    Ok(exit)
}

async fn keep(services: Vec<Service>, leaving: Leaving, limit: Duration) -> Exit {
    let mut running: JoinSet<_> =
        services.into_iter().map(|service| service.run(leaving.clone(), limit)).collect();
    drop(leaving);
    let mut exit = Exit::Done;
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "could not leave cleanly");
                exit = Exit::Unavailable;
            }
            Err(_) => exit = Exit::Aborted,
        }
    }
    exit
}

/// What systemd is told: it is alive while every service is looked at.
fn vitals(ready: Ready, boards: Arc<[Board]>) -> Vitals<impl Fn() -> String, impl FnMut(Instant) -> bool> {
    let (shown, mut pulse) = (Arc::clone(&boards), Pulse::default());
    let summary = move || shown.iter().map(Board::summary).collect::<Vec<_>>().join("; ");
    let alive = move |now| pulse.beats(boards.iter().map(Board::looks), now);
    Vitals { ready, summary, alive }
}

fn pages(consul: &str, ready: Ready, boards: Arc<[Board]>, seconds: &ProbeSeconds, orders: Orders) -> Pages {
    let registry = metrics::registry(Arc::clone(&boards), seconds);
    let (since, consul, awaited) = (clock::rfc3339(clock::unix_millis()), consul.to_owned(), ready.clone());
    Pages {
        ready,
        metrics: Arc::new(move || daemon::metrics::text(&registry)),
        status: Arc::new(move || status::page(&since, &consul, &awaited.awaited(), &boards)),
        view: page::page,
        orders,
    }
}
