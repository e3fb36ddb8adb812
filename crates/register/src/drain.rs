//! Out of service on order: the check says "draining" and stays so until the order is taken back or the program ends.
//!
//! A master that is to hand over does so first, so that its writes wait for the next master instead of being refused
//! until there is one; only then it is drained. A hand-over that is refused leaves everything as it was.

pub mod hook;

use crate::{
    beat::Beats,
    plan::{Desired, Known},
    reconcile::Actual,
    role::{Belief, Standing},
};
use consul::{Instance, Status, Watched, wire};
use daemon::admin::{Reply, Taker};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::watch;

/// What was ordered of all services of this program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Counts the orders.
    pub number: u64,
    /// What.
    pub what: What,
}

/// What may be ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum What {
    /// To be in service.
    #[default]
    Serve,
    /// To be out of it; who is master hands over first, within this time.
    Drain(Option<Duration>),
}

/// How far one service is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// The order that this is about.
    pub order: u64,
    /// How far.
    pub stage: Stage,
}

/// How far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// In service.
    #[default]
    Serving,
    /// Still in service, while the role is handed over.
    HandingOver,
    /// Still in service: it could not be handed over, for this reason.
    Refused(String),
    /// Out of service; not everybody sees it yet.
    Draining,
    /// Out of service, and the catalog shows it.
    Drained,
}

impl Stage {
    fn word(&self) -> &'static str {
        match self {
            Stage::Serving => "serving",
            Stage::HandingOver => "handing over",
            Stage::Refused(_) => "refused",
            Stage::Draining => "draining",
            Stage::Drained => "drained",
        }
    }
}

impl Drain {
    /// For the status page.
    #[must_use]
    pub fn show(&self) -> Value {
        let why = if let Stage::Refused(why) = &self.stage { Some(why) } else { None };
        json!({"order": self.order, "state": self.stage.word(), "why": why})
    }

    /// What Consul should say, given what it should say of an instance in service.
    #[must_use]
    pub fn overrule(&self, wish: &Desired) -> Desired {
        match (wish, &self.stage) {
            (Desired::Present(entry, _), Stage::Draining | Stage::Drained) => {
                let mut entry = entry.clone();
                entry.check.status = Status::Critical;
                Desired::Present(entry, "draining".into())
            }
            _ => wish.clone(),
        }
    }
}

/// Passes the wish on as the drain lets it, until the wish is [`Desired::Absent`].
pub async fn pass_on(
    mut wish: watch::Receiver<Desired>,
    mut drain: watch::Receiver<Drain>,
    out: &watch::Sender<Desired>,
) {
    loop {
        let want = drain.borrow_and_update().overrule(&wish.borrow_and_update());
        let last = want == Desired::Absent;
        out.send_if_modified(|known| {
            let news = *known != want;
            *known = want;
            news
        });
        if last {
            return;
        }
        tokio::select! {
            Ok(()) = wish.changed() => {}
            Ok(()) = drain.changed() => {}
            else => return,
        }
    }
}

/// What tells whether everybody sees that the service is drained.
#[derive(Clone, Debug)]
pub struct Views {
    /// What is believed.
    pub belief: watch::Receiver<Belief>,
    /// What Consul should say.
    pub desired: watch::Receiver<Desired>,
    /// The entry at the agent.
    pub actual: watch::Receiver<Actual>,
    /// Heartbeats.
    pub beats: watch::Receiver<Beats>,
    /// The service's rows in the catalog.
    pub catalog: watch::Receiver<Watched>,
}

/// Carries out orders for the instance `id`, without end.
pub async fn obey<H: Future<Output = Result<(), String>>>(
    id: &str,
    mut orders: watch::Receiver<Order>,
    mut views: Views,
    hand_over: impl Fn(Duration) -> H,
    drain: &watch::Sender<Drain>,
) {
    loop {
        let Order { number, what } = *orders.borrow_and_update();
        let at = |stage| drop(drain.send_replace(Drain { order: number, stage }));
        let (limit, master) = match what {
            What::Serve => (None, false),
            What::Drain(limit) => (limit, views.belief.borrow().standing == Standing::Master),
        };
        let mut refused = None;
        let handed_over = limit.filter(|_| master);
        if let Some(limit) = handed_over {
            tracing::info!(id, "handing over the role, to be drained");
            at(Stage::HandingOver);
            refused = hand_over(limit).await.err();
        }
        match (what, refused) {
            (_, Some(why)) => {
                tracing::warn!(id, why, "the role was not handed over; staying in service");
                at(Stage::Refused(why));
            }
            (What::Serve, None) => at(Stage::Serving),
            (What::Drain(_), None) => {
                tracing::info!(id, "draining");
                at(Stage::Draining);
                tokio::select! {
                    () = views.drained(id, handed_over.is_some()) => {
                        tracing::info!(id, "drained: the catalog shows it");
                        at(Stage::Drained);
                    }
                    Ok(()) = orders.changed() => continue,
                }
            }
        }
        if orders.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Views {
    async fn drained(&mut self, id: &str, handed_over: bool) {
        while !self.are_out(id, handed_over) {
            tokio::select! {
                Ok(()) = self.desired.changed() => {}
                Ok(()) = self.actual.changed() => {}
                Ok(()) = self.beats.changed() => {}
                Ok(()) = self.catalog.changed() => {}
                else => std::future::pending().await,
            }
        }
    }

    fn are_out(&self, id: &str, handed_over: bool) -> bool {
        let told = match &*self.desired.borrow() {
            Desired::Present(entry, _) if entry.check.status != Status::Critical => false,
            Desired::Present(..) => {
                self.beats.borrow().said == Some(Status::Critical)
                    || self.actual.borrow().known == Known::Absent
            }
            Desired::Undecided | Desired::Absent => true,
        };
        let Some(rows) = self.catalog.borrow().value.as_deref().map(wire::instances) else { return false };
        let serves = |row: &Instance| ["passing", "warning"].contains(&row.status.as_str());
        let seen = !rows.iter().any(|row| row.id == id && serves(row));
        // Writes flow again when others see the next master.
        let next = rows.iter().any(|row| row.id != id && row.status == "passing" && row.claims_master());
        told && seen && (next || !handed_over)
    }
}

/// Who takes the orders `POST /drain` (body: empty, or `hand-over DURATION`) and `POST /undrain`.
#[must_use]
pub fn takers(orders: watch::Sender<Order>) -> BTreeMap<&'static str, Taker> {
    let orders = Arc::new(orders);
    let drain = Arc::clone(&orders);
    let give = |orders: &watch::Sender<Order>, what| {
        orders.send_modify(|order| *order = Order { number: order.number + 1, what });
        Reply::Taken(json!({"order": orders.borrow().number}).to_string())
    };
    let draining: Taker = Arc::new(move |order| match limit(&order.text) {
        Ok(limit) => give(&drain, What::Drain(limit)),
        Err(why) => Reply::Wrong(why),
    });
    let serving: Taker = Arc::new(move |_| give(&orders, What::Serve));
    [("drain", draining), ("undrain", serving)].into()
}

fn limit(text: &str) -> Result<Option<Duration>, String> {
    match text.trim().split_once(' ') {
        None if text.trim().is_empty() => Ok(None),
        Some(("hand-over", limit)) => config::parse_duration(limit.trim()).map(Some),
        _ => Err(format!("expected nothing or \"hand-over 15s\", found {text:?}")),
    }
}

#[cfg(test)]
mod tests;
