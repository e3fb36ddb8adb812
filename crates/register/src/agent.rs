//! The local Consul agent, as this crate needs it: the door through which everything is written and read back.

use consul::{Client, ClientError, Held, Instance, Registration, Status};
use daemon::clock::Moment;
use std::{future::Future, time::Duration};
use tokio::sync::watch;

/// The local Consul agent.
pub trait Agent: Send + Sync {
    /// Asks it to hold an entry.
    fn register(&self, entry: &Registration) -> impl Future<Output = Result<(), Refusal>> + Send;
    /// Tells a check how the instance is.
    fn beat(
        &self,
        check: &str,
        status: Status,
        output: &str,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;
    /// Asks it to forget an entry.
    fn deregister(&self, id: &str) -> impl Future<Output = Result<(), Refusal>> + Send;
    /// What it holds under an id; with the hash of an earlier answer, waits for a change.
    fn held(&self, id: &str, hash: Option<&str>) -> impl Future<Output = Result<Held, Refusal>> + Send;
    /// What others see in the catalog.
    fn instances(&self, service: &str) -> impl Future<Output = Result<Vec<Instance>, Refusal>> + Send;
}

/// Why the agent did not do as asked.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// The token lacks a right. Somebody has to give it.
    #[error("{0}")]
    Denied(String),
    /// A heartbeat for a check that the agent does not know: the registration is lost.
    #[error("the agent does not know the check: the registration is lost")]
    Unregistered,
    /// The request itself is wrong; asking again will not help.
    #[error("{0}")]
    Wrong(String),
    /// May work later.
    #[error("{0}")]
    Trouble(String),
    /// Nothing was sent: this program or its machine slept, and what it would say is of the time before.
    #[error("the instance was last looked at {0:?} ago; that is not said again before a look")]
    Asleep(Duration),
}

/// The door to a real agent, for one service.
#[derive(Clone, Debug)]
pub struct ConsulAgent {
    client: Client,
    service: String,
    looked: Option<Looked>,
}

/// Until when a look is good for what is said of the instance.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The last look.
    pub at: watch::Receiver<Option<Moment>>,
    /// What may pass between two looks.
    pub limit: Duration,
}

impl Looked {
    /// Nothing is known to be wrong before the first look: then nothing is said either.
    fn recently(&self) -> Result<(), Refusal> {
        let age = self.at.borrow().map(|looked| looked.age());
        age.filter(|age| *age > self.limit).map_or(Ok(()), |age| Err(Refusal::Asleep(age)))
    }
}

impl ConsulAgent {
    /// Speaks of `service` over `client`.
    #[must_use]
    pub fn new(client: Client, service: &str) -> Self {
        Self { client, service: service.to_owned(), looked: None }
    }

    /// Says nothing good of the instance when it was not looked at for long.
    #[must_use]
    pub fn only_after(mut self, looked: Looked) -> Self {
        self.looked = Some(looked);
        self
    }

    fn recently(&self) -> Result<(), Refusal> {
        self.looked.as_ref().map_or(Ok(()), Looked::recently)
    }

    fn refusal(&self, deed: &str, error: &ClientError) -> Refusal {
        if let Some(right) = error.denied() {
            return Refusal::Denied(denied(deed, &self.service, &right));
        }
        match error {
            _ if error.unknown_check() => Refusal::Unregistered,
            _ if error.retryable() => Refusal::Trouble(error.to_string()),
            _ => Refusal::Wrong(error.to_string()),
        }
    }
}

impl Agent for ConsulAgent {
    async fn register(&self, entry: &Registration) -> Result<(), Refusal> {
        self.recently()?;
        self.client.register(entry).await.map_err(|e| self.refusal("register", &e))
    }

    async fn beat(&self, check: &str, status: Status, output: &str) -> Result<(), Refusal> {
        if status == Status::Passing {
            self.recently()?;
        }
        self.client.beat(check, status, output).await.map_err(|e| self.refusal("send heartbeats for", &e))
    }

    async fn deregister(&self, id: &str) -> Result<(), Refusal> {
        self.client.deregister(id).await.map_err(|e| self.refusal("deregister", &e))
    }

    async fn held(&self, id: &str, hash: Option<&str>) -> Result<Held, Refusal> {
        self.client.held(id, hash).await.map_err(|e| self.refusal("read", &e))
    }

    async fn instances(&self, service: &str) -> Result<Vec<Instance>, Refusal> {
        self.client.instances(service).await.map_err(|e| self.refusal("read", &e))
    }
}

/// Names the missing right and the policy that gives it.
fn denied(deed: &str, service: &str, right: &str) -> String {
    let policy = match right.split_once(':').map(|(_, level)| level) {
        Some(level) if level.starts_with("write") => "write",
        Some(_) => "read",
        None => return format!("the Consul token may not {deed} service \"{service}\": it needs {right}"),
    };
    format!(
        "the Consul token may not {deed} service \"{service}\": it lacks {right}; \
         give it the policy service \"{service}\" {{ policy = \"{policy}\" }}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_comes_with_its_policy() {
        assert_eq!(
            denied("register", "redis", "service:write on redis"),
            "the Consul token may not register service \"redis\": it lacks service:write on redis; \
             give it the policy service \"redis\" { policy = \"write\" }"
        );
        assert!(denied("read", "redis", "service:read on redis").ends_with("{ policy = \"read\" }"));
        assert!(
            denied("register", "redis", "a token that Consul knows")
                .ends_with("it needs a token that Consul knows")
        );
    }
}
