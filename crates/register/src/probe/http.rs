//! `probe "http"`: asks a server one thing after the other until an answer shows the role.

pub mod answer;

use super::{Look, Probe, ProbeError, link::Tls, remedy::tls, said::Said};
use answer::Reading;
use config::Secret;
use reqwest::{
    Certificate, Client, Identity, Method, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderMap, HeaderName, HeaderValue},
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::timeout;

/// An answer that tells a role is short.
const MOST_ANSWER: usize = 256 * 1024;

/// How a server is asked.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// What paths are added to.
    pub base: Url,
    /// TLS files and names.
    pub tls: Option<Tls>,
    /// Headers of every request; their values may be secrets.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Who to be.
    pub login: Login,
    /// What is asked, in this order.
    pub requests: Vec<Ask>,
}

/// What authorizes a request.
#[derive(Clone, Debug)]
pub enum Login {
    /// Nothing.
    None,
    /// User and password.
    Basic(String, Proof),
    /// A token.
    Bearer(Proof),
}

/// A secret, or the file with it, which is read again for each look.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Stands in the configuration.
    Here(Secret),
    /// Stands in a file.
    File(PathBuf),
}

/// One request, and how its answer is read.
#[derive(Clone, Debug)]
pub struct Ask {
    /// GET, POST …
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// What is sent along.
    pub body: Option<String>,
    /// How the answer is read.
    pub reading: Reading,
}

