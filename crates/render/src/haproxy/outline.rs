//! Reads a HAProxy configuration back: which servers each proxy names, and whose sessions its author wants cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

/// What this program needs to know of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Addresses by proxy (backend or listen) and server name; `None` where the text does not tell what HAProxy
    /// makes of it: a host name, a variable, no port.
    pub servers: BTreeMap<(String, String), Option<SocketAddr>>,
    /// Proxies with servers that the text does not name one by one (`server-template`).
    pub templated: BTreeSet<String>,
    /// Proxies whose servers carry `on-marked-down shutdown-sessions`: the author's word that sessions must not
    /// outlive a server there. A server that leaves such a proxy is treated like one marked down.
    pub cutting: BTreeSet<String>,
}

/// Takes a configuration apart.
#[must_use]
pub fn outline(config: &str) -> Outline {
    let mut out = Outline::default();
    let mut section = Section::Other;
    let mut inherited = false;
    for line in config.lines() {
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["defaults", ..] => (section, inherited) = (Section::Defaults, false),
            ["backend" | "listen", name, ..] => {
                section = Section::Proxy((*name).into());
                if inherited {
                    out.cutting.insert((*name).into());
                }
            }
            [word, ..] if SECTIONS.contains(word) => section = Section::Other,
            ["default-server", options @ ..] => match &section {
                Section::Defaults => inherited |= cuts(options),
                Section::Proxy(name) if cuts(options) => _ = out.cutting.insert(name.clone()),
                _ => {}
            },
            ["server", server, address, options @ ..] => {
                if let Section::Proxy(name) = &section {
                    out.servers.insert((name.clone(), (*server).into()), address_of(address));
                    if cuts(options) {
                        out.cutting.insert(name.clone());
                    }
                }
            }
            ["server-template", ..] => {
                if let Section::Proxy(name) = &section {
                    out.templated.insert(name.clone());
                }
            }
            _ => {}
        }
    }
    out
}

/// Where a line stands.
enum Section {
    Defaults,
    Proxy(String),
    Other,
}

/// Words that begin a section without servers of our interest.
const SECTIONS: [&str; 12] = [
    "global",
    "frontend",
    "userlist",
    "peers",
    "mailers",
    "resolvers",
    "cache",
    "program",
    "http-errors",
    "ring",
    "fcgi-app",
    "log-forward",
];

fn cuts(options: &[&str]) -> bool {
    options.windows(2).any(|pair| pair == ["on-marked-down", "shutdown-sessions"])
}

/// `address:port` of a server line, as far as it is a plain address: HAProxy takes IPv6 with and without brackets.
pub(super) fn address_of(word: &str) -> Option<SocketAddr> {
    let bare = ["ipv4@", "ipv6@"].iter().find_map(|family| word.strip_prefix(family)).unwrap_or(word);
    let (host, port) = bare.rsplit_once(':')?;
    let host: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(SocketAddr::new(host, port.parse().ok()?))
}

/// HAProxy's words: blanks part them, quotes and backslashes keep blanks, `#` begins a comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (vec![], String::new(), None, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.extend(chars.next()),
            ('\'' | '"', None) => quote = Some(c),
            (_, Some(q)) if q == c => quote = None,
            ('#', None) => break,
            (c, None) if c.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
                continue;
            }
            (c, _) => word.push(c),
        }
        begun = true;
    }
    if begun {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_whose_sessions_are_cut() {
        let out = outline(
            "defaults\n  mode tcp\nbackend a\n  default-server inter 1s on-marked-down shutdown-sessions\n  \
             server r-0 10.0.0.1:6379 check # on-marked-down\n\
             listen b\n  bind :1\n  server x [::1]:80\n  server y ipv6@fd00::1:81 on-marked-down shutdown-sessions\n\
             backend plain\n  server \"q s\" 10.0.0.2:1\n  server host localhost:1\n  server-template t 1-9 h:1\n\
             frontend f\n  server nonsense 1.1.1.1:1\n\
             defaults\n  default-server on-marked-down shutdown-sessions\nbackend c\n",
        );
        let servers: Vec<_> = out
            .servers
            .iter()
            .map(|((proxy, server), address)| match address {
                Some(address) => format!("{proxy}/{server}={address}"),
                None => format!("{proxy}/{server}"),
            })
            .collect();
        let expected =
            ["a/r-0=10.0.0.1:6379", "b/x=[::1]:80", "b/y=[fd00::1]:81", "plain/host", "plain/q s=10.0.0.2:1"];
        assert_eq!(servers, expected);
        assert_eq!(out.templated, ["plain"].map(String::from).into());
        assert_eq!(out.cutting, ["a", "b", "c"].map(String::from).into());
    }
}
