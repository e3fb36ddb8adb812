//! HAProxy follows a change of its servers without a reload, and stays where its file says it should be.

use std::fs;

use serde_json::Value;
use tests::{Client, Front, Outcome, PATIENCE, Signal, Special, haproxy, until, when};

use crate::demoted::{held, server};

async fn steered(front: &Front, times: u64) -> Outcome<Value> {
    let steered = |s: &Value| {
        let template = &s["templates"][0];
        template["steers"].as_u64() == Some(times) && template["state"] == "applied"
    };
    let status = front.render.shows("a steered change", PATIENCE, steered).await?;
    Ok(status["templates"][0].clone())
}

/// The table of the worker that serves.
async fn table(front: &Front) -> Outcome<String> {
    haproxy::command(&front.socket(), "@1 show servers state out").await
}

async fn servers(front: &Front) -> Outcome<Vec<String>> {
    let table = table(front).await?;
    let names = table.lines().skip(2).filter_map(|line| line.split_whitespace().nth(3)).map(str::to_owned);
    Ok(names.collect())
}

/// Waits until the worker has these servers alone: those that left are deleted at a later look.
async fn deleted(front: &Front, left: &[&str]) -> Outcome {
    let deleted = until("the servers that left to be deleted", PATIENCE, async || {
        let mut names = servers(front).await?;
        names.sort();
        when(names == left, || format!("{names:?}"))
    });
    front.render.part.explain(deleted.await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_servers_takes_no_reload() -> Outcome {
    let ((one, first), (two, second)) = (server()?, server()?);
    let mut front = Front::start(one.number(), Special::default()).await?;
    let worker = front.worker().await?;
    let client = held(&front, &first).await?;

    // Another address, then another server, then one more and one less.
    front.say_all(&[("m", two.number())], "");
    let status = steered(&front, 1).await?;
    let last = &status["last"];
    assert_eq!(last["outcome"], "steered", "{status:#}");
    assert!(last["applied_ms"].is_f64() && last["applied_ms"] == last["steered_ms"], "{status:#}");
    client.cut().await?;
    let client = held(&front, &second).await?;
    assert!(front.names(two.number()));

    front.say_all(&[("n", one.number())], "");
    steered(&front, 2).await?;
    client.cut().await?;
    let client = held(&front, &first).await?;
    front.say_all(&[("n", one.number()), ("o", two.number())], "");
    steered(&front, 3).await?;
    assert!(!client.is_cut(), "a client of a server that stays was cut");
    deleted(&front, &["n", "o"]).await?;
    assert!(!client.is_cut());

    assert_eq!(front.worker().await?, worker, "it was reloaded");
    let status = steered(&front, 3).await?;
    assert_eq!((&status["reloads"], &status["drifts"]), (&0.into(), &0.into()), "{status:#}");
    // What a restart reads is what runs.
    front.haproxy.as_mut().expect("it runs").part.restart()?;
    front.runs(two.number()).await?;
    front.runs(one.number()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_does_by_hand_is_said_and_put_right() -> Outcome {
    let (one, _first) = server()?;
    let front = Front::start(one.number(), Special::default()).await?;
    let worker = front.worker().await?;
    for (order, said) in [
        ("@1 set server out/m state maint", "server out/m is out of use and should not be"),
        ("@1 set server out/m addr 127.0.0.9", "server out/m is at 127.0.0.9:"),
        ("@1 set server out/m weight 7", "server out/m has the weight 7 and should have 1"),
        ("@1 add server out/x 127.0.0.1:1", "server out/x runs and is not in the configuration"),
    ] {
        haproxy::command(&front.socket(), order).await?;
        if order.contains("out/x") {
            haproxy::command(&front.socket(), "@1 set server out/x state ready").await?;
        }
        // The page tells it until the next look, which may come before a slow reader does.
        let told = until(format!("`{said}` in the log"), PATIENCE, async || {
            when(front.render.part.log().contains(said), String::new)
        });
        front.render.part.explain(told.await)?;
        let mended = |s: &Value| s["templates"][0]["drift"] == serde_json::json!([]);
        front.render.shows("that it is put right", PATIENCE, mended).await?;
    }
    deleted(&front, &["m"]).await?;
    let row = table(&front).await?;
    let row: Vec<_> = row.lines().nth(2).unwrap_or_default().split_whitespace().collect();
    assert_eq!((row[4], row[6], row[7]), ("127.0.0.1", "0", "1"), "{row:?}");
    assert_eq!(front.worker().await?, worker, "it was reloaded");
    Ok(())
}

/// The check comes after the orders; a text that it refuses is taken back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_text_is_steered_back() -> Outcome {
    let ((one, first), (two, _second)) = (server()?, server()?);
    let home = tempfile::tempdir()?;
    let refuse = home.path().join("refuse");
    let environment = [("REFUSE", refuse.to_str().unwrap_or_default())];
    let check = "#!/bin/sh\n[ ! -e \"$REFUSE\" ] || exit 1\nexec haproxy \"$@\"\n";
    let special = Special { check: Some(check), environment: &environment, ..Special::default() };
    let mut front = Front::start(one.number(), special).await?;
    let worker = front.worker().await?;
    fs::write(&refuse, "")?;
    front.say_all(&[("n", two.number())], "");
    let refused = |s: &Value| s["templates"][0]["last"]["outcome"] == "refused";
    front.render.shows("a refused text", PATIENCE, refused).await?;
    front.runs(one.number()).await?;
    held(&front, &first).await?;
    assert!(front.names(one.number()));
    fs::remove_file(&refuse)?;
    // Told again before the check, it would be steered. The table may still have the server from the first time.
    let reloaded = |s: &Value| s["templates"][0]["last"]["outcome"] == "reloaded";
    front.render.shows("a reload with the text that failed before", PATIENCE, reloaded).await?;
    front.runs(two.number()).await?;
    front.applied().await?;
    assert!(front.names(two.number()));
    assert_ne!(front.worker().await?, worker, "it was not reloaded");
    Ok(())
}

/// Killed between the orders and the file: the next run makes both the same again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ends_in_between_converges() -> Outcome {
    let ((one, first), (two, _second)) = (server()?, server()?);
    let home = tempfile::tempdir()?;
    let go = home.path().join("go");
    fs::write(&go, "")?;
    let environment = [("GO", go.to_str().unwrap_or_default())];
    let check = "#!/bin/sh\nwhile [ ! -e \"$GO\" ]; do sleep 0.02; done\nexec haproxy \"$@\"\n";
    let special = Special { check: Some(check), environment: &environment, ..Special::default() };
    let mut front = Front::start(one.number(), special).await?;
    for signal in [Signal::TERM, Signal::KILL] {
        fs::remove_file(&go)?;
        front.say_all(&[("n", two.number())], "");
        front.runs(two.number()).await?;
        front.render.part.signal(signal)?;
        front.render.part.end(PATIENCE).await?;
        assert!(front.names(one.number()), "the file was written before it was checked");
        front.say_all(&[("m", one.number())], "");
        fs::write(&go, "")?;
        front.render.part.restart()?;
        front.runs(one.number()).await?;
        front.applied().await?;
        held(&front, &first).await?;
        deleted(&front, &["m"]).await?;
    }
    Ok(())
}

/// A server that leaves and comes back while its connections last is the same as before: they go on, and no reload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_flaps_keeps_its_clients() -> Outcome {
    let ((one, _first), (two, second)) = (server()?, server()?);
    let mut front = Front::start(one.number(), Special::default()).await?;
    let worker = front.worker().await?;
    let (m, p) = (("m", one.number()), ("p".to_owned(), two.number()));
    front.say_pool(&[m], std::slice::from_ref(&p));
    steered(&front, 1).await?;
    let client = Client::arrive(front.pool.address(), &second).await?;
    for round in 1..=3 {
        front.say_pool(&[m], &[]);
        let status = steered(&front, 2 * round).await?;
        assert_eq!(status["leaving_servers"], 1, "{status:#}");
        front.say_pool(&[m], std::slice::from_ref(&p));
        let status = steered(&front, 2 * round + 1).await?;
        assert_eq!(status["leaving_servers"], 0, "{status:#}");
    }
    assert!(!client.is_cut());
    assert_eq!(front.worker().await?, worker, "it was reloaded");
    let table = haproxy::command(&front.socket(), "@1 show servers state pool").await?;
    let row: Vec<_> = table.lines().nth(2).unwrap_or_default().split_whitespace().collect();
    assert_eq!((row[3], row[5], row[6]), ("p", "2", "0"), "{row:?}");
    Ok(())
}

/// A map is a template of its own; the configuration that names it stays as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_is_filled_anew_without_a_reload() -> Outcome {
    let (one, _first) = server()?;
    let special = Special {
        other: Some((
            "{{#each (service \"web\")}}{{#if ServiceMeta.pool}}1 pool\n{{/if}}{{/each}}",
            "ways.map",
        )),
        environment: &[("MAP", "yes")],
        ..Special::default()
    };
    let mut front = Front::start(one.number(), special).await?;
    let worker = front.worker().await?;
    let path = front.home().join("ways.map").display().to_string();
    let holds = async |front: &Front, words: &str| {
        let held = until(format!("the map to hold `{words}`"), PATIENCE, async || {
            let map = haproxy::command(&front.socket(), &format!("@1 show map {path}")).await?;
            when(map.contains("1 pool") == (words == "1 pool"), || map.clone())
        });
        front.render.part.explain(held.await)
    };
    for round in 0..3 {
        front.say_pool(&[("m", one.number())], &[("p".to_owned(), 61_021)]);
        holds(&front, "1 pool").await?;
        front.say_pool(&[("m", one.number())], &[]);
        holds(&front, "").await?;
        let status = &front.render.status().await?["templates"][0];
        assert_eq!(front.worker().await?, worker, "round {round}: {}", status["reload_reasons"]);
    }
    // One that comes to hold something else while the text stays.
    fs::write(&path, "1 pool\n")?;
    holds(&front, "1 pool").await?;
    front.applied().await?;
    assert_eq!(front.worker().await?, worker, "it was reloaded");
    Ok(())
}

