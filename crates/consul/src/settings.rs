//! How to reach Consul: the `consul {}` block, Consul's usual environment variables, and flags.

mod login;
mod ssl;

pub use login::Login;
pub use ssl::Ssl;

use config::{Environment, Mistakes, Secret, Section, show_duration};
use std::{path::PathBuf, time::Duration};

/// Everything needed to speak to Consul. A flag overrides the environment, which overrides the file.
#[derive(Clone, Debug)]
pub struct ConsulSettings {
    /// `http://host:port` or `https://host:port`, without a trailing slash; or `unix:///path`.
    pub address: String,
    /// Enterprise namespace; sent only when set, since others refuse it.
    pub namespace: Option<String>,
    /// Enterprise admin partition; sent only when set.
    pub partition: Option<String>,
    /// The external node to register on, through the catalog itself; at the agent when absent.
    pub external: Option<String>,
    /// ACL token.
    pub token: Option<Secret>,
    /// File with the ACL token; read anew for each call, so that a rotated token is used at once.
    pub token_file: Option<PathBuf>,
    /// A login for tokens that end, instead of a token.
    pub login: Option<Login>,
    /// User and password of HTTP basic authentication, for a proxy before Consul.
    pub auth: Option<(String, Secret)>,
    /// TLS.
    pub ssl: Ssl,
    /// Pauses between tries.
    pub retry: Retry,
    /// How long Consul may hold a question open. Short enough that a frozen connection is noticed soon.
    pub block_query_wait: Duration,
    /// How many connections at most are used for questions.
    pub max_connections: usize,
}

/// Pauses between tries; there is no last try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Bound of the first pause.
    pub backoff: Duration,
    /// Bound of the longest pause. Short by default: a fail-over after an outage must not wait for it.
    pub max_backoff: Duration,
    /// Whoever follows a question is woken after so many failures in a row, to give it up; 0 for never. Tries go on.
    pub attempts: u32,
}

/// What the command line says of Consul.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--consul-addr`.
    pub address: Option<String>,
    /// `--consul-token-file`.
    pub token_file: Option<PathBuf>,
}

const DEFAULT_WAIT: Duration = Duration::from_secs(10);
/// Half of what Consul takes from one address (`http_max_conns_per_client`): others on this machine need some too.
const DEFAULT_CONNECTIONS: usize = 100;
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// No pause reaches it in a life.
const UNBOUNDED: Duration = Duration::from_secs(365 * 24 * 3600);

impl Default for Retry {
    fn default() -> Self {
        Retry { backoff: Duration::from_millis(250), max_backoff: Duration::from_secs(5), attempts: 0 }
    }
}

impl ConsulSettings {
    /// Takes the `consul {}` block out of `top`.
    pub fn read(top: &mut Section, env: &Environment, flags: &Flags, mistakes: &mut Mistakes) -> Self {
        let mut section = top.block("consul", mistakes).unwrap_or_else(|| Section::empty("consul"));
        let set = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
        let in_file = section.string("address", mistakes).filter(|address| !address.is_empty());
        let ssl = Ssl::read(&mut section, env, mistakes);
        let flag = flags.address.clone().filter(|address| !address.is_empty());
        let given = flag.or_else(|| set("CONSUL_HTTP_ADDR")).or(in_file.clone());
        let address = given.unwrap_or_else(|| beside(set("HOST_IP")));
        let address = match base_address(&address, ssl.wanted(env)) {
            Ok(address) => address,
            Err(why) => {
                section.mistake("address", &why, mistakes);
                String::new()
            }
        };
        ssl.settings.check(&section, mistakes);
        let settings = ConsulSettings {
            address,
            namespace: set("CONSUL_NAMESPACE").or(section.string("namespace", mistakes)),
            partition: set("CONSUL_PARTITION").or(section.string("partition", mistakes)),
            external: external(&mut section, env, mistakes),
            token: section.secret("token", mistakes),
            token_file: section.string("token_file", mistakes).map(PathBuf::from),
            login: Login::read(&mut section, mistakes),
            auth: auth(&mut section, set("CONSUL_HTTP_AUTH"), mistakes),
            ssl: ssl.settings,
            retry: Retry::read(&mut section, mistakes),
            block_query_wait: wait(&mut section, mistakes),
            max_connections: connections(&mut section, mistakes),
        };
        if settings.token.is_some() && settings.token_file.is_some() {
            section.mistake("token_file", "is given beside token; leave one of them out", mistakes);
        }
        if settings.login.is_some() && (settings.token.is_some() || settings.token_file.is_some()) {
            section.mistake("login", "is given beside a token; leave one of them out", mistakes);
        }
        section.finish(mistakes);
        settings.with_tokens(set("CONSUL_HTTP_TOKEN"), set("CONSUL_HTTP_TOKEN_FILE"), flags)
    }

