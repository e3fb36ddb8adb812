//! A server that takes part in a switch, and what it is asked.

use crate::probe::{link::Link, remedy::explain};
use redis::{Cmd, FromRedisValue, Value, aio::MultiplexedConnection, cmd, from_redis_value_ref};
use std::time::Duration;
use tokio::time::timeout;

/// One command's limit.
const LIMIT: Duration = Duration::from_secs(2);

/// A Redis or a Sentinel that is asked.
pub(crate) struct Server {
    pub(crate) name: String,
    connection: MultiplexedConnection,
}

impl Server {
    pub(crate) async fn open(link: Link) -> Result<Server, String> {
        let name = link.address.to_string();
        match timeout(LIMIT, link.open(None)).await {
            Ok(Ok(connection)) => Ok(Server { name, connection }),
            Ok(Err(error)) => Err(format!("{name}: {error}")),
            Err(_) => Err(format!("{name} did not answer within {LIMIT:?}")),
        }
    }

    pub(crate) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, String> {
        match timeout(LIMIT, command.query_async(&mut self.connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!("{}: {}", self.name, explain(&error))),
            Err(_) => Err(format!("{} did not answer within {LIMIT:?}", self.name)),
        }
    }

    pub(crate) async fn replication(&mut self) -> Result<Replication, String> {
        let answer: Vec<Value> = self.ask(&cmd("ROLE")).await?;
        Replication::read(&answer).ok_or_else(|| format!("{} answered ROLE with {answer:?}", self.name))
    }
}

/// What `ROLE` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replication {
    /// `master` or `slave`.
    pub(crate) word: String,
    /// How far a master has written.
    pub(crate) offset: i64,
    /// Its replicas, and how far each has acknowledged.
    pub(crate) replicas: Vec<(String, i64)>,
}

impl Replication {
    fn read(answer: &[Value]) -> Option<Replication> {
        let word: String = from_redis_value_ref(answer.first()?).ok()?;
        if word != "master" {
            return Some(Replication { word, offset: 0, replicas: vec![] });
        }
        let offset = from_redis_value_ref(answer.get(1)?).ok()?;
        let replicas: Vec<(String, String, i64)> = from_redis_value_ref(answer.get(2)?).ok()?;
        let replicas = replicas.into_iter().map(|(host, port, at)| (format!("{host}:{port}"), at)).collect();
        Some(Replication { word, offset, replicas })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masters_replicas_are_read_with_their_offsets() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let replica = Value::Array(vec![text("10.0.0.8"), text("6379"), text("78")]);
        let answer = [text("master"), Value::Int(79), Value::Array(vec![replica])];
        let found = Replication::read(&answer).unwrap();
        assert_eq!((found.offset, found.replicas), (79, vec![("10.0.0.8:6379".into(), 78)]));
        let replica = Replication::read(&[text("slave"), text("x")]).unwrap();
        assert_eq!((replica.word.as_str(), replica.replicas), ("slave", vec![]));
        assert_eq!(Replication::read(&[text("master")]), None);
    }
}
