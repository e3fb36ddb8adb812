//! A server that takes part in a switch, and what it is asked.

use crate::{
    probe::{link::Link, remedy::explain},
    sentinel::Place,
};
use redis::{Cmd, FromRedisValue, RedisError, Value, aio::MultiplexedConnection, cmd, from_redis_value_ref};
use std::time::Duration;
use tokio::time::timeout;

/// One command's limit.
const LIMIT: Duration = Duration::from_secs(2);

/// Why a server did not do as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// It said no, and did nothing.
    #[error("{0}")]
    Refused(String),
    /// Nobody knows whether it was done.
    #[error("{0}")]
    Unheard(String),
}

impl From<AskError> for String {
    fn from(error: AskError) -> String {
        error.to_string()
    }
}

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

    pub(crate) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, AskError> {
        match timeout(LIMIT, command.query_async(&mut self.connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed(&self.name, &error)),
            Err(_) => Err(AskError::Unheard(format!("{} did not answer within {LIMIT:?}", self.name))),
        }
    }

    pub(crate) async fn replication(&mut self) -> Result<Replication, String> {
        let answer: Vec<Value> = self.ask(&cmd("ROLE")).await?;
        Replication::read(&answer).ok_or_else(|| format!("{} answered ROLE with {answer:?}", self.name))
    }
}

/// An answer that is an error is a refusal, but for one: `INPROG` says that what is asked for is being done.
fn failed(name: &str, error: &RedisError) -> AskError {
    let said = format!("{name}: {}", explain(error));
    match error.code() {
        Some("INPROG") => AskError::Unheard(format!("{said}: somebody else ordered a switch too")),
        Some(_) => AskError::Refused(said),
        None => AskError::Unheard(said),
    }
}

/// What `ROLE` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replication {
    /// `master` or `slave`.
    pub(crate) word: String,
    /// Whom a replica follows.
    pub(crate) follows: Option<Place>,
    /// How far a master has written.
    pub(crate) offset: i64,
    /// Its replicas, and how far each has acknowledged.
    pub(crate) replicas: Vec<(String, i64)>,
}

impl Replication {
    fn read(answer: &[Value]) -> Option<Replication> {
        let word: String = from_redis_value_ref(answer.first()?).ok()?;
        if word != "master" {
            let place =
                |host, port| Some((from_redis_value_ref(host).ok()?, from_redis_value_ref(port).ok()?));
            let follows = answer.get(1).zip(answer.get(2)).and_then(|(host, port)| place(host, port));
            return Some(Replication { word, follows, offset: 0, replicas: vec![] });
        }
        let offset = from_redis_value_ref(answer.get(1)?).ok()?;
        let replicas: Vec<(String, String, i64)> = from_redis_value_ref(answer.get(2)?).ok()?;
        let replicas = replicas.into_iter().map(|(host, port, at)| (format!("{host}:{port}"), at)).collect();
        Some(Replication { word, follows: None, offset, replicas })
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
        let replica = Replication::read(&[text("slave"), text("x"), Value::Int(7001)]).unwrap();
        assert_eq!((replica.word.as_str(), replica.replicas), ("slave", vec![]));
        assert_eq!(replica.follows, Some(("x".into(), 7001)));
        let replica = Replication::read(&[text("slave"), text("x")]).unwrap();
        assert_eq!((replica.word.as_str(), replica.follows), ("slave", None));
        assert_eq!(Replication::read(&[text("master")]), None);
    }

    #[test]
    fn an_error_is_a_refusal_unless_it_says_that_it_is_being_done() {
        let error = |line: &str| match redis::parse_redis_value(format!("-{line}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => failed("s", &error.into()),
            other => panic!("{other:?}"),
        };
        for (line, refused) in [
            ("NOGOODSLAVE No suitable replica to promote", true),
            ("NOPERM this user has no permissions to run the 'sentinel|failover' command", true),
            ("ERR No such master with that name", true),
            ("INPROG Failover already in progress", false),
        ] {
            assert_eq!(matches!(error(line), AskError::Refused(_)), refused, "{line}");
        }
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(matches!(failed("s", &broken), AskError::Unheard(_)));
    }
}