    /// The settings for people, as `--print-config` shows them: secrets are named, not told.
    #[must_use]
    pub fn show(&self) -> serde_json::Value {
        let ssl = &self.ssl;
        serde_json::json!({
            "address": self.address,
            "namespace": self.namespace,
            "partition": self.partition,
            "mode": if self.external.is_some() { "catalog" } else { "agent" },
            "node": self.external,
            "token": self.token,
            "token_file": self.token_file,
            "login": self.login.as_ref().map(Login::show),
            "auth": self.auth.as_ref().map(|(user, password)| {
                serde_json::json!({"username": user, "password": password})
            }),
            "block_query_wait": show_duration(self.block_query_wait),
            "max_connections": self.max_connections,
            "retry": {
                "backoff": show_duration(self.retry.backoff),
                "max_backoff": show_duration(self.retry.max_backoff),
            },
            "ssl": {
                "ca_cert": ssl.ca_cert, "ca_path": ssl.ca_path, "cert": ssl.cert, "key": ssl.key,
                "server_name": ssl.server_name, "verify": !ssl.insecure,
            },
        })
    }

    /// The nearest source of a token decides alone: a file named by flag beats a token in the environment.
    fn with_tokens(mut self, token: Option<String>, file: Option<String>, flags: &Flags) -> Self {
        let file = flags.token_file.clone().or(file.map(PathBuf::from));
        if file.is_some() || token.is_some() {
            self.token = token.filter(|_| file.is_none()).map(Secret::new);
            (self.token_file, self.login) = (file, None);
        }
        self
    }
}

/// The agent of this host: in a pod the downward API's `HOST_IP`, else loopback.
fn beside(host: Option<String>) -> String {
    match host {
        Some(host) if host.contains(':') && !host.starts_with('[') => format!("[{host}]:8500"),
        Some(host) => format!("{host}:8500"),
        None => "127.0.0.1:8500".into(),
    }
}

fn base_address(text: &str, tls: Option<bool>) -> Result<String, String> {
    if let Some(path) = text.strip_prefix("unix://") {
        return match (path.starts_with('/'), tls) {
            (false, _) => Err("names no path; write unix:///run/consul/http.sock".into()),
            (true, Some(true)) => Err("is a unix socket, to which no TLS is spoken; take ssl out".into()),
            (true, _) => Ok(text.to_owned()),
        };
    }
    let with_scheme = match text.split_once("://") {
        Some(("http" | "https", _)) => text.to_owned(),
        Some((scheme, _)) => {
            return Err(format!(
                "`{scheme}://` is not supported; write host:port, http://…, https://… or unix:///…"
            ));
        }
        None => format!("http://{text}"),
    };
    let mut url = reqwest::Url::parse(&with_scheme)
        .map_err(|e| format!("`{text}` is no address ({e}); write host:port, such as 127.0.0.1:8500"))?;
    match tls {
        Some(true) => url.set_scheme("https").map_err(|()| "cannot be spoken to by TLS".to_owned())?,
        Some(false) if url.scheme() == "https" => {
            return Err("is https:// while ssl is switched off".into());
        }
        _ => {}
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or password; use auth { username, password }".into());
    }
    if url.path().trim_end_matches('/').ends_with("/v1") {
        return Err("is to be Consul's address alone, without /v1".into());
    }
    if !names_port(&with_scheme) {
        let port = if url.scheme() == "https" { 8501 } else { 8500 };
        url.set_port(Some(port)).map_err(|()| format!("`{text}` has no host"))?;
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Whether an address names its port; the URL itself forgets one that is its scheme's own.
fn names_port(url: &str) -> bool {
    let authority = url.split("://").last().unwrap_or_default().split('/').next().unwrap_or_default();
    authority.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']'))
    })
}

/// The node of `mode = "catalog"`. Its name must not be that of a node with an agent, which would remove what it does
/// not know.
fn external(section: &mut Section, env: &Environment, mistakes: &mut Mistakes) -> Option<String> {
    let (mode, node) = (section.string("mode", mistakes), section.string("node", mistakes));
    match (mode.as_deref(), node) {
        (Some("catalog"), Some(node)) => Some(node),
        (Some("catalog"), None) => {
            let own =
                ["POD_NAME", "HOSTNAME"].iter().find_map(|name| env.get(*name).filter(|own| !own.is_empty()));
            if own.is_none() {
                let why = "is needed for mode = \"catalog\": a name of its own for the node that the entries stand on";
                section.mistake("node", why, mistakes);
            }
            own.map(|own| format!("rolecall-{own}"))
        }
        (None | Some("agent"), Some(_)) => {
            section.mistake("node", "is only for mode = \"catalog\"; an agent has its own node", mistakes);
            None
        }
        (None | Some("agent"), None) => None,
        (Some(_), _) => {
            section.mistake("mode", "is \"agent\" or \"catalog\"", mistakes);
            None
        }
    }
}

fn auth(section: &mut Section, env: Option<String>, mistakes: &mut Mistakes) -> Option<(String, Secret)> {
    let block = section.block("auth", mistakes).and_then(|mut auth| {
        let enabled = auth.bool("enabled", mistakes).unwrap_or(true);
        let user = auth.string("username", mistakes);
        let password = auth.secret("password", mistakes);
        auth.finish(mistakes);
        user.filter(|_| enabled).map(|user| (user, password.unwrap_or_default()))
    });
    let pair = env.map(|pair| match pair.split_once(':') {
        Some((user, password)) => (user.to_owned(), Secret::new(password)),
        None => (pair, Secret::default()),
    });
    pair.or(block)
}

