//! Where a configuration has HAProxy listen, as far as its text alone tells: the `bind` lines and the sockets for orders.

use super::{
    Outline,
    sections::{Line, Section},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
};

/// A place where HAProxy listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The line that says so.
    pub line: usize,
    /// The keyword and the address, as that line says them.
    pub said: String,
    /// The place.
    pub at: Place,
}

/// What HAProxy binds to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An address and a port for TCP.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Path(PathBuf),
}

/// Words that make a socket of another kind, or in another network, than its address alone tells.
const ELSEWHERE: [&str; 4] = ["interface", "namespace", "transparent", "v6only"];

impl Outline {
    /// The places of lines that are understood. A section that is `disabled`, or may be, listens nowhere.
    #[must_use]
    pub fn binds(&self) -> Vec<Bind> {
        let off = |section: &Section| section.lines.iter().any(|line| line.roughly() == ["disabled"]);
        let inherited = self.sections().iter().any(|section| section.kind() == "defaults" && off(section));
        let prefixed = self.global().any(|words| words.starts_with(&["unix-bind"]));
        let proxies = |section: &&Section| match section.kind() {
            "frontend" | "listen" => !inherited && !off(section),
            "global" => true,
            _ => false,
        };
        let sections = self.sections().iter().filter(|section| !section.conditional).filter(proxies);
        let binds = sections.flat_map(|section| section.body()).flat_map(binds);
        binds.filter(|bind| !(prefixed && matches!(bind.at, Place::Path(_)))).collect()
    }
}

fn binds(line: &Line) -> Vec<Bind> {
    let words = line.spoken().unwrap_or_default();
    let (keyword, addresses, rest) = match words.as_slice() {
        ["bind", addresses, rest @ ..] => ("bind", *addresses, rest),
        ["stats", "socket", addresses, rest @ ..] => ("stats socket", *addresses, rest),
        _ => return vec![],
    };
    if rest.iter().any(|word| ELSEWHERE.contains(word)) {
        return vec![];
    }
    let each = addresses.split(',').flat_map(|address| {
        let bind = move |at| Bind { line: line.number, said: format!("{keyword} {address}"), at };
        places(address).into_iter().map(bind)
    });
    each.collect()
}

/// The places that an address stands for; none when only HAProxy can tell.
fn places(address: &str) -> Vec<Place> {
    let (kind, rest) = address.split_once('@').unwrap_or(("", address));
    if matches!(kind, "" | "unix") && rest.starts_with('/') {
        return vec![Place::Path(rest.into())];
    }
    let Some((host, ports)) = rest.rsplit_once(':') else { return vec![] };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let ip: Option<IpAddr> = match (kind, bare) {
        ("" | "tcp" | "tcp4" | "ipv4", "" | "*") => Some(Ipv4Addr::UNSPECIFIED.into()),
        ("tcp6" | "ipv6", "" | "*") => Some(Ipv6Addr::UNSPECIFIED.into()),
        ("" | "tcp" | "tcp4" | "tcp6" | "ipv4" | "ipv6", bare) => bare.parse().ok(),
        _ => None,
    };
    let (Some(ip), Some(ports)) = (ip, range(ports)) else { return vec![] };
    ports.map(|port| Place::Tcp(SocketAddr::new(ip, port))).collect()
}

/// `80`, or `8000-8010`.
fn range(ports: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::super::outline;

    #[test]
    fn what_the_text_alone_tells_is_found() {
        for (text, expected) in [
            ("frontend f\n bind :80\n", "0.0.0.0:80"),
            ("listen l\n bind *:80,127.0.0.1:81 ssl crt /c\n", "0.0.0.0:80 127.0.0.1:81"),
            ("frontend f\n bind :::80\n bind [::1]:81\n bind ::1:82\n", "[::]:80 [::1]:81 [::1]:82"),
            (
                "frontend f\n bind ipv4@:80\n bind ipv6@:81\n bind tcp@10.0.0.1:82\n",
                "0.0.0.0:80 [::]:81 10.0.0.1:82",
            ),
            ("frontend f\n bind 10.0.0.1:80-82\n", "10.0.0.1:80 10.0.0.1:81 10.0.0.1:82"),
            ("frontend f\n bind /run/a.sock\n bind unix@/run/b.sock mode 600\n", "/run/a.sock /run/b.sock"),
            (
                "global\n stats socket /run/a.sock level admin\n stats socket ipv4@127.0.0.1:9\n",
                "/run/a.sock 127.0.0.1:9",
            ),
            ("global\n unix-bind prefix /x\n stats socket /run/a.sock\n stats socket :9\n", "0.0.0.0:9"),
            // Only HAProxy can tell, or they are elsewhere.
            (
                "frontend f\n bind \"${IP}:80\"\n bind host:80\n bind abns@x\n bind fd@3\n bind quic4@:443\n bind udp@:53\n",
                "",
            ),
            (
                "frontend f\n bind :80 interface eth0\n bind :81 namespace n\n bind :82 transparent\n bind :0\n bind :9-8\n",
                "",
            ),
            ("frontend f\n bind :80\n disabled\ndefaults\nbackend b\n bind :81\n", ""),
            ("defaults\n disabled\nfrontend f\n bind :80\n", ""),
            ("frontend f\n.if 1\n bind :80\n.endif\n", ""),
        ] {
            let found = outline(text).binds();
            let said = found.iter().map(|bind| match &bind.at {
                super::Place::Tcp(at) => at.to_string(),
                super::Place::Path(path) => path.display().to_string(),
            });
            assert_eq!(said.collect::<Vec<_>>().join(" "), expected, "{text}");
        }
        let found = outline("frontend f\n\n bind :80,:81\n").binds();
        assert_eq!((found[1].line, found[1].said.as_str()), (3, "bind :81"));
    }
}
