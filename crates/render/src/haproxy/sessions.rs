//! Which sessions of an old worker must go: those to servers that the present worker no longer has.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

/// A server by its proxy and its name.
pub type Server = (String, String);

/// What is known of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Where it is; `None` while its name is not resolved.
    pub address: Option<SocketAddr>,
    /// What an administrator decided about it, as HAProxy's mask.
    pub admin: u32,
}

/// The servers of a worker.
pub type Servers = BTreeMap<Server, Seen>;

impl Seen {
    /// Whether it was taken out of service, by itself or with the server that it tracks. What its configuration
    /// said (4) and what became of its name (32, 64) are other bits.
    #[must_use]
    pub fn is_out(self) -> bool {
        self.admin & 3 != 0
    }

    /// The word that brings it back to what it is now.
    #[must_use]
    pub fn state(self) -> &'static str {
        match self.admin {
            admin if admin & 1 != 0 => "maint",
            admin if admin & 8 != 0 => "drain",
            _ => "ready",
        }
    }
}

/// Reads `show servers state`; `None` when it is no table.
#[must_use]
pub fn servers(state: &str) -> Option<Servers> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Format 1: be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state … srv_port is the 19th.
        let (proxy, server, address, port) = (words.get(1)?, words.get(3)?, words.get(4)?, words.get(18)?);
        let address = address.parse::<IpAddr>().ok().zip(port.parse::<u16>().ok()).map(SocketAddr::from);
        let admin = words.get(6)?.parse().ok()?;
        Some((((*proxy).to_owned(), (*server).to_owned()), Seen { address, admin }))
    };
    let mut lines = state.lines().skip_while(|line| !line.starts_with("# be_id "));
    lines.next()?;
    Some(lines.filter_map(row).collect())
}

/// The servers that an old worker has in one of the `cutting` proxies and the present one has not: neither by name
/// and address, nor that address by another name (DNS answers come in any order). One that was taken out of service
/// is as good as gone.
#[must_use]
pub fn departed(old: &Servers, now: &Servers, cutting: &BTreeSet<String>) -> BTreeSet<Server> {
    let reached: BTreeSet<(&str, SocketAddr)> = now
        .iter()
        .filter(|(_, seen)| !seen.is_out())
        .filter_map(|((proxy, _), seen)| seen.address.map(|address| (proxy.as_str(), address)))
        .collect();
    let serves = |server: &Server| now.get(server).filter(|seen| !seen.is_out()).map(|seen| seen.address);
    let stays = |server: &Server, had: Option<SocketAddr>| match (had, serves(server)) {
        (_, Some(None)) | (None, Some(_)) => true,
        (None, None) => false,
        (Some(had), _) => reached.contains(&(server.0.as_str(), had)),
    };
    old.iter()
        .filter(|(server, had)| cutting.contains(&server.0) && !stays(server, had.address))
        .map(|(server, _)| server.clone())
        .collect()
}

/// The servers that nothing points to, by `show stat -1 4 -1`: no session, nothing queued, no connection kept.
#[must_use]
pub fn idle(stat: &str) -> BTreeSet<Server> {
    let mut lines = stat.lines();
    let columns: Vec<&str> = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let field = |name: &str| fields.get(columns.iter().position(|column| *column == name)?).copied();
        let counts = ["scur", "qcur", "used_conn_cur", "idle_conn_cur"];
        let free = counts.iter().all(|count| matches!(field(count), None | Some("" | "0")));
        (free && field("scur").is_some()).then(|| Some((field("pxname")?.into(), field("svname")?.into())))?
    };
    lines.filter_map(row).collect()
}

/// The pointers of the sessions (`show sess`) that go to one of `servers`.
#[must_use]
pub fn held(sessions: &str, servers: &BTreeSet<Server>) -> Vec<String> {
    let to = |(pointer, server): (String, Server)| servers.contains(&server).then_some(pointer);
    sessions.lines().filter_map(session).filter_map(to).collect()
}

/// The pointers of all sessions of clients: the one that asks is not among them.
#[must_use]
pub fn all(sessions: &str) -> Vec<String> {
    let of_a_client = |line: &&str| !line.contains(" fe=GLOBAL ");
    sessions.lines().filter(of_a_client).filter_map(session).map(|(pointer, _)| pointer).collect()
}

/// A session's pointer, and where it goes.
fn session(line: &str) -> Option<(String, Server)> {
    let (pointer, rest) = line.split_once(": ").filter(|(pointer, _)| pointer.starts_with("0x"))?;
    let field =
        |name: &str| rest.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    Some((pointer.to_owned(), (field("be")?.to_owned(), field("srv")?.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(rows: &[(&str, &str, &str, u16)]) -> String {
        let rows = rows.iter().map(|(proxy, server, address, port)| {
            format!("3 {proxy} 1 {server} {address} 2 0 1 1 17 6 3 4 6 0 0 0 - {port} - 0 0 - - 0\n")
        });
        format!("1\n# be_id be_name srv_id srv_name srv_addr srv_op_state …\n{}\n", rows.collect::<String>())
    }

    const SESSIONS: &str = "\
0x564ff29409c0: proto=tcpv4 src=127.0.0.1:38594 fe=w be=redis_master srv=r1 ts=00 epoch=0 age=17s\n\
0x564ff2a5c060: proto=sockpair src=unix:2 fe=GLOBAL be=<NONE> srv=<none> ts=00 epoch=0 age=0s\n";

    #[test]
    fn a_server_without_connections_is_idle() {
        let stat = "# pxname,svname,qcur,scur,used_conn_cur,\na,x,0,0,0,\na,y,0,1,1,\na,z,0,0,2,\n\n";
        assert_eq!(idle(stat), [("a".to_owned(), "x".to_owned())].into());
        assert!(idle("Unknown command\nx\n").is_empty());
    }

    #[test]
    fn a_session_goes_with_its_server() {
        let cutting = BTreeSet::from(["redis_master".to_owned()]);
        let old = [("redis_master", "r1", "127.0.0.1", 17991), ("web", "w1", "127.0.0.1", 80)];
        let old = servers(&state(&old)).unwrap();
        let r1 = ("redis_master".to_owned(), "r1".to_owned());
        for (now, gone) in [
            (vec![("redis_master", "r2", "127.0.0.1", 17992)], true),
            (vec![("redis_master", "r1", "127.0.0.1", 17992)], true),
            (vec![("redis_replicas", "r1", "127.0.0.1", 17991)], true),
            (vec![], true),
            (vec![("redis_master", "r1", "127.0.0.1", 17991)], false),
            (vec![("redis_master", "r1", "-", 17991)], false),
            (vec![("redis_master", "r1", "127.0.0.1", 1), ("redis_master", "r2", "127.0.0.1", 17991)], false),
        ] {
            let departed = departed(&old, &servers(&state(&now)).unwrap(), &cutting);
            assert_eq!(departed.contains(&r1), gone, "{now:?}");
            assert!(departed.iter().all(|server| *server == r1), "{departed:?}");
        }
        assert_eq!(held(SESSIONS, &[r1].into()), ["0x564ff29409c0"]);
        assert!(held(SESSIONS, &BTreeSet::new()).is_empty());
        assert_eq!(all(SESSIONS), ["0x564ff29409c0"]);
        assert!(
            ["", "Unknown command", "Can't find the target PID"].iter().all(|said| servers(said).is_none())
        );
    }
}
