//! One server: what its line says, and what the `default-server` lines above it add.

use super::{Address, keywords::keyword};
use crate::haproxy::capability::Capabilities;

/// A keyword of a server line with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The keyword.
    pub keyword: String,
    /// What follows it.
    pub values: Vec<String>,
}

/// A server as HAProxy would start it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The backend or listen section.
    pub proxy: String,
    /// Its name there.
    pub name: String,
    /// The line of the configuration.
    pub line: usize,
    /// Where it is.
    pub address: Address,
    /// Its id after a fresh start; `None` where only HAProxy can tell.
    pub id: Option<u32>,
    /// What holds for it: inherited settings first, each keyword once, the last word on it.
    pub settings: Vec<Setting>,
}

/// Splits the words behind a server's address; `None` when one is not known.
pub(super) fn settings(words: &[String]) -> Option<Vec<Setting>> {
    let (mut out, mut rest) = (vec![], words);
    while let [name, after @ ..] = rest {
        let values = keyword(name)?.values;
        if after.len() < values {
            return None;
        }
        out.push(Setting { keyword: name.clone(), values: after[..values].to_vec() });
        rest = &after[values..];
    }
    Some(out)
}

/// Adds `more` to what holds: the later word on a matter replaces the earlier.
pub(super) fn merge(holds: &mut Vec<Setting>, more: &[Setting]) {
    for setting in more {
        holds.retain(|had| had.matter() != setting.matter());
        holds.push(setting.clone());
    }
}

impl Setting {
    /// What it is about: a keyword and its opposite are about the same.
    #[must_use]
    pub fn matter(&self) -> &str {
        match self.keyword.as_str() {
            "enabled" => "disabled",
            "non-stick" => "stick",
            other => other.strip_prefix("no-").unwrap_or(other),
        }
    }

    /// Whether it cannot be changed at run time.
    pub(in crate::haproxy) fn is_fixed(&self) -> bool {
        !self.is_default() && !matches!(self.matter(), "weight" | "maxconn" | "disabled")
    }

    /// Whether it says no more than what holds without it.
    fn is_default(&self) -> bool {
        matches!(
            self.keyword.as_str(),
            "enabled"
                | "stick"
                | "ssl-reuse"
                | "no-agent-check"
                | "no-check"
                | "no-check-reuse-pool"
                | "no-check-send-proxy"
                | "no-check-ssl"
                | "no-send-proxy-v2-ssl"
                | "no-send-proxy-v2-ssl-cn"
                | "no-ssl"
                | "no-backup"
                | "no-send-proxy"
                | "no-send-proxy-v2"
                | "no-tfo"
        )
    }

    /// Its words.
    pub fn words(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.keyword).chain(&self.values)
    }
}

impl Server {
    /// The value of a keyword.
    #[must_use]
    pub fn value(&self, keyword: &str) -> Option<&str> {
        self.settings.iter().find(|setting| setting.keyword == keyword)?.values.first().map(String::as_str)
    }

    /// Whether a keyword is there.
    #[must_use]
    pub fn says(&self, keyword: &str) -> bool {
        self.settings.iter().any(|setting| setting.keyword == keyword)
    }

    /// Whether its author wants its sessions cut when it goes: `on-marked-down shutdown-sessions`.
    #[must_use]
    pub fn cuts(&self) -> bool {
        self.value("on-marked-down") == Some("shutdown-sessions")
    }

    /// Its weight; `None` for one that HAProxy would not take.
    #[must_use]
    pub fn weight(&self) -> Option<u16> {
        self.value("weight").map_or(Some(1), |weight| weight.parse().ok().filter(|weight| *weight <= 256))
    }

    /// Its `maxconn`; 0 for no limit.
    #[must_use]
    pub fn maxconn(&self) -> Option<u32> {
        self.value("maxconn").map_or(Some(0), |most| most.parse().ok())
    }

    /// What `add server` needs so that it comes to be as a fresh start would have it, all but its id; `Err` with the
    /// keyword that the version does not take there. Nothing is inherited from `default-server` at run time.
    pub fn to_add(&self, can: &Capabilities) -> Result<Vec<String>, String> {
        let literal = matches!(self.address, Address::Ip(..));
        let mut words = vec![];
        for setting in &self.settings {
            let name = setting.keyword.as_str();
            // How a name is resolved does not matter to an address.
            let resolving =
                literal && matches!(name, "init-addr" | "resolve-net" | "resolve-opts" | "resolve-prefer");
            if setting.is_default() || resolving || matches!(name, "disabled" | "id") {
                continue;
            }
            if !can.takes(keyword(name).and_then(|keyword| keyword.dynamic)) {
                return Err(name.to_owned());
            }
            words.extend(setting.words().cloned());
        }
        Ok(words)
    }
}
