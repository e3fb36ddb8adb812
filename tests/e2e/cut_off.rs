//! A replica that does not reach its master gets no reads while a master is there, and keeps them while none is.

use serde_json::Value;
use tests::{Outcome, PATIENCE, Port, Shape, Stack, until, when};

/// Looks at `/status` of one register: is that its link, the status that it wants, and a text in the fault?
fn shows(link: &'static str, status: &'static str, fault: Option<&'static str>) -> impl Fn(&Value) -> bool {
    move |page: &Value| {
        let service = &page["services"][0];
        let why = service["replication"]["fault"].as_str();
        service["replication"]["link"] == link
            && service["desired"]["status"] == status
            && service["agent"]["status"] == status
            && why.is_some() == fault.is_some()
            && why.unwrap_or_default().contains(fault.unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_cut_off_gets_no_reads_while_there_is_a_master() -> Outcome {
    let mut stack = Stack::start(Shape { redis: 3, ..Shape::PAIR }, |_| {}).await?;
    let [master, lost, other] = [0, 1, 2].map(|number: usize| stack.redis[number].port());
    stack.settled(master).await?;
    let nowhere = Port::lease()?;
    let mut follow = ::redis::cmd("REPLICAOF");
    stack.redis[1].ask::<()>(follow.arg("127.0.0.1").arg(nowhere.number())).await?;

    // The link is told at once, the judgement after the ttl.
    stack.registers[1].shows("a link that is down", PATIENCE, shows("down", "passing", None)).await?;
    let warns = shows("down", "warning", Some("down for 10s, and a master is there"));
    let page = stack.registers[1].shows("a warning", PATIENCE, warns).await?;
    assert_eq!(page["services"][0]["role"], "replica");
    until("Consul to say why", PATIENCE, async || {
        let entries = stack.agent.entries("redis").await?;
        let warned = |port, text: &str| {
            entries.iter().any(|e| e.port == port && !e.passing && e.outputs.iter().any(|o| o.contains(text)))
        };
        when(warned(lost, "warning: replica: it says slave; its link to the master"), || {
            format!("{entries:?}")
        })
    })
    .await?;
    until("reads to go to the other replica only", PATIENCE, async || {
        let text = stack.haproxy_text();
        let reads = text.split_once("\nbackend redis_replicas").unwrap_or_default().1;
        let right = !reads.contains(&format!(":{lost}\n")) && reads.contains(&format!(":{other}\n"));
        when(right, || text.clone())
    })
    .await?;

    let mut back = ::redis::cmd("REPLICAOF");
    stack.redis[1].ask::<()>(back.arg("127.0.0.1").arg(master)).await?;
    let page = stack.registers[1].shows("the link again", PATIENCE, shows("up", "passing", None)).await?;
    stack.settled(master).await?;
    let replid = |page: &Value| page["services"][0]["replication"]["replid"].clone();
    let ours = stack.registers[0].shows("the master's history", PATIENCE, |page| replid(page).is_string());
    assert_eq!(replid(&ours.await?), replid(&page), "one history of writes");

    // Without a master, both lose their link, and go on serving for longer than the ttl.
    stack.redis[0].part.kill()?;
    for register in &stack.registers[1..] {
        let long = |page: &Value| {
            shows("down", "passing", None)(page)
                && page["services"][0]["replication"]["lag_s"].as_u64() > Some(11)
        };
        register.shows("reads that survive", PATIENCE, long).await?;
    }
    until("Consul to show both replicas in service", PATIENCE, async || {
        let entries = stack.agent.entries("redis").await?;
        when(entries.iter().all(|e| e.passing == (e.port != master)), || format!("{entries:?}"))
    })
    .await
}
