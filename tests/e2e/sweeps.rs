//! The sweep of old workers compares with what HAProxy runs, and holds up nothing else.

use std::time::Duration;

use tests::{Client, Front, Outcome, PATIENCE, Port, Special, until, when};
use tokio::time::Instant;

/// For so long HAProxy is waited for that does not answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A server that is written as a host name moves to another port: what it is called tells nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_by_host_name_that_moved_keeps_nobody() -> Outcome {
    let (one, two) = (Port::lease()?, Port::lease()?);
    let listeners = [one.listen()?, two.listen()?];
    let mut front = Front::start(61_001, Special::default()).await?;
    front.say("localhost", one.number(), "");
    front.runs(one.number()).await?;
    front.applied().await?;
    let client = Client::arrive(front.bind.address(), &listeners[0]).await?;

    // An unrelated change: the client stays, on an old worker.
    front.say("localhost", one.number(), "    maxconn 501");
    let reloaded = |s: &serde_json::Value| s["templates"][0]["haproxy"]["old_workers"] == 1;
    front.render.shows("an old worker", PATIENCE, reloaded).await?;
    let swept = |s: &serde_json::Value| s["templates"][0]["last"]["cut_ms"].is_number();
    front.render.shows("a sweep after it", PATIENCE, swept).await?;
    assert!(!client.is_cut(), "a client of a server that stays was cut");

    front.say("localhost", two.number(), "");
    front.runs(two.number()).await?;
    front.render.part.explain(client.cut().await)
}

/// An old worker that is stopped answers nobody; news reach the file as fast as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_old_worker_delays_no_news() -> Outcome {
    let one = Port::lease()?;
    let listener = one.listen()?;
    let mut front = Front::start(one.number(), Special::default()).await?;
    front.runs(one.number()).await?;
    let _client = Client::arrive(front.bind.address(), &listener).await?;
    let worker = front.worker().await?;
    let worker = rustix::process::Pid::from_raw(i32::try_from(worker)?).expect("a process id");
    rustix::process::kill_process(worker, rustix::process::Signal::STOP)?;

    let mut waits = Vec::new();
    for port in 61_001..=61_006_u16 {
        let from = Instant::now();
        // A reload each time: orders would leave no old worker.
        front.say("127.0.0.1", port, &format!("    maxconn {}", port / 100 + port % 100));
        until("the news in the file", PATIENCE, async || when(front.names(port), || "not yet".into()))
            .await?;
        waits.push(from.elapsed());
        front.applied().await?;
        front.runs(port).await?;
    }
    rustix::process::kill_process(worker, rustix::process::Signal::CONT)?;
    // A busy machine delays some; a worker that is waited for would delay all.
    let most = waits.iter().filter(|wait| **wait < ANSWER).count();
    assert!(most > waits.len() / 2, "{waits:?}");
    Ok(())
}
