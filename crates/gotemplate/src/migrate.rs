//! A Go template as Handlebars: the same bytes from the same answers, where Handlebars has a way to say it. What it has
//! none for is named with its place.

use crate::{
    quote::quote,
    tree::{Branch, Call, Command, Node, Operand, Pipe, Trees, Word},
    value::Value,
};
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

/// A piece of the new text.
#[derive(Debug)]
enum Piece {
    Text(String),
    /// Prints something, or nothing.
    Value(String),
    /// A tag that leaves no line behind where it stands alone.
    Block(String),
    /// The same, that shall stand alone on its line.
    Alone(String),
}

/// How a variable is written.
#[derive(Clone, Debug)]
enum Variable {
    /// A parameter of the block around it.
    Param(String),
    /// Kept in the scratch pad.
    Kept(String),
}

/// Why there is no way: where, and what.
type NoWay = (usize, String);

struct Migration<'t> {
    trees: &'t Trees,
    template: String,
    variables: Vec<(String, Variable)>,
    /// Variables that are assigned to: no parameter can be.
    assigned: BTreeSet<String>,
    kept: usize,
    pieces: Vec<Piece>,
    gaps: Vec<Gap>,
    /// Names that are functions.
    functions: &'t dyn Fn(&str) -> bool,
}

/// Functions of the language that Handlebars has under the same name or another.
const RENAMED: [(&str, &str); 2] = [("le", "lte"), ("ge", "gte")];

