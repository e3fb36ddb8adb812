//! `on_demote = "drain …"`: a server that a text takes out gets nothing new at once, and its clients are cut when their
//! time is over; by orders, by a reload, and when render itself ends in between.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    time::Duration,
};

use tests::{Front, Outcome, PATIENCE, Port, Signal, Special, until, when};
use tokio::time::Instant;

/// Long enough for the rest to happen meanwhile on a busy machine.
const TIME: Duration = Duration::from_secs(5);
const DRAIN: Special<'static> =
    Special { haproxy: "on_demote = \"drain 5s\"", check: None, master: None, other: None, environment: &[] };

/// A server that takes connections.
fn server() -> Outcome<(Port, TcpListener)> {
    let port = Port::lease()?;
    let listener = port.listen()?;
    listener.set_nonblocking(true)?;
    Ok((port, listener))
}

/// A client that holds its connection, and its end at the server.
async fn held(front: &Front, listener: &TcpListener) -> Outcome<(TcpStream, TcpStream)> {
    while !nothing_new(listener) {}
    let held = until("a connection at the server", PATIENCE, async || {
        let mut client = TcpStream::connect(front.bind.address())?;
        client.write_all(b"x")?;
        client.set_nonblocking(true)?;
        let end = until("it to arrive", Duration::from_millis(200), async || Ok(listener.accept()?));
        Ok((client, end.await?.0))
    });
    front.render.part.explain(held.await)
}

fn is_cut(client: &TcpStream) -> bool {
    let mut byte = [0];
    !matches!(client.peek(&mut byte), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}

async fn cut(front: &Front, client: &TcpStream) -> Outcome {
    let cut = until("the client to be cut", PATIENCE, async || when(is_cut(client), || "not yet".into()));
    front.render.part.explain(cut.await)
}

/// Whether nothing more has arrived at a server.
fn nothing_new(listener: &TcpListener) -> bool {
    matches!(listener.accept(), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_demoted_server_have_some_time_left() -> Outcome {
    let ((one, first), (two, second)) = (server()?, server()?);
    let mut front = Front::start(one.number(), DRAIN).await?;
    let worker = front.worker().await?;
    let (client, _end) = held(&front, &first).await?;

    // By orders: new connections go to the new server while the old one's client goes on.
    let said = Instant::now();
    front.say_all(&[("n", two.number())], "");
    let (stays, _other_end) = held(&front, &second).await?;
    // What came before the switch.
    while !nothing_new(&first) {}
    assert!(!is_cut(&client) || said.elapsed() >= TIME, "cut after {:?}", said.elapsed());
    cut(&front, &client).await?;
    assert!(said.elapsed() >= TIME, "cut after {:?}", said.elapsed());
    assert!(nothing_new(&first) && !is_cut(&stays));
    front.applied().await?;
    let settled = |s: &serde_json::Value| {
        let template = &s["templates"][0];
        template["leaving_servers"] == 0 && template["drifts"] == 0
    };
    front.render.shows("that the server is deleted, and nothing ran otherwise", PATIENCE, settled).await?;
    assert_eq!(front.worker().await?, worker, "it was reloaded");

    // By a reload: the old worker's client has as much time.
    let said = Instant::now();
    front.say_all(&[("o", one.number())], "    maxconn 501");
    let (_new, _end) = held(&front, &first).await?;
    while !nothing_new(&second) {}
    assert!(!is_cut(&stays) || said.elapsed() >= TIME, "cut after {:?}", said.elapsed());
    cut(&front, &stays).await?;
    assert!(said.elapsed() >= TIME, "cut after {:?}", said.elapsed());
    assert!(nothing_new(&second));
    assert_ne!(front.worker().await?, worker, "it was not reloaded");
    Ok(())
}

/// Whoever has time left is cut when render is told to end, and by its next run if it was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_left_when_render_ends() -> Outcome {
    let ((one, first), (two, second)) = (server()?, server()?);
    let special = Special { haproxy: "on_demote = \"drain 1h\"", ..Special::default() };
    let mut front = Front::start(one.number(), special).await?;
    let (client, _end) = held(&front, &first).await?;
    front.say_all(&[("n", two.number())], "");
    let (other, _other_end) = held(&front, &second).await?;
    // A change whose check is cut off costs a reload, and what an old worker holds has its time anew.
    let steered = |s: &serde_json::Value| s["templates"][0]["steers"] == 1;
    front.render.shows("that the change is done with", PATIENCE, steered).await?;
    assert!(!is_cut(&client));
    front.render.part.signal(Signal::TERM)?;
    front.render.part.end(PATIENCE).await?;
    cut(&front, &client).await?;

    front.render.part.restart()?;
    front.applied().await?;
    front.say_all(&[("m", one.number())], "");
    let (third, _end) = held(&front, &first).await?;
    front.render.shows("that the change is done with", PATIENCE, steered).await?;
    assert!(!is_cut(&other));
    front.render.part.signal(Signal::KILL)?;
    front.render.part.end(PATIENCE).await?;
    assert!(!is_cut(&other), "who was it?");
    front.render.part.restart()?;
    cut(&front, &other).await?;
    assert!(!is_cut(&third));
    Ok(())
}

/// One that comes back before its time is over keeps its clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_in_time_keeps_its_clients() -> Outcome {
    let ((one, first), (two, second)) = (server()?, server()?);
    let mut front = Front::start(one.number(), DRAIN).await?;
    let worker = front.worker().await?;
    let (client, _end) = held(&front, &first).await?;
    front.say_all(&[("n", two.number())], "");
    let (other, _other_end) = held(&front, &second).await?;
    front.say_all(&[("m", one.number())], "");
    let back = Instant::now();
    let (_again, _end_again) = held(&front, &first).await?;
    // The time of the other one begins after that of the first one would have been over.
    cut(&front, &other).await?;
    assert!(back.elapsed() >= TIME);
    assert!(!is_cut(&client), "a server that serves again lost its clients");
    assert_eq!(front.worker().await?, worker, "it was reloaded");
    Ok(())
}
