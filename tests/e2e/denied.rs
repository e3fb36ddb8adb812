//! A token without rights: the error names the right that is missing and how to give it.

use tests::{
    Outcome, PATIENCE, Rolecall,
    consul::{Access, Agent},
    redis::Redis,
    stack::register_config,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_rights_is_told_which_one_it_lacks() -> Outcome {
    let directory = tempfile::tempdir()?;
    let home = directory.path();
    let server = Agent::server(home, Access::Closed)?;
    let agent = Agent::client(home, &server, None, Access::Closed)?;
    let redis = Redis::server("redis-0", home, None)?;
    tokio::try_join!(server.ready(), agent.ready(), redis.ready())?;
    let secret = server.token("reader", "node_prefix \"\" { policy = \"read\" }").await?;

    let config = register_config(&agent.address(), "redis-0", redis.port(), &[]);
    let token = format!("consul {{\n  token = \"{secret}\"");
    let config = config.replacen("consul {", &token, 1);
    let register = Rolecall::start("register", "register-0", home, &config, vec![])?;
    let told = |s: &serde_json::Value| {
        s["services"][0]["agent"]["error"].as_str().is_some_and(|e| e.contains("service:write on redis"))
    };
    let status = register.shows("the missing right", PATIENCE, told).await?;
    let error = status["services"][0]["agent"]["error"].as_str().unwrap_or_default();
    assert!(error.contains("policy = \"write\""), "no remedy: {error}");
    let log = register.part.log();
    assert!(log.contains("service:write on redis"), "the log is silent: {log}");
    assert!(!log.contains(&secret) && !status.to_string().contains(&secret), "the token leaks");
    assert_eq!(register.page("readyz").await?.0, 503);
    Ok(())
}
