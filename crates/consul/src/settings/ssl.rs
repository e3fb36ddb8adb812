//! TLS to Consul: the `ssl {}` block.

use config::{Environment, Mistakes, Section};
use std::path::PathBuf;

/// TLS to Consul.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ssl {
    /// Certificates of the authorities to trust instead of the system's.
    pub ca_cert: Option<PathBuf>,
    /// A folder of such certificates.
    pub ca_path: Option<PathBuf>,
    /// Client certificate; may hold the key too.
    pub cert: Option<PathBuf>,
    /// Client key.
    pub key: Option<PathBuf>,
    /// The name that the server's certificate must carry, when it is not the address.
    pub server_name: Option<String>,
    /// False accepts any certificate.
    pub insecure: bool,
}

/// The `ssl {}` block as read, before it is known whether TLS is used.
pub(super) struct SslBlock {
    enabled: Option<bool>,
    pub(super) settings: Ssl,
}

impl Ssl {
    pub(super) fn read(section: &mut Section, env: &Environment, mistakes: &mut Mistakes) -> SslBlock {
        let mut ssl = section.block("ssl", mistakes).unwrap_or_else(|| Section::empty("consul.ssl"));
        let set = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
        let mut pick = |key, name, mistakes: &mut Mistakes| {
            let in_file = ssl.string(key, mistakes);
            set(name).or(in_file)
        };
        let settings = Ssl {
            ca_cert: pick("ca_cert", "CONSUL_CACERT", mistakes).map(PathBuf::from),
            ca_path: pick("ca_path", "CONSUL_CAPATH", mistakes).map(PathBuf::from),
            cert: pick("cert", "CONSUL_CLIENT_CERT", mistakes).map(PathBuf::from),
            key: pick("key", "CONSUL_CLIENT_KEY", mistakes).map(PathBuf::from),
            server_name: pick("server_name", "CONSUL_TLS_SERVER_NAME", mistakes),
            insecure: false,
        };
        let verify = set("CONSUL_HTTP_SSL_VERIFY").and_then(|v| truth(&v)).or(ssl.bool("verify", mistakes));
        let enabled = ssl.bool("enabled", mistakes);
        ssl.finish(mistakes);
        SslBlock { enabled, settings: Ssl { insecure: verify == Some(false), ..settings } }
    }

    pub(super) fn check(&self, section: &Section, mistakes: &mut Mistakes) {
        if self.key.is_some() && self.cert.is_none() {
            section.mistake("ssl", "has a key without a cert", mistakes);
        }
    }
}

impl SslBlock {
    /// Whether TLS is asked for; any other key of the block asks for it, as in consul-template.
    pub(super) fn wanted(&self, env: &Environment) -> Option<bool> {
        let asked = self.settings != Ssl { insecure: self.settings.insecure, ..Ssl::default() };
        env.get("CONSUL_HTTP_SSL").and_then(|v| truth(v)).or(self.enabled).or(asked.then_some(true))
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" => Some(true),
        "0" | "f" | "false" => Some(false),
        _ => None,
    }
}
