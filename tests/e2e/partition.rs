//! The master and its Sentinel are cut off from everybody else: another is promoted, and from then on nothing that
//! HAProxy takes reaches the old one, neither while it is away nor when it is back.

use serde_json::Value;
use tests::{
    Adverts, Host, LIMIT, Outcome, PATIENCE, Shape, Stack, Trouble, Wire, Writers, stack::SERVICE, until,
    watch_consul, when,
};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_cut_off_gets_no_write_any_more() -> Outcome {
    let Some(wire) = Wire::lay("partition::a_master_that_is_cut_off_gets_no_write_any_more").await? else {
        return Ok(());
    };
    let stack = Stack::start_on(Host::NEAR, Some(Host::FAR), Shape::WHOLE, |_| {}).await?;
    let old = stack.redis[0].port();
    for sentinel in &stack.sentinels {
        sentinel.believes(PATIENCE).await?;
    }
    let (adverts, elect) = (Adverts::watch(&stack)?, watch_consul(stack.agent.address(), SERVICE)?);
    adverts.shows(old).await?;
    let writers = Writers::start(stack.ports.write.number());

    let cut = Instant::now();
    wire.cut()?;
    // Consul still shows the old one, until it misses the old one's agent: the later epoch is what counts.
    let another = until("another master", LIMIT, async || {
        let elected = elect.seen.last();
        elected.filter(|port| *port != old).ok_or_else(|| Trouble::new(format!("{elected:?}")))
    });
    let new = stack.registers[0].part.explain(another.await)?;
    let reached = writers.reach(new, cut).await?;
    // Whoever still reaches the old one can write to it: that HAProxy does not is all that protects.
    stack.redis[0].ask::<()>(redis::cmd("SET").arg("cut").arg("off")).await?;
    adverts.shows(new).await?;

    // Its node is lost, so its row is taken away: the catalog would show it passing the moment that the node is back.
    until("the old one's row to be gone", PATIENCE, async || {
        let entries = stack.agent.entries(SERVICE).await?;
        when(entries.iter().all(|entry| entry.port != old), || format!("{entries:?}"))
    })
    .await?;

    let alone = Instant::now();
    wire.mend()?;
    // What its agent holds is what its agent tells the others.
    let knows = |s: &Value| {
        let service = &s["services"][0];
        service["role"] != "master" && service["agent"]["state"] == "in sync"
    };
    stack.registers[0].shows("to know better", LIMIT, knows).await?;
    adverts.shows(new).await?;
    let known = Instant::now();
    let is_replica = |s: &Value| s["services"][0]["role"] == "replica";
    stack.registers[0].shows("a replica", LIMIT, is_replica).await?;
    stack.redis[0].follows(new, PATIENCE).await?;
    // An agent looks every 30 s for one that it lost.
    until("all to be in Consul", 3 * PATIENCE, async || {
        let entries = stack.agent.entries(SERVICE).await?;
        when(entries.iter().filter(|entry| entry.passing).count() == 3, || format!("{entries:?}"))
    })
    .await?;
    writers.only(new, reached).await?;
    writers.lost_nothing(reached, new).await?;
    let elected = elect.seen.course(alone);
    // Should its node be back before its register has heard of the other, it passes until then, in the earlier epoch.
    assert!(elected.iter().all(|(_, port)| *port == new), "not steady: {elected:?}");
    adverts.never(old, known)
}
