//! How good a replica is for reads: whether it follows its master, and for how long it heard nothing of it.
//!
//! A link that is down counts against a replica only while a master of the service passes: in a fail-over all replicas
//! lose theirs, and there is nobody better to read from.

use crate::plan::Desired;
use consul::{Status, instance::meta};
use std::time::Duration;
use tokio::time::Instant;

/// The state of a replica's link to its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Writes arrive.
    Up,
    /// The whole data is being copied.
    Sync,
    /// None, or not yet.
    Down,
}

impl LinkState {
    /// By the word in the answer to `ROLE`, of Redis and its kin or of Dragonfly; `None` for one that says nothing.
    #[must_use]
    pub fn read(word: &str) -> Option<LinkState> {
        match word {
            "connected" | "stable_sync" => Some(LinkState::Up),
            "sync" | "full_sync" | "preparation" => Some(LinkState::Sync),
            "none" | "connect" | "connecting" | "handshake" => Some(LinkState::Down),
            _ => None,
        }
    }

    /// The value of `Meta.link`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            LinkState::Up => "up",
            LinkState::Sync => "sync",
            LinkState::Down => "down",
        }
    }
}

/// What one look saw of the replication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replication {
    /// A replica's link; `None` on a master, and where it is not told.
    pub link: Option<LinkState>,
    /// Which history of writes it has.
    pub replid: Option<String>,
    /// For how long a replica has heard nothing of its master.
    pub lag: Option<Duration>,
}

impl Replication {
    /// Reads `INFO replication`, which tells all but the link. Redis says -1 for what it does not know.
    #[must_use]
    pub fn read(info: &str) -> Replication {
        let value = |key: &str| {
            info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
        };
        let seconds = |key| value(key)?.parse().ok().map(Duration::from_secs);
        let lag = seconds("master_last_io_seconds_ago").or_else(|| seconds("master_link_down_since_seconds"));
        let replid = value("master_replid").filter(|id| !id.is_empty());
        Replication { link: None, replid: replid.map(str::to_owned), lag }
    }
}

/// What was seen of the replication so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Following {
    seen: Replication,
    /// Since when the link is not up.
    down: Option<Instant>,
    /// Since when it is not, although a master passes.
    apart: Option<Instant>,
}

/// How long a link may be down, at least, while a master passes: Sentinel sends the replicas to a new master about a
/// second after its promotion, and Redis tries to connect each second.
const LEAST_GRACE: Duration = Duration::from_secs(3);

impl Following {
    /// Takes in a look, `None` for one that failed or was not made, and whether another instance passes as master.
    #[must_use]
    pub fn after(self, look: Option<Replication>, led: bool, now: Instant) -> Following {
        let seen = look.unwrap_or(self.seen);
        let down = seen.link == Some(LinkState::Down);
        Following {
            seen,
            down: down.then(|| self.down.unwrap_or(now)),
            apart: (down && led).then(|| self.apart.unwrap_or(now)),
        }
    }

    /// What that is worth. A master whose registrar died along with it passes for up to `ttl`: only one that passes for
    /// longer is known to be there.
    #[must_use]
    pub fn quality(&self, ttl: Duration, max_lag: Option<Duration>, now: Instant) -> Quality {
        let Replication { link, replid, lag } = self.seen.clone();
        let grace = ttl.max(LEAST_GRACE);
        let lag = lag.or(self.down.map(|since| now - since)).filter(|_| link.is_some());
        let apart = self.apart.is_some_and(|since| now - since >= grace);
        let fault = match (link, max_lag) {
            (Some(LinkState::Sync), _) => Some("it copies its master's data".to_owned()),
            (Some(LinkState::Down), _) if apart => {
                Some(format!("its link to the master has been down for {grace:?}, and a master is there"))
            }
            (Some(_), Some(most)) if lag > Some(most) => {
                Some(format!("it has heard nothing of its master for over {most:?} (max_lag)"))
            }
            _ => None,
        };
        Quality { link, replid, lag, fault }
    }
}

/// What is told of the replication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// A replica's link.
    pub link: Option<LinkState>,
    /// Which history of writes it has.
    pub replid: Option<String>,
    /// For how long a replica has heard nothing of its master.
    pub lag: Option<Duration>,
    /// Why a replica should not be read from.
    pub fault: Option<String>,
}

