//! One connection to a Redis or a Sentinel: address, user, password and TLS, as configured.

use config::Secret;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, RedisFuture, RedisResult,
    TlsCertificates, Value, aio::MultiplexedConnection, from_redis_value_ref, io::AsyncDNSResolver,
};
use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// Host name or IP, and port.
    Tcp(String, u16),
    /// Path of a unix socket.
    Unix(PathBuf),
}

/// How to reach a server and who to be there.
#[derive(Clone, Debug)]
pub struct Link {
    /// Where it listens.
    pub address: Address,
    /// ACL user; the default user when absent.
    pub username: Option<String>,
    /// Password, as written in the configuration.
    pub password: Option<Secret>,
    /// File with the password, read again for every connection.
    pub password_file: Option<PathBuf>,
    /// TLS; plain text when absent.
    pub tls: Option<Tls>,
}

/// TLS towards Redis or Sentinel. Files are read again for every connection.
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM file with the authorities to trust; the system's when absent.
    pub ca_cert: Option<PathBuf>,
    /// PEM file with the client certificate.
    pub cert: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
    /// Name the certificate must be for; the address's host when absent.
    pub server_name: Option<String>,
    /// Whether the server's certificate is verified.
    pub verify: bool,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A file could not be read.
    #[error("cannot read {what} {}: {why}", path.display())]
    File {
        /// What the file is for.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// The reason.
        why: std::io::Error,
    },
    /// The server, or the way to it.
    #[error("{}", super::remedy::explain(.0))]
    Redis(#[from] RedisError),
}

/// What the other end says unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// The connection ended.
    Closed,
    /// A message of a channel that was subscribed to.
    Message {
        /// The channel.
        channel: String,
        /// What was published there.
        text: String,
    },
}

/// Who hears it.
pub type Ear = Arc<dyn Fn(Push) + Send + Sync>;

impl Push {
    fn read(push: PushInfo) -> Option<Push> {
        let text = |value: &Value| from_redis_value_ref::<String>(value).ok();
        match (push.kind, push.data.as_slice()) {
            (PushKind::Disconnection, _) => Some(Push::Closed),
            (PushKind::Message, [channel, said]) | (PushKind::PMessage, [_, channel, said]) => {
                Some(Push::Message { channel: text(channel)?, text: text(said)? })
            }
            _ => None,
        }
    }
}

impl Link {
    /// Connects and logs in. With an ear, it speaks the protocol in which the other end can say something unasked.
    ///
    /// Has no time limit of its own.
    pub async fn open(&self, ear: Option<Ear>) -> Result<MultiplexedConnection, LinkError> {
        // Only RESP3 tells that an idle connection ended; Redis before 6 does not speak it.
        let protocol = if ear.is_some() { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
        match self.open_with(protocol, ear).await {
            Err(LinkError::Redis(error)) if error.kind() == ErrorKind::RESP3NotSupported => {
                self.open_with(ProtocolVersion::RESP2, None).await
            }
            opened => opened,
        }
    }

    async fn open_with(
        &self,
        protocol: ProtocolVersion,
        ear: Option<Ear>,
    ) -> Result<MultiplexedConnection, LinkError> {
        let mut settings = RedisConnectionInfo::default().set_protocol(protocol).set_skip_set_lib_name();
        if let Some(name) = &self.username {
            settings = settings.set_username(name);
        }
        if let Some(password) = self.password()? {
            settings = settings.set_password(password.expose());
        }
        let info = self.addr().into_connection_info()?.set_redis_settings(settings);
        let client = match &self.tls {
            Some(tls) => Client::build_with_tls(info, tls.certificates()?)?,
            None => Client::open(info)?,
        };
        // Every caller brings its own time limit.
        let mut config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        if let Some(ear) = ear {
            config = config.set_push_sender(move |push| {
                if let Some(push) = Push::read(push) {
                    ear(push);
                }
                Ok::<(), std::convert::Infallible>(())
            });
        }
        if let (Some(_), Address::Tcp(host, _)) = (self.tls_name(), &self.address) {
            config = config.set_dns_resolver(At(host.clone()));
        }
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    fn addr(&self) -> ConnectionAddr {
        match (&self.address, &self.tls) {
            (Address::Unix(path), _) => ConnectionAddr::Unix(path.clone()),
            (Address::Tcp(host, port), None) => ConnectionAddr::Tcp(host.clone(), *port),
            (Address::Tcp(host, port), Some(tls)) => ConnectionAddr::TcpTls {
                host: tls.server_name.clone().unwrap_or_else(|| host.clone()),
                port: *port,
                insecure: !tls.verify,
                tls_params: None,
            },
        }
    }

    fn tls_name(&self) -> Option<&str> {
        self.tls.as_ref()?.server_name.as_deref()
    }

    fn password(&self) -> Result<Option<Secret>, LinkError> {
        let Some(path) = &self.password_file else { return Ok(self.password.clone()) };
        let text = read(path, "password_file")?;
        Ok(Some(Secret::new(String::from_utf8_lossy(&text).trim_end_matches(['\r', '\n']).to_owned())))
    }
}

impl Tls {
    fn certificates(&self) -> Result<TlsCertificates, LinkError> {
        let root_cert = self.ca_cert.as_ref().map(|path| read(path, "ca_cert")).transpose()?;
        let client_tls = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                Some(ClientTlsConfig { client_cert: read(cert, "cert")?, client_key: read(key, "key")? })
            }
            _ => None,
        };
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

fn read(path: &PathBuf, what: &'static str) -> Result<Vec<u8>, LinkError> {
    std::fs::read(path).map_err(|why| LinkError::File { what, path: path.clone(), why })
}

/// Finds a fixed host, whatever name TLS is to verify.
struct At(String);

impl AsyncDNSResolver for At {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((self.0.as_str(), port)).await?.collect();
            RedisResult::Ok(Box::new(found.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl From<&(String, u16)> for Address {
    fn from((host, port): &(String, u16)) -> Address {
        Address::Tcp(host.clone(), *port)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix://").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Address::Unix(path.into()));
        }
        let wrong = || format!("expected HOST:PORT or unix:///PATH, found {text:?}");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(v6) => v6,
            None if host.contains([':', '/', ' ']) => return Err(wrong()),
            None => host,
        };
        match port.parse() {
            Ok(port) if port > 0 && !host.is_empty() => Ok(Address::Tcp(host.into(), port)),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_or_a_socket() {
        for (text, shown) in [
            ("127.0.0.1:6379", Some("127.0.0.1:6379")),
            ("redis-0.redis:6379", Some("redis-0.redis:6379")),
            ("[::1]:6379", Some("[::1]:6379")),
            ("unix:///run/redis.sock", Some("/run/redis.sock")),
            ("/run/redis.sock", Some("/run/redis.sock")),
            ("127.0.0.1", None),
            ("::1:6379", None),
            (":6379", None),
            ("host:0", None),
            ("host:70000", None),
            ("redis://host:6379", None),
        ] {
            assert_eq!(text.parse::<Address>().ok().map(|a| a.to_string()).as_deref(), shown, "{text}");
        }
    }
}
