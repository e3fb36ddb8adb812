//! The log to the machine's syslog, a datagram a line.

use std::{io, os::unix::net::UnixDatagram};
use tracing::Level;

/// As whom to speak there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// The facility's number.
    pub facility: u8,
    /// The program's name.
    pub name: String,
}

const SOCKETS: [&str; 2] = ["/dev/log", "/var/run/syslog"];
const FACILITIES: [&str; 12] =
    ["KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP"];

/// The number of a facility by its name, in any case.
pub fn facility(name: &str) -> Result<u8, String> {
    let upper = name.to_ascii_uppercase();
    let local = upper.strip_prefix("LOCAL").and_then(|n| n.parse::<u8>().ok()).filter(|n| *n < 8);
    let named = FACILITIES.iter().position(|known| *known == upper).and_then(|at| u8::try_from(at).ok());
    local
        .map(|n| 16 + n)
        .or(named)
        .ok_or_else(|| format!("{name:?} is no facility; write LOCAL0, for instance"))
}

impl Syslog {
    pub(super) fn open(&self) -> io::Result<Open> {
        let socket = UnixDatagram::unbound()?;
        if !SOCKETS.iter().any(|path| socket.connect(path).is_ok()) {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("nobody listens at {}", SOCKETS.join(" or ")),
            ));
        }
        // A log must never be waited for.
        socket.set_nonblocking(true)?;
        Ok(Open { of: self.clone(), socket })
    }
}

/// The way there.
#[derive(Debug)]
pub(super) struct Open {
    of: Syslog,
    socket: UnixDatagram,
}

impl Open {
    pub(super) fn write(&self, level: Level, line: &[u8]) -> io::Result<()> {
        self.socket.send(&message(&self.of, level, std::process::id(), line)).map(drop)
    }
}

/// A line as syslog wants it (RFC 3164; the daemon adds the time).
fn message(of: &Syslog, level: Level, pid: u32, line: &[u8]) -> Vec<u8> {
    let severity = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    };
    let head = format!("<{}>{}[{pid}]: ", u32::from(of.facility) * 8 + severity, of.name);
    [head.as_bytes(), line.trim_ascii_end()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_grave_it_is_and_who_speaks() {
        for (name, number) in
            [("LOCAL0", Some(16)), ("local7", Some(23)), ("DAEMON", Some(3)), ("LOCAL8", None)]
        {
            assert_eq!(facility(name).ok(), number, "{name}");
        }
        let of = Syslog { facility: 21, name: "ct".into() };
        assert_eq!(message(&of, Level::WARN, 7, b"a line\n"), b"<172>ct[7]: a line");
    }
}
