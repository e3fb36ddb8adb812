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
        self.table.contains_key(key)
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
            Value::Number(digits) => digits.parse().ok().filter(|number| range.contains(number)),
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

    /// A block without a label that may be there once; in JSON an object.
    pub fn block(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<Section> {
        self.only(key, false, mistakes).map(|(_, section)| section)
    }

    /// A block with a label that may be there once, such as `probe "redis" {…}`; in JSON
    /// `"probe": {"redis": {…}}`.
    pub fn labelled_block(&mut self, key: &str, mistakes: &mut Mistakes) -> Option<(String, Section)> {
        let (label, section) = self.only(key, true, mistakes)?;
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

    fn only(
        &mut self,
        key: &str,
        labelled: bool,
        mistakes: &mut Mistakes,
    ) -> Option<(Option<String>, Section)> {
        let mut found = self.blocks(key, labelled, mistakes).into_iter();
        let first = found.next()?;
        for (_, again) in found {
            let why =
                format!("may be there only once, and is there already in line {}", first.1.place.line());
            mistakes.note(again.place, self.path_of(key), why);
        }
        Some(first)
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

    fn remove(&mut self, key: &str) -> Vec<Node> {
        let nodes = self.table.remove(key).unwrap_or_default();
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
            ("hcl", "a = \"$${x} %%{y} $5 100%\"", "${x} %{y} $5 100%"),
            ("hcl", "a = <<EOT\none\n  two $${x}\nEOT\n", "one\n  two ${x}\n"),
            ("hcl", "b {\n  a = <<-EOT\n    one\n      two\n    EOT\n}\na = \"after\"", "after"),
            ("a.json", r#"{"a": "x\n${y}\u00e9"}"#, "x\n${y}é"),
        ] {
            let mut mistakes = Mistakes::default();
            let found = parse(file, text, &mut mistakes).string("a", &mut mistakes);
            assert_eq!(found.as_deref(), Some(wanted), "{mistakes}");
        }
    }

    #[test]
    fn values_that_are_not_literals_are_refused() {
        for (text, wanted) in [
            ("a = \"${x}\"", "no variables;"),
            ("a = <<EOT\n%{ if x }y%{ endif }\nEOT\n", "no variables;"),
            ("a = info", "no variables or functions"),
            ("a = env(\"X\")", "no variables or functions"),
            ("a = 1 + 2", "no variables or functions"),
            ("a = [\"b\", c]", "no variables or functions"),
            ("a \"b\" \"c\" {}", "at most one label"),
        ] {
            let mut mistakes = Mistakes::default();
            let mut section = parse("hcl", text, &mut mistakes);
            assert_eq!(section.string("a", &mut mistakes), None);
            let shown = mistakes.to_string();
            assert!(shown.lines().next().unwrap().contains(wanted), "{text}: {shown}");
        }
    }

    #[test]
    fn numbers_in_and_out_of_range() {
        for (text, wanted) in [
            ("a = 5", Ok(5)),
            ("a = -5", Ok(-5)),
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
