//! What cannot wait for a reload: a server that a new text takes out of a proxy that cuts gets no more traffic, and
//! its clients are cut off, before the check and the reload take their 100 ms.

use super::{
    outline::Outline,
    sessions::{Seen, Server, Servers, departed},
    stated::stated,
};
use std::collections::BTreeMap;

/// The servers in service in a worker that `next` takes out of a proxy whose sessions `live`, or `next`, wants cut.
#[must_use]
pub fn leaving(worker: &Servers, live: &Outline, next: &Outline) -> BTreeMap<Server, Seen> {
    let Some(stated) = stated(&next.to_string()) else { return BTreeMap::new() };
    let cutting = &(live.cutting() | next.cutting()) - &stated.opaque;
    let gone = departed(worker, &stated.servers, &cutting);
    let leaves = |server: &Server, seen: &Seen| gone.contains(server) && !seen.is_out();
    worker.iter().filter(|(server, seen)| leaves(server, seen)).map(|(s, seen)| (s.clone(), *seen)).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::outline::outline, *};

    /// What a worker that runs `live` has to let go.
    fn goes(live: &str, next: &str) -> BTreeMap<Server, Seen> {
        leaving(&stated(live).unwrap().servers, &outline(live), &outline(next))
    }

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
            assert_eq!(!goes(&live, &next).is_empty(), expected, "{next}");
        }
        let out = Seen { address: "10.0.0.1:1".parse().ok(), admin: 1 };
        let worker = BTreeMap::from([(("m".to_owned(), "a".to_owned()), out)]);
        assert!(leaving(&worker, &outline(&live), &outline(CUTS)).is_empty(), "it is out already");
    }
}
