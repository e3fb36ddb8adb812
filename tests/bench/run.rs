//! One fault on the whole path: it happens, is repaired, and what was seen meanwhile is summed up.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use tests::{
    Fault, LIMIT, Outcome, Promotion, Stack, Tally, Trouble, Watcher, Writer, Writers, redis, redis::Role,
    stack::SERVICE, unix_ms, until, watch_masters, watch_role, when,
};
use tokio::time::Instant;

use crate::{closing::Closing, timeline::Adverts};

/// What watches the path all the time.
pub struct Eyes {
    roles: Vec<(u16, Watcher<Role>)>,
    masters: Watcher<BTreeSet<u16>>,
    writers: Writers,
}

/// The moments of a run.
struct Times {
    /// The fault happened.
    from: Instant,
    /// An idle connection to the old master, which was killed, ended.
    closed: Option<Instant>,
    /// The new master was promoted.
    promotion: Promotion,
    /// The new master acknowledged its first write.
    written: Instant,
    /// The old one was brought back.
    repaired: Instant,
    /// All agreed again.
    to: Instant,
}

/// What one writer saw.
#[derive(Debug, Clone)]
pub struct Saw {
    /// What became of the writes between the fault and the end of the repair.
    pub tally: Tally,
    /// Writes acknowledged by the old master after the new one's first.
    pub stale: usize,
    /// Writes acknowledged (from 1 s before the fault on) and gone.
    pub lost: usize,
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
    /// From here on `ROLE` of the new master could say so: its own log, to the millisecond.
    pub promoted: f64,
    /// How long before that it had been made one, and answered nobody while it wrote its configuration.
    pub mute: f64,
    /// What the `register` of the new master did about it.
    pub steps: Steps,
    /// An idle connection to the old master, which was killed, ended: the kernel freed its memory before.
    pub closed: Option<f64>,
    /// `ROLE` of the old master said replica.
    pub demoted: Option<f64>,
    /// Who was advertised when.
    pub adverts: Adverts,
    /// The new master acknowledged its first write.
    pub written: f64,
    /// The writer over one connection.
    pub kept: Saw,
    /// The writer over fresh ones.
    pub fresh: Saw,
    /// How long the old master still acknowledged writes after the new one's first.
    pub both_acknowledge: f64,
    /// How long both called themselves master.
    pub both_say_master: f64,
    /// What render did meanwhile, as it tells in its `/status`.
    pub render: Value,
}

/// What the `register` of the new master did. Times are milliseconds after the fault.
#[derive(Debug, Clone, Copy)]
pub struct Steps {
    /// It held the instance to be the master.
    pub decided: f64,
    /// Its Consul agent had accepted that, and had brought it to a server.
    pub accepted: f64,
}

impl Run {
    /// Whether Sentinel failed over once more: then the numbers tell of both fail-overs.
    pub fn again(&self) -> bool {
        self.survivor != self.masters.1
    }

    /// Writes acknowledged, of both writers.
    pub fn acknowledged(&self) -> usize {
        self.kept.tally.acknowledged + self.fresh.tally.acknowledged
    }

    /// Of them lost.
    pub fn lost(&self) -> usize {
        self.kept.lost + self.fresh.lost
    }

    /// Of them acknowledged by the old master after the new one's first.
    pub fn stale(&self) -> usize {
        self.kept.stale + self.fresh.stale
    }
}

impl Eyes {
    /// Opens them.
    pub fn open(stack: &Stack) -> Outcome<Eyes> {
        let ports = stack.redis.iter().map(|redis| redis.port());
        Ok(Eyes {
            roles: ports.map(|port| (port, watch_role(port))).collect(),
            masters: watch_masters(stack.agent.address(), SERVICE)?,
            writers: Writers::start(stack.ports.write.number()),
        })
    }

    /// Lets one fault happen, repairs it and waits until writes flow and all agree.
    pub async fn measure(&self, stack: &mut Stack, fault: Fault) -> Outcome<Run> {
        let old = self.steady(stack).await?;
        self.empty(old).await?;
        fault.prepare(stack).await?;
        let closing = if fault == Fault::Kill { Some(Closing::watch(old).await?) } else { None };
        let from = Instant::now();
        fault.happen(stack, old).await?;
        let new = until("a new master", LIMIT, async || self.master(Some(old))).await?;
        until("Consul to show the new master", LIMIT, async || {
            let shown = self.masters.seen.last();
            when(shown.as_ref().is_some_and(|ports| ports.contains(&new)), || format!("{shown:?}"))
        })
        .await?;
        let written = until("its first write", LIMIT, async || {
            let tally = || self.writers.kept.tally(from, Instant::now());
            self.writers.first_ack(new, from).ok_or_else(|| Trouble::new(format!("{:?}", tally())))
        })
        .await?;
        // Some 0.8 s before a majority of the sentinels knows of it, so that the old one meets what misleads it most.
        let repaired = Instant::now();
        fault.repair(stack, old)?;
        let steps = Steps::read(stack, new, unix_ms(from)).await?;
        let survivor = until("one master again", LIMIT, async || self.master(None)).await?;
        stack.calm(survivor, &self.writers.kept).await?;
        let promotion = Promotion::read(&stack.redis_at(new)?.part.log(), unix_ms(from));
        let promotion =
            promotion.ok_or_else(|| Trouble::new(format!("the log of {new} tells of no promotion")))?;
        let times = Times {
            from,
            closed: closing.as_ref().and_then(Closing::seen),
            promotion,
            written,
            repaired,
            to: Instant::now(),
        };
        let run = self.sum(fault, (old, new, survivor), (times, steps)).await?;
        Ok(Run { render: changes(&stack.render.status().await?, run.at), ..run })
    }

