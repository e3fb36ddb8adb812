//! `on_demote = "drain …"`: a server that a text takes out gets nothing new at once, and its clients are cut when their
//! time is over; by orders, by a reload, and when render itself ends in between.

use std::{net::TcpListener, time::Duration};

use tests::{Client, Front, Outcome, PATIENCE, Port, Signal, Special};
use tokio::time::Instant;

/// Long enough for the rest to happen meanwhile on a busy machine.
const TIME: Duration = Duration::from_secs(5);
/// Long enough to come back in time on a machine that takes seconds for each step.
const TO_COME_BACK: Duration = Duration::from_secs(15);
const DRAIN: Special<'static> =
    Special { haproxy: "on_demote = \"drain 5s\"", check: None, master: None, other: None, environment: &[] };

/// A server that takes connections.
pub(crate) fn server() -> Outcome<(Port, TcpListener)> {
    let port = Port::lease()?;
    let listener = port.listen()?;
    listener.set_nonblocking(true)?;
    Ok((port, listener))
}

/// A client that holds its connection to this server.
pub(crate) async fn held(front: &Front, listener: &TcpListener) -> Outcome<Client> {
    front.render.part.explain(Client::arrive(front.bind.address(), listener).await)
}

/// Whoever comes now reaches this server.
async fn all_reach(front: &Front, listener: &TcpListener) -> Outcome {
    for _ in 0..3 {
        let client = Client::arrive_at_once(front.bind.address(), listener).await;
        front.render.part.explain(client)?;
    }
    Ok(())
}

/// Waits until HAProxy closes its connection.
pub(crate) async fn cut(front: &Front, client: &Client) -> Outcome {
    front.render.part.explain(client.cut().await)
}

fn is_steered(status: &serde_json::Value) -> bool {
    status["templates"][0]["steers"] == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_demoted_server_have_some_time_left() -> Outcome {
    let ((one, first), (two, second)) = (server()?, server()?);
    let mut front = Front::start(one.number(), DRAIN).await?;
    let worker = front.worker().await?;
    let client = held(&front, &first).await?;

    // By orders: new connections go to the new server while the old one's client goes on.
    let said = Instant::now();
    front.say_all(&[("n", two.number())], "");
    let stays = held(&front, &second).await?;
    front.render.shows("that the change is done with", PATIENCE, is_steered).await?;
    all_reach(&front, &second).await?;
    assert!(!client.is_cut() || said.elapsed() >= TIME, "cut after {:?}", said.elapsed());
    cut(&front, &client).await?;
    assert!(said.elapsed() >= TIME, "cut after {:?}", said.elapsed());
    assert!(!stays.is_cut());
    front.applied().await?;
    let settled = |s: &serde_json::Value| {
        // HAProxy keeps what it brought there before the switch for as long as nobody takes it and lets it go.
        while first.accept().is_ok() {}
        let template = &s["templates"][0];
        template["leaving_servers"] == 0 && template["drifts"] == 0
    };
    front.render.shows("that the server is deleted, and nothing ran otherwise", PATIENCE, settled).await?;
    assert_eq!(front.worker().await?, worker, "it was reloaded");

    // By a reload: the old worker's client has as much time.
    let said = Instant::now();
    front.say_all(&[("o", one.number())], "    maxconn 501");
    let _new = held(&front, &first).await?;
    assert!(!stays.is_cut() || said.elapsed() >= TIME, "cut after {:?}", said.elapsed());
    cut(&front, &stays).await?;
    assert!(said.elapsed() >= TIME, "cut after {:?}", said.elapsed());
    all_reach(&front, &first).await?;
    assert_ne!(front.worker().await?, worker, "it was not reloaded");
    Ok(())
}

/// Whoever has time left is cut when render is told to end, and by its next run if it was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_left_when_render_ends() -> Outcome {
    let ((one, first), (two, second)) = (server()?, server()?);
    let special = Special { haproxy: "on_demote = \"drain 1h\"", ..Special::default() };
    let mut front = Front::start(one.number(), special).await?;
    let client = held(&front, &first).await?;
    front.say_all(&[("n", two.number())], "");
    let other = held(&front, &second).await?;
    // A change whose check is cut off costs a reload, and what an old worker holds has its time anew.
    front.render.shows("that the change is done with", PATIENCE, is_steered).await?;
    assert!(!client.is_cut());
    front.render.part.signal(Signal::TERM)?;
    front.render.part.end(PATIENCE).await?;
    cut(&front, &client).await?;

    front.render.part.restart()?;
    front.applied().await?;
    front.say_all(&[("m", one.number())], "");
    let third = held(&front, &first).await?;
    front.render.shows("that the change is done with", PATIENCE, is_steered).await?;
    assert!(!other.is_cut());
    front.render.part.signal(Signal::KILL)?;
    front.render.part.end(PATIENCE).await?;
    assert!(!other.is_cut(), "who was it?");
    front.render.part.restart()?;
    cut(&front, &other).await?;
    assert!(!third.is_cut());
    Ok(())
}

/// One that comes back before its time is over keeps its clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_in_time_keeps_its_clients() -> Outcome {
    let ((one, first), (two, second)) = (server()?, server()?);
    let special = Special { haproxy: "on_demote = \"drain 15s\"", ..Special::default() };
    let mut front = Front::start(one.number(), special).await?;
    let worker = front.worker().await?;
    let client = held(&front, &first).await?;
    front.say_all(&[("n", two.number())], "");
    let other = held(&front, &second).await?;
    let back = Instant::now();
    front.say_all(&[("m", one.number())], "");
    let _again = held(&front, &first).await?;
    // The time of the other one begins after that of the first one would have been over.
    cut(&front, &other).await?;
    assert!(back.elapsed() >= TO_COME_BACK, "cut after {:?}", back.elapsed());
    assert!(!client.is_cut(), "a server that serves again lost its clients");
    assert_eq!(front.worker().await?, worker, "it was reloaded");
    Ok(())
}
