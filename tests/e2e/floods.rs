//! Many changes at once, or the same one again and again: HAProxy ends where the last answer wants it, without a reload.

use std::{io::Write, net::TcpStream, time::Duration};

use serde_json::Value;
use tests::{Crew, Front, Outcome, PATIENCE, Port, Run, Special, haproxy, kept_mb, until, when};

/// A thousand servers take their time on a busy machine.
const MANY: Duration = Duration::from_secs(120);

fn is_cut(client: &TcpStream) -> bool {
    let mut byte = [0];
    !matches!(client.peek(&mut byte), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}

/// Servers of the pool, each by its name, from this port on; nobody connects to them.
fn pool(prefix: &str, count: u16, from: u16) -> Vec<(String, u16)> {
    (0..count).map(|n| (format!("{prefix}{n}"), from + n)).collect()
}

/// The names and ports that a backend runs.
fn table(said: &str) -> Vec<(String, u16)> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(((*words.get(3)?).to_owned(), words.get(18)?.parse().ok()?))
    };
    let mut rows: Vec<_> = said.lines().skip(2).filter_map(row).collect();
    rows.sort();
    rows
}

async fn pool_is(crew: &Crew, mut wanted: Vec<(String, u16)>) -> Outcome {
    wanted.sort();
    let is = until(format!("the pool of {} servers", wanted.len()), MANY, async || {
        let runs = table(&crew.mates[0].ask("show servers state pool").await?);
        when(runs == wanted, || format!("{} servers: {:?}", runs.len(), runs.first()))
    });
    crew.render.part.explain(is.await)
}

/// What HAProxy says of the pool's servers, once it has time to.
async fn pool_of(front: &Front) -> Outcome<String> {
    until("HAProxy to answer", PATIENCE, async || {
        haproxy::command(&front.socket(), "@1 show servers state pool").await
    })
    .await
}

fn of(status: &Value, key: &str) -> u64 {
    status[key].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_servers_are_replaced_at_once() -> Outcome {
    let mut crew = Crew::start(61_061, &[(Run::Master, "")]).await?;
    let before = of(&crew.applied().await?, "reloads");
    let (worker, m) = (crew.mates[0].pid().await?, [("m", 61_061)]);
    let (old, new) = (pool("a", 1000, 20_000), pool("b", 1000, 30_000));
    crew.say_pool(&m, &old);
    pool_is(&crew, old.clone()).await?;
    crew.say_pool(&m, &new);
    pool_is(&crew, new.clone()).await?;
    // The same names at other places.
    let moved: Vec<_> = new.iter().map(|(name, port)| (name.clone(), port + 10_000)).collect();
    crew.say_pool(&m, &moved);
    pool_is(&crew, moved.clone()).await?;
    crew.say_pool(&m, &old);
    pool_is(&crew, old.clone()).await?;
    let tidy = |h: &Value| of(h, "leaving_servers") == 0 && h["state"] == "applied";
    let status = crew.shows(0, "that nothing is left over", tidy).await?;
    assert_eq!((of(&status, "reloads"), of(&status, "drifts")), (before, 0), "{}", status["reload_reasons"]);
    assert_eq!(crew.mates[0].pid().await?, worker, "it was reloaded");
    let text = crew.text()?;
    assert!(old.iter().all(|(name, port)| text.contains(&format!("server {name} 127.0.0.1:{port}\n"))));
    Ok(())
}

/// Connections come all the while, and one of them stays from the beginning to the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_flap_a_hundred_times() -> Outcome {
    let (one, two) = (Port::lease()?, Port::lease()?);
    let (first, second) = (one.listen()?, two.listen()?);
    for listener in [first, second] {
        std::thread::spawn(move || {
            let taken: Vec<TcpStream> = listener.incoming().flatten().collect();
            drop(taken);
        });
    }
    let mut front = Front::start(61_071, Special::default()).await?;
    let (m, stays) = (("m", 61_071), ("s".to_owned(), one.number()));
    let both = [stays.clone(), ("f".to_owned(), two.number())];
    front.say_pool(&[m], &both);
    let steered = async |front: &Front, times: u64| {
        let steered = |s: &Value| {
            let template = &s["templates"][0];
            of(template, "steers") >= times && template["state"] == "applied"
        };
        Ok::<_, tests::Trouble>(
            front.render.shows("a steered change", PATIENCE, steered).await?["templates"][0].clone(),
        )
    };
    let before = of(&steered(&front, 1).await?, "reloads");
    let worker = front.worker().await?;
    let mut clients = vec![];
    let mut memory = vec![];
    for round in 1..=100 {
        for (half, servers) in [(0, &both[..1]), (1, &both[..])] {
            front.say_pool(&[m], servers);
            steered(&front, 2 * round + half).await?;
            // A round robin gives the flapping server every second one.
            for _ in 0..2 {
                let mut client = TcpStream::connect(front.pool.address())?;
                client.write_all(b"x")?;
                client.set_nonblocking(true)?;
                clients.push(client);
            }
        }
        if round % 25 == 0 {
            memory.push(kept_mb(front.render.part.pid())?);
        }
        clients.drain(1..clients.len().saturating_sub(20).max(1));
    }
    let status = steered(&front, 201).await?;
    assert!(!is_cut(&clients[0]), "the first client was cut");
    assert_eq!((of(&status, "reloads"), of(&status, "leaving_servers")), (before, 0), "{status:#}");
    assert_eq!(front.worker().await?, worker, "it was reloaded");
    let table = pool_of(&front).await?;
    assert_eq!(table.lines().skip(2).filter(|line| !line.is_empty()).count(), 2, "{table}");
    assert!(memory[3] <= memory[0] + 4.0, "memory grew: {memory:?} MB");
    Ok(())
}

