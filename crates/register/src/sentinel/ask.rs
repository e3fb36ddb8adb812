//! Asks every Sentinel whom it holds to be master: every second, at once when it tells of anything, and many times a
//! second while a role is open. Finds the Sentinels that were not configured through those that were.

use super::{Answer, Failover, Named, Place, Report};
use crate::{
    probe::{
        link::{Address, Ear, Link, Push},
        remedy::explain,
    },
    role::Belief,
};
use redis::{RedisError, RedisResult, Value, aio::MultiplexedConnection, from_redis_value_ref, pipe};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

const CALM: Duration = Duration::from_secs(1);
/// While this node says master and is not known to be one, and while a fail-over is in progress: one asks often what
/// will be answered soon. Sentinel itself moves in steps of 100 ms.
const URGENT: Duration = Duration::from_millis(50);
/// A Sentinel answers from memory; one that takes longer than this is as good as gone.
const LIMIT: Duration = Duration::from_millis(500);

/// Keeps the report up to date until the belief's sender is gone.
pub async fn ask_all(
    sentinels: Vec<Link>,
    master: String,
    belief: watch::Receiver<Belief>,
    report: &watch::Sender<Report>,
) {
    let master: Arc<str> = master.into();
    let Some(pattern) = sentinels.first().cloned() else { return };
    let mut asking = JoinSet::new();
    let mut seated = BTreeSet::new();
    let (mut seats, mut listed) = (sentinels, true);
    let mut reports = report.subscribe();
    loop {
        for link in seats.drain(..).filter(|link| seated.insert(link.address.to_string())) {
            let (master, belief, report) = (Arc::clone(&master), belief.clone(), report.clone());
            asking.spawn(async move { follow(Seat::new(link, listed), &master, belief, &report).await });
        }
        listed = false;
        tokio::select! {
            ended = asking.join_next() => if ended.is_none() { return },
            changed = reports.changed() => {
                if changed.is_err() { return }
                let told: BTreeSet<Place> =
                    reports.borrow_and_update().said().flat_map(|(_, named)| named.others.clone()).collect();
                let link = |(host, port)| Link { address: Address::Tcp(host, port), ..pattern.clone() };
                seats.extend(told.into_iter().map(link));
            }
        }
    }
}

async fn follow(
    mut seat: Seat,
    master: &str,
    mut belief: watch::Receiver<Belief>,
    report: &watch::Sender<Report>,
) {
    let name = seat.link.address.to_string();
    let mut trouble: Option<String> = None;
    loop {
        let asked = Instant::now();
        let said = seat.ask(master).await;
        if said.as_ref().err() != trouble.as_ref() {
            match &said {
                Ok(_) => tracing::info!(sentinel = %name, "Sentinel answers"),
                Err(error) => tracing::warn!(sentinel = %name, %error, "Sentinel gives no answer"),
            }
            trouble = said.as_ref().err().cloned();
        }
        let moving = said.as_ref().is_ok_and(|named| named.failover.is_some());
        report.send_modify(|report| {
            _ = report.0.insert(name.clone(), Answer { asked: Some(asked), said, listed: seat.listed })
        });
        let urgent = belief.borrow_and_update().is_open();
        tokio::select! {
            () = sleep(if urgent || moving { URGENT } else { CALM }) => {}
            () = seat.told() => {}
            gone = until_open(&mut belief), if !urgent => if gone { return },
        }
        if belief.has_changed().is_err() {
            return;
        }
    }
}

/// Waits until a role is open; true when nobody believes anything any more.
async fn until_open(belief: &mut watch::Receiver<Belief>) -> bool {
    belief.wait_for(Belief::is_open).await.is_err()
}

/// One Sentinel, and the connection to it that is kept.
struct Seat {
    link: Link,
    open: Option<Open>,
    /// Whether it was configured, and not found through another.
    listed: bool,
    /// The last epoch that it announced: what a fail-over that was ordered by hand goes by, since nobody votes.
    announced: u64,
}

struct Open {
    connection: MultiplexedConnection,
    pushes: mpsc::UnboundedReceiver<Push>,
}

impl Seat {
    fn new(link: Link, listed: bool) -> Self {
        Seat { link, open: None, listed, announced: 0 }
    }

