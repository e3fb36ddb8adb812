//! Examines the way to Consul: who answers, whether it is in a cluster, and which rights the token lacks. Nothing is
//! written.

use crate::{AgentSelf, Client, ClientError, Query, Right, Session, agents::several, query::Scope};
use config::Finding;

const WHAT: &str = "Consul";

/// What a program needs of Consul.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// The rights without which it does not work.
    pub rights: Vec<Right>,
    /// Whether it registers at an agent, which must be one, and better is no server.
    pub agent: bool,
}

/// Looks at everything, from the connection to the rights. A login is made where the configuration names one, and given
/// back.
pub async fn examine(client: &Client, needs: &Needs) -> Vec<Finding> {
    let session = Session::start(client);
    let mut findings = vec![];
    let reached = match client.agents().await {
        Ok(agents) => {
            findings.push(who(client, &agents.into_iter().collect::<Vec<_>>(), needs));
            true
        }
        Err(error @ ClientError::Refused { .. }) if error.denied().is_some() => {
            findings.push(Finding::ok(WHAT, format!("answers at {}", client.settings().address)));
            if needs.agent {
                let told = "the token may not ask who answers, so several agents behind one address would be noticed \
                            late; agent_prefix \"\" { policy = \"read\" } lets it";
                findings.push(Finding::warning("Consul agent", told));
            }
            true
        }
        Err(error) => {
            findings.push(Finding::failed(WHAT, error.to_string()));
            false
        }
    };
    if reached {
        findings.push(cluster(client).await);
        findings.push(rights(client, &needs.rights).await);
    }
    session.end().await;
    findings
}

fn who(client: &Client, agents: &[AgentSelf], needs: &Needs) -> Finding {
    let address = &client.settings().address;
    let [agent] = agents else {
        let told = several(address, agents);
        return if needs.agent {
            Finding::failed(WHAT, told)
        } else {
            Finding::ok(WHAT, several_read(agents))
        };
    };
    let kind = if agent.server { "server" } else { "client agent" };
    let told = format!("{} at {address}, the {kind} of node {}", agent.version, agent.name);
    if agent.server && needs.agent {
        let why = "entries that are registered at a server stand on its node, and leave with it; name the agent of this \
                   machine, or use mode = \"catalog\" where there is none";
        return Finding::warning(WHAT, format!("{told}: {why}"));
    }
    Finding::ok(WHAT, told)
}

fn several_read(agents: &[AgentSelf]) -> String {
    let names: Vec<_> = agents.iter().map(|agent| agent.name.as_str()).collect();
    format!("several agents answer ({}), which is fine for reading", names.join(", "))
}

async fn cluster(client: &Client) -> Finding {
    match client.ask(&Query::Services(Scope::default()), 0).await {
        Ok(_) => Finding::ok("Consul servers", "answer, and have a leader"),
        Err(error) => Finding::failed("Consul servers", error.to_string()),
    }
}

async fn rights(client: &Client, rights: &[Right]) -> Finding {
    const WHAT: &str = "Consul token";
    let mut rules: Vec<String> = rights.iter().map(Right::rule).collect();
    rules.sort();
    rules.dedup();
    let rules = rules.join(" ");
    let may = match client.may(rights).await {
        Ok(may) => may,
        Err(error) => {
            let denied = error.denied().map(|right| format!("Consul wants {right}, with the policy {rules}"));
            return Finding::failed(WHAT, denied.unwrap_or_else(|| error.to_string()));
        }
    };
    let missing: Vec<&Right> =
        rights.iter().zip(may).filter(|(_, may)| !may).map(|(right, _)| right).collect();
    if missing.is_empty() {
        return Finding::ok(WHAT, "has every right that is needed");
    }
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Finding::failed(WHAT, format!("lacks {}; give it the policy {rules}", names.join(", ")))
}