fn connections(section: &mut Section, mistakes: &mut Mistakes) -> usize {
    let given = section.integer("max_connections", 16..=100_000, mistakes);
    given.and_then(|given| given.try_into().ok()).unwrap_or(DEFAULT_CONNECTIONS)
}

fn wait(section: &mut Section, mistakes: &mut Mistakes) -> Duration {
    let wait = section.duration("block_query_wait", mistakes).unwrap_or(DEFAULT_WAIT);
    if wait < Duration::from_secs(1) || wait > LONGEST_WAIT {
        section.mistake(
            "block_query_wait",
            "must lie between 1s and 10m, which is what Consul allows",
            mistakes,
        );
    }
    wait
}

impl Retry {
    fn read(section: &mut Section, mistakes: &mut Mistakes) -> Retry {
        let Some(mut retry) = section.block("retry", mistakes) else { return Retry::default() };
        let default = Retry::default();
        if retry.bool("enabled", mistakes) == Some(false) {
            retry.mistake("enabled", "rolecall always tries again; take this key out", mistakes);
        }
        if retry.integer("attempts", 0..=i64::MAX, mistakes).is_some_and(|attempts| attempts != 0) {
            retry.mistake(
                "attempts",
                "rolecall never gives up; write 0 (without end) or take this key out",
                mistakes,
            );
        }
        let backoff = retry.duration("backoff", mistakes).unwrap_or(default.backoff);
        let max_backoff = match retry.duration("max_backoff", mistakes) {
            None => default.max_backoff.max(backoff),
            // consul-template's word for no bound.
            Some(Duration::ZERO) => UNBOUNDED,
            Some(bound) => bound,
        };
        if backoff.is_zero() || max_backoff < backoff {
            retry.mistake("backoff", "must be more than zero and no more than max_backoff", mistakes);
        }
        retry.finish(mistakes);
        Retry { backoff, max_backoff, attempts: default.attempts }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn defaults() -> ConsulSettings {
        read(&[], &Flags::default()).0
    }

    fn read(env: &[(&str, &str)], flags: &Flags) -> (ConsulSettings, Mistakes) {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut mistakes = Mistakes::default();
        let settings = ConsulSettings::read(&mut Section::empty(""), &env, flags, &mut mistakes);
        (settings, mistakes)
    }

    #[test]
    fn an_address_is_completed() {
        for (env, address) in [
            (&[][..], "http://127.0.0.1:8500"),
            (&[("HOST_IP", "10.0.0.9")], "http://10.0.0.9:8500"),
            (&[("HOST_IP", "fd00::9")], "http://[fd00::9]:8500"),
            (&[("CONSUL_HTTP_ADDR", "consul.example:80"), ("HOST_IP", "10.0.0.9")], "http://consul.example"),
            (&[("CONSUL_HTTP_ADDR", "https://consul.example")], "https://consul.example:8501"),
            (&[("CONSUL_HTTP_ADDR", "[fd00::80]")], "http://[fd00::80]:8500"),
            (&[("CONSUL_HTTP_ADDR", "[fd00::80]:8600")], "http://[fd00::80]:8600"),
            (
                &[("CONSUL_HTTP_ADDR", "consul.example:9000"), ("CONSUL_HTTP_SSL", "true")],
                "https://consul.example:9000",
            ),
            (&[("CONSUL_CACERT", "/ca.pem")], "https://127.0.0.1:8500"),
            (&[("CONSUL_HTTP_ADDR", "unix:///run/consul.sock")], "unix:///run/consul.sock"),
        ] {
            assert_eq!(read(env, &Flags::default()).0.address, address, "{env:?}");
        }
        let empty = Flags { address: Some(String::new()), ..Flags::default() };
        assert_eq!(
            read(&[("CONSUL_HTTP_ADDR", "a:1")], &empty).0.address,
            "http://a:1",
            "a flag without a value"
        );
        for bad in ["unix://consul.sock", "ftp://host", "http://u:p@host", "::::", "http://host:8500/v1/"] {
            let (_, mistakes) = read(&[("CONSUL_HTTP_ADDR", bad)], &Flags::default());
            assert!(!mistakes.is_empty(), "{bad}");
            assert!(!mistakes.to_string().contains("u:p"), "a password is not repeated");
        }
    }

    #[test]
    fn the_nearest_token_decides() {
        let env = [("CONSUL_HTTP_TOKEN", "t-env")];
        let (settings, _) = read(&env, &Flags::default());
        assert_eq!(settings.token.unwrap().expose(), "t-env");
        let flags = Flags { token_file: Some("/token".into()), ..Flags::default() };
        let (settings, _) = read(&env, &flags);
        assert_eq!((settings.token.is_none(), settings.token_file), (true, Some("/token".into())));
    }
}
