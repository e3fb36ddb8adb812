//! What HAProxy is told does not wait for the check of an earlier text: a later one takes its turn, and what HAProxy runs
//! comes into the file all the same.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;
use tests::{Front, Outcome, PATIENCE, Special, until, when};

const NOBODY: [u16; 3] = [61_061, 61_063, 61_067];

/// A front whose checks wait as long as the file is there that is told beside it.
async fn front(haproxy: &str) -> Outcome<(Front, PathBuf, TempDir)> {
    let home = tempfile::tempdir()?;
    let held = home.path().join("held");
    let check = "#!/bin/sh\nsleep 0.1\nwhile [ -e \"$HELD\" ]; do sleep 0.02; done\nexec haproxy \"$@\"\n";
    let environment = [("HELD", held.to_str().unwrap_or_default())];
    let special = Special { check: Some(check), environment: &environment, haproxy, ..Special::default() };
    Ok((Front::start(NOBODY[0], special).await?, held, home))
}

/// The file names this port, and HAProxy came to it without a reload.
async fn written(front: &Front, port: u16, worker: u32) -> Outcome {
    let written =
        until("the file to name the server", PATIENCE, async || when(front.names(port), || "not yet".into()));
    front.render.part.explain(written.await)?;
    front.runs(port).await?;
    assert_eq!(front.worker().await?, worker, "it was reloaded");
    Ok(())
}

/// HAProxy runs a server at `port` whose text is not checked yet.
async fn told(front: &mut Front, held: &Path, port: u16) -> Outcome<u32> {
    let worker = front.worker().await?;
    fs::write(held, "")?;
    front.say_all(&[("n", port)], "");
    front.runs(port).await?;
    Ok(worker)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_text_does_not_wait_for_a_check() -> Outcome {
    let (mut front, held, _home) = front("").await?;
    let worker = told(&mut front, &held, NOBODY[1]).await?;
    front.say_all(&[("o", NOBODY[2])], "");
    front.runs(NOBODY[2]).await?;
    assert!(front.names(NOBODY[0]), "a text was written before its check ended");
    fs::remove_file(&held)?;
    written(&front, NOBODY[2], worker).await?;
    front.applied().await?;
    let status = front.render.status().await?;
    assert_eq!(status["templates"][0]["steers"], 2, "{status:#}");
    assert_eq!(status["templates"][0]["writes"], 2, "the text between was written: {status:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_written_though_changes_never_end() -> Outcome {
    let (mut front, ..) = front("").await?;
    let mut n = 0;
    let before = front.text()?;
    let written = until("the file to be written", PATIENCE, async || {
        n += 1;
        front.say_all(&[("n", NOBODY[1 + n % 2])], "");
        let now = front.text()?;
        when(now != before, || now.clone())
    });
    written.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_haproxy_was_told_is_kept_where_nothing_better_comes() -> Outcome {
    let (mut front, held, _home) = front("min_instances = 1").await?;
    let worker = told(&mut front, &held, NOBODY[1]).await?;
    front.say_all(&[], "");
    fs::remove_file(&held)?;
    written(&front, NOBODY[1], worker).await?;
    let said =
        |s: &Value| s["templates"][0]["error"].to_string().contains("out would be left with 0 servers");
    front.render.shows("why nothing else was done", PATIENCE, said).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_haproxy_was_told_is_written_where_a_later_text_is_refused() -> Outcome {
    let (mut front, held, _home) = front("").await?;
    let worker = told(&mut front, &held, NOBODY[1]).await?;
    front.say_all(&[("o", NOBODY[2])], "    no-such-word");
    fs::remove_file(&held)?;
    let refused = |s: &Value| s["templates"][0]["error"].to_string().contains("no-such-word");
    front.render.shows("what HAProxy refuses", PATIENCE, refused).await?;
    written(&front, NOBODY[1], worker).await
}
