//! Questions: whoever may answer is asked, and what comes is read.

use super::{
    Client, LOCAL, MARGIN,
    send::{Reply, header},
};
use crate::{ClientError, Query, registration::span, wire};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// A good answer to a [`Query`].
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// `X-Consul-Index`: what the next question waits on; 1 for a question that Consul cannot hold open.
    pub index: u64,
    /// The value, shaped by [`wire::read`].
    pub value: Arc<Value>,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Leader,
    AnyServer,
    Cache,
}

impl Client {
    /// Asks a question; with an index, Consul holds it open until the answer changes or the wait runs out.
    pub async fn ask(&self, query: &Query, index: u64) -> Result<Answer, ClientError> {
        let reply = self.ask_within(query, index, usize::MAX).await?;
        self.answer(query, &format!("GET {query}"), reply)
    }

    /// Asks for a list as Consul gives it, null where there is none: its index, its size in bytes, and itself. One of more
    /// than `most` bytes is not read.
    pub(crate) async fn list(
        &self,
        query: &Query,
        index: u64,
        most: usize,
    ) -> Result<(u64, usize, Value), ClientError> {
        let (asked, reply) = (format!("GET {query}"), self.ask_within(query, index, most).await?);
        let index = self.index(query, &asked, &reply)?;
        let list = match reply.status {
            StatusCode::OK => wire::parse(&reply.body).map_err(|e| self.not_consul(&asked, e.to_string()))?,
            StatusCode::NOT_FOUND => Value::Null,
            _ => return Err(reply.refused(&asked)),
        };
        Ok((index, reply.body.len(), list))
    }

    /// Asks whoever may answer, and the leader where that was too old.
    async fn ask_within(&self, query: &Query, index: u64, most: usize) -> Result<Reply, ClientError> {
        if !self.max_stale.is_zero() && *query != Query::Datacenters {
            let from = if self.may_be_cached(query) { From::Cache } else { From::AnyServer };
            let reply = self.ask_once(query, (index, most), from).await?;
            if age(&reply.headers) <= self.max_stale {
                return Ok(reply);
            }
        }
        self.ask_once(query, (index, most), From::Leader).await
    }

    /// Whether the agent's cache is asked.
    pub(crate) fn may_be_cached(&self, query: &Query) -> bool {
        self.cached && !self.max_stale.is_zero() && query.is_cacheable()
    }

    /// The same, but no cache is asked.
    pub(crate) fn fresh(self) -> Client {
        Client { cached: false, ..self }
    }

    /// Asks once, for no more than so many bytes.
    async fn ask_once(
        &self,
        query: &Query,
        (index, most): (u64, usize),
        from: From,
    ) -> Result<Reply, ClientError> {
        let mut url = match query {
            Query::Node { name: None, scope } => {
                let own = Query::Node { name: Some(self.myself().await?.name), scope: scope.clone() };
                self.url(&own.path(), &query.params())
            }
            _ => self.url(&query.path(), &query.params()),
        };
        let wait = self.settings.block_query_wait;
        match from {
            From::Leader => {}
            From::AnyServer => _ = url.query_pairs_mut().append_pair("stale", ""),
            From::Cache => _ = url.query_pairs_mut().append_pair("cached", ""),
        }
        if *query != Query::Datacenters {
            url.query_pairs_mut().append_pair("wait", &span(wait));
        }
        if query.blocks() && index > 0 {
            url.query_pairs_mut().append_pair("index", &index.to_string());
        }
        // Consul adds up to a sixteenth to the wait, so that clients do not come back in step.
        let deadline = if index > 0 { wait + wait / 16 + MARGIN } else { LOCAL };
        let asked = format!("GET {query}");
        let mut request = self.request(Method::GET, url);
        if from == From::Cache {
            request = request.header("cache-control", format!("max-age={}", self.max_stale.as_secs()));
        }
        self.send_within(request, &asked, deadline, most).await
    }

    /// The index of an answer that is one.
    fn index(&self, query: &Query, asked: &str, reply: &Reply) -> Result<u64, ClientError> {
        let index = header(&reply.headers, "x-consul-index").and_then(|index| index.parse().ok());
        let index = match (index, query.blocks()) {
            (Some(index), _) => index,
            (None, false) => 1,
            (None, true) if reply.status.is_success() => {
                return Err(self.not_consul(asked, "it carries no X-Consul-Index".into()));
            }
            (None, true) => return Err(reply.refused(asked)),
        };
        if reply.status.is_success() && knows_no_leader(query, &reply.headers) {
            return Err(self.not_consul(asked, "it comes from a server that knows no leader".into()));
        }
        Ok(index)
    }

    fn answer(&self, query: &Query, asked: &str, reply: Reply) -> Result<Answer, ClientError> {
        let index = self.index(query, asked, &reply)?;
        let value = match (reply.status, query) {
            // Lists of everything are cut to the token's rights by design; a named thing is asked for whole.
            (StatusCode::OK, Query::Health { .. } | Query::Node { .. })
                if header(&reply.headers, "x-consul-results-filtered-by-acls") == Some("true") =>
            {
                return Err(ClientError::Filtered { asked: asked.into() });
            }
            (StatusCode::OK, _) => {
                wire::read(query, &reply.body).map_err(|e| self.not_consul(asked, e.to_string()))?
            }
            (StatusCode::NOT_FOUND, Query::Key { .. } | Query::Tree { .. }) => wire::nothing(query),
            _ => return Err(reply.refused(asked)),
        };
        Ok(Answer { index, value: Arc::new(value) })
    }
}

/// How old an answer may be: an agent that lost its servers tells the age of what it has in its cache.
fn age(headers: &HeaderMap) -> Duration {
    let number = |name| header(headers, name).and_then(|number| number.parse().ok()).unwrap_or_default();
    Duration::from_millis(number("x-consul-lastcontact")).max(Duration::from_secs(number("age")))
}

/// Whether the servers answered without a leader. A refusal carries the same header whatever the leader is; so does
/// what the agent answers out of its own cache.
fn knows_no_leader(query: &Query, headers: &HeaderMap) -> bool {
    !query.is_agents() && header(headers, "x-consul-knownleader") == Some("false")
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    /// As Consul 1.8.7 answers for the mesh's authorities, with a leader.
    #[test]
    fn what_the_agent_answers_itself_needs_no_leader() {
        for (told, asked, leaderless) in [
            ("false", Query::health("web", true), true),
            ("true", Query::health("web", true), false),
            ("false", Query::CaRoots, false),
            ("false", Query::CaLeaf("web".into()), false),
        ] {
            let headers = [("x-consul-knownleader".parse().unwrap(), HeaderValue::from_static(told))];
            let headers = headers.into_iter().collect::<HeaderMap>();
            assert_eq!(knows_no_leader(&asked, &headers), leaderless, "{asked} {told}");
        }
    }

    #[test]
    fn an_answer_is_as_old_as_its_oldest_part() {
        for (told, expected) in [
            (&[][..], 0),
            (&[("x-consul-lastcontact", "120")], 120),
            (&[("x-consul-lastcontact", "0"), ("x-cache", "HIT"), ("age", "7")], 7_000),
            (&[("x-consul-lastcontact", "9000"), ("age", "2")], 9_000),
            (&[("age", "soon")], 0),
        ] {
            let headers = told.iter().map(|(name, value)| {
                (name.parse::<reqwest::header::HeaderName>().unwrap(), HeaderValue::from_static(value))
            });
            assert_eq!(age(&headers.collect()), Duration::from_millis(expected), "{told:?}");
        }
    }
}
