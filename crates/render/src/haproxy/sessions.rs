//! Which sessions of an old worker must go: those to servers that the present configuration no longer names.

use super::outline::Outline;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// The servers that a worker has (`show servers state`) and the configuration does not, by name and address, in
/// proxies whose sessions are cut. A server whose address the configuration does not tell is held to be the same.
#[must_use]
pub fn departed(state: &str, now: &Outline, cutting: &BTreeSet<String>) -> BTreeSet<(String, String)> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Format 1: be_id be_name srv_id srv_name srv_addr … srv_port is the 19th column.
        let (proxy, server, address, port) = (words.get(1)?, words.get(3)?, words.get(4)?, words.get(18)?);
        let address = address.parse::<IpAddr>().ok().zip(port.parse::<u16>().ok()).map(SocketAddr::from);
        Some((((*proxy).to_owned(), (*server).to_owned()), address))
    };
    let departed = |name: &(String, String), had: Option<SocketAddr>| match now.servers.get(name) {
        None => !now.templated.contains(&name.0),
        Some(has) => has.is_some() && had.is_some() && *has != had,
    };
    state
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(row)
        .filter(|(name, address)| cutting.contains(&name.0) && departed(name, *address))
        .map(|(name, _)| name)
        .collect()
}

/// The pointers of the sessions (`show sess`) that go to one of `servers`.
#[must_use]
pub fn held(sessions: &str, servers: &BTreeSet<(String, String)>) -> Vec<String> {
    let pointer = |line: &str| {
        let (pointer, rest) = line.split_once(": ")?;
        let field =
            |name: &str| rest.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let name = (field("be")?.to_owned(), field("srv")?.to_owned());
        (pointer.starts_with("0x") && servers.contains(&name)).then(|| pointer.to_owned())
    };
    sessions.lines().filter_map(pointer).collect()
}

#[cfg(test)]
mod tests {
    use super::super::outline::outline;
    use super::*;

    const STATE: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state …\n\
        3 redis_master 1 r1 127.0.0.1 2 0 1 1 17 6 3 4 6 0 0 0 - 17991 - 0 0 - - 0\n\
        4 web 1 w1 127.0.0.1 2 0 1 1 17 6 3 4 6 0 0 0 - 80 - 0 0 - - 0\n";
    const SESSIONS: &str = "\
0x564ff29409c0: proto=tcpv4 src=127.0.0.1:38594 fe=w be=redis_master srv=r1 ts=00 epoch=0 age=17s\n\
0x564ff2a5c060: proto=sockpair src=unix:2 fe=GLOBAL be=<NONE> srv=<none> ts=00 epoch=0 age=0s\n";

    #[test]
    fn a_session_goes_with_its_server() {
        let cutting = BTreeSet::from(["redis_master".to_owned()]);
        let r1 = ("redis_master".to_owned(), "r1".to_owned());
        for (config, gone) in [
            ("backend redis_master\n server r2 127.0.0.1:17992\n", vec![r1.clone()]),
            ("backend redis_master\n server r1 127.0.0.1:17992\n", vec![r1.clone()]),
            ("backend redis_master\n", vec![r1.clone()]),
            ("", vec![r1.clone()]),
            ("backend redis_master\n server r1 127.0.0.1:17991 check\n", vec![]),
            ("backend redis_master\n server r1 localhost:17991\n", vec![]),
            ("backend redis_master\n server-template r 1 redis:1\n", vec![]),
        ] {
            assert_eq!(departed(STATE, &outline(config), &cutting), gone.into_iter().collect(), "{config}");
        }
        assert_eq!(held(SESSIONS, &[r1].into()), ["0x564ff29409c0"]);
        assert!(held(SESSIONS, &BTreeSet::new()).is_empty());
        assert!(departed("Unknown command", &outline(""), &cutting).is_empty());
    }
}
