//! What a template waits for is told: in the log, in `/status` and in the metrics, with the reason; and that it is over.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use tempfile::tempdir;
use tests::{
    Outcome, PATIENCE, Rolecall,
    consul::{Access, Agent},
    until, when,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_is_told_with_its_reason_and_so_is_its_end() -> Outcome {
    let home = tempdir()?;
    let mut server = Agent::server(home.path(), Access::Open)?;
    server.ready().await?;
    server.put("kv/there", "x").await?;
    let (source, out) = (home.path().join("t.hbs"), home.path().join("out"));
    fs::write(&source, "{{key \"there\"}} {{key \"not/there\"}}\n")?;
    let config = format!(
        "consul {{\n  address = \"{}\"\n  block_query_wait = \"1s\"\n}}\ntemplate {{\n  source = \"{}\"\n  destination = \
         \"{}\"\n}}\n",
        server.address(),
        source.display(),
        out.display()
    );
    let mut render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
    let blocked = |s: &Value| {
        let block = &s["templates"][0]["blocked_by"][0];
        block["what"] == "kv/not/there"
            && block["kind"] == "absent"
            && block["why"] == "the key does not exist"
    };
    render.shows("what blocks", PATIENCE, blocked).await?;
    let logged = async |render: &Rolecall, words: &str, limit| {
        until(format!("the log to say `{words}`"), limit, async || {
            when(render.part.log().lines().any(|line| line.contains(words)), || render.part.tail())
        })
        .await
    };
    let metric = async |render: &Rolecall, line: &str| {
        until(format!("`{line}`"), PATIENCE, async || {
            let (_, text) = render.page("metrics").await?;
            when(text.lines().any(|found| found == line), || text)
        })
        .await
    };
    let gauge =
        |n: usize| format!("rolecall_render_template_blocked{{destination=\"{}\"}} {n}", out.display());
    metric(&render, &gauge(1)).await?;
    logged(&render, "waiting for kv/not/there for ", PATIENCE).await?;
    let log = render.part.log();
    let line = log.lines().find(|line| line.contains("waiting for kv/not/there")).unwrap_or_default();
    assert!(line.contains("WARN") && line.contains("(the key does not exist)"), "{line}");

    server.put("kv/not/there", "y").await?;
    render.part.explain(logged(&render, "waits no more", PATIENCE).await)?;
    metric(&render, &gauge(0)).await?;
    // It waits no more once it is filled; the file is written after that.
    let written = until("the file", PATIENCE, async || {
        let text = fs::read_to_string(&out)?;
        when(text == "x y\n", || text)
    });
    render.part.explain(written.await)?;
    let well = |s: &Value| {
        let (query, template) = (&s["queries"][0], &s["templates"][0]);
        template["blocked_by"] == json!([])
            && template["changed_ms"].is_f64()
            && template["evaluated_ms"].as_f64() <= template["changed_ms"].as_f64()
            && query["age_ms"].as_u64().is_some_and(|age| age < 5_000)
            && query["answers"].as_u64() > Some(1)
            && query["last_error"].is_null()
    };
    render.shows("how it stands", PATIENCE, well).await?;

    // Consul is away: the text stays, and that it is of yesterday is told too. Nobody else may have its port.
    server.part.kill()?;
    let away = |s: &Value| {
        let block = &s["templates"][0]["blocked_by"][0];
        block["kind"] == "unreachable" && s["queries"][0]["last_error"]["at_ms"].is_f64()
    };
    render.shows("that Consul is away", PATIENCE, away).await?;
    let words = "goes on with the last known answers, and waits for kv/not/there for ";
    let told = logged(&render, words, PATIENCE + Duration::from_secs(10)).await;
    render.part.explain(told)?;
    render.part.kill()
}
