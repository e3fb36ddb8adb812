//! Calls of functions: their arguments fit, and what they return is bounded.

use super::{At, Done, Failure, ITEMS, State};
use crate::{
    builtins::{self, Builtin},
    host::Signature,
    print::LONGEST,
    quote::quote,
    tree::{Operand, Word},
    types::{Type, UintKind},
    value::Value,
};

impl<'t> State<'t, '_> {
    pub(super) fn function(
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
    pub(super) fn argument(&mut self, dot: &Value, word: &'t Word, kind: Type) -> Done<Value> {
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
