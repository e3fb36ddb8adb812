//! A template that HAProxy refuses: the old configuration stays, and `/status` tells why.

use serde_json::Value;
use tests::{Outcome, PATIENCE, Shape, Stack};

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
    // `haproxy -c` does not look for the socket's directory; the new worker does.
    stack.agent.put("kv/more", "frontend far\n    bind unix@/nonexistent/far.sock\n").await?;
    let failed = |s: &Value| s["templates"][0]["state"] == "failed";
    let status = stack.render.shows("the failed reload", PATIENCE, failed).await?;
    assert!(status["templates"][0]["reload_failures"].as_u64() >= Some(1), "{status:#}");
    assert_eq!(stack.haproxy_text(), text, "the previous file is not back");
    stack.writes_flow().await
}
