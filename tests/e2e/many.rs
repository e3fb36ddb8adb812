//! A thousand questions, more than Consul takes connections from one address: all are answered, and others on the machine
//! still get through.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tests::{
    Outcome, PATIENCE, Rolecall,
    consul::{Access, Agent},
    until, when,
};
use tokio::time::Instant;

const QUESTIONS: usize = 1000;
/// A thousand first answers, or eighty writes to Consul's disk, take their time on a busy machine.
const ALL: Duration = Duration::from_secs(120);

/// A template of all keys, and what its file should hold.
struct Many {
    server: Agent,
    render: Rolecall,
    out: PathBuf,
    expected: Vec<String>,
    began: Instant,
    _home: TempDir,
}

impl Many {
    async fn start(prepare: impl AsyncFn(&Agent) -> Outcome) -> Outcome<Many> {
        let home = tempdir()?;
        let server = Agent::server(home.path(), Access::Open)?;
        server.ready().await?;
        prepare(&server).await?;
        for n in 0..QUESTIONS {
            server.put(&format!("kv/{}", key(n)), format!("{n}.0")).await?;
        }
        let (template, out) = (home.path().join("t.hbs"), home.path().join("out"));
        let lines: String = (0..QUESTIONS).map(|n| format!("{{{{key \"{}\"}}}}\n", key(n))).collect();
        fs::write(&template, lines)?;
        let config = format!(
            "consul {{\n  address = \"{}\"\n}}\ntemplate {{\n  source = \"{}\"\n  destination = \"{}\"\n}}\n",
            server.address(),
            template.display(),
            out.display()
        );
        let began = Instant::now();
        let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
        let expected = (0..QUESTIONS).map(|n| format!("{n}.0")).collect();
        let many = Many { server, render, out, expected, began, _home: home };
        many.holds("each key", ALL).await?;
        Ok(many)
    }

    async fn holds(&self, what: &str, limit: Duration) -> Outcome {
        let text = self.expected.iter().map(|line| format!("{line}\n")).collect::<String>();
        let held = until(format!("the file to hold {what}"), limit, async || {
            let found = fs::read_to_string(&self.out).unwrap_or_default();
            let other = found.lines().zip(&self.expected).find(|(found, expected)| found != expected);
            when(found == text, || format!("{} lines, other: {other:?}", found.lines().count()))
        });
        self.render.part.explain(held.await)
    }

    async fn change(&mut self, n: usize, to: &str) -> Outcome {
        self.expected[n] = format!("{n}.{to}");
        self.server.put(&format!("kv/{}", key(n)), &self.expected[n]).await?;
        self.holds(&format!("what key {n} became"), PATIENCE).await
    }
}

