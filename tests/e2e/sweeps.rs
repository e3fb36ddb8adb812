//! The sweep of old workers compares with what HAProxy runs, and holds up nothing else.

use std::{io::Write, net::TcpStream, time::Duration};

use tests::{Front, Outcome, PATIENCE, Port, Special, until, when};
use tokio::time::Instant;

/// A client that holds its connection.
fn held(front: &Front) -> Outcome<TcpStream> {
    let mut client = TcpStream::connect(front.bind.address())?;
    client.write_all(b"x")?;
    client.set_nonblocking(true)?;
    Ok(client)
}

fn is_cut(client: &TcpStream) -> bool {
    let mut byte = [0];
    !matches!(client.peek(&mut byte), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}

/// A server that is written as a host name moves to another port: what it is called tells nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_by_host_name_that_moved_keeps_nobody() -> Outcome {
    let (one, two) = (Port::lease()?, Port::lease()?);
    let listeners = [one.listen()?, two.listen()?];
    let mut front = Front::start(61_001, Special::default()).await?;
    front.say("localhost", one.number(), "");
    front.runs(one.number()).await?;
    front.applied().await?;
    let client = held(&front)?;
    let _behind = listeners[0].accept()?;

    // An unrelated change: the client stays, on an old worker.
    front.say("localhost", one.number(), "    maxconn 501");
    let reloaded = |s: &serde_json::Value| s["templates"][0]["haproxy"]["old_workers"] == 1;
    front.render.shows("an old worker", PATIENCE, reloaded).await?;
    let swept = |s: &serde_json::Value| s["templates"][0]["last"]["cut_ms"].is_number();
    front.render.shows("a sweep after it", PATIENCE, swept).await?;
    assert!(!is_cut(&client), "a client of a server that stays was cut");

    front.say("localhost", two.number(), "");
    front.runs(two.number()).await?;
    let cut = until("the client of the server that moved to be cut", PATIENCE, async || {
        when(is_cut(&client), || "it lives".into())
    });
    front.render.part.explain(cut.await)
}

/// An old worker that is stopped answers nobody; news reach the file as fast as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_old_worker_delays_no_news() -> Outcome {
    let one = Port::lease()?;
    let listener = one.listen()?;
    let mut front = Front::start(one.number(), Special::default()).await?;
    front.runs(one.number()).await?;
    let _client = held(&front)?;
    let _behind = listener.accept()?;
    let haproxy = front.haproxy.as_ref().expect("it was started");
    let processes = haproxy.processes().await?;
    let worker = processes.iter().find(|p| p.kind == "worker" && !p.old).expect("a worker").pid;
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
    let most = waits.iter().filter(|wait| **wait < Duration::from_secs(1)).count();
    assert!(most > waits.len() / 2, "{waits:?}");
    Ok(())
}
