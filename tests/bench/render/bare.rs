//! What of a change's time is Consul's own: from the write until a client that does nothing else has the answer.

use std::time::Duration;

use tests::{Http, Outcome, Trouble, consul::Agent, when};
use tokio::time::{Instant, sleep};

use super::program::writer;

/// A client that follows a key which no program asks for.
pub struct Bare {
    asks: Http,
    writes: Http,
    url: String,
    index: u64,
}

impl Bare {
    /// Of that Consul.
    pub async fn of(consul: &Agent) -> Outcome<Bare> {
        let (asks, writes) = (writer()?, writer()?);
        let url = format!("http://{}/v1/kv/bare", consul.address());
        written(&writes, &url).await?;
        let index = asks.get(&url, Duration::from_secs(5)).await?.index.unwrap_or_default();
        Ok(Bare { asks, writes, url, index })
    }

    /// Changes the key once Consul has held the question for so long: the milliseconds until its whole answer is there.
    pub async fn change(&mut self, held: Duration) -> Outcome<f64> {
        let (asks, question) = (self.asks.clone(), format!("{}?wait=10s&index={}", self.url, self.index));
        let hears = tokio::spawn(async move {
            let answer = asks.get(&question, Duration::from_secs(20)).await?;
            Ok::<_, Trouble>((answer.index, Instant::now()))
        });
        sleep(held).await;
        let began = Instant::now();
        written(&self.writes, &self.url).await?;
        let (index, heard) = hears.await??;
        self.index = index.unwrap_or_default();
        Ok((heard - began).as_secs_f64() * 1e3)
    }
}

async fn written(writes: &Http, url: &str) -> Outcome {
    let answer = writes.put(url, format!("bare {}", fastrand::u64(..))).await?;
    when(answer.status == 200, || answer.text.clone())
}
