//! Keeps a watch on each question that some template asks, and gathers what they hear.

use crate::facts::Facts;
use consul::{Client, Query, Watched, watch};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::{sync::watch as channel, task::JoinHandle};

/// What each template asks, by its position.
pub type Asked = BTreeMap<usize, BTreeSet<Query>>;

/// One template's place among those who ask.
#[derive(Debug)]
pub struct Asks {
    /// Its position.
    pub position: usize,
    /// What all ask.
    pub all: channel::Sender<Asked>,
}

impl Asks {
    /// What this template asks at present.
    #[must_use]
    pub fn present(&self) -> BTreeSet<Query> {
        self.all.borrow().get(&self.position).cloned().unwrap_or_default()
    }

    /// From now on, this template asks these.
    pub fn publish(&self, queries: &BTreeSet<Query>) {
        self.all.send_if_modified(|all| {
            let news = all.get(&self.position) != Some(queries);
            if news {
                all.insert(self.position, queries.clone());
            }
            news
        });
    }
}

/// Follows what is asked until the templates that ask are gone: new questions start a watch, questions that
/// nobody asks any more end theirs and are forgotten.
pub async fn follow(client: Client, mut asked: channel::Receiver<Asked>, facts: channel::Sender<Facts>) {
    let facts = Arc::new(facts);
    let mut watches: BTreeMap<Query, Watch> = BTreeMap::new();
    loop {
        let wanted: BTreeSet<Query> = asked.borrow_and_update().values().flatten().cloned().collect();
        for query in watches.keys().filter(|query| !wanted.contains(query)).cloned().collect::<Vec<_>>() {
            watches.remove(&query);
            facts.send_modify(|facts| _ = Arc::make_mut(facts).remove(&query));
        }
        for query in wanted {
            watches.entry(query.clone()).or_insert_with(|| Watch::start(&client, query, &facts));
        }
        if asked.changed().await.is_err() {
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
