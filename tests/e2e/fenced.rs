//! A master that was replaced is never advertised again, whatever it says of itself.

use std::time::Duration;

use serde_json::Value;
use tests::{
    Http, Outcome, PATIENCE, Shape, Signal, Stack,
    consul::{self, Entry},
    redis::MASTER_NAME,
    stack::SERVICE,
    until, when,
};
use tokio::{sync::watch, task::JoinHandle};

/// Remembers every set of advertised masters (passing, tag master) that Consul ever showed.
struct Adverts {
    seen: watch::Receiver<Vec<Vec<u16>>>,
    task: JoinHandle<Outcome>,
}

impl Adverts {
    fn watch(stack: &Stack) -> Outcome<Adverts> {
        let (tell, seen) = watch::channel(Vec::new());
        let (http, address) = (Http::new(None)?, stack.agent.address());
        let task = tokio::spawn(async move {
            let mut index = 0;
            loop {
                let url =
                    format!("http://{address}/v1/health/service/{SERVICE}?passing&wait=30s&index={index}");
                let answer = http.get(&url, Duration::from_secs(40)).await?;
                index = answer.index.unwrap_or_default();
                let mut masters: Vec<u16> = masters(&consul::entries(&answer.json()?));
                masters.sort_unstable();
                tell.send_if_modified(|seen: &mut Vec<Vec<u16>>| {
                    let news = seen.last() != Some(&masters);
                    seen.extend(news.then_some(masters));
                    news
                });
            }
        });
        Ok(Adverts { seen, task })
    }

    /// What was shown, from now on.
    fn forget(&self) -> usize {
        self.seen.borrow().len()
    }

    async fn shows(&self, port: u16) -> Outcome {
        until(format!("Consul to show {port} alone"), PATIENCE, async || {
            let last = self.seen.borrow().last().cloned().unwrap_or_default();
            when(last == [port], || format!("{last:?}"))
        })
        .await
    }

    fn since(&self, mark: usize) -> Vec<Vec<u16>> {
        self.seen.borrow()[mark.min(self.seen.borrow().len())..].to_vec()
    }
}

impl Adverts {
    fn never_showed(&self, port: u16, mark: usize) -> Outcome {
        let shown = self.since(mark);
        when(!shown.iter().flatten().any(|shown| *shown == port), || {
            format!("{port} was advertised again: {shown:?}")
        })
    }
}

impl Drop for Adverts {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn masters(entries: &[Entry]) -> Vec<u16> {
    entries
        .iter()
        .filter(|entry| entry.tags.iter().any(|tag| tag == "master"))
        .map(|entry| entry.port)
        .collect()
}

async fn master(stack: &Stack) -> Outcome<u16> {
    stack.sentinels[0].named().await
}

async fn another(stack: &Stack, old: u16) -> Outcome<u16> {
    until("another master in Consul", PATIENCE, async || {
        let entries = stack.agent.entries(SERVICE).await?;
        let passing = entries.into_iter().filter(|entry| entry.passing).collect::<Vec<_>>();
        let masters = masters(&passing);
        match masters.as_slice() {
            [new] if *new != old => Ok(*new),
            _ => Err(tests::Trouble::new(format!("{masters:?}"))),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_fail_over_never_shows_two_masters() -> Outcome {
    let stack = Stack::start(Shape::WHOLE, |_| {}).await?.patient().await?;
    let old = master(&stack).await?;
    for sentinel in &stack.sentinels {
        sentinel.believes(PATIENCE).await?;
    }
    let adverts = Adverts::watch(&stack)?;
    adverts.shows(old).await?;
    let mut order = ::redis::cmd("SENTINEL");
    stack.sentinels[0].ask::<()>(order.arg("FAILOVER").arg(MASTER_NAME)).await?;
    let new = another(&stack, old).await?;
    let demoted = stack.redis.iter().find(|redis| redis.port() == old).expect("the old master");
    demoted.follows(new, PATIENCE).await?;
    let shown = adverts.since(0);
    assert!(shown.iter().all(|masters| masters.len() <= 1), "two masters at once: {shown:?}");
    let after = shown.iter().skip_while(|masters| **masters != [new]);
    assert!(
        after.clone().count() >= 1 && after.clone().all(|masters| *masters == [new]),
        "not steady: {shown:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_sleeps_with_its_registrar_wakes_up_fenced() -> Outcome {
    let stack = Stack::start(Shape::WHOLE, |_| {}).await?.patient().await?;
    let old = master(&stack).await?;
    let place = stack.redis.iter().position(|redis| redis.port() == old).expect("the old master");
    stack.redis[place].part.signal(Signal::STOP)?;
    stack.registers[place].part.signal(Signal::STOP)?;
    let new = another(&stack, old).await?;
    // Its last heartbeat is believed until the TTL has passed.
    let adverts = Adverts::watch(&stack)?;
    adverts.shows(new).await?;
    let mark = adverts.forget();
    stack.registers[place].part.signal(Signal::CONT)?;
    stack.redis[place].part.signal(Signal::CONT)?;
    let is_replica = |s: &Value| s["services"][0]["role"] == "replica";
    stack.registers[place].shows("a replica", PATIENCE, is_replica).await?;
    adverts.never_showed(old, mark)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_holds_when_all_sentinels_are_dead() -> Outcome {
    let mut stack = Stack::start(Shape::WHOLE, |_| {}).await?.patient().await?;
    let old = master(&stack).await?;
    let place = stack.redis.iter().position(|redis| redis.port() == old).expect("the master");
    let adverts = Adverts::watch(&stack)?;
    adverts.shows(old).await?;
    let mark = adverts.forget();
    for sentinel in &mut stack.sentinels {
        sentinel.part.kill()?;
    }
    let holds = |s: &Value| {
        let service = &s["services"][0];
        service["sentinel"]["answering"] == 0 && service["role"] == "master"
    };
    stack.registers[place].shows("that it holds", PATIENCE, holds).await?;
    // One that takes itself for master, and that nobody named.
    let rogue = stack.redis.iter().position(|redis| redis.port() != old).expect("a replica");
    stack.redis[rogue].ask::<()>(::redis::cmd("REPLICAOF").arg("NO").arg("ONE")).await?;
    let candidate =
        |s: &Value| s["services"][0]["role"] == "candidate" || s["services"][0]["role"] == "fenced";
    stack.registers[rogue].shows("no master", PATIENCE, candidate).await?;
    stack.writes_flow().await?;
    assert_eq!(adverts.since(mark), Vec::<Vec<u16>>::new(), "something else was advertised");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_master_that_comes_back_is_fenced() -> Outcome {
    let mut stack = Stack::start(Shape::WHOLE, |_| {}).await?.patient().await?;
    let old = master(&stack).await?;
    let place = stack.redis.iter().position(|redis| redis.port() == old).expect("the old master");
    stack.redis[place].part.kill()?;
    let new = another(&stack, old).await?;
    let adverts = Adverts::watch(&stack)?;
    adverts.shows(new).await?;
    let mark = adverts.forget();
    stack.redis[place].part.restart()?;
    let fenced = |s: &Value| s["services"][0]["says"] == "master" && s["services"][0]["role"] != "master";
    let status = stack.registers[place].shows("that it says master and is none", PATIENCE, fenced).await?;
    assert!(status["services"][0]["why"].as_str().is_some_and(|why| !why.is_empty()), "{status:#}");
    let is_replica = |s: &Value| s["services"][0]["role"] == "replica";
    stack.registers[place].shows("a replica", PATIENCE, is_replica).await?;
    adverts.never_showed(old, mark)
}
