//! The connections to one address of Consul: TCP, TLS or a unix socket. Certificates that change on the disk are
//! used for new connections; ones that cannot be used change nothing but the log.

use crate::{
    ClientError, ConsulSettings,
    tls::{Alias, Files},
};
use reqwest::Url;
use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

const CONNECT: Duration = Duration::from_secs(2);
/// Connections that are kept for the next call.
const IDLE: usize = 8;
/// With HTTP/2, all questions share a connection, and one that hangs times out alone: whether the connection is alive is
/// asked this often, and answered within …
const PING: Duration = Duration::from_secs(2);
/// … this time; else it is given up, with all that is asked over it.
const PONG: Duration = Duration::from_secs(2);
/// Certificates are renewed hours before they end; this only bounds how often the files are read.
const LOOK: Duration = Duration::from_secs(1);

/// Connections that clones of a client share.
pub(crate) struct Connection {
    settings: Arc<ConsulSettings>,
    base: Url,
    via: Option<IpAddr>,
    state: Mutex<State>,
}

struct State {
    http: reqwest::Client,
    files: Files,
    looked: Instant,
    trouble: Option<String>,
}

impl Connection {
    pub(crate) fn new(settings: Arc<ConsulSettings>) -> Result<Connection, ClientError> {
        Connection::via(settings, None)
    }

    /// Connections to one of the addresses that the host's name stands for.
    pub(crate) fn via(settings: Arc<ConsulSettings>, via: Option<IpAddr>) -> Result<Connection, ClientError> {
        let wrong = |e| ClientError::Setup(format!("`{}` is no address: {e}", settings.address));
        let unix = settings.address.starts_with("unix://");
        let base = if unix { "http://localhost" } else { &settings.address };
        let mut base = Url::parse(base).map_err(wrong)?;
        let files = if base.scheme() == "https" { Files::read(&settings.ssl)? } else { Files::default() };
        let http = build(&settings, &base, &files, via)?;
        if let Some(name) = &settings.ssl.server_name {
            let wrong = |e| ClientError::Setup(format!("ssl.server_name `{name}` is no host name: {e}"));
            base.set_host(Some(name)).map_err(wrong)?;
        }
        let state = Mutex::new(State { http, files, looked: Instant::now(), trouble: None });
        Ok(Connection { settings, base, via, state })
    }

    /// Where paths begin.
    pub(crate) fn base(&self) -> Url {
        self.base.clone()
    }

    /// The connections, made anew when the certificates changed.
    pub(crate) fn http(&self) -> reqwest::Client {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.base.scheme() == "https" && state.looked.elapsed() >= LOOK {
            state.looked = Instant::now();
            let trouble = self.renew(&mut state).err().map(|error| error.to_string());
            if let Some(error) = trouble.as_ref().filter(|_| trouble != state.trouble) {
                tracing::warn!(error, "the changed certificates cannot be used; going on with the old ones");
            }
            state.trouble = trouble;
        }
        state.http.clone()
    }

    fn renew(&self, state: &mut State) -> Result<(), ClientError> {
        let files = Files::read(&self.settings.ssl)?;
        if files != state.files {
            // The name in the certificate is in the base by now, the host is what the settings say.
            let there = Url::parse(&self.settings.address).unwrap_or_else(|_| self.base());
            state.http = build(&self.settings, &there, &files, self.via)?;
            state.files = files;
            tracing::info!("the certificates changed; new connections to Consul use them");
        }
        Ok(())
    }
}

/// With a `server_name`, requests go to that name, which is looked up as the host of `there`.
fn build(
    settings: &ConsulSettings,
    there: &Url,
    files: &Files,
    via: Option<IpAddr>,
) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .tcp_keepalive(Duration::from_secs(15))
        // Consul counts those that nobody uses, too.
        .pool_max_idle_per_host(IDLE)
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PONG)
        .redirect(reqwest::redirect::Policy::none())
        // A proxy of the environment is for the way out; Consul's agent is next door, and the token is for it alone.
        .no_proxy()
        .user_agent(concat!("rolecall/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = settings.address.strip_prefix("unix://") {
        builder = builder.unix_socket(path);
    }
    if there.scheme() == "https" {
        builder = files.apply(builder, &settings.ssl)?;
    } else {
        // Without TLS, a machine that has no authorities installed is fine.
        builder = builder.tls_certs_only([]);
    }
    let named = there.host_str().map(|host| host.trim_matches(['[', ']']).to_owned());
    let host = via.map(|ip| ip.to_string()).or(named.filter(|_| settings.ssl.server_name.is_some()));
    if let Some(host) = host {
        builder = builder.dns_resolver(Alias { host });
    }
    let why =
        |e| ClientError::Setup(format!("TLS to Consul cannot be set up: {}", crate::error::deepest(&e)));
    builder.build().map_err(|e: reqwest::Error| why(e))
}

/// Addresses only: certificates come with their keys.
impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connection").field("address", &self.settings.address).finish_non_exhaustive()
    }
}
