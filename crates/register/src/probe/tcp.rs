//! `probe "tcp"`: connects, perhaps says something, and finds the role in what comes back.

use super::{
    Look, Probe, ProbeError,
    link::Address,
    pattern::{Pattern, show},
    said::Said,
};
use consul::Role;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// What a server says first is short; the rest is not read.
const MOST_ANSWER: usize = 64 * 1024;

/// Talks to a port or a socket.
#[derive(Clone, Debug)]
pub struct TcpProbe {
    /// Where.
    pub address: Address,
    /// What is said first.
    pub send: Vec<u8>,
    /// What the role shows itself by.
    pub expect: Expect,
    /// How long all of it may take.
    pub limit: Duration,
}

/// What an answer has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: to be connected is enough for this role.
    Connection(Role),
    /// Bytes by which a role is known.
    Answer {
        /// Those of one that takes writes.
        primary: Option<Pattern>,
        /// Those of one that follows.
        replica: Option<Pattern>,
    },
}

impl Probe for TcpProbe {
    async fn look(&mut self) -> Result<Look, ProbeError> {
        let late = || format!("{} did not answer as expected within {:?}", self.address, self.limit);
        let talked = timeout(self.limit, self.talk()).await.unwrap_or_else(|_| Err(late()));
        let role = talked.map_err(ProbeError::Other)?;
        Ok(Said { role, word: role.to_string(), epoch: None }.into())
    }

    async fn disturbed(&mut self) {
        std::future::pending().await
    }
}

impl TcpProbe {
    async fn talk(&self) -> Result<Role, String> {
        let unreachable = |why: io::Error| format!("cannot connect to {}: {why}", self.address);
        match &self.address {
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
                self.converse(stream).await
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(unreachable)?;
                self.converse(stream).await
            }
        }
    }

    async fn converse(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Role, String> {
        let broken = |why: io::Error| format!("the connection to {} broke: {why}", self.address);
        stream.write_all(&self.send).await.map_err(broken)?;
        if let Expect::Connection(role) = self.expect {
            return Ok(role);
        }
        let mut answer = vec![];
        loop {
            let more = stream.read_buf(&mut answer).await.map_err(broken)?;
            if let Some(role) = self.expect.meets(&answer) {
                return Ok(role);
            }
            if more == 0 || answer.len() > MOST_ANSWER {
                let said = show(&answer[..answer.len().min(80)]);
                return Err(format!("{} answered what neither role is known by: \"{said}\"", self.address));
            }
        }
    }
}

impl Expect {
    /// The role that an answer shows so far. A replica is looked for first: to miss a primary loses less.
    fn meets(&self, answer: &[u8]) -> Option<Role> {
        let Expect::Answer { primary, replica } = self else { return None };
        let found = |pattern: &Option<Pattern>| pattern.as_ref().is_some_and(|pattern| pattern.is_in(answer));
        match (found(replica), found(primary)) {
            (true, _) => Some(Role::Replica),
            (_, true) => Some(Role::Master),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::probe::pattern::bytes;
    use tokio::net::{TcpListener, TcpSocket};

    /// A port that nobody listens on, and nobody else gets.
    pub(crate) fn nobody() -> TcpSocket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        socket
    }

    /// Answers each connection with these bytes after the first line, and closes it or not.
    async fn server(answer: &'static [u8], closes: bool) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut open = vec![];
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0; 64];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(answer).await;
                if !closes {
                    open.push(stream);
                }
            }
        });
        Address::Tcp("127.0.0.1".into(), port)
    }

    async fn look(address: Address, limit: Duration) -> Result<Role, String> {
        let pattern = |text: &str| Some(Pattern::read(text).unwrap());
        let expect = Expect::Answer { primary: pattern("Mode: leader"), replica: pattern("Mode: follower") };
        let mut probe = TcpProbe { address, send: bytes("srvr\\n").unwrap(), expect, limit };
        probe.look().await.map(|look| look.role).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_answer_shows_the_role() {
        let long = Duration::from_secs(20);
        let zookeeper = |mode| {
            [&b"Zookeeper version: 3.8.0\nOutstanding: 0\nMode: "[..], mode, b"\nNode count: 5\n"].concat()
        };
        for (answer, closes, wanted) in [
            (zookeeper(b"leader"), true, Ok(Role::Master)),
            (zookeeper(b"follower"), false, Ok(Role::Replica)),
            (zookeeper(b"observer"), true, Err("neither role is known by: \"Zookeeper version")),
            (vec![], true, Err("neither role is known by: \"\"")),
        ] {
            let seen = look(server(answer.leak(), closes).await, long).await;
            match (&seen, wanted) {
                (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
                (seen, wanted) => assert_eq!(seen.as_ref().ok(), wanted.as_ref().ok()),
            }
        }
        let silent = server(b"Mode: ", false).await;
        let why = look(silent, Duration::from_millis(50)).await.unwrap_err();
        assert!(why.contains("did not answer as expected within 50ms"), "{why}");
    }

    #[tokio::test]
    async fn a_connection_may_be_enough() {
        let address = server(b"", false).await;
        let connection = |address| TcpProbe {
            address,
            send: vec![],
            expect: Expect::Connection(Role::Master),
            limit: Duration::from_secs(20),
        };
        assert_eq!(connection(address).look().await.unwrap().role, Role::Master);
        let deaf = nobody();
        let port = deaf.local_addr().unwrap().port();
        let why = connection(Address::Tcp("127.0.0.1".into(), port)).look().await.unwrap_err().to_string();
        assert!(why.starts_with(&format!("cannot connect to 127.0.0.1:{port}: ")), "{why}");
    }
}
