//! Refuses a `consul.address` behind which several agents answer: each would keep an entry of its own, and heartbeats
//! would reach now one, now another.

use consul::{AgentSelf, Client, ClientError, agents::several};
use std::{collections::BTreeSet, time::Duration};
use tokio::{sync::watch, time::sleep};

/// Who answers at the address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answering {
    /// Not asked yet.
    #[default]
    Unasked,
    /// Consul is out of reach.
    Away(String),
    /// The token may not ask: it needs agent:read.
    Untold,
    /// One agent.
    One(AgentSelf),
    /// Several, which is refused.
    Several(Vec<AgentSelf>),
}

/// What others do to the address, such as a second record of its name, is noticed within this time.
const EVERY: Duration = Duration::from_secs(60);
/// How soon somebody who mends it sees that it is mended.
const SOON: Duration = Duration::from_secs(5);

impl Answering {
    /// Who answers, by one round of asking.
    #[must_use]
    pub fn after(found: BTreeSet<AgentSelf>) -> Answering {
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (None, _) => Answering::Untold,
            (Some(one), None) => Answering::One(one),
            (Some(one), Some(two)) => Answering::Several([one, two].into_iter().chain(found).collect()),
        }
    }

    /// Why it is refused; `None` when it is not.
    #[must_use]
    pub fn refusal(&self, address: &str) -> Option<String> {
        match self {
            Answering::Several(agents) => Some(several(address, agents)),
            _ => None,
        }
    }
}

/// Asks now and again, without end; once where no agent is needed.
pub async fn ask(client: &Client, answering: &watch::Sender<Answering>) {
    let address = &client.settings().address;
    let mut backoff = client.backoff();
    if client.settings().external.is_some() {
        // Whoever answers, the catalog is the same.
        answering.send_replace(Answering::Untold);
        return;
    }
    loop {
        let now = match client.agents().await {
            Ok(found) => Answering::after(found),
            Err(ClientError::Refused { .. }) => Answering::Untold,
            Err(error) => Answering::Away(error.to_string()),
        };
        let pause = match &now {
            Answering::Away(_) => backoff.pause(),
            Answering::Several(_) => SOON,
            _ => EVERY,
        };
        let refused = now.refusal(address);
        if refused.is_some() && answering.borrow().refusal(address) != refused {
            tracing::error!("{}", refused.as_deref().unwrap_or_default());
        }
        answering.send_if_modified(|known| {
            let news = *known != now;
            *known = now;
            news
        });
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_agents_are_refused_by_name() {
        let agent =
            |name: &str| AgentSelf { name: name.into(), id: format!("{name}-id"), ..AgentSelf::default() };
        let after = |names: &[&str]| Answering::after(names.iter().map(|name| agent(name)).collect());
        for (names, refused) in [(&[][..], false), (&["n1"], false), (&["n1", "n2"], true)] {
            assert_eq!(after(names).refusal("http://consul:8500").is_some(), refused, "{names:?}");
        }
        let why = after(&["n1", "n2"]).refusal("http://consul:8500").unwrap();
        assert!(why.contains("http://consul:8500: n1 (n1-id), n2 (n2-id)"), "{why}");
    }
}
