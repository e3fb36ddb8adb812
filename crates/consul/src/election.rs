//! Which of several masters counts: the rule that both programs share. Later epochs go before earlier ones, and whoever
//! followed one does not go back.

use crate::{Instance, instance::meta};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt};

/// When a master became one. Numbers count within a generation: who gives them (Sentinel, or the pointer in Consul) may
/// lose its memory and begin again; then a new generation begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch {
    /// How often counting began anew.
    pub generation: u64,
    /// The number within the generation.
    pub number: u64,
}

impl Epoch {
    /// The values of Meta `epoch` and `generation`; the first generation is not mentioned.
    #[must_use]
    pub fn meta(self) -> (String, Option<String>) {
        (self.number.to_string(), (self.generation > 0).then(|| self.generation.to_string()))
    }

    /// Reads Meta; `None` where it tells no epoch.
    #[must_use]
    pub fn of(facts: &BTreeMap<String, String>) -> Option<Epoch> {
        Epoch::told(facts, meta::EPOCH)
    }

    /// Reads Meta: the epoch in which one that is not master now was.
    #[must_use]
    pub fn last_of(facts: &BTreeMap<String, String>) -> Option<Epoch> {
        Epoch::told(facts, meta::LAST_EPOCH)
    }

    fn told(facts: &BTreeMap<String, String>, key: &str) -> Option<Epoch> {
        let number = facts.get(key)?.parse().ok()?;
        Some(Epoch { generation: generation(facts), number })
    }

    /// As part of a file or a key.
    #[must_use]
    pub fn show(self) -> Value {
        json!({"generation": self.generation, "epoch": self.number})
    }

    /// Reads what [`Epoch::show`] wrote.
    #[must_use]
    pub fn read(value: &Value) -> Option<Epoch> {
        Some(Epoch { generation: value["generation"].as_u64()?, number: value["epoch"].as_u64()? })
    }
}

impl From<u64> for Epoch {
    fn from(number: u64) -> Epoch {
        Epoch { generation: 0, number }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            0 => write!(f, "{}", self.number),
            generation => write!(f, "{} of generation {generation}", self.number),
        }
    }
}

/// The generation that Meta tells.
#[must_use]
pub fn generation(facts: &BTreeMap<String, String>) -> u64 {
    facts.get(meta::GENERATION).and_then(|generation| generation.parse().ok()).unwrap_or_default()
}

/// Who of several that claim to be master is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Election {
    /// Nobody claims.
    None,
    /// The position of the one to believe.
    One(usize),
    /// The service may have several, and has these.
    Many(Vec<usize>),
    /// Several claim with the same highest epoch: to believe any of them may lose writes, so none is believed.
    Tie(Vec<usize>),
    /// The highest claim is of an epoch (or of none) below one that was followed already.
    Former(usize),
}

/// Elects the claim with the highest epoch among `claims`, unless one in a later epoch was followed before; all of them
/// where each says that there may be several.
#[must_use]
pub fn elect(claims: &[&Instance], followed: Option<Epoch>) -> Election {
    if !claims.is_empty() && claims.iter().all(|claim| claim.is_one_of_many()) {
        return Election::Many((0..claims.len()).collect());
    }
    let Some(highest) = claims.iter().map(|claim| claim.epoch()).max() else { return Election::None };
    let first: Vec<usize> = (0..claims.len()).filter(|&n| claims[n].epoch() == highest).collect();
    match first.as_slice() {
        [one, ..] if highest < followed => Election::Former(*one),
        [one] => Election::One(*one),
        _ => Election::Tie(first),
    }
}

