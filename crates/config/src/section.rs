//! The body of a block or of all files: keys are taken out one by one, what is left is unknown.

use crate::{
    Mistakes, Place, Secret, parse_duration,
    similar::nearest,
    tree::{Node, Table, Value},
};
use std::{collections::BTreeMap, fmt, ops::RangeInclusive, time::Duration};

/// The body of a block or of all files.
///
/// Each getter takes its key out, whatever it finds; a wrong value is told to the mistakes and comes back as
/// if it were absent. Call [`Section::finish`] last.
pub struct Section {
    path: String,
    place: Place,
    table: Table,
    /// Every key asked for, with its place where it was there.
    asked: BTreeMap<String, Option<Place>>,
}

/// A value that is given otherwise than by a file, such as by a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A string.
    Text(String),
    /// A number, as written.
    Number(String),
    /// `true` or `false`.
    Bool(bool),
    /// A list of strings.
    Texts(Vec<String>),
}

impl Section {
    /// A section in which nothing is set.
    pub fn empty(name: &str) -> Section {
        Section::new(name.to_owned(), Place::of("configuration"), Table::new())
    }

    pub(crate) fn new(path: String, place: Place, table: Table) -> Section {
        Section { path, place, table, asked: BTreeMap::new() }
    }

    /// Where the section begins.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its dotted path, such as `service.redis`; empty for the top.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The dotted path of one of its keys.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Where a key is, also after it was taken; the section's place when it is not set.
    pub fn place_of(&self, key: &str) -> &Place {
        let left = self.table.get(key).and_then(|nodes| nodes.first()).map(|node| &node.place);
        left.or(self.asked.get(key).and_then(Option::as_ref)).unwrap_or(&self.place)
    }

    /// Says that the value of `key`, or its absence, is a mistake.
    pub fn mistake(&self, key: &str, why: impl Into<String>, mistakes: &mut Mistakes) {
        mistakes.note(self.place_of(key).clone(), self.path_of(key), why);
    }

    /// True when the key is set and not yet taken.
    pub fn has(&self, key: &str) -> bool {
        self.table.keys().any(|known| known.eq_ignore_ascii_case(key))
    }

