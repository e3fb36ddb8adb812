//! The files that a configuration names, whose content HAProxy reads when it starts.

use super::{Outline, sections::Line};
use std::collections::BTreeMap;

/// What a file is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// A map: keys and values.
    Map,
    /// A list of patterns.
    Acl,
    /// A certificate with its key.
    Cert,
    /// Authorities.
    Ca,
    /// Revocations.
    Crl,
    /// Something that is read at the start only.
    Start,
}

/// A file and the line that names it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// What for.
    pub r#use: Use,
    /// The first line that names it.
    pub line: usize,
}

impl Outline {
    /// The files that it names, as it names them. One that serves two purposes is [`Use::Start`].
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Named> {
        let mut files: BTreeMap<String, Named> = BTreeMap::new();
        for line in self.sections.iter().flat_map(|section| &section.lines) {
            for (r#use, path) in named(line) {
                let entry = files.entry(path).or_insert(Named { r#use, line: line.number });
                if entry.r#use != r#use {
                    entry.r#use = Use::Start;
                }
            }
        }
        files
    }
}

fn named(line: &Line) -> Vec<(Use, String)> {
    let Some(words) = line.spoken() else { return vec![] };
    let mut found: Vec<(Use, String)> =
        words.iter().flat_map(|word| maps(word)).map(|path| (Use::Map, path.to_owned())).collect();
    let keyed = words.contains(&"-M");
    for pair in words.windows(2) {
        let r#use = match pair[0] {
            "-f" if keyed => Use::Start,
            "-f" => Use::Acl,
            "crt" => Use::Cert,
            "ca-file" => Use::Ca,
            "crl-file" => Use::Crl,
            "crt-list" | "lua-load" | "errorfiles" => Use::Start,
            _ => continue,
        };
        found.push((r#use, pair[1].to_owned()));
    }
    if let ["errorfile", _, path, ..] = words.as_slice() {
        found.push((Use::Start, (*path).to_owned()));
    }
    found
}

/// The files of the converters `map(FILE…)` and `map_KIND(FILE…)` in a word.
fn maps(word: &str) -> impl Iterator<Item = &str> {
    word.match_indices("map").filter_map(move |(at, _)| {
        let before = word[..at].chars().next_back();
        let kind = word[at + 3..].split_once('(');
        let (kind, rest) = kind?;
        let whole = before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
            && (kind.is_empty() || kind.starts_with('_'))
            && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let path = rest.split([',', ')']).next().unwrap_or_default().trim_matches(['"', '\'']);
        (whole && !path.is_empty()).then_some(path)
    })
}
