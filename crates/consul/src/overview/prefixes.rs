//! Keys that begin alike can be asked for by one question. Which beginnings are worth one.

use crate::{Query, query::Scope};
use std::collections::{BTreeMap, BTreeSet};

/// So many keys are worth a question, on the average.
const HANDFUL: usize = 4;

/// Whether the answer of the tree `prefix` tells of `key`.
#[must_use]
pub fn covers(prefix: &Query, key: &Query) -> bool {
    match (prefix, key) {
        (Query::Tree { prefix, scope }, Query::Key { key, scope: of }) => {
            scope == of && key.starts_with(prefix)
        }
        _ => false,
    }
}

/// The trees, no more than `most`, that cover these keys, each as few of them as can be: an answer holds all that begins
/// alike. Never all keys of Consul, so none for those in no folder; nothing that holds a tree which was refused.
#[must_use]
pub fn choose(keys: &[&Query], refused: &BTreeSet<Query>, most: usize) -> BTreeSet<Query> {
    let most = most.min(keys.len().div_ceil(HANDFUL));
    let is_refused = |bunch: &Bunch<'_>| refused.iter().any(|tree| bunch.holds(tree));
    let mut bunches = folders(keys);
    while let Some(place) = bunches.iter().position(&is_refused) {
        let parts = bunches.swap_remove(place).parts();
        bunches.extend(parts);
    }
    bunches.sort_by_key(|bunch| std::cmp::Reverse(bunch.keys.len()));
    bunches.truncate(most);
    while let Some((place, parts)) = largest(&bunches, most, is_refused) {
        bunches.swap_remove(place);
        bunches.extend(parts);
    }
    bunches.iter().map(Bunch::tree).collect()
}

/// The bunch of most keys that may still be parted, and its parts.
fn largest<'a>(
    bunches: &[Bunch<'a>],
    most: usize,
    is_refused: impl Fn(&Bunch<'a>) -> bool,
) -> Option<(usize, Vec<Bunch<'a>>)> {
    let mut order: Vec<usize> = (0..bunches.len()).collect();
    order.sort_by_key(|place| std::cmp::Reverse(bunches[*place].keys.len()));
    order.into_iter().find_map(|place| {
        let parts = bunches[place].parts();
        // One key alone is not worth an overview.
        let worth = (2..bunches[place].keys.len()).contains(&parts.len());
        let fits = worth && bunches.len() - 1 + parts.len() <= most;
        (fits && !parts.iter().any(&is_refused)).then_some((place, parts))
    })
}

/// Keys of one scope that begin alike, in their order.
struct Bunch<'a> {
    scope: &'a Scope,
    keys: Vec<&'a str>,
}

impl<'a> Bunch<'a> {
    /// What all begin with.
    fn prefix(&self) -> &'a str {
        let (first, last) = (self.keys[0], self.keys[self.keys.len() - 1]);
        let alike = first.char_indices().zip(last.chars()).find(|((_, a), b)| a != b);
        &first[..alike.map_or(first.len().min(last.len()), |((at, _), _)| at)]
    }

    fn tree(&self) -> Query {
        Query::Tree { prefix: self.prefix().into(), scope: self.scope.clone() }
    }

    /// Parted by the character that comes after what is alike; none for one key.
    fn parts(self: &Bunch<'a>) -> Vec<Bunch<'a>> {
        if self.keys.len() < 2 {
            return vec![];
        }
        let alike = self.prefix().len();
        let mut parts: BTreeMap<Option<char>, Vec<&'a str>> = BTreeMap::new();
        for key in &self.keys {
            parts.entry(key[alike..].chars().next()).or_default().push(key);
        }
        parts.into_values().map(|keys| Bunch { scope: self.scope, keys }).collect()
    }

    /// Whether its answer would hold that of `tree`.
    fn holds(&self, tree: &Query) -> bool {
        matches!(tree, Query::Tree { prefix, scope } if scope == self.scope && prefix.starts_with(self.prefix()))
    }
}

/// The keys by the folders that they lie in, the outermost.
fn folders<'a>(keys: &[&'a Query]) -> Vec<Bunch<'a>> {
    let mut folders: BTreeMap<(&Scope, &str), BTreeSet<&str>> = BTreeMap::new();
    for key in keys {
        if let Query::Key { key, scope } = key
            && let Some((folder, _)) = key.split_once('/')
        {
            folders.entry((scope, folder)).or_default().insert(key);
        }
    }
    let bunch = |((scope, _), keys): ((&'a Scope, _), BTreeSet<&'a str>)| Bunch {
        scope,
        keys: keys.into_iter().collect(),
    };
    folders.into_iter().map(bunch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> Query {
        Query::Key { key: path.into(), scope: Scope::default() }
    }

    fn tree(path: &str) -> Query {
        Query::Tree { prefix: path.into(), scope: Scope::default() }
    }

    fn keys(beginning: &str, count: usize) -> Vec<Query> {
        (0..count).map(|n| key(&format!("{beginning}{n:02}"))).collect()
    }

    #[test]
    fn the_trees_that_are_worth_a_question() {
        let all = |lists: &[Vec<Query>]| lists.concat();
        for (asked, refused, most, expected) in [
            (keys("app/", 4), &[][..], 9, &["app/0"][..]),
            // As few keys in each as can be.
            (all(&[keys("a/b", 4), keys("a/c", 4)]), &[], 9, &["a/b0", "a/c0"]),
            (all(&[keys("a/b", 4), keys("a/c", 4)]), &[], 1, &["a/"]),
            (keys("app/", 40), &[], 13, &["app/0", "app/1", "app/2", "app/3"]),
            (keys("app/", 48), &[], 14, &["app/0", "app/1", "app/2", "app/3", "app/4"]),
            // Too many folders: the largest.
            (all(&[keys("a/", 4), keys("b/", 12), keys("c/", 8)]), &[], 2, &["b/", "c/0"]),
            // Nobody asks for the whole store.
            (keys("", 20), &[], 9, &[]),
            // What was refused is parted, and not asked for again, nor what holds it.
            (all(&[keys("a/b", 4), keys("a/c", 4)]), &["a/"], 1, &["a/b0"]),
            (all(&[keys("a/b", 4), keys("a/c", 8)]), &["a/c0x"], 2, &["a/b0", "a/c00"]),
            (keys("app/", 8), &[], 0, &[]),
        ] {
            let refused = refused.iter().map(|path| tree(path)).collect();
            let chosen = choose(&asked.iter().collect::<Vec<_>>(), &refused, most);
            assert_eq!(chosen, expected.iter().map(|path| tree(path)).collect(), "{refused:?} {most}");
        }
    }

    #[test]
    fn each_datacenter_has_its_own_trees() {
        let scope = Scope { dc: Some("dc2".into()), ..Scope::default() };
        let there = |n: usize| Query::Key { key: format!("app/{n}"), scope: scope.clone() };
        let asked: Vec<Query> = (0..4).map(there).chain(keys("app/", 4)).collect();
        let chosen = choose(&asked.iter().collect::<Vec<_>>(), &BTreeSet::new(), 9);
        let expected = Query::Tree { prefix: "app/".into(), scope };
        assert!(covers(&expected, &asked[0]) && !covers(&expected, &key("app/0")));
        assert_eq!(chosen, [expected, tree("app/0")].into());
    }
}
