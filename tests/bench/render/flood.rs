//! One key that is written over and over: how often a program renders, what that costs, and whether the last value wins.

use std::{
    fs,
    path::Path,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use tests::{Outcome, Trouble, consul::Agent, usage};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{
    load::SINGLE,
    program::{Program, Running, identity},
};

/// So many writes …
pub const WRITES: u32 = 1_500;
/// … within this time.
const TIME: Duration = Duration::from_secs(5);
/// The last one has to be in the file so soon after it.
const LAST: Duration = Duration::from_secs(10);

/// What it came to.
#[derive(Clone, Debug)]
pub struct Flood {
    /// Counted from 1.
    pub round: u32,
    /// Whose.
    pub program: Program,
    /// How many files were seen.
    pub renders: usize,
    /// From the last write until the file held it; nothing when it never did.
    pub last_ms: Option<f64>,
    /// Processor time, in all.
    pub cpu_ms: f64,
}

/// Lets it come, from a single writer.
pub async fn flood(consul: &Agent, home: &Path, round: u32, program: Program) -> Outcome<Flood> {
    let Some((running, _)) = Running::start(program, consul, home, SINGLE).await? else {
        return Err(Trouble::new(format!("{} renders nothing", program.word())));
    };
    let before = usage(running.part.pid())?.busy;
    let over = Arc::new(AtomicBool::new(false));
    let counting = count(&running.file(0), &over);
    let mut pace = interval(TIME / WRITES);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for write in 1..=WRITES {
        pace.tick().await;
        running.write(consul, 0, format!("write {write}")).await?;
    }
    let (ended, last) = (Instant::now(), format!("write {WRITES}\n"));
    let mut look = interval(Duration::from_millis(1));
    let came = timeout(LAST, async {
        while fs::read_to_string(running.file(0)).is_ok_and(|text| text != last) {
            look.tick().await;
        }
    });
    let last_ms = came.await.ok().map(|()| ended.elapsed().as_secs_f64() * 1e3);
    over.store(true, Ordering::Relaxed);
    let renders = counting.await?;
    let cpu_ms = (usage(running.part.pid())?.busy - before).as_secs_f64() * 1e3;
    Ok(Flood { round, program, renders, last_ms, cpu_ms })
}

/// Counts the files that come to stand in this place, until it is over.
fn count(file: &Path, over: &Arc<AtomicBool>) -> tokio::task::JoinHandle<usize> {
    let (file, over) = (file.to_owned(), Arc::clone(over));
    tokio::task::spawn_blocking(move || {
        let (mut last, mut seen) = (identity(&file), 0);
        while !over.load(Ordering::Relaxed) {
            let now = identity(&file);
            seen += usize::from(now.is_some() && now != last);
            last = now;
            thread::sleep(Duration::from_micros(500));
        }
        seen
    })
}
