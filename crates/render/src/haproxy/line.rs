//! A line kept open to one process of HAProxy: without a master, nobody else reaches a process that is leaving. It counts
//! as a connection there, and keeps the process alive; whoever holds it lets go in time.

use super::socket::{Socket, Stream};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// The line.
pub struct Line {
    stream: Stream,
    said: Vec<u8>,
    /// Answers that nobody waited for to their end.
    owed: usize,
}

/// What HAProxy ends each answer with once it was asked to `prompt`.
const PROMPT: &[u8] = b"\n> ";
/// More than any answer that is asked for here, to bound the memory.
const MOST: usize = 64 << 20;

impl Line {
    /// Opens a line to the process that answers there now.
    pub async fn open(socket: &Socket, limit: Duration) -> io::Result<Line> {
        let stream = timeout(limit, socket.connect()).await??;
        let mut line = Line { stream, said: vec![], owed: 0 };
        line.ask("prompt", limit).await?;
        Ok(line)
    }

    /// Asks, and takes the whole answer. May be dropped at any moment: the next asking is answered right.
    pub async fn ask(&mut self, order: &str, limit: Duration) -> io::Result<String> {
        timeout(limit, self.exchange(order)).await?
    }

    async fn exchange(&mut self, order: &str) -> io::Result<String> {
        while self.owed > 0 {
            self.answer().await?;
        }
        self.owed += 1;
        self.stream.write_all(format!("{order}\n").as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> io::Result<String> {
        while !self.said.ends_with(PROMPT) {
            if self.stream.read_buf(&mut self.said).await? == 0 || self.said.len() > MOST {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.owed -= 1;
        let said = std::mem::take(&mut self.said);
        Ok(String::from_utf8_lossy(&said[..said.len() - PROMPT.len()]).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn an_answer_that_nobody_waited_for_is_not_taken_for_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (go, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![];
            while stream.read_buf(&mut asked).await.is_ok_and(|read| read > 0) {
                while let Some(end) = asked.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = asked.drain(..=end).collect();
                    if line.starts_with(b"slow") {
                        _ = gone.recv().await;
                    }
                    stream.write_all(&[b"it said ", &line[..], b"> "].concat()).await.unwrap();
                }
            }
        });
        let mut line = Line::open(&Socket::Unix(path), LIMIT).await.unwrap();
        assert_eq!(line.ask("one", LIMIT).await.unwrap(), "it said one");
        let hurried = line.ask("slow", Duration::from_millis(20)).await;
        assert_eq!(hurried.unwrap_err().kind(), io::ErrorKind::TimedOut);
        go.send(()).await.unwrap();
        assert_eq!(line.ask("two", LIMIT).await.unwrap(), "it said two");
    }
}
