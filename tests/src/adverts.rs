//! Who is advertised as master in Consul (passing, tag master): what has to be so at every moment.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::{LIMIT, Outcome, PATIENCE, Rolecall, Stack, Watcher, stack::SERVICE, until, watch_masters, when};

/// All sets of advertised masters that Consul ever showed, as far as its answers tell.
#[derive(Debug)]
pub struct Adverts(Watcher<BTreeSet<u16>>);

impl Adverts {
    /// Looks from now on.
    pub fn watch(stack: &Stack) -> Outcome<Adverts> {
        Ok(Adverts(watch_masters(stack.agent.address(), SERVICE)?))
    }

    /// Waits until the server at this port is advertised, and nobody else.
    pub async fn shows(&self, port: u16) -> Outcome {
        until(format!("Consul to show {port} alone"), PATIENCE, async || {
            let last = self.0.seen.last();
            when(last == Some([port].into()), || format!("{last:?}"))
        })
        .await
    }

    /// Waits until nobody is advertised.
    pub async fn nobody(&self) -> Outcome {
        until("Consul to show no master", PATIENCE, async || {
            let last = self.0.seen.last();
            when(last == Some([].into()), || format!("{last:?}"))
        })
        .await
    }

    /// Waits until a fail-over has anybody but these advertised alone, and tells who.
    pub async fn another(&self, beside: &[u16]) -> Outcome<u16> {
        until("another master in Consul", LIMIT, async || {
            let last = self.0.seen.last().unwrap_or_default();
            when(last.len() == 1, || format!("{last:?}"))?;
            let new = last.into_iter().find(|port| !beside.contains(port));
            new.ok_or_else(|| crate::Trouble::new("the old one"))
        })
        .await
    }

    /// All sets since then, first the one that held already.
    pub fn since(&self, then: Instant) -> Vec<BTreeSet<u16>> {
        self.0.seen.course(then).into_iter().map(|(_, ports)| ports).collect()
    }

    /// Since then, two were never advertised at once.
    pub fn never_two(&self, then: Instant) -> Outcome {
        let shown = self.since(then);
        when(shown.iter().all(|ports| ports.len() <= 1), || format!("two masters at once: {shown:?}"))
    }

    /// Since then, the server at this port was never advertised.
    pub fn never(&self, port: u16, then: Instant) -> Outcome {
        let shown = self.since(then);
        when(shown.iter().all(|ports| !ports.contains(&port)), || format!("{port} was advertised: {shown:?}"))
    }

    /// From now on nothing is to change for the master that this register keeps.
    pub fn steady(&self, register: &Rolecall) -> Steady {
        Steady { since: Instant::now(), logged: register.part.log().len() }
    }

    /// Since then, nothing changed. Only where the machine was so busy that a probe of the master failed, it may have been
    /// withdrawn for a while.
    pub fn unchanged(&self, steady: &Steady, register: &Rolecall) -> Outcome {
        let (shown, failed) = (self.since(steady.since), steady.failed(register));
        let same = |ports: &BTreeSet<u16>| *ports == shown[0] || (failed && ports.is_empty());
        let outcome = when(shown.iter().all(same), || format!("something else was advertised: {shown:?}"));
        register.part.explain(outcome)
    }
}

/// A moment, and how much a register had logged then.
#[derive(Debug)]
pub struct Steady {
    /// The moment.
    pub since: Instant,
    logged: usize,
}

impl Steady {
    /// Whether a look of this register failed since then, or came so late that it trusts nothing of before.
    pub fn failed(&self, register: &Rolecall) -> bool {
        register.part.log().get(self.logged..).is_some_and(|since| since.contains("the probe fails"))
    }
}