    async fn ask(&mut self, master: &str) -> Result<Named, String> {
        let answer = timeout(LIMIT, self.ask_for_ever(master)).await;
        answer.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")))
    }

    async fn ask_for_ever(&mut self, master: &str) -> Result<Named, String> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.connect().await?,
        };
        let mut all = pipe();
        all.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        all.cmd("SENTINEL").arg("MASTER").arg(master);
        all.cmd("SENTINEL").arg("REPLICAS").arg(master);
        all.cmd("SENTINEL").arg("SENTINELS").arg(master);
        all.cmd("SENTINEL").arg("MYID");
        let replies: Vec<RedisResult<Value>> =
            all.ignore_errors().query_async(&mut open.connection).await.map_err(|error| explain(&error))?;
        self.open = Some(open);
        self.hear();
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or(Ok(Value::Nil));
        let (address, fields) = (next(), next());
        let known =
            |reply: RedisResult<Value>| reply.map_err(|error| refusal(&error, master, &self.link.address));
        let (address, fields) = (known(address)?, known(fields)?);
        // The rest may be denied, or too new for this Sentinel; then it is asked by hand which others there are, and a
        // new master is believed when a majority names it.
        let [replicas, sentinels, id] = [next(), next(), next()].map(|reply| reply.unwrap_or(Value::Nil));
        let said = named(&address, &fields, (&replicas, &sentinels, &id), self.announced);
        said.ok_or_else(|| format!("no master in its answer {:.80}", format!("{address:?}")))
    }

    async fn connect(&mut self) -> Result<Open, String> {
        let (push, pushes) = mpsc::unbounded_channel();
        // A push that nobody hears any more is of a connection that was given up.
        let ear: Ear = Arc::new(move |said| _ = push.send(said));
        let mut connection = self.link.open(Some(ear)).await.map_err(|error| error.to_string())?;
        // Without a right to subscribe, or before Redis 6, it is asked every second only.
        let _denied = connection.psubscribe("*").await;
        Ok(Open { connection, pushes })
    }

    /// Waits until the Sentinel tells of something, or its connection ends.
    async fn told(&mut self) {
        let Some(open) = &mut self.open else { return std::future::pending().await };
        match open.pushes.recv().await {
            Some(push) => self.note(push),
            None => std::future::pending().await,
        }
    }

    /// Takes in what was told meanwhile: the answer that is at hand is newer.
    fn hear(&mut self) {
        while let Some(push) = self.open.as_mut().and_then(|open| open.pushes.try_recv().ok()) {
            self.note(push);
        }
    }

    fn note(&mut self, push: Push) {
        match push {
            Push::Closed => self.open = None,
            Push::Message { channel, text } if channel == "+new-epoch" => {
                self.announced = self.announced.max(text.trim().parse().unwrap_or_default());
            }
            Push::Message { .. } => {}
        }
    }
}

fn refusal(error: &RedisError, master: &str, address: &Address) -> String {
    match error.detail() {
        Some(said) if said.contains("No such master") => {
            format!(
                "it watches no master named \"{master}\": compare sentinel {{ master }} with its `sentinel monitor` line"
            )
        }
        Some(said) if said.contains("unknown command") => {
            format!("{address} is a Redis data node, not a Sentinel (26379 by default)")
        }
        _ => explain(error),
    }
}

type Fields = BTreeMap<String, String>;

