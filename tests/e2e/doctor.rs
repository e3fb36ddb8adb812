//! `rolecall doctor`: says of a whole stack that it is well, and of each broken part what is wrong and what to do.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tests::{
    Outcome, PATIENCE, Port, Shape, Stack, binary,
    consul::{Access, Agent},
    redis::Redis,
    stack::register_config,
    until, when,
};

fn doctor(config: &Path, more: &[&str]) -> Outcome<Output> {
    let mut doctor = Command::new(binary()?);
    Ok(doctor.arg("doctor").arg("-c").arg(config).args(more).stdin(Stdio::null()).output()?)
}

/// The exit code, and each finding as `health what: told`.
fn findings(config: &Path) -> Outcome<(Option<i32>, Vec<String>)> {
    let output = doctor(config, &["--json"])?;
    let all: Value = serde_json::from_slice(&output.stdout)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |found: &Value| {
        format!("{} {}: {}", text(&found["health"]), text(&found["what"]), text(&found["told"]))
    };
    Ok((output.status.code(), all.as_array().into_iter().flatten().map(line).collect()))
}

fn has(lines: &[String], begin: &str, words: &str) {
    assert!(
        lines.iter().any(|line| line.starts_with(begin) && line.contains(words)),
        "{begin} {words}: {lines:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_that_is_well_is_told_so() -> Outcome {
    let stack = Stack::start(Shape::WHOLE, |_| {}).await?;
    // On a busy machine it rightly tells of what answered late, of a Sentinel that is missed, of another master.
    let (place, lines) = until("a stack that is well", PATIENCE, async || {
        let master = stack.sentinels[0].named().await?;
        let place = stack.redis.iter().position(|redis| redis.port() == master).unwrap_or_default();
        let (code, lines) = findings(stack.registers[place].config())?;
        let said = lines.concat();
        let well = code == Some(0) && said.contains("says master") && said.contains("OK 3 usable Sentinels");
        when(well, || format!("{lines:#?}"))?;
        Ok((place, lines))
    })
    .await?;
    has(&lines, "ok Consul", "the client agent of node consul-client");
    has(&lines, "ok Consul token", "every right");
    has(&lines, &format!("warning address of redis-{place}"), "only this machine can reach");
    has(&lines, &format!("ok probe of redis-{place}"), "says master");
    has(&lines, "ok Sentinel at 127.0.0.1:", "as \"mymaster\"");
    has(&lines, "ok Sentinels of \"mymaster\"", "OK 3 usable Sentinels");

    // The template reads its ports from the environment, which this run lacks: its defaults are as valid.
    let text = until("a front that is well", PATIENCE, async || {
        let output = doctor(stack.render.config(), &[])?;
        let text = String::from_utf8(output.stdout)?;
        when(output.status.code() == Some(0), || {
            format!("{text} {}", String::from_utf8_lossy(&output.stderr))
        })?;
        Ok(text)
    })
    .await?;
    for words in [
        "Consul servers: answer",
        "HAProxy's master answers",
        "level admin",
        "can be written",
        "HAProxy version",
    ] {
        assert!(text.lines().any(|line| line.starts_with("ok ") && line.contains(words)), "{words}: {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_told_with_its_remedy() -> Outcome {
    let directory = tempfile::tempdir()?;
    let home = directory.path();
    let server = Agent::server(home, Access::Closed)?;
    let agent = Agent::client(home, &server, None, Access::Closed)?;
    let redis = Redis::server("redis-0", home, None)?;
    let sentinel = Redis::sentinel("sentinel-0", home, redis.port())?;
    tokio::try_join!(server.ready(), agent.ready(), redis.ready())?;
    until("the Sentinel to answer", PATIENCE, async || sentinel.ask::<String>(&redis::cmd("PING")).await)
        .await?;
    let secret = server.token("reader", "service_prefix \"\" { policy = \"read\" }").await?;
    let file = home.join("doctor.hcl");

    let config = register_config(&agent.address(), "redis-0", redis.port(), &[sentinel.port()]);
    let config = config.replacen("consul {", &format!("consul {{\n  token = \"{secret}\""), 1);
    fs::write(&file, config.replace("mymaster", "ourmaster"))?;
    let (code, lines) = findings(&file)?;
    assert_eq!(code, Some(1), "{lines:#?}");
    has(&lines, "failed Consul token", "lacks service:write on \"redis\"");
    has(
        &lines,
        "failed Consul token",
        "node_prefix \"\" { policy = \"read\" } service \"redis\" { policy = \"write\" }",
    );
    has(&lines, "warning Consul agent", "agent_prefix");
    has(&lines, "failed Sentinel at", "knows no master \"ourmaster\"");
    assert!(!lines.concat().contains(&secret), "the token is shown");

    let nobody = Port::lease()?;
    fs::write(&file, register_config(&agent.address(), "redis-0", nobody.number(), &[]))?;
    let (code, lines) = findings(&file)?;
    assert_eq!(code, Some(1), "{lines:#?}");
    has(&lines, "failed Consul token", "service \"redis\" { policy = \"write\" }");
    has(&lines, "failed probe of redis-0", "cannot connect to Redis");

    fs::write(&file, register_config(&nobody.address().to_string(), "redis-0", redis.port(), &[]))?;
    let (code, lines) = findings(&file)?;
    assert_eq!((code, lines.len()), (Some(1), 3), "nothing follows from a Consul that is away: {lines:#?}");
    has(&lines, "failed Consul", "cannot be reached");

    let template = home.join("t.hbs");
    fs::write(&template, "{{key \"app/color\"}}{{#each (service \"redis\")}}{{ID}}{{/each}}")?;
    let render = format!(
        "consul {{\n  address = \"{}\"\n  token = \"{secret}\"\n}}\ndeduplicate {{\n  enabled = true\n}}\ntemplate {{\n  source = \"{}\"\n  \
         destination = \"{}/none/haproxy.cfg\"\n  create_dest_dirs = false\n  haproxy {{\n    master_socket = \"{}/m.sock\"\n    \
         binary = \"/nonexistent/haproxy\"\n  }}\n}}\n",
        agent.address(),
        template.display(),
        home.display(),
        home.display()
    );
    fs::write(&file, render)?;
    let (code, lines) = findings(&file)?;
    assert_eq!(code, Some(1), "{lines:#?}");
    has(&lines, "failed Consul token", "key_prefix \"app/color\" { policy = \"read\" }");
    has(
        &lines,
        "failed Consul token",
        "key:read on \"app/color\", key:write on \"consul-template/dedup/\", session:write",
    );
    has(&lines, "failed Consul token", "session_prefix \"\" { policy = \"write\" }");
    has(&lines, "failed destination", "cannot be written to");
    has(&lines, "failed HAProxy's program", "does not start");
    has(&lines, "warning master socket", "nobody listens");
    Ok(())
}
