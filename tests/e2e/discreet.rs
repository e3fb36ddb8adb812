//! What is secret is told to nobody, at no level of the log: tokens and passwords of every way to give them, and the
//! values of keys.

use std::fs;

use tests::{Outcome, PATIENCE, Part, Signal, until, when};

use crate::taken_over::Stage;

/// As they stand in files, flags, environment and Consul, and what would give them away.
const SECRETS: [&str; 6] = ["t0ken-file", "t0ken-config", "passw0rd", "s3cret", "kept-val-ue", "new-val-ue"];

/// Waits until the log says so beyond this length, which earlier runs left.
async fn logs(render: &Part, before: usize, words: &str) -> Outcome {
    let said = until(format!("the log to say {words:?}"), PATIENCE, async || {
        when(render.log().get(before..).unwrap_or_default().contains(words), String::new)
    });
    render.explain(said.await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_the_log_even_when_all_is_traced() -> Outcome {
    let stage = Stage::set().await?;
    stage.consul.put("kv/app/text", "kept-val-ue").await?;
    stage.write("a.ctmpl", "{{ key \"app/text\" }}{{ if eq (key \"app/text\") \"none\" }}{{ index (service \"none\") 0 }}{{ end }}")?;
    stage.write("token", "t0ken-file")?;
    // The environment's token is `s3cret`.
    let ways: [&[&str]; 3] = [
        &[],
        &["-consul-token", "t0ken-config", "-consul-auth", "user:passw0rd"],
        &["-consul-token-file", "token"],
    ];
    for way in ways {
        _ = fs::remove_file(stage.path("a"));
        stage.consul.put("kv/app/text", "kept-val-ue").await?;
        let arguments = [way, &["-template", "a.ctmpl:a:env > seen", "-log-level", "trace"]].concat();
        let before = fs::read_to_string(stage.path("render.log")).unwrap_or_default().len();
        let mut render = stage.render(&arguments)?;
        stage.holds(&render, "a", "kept-val-ue").await?;
        stage.consul.put("kv/app/text", "new-val-ue").await?;
        stage.holds(&render, "a", "new-val-ue").await?;
        // An error of the template, a reading of the configuration, and the end.
        stage.consul.put("kv/app/text", "none").await?;
        logs(&render, before, "a.ctmpl:1").await?;
        render.signal(Signal::HUP)?;
        logs(&render, before, "are read again").await?;
        render.signal(Signal::TERM)?;
        assert_eq!(render.end(PATIENCE).await?.code(), Some(0), "{}", render.tail());
        let (log, seen) = (render.log(), fs::read_to_string(stage.path("seen"))?);
        for secret in SECRETS {
            assert!(!log.contains(secret), "{way:?}: {secret} is in the log: {log}");
            assert!(!seen.contains(secret), "{way:?}: {secret} is in the command's environment: {seen}");
        }
    }
    Ok(())
}
