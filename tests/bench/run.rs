//! One fault on the whole path: it happens, is repaired, and what was seen meanwhile is summed up.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use tests::{
    Fault, LIMIT, Outcome, Stack, Tally, Trouble, Watcher, Writer, redis::Role, stack::SERVICE, unix_ms,
    until, watch_masters, watch_role, when,
};
use tokio::time::Instant;

use crate::timeline::Adverts;

/// What watches the path all the time.
pub struct Eyes {
    roles: Vec<(u16, Watcher<Role>)>,
    masters: Watcher<BTreeSet<u16>>,
    writer: Writer,
}

/// What one fault cost. Times are milliseconds after the fault.
#[derive(Debug, Clone)]
pub struct Run {
    /// What was done.
    pub fault: Fault,
    /// When, in Unix milliseconds, to find it in logs.
    pub at: f64,
    /// The port of the master before, and after.
    pub masters: (u16, u16),
    /// The master at the end: another one when Sentinel failed over once more.
    pub survivor: u16,
    /// `ROLE` of the new master said so for the first time, or up to 2 ms later.
    pub promoted: f64,
    /// `ROLE` of the old master said replica.
    pub demoted: Option<f64>,
    /// Who was advertised when.
    pub adverts: Adverts,
    /// The new master acknowledged its first write.
    pub written: f64,
    /// What became of the writes between the fault and the end of the repair.
    pub tally: Tally,
    /// Writes acknowledged by the old master after the new one's first.
    pub stale: usize,
    /// Writes acknowledged (from 1 s before the fault on) and gone.
    pub lost: usize,
    /// What render did meanwhile, as it tells in its `/status`.
    pub render: Value,
}

impl Eyes {
    /// Opens them.
    pub fn open(stack: &Stack) -> Outcome<Eyes> {
        let ports = stack.redis.iter().map(|redis| redis.port());
        Ok(Eyes {
            roles: ports.map(|port| (port, watch_role(port))).collect(),
            masters: watch_masters(stack.agent.address(), SERVICE)?,
            writer: Writer::start(stack.ports.write.number()),
        })
    }

    /// Lets one fault happen, repairs it and waits until writes flow and all agree.
    pub async fn measure(&self, stack: &mut Stack, fault: Fault) -> Outcome<Run> {
        let old = until("one master", LIMIT, async || self.master(None)).await?;
        stack.steady(old).await?;
        let from = Instant::now();
        fault.happen(stack, old).await?;
        let new = until("a new master", LIMIT, async || self.master(Some(old))).await?;
        until("Consul to show the new master", LIMIT, async || {
            let shown = self.masters.seen.last();
            when(shown.as_ref().is_some_and(|ports| ports.contains(&new)), || format!("{shown:?}"))
        })
        .await?;
        let written = until("its first write", LIMIT, async || {
            let ack = self.writer.first_ack(new, from);
            ack.ok_or_else(|| Trouble::new(format!("{:?}", self.writer.tally(from, Instant::now()))))
        })
        .await?;
        // Some 0.8 s before a majority of the sentinels knows of it, so that the old one meets what misleads it most.
        fault.repair(stack, old)?;
        let survivor = until("one master again", LIMIT, async || self.master(None)).await?;
        stack.calm(survivor, &self.writer).await?;
        let run = self.sum(fault, (old, new, survivor), (from, written, Instant::now())).await?;
        Ok(Run { render: changes(&stack.render.status().await?, run.at), ..run })
    }

    /// The one server that says master, beside one that is about to learn better.
    fn master(&self, beside: Option<u16>) -> Outcome<u16> {
        let others = self.roles.iter().filter(|(port, _)| Some(*port) != beside);
        let mut masters = others.filter(|(_, role)| role.seen.last() == Some(Role::Master));
        match (masters.next(), masters.next()) {
            (Some((port, _)), None) => Ok(*port),
            (None, _) => Err(Trouble::new("no server says master")),
            (Some((one, _)), Some((two, _))) => Err(Trouble::new(format!("{one} and {two} say master"))),
        }
    }

    async fn sum(
        &self,
        fault: Fault,
        (old, new, survivor): (u16, u16, u16),
        (from, written, to): (Instant, Instant, Instant),
    ) -> Outcome<Run> {
        let after = |at: Instant| at.saturating_duration_since(from).as_secs_f64() * 1e3;
        let became = |of: u16, role| {
            let (_, watcher) = self.roles.iter().find(|(port, _)| *port == of)?;
            watcher.seen.first(role, from).map(after)
        };
        let changes = self.masters.seen.course(from).into_iter().map(|(at, who)| (after(at), who)).collect();
        Ok(Run {
            fault,
            at: unix_ms(from),
            masters: (old, new),
            survivor,
            promoted: became(new, Role::Master)
                .ok_or_else(|| Trouble::new(format!("{new} was master already")))?,
            demoted: became(old, Role::Replica),
            adverts: Adverts { changes, end: after(to) },
            written: after(written),
            tally: self.writer.tally(from, to),
            stale: self.writer.tally(written, to).by_server.get(&old).copied().unwrap_or_default(),
            lost: self.writer.lost(from - Duration::from_secs(1), to, survivor).await?.values().sum(),
            render: Value::Null,
        })
    }
}

/// The changes that render heard of since then, its times as milliseconds after it.
fn changes(status: &Value, since: f64) -> Value {
    let history = status["templates"][0]["history"].as_array().cloned().unwrap_or_default();
    let later = history.into_iter().filter(|change| change["heard_ms"].as_f64() >= Some(since));
    later
        .map(|mut change| {
            for (key, value) in change.as_object_mut().into_iter().flatten() {
                if let Some(at) = value.as_f64().filter(|_| key.ends_with("_ms") && key != "own_part_ms") {
                    *value = (at - since).into();
                }
            }
            change
        })
        .collect()
}
