//! What becomes of the sessions of a server that a text takes out of a proxy that cuts: they end at once, or they have
//! some time left, while nothing new gets there.

use super::{
    order::{Order, State},
    outline::Outline,
    sessions::Server,
};
use config::{parse_duration, show_duration};
use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

/// `on_demote`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demote {
    /// They end at once: nothing is written to a master that was demoted.
    #[default]
    Kill,
    /// They end when this time is over.
    Drain(Duration),
}

impl FromStr for Demote {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["kill"] => Ok(Demote::Kill),
            ["drain", time] => match parse_duration(time)? {
                time if time.is_zero() => Err("drain takes some time; without any it is \"kill\"".into()),
                time => Ok(Demote::Drain(time)),
            },
            _ => Err("must be \"kill\", or \"drain\" with a duration such as \"drain 2s\"".into()),
        }
    }
}

impl fmt::Display for Demote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Demote::Kill => f.write_str("kill"),
            Demote::Drain(time) => write!(f, "drain {}", show_duration(*time)),
        }
    }
}

impl Demote {
    /// How long sessions last.
    #[must_use]
    pub fn time(self) -> Duration {
        match self {
            Demote::Kill => Duration::ZERO,
            Demote::Drain(time) => time,
        }
    }

    /// The orders by which servers that leave keep their sessions for now, and these servers. One that only moved, or
    /// that the text has `disabled`, is not among them: it must come to be what the text says at once. Neither is one
    /// that clients still get to when it takes nothing new.
    #[must_use]
    pub fn soften(self, orders: Vec<Order>, live: &Outline) -> (Vec<Order>, BTreeSet<Server>) {
        if self == Demote::Kill {
            return (orders, BTreeSet::new());
        }
        let with = |holds: fn(&Order) -> bool| -> BTreeSet<Server> {
            orders.iter().filter(|order| holds(order)).filter_map(Order::server).cloned().collect()
        };
        let added = with(|order| matches!(order, Order::Add { .. }));
        let cut = with(|order| matches!(order, Order::Cut(_)));
        let mut going = with(|order| matches!(order, Order::Delete(_)));
        going.retain(|server| {
            cut.contains(server) && !added.contains(server) && Self::may_drain(live, server)
        });
        let soft = |order: Order| match order {
            Order::State(server, State::Maint) if going.contains(&server) => {
                Some(Order::State(server, State::Drain))
            }
            Order::Cut(server) if going.contains(&server) => None,
            order => Some(order),
        };
        (orders.into_iter().filter_map(soft).collect(), going)
    }

    /// Whether nothing new gets to a server of this proxy that is drained.
    #[must_use]
    pub fn may_drain(live: &Outline, (proxy, _): &Server) -> bool {
        live.proxies().get(proxy).is_some_and(|proxy| !proxy.persists)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::outline::outline, *};
    use crate::haproxy::{
        capability::Capabilities,
        running::Running,
        verdict::{Configuration, verdict},
    };

    #[test]
    fn a_policy_is_read_and_said() {
        for (text, demote) in [
            ("kill", Some(Demote::Kill)),
            ("drain 2s", Some(Demote::Drain(Duration::from_secs(2)))),
            ("drain 1m30s", Some(Demote::Drain(Duration::from_secs(90)))),
            ("drain 0s", None),
            ("drain", None),
            ("drain soon", None),
            ("kill 2s", None),
        ] {
            assert_eq!(text.parse::<Demote>().ok(), demote, "{text}");
        }
        assert_eq!(Demote::Drain(Duration::from_secs(90)).to_string(), "drain 90s");
    }

    #[test]
    fn only_who_leaves_a_proxy_that_cuts_has_time_left() {
        const CUTS: &str = "default-server on-marked-down shutdown-sessions\n";
        let a = " server a 10.0.0.1:1\n";
        for (body, next, told) in [
            (CUTS, "", "drain"),
            ("", "", "maint"),
            (CUTS, " server a 10.0.0.9:1\n", "cut"),
            (CUTS, " server a 10.0.0.1:1 disabled\n", "maint cut"),
            (&format!("{CUTS} use-server a if TRUE\n"), "", "maint cut"),
            (&format!("{CUTS} stick on src\n"), "", "maint cut"),
            (&format!("{CUTS} cookie c insert\n"), "", "maint cut"),
        ] {
            let text = |servers: &str| format!("frontend f\n bind :1\nbackend b\n {body}{servers}");
            let [live, next] = [text(a), text(next)].map(|text| Configuration::new(&text));
            let verdict =
                verdict(&live, &next, &Running::fresh(&outline(&text(a))), &Capabilities::default());
            let drain = Demote::Drain(Duration::from_secs(2));
            let (orders, going) = drain.soften(verdict.orders().to_vec(), &live.outline);
            let words = orders.iter().filter_map(|order| match order {
                Order::State(_, State::Drain) => Some("drain"),
                Order::State(_, State::Maint) => Some("maint"),
                Order::Cut(_) => Some("cut"),
                _ => None,
            });
            assert_eq!(words.collect::<Vec<_>>().join(" "), told, "{body}{verdict}");
            assert_eq!(!going.is_empty(), told == "drain", "{body}");
            assert_eq!(Demote::Kill.soften(verdict.orders().to_vec(), &live.outline).0, verdict.orders());
        }
    }
}
