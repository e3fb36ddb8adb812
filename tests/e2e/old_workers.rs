//! A fail-over after an unrelated reload: a client that an old worker still serves is cut off from the demoted
//! master, and one whose server stays is left alone.

use tests::{Outcome, PATIENCE, Shape, Stack, haproxy::Process, redis, until, when};

const SHAPE: Shape =
    Shape { redis: 3, sentinels: 0, lock: false, more: "\nbackend {{keyOrDefault \"more\" \"more\"}}\n" };

async fn old_workers(stack: &Stack) -> Outcome<Vec<Process>> {
    Ok(stack.haproxy.processes().await?.into_iter().filter(|process| process.old).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_worker_keeps_nobody_on_a_demoted_master() -> Outcome {
    let stack = Stack::start(SHAPE, |_| {}).await?;
    let [master, next, other] = [0, 1, 2].map(|n| stack.redis[n].port());
    // All are registered and HAProxy has one worker: from here on, reloads are the story's own.
    stack.settled(master).await?;
    let mut writer = redis::connect(stack.ports.write.number(), PATIENCE).await?;
    assert_eq!(redis::behind(&mut writer).await?, master);
    let mut reader = until("a reader behind the replica that stays one", PATIENCE, async || {
        let mut reader = redis::connect(stack.ports.read.number(), PATIENCE).await?;
        let server = redis::behind(&mut reader).await?;
        when(server == other, || format!("{server}"))?;
        Ok(reader)
    })
    .await?;

    // An unrelated change leaves both clients to a worker that nobody can steer any more.
    stack.agent.put("kv/more", "unrelated").await?;
    until("the reload", PATIENCE, async || {
        let old = old_workers(&stack).await?;
        when(stack.haproxy_text().contains("backend unrelated") && old.len() == 1, || format!("{old:?}"))
    })
    .await?;
    assert_eq!(redis::behind(&mut writer).await?, master, "a reload alone cuts nobody");

    stack.hand_over(0, 1).await?;
    stack.routes_to(next).await?;
    let cut = until("the writer's session on the old worker to be cut", PATIENCE, async || {
        let answer = redis::behind(&mut writer).await;
        when(answer.is_err(), || format!("{answer:?}"))
    });
    stack.render.part.explain(cut.await)?;
    assert_eq!(redis::behind(&mut reader).await?, other, "a session to a server that stays was cut");
    let counted = |s: &serde_json::Value| s["templates"][0]["sessions_cut"].as_u64() >= Some(1);
    stack.render.shows("the session that was cut", PATIENCE, counted).await?;
    drop(reader);
    let gone = until("the old workers to be gone", PATIENCE, async || {
        let old = old_workers(&stack).await?;
        when(old.is_empty(), || format!("{old:?}"))
    });
    stack.render.part.explain(gone.await)?;
    let none = |s: &serde_json::Value| s["templates"][0]["haproxy"]["old_workers"] == 0;
    stack.render.shows("no old worker any more", PATIENCE, none).await?;
    Ok(())
}
