//! Keys that are asked for one by one mostly lie in one folder. Which folders are worth a question of their own, and what
//! such a question's answer means for a key: only whether it must be asked for now, never what its value is.

use crate::{Query, query::Scope};
use std::{
    collections::{BTreeMap, BTreeSet},
    iter::successors,
};

/// A folder of fewer keys is not worth a question.
const HANDFUL: usize = 8;

/// What a folder's question last told of one of its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Nothing that counts now.
    #[default]
    Nothing,
    /// When it was written last, as Consul's index; `None` when it does not exist.
    Written(Option<u64>),
}

/// For how long a key need not be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It is to be asked for at once.
    None,
    /// As without a folder.
    Usual,
    /// Its folder would tell.
    Long,
}

/// How long a key rests that was written at `known`; `news` is whether it has not been asked for since the folder told this.
#[must_use]
pub fn rest(told: Told, news: bool, known: Option<u64>) -> Rest {
    match told {
        Told::Nothing => Rest::Usual,
        Told::Written(written) if written == known => Rest::Long,
        Told::Written(_) if news => Rest::None,
        // Its own answer is older than the folder's, or newer: another server gave it.
        Told::Written(_) => Rest::Usual,
    }
}

/// Whether the answer of `folder` tells of `key`.
#[must_use]
pub fn covers(folder: &Query, key: &Query) -> bool {
    match (folder, key) {
        (Query::Tree { prefix, scope }, Query::Key { key, scope: of }) => {
            scope == of && key.starts_with(prefix)
        }
        _ => false,
    }
}

/// The folders, `most` of them, which cover most of these keys: the deepest that hold a handful each, or, where those
/// would be too many, what lies above them. Never all keys of Consul; nothing that holds a folder which was refused.
#[must_use]
pub fn choose(keys: &[&Query], refused: &BTreeSet<Query>, most: usize) -> BTreeSet<Query> {
    let handfuls = successors(Some(HANDFUL), |handful| Some(handful * 2));
    let choices = handfuls.take_while(|handful| *handful <= keys.len()).map(|handful| {
        let mut folders: Vec<(usize, Query)> = outermost(gather(keys, refused, handful))
            .into_iter()
            .map(|folder| (keys.iter().filter(|key| covers(&folder, key)).count(), folder))
            .collect();
        folders.sort_by(|(a, one), (b, other)| (b, one).cmp(&(a, other)));
        folders.truncate(most);
        folders
    });
    let covered = |folders: &Vec<(usize, Query)>| folders.iter().map(|(count, _)| count).sum::<usize>();
    let best = choices.reduce(|best, next| if covered(&next) > covered(&best) { next } else { best });
    best.into_iter().flatten().map(|(_, folder)| folder).collect()
}

/// The deepest folders with a handful of keys that no deeper one has.
fn gather(keys: &[&Query], refused: &BTreeSet<Query>, handful: usize) -> Vec<Query> {
    let mut counts: BTreeMap<(usize, &Scope, &str), usize> = BTreeMap::new();
    for key in keys {
        if let Query::Key { key, scope } = key
            && let Some(folder) = above(key)
        {
            *counts.entry((depth(folder), scope, folder)).or_default() += 1;
        }
    }
    let mut chosen = vec![];
    while let Some(((_, scope, folder), count)) = counts.pop_last() {
        let query = Query::Tree { prefix: folder.into(), scope: scope.clone() };
        if count >= handful && !refused.iter().any(|refused| holds(&query, refused)) {
            chosen.push(query);
        } else if let Some(folder) = above(folder) {
            *counts.entry((depth(folder), scope, folder)).or_default() += count;
        }
    }
    chosen
}

/// Those that lie in no other.
fn outermost(folders: Vec<Query>) -> Vec<Query> {
    let lies = |inner: &Query| folders.iter().any(|outer| outer != inner && holds(outer, inner));
    folders.iter().filter(|folder| !lies(folder)).cloned().collect()
}

fn holds(outer: &Query, inner: &Query) -> bool {
    match (outer, inner) {
        (Query::Tree { prefix, scope }, Query::Tree { prefix: inner, scope: of }) => {
            scope == of && inner.starts_with(prefix)
        }
        _ => false,
    }
}