/// Address from the first answer, epoch from the second: while a Sentinel replaces the master, the second still shows
/// the old one's address beside the new epoch.
fn named(address: &Value, master: &Value, more: (&Value, &Value, &Value), announced: u64) -> Option<Named> {
    let (replicas, sentinels, id) = more;
    let address: Place = from_redis_value_ref(address).ok()?;
    let fields: Fields = from_redis_value_ref(master).ok()?;
    let epoch: u64 = fields.get("config-epoch")?.parse().ok()?;
    let shown = place(&fields)?;
    let run_id = fields.get("runid").filter(|id| !id.is_empty() && shown == address).cloned();
    let sentinels: Vec<Fields> = from_redis_value_ref(sentinels).unwrap_or_default();
    let votes = sentinels.iter().filter_map(|peer| peer.get("voted-leader-epoch")?.parse::<u64>().ok()).max();
    let flagged =
        |fields: &Fields, flag| fields.get("flags").is_some_and(|flags| flags.split(',').any(|f| f == flag));
    let replicas: Vec<Fields> = from_redis_value_ref(replicas).unwrap_or_default();
    let promoted = replicas.iter().find(|replica| flagged(replica, "promoted"));
    let failover = promoted.filter(|_| flagged(&fields, "failover_in_progress")).and_then(|replica| {
        Some(Failover {
            address: place(replica)?,
            run_id: replica.get("runid").filter(|id| !id.is_empty()).cloned(),
            epoch: votes.unwrap_or_default().max(announced).max(epoch + u64::from(shown == address)),
        })
    });
    let id: Option<String> = from_redis_value_ref(id).ok();
    let known =
        fields.get("num-other-sentinels").and_then(|n| n.parse::<usize>().ok()).unwrap_or_default() + 1;
    let quorum = fields.get("quorum").and_then(|n| n.parse().ok()).unwrap_or_default();
    let others = sentinels.iter().filter_map(place).collect();
    Some(Named {
        id: id.filter(|id| !id.is_empty()),
        address,
        run_id,
        epoch,
        failover,
        known,
        quorum,
        others,
    })
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

    fn peers(epoch: &str) -> Value {
        Value::Array(vec![value(&["ip", "10.0.0.9", "port", "26379", "voted-leader-epoch", epoch])])
    }

    const NOTHING: (&Value, &Value, &Value) = (&Value::Nil, &Value::Nil, &Value::Nil);

    #[test]
    fn address_and_epoch_come_from_one_moment() {
        let ask = |named_ip, shown_ip| {
            named(&value(&[named_ip, "6379"]), &master(shown_ip, "master"), NOTHING, 0).unwrap()
        };
        let calm = ask("10.0.0.1", "10.0.0.1");
        assert_eq!(
            (calm.address, calm.run_id, calm.epoch),
            (("10.0.0.1".into(), 6379), Some("abc".into()), 4)
        );
        let moved = ask("10.0.0.2", "10.0.0.1");
        assert_eq!(
            (moved.address.0.as_str(), moved.run_id),
            ("10.0.0.2", None),
            "the run id is still the old one's"
        );
        assert_eq!(named(&Value::Nil, &master("10.0.0.1", "master"), NOTHING, 0), None);
        assert_eq!(named(&value(&["10.0.0.1", "6379"]), &value(&["name", "m"]), NOTHING, 0), None);
    }

    #[test]
    fn a_fail_over_is_seen_from_the_moment_of_the_choice() {
        let here = value(&["10.0.0.1", "6379"]);
        let id = Value::BulkString(b"s1".to_vec());
        for (flags, of_replica, votes, announced, epoch, what) in [
            ("master,o_down,failover_in_progress", "slave,promoted", "7", 0, Some(7), "the votes' epoch"),
            (
                "master,failover_in_progress,force_failover",
                "slave,promoted",
                "0",
                6,
                Some(6),
                "an announced epoch",
            ),
            (
                "master,failover_in_progress,force_failover",
                "slave,promoted",
                "0",
                0,
                Some(5),
                "at least the next",
            ),
            ("master,failover_in_progress", "slave", "7", 0, None, "nobody is chosen yet"),
            ("master", "slave,promoted", "7", 0, None, "it is over"),
        ] {
            let (replica, peers) = (replica("10.0.0.2", of_replica), peers(votes));
            let said = named(&here, &master("10.0.0.1", flags), (&replica, &peers, &id), announced).unwrap();
            assert_eq!(said.failover.map(|failover| failover.epoch), epoch, "{what}");
            assert_eq!((said.id.as_deref(), said.others.len()), (Some("s1"), 1));
        }
        let (replica, peers) = (replica("10.0.0.2", "slave,promoted"), peers("5"));
        let there = value(&["10.0.0.2", "6379"]);
        let late = named(&there, &master("10.0.0.1", "failover_in_progress"), (&replica, &peers, &id), 0);
        assert_eq!(late.unwrap().failover.unwrap().epoch, 5, "when it is told, its epoch stands already");
    }
}
