//! A server that a new text takes out loses its clients before the check and the reload, on whichever worker they
//! are; and has them back when the text does not come into use.

use std::{fs, path::Path};

use serde_json::Value;
use tests::{Front, Outcome, PATIENCE, Signal, Special, haproxy, until, when};

use crate::demoted::{cut, held, server};

/// A check that waits for its word: `go`, or `refuse`.
const CHECK: &str = "#!/bin/sh\n\
    while [ ! -s \"$WORD\" ]; do sleep 0.02; done\n\
    [ \"$(cat \"$WORD\")\" = go ] || exit 1\n\
    exec haproxy \"$@\"\n";

/// Each makes a text one that no order can bring about.
const RELOADS: [&str; 2] = ["    maxconn 501", "    maxconn 502"];

async fn front(port: u16, word: &Path) -> Outcome<Front> {
    fs::write(word, "go")?;
    let environment = [("WORD", word.to_str().unwrap_or_default())];
    Front::start(port, Special { check: Some(CHECK), environment: &environment, ..Special::default() }).await
}

/// Whether the worker that serves has the server out of service.
async fn is_out(front: &Front) -> Outcome<bool> {
    let table = haproxy::command(&front.socket(), "@1 show servers state out").await?;
    let row = table.lines().find(|line| line.contains(" out ")).unwrap_or_default().to_owned();
    let admin: u32 = row.split_whitespace().nth(6).unwrap_or_default().parse()?;
    Ok(admin & 1 != 0)
}

async fn serves(front: &Front) -> Outcome {
    let serves = until("the server to serve again", PATIENCE, async || {
        when(!is_out(front).await?, || "it is out".into())
    });
    front.render.part.explain(serves.await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_departing_server_are_cut_before_the_check() -> Outcome {
    let ((one, first), (two, second)) = (server()?, server()?);
    let home = tempfile::tempdir()?;
    let word = home.path().join("word");
    let mut front = front(one.number(), &word).await?;
    let on_the_old = held(&front, &first).await?;
    front.say("127.0.0.1", one.number(), RELOADS[0]);
    front.render.shows("a reload", PATIENCE, |s| s["templates"][0]["haproxy"]["old_workers"] == 1).await?;
    front.applied().await?;
    let on_the_present = held(&front, &first).await?;
    assert!(!on_the_old.is_cut(), "an unrelated reload cut it");

    fs::write(&word, "")?;
    front.say("127.0.0.1", two.number(), RELOADS[1]);
    cut(&front, &on_the_present).await?;
    cut(&front, &on_the_old).await?;
    assert!(is_out(&front).await?, "new clients still come to it");
    assert!(front.names(one.number()), "the check did not hold the text back");
    fs::write(&word, "go")?;
    front.runs(two.number()).await?;
    front.applied().await?;
    held(&front, &second).await?;
    let last = &front.render.status().await?["templates"][0]["last"];
    assert!(last["steered_ms"].as_f64() < last["checked_ms"].as_f64(), "{last:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_text_gives_the_server_back_and_cuts_once() -> Outcome {
    let ((one, first), (two, _second)) = (server()?, server()?);
    let home = tempfile::tempdir()?;
    let word = home.path().join("word");
    let mut front = front(one.number(), &word).await?;
    let client = held(&front, &first).await?;

    fs::write(&word, "refuse")?;
    front.say("127.0.0.1", two.number(), RELOADS[0]);
    cut(&front, &client).await?;
    let refused = |s: &Value| s["templates"][0]["last"]["outcome"] == "refused";
    front.render.shows("a refused text", PATIENCE, refused).await?;
    serves(&front).await?;
    let client = held(&front, &first).await?;
    let refusals = until("two more refusals", PATIENCE, async || {
        let (_, page) = front.render.page("metrics").await?;
        let line =
            page.lines().find(|line| line.contains("outcome=\"refused\"")).unwrap_or_default().to_owned();
        let count: f64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
        when(count >= 3.0, || line)
    });
    front.render.part.explain(refusals.await)?;
    assert!(!client.is_cut(), "the same text cut again");
    assert!(
        !fs::exists(front.home().join(".haproxy.cfg.previous"))?,
        "the file is in use, and no doubt is left"
    );
    Ok(())
}

/// Killed or told to end between the orders and the check: the server is back as soon as somebody can see to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ends_in_between_leaves_no_server_out() -> Outcome {
    let ((one, first), (two, _second)) = (server()?, server()?);
    let home = tempfile::tempdir()?;
    let word = home.path().join("word");
    let mut front = front(one.number(), &word).await?;
    for signal in [Signal::TERM, Signal::KILL] {
        let client = held(&front, &first).await?;
        fs::write(&word, "")?;
        front.say("127.0.0.1", two.number(), RELOADS[0]);
        cut(&front, &client).await?;
        front.render.part.signal(signal)?;
        front.render.part.end(PATIENCE).await?;
        // It ends while it starts a check.
        front.render.gone().await?;
        assert_eq!(is_out(&front).await?, signal == Signal::KILL);
        front.say("127.0.0.1", one.number(), "");
        fs::write(&word, "go")?;
        front.render.part.restart()?;
        serves(&front).await?;
        front.applied().await?;
    }
    Ok(())
}
