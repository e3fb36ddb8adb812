//! Three Consul servers lose their leader, then their quorum, under `render`: the file is never worse than before, and
//! what the cluster says once it can speak again is followed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::tempdir;
use tests::{
    Outcome, PATIENCE, Rolecall, Trouble,
    consul::{Access, Agent},
    until, when,
};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

/// Elections take seconds even where nothing else runs.
const LONG: Duration = Duration::from_secs(60);

/// Every text that a file held, as seen every two milliseconds.
struct Texts {
    seen: watch::Receiver<BTreeSet<String>>,
    looking: JoinHandle<()>,
}

impl Texts {
    fn of(file: PathBuf) -> Texts {
        let (tx, seen) = watch::channel(BTreeSet::new());
        let looking = tokio::spawn(async move {
            loop {
                let text = fs::read_to_string(&file).unwrap_or_else(|error| error.to_string());
                tx.send_modify(|seen| _ = seen.insert(text));
                sleep(Duration::from_millis(2)).await;
            }
        });
        Texts { seen, looking }
    }
}

impl Drop for Texts {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

fn servers(home: &Path) -> Outcome<Vec<Agent>> {
    let first = Agent::server_as("server-0", home, json!({ "bootstrap_expect": 3 }))?;
    let own = json!({
        "bootstrap_expect": 3, "retry_join": [first.gossip()], "retry_interval": "500ms",
    });
    Ok(vec![
        first,
        Agent::server_as("server-1", home, own.clone())?,
        Agent::server_as("server-2", home, own)?,
    ])
}

/// The server that the others follow, of those that run.
async fn leader(servers: &[Agent], but: Option<usize>) -> Outcome<usize> {
    until("the servers to have a leader", LONG, async || {
        for (n, _) in servers.iter().enumerate().filter(|(n, _)| Some(*n) != but) {
            let said = servers[n].get("status/leader").await?;
            let leads = servers.iter().position(|server| said == server.rpc());
            if let Some(leader) = leads.filter(|leader| Some(*leader) != but) {
                return Ok(leader);
            }
        }
        Err(Trouble::new("none of them knows one"))
    })
    .await
}

async fn register(agent: &Agent, id: &str) -> Outcome {
    let body = json!({ "ID": id, "Name": "web", "Port": 80 });
    until(format!("{id} to be registered"), LONG, async || {
        agent.put("agent/service/register", body.clone()).await?;
        let shown = agent.entries("web").await?;
        when(shown.iter().any(|entry| entry.id == id), || format!("{shown:?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_outlives_the_leader_and_the_quorum() -> Outcome {
    let home = tempdir()?;
    let mut servers = servers(home.path())?;
    let agent = Agent::client(home.path(), &servers[0], None, Access::Open)?;
    let first = leader(&servers, None).await?;
    agent.ready().await?;
    register(&agent, "web-0").await?;
    let (template, out) = (home.path().join("t.hbs"), home.path().join("out"));
    fs::write(&template, "{{#each (service \"web\")}}{{ID}} {{/each}}")?;
    let config = format!(
        "consul {{\n  address = \"{}\"\n}}\ntemplate {{\n  source = {template:?}\n  destination = {out:?}\n}}\n",
        agent.address()
    );
    let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
    render.ready().await?;
    let holds = async |text: &str| {
        let held = until(format!("the file to hold {text:?}"), LONG, async || {
            let found = fs::read_to_string(&out)?;
            when(found == text, || found)
        });
        render.part.explain(held.await)
    };
    // The first answer may come from a server that lags behind its leader.
    holds("web-0 ").await?;
    let texts = Texts::of(out.clone());

    // The leader dies: the two others choose another one.
    servers[first].part.kill()?;
    let second = leader(&servers, Some(first)).await?;
    register(&agent, "web-1").await?;
    holds("web-0 web-1 ").await?;

    // So does that one: of three servers one is left, which leads nobody.
    servers[second].part.kill()?;
    let troubled = |s: &Value| !s["queries"][0]["trouble"].is_null();
    render.shows("trouble with its question", LONG, troubled).await?;
    holds("web-0 web-1 ").await?;

    for dead in [first, second] {
        servers[dead].part.restart()?;
    }
    leader(&servers, None).await?;
    register(&agent, "web-2").await?;
    holds("web-0 web-1 web-2 ").await?;
    render.shows("no trouble", PATIENCE, |s| s["queries"][0]["trouble"].is_null()).await?;
    let seen = texts.seen.borrow().iter().cloned().collect::<Vec<_>>();
    render
        .part
        .explain(when(seen == ["web-0 ", "web-0 web-1 ", "web-0 web-1 web-2 "], || format!("{seen:?}")))
}
