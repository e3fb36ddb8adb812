//! Three renders have the same template and share what Consul answers: one asks, the others read. The leader leaves or is
//! killed, its document is damaged or large, Consul comes back empty: each file stays true.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tests::{
    Outcome, PATIENCE, Rolecall, Signal, Trouble,
    consul::{Access, Agent},
    until, when,
};

/// Consul ends a session of 10 s, its least, up to 20 s after the last renewal.
const SESSION: Duration = Duration::from_secs(60);
/// And not before so long after it.
const LEFT_ALONE: Duration = Duration::from_secs(15);

struct Crowd {
    server: Agent,
    members: Vec<(Rolecall, PathBuf)>,
    _home: TempDir,
}

impl Crowd {
    async fn gather(template: &str, ttl: &str, prepare: impl AsyncFn(&Agent) -> Outcome) -> Outcome<Crowd> {
        let home = tempdir()?;
        let server = Agent::server(home.path(), Access::Open)?;
        server.ready().await?;
        prepare(&server).await?;
        let source = home.path().join("t.hbs");
        fs::write(&source, template)?;
        let mut members = vec![];
        for name in ["one", "two", "three"] {
            let out = home.path().join(format!("{name}.out"));
            let config = format!(
                "consul {{\n  address = \"{}\"\n  block_query_wait = \"5s\"\n  retry {{\n    max_backoff = \"250ms\"\n  \
                 }}\n}}\ndeduplicate {{\n  enabled = true\n  ttl = \"{ttl}\"\n}}\ntemplate {{\n  source = \"{}\"\n  \
                 destination = \"{}\"\n}}\n",
                server.address(),
                source.display(),
                out.display()
            );
            members.push((Rolecall::start("render", name, home.path(), &config, vec![])?, out));
        }
        Ok(Crowd { server, members, _home: home })
    }

    /// Waits until each file holds this.
    async fn hold(&self, expected: &str) -> Outcome {
        for (render, out) in &self.members {
            let held = until(format!("{} to hold {:.80}", out.display(), expected), PATIENCE, async || {
                let text = fs::read_to_string(out).unwrap_or_default();
                when(text == expected, || format!("{} bytes: {:.80}", text.len(), text))
            });
            render.part.explain(held.await)?;
        }
        Ok(())
    }

    /// Waits until one leads and the others read from it all that they ask; gives back who leads.
    async fn led(&self, limit: Duration) -> Outcome<usize> {
        until("one to ask for all", limit, async || {
            let mut all = vec![];
            for (render, _) in &self.members {
                let status = render.status().await?;
                let queries = status["queries"].as_array().cloned().unwrap_or_default();
                let shared = queries.iter().filter(|query| query["shared"] == true).count();
                let place = status["templates"][0]["deduplicate"]["place"].as_str().unwrap_or_default();
                all.push((place.to_owned(), queries.len(), shared));
            }
            let leaders: Vec<_> = (0..all.len()).filter(|&n| all[n].0 == "leads" && all[n].2 == 0).collect();
            let read =
                all.iter().filter(|(place, asked, shared)| place == "follows" && asked == shared).count();
            match leaders.as_slice() {
                [leader] if read == all.len() - 1 && all.iter().all(|(_, asked, _)| *asked > 0) => {
                    Ok(*leader)
                }
                _ => Err(Trouble::new(format!("{all:?}"))),
            }
        })
        .await
    }

    /// Waits until all that follow say so of their place.
    async fn say(&self, leader: usize, words: &str) -> Outcome {
        for (render, _) in self.members.iter().enumerate().filter(|(n, _)| *n != leader).map(|(_, one)| one) {
            let says = |s: &Value| {
                let place = &s["templates"][0]["deduplicate"];
                place["why"].as_str().is_some_and(|why| why.contains(words)) && place["place"] == "alone"
            };
            render.shows(&format!("`{words}`"), PATIENCE, says).await?;
        }
        Ok(())
    }

    async fn document(&self) -> Outcome<Vec<String>> {
        let keys = self.server.get("kv/consul-template/dedup/?keys").await?;
        Ok(keys.as_array().into_iter().flatten().filter_map(|key| Some(key.as_str()?.to_owned())).collect())
    }

    /// The key that the leader holds.
    async fn pointer(&self) -> Outcome<String> {
        let keys = self.document().await?;
        let pointer = keys.iter().find(|key| key.ends_with("/data"));
        pointer.cloned().ok_or_else(|| Trouble::new(format!("no pointer in {keys:?}")))
    }
}

const TEMPLATE: &str = "{{key \"a\"}}:{{#each (service \"web\")}} {{ID}}{{/each}}\n";

async fn register(agent: &Agent, id: &str) -> Outcome {
    agent.put("agent/service/register", json!({ "ID": id, "Name": "web", "Port": 80 })).await.map(drop)
}