impl Quality {
    /// Adds it to what Consul should say. The lag stays out: it would write the entry anew each second.
    #[must_use]
    pub fn grade(&self, wish: Desired) -> Desired {
        let Desired::Present(mut entry, mut output) = wish else { return wish };
        let link = self.link.map(|link| link.word().to_owned());
        let facts = [(meta::LINK, link), (meta::REPLID, self.replid.clone())];
        entry.meta.extend(facts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        if let (Some(fault), Status::Passing) = (&self.fault, entry.check.status) {
            entry.check.status = Status::Warning;
            output = format!("{output}; {fault}");
        }
        Desired::Present(entry, output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{
        desired,
        tests::{entry, failed, me, seen},
    };
    use LinkState::{Down, Sync, Up};
    use consul::Role;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn a_replica_is_worth_what_its_link_is() {
        let start = Instant::now();
        // Looks as (second, link, lag, whether a master passes); then ttl, max_lag, and a word of what is wrong.
        type Look = (u64, Option<LinkState>, Option<u64>, bool);
        type Case<'a> = (&'a [Look], u64, Option<u64>, Option<&'a str>);
        let cases: [Case<'_>; 15] = [
            (&[(0, Some(Up), Some(0), true)], 10, None, None),
            (&[(0, Some(Up), Some(99), true)], 10, None, None),
            (&[(0, None, None, true), (60, None, None, true)], 10, Some(1), None),
            (&[(0, Some(Sync), None, false)], 10, None, Some("copies")),
            // Down counts after the ttl, from when a master passes; at once up again.
            (&[(0, Some(Down), None, true), (9, Some(Down), None, true)], 10, None, None),
            (&[(0, Some(Down), None, true), (10, Some(Down), None, true)], 10, None, Some("down for 10s")),
            (&[(0, Some(Down), None, false), (60, Some(Down), None, false)], 10, None, None),
            (&[(0, Some(Down), None, false), (60, Some(Down), None, true)], 10, None, None),
            (
                &[(0, Some(Down), None, true), (9, Some(Down), None, false), (12, Some(Down), None, true)],
                10,
                None,
                None,
            ),
            (&[(0, Some(Down), None, true), (60, Some(Up), Some(0), true)], 10, None, None),
            // A short ttl leaves replicas the time that a fail-over takes.
            (&[(0, Some(Down), None, true), (2, Some(Down), None, true)], 1, None, None),
            // The chosen limit holds whoever is there.
            (&[(0, Some(Up), Some(5), true)], 10, Some(5), None),
            (&[(0, Some(Up), Some(6), true)], 10, Some(5), Some("over 5s (max_lag)")),
            (&[(0, Some(Down), Some(6), false)], 10, Some(5), Some("max_lag")),
            // Where INFO is denied, or the master was never heard, the time of this program counts.
            (&[(0, Some(Down), None, false), (6, Some(Down), None, false)], 10, Some(5), Some("max_lag")),
        ];
        for (looks, ttl, max_lag, wrong) in cases {
            let mut following = Following::default();
            let mut now = start;
            for (at, link, lag, led) in looks {
                now = start + S(*at);
                let look = Replication { link: *link, replid: None, lag: lag.map(S) };
                following = following.after(Some(look), *led, now);
            }
            let fault = following.quality(S(ttl), max_lag.map(S), now).fault;
            assert_eq!(fault.is_some(), wrong.is_some(), "{looks:?}: {fault:?}");
            assert!(fault.unwrap_or_default().contains(wrong.unwrap_or_default()), "{looks:?}");
            let kept = following.clone().after(None, false, now);
            assert_eq!(kept.seen, following.seen, "a failed look keeps what was seen");
        }
    }

    #[test]
    fn the_words_of_redis_and_dragonfly() {
        for (word, state) in [
            ("connected", Some(Up)),
            ("connect", Some(Down)),
            ("connecting", Some(Down)),
            ("handshake", Some(Down)),
            ("none", Some(Down)),
            ("sync", Some(Sync)),
            ("stable_sync", Some(Up)),
            ("full_sync", Some(Sync)),
            ("unknown", None),
        ] {
            assert_eq!(LinkState::read(word), state, "{word}");
        }
        let up = "# Replication\r\nrole:slave\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:1\r\n\
                  master_replid:86fa\r\nmaster_replid2:0000\r\n";
        let down = "role:slave\r\nmaster_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\n\
                    master_link_down_since_seconds:7\r\nmaster_replid:86fa\r\n";
        let never =
            "master_last_io_seconds_ago:-1\r\nmaster_link_down_since_seconds:-1\r\nmaster_replid:\r\n";
        for (info, replid, lag) in [
            (up, Some("86fa"), Some(1)),
            (down, Some("86fa"), Some(7)),
            (never, None, None),
            ("# Replication\r\nrole:master\r\nmaster_replid:c9c1\r\n", Some("c9c1"), None),
            ("", None, None),
        ] {
            let read = Replication { link: None, replid: replid.map(str::to_owned), lag: lag.map(S) };
            assert_eq!(Replication::read(info), read, "{info}");
        }
    }

    #[test]
    fn a_fault_is_a_warning_and_never_better_news() {
        let quality = Quality {
            link: Some(Down),
            replid: Some("86fa".into()),
            lag: Some(S(7)),
            fault: Some("its link is down".into()),
        };
        let told = quality.grade(desired(&me(), &seen(Role::Replica)));
        let meta = &entry(&told).meta;
        assert_eq!((meta["link"].as_str(), meta["replid"].as_str()), ("down", "86fa"));
        assert_eq!(entry(&told).check.status, Status::Warning);
        assert!(
            matches!(&told, Desired::Present(_, output) if output.ends_with("says replica; its link is down"))
        );
        let later = Quality { lag: Some(S(8)), ..quality.clone() };
        assert_eq!(later.grade(desired(&me(), &seen(Role::Replica))), told, "the lag alone changes nothing");
        let lost = quality.grade(desired(&me(), &failed(seen(Role::Replica))));
        assert_eq!(entry(&lost).check.status, Status::Critical);
        let well = Quality { fault: None, ..quality.clone() }.grade(desired(&me(), &seen(Role::Replica)));
        assert_eq!(entry(&well).check.status, Status::Passing);
        assert_eq!(quality.grade(Desired::Absent), Desired::Absent);
    }
}
