//! The other names of this instance. Sentinel may name it by its host name (`announce-hostnames`) where it is registered by
//! its IP address, or the other way round. Run ids tell it too, but only seconds after a promotion.

use super::{Named, Place};
use crate::role::Names;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::lookup_host,
    time::{Instant, timeout},
};

/// How long a lookup is good: a pod that is replaced gets another address under its old name.
const FRESH: Duration = Duration::from_secs(1);
/// What a lookup may take. Without it, what was known before goes on.
const LIMIT: Duration = Duration::from_millis(100);
/// The only name that means this very machine wherever it is said; others that lead to loopback, as `/etc/hosts` often has
/// it, mean different machines to others.
const HERE: &str = "localhost";

/// Knows this instance under whatever name. Clones share what was looked up.
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    names: Names,
    known: Arc<Mutex<BTreeMap<String, Lookup>>>,
}

#[derive(Clone, Debug)]
struct Lookup {
    at: Instant,
    found: Vec<IpAddr>,
}

impl Aliases {
    /// Those of the instance with these names; what was looked up is shared.
    #[must_use]
    pub fn of(&self, names: Names) -> Aliases {
        Aliases { names, known: Arc::clone(&self.known) }
    }

    /// Whether this is a name of the instance.
    pub async fn know(&self, place: &Place) -> bool {
        let mut place = place.clone();
        self.rename(&mut place).await;
        self.names.0.contains(&place)
    }

    /// What a Sentinel said, with this instance under its own name.
    pub async fn read(&self, mut named: Named) -> Named {
        if is_ip(&named.address.0) {
            // Known before it is named itself: by a lookup that is late at its promotion, it would be taken for another.
            for (host, _) in &self.names.0 {
                self.look_up(host).await;
            }
        }
        self.rename(&mut named.address).await;
        if let Some(failover) = &mut named.failover {
            self.rename(&mut failover.address).await;
        }
        named
    }

    async fn rename(&self, place: &mut Place) {
        if self.is_plain(place) {
            return;
        }
        self.look_up(&place.0).await;
        for (host, _) in self.candidates(place) {
            self.look_up(host).await;
        }
        self.rename_at_hand(place);
    }

    /// The same by what was looked up before.
    pub fn rename_at_hand(&self, place: &mut Place) {
        if self.is_plain(place) {
            return;
        }
        let theirs = self.addresses(&place.0);
        let own = self.candidates(place).find(|(host, _)| same(&self.addresses(host), &theirs));
        if let Some(own) = own.cloned() {
            *place = own;
        }
    }

    /// Whether no lookup could tell more: it is one of the names, or all are IP addresses.
    fn is_plain(&self, place: &Place) -> bool {
        self.names.0.contains(place) || is_ip(&place.0) && self.candidates(place).all(|(host, _)| is_ip(host))
    }

    fn candidates(&self, place: &Place) -> impl Iterator<Item = &Place> {
        self.names.0.iter().filter(move |name| name.1 == place.1)
    }

    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let known = || self.known.lock().ok()?.get(host).map(|lookup| lookup.found.clone());
        host.parse().map(|ip| vec![ip]).ok().or_else(known).unwrap_or_default()
    }

    async fn look_up(&self, host: &str) {
        let fresh = |lookup: &Lookup| lookup.at.elapsed() < FRESH;
        let known = self.known.lock().ok().and_then(|known| known.get(host).cloned());
        if is_ip(host) || known.as_ref().is_some_and(fresh) {
            return;
        }
        let found = match timeout(LIMIT, lookup_host((host, 0))).await {
            Ok(Ok(found)) => found.map(|at| at.ip()).filter(|ip| host == HERE || !ip.is_loopback()).collect(),
            _ => known.map(|lookup| lookup.found).unwrap_or_default(),
        };
        if let Ok(mut known) = self.known.lock() {
            known.insert(host.to_owned(), Lookup { at: Instant::now(), found });
        }
    }
}

fn is_ip(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

/// Whether both lead to one machine. A name that leads to several, as that of a Service does, is nobody's own.
fn same(one: &[IpAddr], other: &[IpAddr]) -> bool {
    let alone = |all: &[IpAddr], ip: &IpAddr| {
        all.contains(ip) && all.iter().all(|a| a == ip || a.is_ipv4() != ip.is_ipv4())
    };
    one.iter().any(|ip| alone(one, ip) && alone(other, ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_known_by_an_address_of_its_own() {
        let all = |text: &str| text.split_whitespace().map(|ip| ip.parse().unwrap()).collect::<Vec<_>>();
        for (one, other, is) in [
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7 10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7 fd00::7", "10.0.0.7", true),
            ("10.0.0.7 fd00::7", "fd00::7 10.0.0.8", true),
            ("10.0.0.7", "10.0.0.8", false),
            ("10.0.0.7 10.0.0.8", "10.0.0.7", false),
            ("", "10.0.0.7", false),
            ("", "", false),
        ] {
            assert_eq!(same(&all(one), &all(other)), is, "{one} / {other}");
            assert_eq!(same(&all(other), &all(one)), is, "{other} / {one}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn its_own_name_is_looked_up_before_it_is_named() {
        let place = |host: &str, port| (host.to_owned(), port);
        let other = Named {
            id: None,
            address: place("127.0.0.1", 6380),
            run_id: None,
            epoch: 0,
            failover: None,
            known: 3,
            quorum: 2,
            others: BTreeMap::new(),
        };
        let aliases = Aliases::default().of(Names([place("localhost", 6379)].into()));
        assert_eq!(aliases.read(other.clone()).await, other);
        let mut own = place("127.0.0.1", 6379);
        aliases.rename_at_hand(&mut own);
        assert_eq!(own, place("localhost", 6379));
    }

    // The clock stands still while a name is looked up: no lookup is too slow on a busy machine.
    #[tokio::test(start_paused = true)]
    async fn an_instance_is_found_under_another_name() {
        let place = |host: &str, port| (host.to_owned(), port);
        let by = |host: &str| Aliases::default().of(Names([place(host, 6379)].into()));
        for (own, said, found) in [
            ("localhost", place("127.0.0.1", 6379), place("localhost", 6379)),
            ("127.0.0.1", place("localhost", 6379), place("127.0.0.1", 6379)),
            ("127.0.0.1", place("localhost", 6380), place("localhost", 6380)),
            ("127.0.0.1", place("no-such-host.invalid", 6379), place("no-such-host.invalid", 6379)),
            ("10.0.0.7", place("10.0.0.8", 6379), place("10.0.0.8", 6379)),
        ] {
            let (aliases, mut seen) = (by(own), said.clone());
            aliases.rename(&mut seen).await;
            assert_eq!(seen, found, "{own}: {said:?}");
            assert_eq!(aliases.know(&said).await, found.0 == own, "{own}: {said:?}");
            let mut again = said;
            aliases.rename_at_hand(&mut again);
            assert_eq!(again, found, "what was looked up is at hand");
        }
    }
}
