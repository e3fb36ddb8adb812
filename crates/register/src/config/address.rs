//! Where clients reach an instance: written down, or found on this machine.

use crate::{
    address::{Family, Wanted},
    identity,
};
use config::{Environment, Mistakes, Section};
use serde_json::{Value, json};

/// Where clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressConfig {
    /// `address`, or `$POD_IP`.
    Given(String),
    /// Found by these.
    Found(Wanted),
}

impl AddressConfig {
    /// The address, where it is written down.
    #[must_use]
    pub fn given(&self) -> Option<&String> {
        match self {
            AddressConfig::Given(address) => Some(address),
            AddressConfig::Found(_) => None,
        }
    }

    /// In the words of the configuration file, for people.
    pub(super) fn show(&self) -> Value {
        match self {
            AddressConfig::Given(address) => json!({"address": address}),
            AddressConfig::Found(wanted) if wanted.is_anything() => {
                json!({"address": "(the local address that routes to Consul)"})
            }
            AddressConfig::Found(Wanted { interface, network, family }) => json!({
                "address_interface": interface,
                "address_cidr": network.map(|network| network.to_string()),
                "address_family": family.map(|family| if family == Family::V4 { "ipv4" } else { "ipv6" }),
            }),
        }
    }
}

pub(super) fn read(section: &mut Section, env: &Environment, mistakes: &mut Mistakes) -> AddressConfig {
    let searched = ["address_interface", "address_cidr", "address_family"].iter().any(|key| section.has(key));
    let given = section.string("address", mistakes);
    let interface = section.string("address_interface", mistakes);
    if interface.as_deref().is_some_and(|name| name.trim().is_empty()) {
        section.mistake("address_interface", "must not be empty; name one such as \"eth0\"", mistakes);
    }
    let network = section.string("address_cidr", mistakes).and_then(|text| {
        let why = format!("expected a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", found {text:?}");
        text.parse().map_err(|_| section.mistake("address_cidr", why, mistakes)).ok()
    });
    let family = section.string("address_family", mistakes).and_then(|text| match text.as_str() {
        "ipv4" => Some(Family::V4),
        "ipv6" => Some(Family::V6),
        _ => {
            let why = format!("expected \"ipv4\" or \"ipv6\", found {text:?}");
            section.mistake("address_family", why, mistakes);
            None
        }
    });
    if searched && given.is_some() {
        let why = "is written down, so that it is not searched for; take it or the address_… keys out";
        section.mistake("address", why, mistakes);
    }
    let wanted = Wanted { interface, network, family };
    if wanted
        .family
        .zip(wanted.network)
        .is_some_and(|(family, net)| (family == Family::V4) != net.addr().is_ipv4())
    {
        section.mistake("address_cidr", "is a network of the other family than address_family", mistakes);
    }
    let pod = || identity::set(env, "POD_IP").map(str::to_owned).filter(|_| !searched);
    match given.or_else(pod) {
        Some(text) => AddressConfig::Given(checked(text, section, mistakes)),
        None => AddressConfig::Found(wanted),
    }
}

fn checked(text: String, section: &Section, mistakes: &mut Mistakes) -> String {
    let why = match text.trim() {
        "" => "must not be empty; leave it out to take the local address that routes to Consul",
        "0.0.0.0" | "::" | "[::]" => "is no address that clients can reach; name the one they use",
        text if text.contains([' ', '/']) || text.parse::<std::net::SocketAddr>().is_ok() => {
            "expected an IP address or a host name, without a port"
        }
        _ => return text,
    };
    section.mistake("address", why, mistakes);
    text
}
