//! The faults: what is done to the master, how the damage is repaired, and what has to be so before and after.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    Outcome, Recipe, Signal, Stack, Trouble, Writer, binary, redis,
    redis::DOWN_AFTER,
    stack::{PATIENT, SERVICE},
    until, when,
};

/// How long each step of a fail-over, and the repair after it, may take: Sentinel votes again after 10 s when the votes were
/// split, and does nothing for 30 s when it was itself kept from running for 2 s (TILT).
pub const LIMIT: Duration = Duration::from_secs(60);

/// What happens to the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; it is started again once another one has taken over.
    Kill,
    /// `SENTINEL FAILOVER`: a planned hand-over.
    Planned,
    /// SIGSTOP; SIGCONT once another one has taken over.
    Pause,
    /// `rolecall failover`: a planned hand-over without loss.
    Switch,
}

impl Fault {
    /// Those of the demo, in its order.
    pub const DEMO: [Fault; 3] = [Fault::Kill, Fault::Planned, Fault::Pause];
    /// All of them.
    pub const ALL: [Fault; 4] = [Fault::Kill, Fault::Planned, Fault::Pause, Fault::Switch];

    /// The word in the JSON.
    pub fn word(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Planned => "failover",
            Fault::Pause => "pause",
            Fault::Switch => "switch",
        }
    }

    /// The head of its column.
    pub fn title(self) -> &'static str {
        match self {
            Fault::Kill => "SIGKILL",
            Fault::Planned => "SENTINEL FAILOVER",
            Fault::Pause => "SIGSTOP…SIGCONT",
            Fault::Switch => "rolecall failover",
        }
    }

    /// What is done about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Fault::Kill => "the old master is started again",
            Fault::Planned => "the old master still takes itself for one",
            Fault::Pause => "the old master goes on",
            Fault::Switch => "the old master follows the new one already",
        }
    }

    /// What has to be changed first: writes that wait must not look like a death to Sentinel.
    pub async fn prepare(self, stack: &Stack) -> Outcome {
        if self == Fault::Switch { stack.down_after(PATIENT).await } else { Ok(()) }
    }

    /// Does it to the master at that port.
    pub async fn happen(self, stack: &mut Stack, master: u16) -> Outcome {
        match self {
            Fault::Kill => stack.redis_at(master)?.part.signal(Signal::KILL),
            Fault::Pause => stack.redis_at(master)?.part.signal(Signal::STOP),
            Fault::Planned => {
                let leader = stack.sentinels.first().ok_or_else(|| Trouble::new("no sentinel"))?;
                leader.ask(::redis::cmd("SENTINEL").arg("FAILOVER").arg(redis::MASTER_NAME)).await
            }
            Fault::Switch => {
                let switched = stack.switch().await;
                stack.down_after(DOWN_AFTER).await?;
                switched
            }
        }
    }

    /// Brings the former master at that port back.
    pub fn repair(self, stack: &mut Stack, master: u16) -> Outcome {
        match self {
            Fault::Kill => stack.redis_at(master)?.part.restart(),
            Fault::Pause => stack.redis_at(master)?.part.signal(Signal::CONT),
            Fault::Planned | Fault::Switch => Ok(()),
        }
    }
}

impl Stack {
    /// `rolecall failover`, to its end.
    async fn switch(&self) -> Outcome {
        let register = self.registers.first().ok_or_else(|| Trouble::new("no register"))?;
        let arguments = ["failover".as_ref(), "-c".as_ref(), register.config().as_os_str()];
        let mut order = Recipe::new("failover", binary()?, self.home(), arguments).start()?;
        let ended = order.end(LIMIT).await?;
        order.explain(when(ended.success(), || format!("rolecall failover: {ended}")))
    }

    /// Waits until the path is whole and every sentinel knows it: a fault before that measures the one before it.
    pub async fn steady(&self, master: u16) -> Outcome {
        for sentinel in &self.sentinels {
            sentinel.believes(LIMIT).await?;
        }
        self.routes_to(master).await
    }

    /// Waits until every server follows the new master and every sentinel, Consul and the writer agree.
    pub async fn calm(&self, new: u16, writer: &Writer) -> Outcome {
        for redis in self.redis.iter().filter(|redis| redis.port() != new) {
            redis.follows(new, LIMIT).await?;
        }
        for sentinel in &self.sentinels {
            sentinel.calm(LIMIT).await?;
        }
        until("Consul to show one master and two replicas", LIMIT, async || {
            let entries = self.agent.entries(SERVICE).await?;
            let of = |tag| entries.iter().filter(|entry| entry.passing && entry.is(tag)).count();
            when((of("master"), of("replica")) == (1, self.redis.len() - 1), || format!("{entries:?}"))
        })
        .await?;
        let now = Instant::now();
        until("writes to flow again", LIMIT, async || {
            when(writer.first_ack(new, now).is_some(), || format!("{:?}", writer.tally(now, Instant::now())))
        })
        .await
    }

    /// The last words of the Redis servers, the sentinels and the programs, for a fault that did not end well.
    pub fn tails(&self) -> String {
        let parts = self.sentinels.iter().chain(&self.redis).map(|redis| &redis.part);
        let programs = self.registers.iter().chain([&self.render]).map(|program| &program.part);
        parts.chain(programs).map(crate::Part::tail).collect::<Vec<_>>().join("\n")
    }
}
