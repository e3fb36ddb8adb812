//! Free ports, also when several test processes and demos look for them at the same moment.
//!
//! Each port is leased by a lock on a file named after it, so that two processes never pick the same one between
//! the look and the bind. The kernel drops the lock when its holder dies.

use std::{
    env,
    fs::{self, File},
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use crate::{Outcome, Trouble};

const LOWEST: u16 = 15000;
/// For the kernel's word whether anybody listens.
const LOOK: Duration = Duration::from_secs(1);

/// A port of the loopback address that nobody else of this harness uses while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lease: File,
}

impl Port {
    /// Leases a port that is free for TCP and UDP.
    pub fn lease() -> Outcome<Port> {
        let leases = env::temp_dir().join("rolecall-ports");
        fs::create_dir_all(&leases)
            .map_err(|e| Trouble::from(e).during(format!("making {}", leases.display())))?;
        // Below the ports the kernel gives to outgoing connections: those come and go between look and bind.
        let span = u64::from(first_ephemeral().saturating_sub(LOWEST).max(1000));
        let start = RandomState::new().build_hasher().finish() % span;
        for step in 0..span {
            let number = LOWEST + u16::try_from((start + step) % span).expect("the span fits a port");
            // A file of another user cannot be opened: that port is theirs.
            let Ok(file) = File::options().create(true).append(true).open(leases.join(number.to_string()))
            else {
                continue;
            };
            if file.try_lock().is_ok() && is_free(number) {
                return Ok(Port { number, _lease: file });
            }
        }
        Err(Trouble::new(format!("no free port from {LOWEST} on; are leases left in {}?", leases.display())))
    }

    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }

    /// The same in an HAProxy's configuration, so that only HAProxy can tell it: with a variable that is not set.
    pub fn veiled(&self) -> String {
        format!("\"127.0.0.1:${{ROLECALL_SETS_NO_SUCH}}{}\"", self.number)
    }

    /// Listens there. A child that is just being started has a copy of every socket, that of a listener before too, until its
    /// program begins: a few milliseconds, more on a busy machine.
    pub fn listen(&self) -> Outcome<TcpListener> {
        for _ in 0..2000 {
            match TcpListener::bind(self.address()) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    thread::sleep(Duration::from_millis(5))
                }
                bound => return Ok(bound?),
            }
        }
        Err(Trouble::new(format!("somebody else took {}", self.address())))
    }
}

/// Nobody is there. A look by listening would itself be in the way: a child that is just being started, by another story,
/// has a copy of that socket until its program begins, and whoever the port is for could not listen.
fn is_free(number: u16) -> bool {
    let nobody = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, number).into(), LOOK);
    let hears = format!(":{number:04X}");
    let is_heard = |line: &str| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&hears));
    let sockets =
        ["udp", "udp6"].map(|kind| fs::read_to_string(format!("/proc/net/{kind}")).unwrap_or_default());
    nobody.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
        && !sockets.iter().flat_map(|table| table.lines()).any(is_heard)
}

fn first_ephemeral() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(32768)
}
