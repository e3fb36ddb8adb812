//! Keeps the overviews that the questions need: chooses them anew when questions come and go, holds each one open, and
//! passes on what it tells.

use super::{
    Overviews,
    marks::{Marks, differ, of_checks, of_services},
    prefixes::{choose, covers},
    told::{Told, Touched, written},
};
use crate::{
    Client, ClientError, Query,
    cursor::{Cursor, Heard},
    seats::{Claim, RELIEF, TURN_EACH},
    watch::Pace,
    wire::pairs,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout_at},
};

/// So often it is looked who is still there.
const ROUND: Duration = Duration::from_secs(10);
/// An overview that was refused is tried again after this time.
const REFUSED: Duration = Duration::from_secs(600);
/// An answer that is larger costs more than it saves …
const LARGEST: usize = 1 << 18;
/// … where it can be parted. The lists of services and checks cannot.
const LARGEST_LIST: usize = 1 << 20;
/// What overviews may take of Consul for long, in bytes a second, each.
const FLOW: f64 = 4e6;
/// Fewer services that wait are not worth an overview.
const HANDFUL: usize = 8;
/// Whoever is told that nothing changed knows how old its answer is at most.
const REFRESH: Duration = Duration::from_secs(10);

/// Keeps them as long as a question waits.
pub(super) async fn keep(client: Client, overviews: Overviews) {
    let mut held: BTreeMap<Query, AbortHandle> = BTreeMap::new();
    let mut refused: BTreeMap<Query, (Instant, bool)> = BTreeMap::new();
    let (mut asking, mut before) = (JoinSet::new(), (BTreeMap::new(), BTreeSet::new()));
    // Each that is given up counts at Consul for some time: until then, no other is.
    let mut stays = Instant::now();
    loop {
        overviews.settle().await;
        let Some(asked) = overviews.asked() else { return };
        refused.retain(|_, (since, _)| since.elapsed() < REFUSED);
        let now = (asked, refused.keys().cloned().collect());
        if now != before && Instant::now() >= stays {
            let count = held.len();
            let wanted = wanted(&now.0, &refused, client.seats().overviews());
            held.retain(|overview, asking| {
                let is_wanted = wanted.contains(overview);
                if !is_wanted {
                    asking.abort();
                    Teller::new(overviews.clone(), overview.clone()).tells_nothing();
                }
                is_wanted
            });
            if held.len() < count {
                stays = Instant::now() + RELIEF;
            }
            for overview in wanted {
                let hold = hold(client.clone(), overviews.clone(), overview.clone());
                held.entry(overview).or_insert_with(|| asking.spawn(hold));
            }
            before = now;
        }
        let now = Instant::now();
        let round = if stays > now { stays } else { now + ROUND };
        tokio::select! {
            _ = timeout_at(round, overviews.news.notified()) => {}
            Some(Ok((overview, error))) = asking.join_next() => {
                tracing::info!(%overview, %error, "what this would tell of is asked for in smaller parts, or each in its turn");
                held.remove(&overview);
                let is_larger = matches!(error, ClientError::TooLarge { .. });
                refused.insert(overview, (Instant::now(), is_larger));
            }
        }
    }
}

/// The overviews that these questions are worth. What is too large may be asked for in parts, what the token may not read
/// may not.
fn wanted(
    asked: &BTreeMap<Query, bool>,
    refused: &BTreeMap<Query, (Instant, bool)>,
    most: usize,
) -> BTreeSet<Query> {
    let denied = |key: &Query| refused.iter().any(|(tree, (_, is_larger))| !is_larger && covers(tree, key));
    let keys: Vec<&Query> = asked.keys().filter(|query| !denied(query)).collect();
    let mut wanted = choose(&keys, &refused.keys().cloned().collect(), most);
    let mut scopes = BTreeMap::<_, usize>::new();
    for (query, waits) in asked {
        if let Query::Health { scope, .. } = query {
            *scopes.entry(scope).or_default() += usize::from(*waits);
        }
    }
    for (scope, _) in scopes.into_iter().filter(|(_, services)| *services >= HANDFUL) {
        let lists = [Query::Services(scope.clone()), Query::Checks(scope.clone())];
        if !lists.iter().any(|list| refused.contains_key(list)) {
            wanted.extend(lists);
        }
    }
    wanted
}