async fn begin(server: &Agent) -> Outcome {
    server.put("kv/a", "0").await?;
    register(server, "web-0").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_asks_for_all_and_another_when_it_is_gone() -> Outcome {
    let mut crowd = Crowd::gather(TEMPLATE, "3s", begin).await?;
    crowd.hold("0: web-0\n").await?;
    crowd.led(PATIENCE).await?;
    crowd.server.put("kv/a", "1").await?;
    register(&crowd.server, "web-1").await?;
    crowd.hold("1: web-0 web-1\n").await?;
    let first = crowd.led(PATIENCE).await?;
    for (n, (render, _)) in crowd.members.iter().enumerate() {
        let place = if n == first { "leads" } else { "follows" };
        let (_, text) = render.page("metrics").await?;
        let told = format!("place=\"{place}\"}} 1");
        let of = |name: &str| text.lines().any(|line| line.starts_with(name) && line.contains(&told));
        render.part.explain(when(of("rolecall_render_deduplicate{"), || text.clone()))?;
    }

    // It says so when it ends: its session is gone with it, and another one leads.
    let pointer = crowd.pointer().await?;
    let held = crowd.server.get(&format!("kv/{pointer}")).await?[0]["Session"].clone();
    assert!(held.is_string(), "nobody holds {pointer}");
    let (mut leaver, out) = crowd.members.swap_remove(first);
    leaver.part.signal(Signal::TERM)?;
    leaver.part.end(PATIENCE).await?;
    until("its session to be gone", LEFT_ALONE, async || {
        let left = crowd.server.get("session/list").await?;
        let there = left.as_array().is_some_and(|all| all.iter().any(|session| session["ID"] == held));
        when(!there, || format!("{held} in {left}"))
    })
    .await?;
    crowd.led(PATIENCE).await?;
    crowd.server.put("kv/a", "2").await?;
    crowd.hold("2: web-0 web-1\n").await?;
    leaver.part.restart()?;
    crowd.members.push((leaver, out));
    crowd.hold("2: web-0 web-1\n").await?;
    let second = crowd.led(PATIENCE).await?;

    // It is killed: nobody tells, so each asks until another leads.
    let (mut killed, _) = crowd.members.swap_remove(second);
    killed.part.kill()?;
    crowd.server.put("kv/a", "3").await?;
    crowd.hold("3: web-0 web-1\n").await?;
    crowd.led(SESSION).await?;
    crowd.server.put("kv/a", "4").await?;
    crowd.hold("4: web-0 web-1\n").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_cannot_be_read_is_refused() -> Outcome {
    // The leader would write it again with its next beat, which comes after a third of this.
    let crowd = Crowd::gather(TEMPLATE, "1h", begin).await?;
    crowd.hold("0: web-0\n").await?;
    let leader = crowd.led(PATIENCE).await?;
    let pointer = crowd.pointer().await?;
    let whole = crowd.server.get(&format!("kv/{pointer}?raw")).await?;
    assert_eq!((&whole["format"], &whole["version"]), (&json!("rolecall answers"), &json!(1)), "{whole}");
    let with = |key: &str, value: Value| {
        let mut other = whole.clone();
        other[key] = value;
        other.to_string()
    };
    let elsewhere = json!({"sha256": "0".repeat(64), "parts": 2});
    for (n, (document, words)) in [
        ("\u{1}GOB".to_owned(), "not a document of rolecall"),
        (with("version", json!(2)), "version 2, and this rolecall reads version 1"),
        (with("content", elsewhere), "damaged: 0 of its 2 parts are there"),
    ]
    .into_iter()
    .enumerate()
    {
        crowd.server.put(&format!("kv/{pointer}"), document).await?;
        crowd.say(leader, words).await?;
        crowd.server.put("kv/b", n).await?;
    }
    let before = fs::read_to_string(&crowd.members[leader].1)?;
    assert_eq!(before, "0: web-0\n");
    crowd.server.put("kv/a", "1").await?;
    crowd.hold("1: web-0\n").await?;
    crowd.led(PATIENCE).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_is_shared_in_parts() -> Outcome {
    const KEYS: usize = 3;
    // Text that no compression makes small, below Consul's 512 KiB for each key.
    let value = |n: usize, round: u64| -> String {
        let mut state = (n as u64 + 1) * 7919 + round;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + (state >> 58) as u8)
        };
        (0..240_000).map(|_| next()).collect()
    };
    let lines: String = (0..KEYS).map(|n| format!("{{{{{{key \"big/{n}\"}}}}}}\n")).collect();
    let crowd = Crowd::gather(&lines, "15s", async |server| {
        for n in 0..KEYS {
            server.put(&format!("kv/big/{n}"), value(n, 0)).await?;
        }
        Ok(())
    })
    .await?;
    let mut expected: Vec<String> = (0..KEYS).map(|n| value(n, 0)).collect();
    let text = |values: &[String]| values.iter().map(|value| format!("{value}\n")).collect::<String>();
    crowd.hold(&text(&expected)).await?;
    crowd.led(PATIENCE).await?;
    for round in 1..4 {
        expected[1] = value(1, round);
        crowd.server.put("kv/big/1", &expected[1]).await?;
        crowd.hold(&text(&expected)).await?;
    }
    crowd.led(PATIENCE).await?;
    // Two documents at most, each in two parts, and the pointer.
    until("what nobody reads to be gone", PATIENCE, async || {
        let keys = crowd.document().await?;
        when((3..=5).contains(&keys.len()), || format!("{keys:#?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consul_that_comes_back_empty_empties_nothing() -> Outcome {
    let mut crowd = Crowd::gather(TEMPLATE, "3s", async |server| {
        // The index of the former life is higher than that of the next.
        for n in 0..20 {
            server.put(&format!("kv/filler/{n}"), "x").await?;
        }
        begin(server).await
    })
    .await?;
    crowd.hold("0: web-0\n").await?;
    crowd.led(PATIENCE).await?;
    crowd.server.kill_and_forget()?;
    crowd.server.part.restart()?;
    crowd.server.ready().await?;
    let doubts = |s: &Value| {
        let all = s["queries"].as_array().cloned().unwrap_or_default();
        all.iter().any(|query| query["trouble"].as_str().is_some_and(|told| told.contains("lost its data")))
    };
    for (render, _) in &crowd.members {
        render.shows("that nothing is believed to be gone", PATIENCE, doubts).await?;
    }
    crowd.hold("0: web-0\n").await?;
    crowd.server.put("kv/a", "1").await?;
    register(&crowd.server, "web-1").await?;
    crowd.hold("1: web-1\n").await?;
    crowd.led(PATIENCE).await.map(drop)
}
