//! Somebody sets the clocks, an hour ahead and back: nothing changes, and a fail-over goes on as ever.

use std::{fs, path::Path};

use serde_json::Value;
use tests::{
    Adverts, Outcome, PATIENCE, Rolecall, Shape, Stack, Trouble, Writers, built, redis::Redis, unix_ms,
    until, when,
};
use tokio::time::Instant;

const HOUR: f64 = 3600.0;

async fn start() -> Outcome<(Stack, usize)> {
    let stack = Stack::start(Shape::WHOLE, |_| {}).await?;
    for sentinel in &stack.sentinels {
        sentinel.believes(PATIENCE).await?;
    }
    let master = stack.sentinels[0].named().await?;
    let place = stack.redis.iter().position(|redis| redis.port() == master).expect("the master is ours");
    Ok((stack, place))
}

/// libfaketime, which answers a program that asks for the wall clock.
fn library() -> Outcome<String> {
    let folders = fs::read_dir("/usr/lib")?.chain(fs::read_dir("/lib")?).filter_map(Result::ok);
    let files = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let found = files.into_iter().find(|file| file.exists()).map(|file| file.display().to_string());
    found.ok_or_else(|| Trouble::new("libfaketime is not on this machine; run scripts/setup"))
}

/// Starts the program again under a wall clock of its own, which goes on from what the file says.
fn under_own_clock(program: &mut Rolecall, library: &str, clock: &Path) -> Outcome {
    let recipe = program.part.recipe();
    let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
    recipe.environment.extend([
        pair("LD_PRELOAD", library),
        pair("FAKETIME_TIMESTAMP_FILE", &clock.display().to_string()),
        pair("FAKETIME_NO_CACHE", "1"),
        // This one nobody can set.
        pair("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]);
    // What is linked statically would not ask the library.
    recipe.program = built()?.into();
    program.part.restart()
}

/// Sets the clock, seconds from the true time, and waits until the program looks, beats and is sure under it.
async fn step(clock: &Path, seconds: f64, registers: &[Rolecall]) -> Outcome {
    fs::write(clock, format!("{seconds:+}"))?;
    let now = unix_ms(Instant::now()) + seconds * 1e3;
    // A true clock is an hour away.
    let stepped = |at: &Value| at.as_f64().is_some_and(|at| (at - now).abs() < HOUR * 1e3 / 2.0);
    for register in registers {
        let settled = |status: &Value| {
            let service = &status["services"][0];
            stepped(&service["probe"]["at_ms"])
                && stepped(&service["agent"]["last_beat_ms"])
                && service["agent"]["state"] == "in sync"
                && service["catalog"]["state"] == "in sync"
        };
        register.shows("the new time, and Consul in sync", PATIENCE, settled).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_the_wall_clock_changes_nothing() -> Outcome {
    let (mut stack, place) = start().await?;
    let (library, clock) = (library()?, stack.home().join("clock"));
    fs::write(&clock, "+0")?;
    for program in stack.registers.iter_mut().chain([&mut stack.render]) {
        under_own_clock(program, &library, &clock)?;
    }
    for program in stack.registers.iter().chain([&stack.render]) {
        program.ready().await?;
    }
    let old = stack.redis[place].port();
    stack.settled(old).await?;
    let (adverts, writers) = (Adverts::watch(&stack)?, Writers::start(stack.ports.write.number()));
    adverts.shows(old).await?;
    let (from, steady) = (writers.reach(old, Instant::now()).await?, adverts.steady(&stack.registers[place]));
    for seconds in [HOUR, -HOUR] {
        step(&clock, seconds, &stack.registers).await?;
    }
    adverts.unchanged(&steady, &stack.registers[place])?;
    writers.only(old, from).await?;

    stack.sentinels[0].fail_over().await?;
    let new = adverts.another(&[old]).await?;
    // HAProxy may have followed before this story heard of it.
    let reached = writers.reach(new, Instant::now()).await?;
    step(&clock, HOUR, &stack.registers).await?;
    adverts.never_two(from)?;
    adverts.never(old, reached)?;
    writers.only(new, reached).await
}

/// Waits until a Sentinel is in TILT, or no longer.
async fn tilts(sentinel: &Redis, whether: bool) -> Outcome {
    until(format!("a Sentinel's TILT to be {whether}"), PATIENCE, async || {
        let text: String = sentinel.ask(::redis::cmd("INFO").arg("sentinel")).await?;
        when(text.contains(&format!("sentinel_tilt:{}", u8::from(whether))), || text)
    })
    .await
}

/// A Sentinel whose clock stepped trusts nothing for a while, itself least of all (TILT).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_in_tilt_keep_the_master_and_choose_another_later() -> Outcome {
    let (mut stack, place) = start().await?;
    let old = stack.redis[place].port();
    let adverts = Adverts::watch(&stack)?;
    adverts.shows(old).await?;
    let steady = adverts.steady(&stack.registers[place]);
    for sentinel in &stack.sentinels {
        // Debian's Redis cannot run under libfaketime (its allocator asks for the time too early). A trigger of a
        // millisecond makes every tick look like the step of a clock.
        for (key, value) in [("tilt-period", "6000"), ("tilt-trigger", "1")] {
            sentinel.ask::<()>(::redis::cmd("SENTINEL").arg("DEBUG").arg(key).arg(value)).await?;
        }
        tilts(sentinel, true).await?;
    }
    let asked =
        |s: &Value| s["services"][0]["sentinel"]["answering"] == 3 && s["services"][0]["role"] == "master";
    stack.registers[place].shows("that it holds", PATIENCE, asked).await?;
    stack.writes_flow().await?;
    adverts.unchanged(&steady, &stack.registers[place])?;

    stack.redis[place].part.kill()?;
    let gone = |s: &Value| s["services"][0]["probe"]["ok"] == false;
    stack.registers[place].shows("that it is gone", PATIENCE, gone).await?;
    for sentinel in &stack.sentinels {
        sentinel.ask::<()>(::redis::cmd("SENTINEL").arg("DEBUG").arg("tilt-trigger").arg("2000")).await?;
    }
    for sentinel in &stack.sentinels {
        tilts(sentinel, false).await?;
    }
    let new = adverts.another(&[old]).await?;
    stack.routes_to(new).await?;
    stack.writes_flow().await?;
    adverts.never_two(steady.since)
}
