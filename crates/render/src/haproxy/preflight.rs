//! What `haproxy -c` does not look at: whether HAProxy could listen where a text is the first to say so. A reload that
//! fails for that disturbs clients, so it is better not begun.
//!
//! Nothing is said of what cannot be known here: HAProxy may run in another network namespace, see other folders, and
//! share a port with whom it may.

use super::{
    listening::{Listener, accepts, listeners},
    outline::{Bind, Outline, Place},
};
use rustix::process::geteuid;
use std::{collections::BTreeSet, fs, io, net::SocketAddr, os::unix::fs::MetadataExt, path::Path};
use tokio::net::TcpSocket;

/// Why HAProxy, which runs `running` from this file, could not listen somewhere that only `next` says.
#[must_use]
pub fn preflight(running: &Outline, next: &Outline, file: &Path) -> Option<String> {
    let before: BTreeSet<Place> = running.binds().into_iter().map(|bind| bind.at).collect();
    let new: Vec<Bind> = next.binds().into_iter().filter(|bind| !before.contains(&bind.at)).collect();
    if new.is_empty() || !is_here(&before) {
        return None;
    }
    let ports = Ports::look(&before);
    new.iter().find_map(|bind| {
        let why = match &bind.at {
            Place::Tcp(_) if running.mentions("noreuseport") || next.mentions("noreuseport") => None,
            Place::Tcp(at) => ports.refuse(*at).map(str::to_owned),
            Place::Path(path) => missing(path, &before, file),
        };
        Some(format!("line {}: `{}` cannot be: {}", bind.line, bind.said, why?))
    })
}

/// Whether HAProxy is in this network namespace: then one of its sockets in the file system is listed here.
fn is_here(before: &BTreeSet<Place>) -> bool {
    let table = read("/proc/net/unix");
    before.iter().any(|place| matches!(place, Place::Path(path) if accepts(&table, path)))
}

fn read(table: &str) -> String {
    String::from_utf8_lossy(&fs::read(table).unwrap_or_default()).into_owned()
}

/// Who holds ports.
struct Ports {
    all: Vec<Listener>,
    /// The users that HAProxy's own sockets belong to.
    haproxy: BTreeSet<u32>,
}

impl Ports {
    fn look(before: &BTreeSet<Place>) -> Ports {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(read);
        let all: Vec<Listener> = tables.iter().flat_map(|table| listeners(table)).collect();
        let own = all.iter().filter(|listener| before.contains(&Place::Tcp(listener.at)));
        Ports { haproxy: own.map(|listener| listener.user).collect(), all }
    }

    /// Why HAProxy cannot listen there.
    fn refuse(&self, at: SocketAddr) -> Option<&'static str> {
        match bind(at).err()?.kind() {
            io::ErrorKind::AddrNotAvailable => Some("this machine has no such address"),
            io::ErrorKind::AddrInUse if self.are_others(at, geteuid().as_raw()) => {
                Some("another program listens there, which `ss -ltnp` names; a reload would fail")
            }
            _ => None,
        }
    }

    /// Whether what holds a port for this program, which runs as `user`, holds it for HAProxy too: sockets of one user may
    /// share it.
    fn are_others(&self, at: SocketAddr, user: u32) -> bool {
        let same = self.haproxy.iter().eq([&user]);
        let mut holders = self.all.iter().filter(|listener| listener.overlaps(&at)).peekable();
        let others = holders.peek().is_some() && holders.all(|one| !self.haproxy.contains(&one.user));
        same || (others && !self.haproxy.is_empty())
    }
}

/// Takes the place as HAProxy would, for a moment; nobody is listened to.
fn bind(at: SocketAddr) -> io::Result<()> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(at)
}

/// Why a socket has no place in the file system, if that is one that HAProxy surely sees as we do: where its file is, or
/// a socket that it has.
fn missing(path: &Path, before: &BTreeSet<Place>, file: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.exists())?;
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    let there = folder.ancestors().find(|folder| folder.exists()).and_then(device)?;
    let known =
        before.iter().filter_map(|place| if let Place::Path(path) = place { path.parent() } else { None });
    let seen = known.chain(file.parent()).filter_map(device).any(|device| device == there);
    seen.then(|| {
        format!("there is no folder {}, and HAProxy makes none; a reload would fail", folder.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_held_for_us_may_be_free_for_haproxy() {
        let at: SocketAddr = "127.0.0.1:80".parse().unwrap();
        for (haproxy, holder, user, expected) in [
            (vec![0], 999, 5, true),
            (vec![0], 0, 5, false),
            // What this program cannot take, HAProxy cannot.
            (vec![0], 0, 0, true),
            (vec![0, 5], 5, 5, false),
            (vec![], 999, 5, false),
        ] {
            let ports = Ports {
                all: vec![Listener { at: "0.0.0.0:80".parse().unwrap(), user: holder }],
                haproxy: haproxy.iter().copied().collect(),
            };
            assert_eq!(ports.are_others(at, user), expected, "{haproxy:?} {holder} {user}");
        }
    }
}