/// The folder that a key or a folder lies in, with its slash.
fn above(path: &str) -> Option<&str> {
    let inner = path.strip_suffix('/').unwrap_or(path);
    inner.rfind('/').map(|slash| &path[..=slash])
}

fn depth(folder: &str) -> usize {
    folder.matches('/').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> Query {
        Query::Key { key: path.into(), scope: Scope::default() }
    }

    fn folder(path: &str) -> Query {
        Query::Tree { prefix: path.into(), scope: Scope::default() }
    }

    fn keys(folder: &str, count: usize) -> Vec<Query> {
        (0..count).map(|n| key(&format!("{folder}{n}"))).collect()
    }

    #[test]
    fn a_key_rests_long_only_where_its_folder_says_what_is_known() {
        for (told, news, known, expected) in [
            (Told::Nothing, true, Some(7), Rest::Usual),
            (Told::Written(Some(7)), true, Some(7), Rest::Long),
            (Told::Written(None), false, None, Rest::Long),
            (Told::Written(Some(8)), true, Some(7), Rest::None),
            (Told::Written(Some(8)), true, None, Rest::None),
            (Told::Written(None), true, Some(7), Rest::None),
            (Told::Written(Some(8)), false, Some(7), Rest::Usual),
            (Told::Written(Some(6)), false, Some(7), Rest::Usual),
        ] {
            assert_eq!(rest(told, news, known), expected, "{told:?} {news} {known:?}");
        }
    }

    #[test]
    fn the_folders_that_are_worth_a_question() {
        let some = HANDFUL;
        let all = |lists: &[Vec<Query>]| lists.concat();
        let services: Vec<Query> = (0..50).flat_map(|n| keys(&format!("services/{n:02}/"), some)).collect();
        for (asked, refused, most, expected) in [
            (keys("app/", some), &[][..], 9, &["app/"][..]),
            (keys("app/", some - 1), &[], 9, &[]),
            (keys("", 100), &[], 9, &[]),
            (keys("a/b/c/", some), &[], 9, &["a/b/c/"]),
            // Few here and few there are a handful above.
            (all(&[keys("a/b/", 4), keys("a/c/", 4)]), &[], 9, &["a/"]),
            (all(&[keys("a/b/", 4), keys("c/d/", 4)]), &[], 9, &[]),
            // What holds all needs no second question within.
            (all(&[keys("a/", some), keys("a/b/", some)]), &[], 9, &["a/"]),
            (all(&[keys("a/", some), keys("b/", some)]), &[], 9, &["a/", "b/"]),
            // Too many: what lies above them; where there is nothing, the largest.
            (services.clone(), &[], 9, &["services/"]),
            (all(&[keys("a/", 10), keys("b/", 30), keys("c/", 20)]), &[], 2, &["b/", "c/"]),
            (services, &["services/"], 2, &["services/00/", "services/01/"]),
            // One that was refused is left, and what holds it; what lies in it is not.
            (keys("a/b/", some), &["a/b/"], 9, &[]),
            (all(&[keys("a/b/", some), keys("a/c/", some)]), &["a/b/"], 9, &["a/c/"]),
            (all(&[keys("a/", some), keys("a/b/", some)]), &["a/"], 9, &["a/b/"]),
            (keys("app/", some), &[], 0, &[]),
        ] {
            let refused = refused.iter().map(|path| folder(path)).collect();
            let chosen = choose(&asked.iter().collect::<Vec<_>>(), &refused, most);
            assert_eq!(chosen, expected.iter().map(|path| folder(path)).collect(), "{refused:?} {most}");
        }
    }

    #[test]
    fn each_datacenter_has_its_own_folders() {
        let scope = Scope { dc: Some("dc2".into()), ..Scope::default() };
        let there = |n: usize| Query::Key { key: format!("app/{n}"), scope: scope.clone() };
        let asked: Vec<Query> = (0..HANDFUL).map(there).chain(keys("app/", HANDFUL - 1)).collect();
        let chosen = choose(&asked.iter().collect::<Vec<_>>(), &BTreeSet::new(), 9);
        let expected = Query::Tree { prefix: "app/".into(), scope };
        assert!(covers(&expected, &asked[0]) && !covers(&expected, &key("app/0")));
        assert_eq!(chosen, [expected].into());
    }
}
