//! The located tree that HCL and JSON are read into, and how two files become one.

use crate::Place;
use std::{collections::BTreeMap, fmt};

/// Keys with everything one file says about them: a block may appear many times, a value may not.
pub(crate) type Table = BTreeMap<String, Vec<Node>>;

/// A value and where it is; in a [`Table`] the place is that of its key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// `{…}` after an equals sign or a colon.
    Object(Table),
    /// HCL's `key "label" {…}`.
    Block(Option<String>, Table),
    /// Already reported; whoever asks for it gets nothing and says nothing.
    Wrong,
}

impl Value {
    /// What it is, without what it says.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
            Value::Block(..) => "a block",
            Value::Wrong => "nothing",
        }
    }
}

/// What it is and, where that is short, what it says.
impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(out, "the boolean {value}"),
            Value::Number(digits) => write!(out, "the number {digits}"),
            Value::Text(text) if text.len() <= 60 => write!(out, "the string {text:?}"),
            _ => out.write_str(self.kind()),
        }
    }
}

/// Adds a later file: its values replace, its blocks merge, and blocks named in `repeatable` are appended.
/// A key that one file sets twice keeps both, so that the one who asks for it finds the mistake.
pub(crate) fn merge(into: &mut Table, later: Table, repeatable: &[&str]) {
    for (key, mut nodes) in later {
        let known = into.entry(key.clone()).or_default();
        if repeatable.contains(&key.as_str()) || known.len() > 1 || nodes.len() > 1 {
            known.append(&mut nodes);
            continue;
        }
        for node in nodes {
            match (known.first_mut().map(|known| &mut known.value), node.value) {
                (
                    Some(Value::Object(table) | Value::Block(None, table)),
                    Value::Object(later) | Value::Block(None, later),
                ) => merge(table, later, &[]),
                (_, value) => *known = vec![Node { place: node.place, value }],
            }
        }
    }
}
