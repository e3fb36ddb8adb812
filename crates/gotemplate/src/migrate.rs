//! A Go template as Handlebars: the same bytes from the same answers, where Handlebars has a way to say it. What it has
//! none for is named with its place.

mod expression;
mod pieces;

use crate::{
    quote::quote,
    tree::{Branch, Call, Command, Node, Operand, Pipe, Trees, Word},
    value::Value,
};
use expression::{Scope, bare, json};
use pieces::{Pieces, Style};
use std::collections::BTreeSet;

/// A template in the other language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// The text.
    pub text: String,
    /// What could not be said, and where: a comment stands there in its place.
    pub gaps: Vec<Gap>,
}

/// Something that Handlebars has no way to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What it is.
    pub what: String,
}

/// Why there is no way: where, and what.
type NoWay = (usize, String);

struct Migration<'t> {
    trees: &'t Trees,
    template: String,
    scope: Scope<'t>,
    /// Variables that are assigned to: no parameter can be.
    assigned: BTreeSet<String>,
    pieces: Pieces,
    gaps: Vec<Gap>,
}

/// Says a template, with those defined in its file, in Handlebars.
pub(crate) fn migrate(trees: &Trees, functions: &dyn Fn(&str) -> bool) -> Migrated {
    let mut migration = Migration {
        trees,
        template: String::new(),
        scope: Scope::new(functions),
        assigned: BTreeSet::new(),
        pieces: Pieces::default(),
        gaps: vec![],
    };
    for (name, nodes) in trees.named.iter().filter(|(name, _)| !trees.foreign.contains_key(*name)) {
        find_assigned(nodes, &mut migration.assigned);
        if !name.is_empty() {
            migration.template.clone_from(name);
            migration.pieces.block(format!("{{{{#*inline {}}}}}", json(name)));
            migration.nodes(nodes);
            migration.pieces.block("{{/inline}}".into());
        }
    }
    migration.template.clear();
    if let Some(nodes) = trees.named.get("") {
        migration.nodes(nodes);
    }
    let mut gaps = migration.gaps;
    gaps.sort_by_key(|gap| (gap.line, gap.column));
    Migrated { text: migration.pieces.assemble(), gaps }
}

fn find_assigned(nodes: &[Node], found: &mut BTreeSet<String>) {
    for node in nodes {
        match node {
            Node::Action(pipe) if pipe.assigns => found.extend(pipe.declared.iter().cloned()),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                if branch.pipe.assigns {
                    found.extend(branch.pipe.declared.iter().cloned());
                }
                find_assigned(&branch.then, found);
                find_assigned(&branch.otherwise, found);
            }
            _ => {}
        }
    }
}

