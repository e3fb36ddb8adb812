//! A parsed template, and how its pieces are written in an error's text.

use crate::{host::Signature, value::Value};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// All templates of one file, and of those that it may use.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    pub(crate) text: Arc<str>,
    pub(crate) named: BTreeMap<String, Arc<[Node]>>,
    /// Those of other files: each file's name and text.
    pub(crate) foreign: BTreeMap<String, (Arc<str>, Arc<str>)>,
}

impl Trees {
    /// Takes in the templates of another file; where both have a name, this one's is kept.
    pub(crate) fn take(&mut self, file: &str, other: Trees) {
        let source = (Arc::from(file), other.text);
        for (name, nodes) in other.named {
            if !self.named.contains_key(&name) {
                self.foreign.insert(name.clone(), source.clone());
                self.named.insert(name, nodes);
            }
        }
    }

    /// The file (none for the one at hand), line from 1, and bytes in the line before it, of something in a template.
    pub(crate) fn place(&self, name: &str, at: usize) -> (Option<Arc<str>>, usize, usize) {
        let (file, text) = match self.foreign.get(name) {
            Some((file, text)) => (Some(Arc::clone(file)), text),
            None => (None, &self.text),
        };
        let before = &text[..at.min(text.len())];
        let line = 1 + before.matches('\n').count();
        (file, line, before.len() - before.rfind('\n').map_or(0, |newline| newline + 1))
    }
}

/// Something that is written out or decides what is.
#[derive(Debug)]
pub(crate) enum Node {
    Text(Box<str>),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template(Call),
    Break,
    Continue,
}

/// `{{template "name" pipeline}}`
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) at: usize,
    pub(crate) name: String,
    pub(crate) pipe: Option<Pipe>,
}

/// `{{if …}} … {{else}} … {{end}}`, `with` and `range`.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) then: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

/// Commands that hand their values on: `a | b c`.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) at: usize,
    pub(crate) declared: Vec<String>,
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
}

/// A function with its arguments, or one value.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) at: usize,
    pub(crate) words: Vec<Word>,
}

/// One operand.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) at: usize,
    pub(crate) kind: Operand,
}

/// What an operand is.
#[derive(Debug)]
pub(crate) enum Operand {
    Dot,
    Nil,
    /// true, false, a number or text; the literal, and its value.
    Literal(Box<str>, Value),
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`: the variable is the first.
    Variable(Vec<String>),
    Function(&'static Signature),
    /// `(…).A.B`
    Chain(Box<Word>, Vec<String>),
    Pipe(Pipe),
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.declared.is_empty() {
            f.write_str(&self.declared.join(", "))?;
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        for (n, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if n > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, word) in self.words.iter().enumerate() {
            let blank = if n > 0 { " " } else { "" };
            match &word.kind {
                Operand::Pipe(pipe) => write!(f, "{blank}({pipe})")?,
                _ => write!(f, "{blank}{word}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Operand::Dot => f.write_str("."),
            Operand::Nil => f.write_str("nil"),
            Operand::Literal(text, _) => f.write_str(text),
            Operand::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            Operand::Variable(names) => f.write_str(&names.join(".")),
            Operand::Function(function) => f.write_str(function.name),
            Operand::Pipe(pipe) => write!(f, "{pipe}"),
            Operand::Chain(first, names) => {
                match &first.kind {
                    Operand::Pipe(pipe) => write!(f, "({pipe})")?,
                    _ => write!(f, "{first}")?,
                }
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", crate::quote::quote(&self.name, false))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}