/// By the word of the configuration, an upstream that empties is followed, held back, or wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_may_empty() -> Outcome {
    for (word, state) in [("allow", "applied"), ("keep", "applied"), ("fail", "failed")] {
        let special = Special { haproxy: &format!("on_empty = \"{word}\""), ..Special::default() };
        let mut front = Front::start(61_081, special).await?;
        front.say_all(&[], "");
        let told = |s: &Value| {
            let template = &s["templates"][0];
            let why = [&template["held_back"], &template["error"]]
                .map(|said| said.as_str().unwrap_or_default())
                .concat();
            template["state"] == state
                && match word {
                    "allow" => template["writes"] == 2,
                    word => {
                        why.contains(&format!("out would lose its last server, and on_empty is \"{word}\""))
                    }
                }
        };
        front.render.shows(&format!("what becomes of it by on_empty = {word}"), PATIENCE, told).await?;
        assert_eq!(front.names(61_081), word != "allow", "{word}");
        front.say_all(&[("n", 61_083)], "");
        front.runs(61_083).await?;
        front.applied().await?;
        let free =
            |s: &Value| s["templates"][0]["held_back"].is_null() && s["templates"][0]["state"] == "applied";
        front.render.shows("that nothing is held back", PATIENCE, free).await?;
    }
    Ok(())
}

/// The same servers in two backends: what one loses, the other keeps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_frontends_may_share_servers() -> Outcome {
    let (one, two) = (Port::lease()?, Port::lease()?);
    let (first, _second) = (one.listen()?, two.listen()?);
    first.set_nonblocking(true)?;
    let mut front = Front::start(one.number(), Special::default()).await?;
    let worker = front.worker().await?;
    let shared = [("m".to_owned(), one.number())];
    front.say_pool(&[("m", one.number())], &shared);
    let held = until("a connection by the pool", PATIENCE, async || {
        let mut client = TcpStream::connect(front.pool.address())?;
        client.write_all(b"x")?;
        client.set_nonblocking(true)?;
        let end = until("it to arrive", Duration::from_millis(200), async || Ok(first.accept()?));
        Ok((client, end.await?.0))
    });
    let (client, _end) = front.render.part.explain(held.await)?;
    // The first frontend leaves the server, and cuts there; the pool stays with it.
    front.say_pool(&[("n", two.number())], &shared);
    front.runs(two.number()).await?;
    front.applied().await?;
    assert!(!is_cut(&client), "a client of the other frontend was cut");
    let state = pool_of(&front).await?;
    assert!(state.contains(&format!(" {} ", one.number())), "{state}");
    assert_eq!(front.worker().await?, worker, "it was reloaded");
    Ok(())
}
