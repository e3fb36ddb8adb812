//! HAProxy dies, comes back, is reloaded by somebody else, or its sockets misbehave: render follows what runs, and
//! what is wrong is said.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use serde_json::{Value, json};
use tests::{Front, Outcome, PATIENCE, Special, haproxy, until, when};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

/// Ports of servers that nobody connects to; numbers that stand nowhere else in HAProxy's tables.
const NOBODY: [u16; 4] = [61_011, 61_013, 61_015, 61_017];

async fn steers(front: &Front, times: u64) -> Outcome {
    let steered = |s: &Value| s["templates"][0]["steers"].as_u64() == Some(times);
    front.render.shows("a steered change", PATIENCE, steered).await?;
    front.applied().await
}

/// Waits until another worker serves than this one, and render has seen it.
async fn another(front: &Front, worker: u32) -> Outcome<u32> {
    let new = until("another worker", PATIENCE, async || {
        let now = front.worker().await?;
        when(now != worker, || format!("{now}"))?;
        Ok(now)
    })
    .await?;
    let seen = |s: &Value| s["templates"][0]["haproxy"]["worker_pid"].as_u64() == Some(new.into());
    front.render.shows("the new worker", PATIENCE, seen).await?;
    Ok(new)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_of_somebody_else_is_steered_too() -> Outcome {
    let mut front = Front::start(NOBODY[0], Special::default()).await?;
    let first = front.worker().await?;
    front.say_all(&[("n", NOBODY[1])], "");
    steers(&front, 1).await?;

    haproxy::command(&front.socket(), "reload").await?;
    let second = another(&front, first).await?;
    front.runs(NOBODY[1]).await?;
    front.say_all(&[("o", NOBODY[2])], "");
    steers(&front, 2).await?;
    front.runs(NOBODY[2]).await?;
    assert_eq!(front.worker().await?, second);

    front.haproxy.as_mut().expect("it runs").part.restart()?;
    let third = another(&front, second).await?;
    front.runs(NOBODY[2]).await?;
    front.say_all(&[("p", NOBODY[3])], "");
    steers(&front, 3).await?;
    front.runs(NOBODY[3]).await?;
    assert_eq!(front.worker().await?, third);
    let status = front.render.status().await?;
    assert_eq!(status["templates"][0]["reloads"], 0, "{status:#}");

    // While it is away, the file goes on.
    front.haproxy.as_mut().expect("it runs").part.kill()?;
    haproxy::gone(&front.home().join("stats.sock")).await?;
    front.say_all(&[("q", NOBODY[0])], "");
    let pending = |s: &Value| s["templates"][0]["last"]["outcome"] == "pending";
    front.render.shows("that HAProxy does not run", PATIENCE, pending).await?;
    assert!(front.names(NOBODY[0]));
    front.haproxy.as_mut().expect("it ran").part.restart()?;
    front.applied().await?;
    front.runs(NOBODY[0]).await
}

/// A worker that lost what it was told before the file was written: seen, and made up for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_between_orders_and_file_is_made_up_for() -> Outcome {
    let home = tempfile::tempdir()?;
    let go = home.path().join("go");
    fs::write(&go, "")?;
    let environment = [("GO", go.to_str().unwrap_or_default())];
    let check = "#!/bin/sh\nwhile [ ! -e \"$GO\" ]; do sleep 0.02; done\nexec haproxy \"$@\"\n";
    let special = Special { check: Some(check), environment: &environment, ..Special::default() };
    let mut front = Front::start(NOBODY[0], special).await?;
    let first = front.worker().await?;
    fs::remove_file(&go)?;
    front.say_all(&[("n", NOBODY[1])], "");
    front.runs(NOBODY[1]).await?;
    haproxy::command(&front.socket(), "reload").await?;
    another(&front, first).await?;
    front.runs(NOBODY[0]).await?;
    fs::write(&go, "")?;
    front.runs(NOBODY[1]).await?;
    front.applied().await?;
    assert!(front.names(NOBODY[1]));
    Ok(())
}

