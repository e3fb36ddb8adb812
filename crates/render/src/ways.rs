//! By which way the answer to a question comes: Consul is asked here, or another render asked it and tells.

use consul::{
    Query, Watched,
    doubt::empties,
    shared::{Place, document::Answered},
};
use std::time::Duration;
use tokio::time::Instant;

/// How an answer comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// Consul is asked here.
    Ask,
    /// Another one asked: what it told, and when it was last heard. It counts until the time-to-live is over.
    Read(Answered, Instant),
    /// The last answer stands, and another one has until then to tell.
    Wait(Instant),
}

/// What a leader that is well does not tell for so long, each asks for itself: it has yet to ask, or it cannot, or it is
/// a question of this machine alone.
const LACK: Duration = Duration::from_secs(2);

/// The way of a question that nobody told since `since`. `places` are those of all templates that ask it; none where a
/// template shares nothing. Whoever was silent for `ttl` is gone.
#[must_use]
pub fn way(
    query: &Query,
    known: Option<&Watched>,
    places: &[Option<&Place>],
    ttl: Duration,
    (since, now): (Instant, Instant),
) -> Way {
    let asks = |place: &Option<&Place>| matches!(place, None | Some(Place::Leads | Place::Alone(_)));
    if !query.is_shareable() || places.iter().any(asks) {
        return Way::Ask;
    }
    let follows = places.iter().filter_map(|place| match place {
        Some(Place::Follows(answers, heard)) => Some((answers, *heard)),
        _ => None,
    });
    let (name, mut silent) = (query.to_string(), false);
    for (answers, heard) in follows {
        match answers.get(&name) {
            _ if heard + ttl <= now => silent = true,
            // Whoever tells may not know what was there before: then it is found out here.
            Some(told) if known.is_some_and(|known| is_doubtful(known, told)) => return Way::Ask,
            Some(told) => return Way::Read(told.clone(), heard),
            None => {}
        }
    }
    if silent || since + LACK <= now { Way::Ask } else { Way::Wait(since + LACK) }
}

/// All is gone, and Consul's index did not move on.
fn is_doubtful(known: &Watched, told: &Answered) -> bool {
    empties(known.value.as_deref(), &told.value) && told.index <= known.index
}

#[cfg(test)]
mod tests {
    use super::*;
    use consul::query::Scope;
    use serde_json::{Value, json};
    use std::sync::Arc;

    const TTL: Duration = Duration::from_secs(15);

    #[test]
    fn one_asks_and_the_others_read() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let query = Query::health("web", true);
        let told = |index, value: Value| Answered { index, value: Arc::new(value) };
        let follows = |answered: Option<Answered>| {
            let answers = answered.map(|answered| (query.to_string(), answered)).into_iter().collect();
            Place::Follows(Arc::new(answers), start)
        };
        let row = || told(7, json!([1]));
        let known = Watched { value: Some(row().value), index: 7, ..Watched::default() };
        let alone = Place::Alone("x".into());
        for (places, seconds, expected, what) in [
            (vec![None], 0, Way::Ask, "nothing is shared"),
            (vec![Some(Place::Leads)], 0, Way::Ask, "it leads"),
            (vec![Some(alone)], 0, Way::Ask, "nobody's word can be taken"),
            (vec![Some(Place::Unknown)], 1, Way::Wait(at(2)), "nobody is known to lead"),
            (vec![Some(Place::Unknown)], 2, Way::Ask, "nor was for long"),
            (vec![Some(follows(Some(row())))], 0, Way::Read(row(), start), "another tells"),
            (
                vec![Some(follows(Some(row()))), Some(Place::Leads)],
                0,
                Way::Ask,
                "it asks for another template",
            ),
            (vec![Some(follows(Some(row()))), None], 0, Way::Ask, "one shares nothing"),
            (
                vec![Some(follows(None)), Some(follows(Some(row())))],
                0,
                Way::Read(row(), start),
                "one of them tells",
            ),
            (vec![Some(follows(None))], 1, Way::Wait(at(2)), "the other has yet to ask"),
            (vec![Some(follows(None))], 2, Way::Ask, "and does not"),
            (vec![Some(follows(Some(row())))], 14, Way::Read(row(), start), "it is well"),
            (vec![Some(follows(Some(row())))], 15, Way::Ask, "it is gone"),
            (vec![Some(follows(Some(told(7, json!([])))))], 0, Way::Ask, "all is gone, at the same index"),
            (vec![Some(follows(Some(told(3, json!([])))))], 0, Way::Ask, "all is gone, in another life"),
            (
                vec![Some(follows(Some(told(8, json!([])))))],
                0,
                Way::Read(told(8, json!([])), start),
                "all is gone indeed",
            ),
        ] {
            let places: Vec<_> = places.iter().map(Option::as_ref).collect();
            let found = way(&query, Some(&known), &places, TTL, (start, at(seconds)));
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn what_depends_on_who_asks_is_asked_here() {
        let own = Query::Node { name: None, scope: Scope::default() };
        let near = Query::Nodes { near: Some("_agent".into()), scope: Scope::default() };
        let now = Instant::now();
        for query in [own, near, Query::CaLeaf("web".into()), Query::CaRoots] {
            assert_eq!(way(&query, None, &[Some(&Place::Unknown)], TTL, (now, now)), Way::Ask, "{query}");
        }
    }
}