fn key(n: usize) -> String {
    format!("many/{n:04}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_questions_than_connections_are_all_followed() -> Outcome {
    let mut many = Many::start(async |_| Ok(())).await?;
    // As long as answers were outstanding, a filling each 100 ms, and not one for each answer.
    let status = many.render.status().await?;
    let most = 3 + many.began.elapsed().as_millis() / 100;
    let evaluations = status["templates"][0]["evaluations"].as_u64().unwrap_or(u64::MAX);
    when(u128::from(evaluations) <= most, || format!("{evaluations} evaluations, at most {most}"))?;
    // Of those that are asked in turn, of those that are held, and one over and over.
    for (round, n) in [0, 499, 999, 0, 0, 500].into_iter().enumerate() {
        many.change(n, &(round + 1).to_string()).await?;
    }
    let sockets = sockets(many.render.part.pid())?;
    many.render.part.explain(when((16..=110).contains(&sockets), || format!("it has {sockets} sockets open")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_begin_alike_are_asked_for_together() -> Outcome {
    const CHANGES: usize = 20;
    let mut many = Many::start(async |_| Ok(())).await?;
    // In its turn, none would wait for so long.
    rests(&many.render, 73, 5_000).await?;
    // Each against the order in which they would have their turns.
    for n in (0..QUESTIONS).step_by(QUESTIONS / CHANGES).collect::<Vec<_>>().into_iter().rev() {
        many.change(n, "1").await?;
    }
    // One that goes is told as well, and one that comes.
    many.server.delete(&format!("kv/{}", key(7))).await?;
    let gone = async |many: &Many| {
        let status = many.render.status().await?;
        let blocked = status["templates"][0]["blocked_by"].to_string();
        when(blocked.contains(&key(7)), || blocked.clone())
    };
    until("that a key is gone", PATIENCE, async || gone(&many).await).await?;
    many.change(7, "back").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_asked_for_in_parts() -> Outcome {
    let large = async |server: &Agent| {
        for n in 0..10 {
            server.put(&format!("kv/many/0{n}/large"), "x".repeat(400_000)).await?;
        }
        Ok(())
    };
    let mut many = Many::start(large).await?;
    until("that it is told", PATIENCE, async || {
        let log = many.render.part.log();
        when(log.contains("overview=kv/many/0") && log.contains("larger than"), || "not yet".into())
    })
    .await?;
    for n in [0, 499, 999] {
        many.change(n, "1").await?;
    }
    Ok(())
}

/// Waits until more questions than have seats were not asked for so long.
async fn rests(render: &Rolecall, seats: usize, age_ms: u64) -> Outcome {
    let rests = |status: &Value| {
        let queries = status["queries"].as_array().into_iter().flatten();
        let ages = queries.filter_map(|query| query["age_ms"].as_u64());
        ages.filter(|age| *age >= age_ms).count() > seats
    };
    render.shows("that questions without a seat rest", PATIENCE, rests).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_a_seat_is_asked_for_when_it_changes() -> Outcome {
    const SERVICES: usize = 40;
    let home = tempdir()?;
    let server = Agent::server(home.path(), Access::Open)?;
    server.ready().await?;
    let register = async |n: usize, address: &str| {
        let mut entry = json!({ "Name": format!("s{n}"), "Address": address, "Port": 80 });
        if n + 1 < SERVICES {
            entry["Check"] = json!({ "TTL": "10m", "Status": "passing" });
        }
        server.put("agent/service/register", entry).await.map(drop)
    };
    let (template, out) = (home.path().join("t.hbs"), home.path().join("out"));
    let line =
        |n| format!("{{{{#each (service \"s{n}|any\")}}}}{{{{Address}}}} {{{{Status}}}}{{{{/each}}}}\n");
    fs::write(&template, (0..SERVICES).map(line).collect::<String>())?;
    let mut expected: Vec<String> = vec![];
    for n in 0..SERVICES {
        register(n, "10.0.0.1").await?;
        expected.push("10.0.0.1 passing".into());
    }
    let config = format!(
        "consul {{\n  address = \"{}\"\n  max_connections = 16\n}}\ntemplate {{\n  source = \"{}\"\n  destination = \
         \"{}\"\n}}\n",
        server.address(),
        template.display(),
        out.display()
    );
    let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
    let holds = async |expected: &[String]| {
        let text = expected.iter().map(|line| format!("{line}\n")).collect::<String>();
        let held = until("the file to hold each", PATIENCE, async || {
            let found = fs::read_to_string(&out).unwrap_or_default();
            when(found == text, || found.clone())
        });
        render.part.explain(held.await)
    };
    holds(&expected).await?;
    // In its turn, none would wait for so long.
    rests(&render, 6, 4_000).await?;
    for n in (0..SERVICES - 1).step_by(2).rev() {
        let body = json!({ "Status": "critical" });
        server.put(&format!("agent/check/update/service:s{n}"), body).await?;
        expected[n] = "10.0.0.1 critical".into();
        holds(&expected).await?;
    }
    // An address, of one that has no check.
    register(SERVICES - 1, "10.0.0.2").await?;
    expected[SERVICES - 1] = "10.0.0.2 passing".into();
    holds(&expected).await?;
    server.put("agent/service/deregister/s1", "").await?;
    expected[1] = String::new();
    holds(&expected).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_for_the_templates_that_asked() -> Outcome {
    const TEMPLATES: usize = 100;
    let home = tempdir()?;
    let server = Agent::server(home.path(), Access::Open)?;
    server.ready().await?;
    let mut config = format!("consul {{\n  address = \"{}\"\n}}\n", server.address());
    let out = |n: usize| home.path().join(format!("{n}.out"));
    for n in 0..TEMPLATES {
        server.put(&format!("kv/own/{n}"), "0").await?;
        let source = home.path().join(format!("{n}.hbs"));
        // Each shares one of ten keys with nine others.
        fs::write(&source, format!("{{{{key \"own/{n}\"}}}} {{{{keyExists \"shared/{}\"}}}}\n", n % 10))?;
        let (source, out) = (source.display(), out(n).display().to_string());
        config += &format!("template {{\n  source = \"{source}\"\n  destination = \"{out}\"\n}}\n");
    }
    let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
    render.ready().await?;
    let evaluations = async || -> Outcome<Vec<u64>> {
        let (_, text) = render.page("metrics").await?;
        let count = |n: usize| {
            let name = format!("rolecall_render_evaluations_total{{destination=\"{}\"}} ", out(n).display());
            text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
        };
        Ok((0..TEMPLATES).map(count).collect())
    };
    let before = evaluations().await?;
    assert!(before.iter().all(|count| (1..=4).contains(count)), "{before:?}");
    let holds = async |n: usize, expected: &str| {
        let held = until(format!("file {n} to hold {expected:?}"), PATIENCE, async || {
            let text = fs::read_to_string(out(n)).unwrap_or_default();
            when(text == expected, || text.clone())
        });
        render.part.explain(held.await)
    };
    for round in 1..=5 {
        server.put("kv/own/42", round).await?;
        holds(42, &format!("{round} false\n")).await?;
    }
    server.put("kv/shared/7", "x").await?;
    for n in (7..TEMPLATES).step_by(10) {
        holds(n, "0 true\n").await?;
    }
    let more: Vec<u64> =
        evaluations().await?.iter().zip(before).map(|(after, before)| after - before).collect();
    let expected = (0..TEMPLATES).map(|n| match n {
        42 => 5,
        _ => u64::from(n % 10 == 7),
    });
    render.part.explain(when(more == expected.collect::<Vec<_>>(), || format!("filled again: {more:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn register_keeps_many_services_within_its_connections() -> Outcome {
    const SERVICES: usize = 80;
    let home = tempdir()?;
    let server = Agent::server(home.path(), Access::Open)?;
    server.ready().await?;
    let mut config = format!("consul {{\n  address = \"{}\"\n  max_connections = 16\n}}\n", server.address());
    for n in 0..SERVICES {
        config += &format!(
            "service \"s{n}\" {{\n  id = \"s{n}\"\n  address = \"127.0.0.1\"\n  port = {}\n  probe \"static\" {{\n    role = \
             \"primary\"\n  }}\n}}\n",
            1000 + n
        );
    }
    let register = Rolecall::start("register", "register", home.path(), &config, vec![])?;
    let in_sync = |s: &Value| {
        let services = s["services"].as_array().cloned().unwrap_or_default();
        services.len() == SERVICES && services.iter().all(|one| one["agent"]["state"] == "in sync")
    };
    register.shows("that each is registered", ALL, in_sync).await?;
    // Heartbeats have connections of their own, one for each service at most; some sockets are for signals and pages.
    let within = until("few connections", PATIENCE, async || {
        let sockets = sockets(register.part.pid())?;
        when(sockets <= 16 + SERVICES + 16, || format!("it has {sockets} sockets open"))
    });
    register.part.explain(within.await)?;
    // One that has no seat is seen when its turn comes.
    server.put("agent/service/deregister/s7", "").await?;
    until("the lost entry to return", PATIENCE, async || {
        when(!server.entries("s7").await?.is_empty(), || "it is not there".into())
    })
    .await
}

/// How many sockets a process has open, its own listeners among them.
fn sockets(pid: u32) -> Outcome<usize> {
    let files = fs::read_dir(format!("/proc/{pid}/fd"))?;
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    Ok(targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count())
}