/// Stands in the place of the stats socket.
fn replace(front: &Front) -> Outcome<(UnixListener, PathBuf)> {
    let (path, real) = (front.home().join("stats.sock"), front.home().join("real.sock"));
    fs::rename(&path, &real)?;
    Ok((UnixListener::bind(path)?, real))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stats_socket_that_is_gone_or_hangs_costs_no_reload() -> Outcome {
    let mut front = Front::start(NOBODY[0], Special::default()).await?;
    let worker = front.worker().await?;
    let (silent, _) = replace(&front)?;
    front.say_all(&[("n", NOBODY[1])], "");
    steers(&front, 1).await?;
    drop(silent);
    fs::remove_file(front.home().join("stats.sock"))?;
    front.say_all(&[("o", NOBODY[2])], "");
    steers(&front, 2).await?;
    front.runs(NOBODY[2]).await?;
    assert_eq!(front.worker().await?, worker);
    Ok(())
}

/// Half an answer is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_an_answer_misleads_nobody() -> Outcome {
    let mut front = Front::start(NOBODY[0], Special::default()).await?;
    front.say_all(&[("m", NOBODY[0]), ("n", NOBODY[1])], "");
    steers(&front, 1).await?;
    let (listener, real) = replace(&front)?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut line = String::new();
            _ = stream.read_to_string(&mut line).await;
            let said = haproxy::command(&real, line.trim()).await.unwrap_or_default();
            // Up to the end of the first server's row.
            let half = said.find(" m ").and_then(|at| Some(at + said[at..].find('\n')? + 1));
            _ = stream.write_all(&said.as_bytes()[..half.unwrap_or(said.len() / 2)]).await;
        }
    });
    front.say_all(&[("m", NOBODY[0]), ("n", NOBODY[1]), ("o", NOBODY[2])], "");
    front.runs(NOBODY[2]).await?;
    front.applied().await?;
    let status = front.render.status().await?;
    let template = &status["templates"][0];
    assert_eq!((&template["drifts"], &template["reloads"]), (&0.into(), &0.into()), "{template:#}");
    Ok(())
}

/// `reload = "never"`: the file is written and waits for somebody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_is_not_allowed_is_waited_for() -> Outcome {
    let special = Special { haproxy: "reload = \"never\"", ..Special::default() };
    let mut front = Front::start(NOBODY[0], special).await?;
    let worker = front.worker().await?;
    front.say_all(&[("n", NOBODY[1])], "");
    steers(&front, 1).await?;
    front.say_all(&[("n", NOBODY[1])], "    maxconn 501");
    let needed = |s: &Value| {
        let template = &s["templates"][0];
        template["state"] == "pending" && template["reload_needed"].to_string().contains("`maxconn` is new")
    };
    front.render.shows("that a reload is needed", PATIENCE, needed).await?;
    assert!(fs::read_to_string(front.config())?.contains("maxconn 501"));
    assert_eq!(front.worker().await?, worker, "it was reloaded");
    // A worker counts as one that read the file when it started in a later second.
    let placed = fs::metadata(front.config())?.ctime() as f64;
    let over = || tests::unix_ms(tokio::time::Instant::now()) >= (placed + 1.0) * 1e3;
    until("the next second", PATIENCE, async || when(over(), || "not yet".into())).await?;
    haproxy::command(&front.socket(), "reload").await?;
    another(&front, worker).await?;
    front.applied().await?;
    front.say_all(&[("o", NOBODY[2])], "    maxconn 501");
    steers(&front, 2).await
}

/// `reload = "always"`: each change of what HAProxy runs is a reload, and each reload has its reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_are_counted_by_their_reason() -> Outcome {
    let special =
        Special { haproxy: "reload = \"always\"\n    reload_interval = \"0s\"", ..Special::default() };
    let mut front = Front::start(NOBODY[0], special).await?;
    let before = front.render.status().await?["templates"][0]["reloads"].as_u64().unwrap_or_default();
    let counted = async |front: &Front, count: u64, reasons: Value| {
        let counted = |s: &Value| {
            let template = &s["templates"][0];
            let counted = template["reload_reasons"] == reasons && template["state"] == "applied";
            counted && template["reloads"].as_u64() == Some(before + count) && template["steers"] == 0
        };
        front.render.shows("the reloads by their reasons", PATIENCE, counted).await.map(drop)
    };
    let worker = front.worker().await?;
    front.say_all(&[("n", NOBODY[1])], "");
    counted(&front, 1, json!([{ "why": "reload = \"always\"", "count": 1 }])).await?;
    assert_ne!(front.worker().await?, worker);
    front.say_all(&[("o", NOBODY[2])], "");
    counted(&front, 2, json!([{ "why": "reload = \"always\"", "count": 2 }])).await?;
    // A comment is nothing to HAProxy.
    let worker = front.worker().await?;
    front.say_all(&[("o", NOBODY[2])], "    # a comment");
    until("the comment", PATIENCE, async || {
        when(fs::read_to_string(front.config())?.contains("# a comment"), || "not yet".into())
    })
    .await?;
    front.applied().await?;
    assert_eq!(front.worker().await?, worker);
    front.say_all(&[("o", NOBODY[2])], "    maxconn 501");
    let reasons = json!([
        { "why": "frontend in: `maxconn` is new (line 18)", "count": 1 },
        { "why": "reload = \"always\"", "count": 2 },
    ]);
    counted(&front, 3, reasons).await?;
    front.runs(NOBODY[2]).await
}
