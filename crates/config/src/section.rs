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
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn strings_of_every_form() {
        for (file, text, wanted) in [
            ("hcl", "a = \"x\\n\\\"y\\\"\"", "x\n\"y\""),
            ("hcl", "a = \"${x} %{y} $5 100%\"", "${x} %{y} $5 100%"),
            ("hcl", "a = <<EOT\none\n  two ${x}\nEOT\n", "one\n  two ${x}\n"),
            ("hcl", "b {\n  a = <<-EOT\n    one\n      two\n    EOT\n}\na = \"after\"", "after"),
            ("a.json", r#"{"a": "x\n${y}\u00e9"}"#, "x\n${y}é"),
        ] {
            let mut mistakes = Mistakes::default();
            let found = parse(file, text, &mut mistakes).string("a", &mut mistakes);
            assert_eq!(found.as_deref(), Some(wanted), "{mistakes}");
        }
    }

    #[test]
    fn numbers_in_and_out_of_range() {
        for (text, wanted) in [
            ("a = 5", Ok(5)),
            ("a = -5", Ok(-5)),
            ("a = 0x1f", Ok(31)),
            ("a = 0077", Ok(63)),
            ("a = 0", Ok(0)),
            ("a = 09", Err("a whole number from -5 to 100, found the number 09")),
            ("a = 0xg", Err("a whole number from -5 to 100, found the number 0xg")),
            ("a = 101", Err("a whole number from -5 to 100, found the number 101")),
            ("a = 1.5", Err("a whole number from -5 to 100, found the number 1.5")),
            ("a = \"5\"", Err("a whole number from -5 to 100, found the string \"5\"")),
            ("a {}", Err("a whole number from -5 to 100, found a block")),
        ] {
            let mut mistakes = Mistakes::default();
            let found = parse("hcl", text, &mut mistakes).integer("a", -5..=100, &mut mistakes);
            let wanted = wanted.map_err(|why| format!("hcl:1: a: expected {why}"));
            assert_eq!(found.ok_or_else(|| mistakes.to_string()), wanted);
        }
    }

    #[test]
    fn only_nothing_is_a_duration_without_a_unit() {
        for (text, wanted) in [
            ("a = 0", Ok(Duration::ZERO)),
            ("a = \"0\"", Ok(Duration::ZERO)),
            ("a = \"5s\"", Ok(Duration::from_secs(5))),
            ("a = 5", Err("found the number 5; the units are ns, us, ms, s, m and h")),
        ] {
            let mut mistakes = Mistakes::default();
            let found = parse("hcl", text, &mut mistakes).duration("a", &mut mistakes);
            let wanted =
                wanted.map_err(|why| format!("hcl:1: a: expected a duration such as \"10s\", {why}"));
            assert_eq!(found.ok_or_else(|| mistakes.to_string()), wanted, "{text}");
        }
    }

    #[test]
    fn blocks_with_and_without_labels() {
        for (file, text, labelled, wanted) in [
            ("hcl", "s \"a\" {}\ns b {}", true, "a b"),
            ("hcl", "s = { a = {}, b = {} }", true, "a b"),
            ("hcl", "s {}\ns {}", false, "- -"),
            ("a.json", r#"{"s": {"a": {}, "b": {}}}"#, true, "a b"),
            ("a.json", r#"{"s": [{"a": {}}, {"b": {}}]}"#, true, "a b"),
            ("a.json", r#"{"s": {"a": [{}, {}]}}"#, true, "a a"),
            ("a.json", r#"{"s": [{}, {}]}"#, false, "- -"),
            ("a.json", r#"{"s": {}}"#, false, "-"),
            ("hcl", "s {}", true, "hcl:1: s: needs a label: s \"NAME\" { … }"),
            ("hcl", "s \"a\" \"b\" {}", true, "hcl:1: s.a.b: a block has at most one label"),
            ("hcl", "s \"a\" {}", false, "hcl:1: s: has no label: s { … }"),
            ("a.json", r#"{"s": {"a": 1}}"#, true, "a.json:1: s.a: expected a block, found the number 1"),
        ] {
            let mut mistakes = Mistakes::default();
            let found = parse(file, text, &mut mistakes).blocks("s", labelled, &mut mistakes);
            let labels: Vec<_> = found.iter().map(|(label, _)| label.as_deref().unwrap_or("-")).collect();
            let shown = if mistakes.is_empty() { labels.join(" ") } else { mistakes.to_string() };
            assert_eq!(shown, wanted, "{text}");
        }
    }

    #[test]
    fn a_block_may_be_said_in_parts_and_a_key_in_any_case() {
        for (file, text, wanted) in [
            ("f", "b { x = 1 }\nb { Y = 2 }", ""),
            ("f.json", r#"{"b": [{"x": 1}, {"Y": 2}]}"#, ""),
            ("f", "b { x = 1, y = 2 }\nb { y = 3 }", "f:2: b.y: is set twice, and already in line 1"),
        ] {
            let mut mistakes = Mistakes::default();
            let mut block = parse(file, text, &mut mistakes).block("b", &mut mistakes).unwrap();
            let (x, y) = (block.integer("x", 0..=9, &mut mistakes), block.integer("y", 0..=9, &mut mistakes));
            block.finish(&mut mistakes);
            assert_eq!((x, y, mistakes.to_string()), (Some(1), Some(2), wanted.to_owned()));
        }
    }

    #[test]
    fn what_is_laid_goes_before_what_is_there() {
        let mut mistakes = Mistakes::default();
        let mut top = parse("f", "a {\n b { c = 1 }\n D = [\"x\"]\n}\nw = \"1s\"", &mut mistakes);
        let flag = Place::of("--flag");
        assert!(top.has_at(&["a", "b", "c"]) && top.has_at(&["a", "d"]) && !top.has_at(&["a", "c"]));
        top.lay(&["a", "b", "c"], flag.clone(), Setting::Number("12".into()));
        top.lay(&["a", "d"], flag.clone(), Setting::Texts(vec!["y".into()]));
        top.lay(&["w", "min"], flag.clone(), Setting::Text("2s".into()));
        top.lay(&["e"], flag, Setting::Bool(true));
        let mut part = top.part(&["a", "b"], &["c", "absent"]);
        part.integer("c", 0..=9, &mut mistakes);
        assert!(!top.has_at(&["a", "b", "c"]));
        let mut here = top.part(&[], &["A", "x"]);
        assert!(here.pass("a") && !here.pass("x") && !top.has("a"));
        let mut other = parse("f", "a = true", &mut Mistakes::default());
        assert!(!other.part(&["a"], &["b"]).has("b") && other.has("a"), "what is no block is left alone");
        top.lay(&["a", "d"], Place::of("--again"), Setting::Texts(vec!["y".into()]));
        assert_eq!(top.block("a", &mut mistakes).unwrap().strings("d", &mut mistakes).unwrap(), ["y"]);
        let min = top.block("w", &mut mistakes).unwrap().duration("min", &mut mistakes);
        assert_eq!((min, top.bool("e", &mut mistakes)), (Some(Duration::from_secs(2)), Some(true)));
        let wanted = "--flag: a.b.c: expected a whole number from 0 to 9, found the number 12";
        assert_eq!(mistakes.to_string(), wanted);
    }

    proptest::proptest! {
        /// Any text is read or refused: no panic, no hang, no mistake without a place in it.
        #[test]
        fn any_text_is_read_or_refused(text in "([a-c]{1,2}|[ \n=:,{}\\[\\]\"$<#/*\\\\-]|<<-?E\n|\nE\n|0x?[0-9]|true|\\PC){0,60}") {
            for name in ["f", "f.json"] {
                let mut mistakes = Mistakes::default();
                let mut section = parse(name, &text, &mut mistakes);
                section.block("a", &mut mistakes);
                section.strings("b", &mut mistakes);
                section.finish(&mut mistakes);
                let lines = text.matches('\n').count() + 1;
                assert!(mistakes.iter().all(|mistake| mistake.place.line() <= lines));
            }
        }
    }

    #[test]
    fn braces_and_brackets_have_a_limit() {
        for text in ["a {".repeat(100_000), format!("a = {}", "[".repeat(100_000)), "{\"a\":".repeat(100_000)]
        {
            let mut mistakes = Mistakes::default();
            parse("f", &text, &mut mistakes);
            assert_eq!(mistakes.iter().count(), 1);
        }
    }

    #[test]
    fn own_mistakes_stand_where_the_key_is_or_would_be() {
        let mut mistakes = Mistakes::default();
        let mut top = parse("f", "b {\n\n  c = 1\n}\n", &mut mistakes);
        let mut block = top.block("b", &mut mistakes).unwrap();
        assert_eq!(format!("{block:?}"), r#"Section { path: "b", keys: ["c"], .. }"#);
        block.integer("c", 0..=9, &mut mistakes);
        block.mistake("c", "is odd", &mut mistakes);
        block.mistake("d", "is missing", &mut mistakes);
        top.mistake("e", "is missing", &mut mistakes);
        assert_eq!(mistakes.to_string(), "f: e: is missing\nf:1: b.d: is missing\nf:3: b.c: is odd");
    }
}