impl Migration<'_> {
    fn gap(&mut self, (at, what): NoWay) {
        let (_, line, column) = self.trees.place(&self.template, at);
        let comment = format!("{{{{!-- line {line}: no way to say this in Handlebars --}}}}");
        self.gaps.push(Gap { line, column: column + 1, what });
        self.pieces.block(comment);
    }

    /// Some nodes, in a scope of their own.
    fn nodes(&mut self, nodes: &[Node]) {
        let depth = self.scope.depth();
        let mut turned = false;
        for (n, node) in nodes.iter().enumerate() {
            let was_turned = std::mem::take(&mut turned);
            let mut styled = |style: Style| turned = style == Style::Turned;
            let done = match node {
                Node::Text(text) => {
                    self.pieces.text(text.strip_prefix('\n').filter(|_| was_turned).unwrap_or(text));
                    Ok(())
                }
                Node::Action(pipe) => self.action(pipe),
                Node::If(branch) => self.branch("if", branch, nodes.get(n + 1)).map(&mut styled),
                Node::With(branch) => self.branch("with", branch, nodes.get(n + 1)).map(&mut styled),
                Node::Range(branch) => self.branch("each", branch, nodes.get(n + 1)).map(&mut styled),
                Node::Template(call) => self.call(call),
                Node::Break | Node::Continue => Err((0, "break and continue".into())),
            };
            if let Err(why) = done {
                self.gap(why);
            }
        }
        self.scope.back(depth);
    }

    fn action(&mut self, pipe: &Pipe) -> Result<(), NoWay> {
        if let [name] = pipe.declared.as_slice() {
            let value = self.scope.pipe(pipe)?;
            let kept = self.scope.set(name, pipe.assigns);
            self.pieces.value(format!("scratch \"Set\" {} {value}", json(&kept)));
            return Ok(());
        }
        // `or` gives one of its values in Go, and true or false in Handlebars.
        if let [command] = pipe.commands.as_slice()
            && let [first, one, other] = command.words.as_slice()
            && matches!(&first.kind, Operand::Function(function) if function.name == "or")
        {
            let (one, other) = (self.scope.word(one)?, self.scope.word(other)?);
            self.pieces.block(format!("{{{{#if {one}}}}}"));
            self.pieces.value(bare(&one));
            self.pieces.block("{{else}}".into());
            self.pieces.value(bare(&other));
            self.pieces.block("{{/if}}".into());
            return Ok(());
        }
        let value = self.scope.pipe(pipe)?;
        match literal(pipe) {
            // A literal alone is a name to Handlebars.
            Some(_) => self.pieces.value(format!("print {value}")),
            None => self.pieces.value(bare(&value)),
        }
        Ok(())
    }

    fn branch(&mut self, word: &str, branch: &Branch, next: Option<&Node>) -> Result<Style, NoWay> {
        let depth = self.scope.depth();
        let (open, close) = self.opening(word, branch)?;
        let style = self.style(branch, next);
        // A key that a map lacks skips the block in Go, and is a mistake in a Handlebars block other than `if`.
        let guard = field(&branch.pipe).filter(|_| close != "if").map(|names| self.scope.field(names));
        if let Some(path) = &guard {
            self.pieces.tag(style, format!("{{{{#if {path}}}}}"));
            self.pieces.within(style, open);
        } else {
            self.pieces.tag(style, open);
        }
        self.body(style, &branch.then);
        self.scope.back(depth);
        if guard.is_some() {
            self.pieces.within(style, format!("{{{{/{close}}}}}"));
        }
        if !branch.otherwise.is_empty() {
            self.pieces.tag(style, "{{else}}".into());
            self.body(style, &branch.otherwise);
        }
        self.pieces.tag(style, format!("{{{{/{}}}}}", if guard.is_some() { "if" } else { close }));
        Ok(style)
    }

    /// The opening tag of a block, and the word of the closing one. What it declares is known from then on.
    fn opening(&mut self, word: &str, branch: &Branch) -> Result<(String, &'static str), NoWay> {
        let pipe = &branch.pipe;
        if find_break(&branch.then) {
            return Err((pipe.at, "a loop that is left or continued by break or continue".into()));
        }
        let declares = !pipe.declared.is_empty();
        if pipe.assigns || (declares && word == "if") {
            return Err((pipe.at, format!("a variable that {{{{{word} …}}}} gives a value to")));
        }
        if let Some(name) = pipe.declared.iter().find(|name| self.assigned.contains(*name)) {
            return Err((pipe.at, format!("{name} is declared by a block and assigned to in it")));
        }
        let mut value = self.scope.pipe(pipe)?;
        if matches!(literal(pipe), Some(Value::Int(..) | Value::Uint(..))) && word == "each" {
            value = format!("(loop {value})");
        }
        let params = match pipe.declared.as_slice() {
            [] => String::new(),
            [one] => format!(" as |{}|", self.scope.param(one)),
            [key, item, ..] => {
                let (item, key) = (self.scope.param(item), self.scope.param(key));
                format!(" as |{item} {key}|")
            }
        };
        let close = match word {
            "if" => "if",
            "with" => "with",
            _ => "each",
        };
        Ok((format!("{{{{#{word} {value}{params}}}}}"), close))
    }

    fn call(&mut self, call: &Call) -> Result<(), NoWay> {
        let value = match &call.pipe {
            Some(pipe) => self.scope.pipe(pipe)?,
            None => String::new(),
        };
        let context = if value.is_empty() || value == "this" { String::new() } else { format!(" {value}") };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.');
        if call.name.is_empty() || !call.name.chars().all(plain) {
            return Err((call.at, format!("a template of the name {}", quote(&call.name, false))));
        }
        self.pieces.block(format!("{{{{> {}{context}}}}}", call.name));
        Ok(())
    }

    /// How a block's tags stand in the text.
    fn style(&self, branch: &Branch, next: Option<&Node>) -> Style {
        let bodies =
            || std::iter::once(&branch.then).chain(Some(&branch.otherwise).filter(|body| !body.is_empty()));
        let begins = |node: Option<&Node>| matches!(node, Some(Node::Text(text)) if text.starts_with('\n'));
        let ends = |node: Option<&Node>| matches!(node, Some(Node::Text(text)) if text.ends_with('\n'));
        if begins(next) && bodies().all(|body| begins(body.first())) {
            Style::Turned
        } else if self.pieces.is_at_line_start() && bodies().all(|body| ends(body.last())) {
            Style::Lines
        } else {
            Style::Inline
        }
    }

    fn body(&mut self, style: Style, nodes: &[Node]) {
        let from = self.pieces.count();
        self.nodes(nodes);
        if style == Style::Turned {
            self.pieces.strip_line_end(from);
        }
    }
}

fn find_break(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| match node {
        Node::Break | Node::Continue => true,
        Node::If(branch) | Node::With(branch) => find_break(&branch.then) || find_break(&branch.otherwise),
        _ => false,
    })
}

/// The path, if a pipe is one below the dot.
fn field(pipe: &Pipe) -> Option<&[String]> {
    match pipe.commands.as_slice() {
        [Command { words, .. }] => match words.as_slice() {
            [Word { kind: Operand::Field(names), .. }] if names.len() > 1 => Some(names),
            _ => None,
        },
        _ => None,
    }
}

fn literal(pipe: &Pipe) -> Option<&Value> {
    match pipe.commands.as_slice() {
        [Command { words, .. }] => match words.as_slice() {
            [Word { kind: Operand::Literal(_, value), .. }] => Some(value),
            _ => None,
        },
        _ => None,
    }
}