/// Says a template, with those defined in its file, in Handlebars.
pub(crate) fn migrate(trees: &Trees, functions: &dyn Fn(&str) -> bool) -> Migrated {
    let mut migration = Migration {
        trees,
        template: String::new(),
        variables: vec![],
        assigned: BTreeSet::new(),
        kept: 0,
        pieces: vec![],
        gaps: vec![],
        functions,
    };
    for (name, nodes) in trees.named.iter().filter(|(name, _)| !trees.foreign.contains_key(*name)) {
        find_assigned(nodes, &mut migration.assigned);
        if !name.is_empty() {
            migration.template.clone_from(name);
            migration.pieces.push(Piece::Block(format!("{{{{#*inline {}}}}}", json(name))));
            migration.nodes(nodes);
            migration.pieces.push(Piece::Block("{{/inline}}".into()));
        }
    }
    migration.template.clear();
    if let Some(nodes) = trees.named.get("") {
        migration.nodes(nodes);
    }
    let mut gaps = migration.gaps;
    gaps.sort_by_key(|gap| (gap.line, gap.column));
    Migrated { text: assemble(&migration.pieces), gaps }
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
    fn text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(before)) => before.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    fn value(&mut self, text: String) {
        self.pieces.push(Piece::Value(format!("{{{{{text}}}}}")));
    }

    fn gap(&mut self, (at, what): NoWay) {
        let (_, line, column) = self.trees.place(&self.template, at);
        let comment = format!("{{{{!-- line {line}: no way to say this in Handlebars --}}}}");
        self.gaps.push(Gap { line, column: column + 1, what });
        self.pieces.push(Piece::Block(comment));
    }

    /// Some nodes, in a scope of their own.
    fn nodes(&mut self, nodes: &[Node]) {
        let scope = self.variables.len();
        let mut turned = false;
        for (n, node) in nodes.iter().enumerate() {
            let was_turned = std::mem::take(&mut turned);
            let mut styled = |style: Style| turned = style == Style::Turned;
            let done = match node {
                Node::Text(text) => {
                    self.text(text.strip_prefix('\n').filter(|_| was_turned).unwrap_or(text));
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
        self.variables.truncate(scope);
    }

    fn action(&mut self, pipe: &Pipe) -> Result<(), NoWay> {
        if let [name] = pipe.declared.as_slice() {
            let value = self.pipe(pipe)?;
            let kept = match self.variables.iter().rev().find(|(known, _)| known == name) {
                Some((_, Variable::Kept(kept))) if pipe.assigns => kept.clone(),
                _ => self.keep(name),
            };
            self.value(format!("scratch \"Set\" {} {value}", json(&kept)));
            return Ok(());
        }
        // `or` gives one of its values in Go, and true or false in Handlebars.
        if let [command] = pipe.commands.as_slice()
            && let [first, one, other] = command.words.as_slice()
            && matches!(&first.kind, Operand::Function(function) if function.name == "or")
        {
            let (one, other) = (self.word(one)?, self.word(other)?);
            self.pieces.push(Piece::Block(format!("{{{{#if {one}}}}}")));
            self.value(bare(&one));
            self.pieces.push(Piece::Block("{{else}}".into()));
            self.value(bare(&other));
            self.pieces.push(Piece::Block("{{/if}}".into()));
            return Ok(());
        }
        let value = self.pipe(pipe)?;
        match literal(pipe) {
            // A literal alone is a name to Handlebars.
            Some(_) => self.value(format!("print {value}")),
            None => self.value(bare(&value)),
        }
        Ok(())
    }

    /// Keeps a new variable in the scratch pad.
    fn keep(&mut self, name: &str) -> String {
        self.kept += 1;
        let plain = name.trim_start_matches('$');
        let is_taken =
            self.variables.iter().any(|(_, known)| matches!(known, Variable::Kept(kept) if kept == plain));
        let kept = if is_taken { format!("{plain}-{}", self.kept) } else { plain.to_owned() };
        self.variables.push((name.to_owned(), Variable::Kept(kept.clone())));
        kept
    }

    fn branch(&mut self, word: &str, branch: &Branch, next: Option<&Node>) -> Result<Style, NoWay> {
        let scope = self.variables.len();
        let (open, close) = self.opening(word, branch)?;
        let style = self.style(branch, next);
        // A key that a map lacks skips the block in Go, and is a mistake in a Handlebars block other than `if`.
        let guard = field(&branch.pipe).filter(|_| close != "if").map(|names| self.field(names));
        if let Some(path) = &guard {
            self.tag(style, format!("{{{{#if {path}}}}}"));
            self.pieces.push(within(style, open));
        } else {
            self.tag(style, open);
        }
        self.body(style, &branch.then);
        self.variables.truncate(scope);
        if guard.is_some() {
            self.pieces.push(within(style, format!("{{{{/{close}}}}}")));
        }
        if !branch.otherwise.is_empty() {
            self.tag(style, "{{else}}".into());
            self.body(style, &branch.otherwise);
        }
        self.tag(style, format!("{{{{/{}}}}}", if guard.is_some() { "if" } else { close }));
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
        let mut value = self.pipe(pipe)?;
        if matches!(literal(pipe), Some(Value::Int(..) | Value::Uint(..))) && word == "each" {
            value = format!("(loop {value})");
        }
        let params = match pipe.declared.as_slice() {
            [] => String::new(),
            [one] => format!(" as |{}|", self.param(one)),
            [key, item, ..] => {
                let (item, key) = (self.param(item), self.param(key));
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

    fn param(&mut self, name: &str) -> String {
        let plain = name.trim_start_matches('$');
        let plain = if (self.functions)(plain) { format!("{plain}_") } else { plain.to_owned() };
        self.variables.push((name.to_owned(), Variable::Param(plain.clone())));
        plain
    }

    fn call(&mut self, call: &Call) -> Result<(), NoWay> {
        let value = match &call.pipe {
            Some(pipe) => self.pipe(pipe)?,
            None => String::new(),
        };
        let context = if value.is_empty() || value == "this" { String::new() } else { format!(" {value}") };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.');
        if call.name.is_empty() || !call.name.chars().all(plain) {
            return Err((call.at, format!("a template of the name {}", quote(&call.name, false))));
        }
        self.pieces.push(Piece::Block(format!("{{{{> {}{context}}}}}", call.name)));
        Ok(())
    }

    fn pipe(&self, pipe: &Pipe) -> Result<String, NoWay> {
        let mut value: Option<String> = None;
        for command in &pipe.commands {
            value = Some(self.command(command, value)?);
        }
        value.ok_or_else(|| (pipe.at, "an empty pipe".into()))
    }

    /// A command with what comes through the pipe as its last argument.
    fn command(&self, command: &Command, last: Option<String>) -> Result<String, NoWay> {
        let Some((first, rest)) = command.words.split_first() else {
            return Err((command.at, "an empty command".into()));
        };
        let mut arguments = rest.iter().map(|word| self.word(word)).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(last);
        match &first.kind {
            Operand::Function(function) => self.function(first.at, function.name, arguments),
            Operand::Field(names) if !arguments.is_empty() => self.method(first.at, None, names, arguments),
            Operand::Variable(names) if !arguments.is_empty() => {
                let of = self.variable(first.at, names.first().map_or("", String::as_str))?;
                self.method(first.at, Some(of), names.get(1..).unwrap_or_default(), arguments)
            }
            Operand::Chain(of, names) if is_scratch(of) => {
                let [name] = names.as_slice() else { return self.word(first) };
                Ok(called("scratch", std::iter::once(json(name)).chain(arguments)))
            }
            _ if !arguments.is_empty() => Err((first.at, format!("a call of {first}"))),
            _ => self.word(first),
        }
    }

    fn function(&self, at: usize, name: &str, arguments: Vec<String>) -> Result<String, NoWay> {
        match (name, arguments.as_slice()) {
            ("executeTemplate", _) => Err((at, "executeTemplate, whose text is used as a value".into())),
            ("call", _) => Err((at, "call".into())),
            ("eq", [of, one, more @ ..]) if !more.is_empty() => {
                let each = std::iter::once(one).chain(more).map(|other| format!("(eq {of} {other})"));
                Ok(called("or", each))
            }
            _ => {
                let renamed = RENAMED.iter().find(|(known, _)| *known == name);
                Ok(called(renamed.map_or(name, |(_, other)| other), arguments))
            }
        }
    }

    fn method(
        &self,
        at: usize,
        of: Option<String>,
        names: &[String],
        arguments: Vec<String>,
    ) -> Result<String, NoWay> {
        match names.split_last() {
            Some((last, path)) if last == "Contains" => {
                let of = match of {
                    Some(of) => lookup(of, path),
                    None => self.field(path),
                };
                Ok(called("contains", arguments.into_iter().chain([of])))
            }
            _ => Err((at, format!("the method .{}", names.join(".")))),
        }
    }

    fn word(&self, word: &Word) -> Result<String, NoWay> {
        match &word.kind {
            Operand::Dot => Ok("this".into()),
            Operand::Nil => Ok("null".into()),
            Operand::Literal(text, value) => match value {
                Value::Str(text) => Ok(json(text)),
                Value::Bool(_) => Ok(text.to_string()),
                Value::Int(_, n) => Ok(n.to_string()),
                Value::Float(n) => Ok(n.to_string()),
                _ => Err((word.at, format!("the literal {text}"))),
            },
            Operand::Field(names) => Ok(self.field(names)),
            Operand::Variable(names) => match names.split_first() {
                Some((name, path)) => Ok(lookup(self.variable(word.at, name)?, path)),
                None => Err((word.at, "a variable".into())),
            },
            Operand::Function(function) => self.function(word.at, function.name, vec![]),
            Operand::Chain(of, names) => Ok(lookup(self.word(of)?, names)),
            Operand::Pipe(pipe) => self.pipe(pipe),
        }
    }

    fn variable(&self, at: usize, name: &str) -> Result<String, NoWay> {
        match self.variables.iter().rev().find(|(known, _)| known == name) {
            Some((_, Variable::Param(param))) => Ok(param.clone()),
            Some((_, Variable::Kept(kept))) => Ok(format!("(scratch \"Get\" {})", json(kept))),
            None => Err((at, format!("the variable {name}"))),
        }
    }

    /// A path from the dot; one that looks like a function says that it is none.
    fn field(&self, names: &[String]) -> String {
        match names {
            [] => "this".into(),
            [name] if (self.functions)(name) => format!("this.{name}"),
            names => names.join("."),
        }
    }

    /// How a block's tags stand in the text.
    fn style(&self, branch: &Branch, next: Option<&Node>) -> Style {
        let bodies =
            || std::iter::once(&branch.then).chain(Some(&branch.otherwise).filter(|body| !body.is_empty()));
        let begins = |node: Option<&Node>| matches!(node, Some(Node::Text(text)) if text.starts_with('\n'));
        let ends = |node: Option<&Node>| matches!(node, Some(Node::Text(text)) if text.ends_with('\n'));
        if begins(next) && bodies().all(|body| begins(body.first())) {
            Style::Turned
        } else if self.is_at_line_start() && bodies().all(|body| ends(body.last())) {
            Style::Lines
        } else {
            Style::Inline
        }
    }

    fn is_at_line_start(&self) -> bool {
        match self.pieces.last() {
            None | Some(Piece::Alone(_)) => true,
            Some(Piece::Text(text)) => text.ends_with('\n'),
            _ => false,
        }
    }

    fn tag(&mut self, style: Style, tag: String) {
        match style {
            Style::Inline => self.pieces.push(Piece::Block(tag)),
            Style::Lines => self.pieces.push(Piece::Alone(tag)),
            Style::Turned => {
                // The line end that the bodies and the rest begin with stands before the tag instead.
                self.text("\n");
                self.pieces.push(Piece::Alone(tag));
            }
        }
    }

    fn body(&mut self, style: Style, nodes: &[Node]) {
        let from = self.pieces.len();
        self.nodes(nodes);
        if style == Style::Turned {
            self.strip_line_end(from);
        }
    }

    /// Takes away the line end that a body began with.
    fn strip_line_end(&mut self, from: usize) {
        if let Some(Piece::Text(text)) = self.pieces.get_mut(from)
            && let Some(rest) = text.strip_prefix('\n')
        {
            *text = rest.to_owned();
        }
    }
}

/// How the tags of a block stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Amid other text.
    Inline,
    /// Each on a line of its own, as the bodies are whole lines.
    Lines,
    /// The same after the line end that each body and the text behind begins with is moved before the tags.
    Turned,
}

fn find_break(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| match node {
        Node::Break | Node::Continue => true,
        Node::If(branch) | Node::With(branch) => find_break(&branch.then) || find_break(&branch.otherwise),
        _ => false,
    })
}

/// A tag right within another one: among whole lines it is a line too.
fn within(style: Style, tag: String) -> Piece {
    if style == Style::Lines { Piece::Alone(tag) } else { Piece::Block(tag) }
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

fn is_scratch(word: &Word) -> bool {
    match &word.kind {
        Operand::Function(function) => function.name == "scratch",
        Operand::Pipe(pipe) => match pipe.commands.as_slice() {
            [command] => command.words.len() == 1 && command.words.iter().all(is_scratch),
            _ => false,
        },
        _ => false,
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

fn called(name: &str, arguments: impl IntoIterator<Item = String>) -> String {
    let words: Vec<String> = std::iter::once(name.to_owned()).chain(arguments).collect();
    format!("({})", words.join(" "))
}

/// A call as it stands alone in a tag: without the parentheses.
fn bare(value: &str) -> String {
    value.strip_prefix('(').and_then(|value| value.strip_suffix(')')).unwrap_or(value).to_owned()
}

/// Fields of a value.
fn lookup(of: String, names: &[String]) -> String {
    match of.starts_with('(') {
        true => names.iter().fold(of, |of, name| format!("(lookup {of} {})", json(name))),
        false => std::iter::once(of).chain(names.iter().cloned()).collect::<Vec<_>>().join("."),
    }
}

/// A text as both JSON and Handlebars write it.
fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Prints nothing; beside it, a tag does not stand alone on its line.
const NOTHING: &str = "{{print \"\"}}";

/// The text, in which each tag leaves the line ends around it as they were.
fn assemble(pieces: &[Piece]) -> String {
    let mut out = String::new();
    for (n, piece) in pieces.iter().enumerate() {
        let next = pieces.get(n + 1);
        match piece {
            Piece::Text(text) => {
                out.push_str(&escaped(text, next.is_some_and(|next| !matches!(next, Piece::Text(_)))))
            }
            Piece::Value(value) => out.push_str(value),
            Piece::Alone(tag) => {
                out.push_str(tag);
                out.push('\n');
            }
            Piece::Block(tag) => {
                let line = out.rsplit('\n').next().unwrap_or_default();
                let ends = match next {
                    None => true,
                    Some(Piece::Text(text)) => {
                        let rest = text.trim_start_matches([' ', '\t']);
                        rest.starts_with('\n')
                            || rest.starts_with("\r\n")
                            || (rest.is_empty() && n + 2 == pieces.len())
                    }
                    _ => false,
                };
                if line.trim().is_empty() && ends {
                    out.push_str(NOTHING);
                }
                out.push_str(tag);
            }
        }
    }
    out
}

/// Text in which nothing looks like a tag, also together with one that follows.
fn escaped(text: &str, before_tag: bool) -> String {
    let mut out = text.replace("\\{{", "\\\\{{").replace("{{", "\\{{");
    if before_tag && out.ends_with('\\') {
        out.push('\\');
    }
    if before_tag && out.ends_with('{') {
        out.pop();
        out.push_str("{{print \"{\"}}");
    }
    out
}
