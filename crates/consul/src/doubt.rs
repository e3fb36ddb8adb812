//! Whether an answer may be believed that says that all is gone. Consul says "nothing there" of a service that ended,
//! and the same, with the same 200, when the token lost its rights, or when a server came back without its data.

use crate::{Query, Right, query::Scope, rights::Access};
use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};

/// What is known of an answer that says that all is gone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signs<'a> {
    /// The index is still that of the answer before: nothing changed in Consul, but what may be seen of it.
    pub same_index: bool,
    /// For how long the index has been lower than it was.
    pub rewound: Option<Duration>,
    /// A right that the token lacks.
    pub lacks: Option<&'a Right>,
}

/// Whether there was something, and the next answer says that there is nothing.
#[must_use]
pub fn empties(before: Option<&Value>, after: &Value) -> bool {
    before.is_some_and(|before| !is_nothing(before)) && is_nothing(after)
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Array(rows) => rows.is_empty(),
        Value::Object(rows) => rows.is_empty(),
        _ => value.is_null(),
    }
}

/// Why such an answer is not believed, for people; `None` when it is. One that may come of a lost state is held back no
/// longer than `quarantine`: programs beside the instances need some seconds to tell Consul of them again.
#[must_use]
pub fn doubt(signs: &Signs<'_>, quarantine: Duration) -> Option<String> {
    if let Some(right) = signs.lacks {
        return Some(format!("the answer is empty, and the token lacks {right}; the last value is kept"));
    }
    if signs.same_index {
        return Some(
            "the answer is empty though nothing changed in Consul: what the token may read did; the last value is kept"
                .into(),
        );
    }
    signs.rewound.filter(|since| *since < quarantine).map(|_| {
        format!(
            "the answer is empty, and its index is lower than before: Consul lost its data or was restored; the last \
             value is kept for {quarantine:?}, unless something comes back sooner"
        )
    })
}

/// The rights without which Consul answers `query` as if nothing were there, where `before` was the answer; none where
/// Consul would tell of those that hold elsewhere, in another datacenter or namespace.
#[must_use]
pub fn rights(query: &Query, before: &Value) -> Vec<Right> {
    let read = Access::Read;
    match query {
        Query::Health { scope, .. } | Query::Node { scope, .. } if *scope != Scope::default() => vec![],
        Query::Health { service, .. } => {
            let rows = before.as_array().map(Vec::as_slice).unwrap_or_default();
            let nodes: BTreeSet<&str> = rows.iter().filter_map(|row| row["Node"].as_str()).collect();
            let nodes = nodes.into_iter().map(|node| Right::node(read, node));
            std::iter::once(Right::service(read, service)).chain(nodes).collect()
        }
        Query::Node { name: Some(name), .. } => vec![Right::node(read, name)],
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn only_what_takes_all_away_is_doubted() {
        for (before, after, expected) in [
            (Some(json!([1, 2])), json!([]), true),
            (Some(json!([1, 2])), json!([1]), false),
            (Some(json!([])), json!([]), false),
            (Some(json!({"Value": "x"})), json!(null), true),
            (Some(json!({"redis": []})), json!({}), true),
            (Some(json!(null)), json!(null), false),
            (None, json!([]), false),
        ] {
            assert_eq!(empties(before.as_ref(), &after), expected, "{before:?} {after}");
        }
    }

    #[test]
    fn a_loss_of_rights_is_doubted_for_ever_and_a_loss_of_data_for_a_while() {
        let right = Right::service(Access::Read, "redis");
        let seconds = Duration::from_secs;
        for (signs, said) in [
            (Signs::default(), None),
            (
                Signs { lacks: Some(&right), ..Signs::default() },
                Some("the token lacks service:read on \"redis\""),
            ),
            (Signs { same_index: true, ..Signs::default() }, Some("what the token may read did")),
            (Signs { rewound: Some(seconds(59)), ..Signs::default() }, Some("kept for 60s")),
            (Signs { rewound: Some(seconds(60)), ..Signs::default() }, None),
        ] {
            let doubt = doubt(&signs, MINUTE);
            let fits = match (&doubt, said) {
                (Some(doubt), Some(said)) => doubt.contains(said),
                (None, None) => true,
                _ => false,
            };
            assert!(fits, "{signs:?}: {doubt:?}");
        }
    }

    #[test]
    fn the_rights_that_an_answer_needs() {
        let rows = json!([{"Node": "b"}, {"Node": "a"}, {"Node": "b"}]);
        let said =
            |query, before: &Value| rights(&query, before).iter().map(Right::to_string).collect::<Vec<_>>();
        let expected = ["service:read on \"redis\"", "node:read on \"a\"", "node:read on \"b\""];
        assert_eq!(said(Query::health("redis", true), &rows), expected);
        assert!(said(Query::Datacenters, &json!(["dc1"])).is_empty());
        let scope = Scope { dc: Some("dc2".into()), ..Scope::default() };
        assert!(said(Query::Node { name: Some("n".into()), scope }, &json!({})).is_empty());
    }
}
