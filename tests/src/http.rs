//! A few plain HTTP calls to the parts' own interfaces.

use std::{net::IpAddr, sync::Once, time::Duration};

use serde_json::Value;

use crate::{Outcome, PATIENCE, Trouble};

/// An HTTP client, with a Consul token or without.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    token: Option<String>,
}

fn builder() -> reqwest::ClientBuilder {
    // The workspace's HTTP client is built without a crypto provider of its own.
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().no_proxy()
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `X-Consul-Index`, if sent.
    pub index: Option<u64>,
    /// The body.
    pub text: String,
}

impl Http {
    /// A client that sends `token` with every request.
    pub fn new(token: Option<&str>) -> Outcome<Http> {
        // No connection is kept: stories kill the servers at the other end.
        let client = builder().pool_max_idle_per_host(0).build()?;
        Ok(Http { client, token: token.map(Into::into) })
    }

    /// A client that keeps its connections, which come from this address.
    pub fn kept(from: IpAddr) -> Outcome<Http> {
        Ok(Http { client: builder().local_address(from).build()?, token: None })
    }

    /// GET. `limit` is for the whole answer.
    pub async fn get(&self, url: &str, limit: Duration) -> Outcome<Answer> {
        self.send(self.client.get(url), limit).await
    }

    /// GET with an `Accept` header.
    pub async fn get_as(&self, url: &str, accept: &str, limit: Duration) -> Outcome<Answer> {
        self.send(self.client.get(url).header("Accept", accept), limit).await
    }

    /// PUT with a body. It may have to come to a slow disk, and is not sent again.
    pub async fn put(&self, url: &str, body: String) -> Outcome<Answer> {
        self.send(self.client.put(url).body(body), PATIENCE).await
    }

    /// DELETE.
    pub async fn delete(&self, url: &str) -> Outcome<Answer> {
        self.send(self.client.delete(url), PATIENCE).await
    }

    async fn send(&self, request: reqwest::RequestBuilder, limit: Duration) -> Outcome<Answer> {
        let mut request = request.timeout(limit);
        if let Some(token) = &self.token {
            request = request.header("X-Consul-Token", token);
        }
        let answer = request.send().await?;
        let index = answer.headers().get("x-consul-index").and_then(|v| v.to_str().ok()?.parse().ok());
        Ok(Answer { status: answer.status().as_u16(), index, text: answer.text().await? })
    }
}

impl Answer {
    /// The body as JSON; an answer other than 200 is a failure with its text.
    pub fn json(&self) -> Outcome<Value> {
        if self.status != 200 {
            return Err(Trouble::new(format!("{} {}", self.status, self.text.trim())));
        }
        serde_json::from_str(&self.text)
            .map_err(|e| Trouble::from(e).during(format!("reading {:?}", self.text)))
    }
}
