//! Goes well: readers are told to send nothing more, the entry is taken away, and it is seen to be gone.

use crate::{
    agent::{Agent, Refusal},
    plan::Identity,
};
use consul::{Status, backoff::Backoff};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Why the entry may still be there.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LeaveError {
    /// The agent said no.
    #[error("{0}; Consul removes the entry only after deregister_critical_after")]
    Refused(Refusal),
    /// It took too long; this was in the way at last.
    #[error("not gone from Consul in time: {0}; Consul removes the entry after deregister_critical_after")]
    TooLong(String),
}

/// How often the catalog is asked whether the entry is gone; a deregistration is seen there in 5–20 ms.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// An agent that has not told the servers by then is asked once more.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Critical with output "draining", deregister, verify. Everything that writes the entry must have ended.
pub async fn leave(
    agent: &impl Agent,
    me: &Identity,
    limit: Duration,
    backoff: Backoff,
) -> Result<(), LeaveError> {
    let until = Instant::now() + limit;
    let mut departure = Departure { agent, me, backoff, trouble: "the agent has not answered".into() };
    match timeout_at(until, departure.go()).await {
        Ok(gone) => gone.map_err(LeaveError::Refused),
        Err(_) => Err(LeaveError::TooLong(departure.trouble)),
    }
}

struct Departure<'a, A> {
    agent: &'a A,
    me: &'a Identity,
    backoff: Backoff,
    trouble: String,
}

impl<A: Agent> Departure<'_, A> {
    async fn go(&mut self) -> Result<(), Refusal> {
        // What follows says the same more strongly, so a failure here is of no interest.
        let _ = self.agent.beat(&self.me.check_id(), Status::Critical, "draining").await;
        loop {
            match self.agent.deregister(&self.me.id).await {
                Ok(()) if self.gone().await? => return Ok(()),
                Ok(()) => {}
                Err(refusal) => self.bear(refusal).await?,
            }
        }
    }

    /// Waits until the catalog no longer shows the entry; false when that takes so long that the agent should be
    /// asked again.
    async fn gone(&mut self) -> Result<bool, Refusal> {
        let asked = Instant::now();
        while asked.elapsed() < ASK_AGAIN {
            match self.agent.instances(&self.me.service).await {
                Ok(rows) => {
                    let ours = |row: &consul::Instance| {
                        row.id == self.me.id && row.address == self.me.address && row.port == self.me.port
                    };
                    let Some(row) = rows.iter().find(|row| ours(row)) else { return Ok(true) };
                    self.trouble =
                        format!("the agent forgot the entry, but the catalog shows it on node {}", row.node);
                    sleep(LOOK_AGAIN).await;
                }
                // A token that may not read cannot see the entry either; the agent's word has to do.
                Err(Refusal::Denied(why)) => {
                    tracing::warn!(id = self.me.id, why, "cannot verify that the entry is gone");
                    return Ok(true);
                }
                Err(refusal) => self.bear(refusal).await?,
            }
        }
        Ok(false)
    }

    async fn bear(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        let Refusal::Trouble(trouble) = refusal else { return Err(refusal) };
        self.trouble = trouble;
        sleep(self.backoff.pause()).await;
        Ok(())
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
    use consul::{Instance, Role};

    const LIMIT: Duration = Duration::from_secs(10);

    fn registered() -> Memory {
        let agent = Memory::default();
        agent.put(entry(&desired(&me(), &seen(Role::Master))));
        agent
    }

    async fn go(agent: &Memory) -> Result<(), LeaveError> {
        leave(agent, &me(), LIMIT, Backoff::new(Duration::from_millis(100), Duration::from_secs(1))).await
    }

    #[tokio::test(start_paused = true)]
    async fn critical_then_gone() {
        let agent = registered();
        assert_eq!(go(&agent).await, Ok(()));
        assert_eq!(agent.calls(), [Call::Beat(Status::Critical), Call::Deregister]);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_an_agent_that_is_down_but_not_for_ever() {
        let agent = registered();
        agent.down(true);
        let began = Instant::now();
        let error = go(&agent).await.unwrap_err().to_string();
        assert!(error.contains("the agent is down"), "{error}");
        assert_eq!(began.elapsed(), LIMIT);

        let (back, later) = (agent.clone(), Duration::from_secs(4));
        tokio::spawn(async move {
            sleep(later).await;
            back.down(false);
        });
        assert_eq!(go(&agent).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_that_stays_in_the_catalog_is_told() {
        let agent = registered();
        let row = |address: &str| Instance {
            node: "n2".into(),
            id: "redis-0".into(),
            tags: vec![],
            address: address.into(),
            port: 6379,
            meta: [].into(),
            status: "passing".into(),
            written: 0,
        };
        agent.ghosts(vec![row("10.0.0.99")]);
        assert_eq!(go(&agent).await, Ok(()), "another pod's entry is not ours");
        agent.ghosts(vec![row("10.0.0.7")]);
        let error = go(&agent).await.unwrap_err().to_string();
        assert!(error.contains("shows it on node n2"), "{error}");
        assert!(agent.calls().iter().filter(|call| **call == Call::Deregister).count() > 2, "asked again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_right_is_told_at_once() {
        let agent = registered();
        let denied = Refusal::Denied("no service:write".into());
        agent.refuse(Some(denied.clone()));
        let began = Instant::now();
        assert_eq!(go(&agent).await, Err(LeaveError::Refused(denied)));
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}
