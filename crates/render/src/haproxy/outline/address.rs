//! Where a server is, as its line says it.

use std::{fmt, net::IpAddr};

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port of its own: what can be set at run time.
    Ip(IpAddr, u16),
    /// A name that HAProxy resolves when it starts, or a port that follows the client's.
    Start(String),
    /// Nothing before the port: HAProxy would connect wherever the client wanted to go.
    Blank,
    /// A socket, or what only HAProxy understands.
    Other(String),
}

impl Address {
    pub(super) fn read(text: &str) -> Address {
        let kept = || text.to_owned();
        if text.contains(['@', '/', '*']) {
            return Address::Other(kept());
        }
        // The last colon parts the port, also in an IPv6 address without brackets.
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if bare.is_empty() {
            return Address::Blank;
        }
        let port = if port.starts_with(['+', '-']) { None } else { port.parse::<u16>().ok() };
        match (bare.parse(), port) {
            (Ok(ip), Some(port)) if port > 0 => Address::Ip(ip, port),
            _ => Address::Start(kept()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(ip, port) => write!(f, "{ip}:{port}"),
            Address::Start(text) | Address::Other(text) => f.write_str(text),
            Address::Blank => f.write_str("no address"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        let ip = |ip: &str, port| Address::Ip(ip.parse().unwrap(), port);
        let start = |text: &str| Address::Start(text.into());
        for (text, expected) in [
            ("10.0.0.1:80", ip("10.0.0.1", 80)),
            ("2001:db8::3:6379", ip("2001:db8::3", 6379)),
            ("[::1]:80", ip("::1", 80)),
            (":80", Address::Blank),
            ("", Address::Blank),
            ("[]:80", Address::Blank),
            ("redis.local:80", start("redis.local:80")),
            ("300.1.1.1:80", start("300.1.1.1:80")),
            ("10.0.0.1", start("10.0.0.1")),
            ("10.0.0.1:+1", start("10.0.0.1:+1")),
            ("10.0.0.1:0", start("10.0.0.1:0")),
            ("/run/x.sock", Address::Other("/run/x.sock".into())),
            ("ipv4@10.0.0.1:80", Address::Other("ipv4@10.0.0.1:80".into())),
            ("*:80", Address::Other("*:80".into())),
        ] {
            assert_eq!(Address::read(text), expected, "{text}");
        }
    }
}