    /// Waits until nothing is under way, and tells who is master. On a busy machine Sentinel may fail over unasked.
    async fn steady(&self, stack: &Stack) -> Outcome<u16> {
        let mut last = Trouble::new("never looked");
        for _ in 0..3 {
            let master = until("one master", LIMIT, async || self.master(None)).await?;
            match stack.steady(master).await {
                Ok(()) if self.master(None).is_ok_and(|still| still == master) => return Ok(master),
                Ok(()) => last = Trouble::new(format!("{master} is not the master any more")),
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    /// Takes all data away, and waits until a second of writes can be lost again. Each run starts alike, then: the
    /// kernel frees the memory of a killed server before it closes its connections, 20 ms for 130 MB.
    async fn empty(&self, master: u16) -> Outcome {
        redis::ask::<()>(master, ::redis::cmd("FLUSHALL").arg("SYNC")).await?;
        let emptied = Instant::now();
        until("a second of writes", LIMIT, async || {
            let tally = self.writers.kept.tally(emptied, Instant::now());
            when(tally.acknowledged >= 500, || format!("{tally:?}"))
        })
        .await
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
        (times, steps): (Times, Steps),
    ) -> Outcome<Run> {
        let Times { from, closed, promotion, written, repaired, to } = times;
        let after = |at: Instant| at.saturating_duration_since(from).as_secs_f64() * 1e3;
        let promoted = promotion.answers - unix_ms(from);
        let (_, role) = self
            .roles
            .iter()
            .find(|(port, _)| *port == old)
            .ok_or_else(|| Trouble::new(format!("{old} is not watched")))?;
        let demoted = role.seen.first(Role::Replica, from).map(after);
        // One that is dead or stopped says nothing.
        let spoke = if matches!(fault, Fault::Kill | Fault::Pause) { after(repaired) } else { 0.0 };
        let changes = self.masters.seen.course(from).into_iter().map(|(at, who)| (after(at), who)).collect();
        Ok(Run {
            fault,
            at: unix_ms(from),
            masters: (old, new),
            survivor,
            promoted,
            mute: promotion.answers - promotion.ordered,
            steps,
            closed: closed.map(after),
            demoted,
            adverts: Adverts { changes, end: after(to) },
            written: after(written),
            kept: Saw::of(&self.writers.kept, (old, survivor), &times).await?,
            fresh: Saw::of(&self.writers.fresh, (old, survivor), &times).await?,
            both_acknowledge: self
                .writers
                .last_ack(old, written)
                .map_or(0.0, |at| after(at) - after(written)),
            both_say_master: (demoted.unwrap_or(after(to)) - spoke.max(promoted)).max(0.0),
            render: Value::Null,
        })
    }
}

impl Steps {
    /// As its `/status` tells, right after a fail-over that began then (Unix milliseconds).
    async fn read(stack: &Stack, new: u16, since: f64) -> Outcome<Steps> {
        let position = stack.redis.iter().position(|redis| redis.port() == new);
        let register = position.and_then(|position| stack.registers.get(position));
        let status = register.ok_or_else(|| Trouble::new("no register"))?.status().await?;
        let service = &status["services"][0];
        let history = service["history"].as_array().cloned().unwrap_or_default();
        let crowned = history.iter().rfind(|change| change["role"] == "master");
        let after = |at: &Value| at.as_f64().map_or(f64::NAN, |at| at - since);
        Ok(Steps {
            decided: crowned.map_or(f64::NAN, |change| after(&change["at_ms"])),
            accepted: after(&service["agent"]["last_register_ms"]),
        })
    }
}

impl Saw {
    async fn of(writer: &Writer, (old, survivor): (u16, u16), times: &Times) -> Outcome<Saw> {
        let Times { from, written, to, .. } = *times;
        Ok(Saw {
            tally: writer.tally(from, to),
            stale: writer.tally(written, to).by_server.get(&old).copied().unwrap_or_default(),
            lost: writer.lost(from - Duration::from_secs(1), to, survivor).await?.values().sum(),
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