/// Holds one overview open, and passes on what it tells, until it is refused.
async fn hold(client: Client, overviews: Overviews, overview: Query) -> (Query, ClientError) {
    let (mut claim, mut cursor) = (client.claim(), Cursor::default());
    let (mut backoff, mut pace) = (client.backoff(), Pace::new(Instant::now()));
    let mut teller = Teller::new(overviews, overview.clone());
    loop {
        match look(&client, &mut claim, &overview, cursor.index).await {
            None => {}
            Some(Ok((index, size, list))) => {
                let (next, heard) = cursor.hear(index);
                cursor = next;
                backoff.reset();
                let told = match heard {
                    Heard::Reset => None,
                    Heard::Nothing if !matches!(overview, Query::Tree { .. }) => Some(0),
                    Heard::Nothing | Heard::News => teller.tells(&list),
                };
                let Some(asked) = told else {
                    teller.tells_nothing();
                    continue;
                };
                let flow = Duration::from_secs_f64(size as f64 / FLOW);
                let due = pace.due(Instant::now(), flow.max(TURN_EACH * asked));
                if !due.is_zero() {
                    sleep(due).await;
                }
            }
            Some(Err(error)) => {
                teller.tells_nothing();
                if matches!(error, ClientError::TooLarge { .. }) || error.denied().is_some() {
                    return (overview, error);
                }
                cursor = cursor.fail();
                sleep(backoff.pause()).await;
            }
        }
    }
}

/// Asks once: the answer's index, its size, and what it says.
async fn look(
    client: &Client,
    claim: &mut Claim,
    overview: &Query,
    index: u64,
) -> Option<Result<(u64, usize, Value), ClientError>> {
    let most = if matches!(overview, Query::Tree { .. }) { LARGEST } else { LARGEST_LIST };
    // It stands for many: the seat is that of the quietest.
    claim.changed();
    let ask = |held: bool| client.list(overview, if held { index } else { 0 }, most);
    claim.ask(index == 0, ask).await
}

/// Passes on what one overview tells.
struct Teller {
    overviews: Overviews,
    overview: Query,
    /// What it told of services last.
    marks: Option<Marks>,
    /// When all were told last that nothing changed.
    refreshed: Option<Instant>,
}

impl Teller {
    fn new(overviews: Overviews, overview: Query) -> Teller {
        Teller { overviews, overview, marks: None, refreshed: None }
    }

    /// Tells all that it covers what an answer says; how many will be asked because of it, or `None` when it says nothing.
    fn tells(&mut self, list: &Value) -> Option<u32> {
        match &self.overview {
            Query::Tree { .. } => {
                let now = Instant::now();
                let refresh = self.refreshed.is_none_or(|refreshed| now - refreshed >= REFRESH);
                if refresh {
                    self.refreshed = Some(now);
                }
                self.tells_pairs(&pairs(list).ok()?, refresh);
                Some(0)
            }
            Query::Services(_) => Some(self.tells_marks(of_services(list), |touched| &mut touched.entries)),
            _ => Some(self.tells_marks(of_checks(list), |touched| &mut touched.checks)),
        }
    }

    fn tells_pairs(&self, pairs: &BTreeMap<String, Arc<Value>>, refresh: bool) {
        self.overviews.tell(
            |query| covers(&self.overview, query),
            |query, told| {
                let Query::Key { key, .. } = query else { return false };
                let now = pairs.get(key);
                let is_known = matches!(told, Told::Pair(_))
                    && told.pair().map(|pair| written(pair)) == now.map(|pair| written(pair));
                *told = Told::Pair(now.cloned());
                refresh || !is_known
            },
        );
    }

    /// A list of services that moved may hide who else changed, so all of them are asked.
    fn tells_marks(&mut self, now: Marks, of: fn(&mut Touched) -> &mut Option<u64>) -> u32 {
        let before = self.marks.replace(now);
        let (Some(now), names) = (&self.marks, matches!(self.overview, Query::Checks(_))) else { return 0 };
        let asked = std::cell::Cell::new(0);
        self.overviews.tell(
            |query| self.is_of(query),
            |query, told| {
                let Query::Health { service, .. } = query else { return false };
                if names && before.as_ref().is_some_and(|before| !differ(before, now, service)) {
                    return false;
                }
                let mut touched =
                    if let Told::Changed(touched) = told { *touched } else { Touched::default() };
                let count = of(&mut touched);
                *count = Some(count.map_or(0, |count| count + 1));
                *told = Told::Changed(touched);
                asked.set(asked.get() + 1);
                true
            },
        );
        asked.get()
    }

    /// From now on, nobody hears anything of this overview.
    fn tells_nothing(&mut self) {
        (self.marks, self.refreshed) = (None, None);
        let nothing = |told: &mut Told| match (&self.overview, &mut *told) {
            (Query::Services(_), Told::Changed(touched)) => touched.entries.take().is_some(),
            (Query::Checks(_), Told::Changed(touched)) => touched.checks.take().is_some(),
            (Query::Tree { .. }, Told::Pair(_)) => {
                *told = Told::Nothing;
                true
            }
            _ => false,
        };
        self.overviews.tell(|query| self.is_of(query), |_, told| nothing(told));
    }

