//! A template that HAProxy refuses: the old configuration stays, and `/status` tells why.

use std::fs;

use serde_json::Value;
use tests::{Front, Outcome, PATIENCE, Port, Shape, Special, Stack};

const SHAPE: Shape =
    Shape { redis: 1, sentinels: 0, lock: false, more: "\n{{keyOrDefault \"more\" \"\"}}\n" };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_configuration_leaves_the_old_one() -> Outcome {
    let stack = Stack::start(SHAPE, |_| {}).await?;
    // What the servers themselves change in the text is over.
    stack.settled(stack.redis[0].port()).await?;
    let (text, workers) = (stack.haproxy_text(), stack.haproxy.processes().await?);
    stack.agent.put("kv/more", "frontend broken\n    bnd :1\n").await?;
    let failed = |s: &Value| s["templates"][0]["state"] == "failed";
    let status = stack.render.shows("the refusal", PATIENCE, failed).await?;
    let error = status["templates"][0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("unknown keyword 'bnd'"), "HAProxy's own words are missing: {error}");
    let line = text.lines().count() + 1;
    assert!(error.contains("haproxy.cfg:"), "the file and line (about {line}) are missing: {error}");
    assert_eq!(stack.haproxy_text(), text, "the refused text reached the file");
    assert_eq!(stack.haproxy.processes().await?, workers, "HAProxy was reloaded");
    stack.writes_flow().await?;

    stack.agent.put("kv/more", "# better\n").await?;
    let applied = |s: &Value| s["templates"][0]["state"] == "applied" && s["templates"][0]["error"].is_null();
    stack.render.shows("the better text applied", PATIENCE, applied).await?;
    assert!(stack.haproxy_text().contains("# better"));
    stack.writes_flow().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_fails_puts_the_old_file_back() -> Outcome {
    let stack = Stack::start(SHAPE, |_| {}).await?;
    // What the servers themselves change in the text is over.
    stack.settled(stack.redis[0].port()).await?;
    let text = stack.haproxy_text();
    // `haproxy -c` does not look for the socket's directory; the new worker does. Only HAProxy reads variables.
    stack.agent.put("kv/more", "frontend far\n    bind \"unix@${NO_SUCH}/nonexistent/far.sock\"\n").await?;
    let failed = |s: &Value| s["templates"][0]["state"] == "failed";
    let status = stack.render.shows("the failed reload", PATIENCE, failed).await?;
    assert!(status["templates"][0]["reload_failures"].as_u64() >= Some(1), "{status:#}");
    assert_eq!(stack.haproxy_text(), text, "the previous file is not back");
    stack.writes_flow().await
}

/// `haproxy -c` does not see that HAProxy could not listen somewhere. Such a text disturbs nobody: it is not tried before
/// it can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_where_haproxy_could_not_listen_is_named_before_a_reload() -> Outcome {
    let mut front = Front::start(61_051, Special::default()).await?;
    let (worker, taken) = (front.worker().await?, Port::lease()?);
    let mut held = Some(taken.listen()?);
    let folder = front.home().join("none");
    let far = folder.join("far.sock");
    for (bind, why) in [
        (taken.address().to_string(), "another program listens there"),
        (format!("192.0.2.1:{}", taken.number()), "this machine has no such address"),
        (format!("unix@{}", far.display()), "there is no folder"),
    ] {
        front.say("127.0.0.1", 61_053, &format!("    bind {bind}"));
        let refused = |s: &Value| {
            let error = s["templates"][0]["error"].as_str().unwrap_or_default();
            error.contains(&format!("`bind {bind}` cannot be")) && error.contains(why)
        };
        let status = front.render.shows(&format!("that {bind} cannot be"), PATIENCE, refused).await?;
        assert_eq!(status["templates"][0]["reload_failures"], 0, "{status:#}");
        assert!(front.names(61_051), "the text reached the file");
    }
    assert_eq!(front.worker().await?, worker, "HAProxy was reloaded");
    // What is in the way goes, and the same text is tried again.
    fs::create_dir(&folder)?;
    front.runs(61_053).await?;
    front.applied().await?;
    front.say("127.0.0.1", 61_055, &format!("    bind {}", taken.address()));
    let refused = |s: &Value| s["templates"][0]["error"].to_string().contains("another program");
    front.render.shows("that the port is still held", PATIENCE, refused).await?;
    held.take();
    front.runs(61_055).await?;
    front.applied().await?;
    // Its own places are HAProxy's.
    front.say("127.0.0.1", 61_057, &format!("    bind {}\n    maxconn 77", taken.address()));
    front.runs(61_057).await?;
    front.applied().await
}
