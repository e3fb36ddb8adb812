//! Reads what one Sentinel replies: whom it names, whom it promotes and in which epoch, and which others it knows.

use super::{Failover, Named, Peer, Place};
use redis::{Value, from_redis_value_ref};
use std::{collections::BTreeMap, time::Duration};

/// A Sentinel that was down for so long is called gone by those who still know it: they never forget by themselves.
const GONE: Duration = Duration::from_secs(60);

type Fields = BTreeMap<String, String>;

/// The replies to the questions of one round.
#[derive(Clone, Copy, Debug)]
pub struct Replies<'a> {
    /// `SENTINEL GET-MASTER-ADDR-BY-NAME`
    pub address: &'a Value,
    /// `SENTINEL MASTER`
    pub master: &'a Value,
    /// `SENTINEL REPLICAS`
    pub replicas: &'a Value,
    /// `SENTINEL SENTINELS`
    pub sentinels: &'a Value,
    /// `SENTINEL MYID`
    pub id: &'a Value,
}

/// Puts the replies together; `tried` is the epoch in which this Sentinel told that it begins a fail-over.
///
/// The address comes from the first reply, the epoch from the second: while a Sentinel replaces the master, the second
/// still shows the old one's address beside the new epoch.
#[must_use]
pub fn named(replies: Replies<'_>, tried: Option<u64>) -> Option<Named> {
    let address: Place = from_redis_value_ref(replies.address).ok()?;
    let fields: Fields = from_redis_value_ref(replies.master).ok()?;
    let epoch: u64 = fields.get("config-epoch")?.parse().ok()?;
    let shown = place(&fields)?;
    let run_id = fields.get("runid").filter(|id| !id.is_empty() && shown == address).cloned();
    let id: Option<String> = from_redis_value_ref(replies.id).ok();
    let id = id.filter(|id| !id.is_empty());
    let sentinels: Vec<Fields> = from_redis_value_ref(replies.sentinels).unwrap_or_default();
    let replicas: Vec<Fields> = from_redis_value_ref(replies.replicas).unwrap_or_default();
    let promoted = replicas.iter().find(|replica| flagged(replica, &["promoted"]));
    let failover = promoted.filter(|_| flagged(&fields, &["failover_in_progress"])).and_then(|replica| {
        let elected = !flagged(&fields, &["force_failover"]);
        let minted = tried.or_else(|| votes(&sentinels, id.as_deref()?).filter(|_| elected));
        // When it is named already, its epoch stands; else it will be a later one.
        let least = epoch + u64::from(shown == address);
        Some(Failover {
            address: place(replica)?,
            run_id: replica.get("runid").filter(|id| !id.is_empty()).cloned(),
            epoch: minted.filter(|minted| *minted >= least).unwrap_or(least),
            certain: minted.is_some_and(|minted| minted >= least),
            elected,
            lost: flagged(replica, &["s_down", "disconnected"]),
        })
    });
    let number = |key: &str| fields.get(key).and_then(|n| n.parse::<usize>().ok()).unwrap_or_default();
    let (known, quorum) = (number("num-other-sentinels") + 1, number("quorum"));
    let others = sentinels.iter().filter_map(peer).collect();
    Some(Named { id, address, run_id, epoch, failover, known, quorum, others })
}

/// The latest epoch in which others voted for the Sentinel `id`: the one in which it was elected.
fn votes(sentinels: &[Fields], id: &str) -> Option<u64> {
    let for_it = sentinels.iter().filter(|peer| peer.get("voted-leader").is_some_and(|leader| leader == id));
    for_it.filter_map(|peer| peer.get("voted-leader-epoch")?.parse().ok()).max()
}

fn peer(fields: &Fields) -> Option<(String, Peer)> {
    let id = fields.get("runid").filter(|id| !id.is_empty())?;
    let millis = fields.get("s-down-time").and_then(|millis| millis.parse().ok()).unwrap_or_default();
    // A Sentinel whose address another id took over gets port 0.
    let place = place(fields).filter(|(_, port)| *port > 0);
    let gone = place.is_none() || Duration::from_millis(millis) >= GONE;
    Some((id.clone(), Peer { place, gone }))
}

fn flagged(fields: &Fields, any: &[&str]) -> bool {
    fields.get("flags").is_some_and(|flags| flags.split(',').any(|flag| any.contains(&flag)))
}

