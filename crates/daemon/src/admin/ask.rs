//! The other end of the admin pages: asks a program that runs on this machine, or gives it an order.

use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody is there, or it does not speak HTTP.
    #[error("no program answers at {address}: {why}; is it running, with this admin address?")]
    Silent {
        /// Who was asked.
        address: SocketAddr,
        /// What is wrong.
        why: String,
    },
    /// It said no.
    #[error("{address} answered {status}: {why}")]
    Refused {
        /// Who was asked.
        address: SocketAddr,
        /// The status code.
        status: u16,
        /// Its words.
        why: String,
    },
    /// The token cannot be read.
    #[error("{}: {source}", file.display())]
    Token {
        /// Where it should be.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A page of a program on this machine comes in milliseconds.
const LIMIT: Duration = Duration::from_secs(5);

/// Who is asked, and with which token.
#[derive(Clone, Debug)]
pub struct Caller {
    address: SocketAddr,
    token_file: Option<PathBuf>,
}

impl Caller {
    /// Asks the program whose pages listen on `address`; one that listens everywhere is asked over loopback.
    #[must_use]
    pub fn new(mut address: SocketAddr, token_file: Option<&Path>) -> Caller {
        if address.ip().is_unspecified() {
            let here: IpAddr =
                if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            address.set_ip(here);
        }
        Caller { address, token_file: token_file.map(Path::to_owned) }
    }

    /// Who is asked.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads a page.
    pub async fn get(&self, path: &str) -> Result<String, AskError> {
        self.ask(Method::GET, path, "").await
    }

    /// Gives an order.
    pub async fn order(&self, path: &str, text: &str) -> Result<String, AskError> {
        self.ask(Method::POST, path, text).await
    }

    async fn ask(&self, method: Method, path: &str, text: &str) -> Result<String, AskError> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::HOST, self.address.to_string());
        if let Some(file) = &self.token_file {
            let token = tokio::fs::read_to_string(file).await;
            let token = token.map_err(|source| AskError::Token { file: file.clone(), source })?;
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
        }
        let request = request
            .body(Full::new(Bytes::copy_from_slice(text.as_bytes())))
            .map_err(|error| self.silent(&error))?;
        let answer = timeout(LIMIT, self.converse(request)).await;
        let (status, text) = answer.map_err(|_| self.silent(&format!("no answer within {LIMIT:?}")))??;
        if status == 200 {
            return Ok(text);
        }
        Err(AskError::Refused { address: self.address, status, why: text.trim().to_owned() })
    }

    async fn converse(&self, request: Request<Full<Bytes>>) -> Result<(u16, String), AskError> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| self.silent(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.silent(&error))?;
        let talk = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>((status, String::from_utf8_lossy(&body).into_owned()))
        };
        tokio::pin!(connection);
        tokio::pin!(talk);
        // The connection has to be driven while the answer is awaited, and may end before it was taken in.
        let answer = tokio::select! {
            answer = &mut talk => answer,
            _ = &mut connection => talk.await,
        };
        answer.map_err(|error| self.silent(&error))
    }

    fn silent(&self, why: &dyn std::fmt::Display) -> AskError {
        AskError::Silent { address: self.address, why: why.to_string() }
    }
}
