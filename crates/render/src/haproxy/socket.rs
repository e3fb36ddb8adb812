//! HAProxy's sockets: one line asked, everything answered until the end.

use std::{fmt, io, path::PathBuf, str::FromStr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// Where a socket of HAProxy listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// A path.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

/// How an address of each kind may begin, in HAProxy's words and in those of others.
const PATHS: [&str; 2] = ["unix@", "unix://"];
const HOSTS: [&str; 6] = ["tcp://", "tcp@", "tcp4@", "tcp6@", "ipv4@", "ipv6@"];

impl FromStr for Socket {
    type Err = String;

    /// Takes HAProxy's ways to write an address: `/path`, `unix@/path`, `host:port`, `ipv4@host:port`, `tcp@host:port`.
    fn from_str(text: &str) -> Result<Self, String> {
        let after = |words: &[&str]| words.iter().find_map(|word| text.strip_prefix(word));
        if text.contains(',') {
            let address = text.split(',').next().unwrap_or_default();
            return Err(format!("write the address alone, `{address}`: what follows is for HAProxy"));
        }
        if let Some(word) =
            ["abns@", "abnsz@", "fd@", "sockpair@", "udp@"].iter().find(|w| text.starts_with(**w))
        {
            return Err(format!(
                "`{word}` cannot be reached from outside HAProxy; write an absolute path or host:port"
            ));
        }
        match after(&PATHS) {
            Some(path) if path.starts_with('/') => return Ok(Socket::Unix(path.into())),
            None if text.starts_with('/') => return Ok(Socket::Unix(text.into())),
            Some(_) => return Err(format!("`{text}` is no socket; its path must be absolute")),
            None => {}
        }
        let address = after(&HOSTS).unwrap_or(text);
        let no_socket = || format!("`{text}` is no socket; write an absolute path or host:port");
        let (host, port) = address.rsplit_once(':').ok_or_else(no_socket)?;
        if !port.parse::<u16>().is_ok_and(|port| port > 0) || host.contains('/') {
            return Err(no_socket());
        }
        if matches!(host, "" | "*" | "::" | "[::]" | "0.0.0.0") {
            return Err(format!(
                "`{text}` is where HAProxy listens, not where to reach it; write 127.0.0.1:{port}"
            ));
        }
        // HAProxy writes `::1:9999` without brackets.
        let bare = host.contains(':') && !host.starts_with('[');
        Ok(Socket::Tcp(if bare { format!("[{host}]:{port}") } else { address.into() }))
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Socket::Unix(path) => path.display().fmt(f),
            Socket::Tcp(address) => f.write_str(address),
        }
    }
}

/// Why a socket gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Nobody listens (or answers yet): HAProxy does not run, starts, or is replacing itself.
    #[error("nobody listens on {0}")]
    Nobody(Socket),
    /// It is there and cannot be used.
    #[error("{socket}: {why}")]
    Broken {
        /// Which socket.
        socket: Socket,
        /// What went wrong.
        why: String,
    },
}

/// HAProxy answers a line within milliseconds; one that is busy for longer than this is stuck.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// More than any answer that is asked for here, to bound the memory.
const MOST: u64 = 64 << 20;

impl Socket {
    /// Sends one line (several orders may be parted by `;`) and reads the whole answer.
    pub async fn ask(&self, line: &str) -> Result<String, SocketError> {
        self.ask_within(line, LIMIT).await
    }

    /// As [`Socket::ask`], with its own time limit.
    pub async fn ask_within(&self, line: &str, limit: Duration) -> Result<String, SocketError> {
        let broken = |why: String| SocketError::Broken { socket: self.clone(), why };
        match timeout(limit, self.exchange(line)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) if absent(&e) => Err(SocketError::Nobody(self.clone())),
            Ok(Err(e)) if e.kind() == io::ErrorKind::PermissionDenied => {
                Err(broken(format!("{e}; HAProxy's `mode` and `group` of the socket must let rolecall in")))
            }
            Ok(Err(e)) => Err(broken(e.to_string())),
            Err(_) => Err(broken(format!("no answer to `{line}` within {limit:?}"))),
        }
    }

    async fn exchange(&self, line: &str) -> io::Result<String> {
        converse(self.connect().await?, line).await
    }

    /// A connection to whoever listens there now.
    pub(super) async fn connect(&self) -> io::Result<Stream> {
        Ok(match self {
            Socket::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Socket::Tcp(address) => Box::new(TcpStream::connect(address).await?),
        })
    }
}

/// A connection of either kind.
pub(super) type Stream = Box<dyn Both>;

/// Can be read and written.
pub(super) trait Both: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Both for T {}

/// The master closes a connection only when the asking side is closed, and closes it without a word (or by a
/// reset) when it replaces itself.
async fn converse(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, line: &str) -> io::Result<String> {
    // Closed before the line was taken: whoever listened there is being replaced.
    let taken = stream.write_all(format!("{line}\n").as_bytes()).await;
    taken.map_err(|e| if gone(&e) { io::ErrorKind::ConnectionRefused.into() } else { e })?;
    stream.shutdown().await.or_else(|e| if gone(&e) { Ok(()) } else { Err(e) })?;
    let mut answer = vec![];
    match (&mut stream).take(MOST).read_to_end(&mut answer).await {
        Err(e) if !gone(&e) => Err(e),
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_haproxy_writes_them() {
        for (text, socket) in [
            ("/run/m.sock", Some("/run/m.sock")),
            ("unix@/run/m.sock", Some("/run/m.sock")),
            ("127.0.0.1:9999", Some("127.0.0.1:9999")),
            ("ipv4@127.0.0.1:9999", Some("127.0.0.1:9999")),
            ("tcp://127.0.0.1:9999", Some("127.0.0.1:9999")),
            ("tcp4@127.0.0.1:9999", Some("127.0.0.1:9999")),
            ("unix:///run/m.sock", Some("/run/m.sock")),
            ("::1:9999", Some("[::1]:9999")),
            ("ipv6@[::1]:9999", Some("[::1]:9999")),
            ("haproxy.internal:9999", Some("haproxy.internal:9999")),
            ("run/m.sock", None),
            ("unix@run/m.sock", None),
            (":99", None),
            ("*:9999", None),
            ("host:0", None),
            ("host:99999", None),
            ("abns@haproxy", None),
            ("tcp:///run/m.sock:1", None),
            ("/run/m.sock,level,admin", None),
        ] {
            assert_eq!(text.parse::<Socket>().ok().map(|s| s.to_string()).as_deref(), socket, "{text}");
        }
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_is_told_from_one_that_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let socket = Socket::Unix(path.clone());
        assert!(matches!(socket.ask("show info").await, Err(SocketError::Nobody(_))));
        let _silent = tokio::net::UnixListener::bind(&path).unwrap();
        let error = socket.ask_within("show info", Duration::from_millis(50)).await.unwrap_err();
        assert!(error.to_string().contains("no answer to `show info`"), "{error}");
    }
}
