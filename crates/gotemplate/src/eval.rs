//! Walks a parsed template: facts in, text out. Errors say where in Go's words, and nothing runs without bound.

mod call;
mod expression;

use crate::{
    Options,
    host::Host,
    print::{self, LONGEST, plain},
    quote::quote,
    tree::{Branch, Call, Command, Node, Pipe, Trees, Word},
    types::IntKind,
    value::Value,
};
use std::sync::Arc;

/// How many pieces of a template may be looked at in one filling.
const STEPS: u64 = 10_000_000;
/// How many templates, blocks and pipelines may lie in each other while it is filled.
const FRAMES: usize = 1_000;
/// How long a list may be.
const ITEMS: usize = 1_000_000;

/// Why a template could not be filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The file, when it is one of the partials.
    pub file: Option<Arc<str>>,
    /// Line, from 1; 0 when it concerns no line.
    pub line: usize,
    /// Bytes in the line before it, as Go counts.
    pub column: usize,
    /// What is wrong, as Go puts it: `executing "t" at <.X>: …`.
    pub what: String,
    /// Whether it fails whatever the functions return: a misspelt field, a wrong number of arguments.
    pub certain: bool,
}

/// Fills the template `name`.
pub(crate) fn render(
    trees: &Trees,
    name: &str,
    host: &mut dyn Host,
    options: Options,
    dot: Value,
) -> Result<String, Failure> {
    let mut state = State {
        trees,
        host,
        options,
        name: name.to_owned(),
        variables: vec![],
        at: At::Nothing,
        frames: 0,
        steps: 0,
        out: String::new(),
    };
    state.run(name, dot)?;
    Ok(state.out)
}

