//! Asks every Sentinel whom it holds to be master: every second, at once when it tells of anything, and many times a
//! second while a role is open. Finds the Sentinels that were not configured through those that were.

use super::{
    Answer, Named, Report,
    aliases::Aliases,
    reply::{Replies, named},
};
use crate::{
    probe::{
        link::{Address, Ear, Link, Push},
        remedy::explain,
    },
    role::Belief,
};
use redis::{RedisError, RedisResult, Value, aio::MultiplexedConnection, pipe};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
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
    aliases: Aliases,
    belief: watch::Receiver<Belief>,
    report: &watch::Sender<Report>,
) {
    let master: Arc<str> = master.into();
    let Some(pattern) = sentinels.first().cloned() else { return };
    let mut asking = JoinSet::new();
    let mut seated: BTreeMap<String, AbortHandle> = BTreeMap::new();
    let (mut seats, mut listed) = (sentinels, true);
    let mut reports = report.subscribe();
    let mut gone = BTreeSet::new();
    loop {
        for link in seats.drain(..) {
            let (master, belief, report) = (Arc::clone(&master), belief.clone(), report.clone());
            let aliases = aliases.clone();
            let seat = seated.entry(link.address.to_string());
            seat.or_insert_with(|| {
                asking.spawn(async move {
                    follow(Seat::new(link, listed), &master, &aliases, belief, &report).await
                })
            });
        }
        listed = false;
        tokio::select! {
            // One whose seat was taken away leaves the others.
            ended = asking.join_next() => if ended.is_none_or(|ended| ended.is_ok()) { return },
            changed = reports.changed() => {
                if changed.is_err() { return }
                let left: Vec<String> = reports.borrow().left().map(Into::into).collect();
                for address in left {
                    seated.remove(&address).iter().for_each(AbortHandle::abort);
                    report.send_modify(|report| _ = report.0.remove(&address));
                    tracing::info!(sentinel = %address, "no Sentinel knows it any more; it is not asked again");
                }
                let known = reports.borrow_and_update();
                tell_gone(&mut gone, &known, &master);
                let link = |(host, port)| Link { address: Address::Tcp(host, port), ..pattern.clone() };
                seats.extend(known.told().into_iter().map(link));
            }
        }
    }
}

/// Says once who is gone and remembered, and what to do: only an operator can make Sentinels forget.
fn tell_gone(told: &mut BTreeSet<String>, report: &Report, master: &str) {
    let gone: BTreeSet<String> = report.gone().into_iter().map(Into::into).collect();
    if let Some(remedy) = report.remedy(master).filter(|_| gone != *told) {
        tracing::warn!("{remedy}");
    }
    *told = gone;
}

async fn follow(
    mut seat: Seat,
    master: &str,
    aliases: &Aliases,
    mut belief: watch::Receiver<Belief>,
    report: &watch::Sender<Report>,
) {
    let name = seat.link.address.to_string();
    let mut trouble: Option<String> = None;
    loop {
        let asked = Instant::now();
        let said = match seat.ask(master).await {
            Ok(named) => Ok(aliases.read(named).await),
            Err(error) => Err(error),
        };
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
            () = seat.told(master) => {}
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
    /// The last epoch that it announced, of whatever master.
    announced: Option<u64>,
    /// The epoch that it announced right before it told that it begins a fail-over of this master.
    tried: Option<u64>,
}

struct Open {
    connection: MultiplexedConnection,
    pushes: mpsc::UnboundedReceiver<Push>,
}

impl Seat {
    fn new(link: Link, listed: bool) -> Self {
        Seat { link, open: None, listed, announced: None, tried: None }
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
        self.hear(master);
        let mut replies = replies.into_iter();
        let mut next = || replies.next().unwrap_or(Ok(Value::Nil));
        let (address, fields) = (next(), next());
        let known =
            |reply: RedisResult<Value>| reply.map_err(|error| refusal(&error, master, &self.link.address));
        let (address, fields) = (known(address)?, known(fields)?);
        // The rest may be denied, or too new for this Sentinel; then it is asked by hand which others there are, and a
        // new master is believed when a majority names it.
        let [replicas, sentinels, id] = [next(), next(), next()].map(|reply| reply.unwrap_or(Value::Nil));
        let replies = Replies {
            address: &address,
            master: &fields,
            replicas: &replicas,
            sentinels: &sentinels,
            id: &id,
        };
        named(replies, self.tried)
            .ok_or_else(|| format!("no master in its answer {:.80}", format!("{address:?}")))
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
    async fn told(&mut self, master: &str) {
        let Some(open) = &mut self.open else { return std::future::pending().await };
        match open.pushes.recv().await {
            Some(push) => self.note(push, master),
            None => std::future::pending().await,
        }
    }

    /// Takes in what was told meanwhile: the answer that is at hand is newer.
    fn hear(&mut self, master: &str) {
        while let Some(push) = self.open.as_mut().and_then(|open| open.pushes.try_recv().ok()) {
            self.note(push, master);
        }
    }

    /// A Sentinel that begins a fail-over says `+new-epoch EPOCH` and then, in one breath, `+try-failover master NAME …`;
    /// the first alone may be of another master, or news from another Sentinel.
    fn note(&mut self, push: Push, master: &str) {
        match push {
            Push::Closed => (self.open, self.announced, self.tried) = (None, None, None),
            Push::Message { channel, text } => match channel.as_str() {
                "+new-epoch" => self.announced = text.trim().parse().ok(),
                "+try-failover" if text.split(' ').nth(1) == Some(master) => self.tried = self.announced,
                _ => {}
            },
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
