//! With `cached = true` the agent's cache answers: changes are followed as before, and an agent that lost its servers is not
//! believed for longer than `max_stale`.

use std::fs;

use serde_json::{Value, json};
use tempfile::tempdir;
use tests::{
    Outcome, PATIENCE, Rolecall,
    consul::{Access, Agent},
    until, when,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_cache_is_followed_and_not_believed_for_long() -> Outcome {
    let home = tempdir()?;
    let mut server = Agent::server(home.path(), Access::Open)?;
    let agent = Agent::client(home.path(), &server, None, Access::Open)?;
    tokio::try_join!(server.ready(), agent.ready())?;
    let register = async |id: &str| {
        let body = json!({ "ID": id, "Name": "web", "Port": 80 });
        agent.put("agent/service/register", body).await.map(drop)
    };
    register("web-0").await?;
    let (source, out) = (home.path().join("t.hbs"), home.path().join("out"));
    fs::write(&source, "{{#each (service \"web\")}}{{ID}} {{/each}}\n")?;
    let config = format!(
        "consul {{\n  address = \"{}\"\n  cached = true\n  block_query_wait = \"1s\"\n  retry {{\n    max_backoff = \
         \"250ms\"\n  }}\n}}\ntemplate {{\n  source = \"{}\"\n  destination = \"{}\"\n}}\n",
        agent.address(),
        source.display(),
        out.display()
    );
    let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
    let holds = async |expected: &str| {
        let held = until(format!("the file to hold {expected:?}"), PATIENCE, async || {
            let text = fs::read_to_string(&out).unwrap_or_default();
            when(text == expected, || format!("{text:?}"))
        });
        render.part.explain(held.await)
    };
    holds("web-0 \n").await?;
    register("web-1").await?;
    holds("web-0 web-1 \n").await?;
    agent.put("agent/service/deregister/web-0", "").await?;
    agent.put("agent/service/deregister/web-1", "").await?;
    holds("\n").await?;
    register("web-2").await?;
    holds("web-2 \n").await?;

    server.part.kill()?;
    let troubled = |s: &Value| s["queries"][0]["trouble"].is_string();
    render.shows("that the agent has no servers", PATIENCE, troubled).await?;
    holds("web-2 \n").await?;
    server.part.restart()?;
    server.ready().await?;
    register("web-3").await?;
    holds("web-2 web-3 \n").await
}