/// The positions of the rows that are no ghosts: of rows that speak of one pod, only the one that was written last. A pod
/// never moves, but the agent that keeps its row may come back as another node.
#[must_use]
pub fn present(rows: &[Instance]) -> Vec<usize> {
    let mut latest: BTreeMap<_, (u64, &str)> = BTreeMap::new();
    for row in rows {
        if let Some(pod) = pod(row) {
            let written = latest.entry(pod).or_default();
            *written = (*written).max((row.written, &row.node));
        }
    }
    let is_ghost = |row: &Instance| pod(row).is_some_and(|pod| latest[&pod].1 != row.node);
    (0..rows.len()).filter(|&n| !is_ghost(&rows[n])).collect()
}

fn pod(row: &Instance) -> Option<(&str, &str)> {
    Some((row.pod_uid()?, &row.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(facts: &[(&str, &str)]) -> Instance {
        Instance {
            node: "n".into(),
            id: "i".into(),
            tags: vec!["master".into()],
            address: "10.0.0.1".into(),
            port: 6379,
            meta: facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            status: "passing".into(),
            written: 0,
        }
    }

    #[test]
    fn many_masters_are_fine_where_all_of_them_say_so() {
        let (one, many) = (claim(&[]), claim(&[(meta::CARDINALITY, crate::instance::MANY)]));
        assert_eq!(elect(&[&many, &many], None), Election::Many(vec![0, 1]));
        assert_eq!(elect(&[&one, &many], None), Election::Tie(vec![0, 1]));
    }

    #[test]
    fn the_highest_epoch_is_believed_and_none_below_one_that_was_followed() {
        let three = Some(3.into());
        let born = |generation, number| Some(Epoch { generation, number });
        for (epochs, followed, elected) in [
            (&[][..], None, Election::None),
            (&[(None, None)], None, Election::One(0)),
            (&[(Some("3"), None), (Some("12"), None)], None, Election::One(1)),
            (&[(Some("3"), None), (None, None)], None, Election::One(0)),
            (&[(Some("3"), None), (Some("nonsense"), None)], None, Election::One(0)),
            (&[(None, None), (None, None)], None, Election::Tie(vec![0, 1])),
            (&[(Some("3"), None), (Some("4"), None), (Some("4"), None)], None, Election::Tie(vec![1, 2])),
            (&[(Some("3"), None)], three, Election::One(0)),
            (&[(Some("2"), None)], three, Election::Former(0)),
            (&[(None, None)], three, Election::Former(0)),
            (&[], three, Election::None),
            (&[(Some("1"), Some("1"))], three, Election::One(0)),
            (&[(Some("9"), None), (Some("1"), Some("1"))], None, Election::One(1)),
            (&[(Some("9"), None)], born(1, 0), Election::Former(0)),
        ] {
            let claims: Vec<_> = epochs
                .iter()
                .map(|(epoch, generation): &(Option<&str>, Option<&str>)| {
                    let known = [(meta::EPOCH, *epoch), (meta::GENERATION, *generation)];
                    claim(
                        &known.into_iter().filter_map(|(key, value)| Some((key, value?))).collect::<Vec<_>>(),
                    )
                })
                .collect();
            let claims: Vec<_> = claims.iter().collect();
            assert_eq!(elect(&claims, followed), elected, "{epochs:?} after {followed:?}");
        }
    }

    #[test]
    fn of_one_pod_only_the_row_that_was_written_last_counts() {
        let row = |node: &str, uid: Option<&str>, written| Instance {
            node: node.into(),
            written,
            ..claim(&uid.map(|uid| (meta::POD_UID, uid)).into_iter().collect::<Vec<_>>())
        };
        for (rows, kept, what) in [
            (
                vec![row("old", Some("u"), 5), row("new", Some("u"), 9)],
                vec![1],
                "the agent came back as another node",
            ),
            (vec![row("a", Some("u"), 5), row("b", Some("v"), 9)], vec![0, 1], "two pods"),
            (vec![row("a", None, 5), row("b", None, 9)], vec![0, 1], "nothing is known of pods"),
            (vec![row("a", Some("u"), 5), row("b", Some("u"), 5)], vec![1], "one of them in any case"),
        ] {
            assert_eq!(present(&rows), kept, "{what}");
        }
    }
}