fn place(fields: &Fields) -> Option<Place> {
    Some((fields.get("ip")?.clone(), fields.get("port")?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(parts: &[&str]) -> Value {
        Value::Array(parts.iter().map(|part| Value::BulkString(part.as_bytes().to_vec())).collect())
    }

    fn master(ip: &str, flags: &str) -> Value {
        value(&["name", "m", "ip", ip, "port", "6379", "runid", "abc", "config-epoch", "4", "flags", flags])
    }

    fn replica(ip: &str, flags: &str) -> Value {
        Value::Array(vec![value(&["ip", ip, "port", "6379", "runid", "def", "flags", flags])])
    }

    fn peers(leader: &str, epoch: &str) -> Value {
        let peer = |id, leader, epoch| {
            let fields = ["ip", "10.0.0.9", "port", "26379", "runid", id, "voted-leader", leader];
            value(&[&fields[..], &["voted-leader-epoch", epoch]].concat())
        };
        Value::Array(vec![peer("s2", leader, epoch), peer("s3", "s2", "9")])
    }

    fn ask(named_ip: &str, shown: &Value, rest: [&Value; 3], tried: Option<u64>) -> Option<Named> {
        let [replicas, sentinels, id] = rest;
        let address = value(&[named_ip, "6379"]);
        named(Replies { address: &address, master: shown, replicas, sentinels, id }, tried)
    }

    const NOTHING: [&Value; 3] = [&Value::Nil; 3];

    #[test]
    fn address_and_epoch_come_from_one_moment() {
        let calm = ask("10.0.0.1", &master("10.0.0.1", "master"), NOTHING, None).unwrap();
        assert_eq!(
            (calm.address, calm.run_id, calm.epoch),
            (("10.0.0.1".into(), 6379), Some("abc".into()), 4)
        );
        let moved = ask("10.0.0.2", &master("10.0.0.1", "master"), NOTHING, None).unwrap();
        assert_eq!(
            (moved.address.0.as_str(), moved.run_id),
            ("10.0.0.2", None),
            "the run id is still the old one's"
        );
        assert_eq!(ask("10.0.0.1", &value(&["name", "m"]), NOTHING, None), None);
    }

    #[test]
    fn a_fail_over_is_seen_from_the_moment_of_the_choice() {
        let id = Value::BulkString(b"s1".to_vec());
        let forced = "master,failover_in_progress,force_failover";
        for (flags, of_replica, (leader, votes), tried, epoch, what) in [
            (
                "master,failover_in_progress",
                "slave,promoted",
                ("s1", "7"),
                None,
                Some((7, true)),
                "its votes",
            ),
            (
                "master,failover_in_progress",
                "slave,promoted",
                ("s2", "7"),
                None,
                Some((5, false)),
                "of another",
            ),
            (
                "master,failover_in_progress",
                "slave,promoted",
                ("?", "0"),
                Some(8),
                Some((8, true)),
                "it told",
            ),
            (forced, "slave,promoted", ("?", "0"), Some(6), Some((6, true)), "an order, told"),
            (forced, "slave,promoted", ("s1", "7"), None, Some((5, false)), "an order has no votes"),
            (forced, "slave,promoted", ("?", "0"), Some(3), Some((5, false)), "told of a former one"),
            ("master,failover_in_progress", "slave", ("s1", "7"), None, None, "nobody is chosen yet"),
            ("master", "slave,promoted", ("s1", "7"), None, None, "it is over"),
        ] {
            let (replica, peers) = (replica("10.0.0.2", of_replica), peers(leader, votes));
            let said = ask("10.0.0.1", &master("10.0.0.1", flags), [&replica, &peers, &id], tried).unwrap();
            let chosen = said.failover.map(|failover| (failover.epoch, failover.certain));
            assert_eq!(chosen, epoch, "{what}");
            assert_eq!((said.id.as_deref(), said.others.len()), (Some("s1"), 2));
        }
        let (replica, peers) = (replica("10.0.0.2", "slave,promoted,s_down"), peers("s1", "4"));
        let shown = master("10.0.0.1", "failover_in_progress");
        let late = ask("10.0.0.2", &shown, [&replica, &peers, &id], None).unwrap().failover.unwrap();
        assert_eq!((late.epoch, late.certain), (4, true), "when it is told, its epoch stands already");
        assert!(late.lost, "the chosen one does not answer");
    }

    #[test]
    fn a_sentinel_that_is_down_for_long_or_replaced_is_gone() {
        for (port, down, gone, place) in [
            ("26379", "0", false, true),
            ("26379", "59999", false, true),
            ("26379", "60000", true, true),
            ("0", "0", true, false),
        ] {
            let peers = Value::Array(vec![value(&[
                "ip",
                "10.0.0.9",
                "port",
                port,
                "runid",
                "x",
                "s-down-time",
                down,
            ])]);
            let said =
                ask("10.0.0.1", &master("10.0.0.1", "master"), [&Value::Nil, &peers, &Value::Nil], None);
            let peer = said.unwrap().others["x"].clone();
            assert_eq!((peer.gone, peer.place.is_some()), (gone, place), "{port} {down}");
        }
    }
}