    fn is_of(&self, query: &Query) -> bool {
        match (&self.overview, query) {
            (Query::Services(scope) | Query::Checks(scope), Query::Health { scope: of, connect, .. }) => {
                scope == of && !connect
            }
            (tree, key) => covers(tree, key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Scope;
    use serde_json::json;

    #[tokio::test]
    async fn a_tree_tells_its_keys_what_changed() {
        let overviews = Overviews::default();
        let key = |name: &str| Query::Key { key: format!("app/{name}"), scope: Scope::default() };
        let [mut one, mut other, mut absent] = ["1", "2", "3"].map(|name| overviews.enter(&key(name)));
        let tree = Query::Tree { prefix: "app/".into(), scope: Scope::default() };
        let mut teller = Teller::new(overviews, tree);
        let row = |name: &str, index: u64| json!({"Key": format!("app/{name}"), "Value": "eA==", "ModifyIndex": index});
        let mut told = |list: Value| {
            assert_eq!(teller.tells(&list), Some(0));
            [&mut one, &mut other, &mut absent].map(|told| {
                let changed = told.has_changed().unwrap();
                (changed, told.borrow_and_update().pair().and_then(|pair| written(pair)))
            })
        };
        assert_eq!(told(json!([row("1", 7), row("2", 8)])), [(true, Some(7)), (true, Some(8)), (true, None)]);
        assert_eq!(
            told(json!([row("1", 9), row("2", 8)])),
            [(true, Some(9)), (false, Some(8)), (false, None)]
        );
        assert_eq!(told(Value::Null), [(true, None), (true, None), (false, None)]);
        assert_eq!(one.borrow().clone(), Told::Pair(None));
        teller.tells_nothing();
        assert_eq!(one.borrow().clone(), Told::Nothing);
    }

    #[tokio::test]
    async fn lists_tell_which_service_to_ask_for() {
        let overviews = Overviews::default();
        let [web, db] = ["web", "db"].map(|name| overviews.enter(&Query::health(name, true)));
        let told = || {
            [&web, &db].map(|told| match *told.borrow() {
                Told::Changed(Touched { entries, checks }) => (entries, checks),
                _ => (None, None),
            })
        };
        let scope = Scope::default();
        let mut checks = Teller::new(overviews.clone(), Query::Checks(scope.clone()));
        let list = |web: u64| {
            json!([
                {"Node": "n", "CheckID": "w", "ServiceName": "web", "ModifyIndex": web},
                {"Node": "n", "CheckID": "d", "ServiceName": "db", "ModifyIndex": 1},
            ])
        };
        assert_eq!(checks.tells(&list(1)), Some(2));
        assert_eq!(checks.tells(&list(2)), Some(1));
        assert_eq!(told(), [(None, Some(1)), (None, Some(0))], "one of them changed");
        let mut entries = Teller::new(overviews, Query::Services(scope));
        let list = json!({"web": [], "db": []});
        assert_eq!((entries.tells(&list), entries.tells(&list)), (Some(2), Some(2)));
        assert_eq!(
            told(),
            [(Some(1), Some(1)), (Some(1), Some(0))],
            "each may have changed, and none is named"
        );
        checks.tells_nothing();
        assert_eq!(told(), [(Some(1), None), (Some(1), None)]);
    }

    #[test]
    fn overviews_are_held_for_many_and_not_where_they_were_refused() {
        let scope = Scope::default();
        let service = |n: usize| (Query::health(&format!("s{n}"), true), true);
        let key = |n: usize| (Query::Key { key: format!("app/{n}"), scope: scope.clone() }, true);
        let refused = |overview: Query, is_larger| BTreeMap::from([(overview, (Instant::now(), is_larger))]);
        let tree = Query::Tree { prefix: "app/".into(), scope: scope.clone() };
        let names = |wanted: BTreeSet<Query>| wanted.iter().map(ToString::to_string).collect::<Vec<_>>();
        let lists = ["catalog/services", "health/state/any"];
        for (asked, refused, expected) in [
            ((0..7).map(service).collect(), BTreeMap::new(), &[][..]),
            ((0..8).map(service).collect(), BTreeMap::new(), &lists),
            ((0..8).map(service).collect(), refused(Query::Checks(scope.clone()), true), &[]),
            ((0..8).map(service).map(|(query, _)| (query, false)).collect(), BTreeMap::new(), &[]),
            ((0..4).map(key).collect(), BTreeMap::new(), &["kv/app/?recurse"]),
            ((0..4).map(key).collect(), refused(tree.clone(), false), &[]),
            ((0..4).map(key).collect(), refused(tree.clone(), true), &["kv/app/0?recurse"]),
        ] {
            assert_eq!(names(wanted(&asked, &refused, 9)), expected, "{asked:?} {refused:?}");
        }
    }
}
