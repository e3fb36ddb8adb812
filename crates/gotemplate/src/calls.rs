//! What stands in a template: the functions that it calls, and the templates.

use crate::{
    eval::Failure,
    quote::quote,
    tree::{Branch, Call, Command, Node, Operand, Pipe, Trees, Word},
};
use std::sync::Arc;

/// A function that is called, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The file, when it is one of the partials.
    pub file: Option<Arc<str>>,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The function.
    pub function: &'static str,
    /// The call as it stands there; `| f x` where its last argument comes from a pipe.
    pub call: String,
}

/// Every call of a function.
pub(crate) fn mentions(trees: &Trees) -> Vec<Mention> {
    let mut found = vec![];
    for (name, nodes) in &trees.named {
        each(nodes, &mut |piece| {
            let Piece::Command(n, command) = piece else { return };
            if let Some(Operand::Function(function)) = command.words.first().map(|word| &word.kind) {
                let (file, line, column) = trees.place(name, command.at);
                let call = format!("{}{command}", if n > 0 { "| " } else { "" });
                found.push(Mention { file, line, column: column + 1, function: function.name, call });
            }
        });
    }
    found
}

/// The first call of a template that does not exist.
pub(crate) fn missing(trees: &Trees) -> Option<Failure> {
    let mut first = None;
    for (name, nodes) in &trees.named {
        each(nodes, &mut |piece| {
            if let Piece::Call(call) = piece
                && first.is_none()
                && !trees.named.contains_key(&call.name)
            {
                let (file, line, column) = trees.place(name, call.at);
                let known = trees.named.keys().filter(|name| !name.is_empty()).cloned();
                let known = known.collect::<Vec<_>>().join(", ");
                let what = format!("template {} not defined; there are {known}", quote(&call.name, false));
                first = Some(Failure { file, line, column, what, certain: true });
            }
        });
    }
    first
}

/// Something in a template; a command with its place in its pipe.
enum Piece<'t> {
    Command(usize, &'t Command),
    Call(&'t Call),
}

fn each<'t>(nodes: &'t [Node], see: &mut dyn FnMut(Piece<'t>)) {
    for node in nodes {
        match node {
            Node::Text(_) | Node::Break | Node::Continue => {}
            Node::Action(pipe) => each_in(pipe, see),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                let Branch { pipe, then, otherwise } = branch;
                each_in(pipe, see);
                each(then, see);
                each(otherwise, see);
            }
            Node::Template(call) => {
                see(Piece::Call(call));
                call.pipe.iter().for_each(|pipe| each_in(pipe, see));
            }
        }
    }
}

fn each_in<'t>(pipe: &'t Pipe, see: &mut dyn FnMut(Piece<'t>)) {
    for (n, command) in pipe.commands.iter().enumerate() {
        see(Piece::Command(n, command));
        command.words.iter().for_each(|word| within(word, see));
    }
}

fn within<'t>(word: &'t Word, see: &mut dyn FnMut(Piece<'t>)) {
    match &word.kind {
        Operand::Pipe(pipe) => each_in(pipe, see),
        Operand::Chain(first, _) => within(first, see),
        _ => {}
    }
}
