//! Who listens in this network namespace, as Linux tells it in `/proc/net`.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// A socket that takes TCP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub at: SocketAddr,
    /// The user that made it.
    pub user: u32,
}

/// In the column `st`: `TCP_LISTEN`.
const LISTENS: &str = "0A";
/// In the column `Flags`: `__SO_ACCEPTCON`.
const ACCEPTS: &str = "00010000";

/// Reads `/proc/net/tcp` or `/proc/net/tcp6`.
#[must_use]
pub fn listeners(table: &str) -> Vec<Listener> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, at, _, LISTENS, _, _, _, user, ..] = words.as_slice() else { return None };
        Some(Listener { at: address(at)?, user: user.parse().ok()? })
    };
    table.lines().filter_map(row).collect()
}

/// `0100007F:1F90`: words of four bytes, each as this machine keeps it in memory.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words = (0..ip.len()).step_by(8).map(|at| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok());
    let bytes: Vec<u8> =
        words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip: IpAddr = match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok()?.into(),
        _ => <[u8; 16]>::try_from(bytes).ok()?.into(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Whether somebody listens on the socket at this path, by `/proc/net/unix`. HAProxy binds it under another name
/// first, which stays: `PATH.PID.tmp`.
#[must_use]
pub fn accepts(table: &str, path: &Path) -> bool {
    let named = |bound: &str| {
        let rest = Path::new(bound).to_str()?.strip_prefix(path.to_str()?)?;
        let pid = rest.strip_prefix('.').and_then(|rest| rest.strip_suffix(".tmp"));
        Some(rest.is_empty() || pid.is_some_and(|pid| pid.parse::<u32>().is_ok()))
    };
    let rows = table.lines().filter(|line| line.split_whitespace().nth(3) == Some(ACCEPTS));
    let mut bound = rows.filter_map(|line| line.find(" /").map(|at| &line[at + 1..]));
    bound.any(|bound| named(bound) == Some(true))
}

impl Listener {
    /// Whether nobody else can listen there while this one does.
    #[must_use]
    pub fn overlaps(&self, at: &SocketAddr) -> bool {
        let any = |ip: IpAddr| ip.is_unspecified();
        // `::` takes what comes for IPv4 too.
        let all = |ip: IpAddr| ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let (one, other) = (self.at.ip(), at.ip());
        self.at.port() == at.port()
            && (one == other
                || all(one)
                || all(other)
                || (one.is_ipv4() == other.is_ipv4() && (any(one) || any(other))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 1066 1 0000 100 0 0 10 0\n   \
        1: 0100007F:1F90 0100007F:8A5C 01 00000000:00000000 00:00000000 00000000  1001        0 1067 1 0000 20 4 30 10 -1\n   \
        2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1068 1 0000 100 0 0 10 0\n";
    const TCP6: &str = "  sl  local_address                         remote_address                        st\n   \
        0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 \
        00:00000000 00000000   999        0 1069 1 0000 100 0 0 10 0\n";

    #[test]
    fn who_listens_is_told() {
        let found: Vec<_> = [TCP, TCP6].iter().flat_map(|table| listeners(table)).collect();
        let said: Vec<_> =
            found.iter().map(|listener| format!("{} {}", listener.at, listener.user)).collect();
        // As a machine keeps its words that has the least byte first.
        if cfg!(target_endian = "little") {
            assert_eq!(said, ["127.0.0.1:8080 1001", "0.0.0.0:80 0", "[::1]:8080 999"]);
        }
    }

    #[test]
    fn nobody_else_listens_at_what_one_takes() {
        for (one, other, overlaps) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::]:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "[::1]:80", true),
        ] {
            let listener = Listener { at: one.parse().unwrap(), user: 0 };
            assert_eq!(listener.overlaps(&other.parse().unwrap()), overlaps, "{one} {other}");
        }
    }

    #[test]
    fn a_socket_has_the_name_that_it_was_bound_by() {
        let row = |flags: &str, name: &str| {
            format!(
                "Num RefCount Protocol Flags Type St Inode Path\n0000: 00000002 00000000 {flags} 0001 01 15926 {name}\n"
            )
        };
        for (table, expected) in [
            (row("00010000", "/run/my haproxy.sock"), true),
            (row("00010000", "/run/my haproxy.sock.12.tmp"), true),
            (row("00010000", "/run/my haproxy.sock.bak"), false),
            (row("00010000", "/run/my haproxy.sock2"), false),
            (row("00010000", "@/run/my haproxy.sock"), false),
            (row("00000000", "/run/my haproxy.sock"), false),
            (row("00010000", ""), false),
        ] {
            assert_eq!(accepts(&table, Path::new("/run/my haproxy.sock")), expected, "{table}");
        }
    }
}
