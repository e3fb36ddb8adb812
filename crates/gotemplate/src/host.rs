//! What a template's functions are to the language: a name, a signature, and somebody who runs them.

use crate::{types::Type, value::Value};

/// How a function is called.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub takes: &'static [Type],
    /// What any number of further arguments are.
    pub more: Option<Type>,
}

/// Who has the functions.
pub trait Host {
    /// The signature of a function; `None` when there is none of that name.
    fn function(&self, name: &str) -> Option<&'static Signature>;

    /// Runs a function, whose arguments fit its signature.
    fn call(&mut self, function: &'static Signature, arguments: &[Value]) -> Result<Value, String>;

    /// Runs a method of a value; `None` when it has no such method.
    fn method(&mut self, of: &Value, name: &str, arguments: &[Value]) -> Option<Result<Value, String>>;
}