    /// The string that is set there, not taken; `None` for anything else.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.table.get(&spelled(&self.table, key))?.first()?.value {
            Value::Text(ref text) => Some(text),
            _ => None,
        }
    }

    /// The number that is set there as written, not taken; `None` for anything else.
    pub fn number(&self, key: &str) -> Option<&str> {
        match self.table.get(&spelled(&self.table, key))?.first()?.value {
            Value::Number(ref digits) => Some(digits),
            _ => None,
        }
    }

    /// True when the key at this path of blocks is set and not yet taken.
    pub fn has_at(&self, path: &[&str]) -> bool {
        find(&self.table, path).is_some()
    }

    /// Puts a value at a path of blocks, over what is there; the blocks are made where they are missing.
    pub fn lay(&mut self, path: &[&str], place: Place, setting: Setting) {
        let Some((key, outer)) = path.split_last() else { return };
        let table = outer.iter().fold(&mut self.table, |table, key| inner(table, key, &place));
        let nodes = table.entry(spelled(table, key)).or_default();
        let text = |text: String| Node { place: place.clone(), value: Value::Text(text) };
        let value = match setting {
            Setting::Text(text) => Value::Text(text),
            Setting::Number(digits) => Value::Number(digits),
            Setting::Bool(value) => Value::Bool(value),
            Setting::Texts(texts) => Value::List(texts.into_iter().map(text).collect()),
        };
        *nodes = vec![Node { place, value }];
    }

    /// Takes some keys of the block at a path into a section of their own, which need not be asked for them all.
    #[must_use]
    pub fn part(&mut self, path: &[&str], keys: &[&str]) -> Section {
        let dotted = path.iter().fold(self.path.clone(), |path, key| {
            if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") }
        });
        let is_block = |node: &&Node| matches!(node.value, Value::Object(_) | Value::Block(None, _));
        let found = find(&self.table, path).filter(is_block).map(|node| node.place.clone());
        let (mut part, place) = (Table::new(), found.clone().unwrap_or_else(|| self.place.clone()));
        if found.is_some() || path.is_empty() {
            let table = path.iter().fold(&mut self.table, |table, key| inner(table, key, &place));
            let alike = |known: &String| keys.iter().any(|key| key.eq_ignore_ascii_case(known));
            let names: Vec<String> = table.keys().filter(|known| alike(known)).cloned().collect();
            part.extend(names.iter().filter_map(|name| table.remove_entry(name)));
        }
        Section::new(dotted, place, part)
    }

    /// Takes a key out unread; true when it was set.
    pub fn pass(&mut self, key: &str) -> bool {
        !self.remove(key).is_empty()
    }

    /// Merges a later section over this one, as a later file; the blocks named in `repeatable` are appended.
    pub fn merge(&mut self, later: Section, repeatable: &[&str]) {
        crate::tree::merge(&mut self.table, later.table, repeatable);
    }

    /// A string.
    pub fn string(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<String> {
        match self.take(key, mistakes)? {
            Value::Text(text) => Some(text),
            found => self.expected(key, "a string", &found.to_string(), mistakes),
        }
    }

    /// A string with a meaning of its own, such as an address.
    pub fn parsed<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
        mistakes: &mut Mistakes,
    ) -> Option<T> {
        let text = self.string(key, mistakes)?;
        parse(&text).map_err(|why| self.mistake(key, why, mistakes)).ok()
    }

    /// A string that is never shown, not even when it is wrong.
    pub fn secret(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<Secret> {
        match self.take(key, mistakes)? {
            Value::Text(text) => Some(Secret::new(text)),
            found => self.expected(key, "a string", found.kind(), mistakes),
        }
    }

    /// `true` or `false`.
    pub fn bool(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<bool> {
        match self.take(key, mistakes)? {
            Value::Bool(value) => Some(value),
            found => self.expected(key, "true or false", &found.to_string(), mistakes),
        }
    }

    /// A whole number within a range.
    pub fn integer(&mut self, key: &str, range: RangeInclusive<i64>, mistakes: &mut Mistakes) -> Option<i64> {
        let found = self.take(key, mistakes)?;
        let number = match &found {
            Value::Number(digits) => whole(digits).filter(|number| range.contains(number)),
            _ => None,
        };
        let expected = || match (*range.start(), *range.end()) {
            (i64::MIN, i64::MAX) => "a whole number".to_owned(),
            (start, i64::MAX) => format!("a whole number, {start} or more"),
            (start, end) => format!("a whole number from {start} to {end}"),
        };
        number.or_else(|| self.expected(key, &expected(), &found.to_string(), mistakes))
    }

    /// A duration with its unit, as Go writes it: `"1.5s"`, `"200ms"`, `"1m30s"`, `"0s"`.
    pub fn duration(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<Duration> {
        match self.take(key, mistakes)? {
            Value::Text(text) => parse_duration(&text).map_err(|why| self.mistake(key, why, mistakes)).ok(),
            // Nothing needs no unit.
            Value::Number(zero) if zero == "0" => Some(Duration::ZERO),
            found @ Value::Number(_) => {
                let found = format!("{found}; the units are ns, us, ms, s, m and h");
                self.expected(key, "a duration such as \"10s\"", &found, mistakes)
            }
            found => self.expected(key, "a duration such as \"10s\"", &found.to_string(), mistakes),
        }
    }

    /// A list of strings.
    pub fn strings(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<Vec<String>> {
        match self.take(key, mistakes)? {
            Value::List(nodes) => self.texts(key, nodes, mistakes),
            found => self.expected(key, "a list of strings", &found.to_string(), mistakes),
        }
    }

    /// A string, or a list of strings: a command as one line or as words.
    pub fn words(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<Vec<String>> {
        match self.take(key, mistakes)? {
            Value::Text(text) => Some(vec![text]),
            Value::List(nodes) => self.texts(key, nodes, mistakes),
            found => self.expected(key, "a string or a list of strings", &found.to_string(), mistakes),
        }
    }

    /// Names of the user's own choice with strings, such as `meta { rack = "7" }`.
    pub fn string_map(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<BTreeMap<String, String>> {
        let mut section = self.block(key, mistakes)?;
        let names: Vec<String> = section.table.keys().cloned().collect();
        let pairs = names.into_iter().map(|name| section.string(&name, mistakes).map(|text| (name, text)));
        Some(pairs.flatten().collect())
    }

    /// A block without a label; in JSON an object. Where it is there several times, all of them count.
    pub fn block(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<Section> {
        let mut found = self.blocks(key, false, mistakes).into_iter().map(|(_, section)| section);
        let mut first = found.next()?;
        for again in found {
            for (key, mut nodes) in again.table {
                first.table.entry(key).or_default().append(&mut nodes);
            }
        }
        Some(first)
    }

    /// A block with a label that may be there once, such as `probe "redis" {…}`; in JSON
    /// `"probe": {"redis": {…}}`.
    pub fn labelled_block(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<(String, Section)> {
        let mut found = self.blocks(key, true, mistakes).into_iter();
        let (label, section) = found.next()?;
        for (_, again) in found {
            let why =
                format!("may be there only once, and is there already in line {}", section.place.line());
            mistakes.note(again.place, self.path_of(key), why);
        }
        Some((label?, section))
    }

    /// A block that may be there many times: `service "redis" {…}`, or `template {…}` where `labelled` is
    /// false. JSON has an object or a list of objects, with the labels as keys.
    pub fn blocks(
        &mut self,
        key: &str,
        labelled: bool,
        mistakes: &mut Mistakes,
    ) -> Vec<(Option<String>, Section)> {
        let nodes = self.remove(key);
        let mut found = Vec::new();
        let path = self.path_of(key);
        nodes.into_iter().for_each(|node| unfold(node, &path, labelled, &mut found, mistakes));
        found
    }

    /// Says that every key left is unknown.
    pub fn finish(self, mistakes: &mut Mistakes) {
        let path_of = |key: &str| self.path_of(key);
        for (key, nodes) in &self.table {
            let why = match nearest(key, self.asked.keys().map(String::as_str)) {
                Some(meant) => format!("unknown key; did you mean {meant}?"),
                None => "unknown key".to_owned(),
            };
            nodes.iter().for_each(|node| mistakes.note(node.place.clone(), path_of(key), why.clone()));
        }
    }

    fn texts(&self, key: &str, nodes: Vec<Node>, mistakes: &mut Mistakes) -> Option<Vec<String>> {
        let path = self.path_of(key);
        let mut text = |(i, node): (usize, Node)| match node.value {
            Value::Text(text) => Some(text),
            Value::Wrong => None,
            found => {
                mistakes.note(
                    node.place,
                    format!("{path}[{i}]"),
                    format!("expected a string, found {found}"),
                );
                None
            }
        };
        // All elements are looked at before one that is wrong spoils the list.
        let texts: Vec<_> = nodes.into_iter().enumerate().map(&mut text).collect();
        texts.into_iter().collect()
    }

    /// The one value of a key, unless it is already known to be wrong.
    fn take(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<Value> {
        let mut nodes = self.remove(key).into_iter();
        let first = nodes.next()?;
        for again in nodes {
            let why = format!("is set twice, and already in line {}", first.place.line());
            mistakes.note(again.place, self.path_of(key), why);
        }
        (first.value != Value::Wrong).then_some(first.value)
    }

    /// Everything that is said of a key, in whatever case it is written.
    fn remove(&mut self, key: &str) -> Vec<Node> {
        let alike = |known: &String| known.eq_ignore_ascii_case(key);
        let names: Vec<String> = self.table.keys().filter(|known| alike(known)).cloned().collect();
        let nodes: Vec<Node> = names.iter().filter_map(|name| self.table.remove(name)).flatten().collect();
        let place = nodes.first().map(|node| node.place.clone());
        self.asked
            .entry(key.to_owned())
            .and_modify(|known| *known = known.take().or(place.clone()))
            .or_insert(place);
        nodes
    }

    fn expected<T>(&self, key: &str, expected: &str, found: &str, mistakes: &mut Mistakes) -> Option<T> {
        self.mistake(key, format!("expected {expected}, found {found}"), mistakes);
        None
    }
}

/// The key as the table spells it, in whatever case.
fn spelled(table: &Table, key: &str) -> String {
    table.keys().find(|known| known.eq_ignore_ascii_case(key)).cloned().unwrap_or_else(|| key.to_owned())
}

/// What stands at a path of blocks.
fn find<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Node> {
    let (key, deeper) = path.split_first()?;
    let nodes = table.get(&spelled(table, key))?;
    match (deeper, nodes.first()?) {
        ([], node) => Some(node),
        (_, _) => nodes.iter().find_map(|node| match &node.value {
            Value::Object(table) | Value::Block(None, table) => find(table, deeper),
            _ => None,
        }),
    }
}

/// The table of a block, which is made when there is none.
fn inner<'a>(table: &'a mut Table, key: &str, place: &Place) -> &'a mut Table {
    let nodes = table.entry(spelled(table, key)).or_default();
    let body = |node: &'a mut Node| match &mut node.value {
        Value::Object(table) | Value::Block(None, table) => Some(table),
        _ => None,
    };
    if !nodes.iter().any(|node| matches!(node.value, Value::Object(_) | Value::Block(None, _))) {
        *nodes = vec![Node { place: place.clone(), value: Value::Object(Table::new()) }];
    }
    nodes.iter_mut().find_map(body).expect("a block was there, or was made")
}

/// A whole number as Go writes it: `0x1f`, and `0640` in octal digits.
fn whole(digits: &str) -> Option<i64> {
    let (sign, bare) = digits.strip_prefix('-').map_or(("", digits), |bare| ("-", bare));
    let (bare, radix) = match bare.strip_prefix("0x").or(bare.strip_prefix("0X")) {
        Some(hexadecimal) => (hexadecimal, 16),
        None if bare.starts_with('0') && bare.len() > 1 => (&bare[1..], 8),
        None => (bare, 10),
    };
    bare.starts_with(char::is_alphanumeric)
        .then(|| i64::from_str_radix(&format!("{sign}{bare}"), radix).ok())?
}

/// Names only: a value may be a secret.
impl fmt::Debug for Section {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.table.keys().collect();
        out.debug_struct("Section").field("path", &self.path).field("keys", &keys).finish_non_exhaustive()
    }
}

/// Finds the blocks in a node: HCL has one in each, JSON may have lists and labels as keys.
fn unfold(
    node: Node,
    path: &str,
    labelled: bool,
    found: &mut Vec<(Option<String>, Section)>,
    mistakes: &mut Mistakes,
) {
    let Node { place, value } = node;
    let name = path.rsplit('.').next().unwrap_or(path);
    match value {
        Value::Wrong => {}
        Value::List(nodes) => {
            nodes.into_iter().for_each(|node| unfold(node, path, labelled, found, mistakes))
        }
        Value::Block(Some(label), table) if labelled => {
            let section = Section::new(format!("{path}.{label}"), place, table);
            found.push((Some(label), section));
        }
        Value::Block(None, table) | Value::Object(table) if !labelled => {
            found.push((None, Section::new(path.to_owned(), place, table)));
        }
        Value::Object(table) => {
            for (label, nodes) in table {
                let inner = format!("{path}.{label}");
                let mut bodies = Vec::new();
                nodes.into_iter().for_each(|node| unfold(node, &inner, false, &mut bodies, mistakes));
                found.extend(bodies.into_iter().map(|(_, body)| (Some(label.clone()), body)));
            }
        }
        Value::Block(None, _) => {
            mistakes.note(place, path, format!("needs a label: {name} \"NAME\" {{ … }}"))
        }
        Value::Block(Some(_), _) => mistakes.note(place, path, format!("has no label: {name} {{ … }}")),
        other => mistakes.note(place, path, format!("expected a block, found {other}")),
    }
}

#[cfg(test)]
mod tests;
