//! Which servers a configuration text states, as far as that can be compared with a worker's own table.

use super::{
    outline::roughly,
    sessions::{Seen, Servers},
};
use std::collections::BTreeSet;

/// The servers that a text states, and the proxies of which that cannot be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// By proxy and name, without those that are `disabled`.
    pub servers: Servers,
    /// Proxies with a `server-template` or with host names: what stands there is known to HAProxy alone.
    pub opaque: BTreeSet<String>,
}

/// Reads them; `None` when conditions (`.if`) decide what holds.
#[must_use]
pub fn stated(config: &str) -> Option<Stated> {
    let mut found = Stated::default();
    let mut proxy = String::new();
    for line in config.lines() {
        let words = roughly(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [word, ..] if word.starts_with('.') => return None,
            ["backend" | "listen", name, ..] => (*name).clone_into(&mut proxy),
            ["frontend" | "defaults", ..] => proxy.clear(),
            ["server-template", ..] => _ = found.opaque.insert(proxy.clone()),
            ["server", name, address, options @ ..] => match address.parse() {
                Ok(_) if options.contains(&"disabled") => {}
                Ok(address) => {
                    let seen = Seen { address: Some(address), admin: 0 };
                    found.servers.insert((proxy.clone(), (*name).to_owned()), seen);
                }
                Err(_) => _ = found.opaque.insert(proxy.clone()),
            },
            _ => {}
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_from_a_text() {
        let text = "backend a\n server r0 10.0.0.1:6379 check\n server r2 10.0.0.2:1 check disabled\n\
            listen b\n server-template t 1-3 h:1\nlisten c\n server x host:1\nfrontend f\n";
        let found = stated(text).unwrap();
        let names: Vec<_> =
            found.servers.iter().map(|((p, n), seen)| (p.as_str(), n.as_str(), *seen)).collect();
        let r0 = Seen { address: "10.0.0.1:6379".parse().ok(), admin: 0 };
        assert_eq!(names, [("a", "r0", r0)]);
        assert_eq!(found.opaque, ["b".to_owned(), "c".to_owned()].into());
        assert_eq!(stated("backend a\n.if 1\n server x 1.1.1.1:1\n.endif\n"), None);
    }
}
