//! What a version of HAProxy can do at run time, and what it only seems to: one table, asked before each order.

use super::order::Order;
use std::fmt;

/// A version of HAProxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16, pub u16, pub u16);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)?;
        if self.2 > 0 { write!(f, ".{}", self.2) } else { Ok(()) }
    }
}

/// What the HAProxy that runs can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    version: Version,
}

/// The oldest version whose `add server` is no experiment.
pub(super) const DYNAMIC_SERVERS: Version = Version(2, 6, 0);

/// Reads a version as `show info` or `show proc` gives it: `2.6.12-1+deb12u4`, `3.2-dev5`.
#[must_use]
pub fn capabilities(version: &str) -> Option<Capabilities> {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    let mut parts = version.trim().splitn(3, '.').map(digits);
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    let patch = parts.next().and_then(|patch| patch.parse().ok()).unwrap_or_default();
    Some(Capabilities { version: Version(major, minor, patch) })
}

/// Of the oldest version that is steered at all.
impl Default for Capabilities {
    fn default() -> Self {
        Capabilities { version: DYNAMIC_SERVERS }
    }
}

impl Capabilities {
    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Why it cannot take an order; `None` when it can.
    #[must_use]
    pub fn refuses(&self, order: &Order) -> Option<String> {
        let since = order.since();
        (self.version < since)
            .then(|| format!("HAProxy {} cannot {order}; {since} was the first that can", self.version))
    }

    /// Whether it takes this keyword in `add server`, given the first version that does.
    pub(super) fn takes(&self, since: Option<Version>) -> bool {
        since.is_some_and(|since| since <= self.version)
    }

    /// Whether a server that is added reuses connections as one of the file does (fixed in 2.6.17, 2.8.7, 2.9.6).
    #[must_use]
    pub fn added_servers_reuse(&self) -> bool {
        self.fixed(&[Version(2, 6, 17), Version(2, 7, 12), Version(2, 8, 7), Version(2, 9, 6)])
    }

    /// Whether a server that is added takes its right place in a hash ring (haproxy#3413).
    #[must_use]
    pub fn hashes_added_servers(&self) -> bool {
        self.version >= Version(3, 0, 0)
    }

    /// Whether `set maxconn frontend`, and with it pausing a frontend, is safe: before, it kills the worker
    /// (haproxy#2726). Seen to work on 3.0.11 and 3.2.26.
    #[must_use]
    pub fn pauses_frontends(&self) -> bool {
        self.version >= Version(3, 0, 11)
    }

    /// Whether the master answers `reload` when it is done (2.7); before, `show proc` has to be looked at.
    #[must_use]
    pub fn reloads_synchronously(&self) -> bool {
        self.version >= Version(2, 7, 0)
    }

    /// Whether `wait 500ms srv-removable backend/server` is known (3.0).
    #[must_use]
    pub fn waits_for_removal(&self) -> bool {
        self.version >= Version(3, 0, 0)
    }

    /// For a fault that was repaired in these releases of their branches, and in all later branches.
    fn fixed(&self, releases: &[Version]) -> bool {
        let branch = |version: &Version| (version.0, version.1);
        match releases.iter().find(|release| branch(release) == branch(&self.version)) {
            Some(release) => self.version >= *release,
            None => releases.last().is_some_and(|last| self.version > *last),
        }
    }
}
