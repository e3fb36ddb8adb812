//! `rolecall register drain`, as a preStop hook calls it: the role goes first, then the service, then the processes,
//! and clients that write all the while lose nothing.

use std::{
    process::{Command, Output},
    time::Duration,
};

use tests::{
    Outcome, PATIENCE, Rolecall, Shape, Signal, Stack, Trouble, Writer, binary,
    consul::{Entry, master},
    until, when,
};
use tokio::time::Instant;

async fn order(register: &Rolecall, order: &[&str]) -> Outcome<(Option<i32>, String)> {
    let mut hook = Command::new(binary()?);
    hook.args(order).arg("-c").arg(register.config()).env_clear();
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(move || hook.output()).await??;
    Ok((status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()))
}

/// How much each register had logged.
fn logged(stack: &Stack) -> Vec<usize> {
    stack.registers.iter().map(|register| register.part.log().len()).collect()
}

/// Whether the machine was so busy since then that a look at another than this one failed: what is advertised, and is in
/// use, may have been withdrawn for a while.
fn wavered(stack: &Stack, before: &[usize], but: usize) -> bool {
    let others = stack.registers.iter().zip(before).enumerate().filter(|(number, _)| *number != but);
    let since = |register: &Rolecall, length: usize| register.part.log().split_off(length);
    others.into_iter().any(|(_, (register, length))| since(register, *length).contains("the probe fails"))
}

async fn seen(stack: &Stack, port: u16, what: &str, fits: impl Fn(Option<&Entry>) -> bool) -> Outcome {
    until(format!("{port} to be {what}"), PATIENCE, async || {
        let entries = stack.server.entries("redis").await?;
        when(fits(entries.iter().find(|entry| entry.port == port)), || format!("{entries:?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_leaves_loses_no_write() -> Outcome {
    let mut stack = Stack::start(Shape::WHOLE, |_| {}).await?;
    for sentinel in &stack.sentinels {
        sentinel.believes(PATIENCE).await?;
    }
    let writer = Writer::start(stack.ports.write.number());
    let from = Instant::now();
    until("writes", PATIENCE, async || {
        when(writer.acknowledged() > 200, || writer.acknowledged().to_string())
    })
    .await?;
    let old = stack.sentinels[0].named().await?;
    let number = stack.redis.iter().position(|redis| redis.port() == old).expect("one of ours");

    // Half of it is how long replicas may take to have everything; then the hand-over is refused, as it should be.
    stack.down_after(Duration::from_secs(20)).await?;
    let before = logged(&stack);
    // preStop of register, beside which Redis runs on.
    let hook = ["register", "drain", "--hand-over", "--timeout", "30s"];
    let (code, said) = order(&stack.registers[number], &hook).await?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("drained\n"), "{said}");
    // What the hook promised is seen by others already.
    let entries = stack.server.entries("redis").await?;
    let mine = entries.iter().find(|entry| entry.port == old).expect("not deregistered yet");
    assert!(!mine.passing, "{entries:?}");
    assert!(master(&entries).is_some() || wavered(&stack, &before, number), "nobody is master: {entries:?}");
    let new = until("the next master", PATIENCE, async || {
        let entries = stack.server.entries("redis").await?;
        master(&entries).ok_or_else(|| Trouble::new(format!("{entries:?}")))
    })
    .await?;
    assert_ne!(new, old, "{said}");
    stack.routes_to(new).await?;
    until("a write at the new master", PATIENCE, async || {
        when(writer.first_ack(new, from).is_some(), || "none".into())
    })
    .await?;

    // Then Redis ends, then register, as the kubelet does with a main container and its sidecar.
    let handed_over = Instant::now();
    stack.redis[number].part.signal(Signal::TERM)?;
    stack.redis[number].part.end(PATIENCE).await?;
    stack.registers[number].part.signal(Signal::TERM)?;
    let status = stack.registers[number].part.end(PATIENCE).await?;
    assert_eq!(status.code(), Some(0), "{}", stack.registers[number].part.tail());
    seen(&stack, old, "gone", |entry| entry.is_none()).await?;
    let acknowledged = writer.acknowledged();
    until("more writes", PATIENCE, async || {
        when(writer.acknowledged() > acknowledged + 100, || writer.acknowledged().to_string())
    })
    .await?;
    let tally = writer.tally(handed_over, Instant::now());
    let clean = tally.refused.is_empty() && tally.unknown == 0;
    assert!(clean || wavered(&stack, &before, number), "after the hand-over: {tally:?}");
    let whole = writer.tally(from, handed_over);
    println!("hand-over: {:?} without an acknowledged write, refused {:?}", whole.longest_gap, whole.refused);
    let lost = writer.lost(from, Instant::now(), new).await?;
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}\n{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_hand_over_leaves_the_master_in_service() -> Outcome {
    let stack = Stack::start(Shape::PAIR, |_| {}).await?;
    let (master, register) = (stack.redis[0].port(), &stack.registers[0]);
    // The only replica takes nothing in any more, and lacks a write.
    stack.redis[1].part.signal(Signal::STOP)?;
    stack.writes_flow().await?;
    let (code, said) = order(register, &["register", "drain", "--hand-over", "--timeout", "5s"]).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("given up, writes go on") && said.contains("no replica had everything"), "{said}");
    stack.writes_flow().await?;
    stack.redis[1].part.signal(Signal::CONT)?;

    let (code, said) = order(register, &["register", "drain"]).await?;
    assert_eq!(code, Some(0), "{said}");
    let draining = |entry: Option<&Entry>| entry.is_some_and(|entry| !entry.passing && entry.is("master"));
    seen(&stack, master, "out of service", draining).await?;
    // Whatever Redis says meanwhile.
    for (from, to, role) in [(0, 1, "replica"), (1, 0, "master")] {
        stack.hand_over(from, to).await?;
        register.shows(role, PATIENCE, |status| status["services"][0]["role"] == role).await?;
    }
    seen(&stack, master, "out of service", draining).await?;

    let (code, said) = order(register, &["status"]).await?;
    assert_eq!(code, Some(0), "{said}");
    let line = said.lines().find(|line| line.starts_with("redis-0 ")).unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains(", master") && line.ends_with(", drained"), "{said}");
    let changes = said.lines().filter(|line| line.starts_with("  history")).count();
    assert!(changes >= 3, "it was master, replica, and master again:\n{said}");
    assert!(
        register
            .page("metrics")
            .await?
            .1
            .contains("rolecall_register_drained{service=\"redis\",id=\"redis-0\"} 1")
    );

    let (code, said) = order(register, &["register", "undrain"]).await?;
    assert_eq!(code, Some(0), "{said}");
    stack.writes_flow().await?;
    let (code, said) = order(&stack.render, &["register", "drain"]).await?;
    assert_eq!(code, Some(1), "{said}");
    let told = "takes no such orders; name the admin.address of register";
    assert!(said.contains(told), "render is not to be drained: {said}");
    Ok(())
}