/// What is being looked at, for errors.
#[derive(Clone, Copy)]
enum At<'t> {
    Nothing,
    Action(&'t Pipe),
    Pipe(&'t Pipe),
    Command(&'t Command),
    Word(&'t Word),
    Call(&'t Call),
}

/// How a list of nodes was left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct State<'t, 'h> {
    trees: &'t Trees,
    host: &'h mut dyn Host,
    options: Options,
    /// The template at hand.
    name: String,
    variables: Vec<(&'t str, Value)>,
    at: At<'t>,
    frames: usize,
    steps: u64,
    out: String,
}

type Done<T> = Result<T, Failure>;

impl<'t> State<'t, '_> {
    fn fail<T>(&self, why: impl AsRef<str>) -> Done<T> {
        let why = why.as_ref();
        let (at, context) = match self.at {
            At::Nothing => {
                return Err(Failure { file: None, line: 0, column: 0, what: why.to_owned(), certain: false });
            }
            At::Action(pipe) => (pipe.at, format!("{{{{{pipe}}}}}")),
            At::Pipe(pipe) => (pipe.at, pipe.to_string()),
            At::Command(command) => (command.at, command.to_string()),
            At::Word(word) => (word.at, word.to_string()),
            At::Call(call) => (call.at, call.to_string()),
        };
        let (file, line, column) = self.trees.place(&self.name, at);
        Err(Failure {
            file,
            line,
            column,
            what: format!("executing {} at <{context}>: {why}", quote(&self.name, false)),
            certain: false,
        })
    }

    /// Fails, and would with any other values too.
    fn fail_surely<T>(&self, why: impl AsRef<str>) -> Done<T> {
        self.fail(why).map_err(|failure| Failure { certain: true, ..failure })
    }

    fn step(&mut self) -> Done<()> {
        self.steps(1)
    }

    fn steps(&mut self, more: u64) -> Done<()> {
        self.steps = self.steps.saturating_add(more);
        if self.steps > STEPS {
            return self.fail("the template does too much: it was stopped after 10 million steps");
        }
        Ok(())
    }

    fn deeper<T>(&mut self, inside: impl FnOnce(&mut Self) -> Done<T>) -> Done<T> {
        if self.frames >= FRAMES {
            return self.fail(format!("exceeded maximum template depth ({FRAMES})"));
        }
        self.frames += 1;
        let done = inside(self);
        self.frames -= 1;
        done
    }

    /// Runs a whole template with variables of its own.
    fn run(&mut self, name: &str, dot: Value) -> Done<()> {
        let trees = self.trees;
        let Some((name, nodes)) = trees.named.get_key_value(name) else {
            return self.fail_surely(format!("template {} not defined", quote(name, false)));
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let before = std::mem::replace(&mut self.name, name.clone());
        self.deeper(|state| state.nodes(&dot, nodes))?;
        (self.variables, self.name) = (variables, before);
        Ok(())
    }

    fn nodes(&mut self, dot: &Value, nodes: &'t [Node]) -> Done<Flow> {
        for node in nodes {
            let flow = self.node(dot, node)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, dot: &Value, node: &'t Node) -> Done<Flow> {
        self.step()?;
        match node {
            Node::Text(text) => self.write(text)?,
            Node::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.declared.is_empty() {
                    self.print(pipe, &value)?;
                }
            }
            Node::If(branch) => return self.deeper(|state| state.branch(dot, branch, false)),
            Node::With(branch) => return self.deeper(|state| state.branch(dot, branch, true)),
            Node::Range(branch) => return self.deeper(|state| state.range(dot, branch)),
            Node::Template(call) => self.template(dot, call)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn write(&mut self, text: &str) -> Done<()> {
        if self.out.len() + text.len() > LONGEST {
            return self.fail("the text grew beyond 16 MiB and was stopped");
        }
        self.out.push_str(text);
        Ok(())
    }

    fn print(&mut self, pipe: &'t Pipe, value: &Value) -> Done<()> {
        self.at = At::Action(pipe);
        if self.options.strict
            && let Some(why) = print::surprise(value)
        {
            return self.fail(why);
        }
        match value {
            Value::Str(text) => self.write(text),
            Value::Nil => self.write("<no value>"),
            Value::Counter(..) => {
                self.fail(format!("can't print {{{{{pipe}}}}} of type {}", value.kind_name()))
            }
            // A pointer is printed as what it points to.
            Value::Struct(_) => self.write(plain(value).trim_start_matches('&')),
            _ => self.write(&plain(value)),
        }
    }

    fn branch(&mut self, dot: &Value, branch: &'t Branch, with: bool) -> Done<Flow> {
        let scope = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let flow = match value.truth() {
            true if with => self.nodes(&value, &branch.then),
            true => self.nodes(dot, &branch.then),
            false => self.nodes(dot, &branch.otherwise),
        }?;
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(&mut self, dot: &Value, branch: &'t Branch) -> Done<Flow> {
        let outer = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let scope = self.variables.len();
        let mut any = false;
        let mut turn = |state: &mut Self, index: Value, item: Value| {
            any = true;
            state.turn(branch, scope, index, item)
        };
        match &value {
            Value::Int(..) | Value::Uint(..) if branch.pipe.declared.len() > 1 => {
                return self
                    .fail(format!("can't use {} to iterate over more than one variable", plain(&value)));
            }
            Value::Int(kind, n) => {
                for i in 0..*n {
                    if turn(self, Value::Nil, Value::Int(*kind, i))? {
                        break;
                    }
                }
            }
            Value::Uint(kind, n) => {
                for i in 0..*n {
                    if turn(self, Value::Nil, Value::Uint(*kind, i))? {
                        break;
                    }
                }
            }
            Value::Slice(slice) => {
                for (i, item) in slice.items.iter().enumerate() {
                    if turn(self, Value::int(i as i64), item.clone())? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, item) in map.entries() {
                    if turn(self, key.value(), item)? {
                        break;
                    }
                }
            }
            Value::Counter(from, to) => {
                for (i, n) in (*from..*to).enumerate() {
                    if turn(self, Value::int(i as i64), Value::Int(IntKind::I64, n))? {
                        break;
                    }
                }
            }
            Value::Nil => {}
            other => {
                return self
                    .fail(format!("range can't iterate over {}", plain(other).trim_start_matches('&')));
            }
        }
        let flow = if any { Flow::Next } else { self.nodes(dot, &branch.otherwise)? };
        self.variables.truncate(outer);
        Ok(flow)
    }

    /// One turn of a range; true to end it.
    fn turn(&mut self, branch: &'t Branch, scope: usize, index: Value, item: Value) -> Done<bool> {
        self.step()?;
        let pipe = &branch.pipe;
        match (pipe.declared.as_slice(), pipe.assigns) {
            ([], _) => {}
            ([name], true) => self.assign(name, item.clone())?,
            ([name, other, ..], true) => {
                self.assign(name, index)?;
                self.assign(other, item.clone())?;
            }
            ([_], false) => self.variables[scope - 1].1 = item.clone(),
            ([_, _, ..], false) => {
                self.variables[scope - 1].1 = item.clone();
                self.variables[scope - 2].1 = index;
            }
        }
        let flow = self.nodes(&item, &branch.then)?;
        self.variables.truncate(scope);
        Ok(flow == Flow::Break)
    }

    fn template(&mut self, dot: &Value, call: &'t Call) -> Done<()> {
        self.at = At::Call(call);
        if !self.trees.named.contains_key(&call.name) {
            return self.fail_surely(format!("template {} not defined", quote(&call.name, false)));
        }
        if self.frames >= FRAMES {
            return self.fail(format!("exceeded maximum template depth ({FRAMES})"));
        }
        let value = match &call.pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Nil,
        };
        self.run(&call.name, value)
    }

    fn assign(&mut self, name: &str, value: Value) -> Done<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, slot)) => {
                *slot = value;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }
}
