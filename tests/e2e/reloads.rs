//! Reloads that do not go as usual: nothing is lost for ever, and nobody waits for what hangs.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use serde_json::Value;
use tests::{Front, Outcome, PATIENCE, Port, Signal, Special, haproxy, until, when};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

/// Ports of servers that nobody connects to; numbers that stand nowhere else in HAProxy's tables.
const NOBODY: [u16; 2] = [61_001, 61_003];

/// A port that somebody else holds makes the reload fail, though the check finds nothing, where the text alone does not
/// tell it; when it is free again the same text is tried again, without news from Consul.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_reload_is_tried_again() -> Outcome {
    let mut front = Front::start(NOBODY[0], Special::default()).await?;
    let taken = Port::lease()?;
    let held = taken.listen()?;
    front.say("127.0.0.1", NOBODY[1], &format!("    bind {}", taken.veiled()));
    let failed = |s: &Value| s["templates"][0]["reload_failures"].as_u64() >= Some(1);
    let status = front.render.shows("a failed reload", PATIENCE, failed).await?;
    let error = status["templates"][0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("the previous file is back in place"), "{error}");
    assert!(front.names(NOBODY[0]), "the file does not say what HAProxy runs");
    drop(held);
    front.runs(NOBODY[1]).await?;
    front.applied().await?;
    assert!(front.names(NOBODY[1]));
    Ok(())
}

/// HAProxy takes addresses from a file of states when it starts, whatever the text says: the text counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_states_does_not_overrule_the_text() -> Outcome {
    let mut front = Front::start(NOBODY[0], Special::default()).await?;
    let states = front.home().join("states");
    fs::write(&states, "")?;
    let more = |most: u16| {
        format!(
            "    maxconn {most}\nglobal\n    server-state-file {}\ndefaults\n    mode tcp\n    timeout connect 1s\n    \
             timeout client 1h\n    timeout server 1h\n    load-server-state-from-file global",
            states.display()
        )
    };
    let reloaded = |times: u64| {
        move |s: &Value| s["templates"][0]["reloads"] == times && s["templates"][0]["state"] == "applied"
    };
    front.say("127.0.0.1", NOBODY[0], &more(501));
    front.render.shows("a reload", PATIENCE, reloaded(1)).await?;
    let table = until("the state of the servers", PATIENCE, async || {
        let table = haproxy::command(&front.socket(), "@1 show servers state").await?;
        when(table.contains(&format!(" {} ", NOBODY[0])), || table.clone())?;
        Ok(table)
    })
    .await?;
    fs::write(&states, table)?;
    front.say("127.0.0.1", NOBODY[1], &more(502));
    front.render.shows("another reload", PATIENCE, reloaded(2)).await?;
    front.runs(NOBODY[1]).await?;
    let overruled = format!("is at 127.0.0.1:{} and should be at 127.0.0.1:{}", NOBODY[0], NOBODY[1]);
    let told = until("what HAProxy took from the file of states", PATIENCE, async || {
        let log = front.render.part.log();
        when(log.contains(&overruled), || log.clone())
    });
    front.render.part.explain(told.await)?;
    front.applied().await?;
    let status = front.render.status().await?;
    assert_eq!(status["templates"][0]["reloads"], 2, "{status:#}");
    Ok(())
}

/// A text waits for its reload, and the next one must not be used: the reload comes all the same, and render goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_reload_outlives_a_text_that_is_refused() -> Outcome {
    let haproxy = "reload_interval = \"2s\"\n    min_instances = 1\n    on_empty = \"fail\"";
    let mut front = Front::start(NOBODY[0], Special { haproxy, ..Special::default() }).await?;
    let config = front.config();
    let holds = async |front: &Front, words: &str| {
        let held = until(format!("the file to hold `{words}`"), PATIENCE, async || {
            let text = fs::read_to_string(&config)?;
            when(text.contains(words), || text.clone())
        });
        front.render.part.explain(held.await)
    };
    let runs = async |front: &Front, most: &str| {
        let runs = until(format!("HAProxy to run maxconn {most}"), PATIENCE, async || {
            let stat = haproxy::command(&front.socket(), "@1 show stat").await?;
            let row = stat.lines().find(|line| line.starts_with("in,FRONTEND,")).unwrap_or_default();
            when(row.split(',').nth(6) == Some(most), || row.to_owned())
        });
        front.render.part.explain(runs.await)
    };
    front.say("127.0.0.1", NOBODY[0], "    maxconn 101");
    runs(&front, "101").await?;
    front.say("127.0.0.1", NOBODY[0], "    maxconn 102");
    holds(&front, "maxconn 102").await?;
    front.say_all(&[], "");
    let refused = |s: &Value| s["templates"][0]["error"].to_string().contains("min_instances");
    front.render.shows("why the empty text is not used", PATIENCE, refused).await?;
    runs(&front, "102").await?;
    let applied = |s: &Value| s["templates"][0]["haproxies"][0]["state"] == "applied";
    front.render.shows("that HAProxy runs what the file says", PATIENCE, applied).await?;
    holds(&front, "maxconn 102").await
}

