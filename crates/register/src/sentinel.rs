//! Asks every configured Sentinel whom it holds to be master, and under which config epoch.

use crate::{
    probe::{
        link::{Address, Link},
        remedy::explain,
    },
    role::Belief,
};
use redis::{Value, aio::MultiplexedConnection, from_redis_value_ref, pipe};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// Whom a Sentinel names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Address and port of the master.
    pub address: (String, u16),
    /// Its run id, as far as the Sentinel knows it for this address.
    pub run_id: Option<String>,
    /// The config epoch under which it is master.
    pub epoch: u64,
}

/// The last answer of one Sentinel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which Sentinel.
    pub sentinel: String,
    /// When it was asked; `None` before the first answer.
    pub asked: Option<Instant>,
    /// What it said, or why it said nothing.
    pub said: Result<Named, String>,
}

/// The last answers of all Sentinels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One for each configured Sentinel.
    pub answers: Vec<Answer>,
}

impl Report {
    /// Nobody has answered yet.
    #[must_use]
    pub fn new(sentinels: &[Link]) -> Self {
        let silent = |link: &Link| Answer {
            sentinel: link.address.to_string(),
            asked: None,
            said: Err("not asked yet".into()),
        };
        Self { answers: sentinels.iter().map(silent).collect() }
    }

    /// Whether each was asked at least once.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.answers.iter().all(|answer| answer.asked.is_some())
    }

    /// The naming with the highest epoch.
    #[must_use]
    pub fn newest(&self) -> Option<&Named> {
        self.answers.iter().filter_map(|answer| answer.said.as_ref().ok()).max_by_key(|named| named.epoch)
    }
}

/// Config epochs change only when a fail-over was won, so once a second is enough …
const CALM: Duration = Duration::from_secs(1);
/// … but a master that nobody has named yet is not believed by readers that know another with an epoch.
const URGENT: Duration = Duration::from_millis(100);
/// A Sentinel answers at once or is stopped; it may be in another zone and busy with an election.
const LIMIT: Duration = Duration::from_millis(500);

/// Asks all of `sentinels` about `master`, each at its own pace, until `belief`'s sender is gone.
pub async fn ask_all(
    sentinels: Vec<Link>,
    master: String,
    belief: watch::Receiver<Belief>,
    report: &watch::Sender<Report>,
) {
    let master: Arc<str> = master.into();
    let mut asking = JoinSet::new();
    for (place, link) in sentinels.into_iter().enumerate() {
        let (master, belief, report) = (Arc::clone(&master), belief.clone(), report.clone());
        asking.spawn(async move { follow(Seat { link, open: None }, &master, belief, place, &report).await });
    }
    while asking.join_next().await.is_some() {}
}

async fn follow(
    mut seat: Seat,
    master: &str,
    mut belief: watch::Receiver<Belief>,
    place: usize,
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
        report.send_modify(|report| {
            report.answers[place] = Answer { sentinel: name.clone(), asked: Some(asked), said };
        });
        let urgent = belief.borrow_and_update().unnamed();
        let next = sleep(if urgent { URGENT } else { CALM });
        tokio::select! {
            () = next => {}
            gone = until_urgent(&mut belief), if !urgent => if gone { return },
        }
        if belief.has_changed().is_err() {
            return;
        }
    }
}

/// Ends when a master appears that nobody has named, or, with true, when there is nobody left to ask for.
async fn until_urgent(belief: &mut watch::Receiver<Belief>) -> bool {
    belief.wait_for(Belief::unnamed).await.is_err()
}

/// One Sentinel and the connection to it.
struct Seat {
    link: Link,
    open: Option<MultiplexedConnection>,
}

impl Seat {
    async fn ask(&mut self, master: &str) -> Result<Named, String> {
        let answer = timeout(LIMIT, self.ask_for_ever(master)).await;
        answer.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")))
    }

    /// The address and the epoch belong together only if they come from one moment: during a fail-over
    /// `SENTINEL MASTER` shows the *old* address with the *new* epoch for about a second, while
    /// `GET-MASTER-ADDR-BY-NAME` already names the new master. So both are asked in one packet.
    async fn ask_for_ever(&mut self, master: &str) -> Result<Named, String> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.link.open(None).await.map_err(|error| error.to_string())?,
        };
        let mut both = pipe();
        both.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        both.cmd("SENTINEL").arg("MASTER").arg(master);
        let replies: Vec<redis::RedisResult<Value>> =
            both.ignore_errors().query_async(&mut open).await.map_err(|error| explain(&error))?;
        self.open = Some(open);
        let mut values = Vec::with_capacity(2);
        for reply in replies {
            values.push(reply.map_err(|error| refusal(&error, master, &self.link.address))?);
        }
        named(&values).ok_or_else(|| format!("no master in its answer {:.80}", format!("{values:?}")))
    }
}

fn refusal(error: &redis::RedisError, master: &str, address: &Address) -> String {
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

/// Reads the answers to `GET-MASTER-ADDR-BY-NAME` and `MASTER`.
fn named(answers: &[Value]) -> Option<Named> {
    let [address, master] = answers else { return None };
    let address: (String, u16) = from_redis_value_ref(address).ok()?;
    let fields: BTreeMap<String, String> = from_redis_value_ref(master).ok()?;
    let shown = (fields.get("ip")?, fields.get("port")?.parse::<u16>().ok()?);
    let run_id = fields.get("runid").filter(|id| !id.is_empty() && shown == (&address.0, address.1));
    Some(Named { run_id: run_id.cloned(), epoch: fields.get("config-epoch")?.parse().ok()?, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(parts: &[&str]) -> Value {
        Value::Array(parts.iter().map(|part| Value::BulkString(part.as_bytes().to_vec())).collect())
    }

    #[test]
    fn address_and_epoch_come_from_one_moment() {
        let master =
            |ip, port| value(&["name", "m", "ip", ip, "port", port, "runid", "abc", "config-epoch", "4"]);
        let calm = named(&[value(&["10.0.0.1", "6379"]), master("10.0.0.1", "6379")]).unwrap();
        let steady = Named { address: ("10.0.0.1".into(), 6379), run_id: Some("abc".into()), epoch: 4 };
        assert_eq!(calm, steady);
        let promoted = named(&[value(&["10.0.0.2", "6379"]), master("10.0.0.1", "6379")]).unwrap();
        let moved = Named { address: ("10.0.0.2".into(), 6379), run_id: None, epoch: 4 };
        assert_eq!(promoted, moved, "the run id is still the old master's");
        assert_eq!(named(&[Value::Nil, master("10.0.0.1", "6379")]), None);
        assert_eq!(named(&[value(&["10.0.0.1", "6379"]), value(&["name", "m"])]), None);
    }
}
