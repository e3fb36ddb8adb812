//! A service that Consul calls empty though it is not: the token lost a right, or the server came back without its
//! data. The last good file stays, `/status` says why, and what comes back is followed at once.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tests::{
    Outcome, PATIENCE, Rolecall,
    consul::{Access, Agent},
    until, when,
};

/// A Consul server, a template of one service, and `render` between them.
struct Front {
    server: Agent,
    render: Rolecall,
    out: PathBuf,
    home: TempDir,
}

impl Front {
    async fn start(access: Access, rules: Option<&str>) -> Outcome<Front> {
        let home = tempdir()?;
        let (template, out) = (home.path().join("t.hbs"), home.path().join("out"));
        fs::write(&template, "{{#each (service \"web\")}}{{ID}} {{/each}}\n")?;
        let server = Agent::server(home.path(), access)?;
        server.ready().await?;
        let token = home.path().join("token");
        let token = match rules {
            Some(rules) => {
                fs::write(&token, server.token("reader", rules).await?)?;
                format!("token_file = {token:?}")
            }
            None => String::new(),
        };
        register(&server, "web-0").await?;
        let config = format!(
            "consul {{\n  address = \"{}\"\n  block_query_wait = \"1s\"\n  retry {{\n    max_backoff = \"250ms\"\n  }}\n  \
             {token}\n}}\ntemplate {{\n  source = \"{}\"\n  destination = \"{}\"\n}}\n",
            server.address(),
            template.display(),
            out.display()
        );
        let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
        let front = Front { server, render, out, home };
        front.holds("web-0 \n").await?;
        Ok(front)
    }

    async fn holds(&self, expected: &str) -> Outcome {
        let held = until(format!("the file to hold {expected:?}"), PATIENCE, async || {
            let text = fs::read_to_string(&self.out).unwrap_or_default();
            when(text == expected, || format!("{text:?}"))
        });
        self.render.part.explain(held.await)
    }

    /// Waits until `/status` says so of the question; by then the file must not have changed.
    async fn doubts(&self, words: &str) -> Outcome {
        let says = |s: &Value| s["queries"][0]["trouble"].as_str().is_some_and(|t| t.contains(words));
        self.render.shows(&format!("`{words}`"), PATIENCE, says).await?;
        let text = fs::read_to_string(&self.out)?;
        self.render.part.explain(when(text == "web-0 \n", || format!("the file became {text:?}")))
    }
}

async fn register(agent: &Agent, id: &str) -> Outcome {
    agent.put("agent/service/register", json!({ "ID": id, "Name": "web", "Port": 80 })).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_loses_a_right_empties_nothing() -> Outcome {
    let rules = |service: &str, node: &str| {
        format!("{service} \"web\" {{ policy = \"read\" }}\nnode_prefix \"\" {{ policy = \"{node}\" }}")
    };
    let front = Front::start(Access::Closed, Some(&rules("service", "read"))).await?;
    for (lost, words) in [
        (rules("key", "read"), "lacks service:read on \"web\""),
        (rules("service", "deny"), "lacks node:read on"),
    ] {
        front.server.allow("reader", &lost).await?;
        // Until the agent forgets what the token might do, what is seen is an answer that changed under one index.
        front.doubts("the last value is kept").await?;
        front.doubts(words).await?;
        front.server.allow("reader", &rules("service", "read")).await?;
        let well = |s: &Value| s["queries"][0]["trouble"].is_null();
        front.render.shows("no trouble", PATIENCE, well).await?;
    }
    register(&front.server, "web-1").await?;
    front.holds("web-0 web-1 \n").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_revoked_empties_nothing() -> Outcome {
    let rules = "service \"web\" { policy = \"read\" }\nnode_prefix \"\" { policy = \"read\" }";
    let front = Front::start(Access::Closed, Some(rules)).await?;
    let token = front.home.path().join("token");
    front.server.revoke(&fs::read_to_string(&token)?).await?;
    front.doubts("ACL not found").await?;
    // While nobody may tell, nothing is followed; the next token in its file is used at once.
    register(&front.server, "web-1").await?;
    front.doubts("ACL not found").await?;
    fs::write(&token, front.server.token("next", rules).await?)?;
    front.holds("web-0 web-1 \n").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consul_that_comes_back_empty_empties_nothing() -> Outcome {
    let mut front = Front::start(Access::Open, None).await?;
    // The index of the former life is higher than that of the next.
    for n in 0..20 {
        front.server.put(&format!("kv/filler/{n}"), "x").await?;
    }
    front.server.put("agent/service/deregister/web-0", "").await?;
    front.holds("\n").await?;
    register(&front.server, "web-0").await?;
    front.holds("web-0 \n").await?;
    front.server.kill_and_forget()?;
    front.server.part.restart()?;
    front.server.ready().await?;
    front.doubts("Consul lost its data or was restored").await?;
    register(&front.server, "web-1").await?;
    front.holds("web-1 \n").await?;
    // What goes in the new life is gone.
    front.server.put("agent/service/deregister/web-1", "").await?;
    front.holds("\n").await
}
