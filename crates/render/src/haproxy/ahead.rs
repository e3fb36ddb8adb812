//! What cannot wait for a reload: a server that a new text takes out of a proxy that cuts gets no more traffic, and
//! its clients are cut off, before the check and the reload take their 100 ms.

use super::{
    outline::outline,
    sessions::{Seen, Server, Servers, departed},
    stated::stated,
};
use std::collections::BTreeMap;

/// Whether `next` takes a server out of `live` whose sessions must not outlive it.
#[must_use]
pub fn takes_out(live: &str, next: &str) -> bool {
    stated(live).is_some_and(|stated| !leaving(&stated.servers, live, next).is_empty())
}

/// The servers in service in a worker that `next` takes out of a proxy whose sessions `live`, or `next`, wants cut.
#[must_use]
pub fn leaving(worker: &Servers, live: &str, next: &str) -> BTreeMap<Server, Seen> {
    let Some(stated) = stated(next) else { return BTreeMap::new() };
    let cutting = &(outline(live).cutting() | outline(next).cutting()) - &stated.opaque;
    let gone = departed(worker, &stated.servers, &cutting);
    let leaves = |server: &Server, seen: &Seen| gone.contains(server) && !seen.is_out();
    worker.iter().filter(|(server, seen)| leaves(server, seen)).map(|(s, seen)| (s.clone(), *seen)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUTS: &str = "backend m\n default-server on-marked-down shutdown-sessions\n";

    #[test]
    fn only_a_server_of_a_proxy_that_cuts_is_taken_out_ahead() {
        let live = format!("{CUTS} server a 10.0.0.1:1\nbackend r\n server b 10.0.0.2:1\n");
        for (next, expected) in [
            (format!("{CUTS} server c 10.0.0.3:1\nbackend r\n"), true),
            (format!("{CUTS} server a 10.0.0.1:1 disabled\n"), true),
            (format!("{CUTS} server a 10.0.0.9:1\n"), true),
            ("backend r\n".to_owned(), true),
            (format!("{CUTS} server a 10.0.0.1:1\nbackend r\n"), false),
            (format!("{CUTS} server other 10.0.0.1:1\n"), false),
            (format!("{CUTS} server c host:1\n"), false),
            (format!("{CUTS} server-template a 1-3 10.0.0.3:1\n"), false),
        ] {
            assert_eq!(takes_out(&live, &next), expected, "{next}");
        }
        let out = Seen { address: "10.0.0.1:1".parse().ok(), admin: 1 };
        let worker = BTreeMap::from([(("m".to_owned(), "a".to_owned()), out)]);
        assert!(leaving(&worker, &live, CUTS).is_empty(), "it is out already");
    }
}
