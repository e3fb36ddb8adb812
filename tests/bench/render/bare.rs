//! What of a change's time is Consul's own: from the write until a client that does nothing else hears of it.

use std::time::Duration;

use tests::{Outcome, consul::Agent, when};
use tokio::time::{Instant, sleep};

use super::program::{key, writer};

/// So many changes of one key, so far apart; milliseconds.
pub async fn bare(consul: &Agent, changes: usize, apart: Duration) -> Outcome<Vec<f64>> {
    let (asks, writes) = (writer()?, writer()?);
    let url = format!("http://{}/v1/kv/{}", consul.address(), key(0));
    let mut times = Vec::new();
    let mut index = asks.get(&url, apart).await?.index.unwrap_or_default();
    for change in 0..changes {
        let (asks, held) = (asks.clone(), format!("{url}?wait=10s&index={index}"));
        let hears = tokio::spawn(async move {
            let answer = asks.get(&held, Duration::from_secs(20)).await?;
            Ok::<_, tests::Trouble>((answer.index, Instant::now()))
        });
        // Consul holds the question by then.
        sleep(apart).await;
        let began = Instant::now();
        let answer = writes.put(&url, format!("bare {change}")).await?;
        when(answer.status == 200, || answer.text.clone())?;
        let (next, heard) = hears.await??;
        index = next.unwrap_or_default();
        times.push((heard - began).as_secs_f64() * 1e3);
    }
    Ok(times)
}
