//! The local Consul agent, as this crate needs it: the door through which everything is written and read back.

use crate::{diagnosis::Witness, several::Answering};
use consul::{
    Client, ClientError, External, Held, Instance, Query, Registration, Right, Status,
    rights::Access::{Read, Write},
    seats::Claim,
};
use daemon::clock::Moment;
use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};

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
    /// What may explain that others see something else; `node` is where they see it.
    fn witness(&self, service: &str, node: Option<&str>) -> impl Future<Output = Witness> + Send;
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
    /// Where there is no agent.
    external: Option<External>,
    answering: Option<watch::Receiver<Answering>>,
    /// Set once something was registered: from then on, keeping it true comes first.
    registered: OnceLock<()>,
    /// To keep the question open what the agent holds; clones share it.
    claim: Arc<Mutex<Claim>>,
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

/// How long it is waited for to know who answers; it is asked for at the start.
const ASKED: Duration = Duration::from_secs(5);

impl ConsulAgent {
    /// Speaks of `service` over `client`.
    #[must_use]
    pub fn new(client: Client, service: &str) -> Self {
        Self {
            claim: Arc::new(Mutex::new(client.claim().answered())),
            client,
            service: service.to_owned(),
            looked: None,
            external: None,
            answering: None,
            registered: OnceLock::new(),
        }
    }

    /// Writes to an external node instead of an agent.
    #[must_use]
    pub fn at(mut self, external: Option<&External>) -> Self {
        self.external = external.map(|external| external.over(&self.client));
        self
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

    /// Begins to register only where one agent answers.
    #[must_use]
    pub fn with_one(self, answering: watch::Receiver<Answering>) -> Self {
        Self { answering: Some(answering), ..self }
    }

    async fn one_agent(&self) -> Result<(), Refusal> {
        let first = self.registered.get().is_none();
        let Some(mut answering) = self.answering.clone().filter(|_| first) else { return Ok(()) };
        let asked = answering.wait_for(|answering| *answering != Answering::Unasked);
        let _asked_in_time = timeout(ASKED, asked).await.is_ok();
        let answering = answering.borrow();
        match (&*answering, answering.refusal(&self.client.settings().address)) {
            (_, Some(several)) => Err(Refusal::Wrong(several)),
            (Answering::Away(why), _) => Err(Refusal::Trouble(why.clone())),
            _ => Ok(()),
        }
    }

    /// Waits for a change, where there is a seat for it; else asks when its turn comes.
    async fn held_open(&self, id: &str, hash: &str) -> Result<Held, ClientError> {
        let mut claim = self.claim.lock().await;
        loop {
            let ask = |open: bool| self.client.held(id, Some(hash).filter(|_| open));
            if let Some(held) = claim.ask(false, ask).await {
                return held;
            }
        }
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
        self.one_agent().await?;
        self.recently()?;
        let done = match &self.external {
            Some(external) => external.register(entry).await,
            None => self.client.register(entry).await,
        };
        done.map_err(|e| self.refusal("register", &e))?;
        _ = self.registered.set(());
        Ok(())
    }

    async fn beat(&self, check: &str, status: Status, output: &str) -> Result<(), Refusal> {
        if status == Status::Passing {
            self.recently()?;
        }
        let done = match &self.external {
            Some(external) => external.beat(check, status, output).await,
            None => self.client.beat(check, status, output).await,
        };
        done.map_err(|e| self.refusal("send heartbeats for", &e))
    }

    async fn deregister(&self, id: &str) -> Result<(), Refusal> {
        let done = match &self.external {
            Some(external) => external.deregister(id).await,
            None => self.client.deregister(id).await,
        };
        done.map_err(|e| self.refusal("deregister", &e))
    }

    async fn held(&self, id: &str, hash: Option<&str>) -> Result<Held, Refusal> {
        let done = match (&self.external, hash) {
            (Some(external), _) => external.held(id, hash).await,
            (None, None) => self.client.held(id, None).await,
            (None, Some(hash)) => self.held_open(id, hash).await,
        };
        done.map_err(|e| self.refusal("read", &e))
    }

    async fn instances(&self, service: &str) -> Result<Vec<Instance>, Refusal> {
        self.client.instances(service).await.map_err(|e| self.refusal("read", &e))
    }

    async fn witness(&self, service: &str, node: Option<&str>) -> Witness {
        let agent = self.client.myself().await.ok();
        let name = agent.as_ref().map(|agent| agent.name.clone());
        let seen = name.as_deref().or(node).unwrap_or(service);
        let rights = [Right::service(Write, service), Right::service(Read, service), Right::node(Read, seen)];
        let may = self.client.may(&rights).await.unwrap_or_default();
        let scope = consul::query::Scope::default();
        let known = match name {
            Some(_) => self.client.ask(&Query::Node { name, scope }, 0).await.ok(),
            None => None,
        };
        let id = known.and_then(|known| known.value["Node"]["ID"].as_str().map(str::to_owned));
        Witness {
            may_write: may.first().copied(),
            may_see: may.get(1..).filter(|may| !may.is_empty()).map(|may| may.iter().all(|may| *may)),
            agent,
            catalogs_id: id.filter(|id| !id.is_empty()),
        }
    }
}

/// Names the missing right and the policy that gives it.
fn denied(deed: &str, service: &str, right: &str) -> String {
    let rule = right.split_once(':').and_then(|(resource, rest)| {
        let (level, name) = rest.split_once(" on ").unwrap_or((rest, service));
        ["read", "write"]
            .contains(&level)
            .then(|| format!("{resource} \"{name}\" {{ policy = \"{level}\" }}"))
    });
    match rule {
        Some(rule) => format!(
            "the Consul token may not {deed} service \"{service}\": it lacks {right}; give it the policy {rule}"
        ),
        None => format!("the Consul token may not {deed} service \"{service}\": it needs {right}"),
    }
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
        assert!(
            denied("register", "redis", "node:write on n1").ends_with("node \"n1\" { policy = \"write\" }")
        );
        assert!(denied("read", "redis", "service:read on redis").ends_with("{ policy = \"read\" }"));
        assert!(
            denied("register", "redis", "a token that Consul knows")
                .ends_with("it needs a token that Consul knows")
        );
    }
}
