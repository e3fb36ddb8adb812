//! HAProxy is run in many ways: sockets of either kind, with a master or without, reloaded by us or by a command.

use std::net::TcpListener;

use serde_json::Value;
use tests::{Client, Crew, Outcome, Port, Run};

const NOBODY: [u16; 3] = [61_031, 61_033, 61_035];

/// A client of the first HAProxy that holds its connection to the server.
async fn held(crew: &Crew, listener: &TcpListener) -> Outcome<Client> {
    crew.render.part.explain(Client::arrive(crew.mates[0].bind.address(), listener).await)
}

fn of(status: &Value, key: &str) -> u64 {
    status[key].as_u64().unwrap_or_default()
}

/// How often it was reloaded so far: once already, when it started in the second in which its file was written.
async fn reloads(crew: &Crew) -> Outcome<u64> {
    Ok(of(&crew.applied().await?, "reloads"))
}

/// Steered, then reloaded; what each costs is counted. Answers the processes that served.
async fn follows(crew: &mut Crew) -> Outcome<[u32; 2]> {
    let (before, reloads) = (crew.mates[0].pid().await?, reloads(crew).await?);
    crew.say(&[("n", NOBODY[1])], "");
    let steered = |h: &Value| of(h, "steers") == 1 && h["state"] == "applied";
    let status = crew.shows(0, "a steered change", steered).await?;
    assert_eq!(
        (of(&status, "reloads"), &status["last"]["outcome"]),
        (reloads, &"steered".into()),
        "{status:#}"
    );
    crew.runs(0, NOBODY[1]).await?;
    assert_eq!(crew.mates[0].pid().await?, before, "it was reloaded");

    crew.say(&[("o", NOBODY[2])], "    maxconn 501");
    let reloaded = |h: &Value| of(h, "reloads") == reloads + 1 && h["state"] == "applied";
    let status = crew.shows(0, "a reload", reloaded).await?;
    assert_eq!(status["last"]["outcome"], "reloaded", "{status:#}");
    crew.runs(0, NOBODY[2]).await?;
    let after = crew.mates[0].another(before).await?;
    crew.mates[0].ends_too(before);
    Ok([before, after])
}

/// A port that somebody else holds: HAProxy serves on, the file is that of before, and it is said why.
async fn stays(crew: &mut Crew, why: &str) -> Outcome {
    let before = crew.mates[0].pid().await?;
    let taken = Port::lease()?;
    let _held = taken.listen()?;
    crew.say(&[("o", NOBODY[2])], &format!("    maxconn 501\n    bind {}", taken.address()));
    let failed = |h: &Value| of(h, "reload_failures") == 1;
    let status = crew.shows(0, "a failed reload", failed).await?;
    let error = status["error"].to_string();
    assert!(error.contains(why) && error.contains("the previous file is back in place"), "{error}");
    assert!(!crew.text()?.contains(&taken.address().to_string()), "the file does not say what HAProxy runs");
    assert_eq!(crew.mates[0].pid().await?, before);
    // The next text is followed none the less.
    crew.say(&[("p", NOBODY[0])], "    maxconn 501");
    crew.runs(0, NOBODY[0]).await?;
    crew.applied().await?;
    let after = crew.mates[0].pid().await?;
    crew.mates[0].ends_too(after);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_may_listen_on_loopback() -> Outcome {
    let mut crew = Crew::start(NOBODY[0], &[(Run::Tcp, "")]).await?;
    let [_, after] = follows(&mut crew).await?;
    let seen = |h: &Value| h["processes"]["worker_pid"].as_u64() == Some(after.into());
    crew.shows(0, "the new worker", seen).await?;
    stays(&mut crew, "reload failed").await
}

/// As under systemd or Docker, where nobody gives render the master's socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_may_reload() -> Outcome {
    let mut crew = Crew::start(NOBODY[0], &[(Run::Signal, "reload_timeout = \"4s\"")]).await?;
    follows(&mut crew).await?;
    stays(&mut crew, "within 4s no new process answered").await
}

/// One process, without a master: a new one takes over. Sessions that the old one holds are cut all the same, over the
/// line that was kept open to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_may_take_over() -> Outcome {
    let (one, two) = (Port::lease()?, Port::lease()?);
    let (first, second) = (one.listen()?, two.listen()?);
    let mut crew = Crew::start(one.number(), &[(Run::Daemon, "")]).await?;
    let client = held(&crew, &first).await?;
    let before = reloads(&crew).await?;
    let worker = crew.mates[0].pid().await?;
    let seen = |h: &Value| h["processes"]["worker_pid"].as_u64() == Some(worker.into());
    crew.shows(0, "the process that serves", seen).await?;
    crew.mates[0].ends_too(worker);

    // An unrelated change: the client stays, on an old process.
    crew.say(&[("m", one.number())], "    maxconn 502");
    let old = |h: &Value| of(h, "reloads") == before + 1 && h["processes"]["old_workers"] == 1;
    crew.shows(0, "an old process", old).await?;
    assert!(!client.is_cut(), "a client of a server that stays was cut");
    // Its server goes: nobody can steer the process that holds it.
    crew.say(&[("n", two.number())], "    maxconn 502");
    crew.runs(0, two.number()).await?;
    crew.render.part.explain(client.cut().await)?;
    drop(client);
    // One that does not end at once is cut, and counted, once more.
    let gone = |h: &Value| h["processes"]["old_workers"] == 0 && of(h, "sessions_cut") >= 1;
    crew.shows(0, "that the old process is let go", gone).await?;
    let client = held(&crew, &second).await?;
    assert!(!client.is_cut());
    stays(&mut crew, "cannot bind socket").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_is_steered_and_taken_over_from() -> Outcome {
    let mut crew = Crew::start(NOBODY[0], &[(Run::Daemon, "")]).await?;
    follows(&mut crew).await.map(drop)
}
