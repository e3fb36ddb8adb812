//! The agent acknowledges what never reaches the catalog: each known lie is told by its name, with its remedy, and what
//! the remedy says helps.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use tests::{
    Outcome, PATIENCE, Rolecall,
    consul::{Access, Agent},
    redis::Redis,
    stack::{SERVICE, register_config},
    until, when,
};

/// An agent remembers for 30 s what a token may.
const CACHED: Duration = Duration::from_secs(90);
const WRITE: &str = "service \"redis\" { policy = \"write\" }\n";
const READ: &str = "service \"redis\" { policy = \"read\" }\n";
const NODES: &str = "node_prefix \"\" { policy = \"read\" }\n";

struct Scene {
    register: Rolecall,
    redis: Redis,
    agent: Agent,
    server: Agent,
}

async fn scene(home: &Path, access: Access, rules: &str) -> Outcome<Scene> {
    let server = match access {
        // Who lost its agent for some seconds is taken for dead, and a dead one's name is free for a new id.
        Access::Open => {
            Agent::server_as("consul-server", home, json!({ "gossip_lan": { "suspicion_mult": 100 } }))?
        }
        Access::Closed => Agent::server(home, access)?,
    };
    let agent = Agent::client(home, &server, None, access)?;
    let redis = Redis::server("redis-0", home, None)?;
    tokio::try_join!(server.ready(), agent.ready(), redis.ready())?;
    let config = register_config(&agent.address(), "redis-0", redis.port(), &[]);
    let file = home.join("token");
    let config = match access {
        Access::Open => config,
        Access::Closed => {
            fs::write(&file, server.token("registrar", rules).await?)?;
            config.replacen("consul {", &format!("consul {{\n  token_file = \"{}\"", file.display()), 1)
        }
    };
    let register = Rolecall::start("register", "register", home, &config, vec![])?;
    Ok(Scene { register, redis, agent, server })
}

impl Scene {
    async fn flip(&self) -> Outcome {
        self.redis.ask::<()>(redis::cmd("REPLICAOF").arg("127.0.0.1").arg(1)).await
    }

    async fn names(&self, cause: &str) -> Outcome<String> {
        let named = |s: &Value| s["services"][0]["catalog"]["cause"] == cause;
        let status = self.register.shows(cause, CACHED, named).await?;
        self.told(cause);
        Ok(status["services"][0]["catalog"]["hint"].as_str().unwrap_or_default().to_owned())
    }

    fn told(&self, cause: &str) {
        let log = self.register.part.log();
        assert!(log.contains("agent says ") && log.contains(cause), "the log does not tell: {log}");
    }

    /// An agent that still remembers the right takes the entry, and it is the catalog that shows what is wrong; one
    /// that has just asked anew refuses the entry.
    async fn tells_of_the_lost_right(&self) -> Outcome {
        let (cause, policy) = ("lost token rights", "service \"redis\" { policy = \"write\" }");
        let told = |at: &Value| at.as_str().is_some_and(|told| told.contains(policy));
        let lied = |s: &Value| {
            let catalog = &s["services"][0]["catalog"];
            catalog["cause"] == cause && told(&catalog["hint"])
        };
        let refused = |s: &Value| told(&s["services"][0]["agent"]["error"]);
        let status = self.register.shows(cause, CACHED, |s| lied(s) || refused(s)).await?;
        if lied(&status) {
            self.told(cause);
        }
        Ok(())
    }

    async fn mended(&self) -> Outcome {
        let in_sync = |s: &Value| {
            let service = &s["services"][0];
            s["consul"]["trouble"].is_null()
                && service["catalog"]["state"] == "in sync"
                && service["agent"]["state"] == "in sync"
                && service["agent"]["error"].is_null()
                && service["catalog"]["cause"].is_null()
        };
        self.register.shows("that all is well", CACHED, in_sync).await.map(drop)
    }

    async fn has(&self, tag: &str) -> Outcome {
        let shown = until(format!("the catalog to show a {tag}"), PATIENCE, async || {
            let entries = self.server.entries(SERVICE).await?;
            when(entries.len() == 1 && entries[0].is(tag) && entries[0].passing, || format!("{entries:?}"))
        });
        self.register.part.explain(shown.await)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_with_a_new_node_id_is_named() -> Outcome {
    let home = tempfile::tempdir()?;
    let mut scene = scene(home.path(), Access::Open, "").await?;
    scene.mended().await?;
    scene.has("master").await?;
    scene.agent.kill_and_forget()?;
    scene.agent.part.restart()?;
    scene.flip().await?;
    let hint = scene.names("stale node id").await?;
    assert!(hint.contains("\"Node\": \"consul-client\"") && hint.contains("-node-id"), "{hint}");
    assert!(scene.server.entries(SERVICE).await?.iter().all(|entry| entry.is("master")), "no lie was told");

    scene.server.put("catalog/deregister", json!({ "Node": "consul-client" })).await?;
    scene.mended().await?;
    scene.has("replica").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_lost_its_right_is_named() -> Outcome {
    let home = tempfile::tempdir()?;
    let scene = scene(home.path(), Access::Closed, &[WRITE, NODES].concat()).await?;
    scene.mended().await?;
    scene.server.rule("registrar", &[READ, NODES].concat()).await?;
    scene.flip().await?;
    scene.tells_of_the_lost_right().await?;
    assert!(scene.server.entries(SERVICE).await?.iter().all(|entry| entry.is("master")), "no lie was told");

    scene.server.rule("registrar", &[WRITE, NODES].concat()).await?;
    scene.mended().await?;
    scene.has("replica").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_may_not_see_nodes_is_named() -> Outcome {
    let home = tempfile::tempdir()?;
    let scene = scene(home.path(), Access::Closed, WRITE).await?;
    let hint = scene.names("token may not read").await?;
    assert!(hint.contains("node_prefix \"\" { policy = \"read\" }"), "{hint}");
    scene.server.rule("registrar", &[WRITE, NODES].concat()).await?;
    scene.mended().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_named_and_another_one_heals() -> Outcome {
    let home = tempfile::tempdir()?;
    let scene = scene(home.path(), Access::Closed, &[WRITE, NODES].concat()).await?;
    scene.mended().await?;
    let file = home.path().join("token");
    scene.server.revoke(&fs::read_to_string(&file)?).await?;
    let told = |s: &Value| {
        s["consul"]["trouble"].as_str().is_some_and(|told| told.contains("a token that Consul knows"))
    };
    scene.register.shows("that the token is unknown", CACHED, told).await?;
    fs::write(&file, scene.server.token("second", &[WRITE, NODES].concat()).await?)?;
    scene.mended().await?;
    scene.flip().await?;
    scene.has("replica").await
}
