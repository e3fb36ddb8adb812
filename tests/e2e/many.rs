//! A thousand questions, more than Consul takes connections from one address: all are answered, and others on the machine
//! still get through.

use std::fs;

use tempfile::tempdir;
use tests::{
    Outcome, PATIENCE, Rolecall,
    consul::{Access, Agent},
    until, when,
};

const QUESTIONS: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_questions_than_connections_are_all_followed() -> Outcome {
    let home = tempdir()?;
    let server = Agent::server(home.path(), Access::Open)?;
    server.ready().await?;
    let key = |n: usize| format!("many/{n:04}");
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
    let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
    let mut expected: Vec<String> = (0..QUESTIONS).map(|n| format!("{n}.0")).collect();
    let holds = async |expected: &[String], what: &str| {
        let text = expected.iter().map(|line| format!("{line}\n")).collect::<String>();
        let held = until(format!("the file to hold {what}"), PATIENCE, async || {
            let found = fs::read_to_string(&out).unwrap_or_default();
            let other = found.lines().zip(expected).find(|(found, expected)| found != expected);
            when(found == text, || format!("{} lines, other: {other:?}", found.lines().count()))
        });
        render.part.explain(held.await)
    };
    holds(&expected, "each key").await?;
    // Of those that are asked in turn, of those that are held, and one over and over.
    for (round, n) in [0, 499, 999, 0, 0, 500].into_iter().enumerate() {
        expected[n] = format!("{n}.{}", round + 1);
        server.put(&format!("kv/{}", key(n)), &expected[n]).await?;
        holds(&expected, &format!("what key {n} became")).await?;
    }
    let sockets = sockets(render.part.pid())?;
    render.part.explain(when((16..=110).contains(&sockets), || format!("it has {sockets} sockets open")))
}

/// How many sockets a process has open, its own listeners among them.
fn sockets(pid: u32) -> Outcome<usize> {
    let files = fs::read_dir(format!("/proc/{pid}/fd"))?;
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    Ok(targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count())
}