/// A map that changes after HAProxy read it, and before render first looks at HAProxy, is not taken for read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_that_changed_before_the_first_look_is_filled_anew() -> Outcome {
    let (one, _first) = server()?;
    let special =
        Special { other: Some(("", "ways.map")), environment: &[("MAP", "yes")], ..Special::default() };
    let mut front = Front::render(one.number(), special).await?;
    front.render.ready().await?;
    front.render.part.signal(Signal::STOP)?;
    front.start_haproxy().await?;
    let worker = front.worker().await?;
    let path = front.home().join("ways.map");
    fs::write(&path, "1 pool\n")?;
    front.render.part.signal(Signal::CONT)?;
    let holds = until("the map to hold what the file says", PATIENCE, async || {
        let map = haproxy::command(&front.socket(), &format!("@1 show map {}", path.display())).await?;
        when(map.contains("1 pool"), || map.clone())
    });
    front.render.part.explain(holds.await)?;
    front.applied().await?;
    assert_eq!(front.worker().await?, worker, "it was reloaded");
    Ok(())
}

/// An upstream that empties keeps the servers of before, where the configuration says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_keeps_its_last_servers() -> Outcome {
    let (one, first) = server()?;
    let special = Special { haproxy: "min_instances = 1", ..Special::default() };
    let mut front = Front::start(one.number(), special).await?;
    let client = held(&front, &first).await?;
    front.say_all(&[], "");
    let said =
        |s: &Value| s["templates"][0]["error"].to_string().contains("out would be left with 0 servers");
    front.render.shows("why nothing was done", PATIENCE, said).await?;
    assert!(front.names(one.number()) && !client.is_cut());
    held(&front, &first).await?;
    front.say_all(&[("n", one.number())], "");
    steered(&front, 1).await?;
    held(&front, &first).await.map(drop)
}
