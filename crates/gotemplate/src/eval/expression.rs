//! What a pipeline comes to: its commands, literals, variables and fields.

use super::{At, Done, State};
use crate::{
    quote::quote,
    tree::{Command, Operand, Pipe, Word},
    types::Type,
    value::{Key, Value},
};

impl<'t> State<'t, '_> {
    pub(super) fn pipe(&mut self, dot: &Value, pipe: &'t Pipe) -> Done<Value> {
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

    pub(super) fn literal(&mut self, text: &str, value: &Value) -> Done<Value> {
        match value {
            Value::Uint(..) => self.fail(format!("{text} overflows int")),
            value => Ok(value.clone()),
        }
    }

    /// A field, a variable, or fields of what is in parentheses.
    pub(super) fn path(
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
}
