//! Instances that are registered under another name than Sentinel's are known all the same: a new master is not taken for
//! another, not even until its Sentinels have learned its run id.

use std::fs;

use tests::{LIMIT, Outcome, PATIENCE, Shape, Stack, until, when};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_name_means_the_address_that_sentinel_names() -> Outcome {
    let mut stack = Stack::start(Shape::WHOLE, |_| {}).await?;
    for register in &mut stack.registers {
        let config = fs::read_to_string(register.config())?;
        let named = config.replacen("  address = \"127.0.0.1\"\n", "  address = \"localhost\"\n", 1);
        assert_ne!(named, config);
        fs::write(register.config(), named)?;
        register.part.restart()?;
    }
    for register in &stack.registers {
        register.ready().await?;
    }
    for sentinel in &stack.sentinels {
        sentinel.believes(PATIENCE).await?;
    }
    let old = stack.sentinels[0].named().await?;
    stack.sentinels[0].fail_over().await?;
    let mut new = old;
    for sentinel in &stack.sentinels {
        until("another master to be named", LIMIT, async || {
            new = sentinel.named().await?;
            when(new != old, || new.to_string())
        })
        .await?;
    }
    let number = stack.redis.iter().position(|redis| redis.port() == new).expect("one of ours");
    let confirmed = |status: &serde_json::Value| {
        let service = &status["services"][0];
        service["role"] == "master"
            && service["why"].as_str().is_some_and(|why| why.contains("known Sentinels name it master"))
    };
    let status = stack.registers[number].shows("that a majority names it", PATIENCE, confirmed).await?;
    // That the old one has an epoch and it has none yet may well be a reason, on a machine that is busy.
    let itself = format!(":{new} became master");
    let history = status["services"][0]["history"].as_array().cloned().unwrap_or_default();
    let taken_for_another = |change: &serde_json::Value| {
        change["role"] == "fenced" && change["why"].as_str().is_some_and(|why| why.contains(&itself))
    };
    assert!(!history.iter().any(taken_for_another), "{history:#?}");
    stack.routes_to(new).await
}
