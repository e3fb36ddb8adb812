//! One render feeds several HAProxies: each goes its own way, and what is wrong with one is nothing to the others.

use std::{net::TcpListener, time::Duration};

use serde_json::Value;
use tests::{Crew, Outcome, PATIENCE, Run, Signal, until, when};
use tokio::time::Instant;

/// For so long HAProxy is waited for that does not answer.
const ANSWER: Duration = Duration::from_secs(5);
/// A text whose reload failed is tried again after so long.
const LATER: Duration = Duration::from_secs(15);
const NOBODY: [u16; 5] = [61_041, 61_043, 61_045, 61_047, 61_049];

fn of(status: &Value, key: &str) -> u64 {
    status[key].as_u64().unwrap_or_default()
}

async fn both_run(crew: &Crew, port: u16) -> Outcome {
    crew.runs(0, port).await?;
    crew.runs(1, port).await
}

fn halt(pids: &[u32], signal: Signal) -> Outcome {
    for pid in pids {
        let pid = rustix::process::Pid::from_raw(i32::try_from(*pid)?).expect("a process id");
        rustix::process::kill_process(pid, signal)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_steered_or_reloaded_as_it_wants() -> Outcome {
    let ways = [(Run::Master, ""), (Run::Tcp, "reload = \"always\"")];
    let mut crew = Crew::start(NOBODY[0], &ways).await?;
    let (a, b) = (crew.mates[0].pid().await?, crew.mates[1].pid().await?);
    crew.say(&[("n", NOBODY[1])], "");
    both_run(&crew, NOBODY[1]).await?;
    crew.shows(1, "a reload of the second", |h| of(h, "reloads") == 1 && h["state"] == "applied").await?;
    let status = crew.shows(0, "a steered first", |h| of(h, "steers") == 1).await?;
    let [first, second] = [&status["haproxies"][0], &status["haproxies"][1]];
    assert_eq!((of(first, "reloads"), of(second, "steers")), (0, 0), "{status:#}");
    assert_eq!(crew.mates[0].pid().await?, a, "it was reloaded");
    crew.mates[1].another(b).await?;
    // Each tells of itself.
    assert_eq!((&first["name"], &second["name"]), (&"a".into(), &"b".into()), "{status:#}");
    assert_eq!(
        (of(&status, "reloads"), of(&status, "steers"), of(&status, "writes")),
        (1, 1, 2),
        "{status:#}"
    );
    assert_eq!(status["reload_reasons"][0]["why"], "b: reload = \"always\"", "{status:#}");
    let (_, metrics) = crew.render.page("metrics").await?;
    for (name, outcome) in [("a", "steered"), ("b", "reloaded")] {
        let line = format!("haproxy=\"{name}\",outcome=\"{outcome}\"}} 1");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    Ok(())
}

/// One that hangs, and then is gone, costs the other nothing; back again, it catches up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_or_is_gone_holds_up_nobody() -> Outcome {
    let mut crew = Crew::start(NOBODY[0], &[(Run::Master, ""), (Run::Master, "")]).await?;
    let a = crew.mates[0].pid().await?;
    let master = crew.mates[1].part.as_ref().expect("it runs").pid();
    let frozen = [master, crew.mates[1].pid().await?];
    halt(&frozen, Signal::STOP)?;
    let mut waits = vec![];
    for round in 0..6 {
        let port = NOBODY[1 + round % 2];
        let from = Instant::now();
        crew.say(&[("m", port)], "");
        crew.runs(0, port).await?;
        waits.push(from.elapsed());
    }
    // Each would have to wait for the one that hangs. A busy machine may hold up one or two.
    waits.sort();
    assert!(waits[waits.len() / 2] < ANSWER, "{waits:?}");
    crew.shows(1, "that the second hangs", |h| h["state"] == "failed" && h["error"].is_string()).await?;
    let status = crew.shows(0, "a first that is fine", |h| h["state"] == "applied").await?;
    assert_eq!(status["state"], "failed", "{status:#}");
    halt(&frozen, Signal::CONT)?;
    both_run(&crew, NOBODY[2]).await?;
    crew.applied().await?;

    crew.mates[1].part.as_mut().expect("it runs").kill()?;
    crew.mates[1].gone().await?;
    for port in [NOBODY[3], NOBODY[4], NOBODY[3]] {
        crew.say(&[("m", port)], "");
        crew.runs(0, port).await?;
    }
    crew.shows(1, "that the second is gone", |h| h["state"] == "pending").await?;
    let status = crew.shows(0, "a first that is fine", |h| h["state"] == "applied").await?;
    assert_eq!(of(&status["haproxies"][0], "reloads"), 0, "{status:#}");
    assert_eq!(crew.mates[0].pid().await?, a, "the first was reloaded");
    crew.mates[1].start().await?;
    both_run(&crew, NOBODY[3]).await?;
    crew.applied().await.map(drop)
}

/// A text that one can take and the other cannot: it stays in its place, and the other tries again. One that nobody can
/// take is taken back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_may_fail_in_one_of_them() -> Outcome {
    let mut crew = Crew::start(NOBODY[0], &[(Run::Master, ""), (Run::Master, "")]).await?;
    let held = crew.mates[1].extra.listen()?;
    crew.say(&[("n", NOBODY[1])], "    bind \"127.0.0.1:${EXTRA}\"");
    crew.runs(0, NOBODY[1]).await?;
    let status = crew.shows(1, "a failed reload", |h| of(h, "reload_failures") == 1).await?;
    assert!(status["error"].to_string().contains("b: HAProxy's reload failed"), "{status:#}");
    crew.shows(0, "a first that took it", |h| of(h, "reloads") == 1 && h["state"] == "applied").await?;
    assert!(crew.text()?.contains("EXTRA"), "the file does not say what the first runs");
    // The first goes on.
    crew.say(&[("o", NOBODY[2])], "    bind \"127.0.0.1:${EXTRA}\"");
    let status = crew.shows(0, "a first that is steered", |h| of(h, "steers") == 1).await?;
    assert_eq!(of(&status["haproxies"][0], "reloads"), 1, "{status:#}");
    drop(held);
    let applied = |s: &Value| s["templates"][0]["state"] == "applied";
    crew.render.shows("that the second took it", LATER + PATIENCE, applied).await?;
    both_run(&crew, NOBODY[2]).await?;

    let both = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    crew.say(&[("p", NOBODY[3])], &format!("    bind {}", both[0].local_addr()?));
    for at in [0, 1] {
        crew.shows(at, "a failed reload", |h| h["state"] == "failed").await?;
    }
    let back = until("the file of before", PATIENCE, async || {
        let text = crew.text()?;
        when(text.contains("EXTRA"), || text.clone())
    });
    crew.render.part.explain(back.await)
}
