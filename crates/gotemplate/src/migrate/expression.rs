//! What stands within a tag: values, calls and variables, as Handlebars writes them.

use super::NoWay;
use crate::{
    tree::{Command, Operand, Pipe, Word},
    value::Value,
};

/// How a variable is written.
#[derive(Clone, Debug)]
enum Variable {
    /// A parameter of the block around it.
    Param(String),
    /// Kept in the scratch pad.
    Kept(String),
}

/// Functions of the language that Handlebars has under the same name or another.
const RENAMED: [(&str, &str); 2] = [("le", "lte"), ("ge", "gte")];

/// The names that are known at a place of the template.
pub(super) struct Scope<'t> {
    variables: Vec<(String, Variable)>,
    kept: usize,
    functions: &'t dyn Fn(&str) -> bool,
}

impl<'t> Scope<'t> {
    /// No variables yet; `functions` tells whether a name is one's.
    pub(super) fn new(functions: &'t dyn Fn(&str) -> bool) -> Scope<'t> {
        Scope { variables: vec![], kept: 0, functions }
    }

    /// How many variables are known.
    pub(super) fn depth(&self) -> usize {
        self.variables.len()
    }

    /// Forgets those that were declared since there were so many.
    pub(super) fn back(&mut self, depth: usize) {
        self.variables.truncate(depth);
    }

    /// Where in the scratch pad a variable is kept that is given a value, a new one perhaps.
    pub(super) fn set(&mut self, name: &str, assigns: bool) -> String {
        match self.variables.iter().rev().find(|(known, _)| known == name) {
            Some((_, Variable::Kept(kept))) if assigns => kept.clone(),
            _ => self.keep(name),
        }
    }

    fn keep(&mut self, name: &str) -> String {
        self.kept += 1;
        let plain = name.trim_start_matches('$');
        let is_taken =
            self.variables.iter().any(|(_, known)| matches!(known, Variable::Kept(kept) if kept == plain));
        let kept = if is_taken { format!("{plain}-{}", self.kept) } else { plain.to_owned() };
        self.variables.push((name.to_owned(), Variable::Kept(kept.clone())));
        kept
    }

    /// Makes a variable a parameter of the block that begins.
    pub(super) fn param(&mut self, name: &str) -> String {
        let plain = name.trim_start_matches('$');
        let plain = if (self.functions)(plain) { format!("{plain}_") } else { plain.to_owned() };
        self.variables.push((name.to_owned(), Variable::Param(plain.clone())));
        plain
    }

    /// The value of a pipe.
    pub(super) fn pipe(&self, pipe: &Pipe) -> Result<String, NoWay> {
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

    /// One word of a command.
    pub(super) fn word(&self, word: &Word) -> Result<String, NoWay> {
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
    pub(super) fn field(&self, names: &[String]) -> String {
        match names {
            [] => "this".into(),
            [name] if (self.functions)(name) => format!("this.{name}"),
            names => names.join("."),
        }
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

fn called(name: &str, arguments: impl IntoIterator<Item = String>) -> String {
    let words: Vec<String> = std::iter::once(name.to_owned()).chain(arguments).collect();
    format!("({})", words.join(" "))
}

/// A call as it stands alone in a tag: without the parentheses.
pub(super) fn bare(value: &str) -> String {
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
pub(super) fn json(text: &str) -> String {
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
