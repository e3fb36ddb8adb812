//! Keeps a watch on each question that some template asks, and gathers what they hear.

use crate::facts::Facts;
use consul::{Client, Query, Watched, watch};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::{
    sync::watch as channel,
    task::{JoinHandle, JoinSet},
};

/// What each template asks, by its position.
pub type Asked = Vec<channel::Receiver<BTreeSet<Query>>>;

/// Follows what is asked until the programs that ask are gone: new questions start a watch, questions that
/// nobody asks any more end theirs and are forgotten.
pub async fn follow(client: Client, mut asked: Asked, facts: channel::Sender<Facts>) {
    let facts = Arc::new(facts);
    let mut watches: BTreeMap<Query, Watch> = BTreeMap::new();
    loop {
        let wanted: BTreeSet<Query> =
            asked.iter_mut().flat_map(|asked| asked.borrow_and_update().clone()).collect();
        for query in watches.keys().filter(|query| !wanted.contains(query)).cloned().collect::<Vec<_>>() {
            watches.remove(&query);
            facts.send_modify(|facts| _ = Arc::make_mut(facts).remove(&query));
        }
        for query in wanted {
            watches.entry(query.clone()).or_insert_with(|| Watch::start(&client, query, &facts));
        }
        if !any_changed(&asked).await {
            return;
        }
    }
}

/// A running watch, ended when dropped.
struct Watch(JoinHandle<()>);

impl Watch {
    fn start(client: &Client, query: Query, facts: &Arc<channel::Sender<Facts>>) -> Watch {
        let mut heard = watch(client.clone(), query.clone());
        let facts = Arc::clone(facts);
        Watch(tokio::spawn(async move {
            while heard.changed().await.is_ok() {
                let watched: Watched = heard.borrow_and_update().clone();
                facts.send_modify(|facts| _ = Arc::make_mut(facts).insert(query.clone(), watched));
            }
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until one of the templates asks something else; false when all of them are gone.
async fn any_changed(asked: &Asked) -> bool {
    let mut waiting = JoinSet::new();
    for receiver in asked {
        let mut receiver = receiver.clone();
        waiting.spawn(async move { receiver.changed().await.is_ok() });
    }
    while let Some(changed) = waiting.join_next().await {
        if changed.unwrap_or(false) {
            return true;
        }
    }
    false
}
