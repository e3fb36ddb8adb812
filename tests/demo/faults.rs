//! What is measured of a fault, and how.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tests::{
    Fault, LIMIT, Outcome, Say, Sightings, Stack, Tally, Trouble, Watcher, Writer, redis, unix_ms, until,
    watch_consul, watch_proxy, watch_sentinels, when,
};
use tokio::time::Instant;

/// What watches the path all the time.
pub struct Eyes {
    /// What a quorum of the sentinels says.
    pub sentinels: Watcher,
    /// What Consul shows.
    pub consul: Watcher,
    /// What a client gets done.
    pub writer: Writer,
}

/// What one fault cost.
#[derive(Debug)]
pub struct Cost {
    /// What was done.
    pub fault: Fault,
    /// The port of the master before, and after.
    pub masters: (u16, u16),
    /// A quorum of sentinels names the new master.
    pub decided: Duration,
    /// Consul shows the new master.
    pub shown: Duration,
    /// A fresh connection through HAProxy reaches it.
    pub routed: Duration,
    /// The first write that it acknowledged.
    pub written: Duration,
    /// What became of the writes between the fault and the end of the repair.
    pub tally: Tally,
    /// Writes acknowledged by the old master after the first one that the new master acknowledged.
    pub stale: usize,
    /// Writes acknowledged and gone, by the port of the server that acknowledged them.
    pub lost: BTreeMap<u16, usize>,
    /// What render did meanwhile, if its history tells.
    pub render: Option<Render>,
}

/// Render's part in it, in milliseconds after Consul answered render's blocking query.
#[derive(Debug, Clone, Copy)]
pub struct Render {
    /// The template is filled.
    pub rendered: f64,
    /// `haproxy -c` is content.
    pub checked: f64,
    /// The file is in place.
    pub renamed: f64,
    /// HAProxy told that the new worker runs.
    pub applied: f64,
    /// A fresh connection reached the new master.
    pub routed: f64,
    /// Sessions that old workers held to the old master, and that were cut.
    pub cut: u64,
}

impl Eyes {
    /// Opens them.
    pub fn open(stack: &Stack) -> Outcome<Eyes> {
        Ok(Eyes {
            sentinels: watch_sentinels(stack.sentinels.iter().map(redis::Redis::port).collect()),
            consul: watch_consul(stack.agent.address(), tests::stack::SERVICE)?,
            writer: Writer::start(stack.ports.write.number()),
        })
    }

    /// Lets one fault happen and measures it.
    pub async fn measure(&self, stack: &mut Stack, fault: Fault, say: &Say) -> Outcome<Cost> {
        let old = self.sentinels.seen.last().ok_or_else(|| Trouble::new("no sentinel quorum yet"))?;
        say.line("waiting until every sentinel has heard from every replica, which it asks every 10 s");
        stack.steady(old).await?;
        let proxy = watch_proxy(stack.ports.write.number());
        say.line(&format!("{} of the master 127.0.0.1:{old}", fault.title()));
        let from = Instant::now();
        fault.happen(stack, old).await?;
        let (new, ..) = tokio::try_join!(
            moved(&self.sentinels.seen, old, from, say, "Sentinel decided"),
            moved(&self.consul.seen, old, from, say, "Consul shows the new master"),
            moved(&proxy.seen, old, from, say, "HAProxy routes to it"),
            self.written(old, from, say),
        )?;
        let after = |seen: &Sightings| seen.first(new, from).ok_or_else(|| astray(new));
        let (decided, shown) = (after(&self.sentinels.seen)?, after(&self.consul.seen)?);
        let routed = after(&proxy.seen)?;
        let written = self.writer.first_ack(new, from).ok_or_else(|| astray(new))?;
        drop(proxy);
        fault.repair(stack, old)?;
        say.line(&format!("{}; Sentinel needs about 10 s to make it a replica", fault.remedy()));
        stack.calm(new, &self.writer).await?;
        say.line(&format!("127.0.0.1:{old} follows the new master; all sentinels are content"));

        let to = Instant::now();
        let cost = Cost {
            fault,
            masters: (old, new),
            decided: decided - from,
            shown: shown - from,
            routed: routed - from,
            written: written - from,
            tally: self.writer.tally(from, to),
            stale: self.writer.tally(written, to).by_server.get(&old).copied().unwrap_or_default(),
            // What was acknowledged just before the fault may be lost by it too.
            lost: self.writer.lost(from - Duration::from_secs(1), to, new).await?,
            render: Render::of(&stack.render.status().await?, unix_ms(from), unix_ms(routed)),
        };
        say.line(&cost.summary());
        Ok(cost)
    }

    async fn written(&self, old: u16, from: Instant, say: &Say) -> Outcome {
        let ack = async || {
            let tally = self.writer.tally(from, Instant::now());
            when(tally.by_server.keys().any(|port| *port != old), || format!("{tally:?}"))
        };
        until("the first write acknowledged by a new master", LIMIT, ack).await?;
        say.line(&format!("  {:5} ms  first write acknowledged by it", from.elapsed().as_millis()));
        Ok(())
    }
}

/// Waits until an observer sees another master than `old`, and says so.
async fn moved(seen: &Sightings, old: u16, from: Instant, say: &Say, what: &str) -> Outcome<u16> {
    let new = until(what, LIMIT, async || {
        let last = seen.last();
        last.filter(|port| *port != old).ok_or_else(|| Trouble::new(format!("{last:?}")))
    })
    .await?;
    let at = seen.first(new, from).unwrap_or(from);
    say.line(&format!("  {:5} ms  {what} (127.0.0.1:{new})", (at - from).as_millis()));
    Ok(new)
}

fn astray(new: u16) -> Trouble {
    Trouble::new(format!("Sentinel decided for 127.0.0.1:{new}, but not every step of the path followed"))
}

impl Cost {
    /// How many acknowledged writes are gone.
    pub fn losses(&self) -> usize {
        self.lost.values().sum()
    }

    fn summary(&self) -> String {
        let (tally, gap) = (&self.tally, self.tally.longest_gap.as_millis());
        format!("  {} writes acknowledged, {} lost, longest gap {gap} ms", tally.acknowledged, self.losses())
    }
}

impl Render {
    /// The last answer from Consul that render acted on before `routed`, from its `/status`.
    fn of(status: &Value, from: f64, routed: f64) -> Option<Render> {
        let history = status["templates"][0]["history"].as_array()?;
        let heard = |act: &Value| act["heard_ms"].as_f64();
        let acts = history.iter().filter(|act| heard(act).is_some_and(|at| at >= from && at <= routed));
        let act = acts
            .max_by(|a, b| a["heard_ms"].as_f64().partial_cmp(&b["heard_ms"].as_f64()).expect("numbers"))?;
        let since = |key: &str| Some(act[key].as_f64()? - heard(act)?);
        Some(Render {
            rendered: since("rendered_ms")?,
            checked: since("checked_ms")?,
            renamed: since("renamed_ms")?,
            applied: since("applied_ms")?,
            routed: routed - heard(act)?,
            cut: act["sessions_cut"].as_u64().unwrap_or_default(),
        })
    }

    /// Answer → file renamed, validation not counted.
    pub fn own(&self) -> f64 {
        self.rendered + (self.renamed - self.checked)
    }
}