/// Stands before the master's socket. While it mumbles, it passes a `reload` on, answers it with words that nobody
/// knows, and says of the processes what it said before.
fn between(front: &Front, mumbles: Arc<AtomicBool>) -> Outcome {
    let (behind, listener) = (front.socket(), UnixListener::bind(front.home().join(BETWEEN))?);
    tokio::spawn(async move {
        let mut before = String::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut line = String::new();
            _ = stream.read_to_string(&mut line).await;
            let (line, mumbles) = (line.trim(), mumbles.load(Relaxed));
            let said = match line {
                "show proc" if mumbles => before.clone(),
                _ => haproxy::command(&behind, line).await.unwrap_or_default(),
            };
            if line == "show proc" {
                before.clone_from(&said);
            }
            if line == "reload" && mumbles {
                // Not before HAProxy has read the file.
                while !haproxy::command(&behind, "show proc")
                    .await
                    .is_ok_and(|now| now.contains("worker") && now != before)
                {
                    tokio::task::yield_now().await;
                }
            }
            let said = if line == "reload" && mumbles { "mumble\n" } else { &said };
            _ = stream.write_all(said.as_bytes()).await;
        }
    });
    Ok(())
}

const BETWEEN: &str = "between.sock";

/// HAProxy may run a text although it did not say so: when the text before is wanted again, it is brought back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_of_unknown_outcome_is_not_forgotten() -> Outcome {
    let mut front = Front::render(NOBODY[0], Special { master: Some(BETWEEN), ..Special::default() }).await?;
    front.render.ready().await?;
    front.start_haproxy().await?;
    let mumbles = Arc::new(AtomicBool::new(false));
    between(&front, Arc::clone(&mumbles))?;
    front.applied().await?;
    mumbles.store(true, Relaxed);
    front.say("127.0.0.1", NOBODY[1], "    maxconn 501");
    let failed = |s: &Value| s["templates"][0]["error"].as_str().is_some_and(|e| e.contains("mumble"));
    front.render.shows("that it does not know", PATIENCE, failed).await?;
    front.runs(NOBODY[1]).await?;
    mumbles.store(false, Relaxed);
    front.say("127.0.0.1", NOBODY[0], "");
    front.runs(NOBODY[0]).await?;
    front.applied().await?;
    assert!(front.names(NOBODY[0]));
    Ok(())
}

/// The file is there and checked; a master that says nothing does not make render unready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_master_does_not_hold_back_readiness() -> Outcome {
    // The first check ends when the master is there.
    let check = "#!/bin/sh\nuntil [ -e $THERE ]; do sleep 0.1; done\n";
    let home = tempfile::tempdir()?;
    let there = home.path().join("there");
    let environment = [("THERE", there.to_str().unwrap_or_default())];
    let special = Special { check: Some(check), environment: &environment, ..Special::default() };
    let mut front = Front::render(NOBODY[0], special).await?;
    let _silent = UnixListener::bind(front.socket())?;
    fs::write(&there, "")?;
    front.render.ready().await?;
    assert!(front.names(NOBODY[0]));
    let says = |s: &Value| s["templates"][0]["error"].as_str().is_some_and(|e| e.contains("no answer to"));
    front.render.shows("that the master is silent", PATIENCE, says).await?;
    front.say("127.0.0.1", NOBODY[1], "");
    let news =
        until("the news in the file", PATIENCE, async || when(front.names(NOBODY[1]), || "not yet".into()));
    front.render.part.explain(news.await)
}

/// A check that hangs does not hold up the end, and leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_hangs_ends_with_render() -> Outcome {
    let check = "#!/bin/sh\necho $$ > $CHECKED\nexec sleep 600\n";
    let home = tempfile::tempdir()?;
    let checked = home.path().join("pid");
    let environment = [("CHECKED", checked.to_str().unwrap_or_default())];
    let mut front = Front::render(
        NOBODY[0],
        Special { check: Some(check), environment: &environment, ..Special::default() },
    )
    .await?;
    let begun = async || {
        let pid = fs::read_to_string(&checked)?;
        when(pid.ends_with('\n'), || pid.clone())
    };
    until("the check to begin", PATIENCE, begun).await?;
    // A run that is killed leaves its staged file; the next one takes it away.
    front.render.part.kill()?;
    fs::remove_file(&checked)?;
    front.render.part.restart()?;
    until("the next check", PATIENCE, begun).await?;
    let staged = || -> Outcome<usize> {
        let names = fs::read_dir(front.home())?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<Result<Vec<_>, std::io::Error>>()?;
        Ok(names.iter().filter(|name| name.to_string_lossy().contains(".staged-")).count())
    };
    assert_eq!(staged()?, 1, "what the killed run staged is still there");
    front.render.part.signal(Signal::TERM)?;
    let status = front.render.part.end(PATIENCE).await?;
    let log = front.render.part.log();
    assert!(
        status.success() && !log.contains("no result within"),
        "the check was waited for, {status}: {log}"
    );
    let names = fs::read_dir(front.home())?.flatten().map(|entry| entry.file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains(".staged-")).collect();
    assert!(left.is_empty(), "{left:?}");
    let ended = until("the check to be gone", PATIENCE, async || {
        let pid = fs::read_to_string(&checked)?;
        when(!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists(), || pid.clone())
    });
    ended.await
}
