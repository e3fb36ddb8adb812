//! Where tokens come from that are asked for and given back: the `login {}` block.

use config::{Mistakes, Section};
use std::{collections::BTreeMap, path::PathBuf};

/// A login by an auth method of Consul, `jwt` or `kubernetes`: Consul itself knows which of them a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Name of the auth method.
    pub method: String,
    /// File with the JSON web token to show; read anew for each login, since it ends too.
    pub bearer_token_file: PathBuf,
    /// Facts that Consul writes into the token's description.
    pub meta: BTreeMap<String, String>,
}

/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

impl Login {
    pub(super) fn read(section: &mut Section, mistakes: &mut Mistakes) -> Option<Login> {
        let mut login = section.block("login", mistakes)?;
        let method = login.string("method", mistakes).unwrap_or_default();
        if method.is_empty() {
            login.mistake("method", "is needed: the name of the auth method in Consul", mistakes);
        }
        let file = login.string("bearer_token_file", mistakes);
        let meta = login.string_map("meta", mistakes).unwrap_or_default();
        login.finish(mistakes);
        Some(Login { method, bearer_token_file: file.unwrap_or_else(|| SERVICE_ACCOUNT.into()).into(), meta })
    }

    pub(super) fn show(&self) -> serde_json::Value {
        serde_json::json!({
            "method": self.method, "bearer_token_file": self.bearer_token_file, "meta": self.meta,
        })
    }
}
