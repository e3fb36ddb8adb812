//! Go's `text/template`, as consul-template's users know it: its syntax, its types, its printing, its errors.
//!
//! `lex` and `parse` make a `tree` of a text, once; `eval` fills it, any number of times; `calls` tells what stands in it, `migrate` says it
//! in Handlebars. What a template
//! computes with is a `value` of one of Go's `types`, `print` is Go's `fmt`. The functions come from a `host`.

mod builtins;
mod calls;
mod eval;
mod host;
mod lex;
mod migrate;
mod parse;
pub mod print;
mod quote;
mod tree;
pub mod types;
pub mod value;

pub use builtins::run as builtin;
pub use calls::Mention;
pub use eval::Failure;
pub use host::{Host, Signature};
pub use migrate::{Gap, Migrated};
pub use quote::quote;
pub use types::{Field, IntKind, Shape, Type, UintKind};
pub use value::{Key, Map, Object, Slice, Struct, Value};

use std::sync::Arc;

/// How a template is filled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A key that a map does not have is an error, as Go's `missingkey=error`.
    pub missing_is_error: bool,
    /// Whatever Go prints that nobody wants in a file is an error: `<no value>`, `1e+07`, `%!d(…)`, addresses.
    pub strict: bool,
}

/// A template that others may call by its name.
#[derive(Clone, Copy, Debug)]
pub struct Partial<'p> {
    /// Its name.
    pub name: &'p str,
    /// Its file, for errors.
    pub file: &'p str,
    /// Its text.
    pub text: &'p str,
}

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    trees: tree::Trees,
    options: Options,
}

impl Template {
    /// Parses a template that is cut by these delimiters (empty for `{{` and `}}`), and those that it may call besides its
    /// own. Where there are any, a call of one that does not exist is a mistake at once; Go finds it when it comes there.
    pub fn parse(
        text: &str,
        delimiters: (&str, &str),
        options: Options,
        functions: &dyn Fn(&str) -> Option<&'static Signature>,
        partials: &[Partial],
    ) -> Result<Template, Failure> {
        let parsed = |name: &str, file: Option<&str>, text: &str| {
            parse::parse(name, text, delimiters, functions).map_err(|error| Failure {
                file: file.map(Arc::from),
                line: error.line,
                column: 0,
                what: error.why,
                certain: true,
            })
        };
        let mut trees = parsed("", None, text)?;
        for partial in partials {
            trees.take(partial.file, parsed(partial.name, Some(partial.file), partial.text)?);
        }
        match calls::missing(&trees).filter(|_| !partials.is_empty()) {
            Some(failure) => Err(failure),
            None => Ok(Template { trees, options }),
        }
    }

    /// The calls of functions that stand in it, with their places.
    #[must_use]
    pub fn calls(&self) -> Vec<Mention> {
        calls::mentions(&self.trees)
    }

    /// The same template in Handlebars, as far as that can say it. `functions` tells which names are functions there.
    #[must_use]
    pub fn migrate(&self, functions: &dyn Fn(&str) -> bool) -> Migrated {
        migrate::migrate(&self.trees, functions)
    }

    /// Fills it, with nothing as its dot.
    pub fn render(&self, host: &mut (dyn Host + Send)) -> Result<String, Failure> {
        if self.trees.named.len() == 1 {
            return eval::render(&self.trees, "", host, self.options, Value::Nil);
        }
        // Named templates can call each other, deeper than a thread's usual stack reaches.
        let fail = |why: String| Failure { file: None, line: 0, column: 0, what: why, certain: false };
        std::thread::scope(|scope| {
            let fill = || eval::render(&self.trees, "", host, self.options, Value::Nil);
            let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, fill);
            let thread = thread.map_err(|e| fail(format!("no thread for it could be started: {e}")))?;
            thread.join().unwrap_or_else(|_| Err(fail("it panicked; please report this template".into())))
        })
    }
}

/// Enough for the deepest template that is allowed; of it, only what is used takes memory.
const STACK: usize = 64 << 20;
