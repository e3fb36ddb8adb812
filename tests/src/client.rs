//! A client that holds its connection through HAProxy to a server of the story's own.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use crate::{Outcome, PATIENCE, until, when};

/// The client's end, and the server's.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    _end: TcpStream,
}

/// Until it comes again: an old worker may have taken it, or HAProxy may lead it elsewhere yet.
const AGAIN: Duration = Duration::from_secs(1);

impl Client {
    /// Connects to HAProxy, until the connection arrives at this server.
    pub async fn arrive(at: SocketAddr, server: &TcpListener) -> Outcome<Client> {
        until("a connection at the server", PATIENCE, async || Client::within(AGAIN, at, server).await).await
    }

    /// Connects to HAProxy once: it has to lead to this server now.
    pub async fn arrive_at_once(at: SocketAddr, server: &TcpListener) -> Outcome<Client> {
        Client::within(PATIENCE, at, server).await
    }

    async fn within(limit: Duration, at: SocketAddr, server: &TcpListener) -> Outcome<Client> {
        server.set_nonblocking(true)?;
        let mut stream = TcpStream::connect(at)?;
        let name = stream.local_addr()?.port().to_be_bytes();
        stream.write_all(&name)?;
        stream.set_nonblocking(true)?;
        let end = until("it to arrive", limit, async || {
            let (mut end, _) = server.accept()?;
            end.set_read_timeout(Some(AGAIN))?;
            // That of a try before may come late.
            let mut said = [0; 2];
            end.read_exact(&mut said)?;
            when(said == name, || "another one".into())?;
            Ok(end)
        });
        Ok(Client { _end: end.await?, stream })
    }

    /// Whether HAProxy closed its connection.
    pub fn is_cut(&self) -> bool {
        !matches!(self.stream.peek(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock)
    }

    /// Waits until HAProxy closes its connection: it says that it will before it does.
    pub async fn cut(&self) -> Outcome {
        until("the client to be cut", PATIENCE, async || when(self.is_cut(), || "it lives".into())).await
    }
}