impl Ask {
    fn shown(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

/// Asks a server over a connection that is kept.
#[derive(Debug)]
pub struct HttpProbe {
    config: HttpConfig,
    limit: Duration,
    open: Option<Client>,
}

/// Why a server told no role.
enum Trouble {
    /// The connection, or the way to it.
    Broken(String),
    /// It answered, and none of its answers shows a role.
    Unclear(String),
    /// Anything else.
    Wrong(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Trouble {
        Trouble::Wrong(why)
    }
}

impl HttpConfig {
    /// The server for people; what follows a `?` may be a secret.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut base = self.base.clone();
        base.set_query(None);
        base.into()
    }
}

impl HttpProbe {
    /// Will ask as configured, and give all requests of a look `limit` together.
    #[must_use]
    pub fn new(config: HttpConfig, limit: Duration) -> HttpProbe {
        HttpProbe { config, limit, open: None }
    }

    async fn ask(&mut self) -> Result<Said, String> {
        // A server may close a connection in the very moment in which it is asked over it: nothing against the server.
        if let Some(client) = self.open.take() {
            match self.ask_over(&client).await {
                Err(Trouble::Broken(_)) => {}
                answered => return self.keep(client, answered),
            }
        }
        // After a failure everything is made anew: certificates may have changed.
        let client = client(&self.config)?;
        let answered = self.ask_over(&client).await;
        self.keep(client, answered)
    }

    /// Keeps the connection for the next look if the server answered well, if not as wanted.
    fn keep(&mut self, client: Client, answered: Result<Said, Trouble>) -> Result<Said, String> {
        self.open = matches!(answered, Ok(_) | Err(Trouble::Unclear(_))).then_some(client);
        answered.map_err(|trouble| match trouble {
            Trouble::Broken(why) | Trouble::Unclear(why) | Trouble::Wrong(why) => why,
        })
    }

    async fn ask_over(&self, client: &Client) -> Result<Said, Trouble> {
        let mut answers = vec![];
        for ask in &self.config.requests {
            let (status, body) = self.send(client, ask).await?;
            let asked = format!("{} {}", ask.method, ask.shown());
            match ask.reading.read(status, &body) {
                Ok(Some(said)) => return Ok(said),
                Ok(None) => answers.push(format!("{asked} is answered with {status}")),
                Err(why) => {
                    let why = format!("{asked} at {} is answered with {why}", self.config.shown());
                    return Err(Trouble::Wrong(why));
                }
            }
        }
        Err(Trouble::Unclear(format!("{} shows no role: {}", self.config.shown(), answers.join(", "))))
    }

    async fn send(&self, client: &Client, ask: &Ask) -> Result<(u16, String), Trouble> {
        let HttpConfig { base, login, .. } = &self.config;
        let mut url = base.join(&ask.path).map_err(|why| format!("{} is no path: {why}", ask.path))?;
        if let Some(name) = self.config.tls.as_ref().and_then(|tls| tls.server_name.as_deref()) {
            url.set_host(Some(name)).map_err(|why| format!("server_name {name} is no host name: {why}"))?;
        }
        let mut request = client.request(ask.method.clone(), url).headers(self.headers()?);
        request = match login {
            Login::None => request,
            Login::Basic(user, proof) => request.basic_auth(user, Some(proof.read()?.expose())),
            Login::Bearer(proof) => request.bearer_auth(proof.read()?.expose()),
        };
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        let failed = |error: reqwest::Error| {
            Trouble::Broken(format!("{} cannot be asked: {}", self.config.shown(), tls(&cause(&error))))
        };
        let mut answer = request.send().await.map_err(failed)?;
        let mut body = vec![];
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            body.extend_from_slice(&part);
            if body.len() > MOST_ANSWER {
                let (shown, path) = (self.config.shown(), ask.shown());
                let why = format!("{shown} answers with more than {MOST_ANSWER} bytes to {path}");
                return Err(Trouble::Wrong(why));
            }
        }
        Ok((answer.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
    }

    fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.config.headers {
            let mut sent = HeaderValue::from_str(value.expose())
                .map_err(|_| format!("header {name} has a value that cannot be sent"))?;
            sent.set_sensitive(true);
            headers.append(name, sent);
        }
        Ok(headers)
    }
}

impl Probe for HttpProbe {
    async fn look(&mut self) -> Result<Look, ProbeError> {
        let (limit, base) = (self.limit, self.config.shown());
        let late = |_| Err(format!("{base} did not answer within {limit:?}"));
        timeout(limit, self.ask()).await.unwrap_or_else(late).map(Look::from).map_err(ProbeError::Other)
    }

    async fn disturbed(&mut self) {
        std::future::pending().await
    }
}

impl Proof {
    fn read(&self) -> Result<Secret, String> {
        match self {
            Proof::Here(secret) => Ok(secret.clone()),
            Proof::File(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|why| format!("{}: cannot be read: {why}", path.display()))?;
                Ok(Secret::new(text.trim()))
            }
        }
    }
}

fn client(config: &HttpConfig) -> Result<Client, String> {
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        // The instance is next door; what is sent to it is for it alone.
        .no_proxy()
        .user_agent(concat!("rolecall/", env!("CARGO_PKG_VERSION")));
    let tls = config.tls.as_ref();
    if config.base.scheme() == "http" {
        // Without TLS, a machine that has no authorities installed is fine.
        builder = builder.tls_certs_only([]);
    }
    if let Some(path) = tls.and_then(|tls| tls.ca_cert.as_deref()) {
        let pem = read("ca_cert", path)?;
        let found = Certificate::from_pem_bundle(&pem);
        builder = builder
            .tls_certs_only(found.map_err(|_| format!("ca_cert {} is no PEM certificate", path.display()))?);
    }
    if let Some((cert, key)) = tls.and_then(|tls| tls.cert.as_deref().zip(tls.key.as_deref())) {
        let pem = [read("cert", cert)?, b"\n".to_vec(), read("key", key)?].concat();
        let wrong =
            |_| format!("cert {} and key {} are no PEM certificate and key", cert.display(), key.display());
        builder = builder.identity(Identity::from_pem(&pem).map_err(wrong)?);
    }
    if tls.is_some_and(|tls| !tls.verify) {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    if tls.is_some_and(|tls| tls.server_name.is_some()) {
        let host = config.base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        builder = builder.dns_resolver(At(host));
    }
    builder.build().map_err(|error| format!("TLS to {} cannot be set up: {}", config.shown(), cause(&error)))
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|why| format!("{what} {}: cannot be read: {why}", path.display()))
}

/// The deepest reason, which says most.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

/// Finds a fixed host, whatever name TLS is to verify.
struct At(String);

impl Resolve for At {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
