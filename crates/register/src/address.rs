//! Which of this machine's addresses clients are told, where it is not written down.

use ipnet::IpNet;
use std::{fmt, net::IpAddr};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What is asked of an address. Nothing at all asked: the one that routes to Consul.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The interface that has it.
    pub interface: Option<String>,
    /// The network that it is in.
    pub network: Option<IpNet>,
    /// Its family.
    pub family: Option<Family>,
}

/// An address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Its interface, which is up.
    pub interface: String,
    /// The address.
    pub ip: IpAddr,
}

impl Wanted {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        *self == Wanted::default()
    }

    fn fits(&self, local: &Local) -> bool {
        let here = self
            .interface
            .as_ref()
            .is_none_or(|name| name == local.interface.split(':').next().unwrap_or_default());
        let within = self.network.is_none_or(|network| network.contains(&local.ip));
        let family = if local.ip.is_ipv4() { Family::V4 } else { Family::V6 };
        // Loopback is meant only by name; an address that is good on one link only is none for clients.
        let useful = !local.ip.is_loopback() || self.network.is_some();
        let everywhere = match local.ip {
            IpAddr::V4(ip) => !ip.is_link_local() || self.network.is_some(),
            IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        };
        here && within && useful && everywhere && self.family.is_none_or(|wanted| wanted == family)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self.family {
            None => "address",
            Some(Family::V4) => "IPv4 address",
            Some(Family::V6) => "IPv6 address",
        })?;
        if let Some(interface) = &self.interface {
            write!(out, " of interface {interface}")?;
        }
        self.network.map_or(Ok(()), |network| write!(out, " in {network}"))
    }
}

/// The address to tell: the present one as long as it fits, else IPv4 before IPv6, else the system's first.
pub fn choose(all: &[Local], wanted: &Wanted, present: Option<IpAddr>) -> Result<IpAddr, String> {
    let fitting = || all.iter().map(|local| (local, wanted.fits(local))).filter(|(_, fits)| *fits);
    let best = fitting().map(|(local, _)| local.ip).min_by_key(|ip| (Some(*ip) != present, ip.is_ipv6()));
    best.ok_or_else(|| {
        let there: Vec<_> = all.iter().map(|local| format!("{} {}", local.interface, local.ip)).collect();
        format!("this machine has no {wanted}; it has {}", there.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Vec<Local> {
        [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("eth0", "fe80::1"),
            ("eth0", "2001:db8::7"),
            ("eth0", "192.0.2.7"),
            ("eth0:1", "192.0.2.8"),
            ("eth1", "10.1.2.3"),
            ("eth1", "169.254.1.1"),
        ]
        .map(|(interface, ip)| Local { interface: interface.into(), ip: ip.parse().unwrap() })
        .into()
    }

    fn wanted(interface: &str, network: &str, family: Option<Family>) -> Wanted {
        let interface = (!interface.is_empty()).then(|| interface.to_owned());
        Wanted { interface, network: network.parse().ok(), family }
    }

    #[test]
    fn an_address_is_chosen_by_interface_network_and_family() {
        use Family::{V4, V6};
        for (interface, network, family, present, chosen) in [
            ("eth0", "", None, "", Some("192.0.2.7")),
            ("eth0", "", None, "192.0.2.8", Some("192.0.2.8")),
            ("eth0", "", None, "192.0.2.99", Some("192.0.2.7")),
            ("eth0", "", Some(V6), "192.0.2.8", Some("2001:db8::7")),
            ("eth1", "", Some(V6), "", None),
            ("", "10.0.0.0/8", None, "", Some("10.1.2.3")),
            ("", "2001:db8::/32", None, "", Some("2001:db8::7")),
            ("eth0", "10.0.0.0/8", None, "", None),
            ("", "", Some(V4), "", Some("192.0.2.7")),
            ("lo", "", None, "", None),
            ("lo", "127.0.0.0/8", None, "", Some("127.0.0.1")),
            ("", "169.254.0.0/16", None, "", Some("169.254.1.1")),
            ("", "fe80::/10", None, "", None),
            ("eth9", "", None, "", None),
        ] {
            let found = choose(&machine(), &wanted(interface, network, family), present.parse().ok());
            let found = found.ok().map(|ip| ip.to_string());
            assert_eq!(found.as_deref(), chosen, "{interface} {network} {family:?} {present}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_what_is_there() {
        let why = choose(&machine()[..1], &wanted("eth0", "10.0.0.0/8", Some(Family::V4)), None).unwrap_err();
        assert_eq!(
            why,
            "this machine has no IPv4 address of interface eth0 in 10.0.0.0/8; it has lo 127.0.0.1"
        );
    }
}
