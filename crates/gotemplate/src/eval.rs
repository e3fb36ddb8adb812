//! Walks a parsed template: facts in, text out. Errors say where in Go's words, and nothing runs without bound.

use crate::{
    Options,
    builtins::{self, Builtin},
    host::{Host, Signature},
    print::{self, LONGEST, plain},
    quote::quote,
    tree::{Branch, Call, Command, Node, Operand, Pipe, Trees, Word},
    types::{IntKind, Type, UintKind},
    value::{Key, Value},
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

    fn pipe(&mut self, dot: &Value, pipe: &'t Pipe) -> Done<Value> {
        self.at = At::Pipe(pipe);
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.declared {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Value, command: &'t Command, last: Option<Value>) -> Done<Value> {
        self.step()?;
        let Some((first, arguments)) = command.words.split_first() else { return Ok(Value::Nil) };
        let alone = arguments.is_empty() && last.is_none();
        match &first.kind {
            Operand::Field(_) | Operand::Chain(..) | Operand::Variable(_) => {
                self.path(dot, first, arguments, last)
            }
            Operand::Function(function) => {
                self.at = At::Word(first);
                self.function(dot, function, At::Command(command), arguments, last)
            }
            Operand::Pipe(pipe) if alone => self.deeper(|state| state.pipe(dot, pipe)),
            Operand::Pipe(_) => self.fail_surely(format!("can't give argument to non-function {first}")),
            _ if !alone => {
                self.at = At::Word(first);
                self.fail_surely(format!("can't give argument to non-function {first}"))
            }
            Operand::Nil => {
                self.at = At::Word(first);
                self.fail_surely("nil is not a command")
            }
            Operand::Dot => {
                self.at = At::Word(first);
                Ok(dot.clone())
            }
            Operand::Literal(text, value) => {
                self.at = At::Word(first);
                self.literal(text, value)
            }
        }
    }

    fn literal(&mut self, text: &str, value: &Value) -> Done<Value> {
        match value {
            Value::Uint(..) => self.fail(format!("{text} overflows int")),
            value => Ok(value.clone()),
        }
    }

    /// A field, a variable, or fields of what is in parentheses.
    fn path(
        &mut self,
        dot: &Value,
        word: &'t Word,
        arguments: &'t [Word],
        last: Option<Value>,
    ) -> Done<Value> {
        self.at = At::Word(word);
        let (first, names) = match &word.kind {
            Operand::Field(names) => (dot.clone(), names.as_slice()),
            Operand::Variable(names) => {
                let value = self.variables.iter().rev().find(|(known, _)| *known == names[0]);
                let Some(value) = value.map(|(_, value)| value.clone()) else {
                    return self.fail(format!("undefined variable: {}", names[0]));
                };
                (value, &names[1..])
            }
            Operand::Chain(inner, names) => match &inner.kind {
                Operand::Nil => return self.fail(format!("indirection through explicit nil in {word}")),
                _ => (self.argument(dot, inner, Type::Any)?, names.as_slice()),
            },
            _ => return self.fail(format!("can't evaluate command {}", quote(&word.to_string(), false))),
        };
        let Some((final_name, before)) = names.split_last() else {
            if !arguments.is_empty() || last.is_some() {
                return self.fail_surely(format!("can't give argument to non-function {word}"));
            }
            return Ok(first);
        };
        let mut value = first;
        // Fields of nothing at all are nothing; an entry that holds nothing has no fields.
        let mut entry = false;
        for name in before {
            let of = value;
            value = self.field(dot, &of, name, word, &[], None, entry)?;
            entry = !matches!(of, Value::Nil);
        }
        self.field(dot, &value, final_name, word, arguments, last, entry)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what a field may be asked for: a value, or a method with all it takes"
    )]
    fn field(
        &mut self,
        dot: &Value,
        of: &Value,
        name: &str,
        word: &'t Word,
        arguments: &'t [Word],
        last: Option<Value>,
        inner: bool,
    ) -> Done<Value> {
        if let Value::Nil = of {
            return match (inner, self.options.missing_is_error) {
                (true, _) => self.fail(format!("nil pointer evaluating interface {{}}.{name}")),
                (false, true) => self.fail(format!("nil data; no entry for key {}", quote(name, false))),
                (false, false) => Ok(Value::Nil),
            };
        }
        let has_arguments = !arguments.is_empty() || last.is_some();
        if let Value::Object(_) | Value::Slice(_) = of {
            let mut values = vec![];
            for argument in arguments {
                values.push(self.argument(dot, argument, Type::Any)?);
            }
            values.extend(last.clone());
            if let Some(result) = self.host.method(of, name, &values) {
                return match result {
                    Ok(value) => self.steps(value.weight()).map(|()| value),
                    Err(why) => {
                        self.at = At::Word(word);
                        self.fail(why)
                    }
                };
            }
        }
        match of {
            Value::Struct(_) => match of.field(name) {
                Some(_) if has_arguments => {
                    return self.fail(format!("{name} has arguments but cannot be invoked as function"));
                }
                Some(value) => return Ok(value),
                None => {}
            },
            Value::Map(map) => {
                if has_arguments {
                    return self.fail(format!("{name} is not a method but has arguments"));
                }
                if matches!(map.kind.under(), Type::Map(Type::Str | Type::Any, _)) {
                    return match map.get(&Key::Str(name.into())) {
                        Some(value) => Ok(value),
                        None if self.options.missing_is_error || self.options.strict => {
                            self.fail(format!("map has no entry for key {}", quote(name, false)))
                        }
                        None => Ok(map.item().zero()),
                    };
                }
            }
            Value::NilPtr(shape) if shape.fields.iter().any(|field| field.name == name) => {
                return self.fail(format!("nil pointer evaluating *{}.{name}", shape.name));
            }
            _ => {}
        }
        let why = format!("can't evaluate field {name} in type {}", of.kind_name());
        if let Value::Map(_) = of { self.fail(why) } else { self.fail_surely(why) }
    }

    fn function(
        &mut self,
        dot: &Value,
        function: &'static Signature,
        at: At<'t>,
        arguments: &'t [Word],
        last: Option<Value>,
    ) -> Done<Value> {
        let (name, fixed) = (function.name, function.takes.len());
        let given = arguments.len() + usize::from(last.is_some());
        if function.more.is_some() && given < fixed {
            return self.fail_surely(format!(
                "wrong number of args for {name}: want at least {fixed} got {}",
                arguments.len()
            ));
        }
        if function.more.is_none() && given != fixed {
            return self.fail_surely(format!("wrong number of args for {name}: want {fixed} got {given}"));
        }
        let kind = |n: usize| function.takes.get(n).copied().or(function.more).unwrap_or(Type::Any);
        let builtin = builtins::find(function);
        if let Some(Builtin::And | Builtin::Or) = builtin {
            return self.either(dot, builtin == Some(Builtin::Or), arguments, last);
        }
        let mut values = Vec::with_capacity(given);
        for (n, argument) in arguments.iter().enumerate() {
            values.push(self.argument(dot, argument, kind(n))?);
        }
        if let Some(last) = last {
            let n = values.len();
            values.push(self.fit(last, kind(n), false)?);
        }
        self.steps(values.iter().map(Value::weight_to_read).sum())?;
        let result = match builtin {
            Some(Builtin::ExecuteTemplate) => self.execute(&values),
            Some(builtin) => builtins::call(builtin, &values),
            None => self.host.call(function, &values),
        };
        match result.and_then(|value| self.bounded(function, value)) {
            Ok(value) => self.steps(value.weight()).map(|()| value),
            Err(why) => {
                self.at = at;
                self.fail(format!("error calling {name}: {why}"))
            }
        }
    }

    /// What no function may return: too much, or, to a strict template, a complaint in place of a text.
    fn bounded(&self, function: &Signature, value: Value) -> Result<Value, String> {
        match &value {
            Value::Str(text) if text.len() > LONGEST => {
                Err("the text grew beyond 16 MiB and was stopped".into())
            }
            Value::Str(text) if self.options.strict && function.name == "printf" && text.contains("%!") => {
                Err(format!("the format does not fit its values: {text}"))
            }
            Value::Slice(slice) if slice.items.len() > ITEMS => {
                Err("the list grew beyond a million items and was stopped".into())
            }
            value if value.too_deep() => Err("lists lie too deep in lists; it was stopped".into()),
            _ => Ok(value),
        }
    }

    /// `and` and `or`: evaluate no more than they need.
    fn either(&mut self, dot: &Value, or: bool, arguments: &'t [Word], last: Option<Value>) -> Done<Value> {
        let mut value = Value::Nil;
        for argument in arguments {
            value = self.argument(dot, argument, Type::Any)?;
            if value.truth() == or {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    /// Fills a template of the same file into a text.
    fn execute(&mut self, values: &[Value]) -> Result<Value, String> {
        let name = values.first().and_then(Value::as_str).unwrap_or_default();
        if values.len() > 2 {
            let got = values.len();
            return Err(format!(
                "executeTemplate: wrong number of arguments, expected 1 or 2, but got {got}"
            ));
        }
        if !self.trees.named.contains_key(name) {
            let name = quote(name, false);
            return Err(format!(
                "template: no template {name} associated with template {}",
                quote("", false)
            ));
        }
        let out = std::mem::take(&mut self.out);
        let (at, frames) = (self.at, self.frames);
        let (variables, before) = (self.variables.clone(), self.name.clone());
        let done = self.run(name, values.get(1).cloned().unwrap_or(Value::Nil));
        let text = std::mem::replace(&mut self.out, out);
        (self.at, self.frames, self.variables, self.name) = (at, frames, variables, before);
        match done {
            Ok(()) => Ok(Value::text(text)),
            Err(Failure { line, column, what, .. }) => Err(format!("template: :{line}:{column}: {what}")),
        }
    }

    /// One argument, as the function wants it.
    fn argument(&mut self, dot: &Value, word: &'t Word, kind: Type) -> Done<Value> {
        self.step()?;
        self.at = At::Word(word);
        match &word.kind {
            Operand::Dot => self.fit(dot.clone(), kind, true),
            Operand::Nil if kind.holds_nil() => Ok(if kind == Type::Any { Value::Nil } else { kind.zero() }),
            Operand::Nil => self.fail(format!("cannot assign nil to {kind}")),
            Operand::Field(_) | Operand::Variable(_) | Operand::Chain(..) => {
                let value = self.path(dot, word, &[], None)?;
                self.fit(value, kind, true)
            }
            Operand::Pipe(pipe) => {
                let value = self.deeper(|state| state.pipe(dot, pipe))?;
                self.fit(value, kind, false)
            }
            Operand::Function(function) => {
                let value = self.function(dot, function, At::Word(word), &[], None)?;
                self.fit(value, kind, false)
            }
            Operand::Literal(text, value) => {
                let wanted = kind.under();
                Ok(match (wanted, value) {
                    (Type::Any, _) => self.literal(text, value)?,
                    (Type::Str, Value::Str(_))
                    | (Type::Bool, Value::Bool(_))
                    | (Type::Float, Value::Float(_)) => value.clone(),
                    (Type::Float, Value::Int(_, n)) => Value::Float(*n as f64),
                    (Type::Float, Value::Uint(_, n)) => Value::Float(*n as f64),
                    (Type::Int(kind), Value::Int(_, n)) => Value::Int(kind, *n),
                    (Type::Int(kind), Value::Float(n)) if n.fract() == 0.0 && n.abs() < 9e18 => {
                        Value::Int(kind, *n as i64)
                    }
                    (Type::Uint(kind), Value::Int(_, n)) if *n >= 0 => Value::Uint(kind, *n as u64),
                    (Type::Uint(_), Value::Uint(_, n)) => Value::Uint(UintKind::U64, *n),
                    (Type::Str, _) => return self.fail_surely(format!("expected string; found {word}")),
                    (Type::Bool, _) => return self.fail_surely(format!("expected bool; found {word}")),
                    (Type::Float, _) => return self.fail_surely(format!("expected float; found {word}")),
                    (Type::Int(_), _) => return self.fail_surely(format!("expected integer; found {word}")),
                    (Type::Uint(_), _) => {
                        return self.fail_surely(format!("expected unsigned integer; found {word}"));
                    }
                    _ => return self.fail_surely(format!("can't handle {word} for arg of type {kind}")),
                })
            }
        }
    }

    /// Checks a value against the type that is wanted. `slot` says that it came out of a list, map or variable.
    fn fit(&mut self, value: Value, wanted: Type, slot: bool) -> Done<Value> {
        let Some(kind) = value.kind() else {
            return match wanted.holds_nil() {
                true if wanted == Type::Any => Ok(Value::Nil),
                true => Ok(wanted.zero()),
                false if slot => {
                    self.fail(format!("wrong type for value; expected {wanted}; got interface {{}}"))
                }
                false => self.fail(format!("invalid value; expected {wanted}")),
            };
        };
        if kind.fits(wanted) {
            return Ok(value);
        }
        match (&value, wanted.under()) {
            // A pointer stands in for what it points to, and the other way round.
            (Value::Struct(record), Type::Struct(shape) | Type::Ptr(shape)) if record.shape == shape => {
                Ok(value)
            }
            _ => self.fail(format!("wrong type for value; expected {wanted}; got {kind}")),
        }
    }
}
