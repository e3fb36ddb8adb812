//! The template functions: one table, one topic a file, shared by both dialects. A function reads and returns;
//! it never writes, runs or registers anything.

mod catalog;
mod convert;
mod environment;
mod hash;
mod json;
mod kv;
mod lists;
mod loose;
mod maps;
mod math;
mod mesh;
mod outside;
mod pass;
mod pattern;
mod scratch;
mod semver;
mod shapes;
mod sprig;
mod syntax;
mod text;
mod time;
mod toml;
mod yaml;

use gotemplate::{Signature, Type, Value};
use std::{collections::BTreeMap, fmt::Write, sync::LazyLock};

pub use loose::{from_json, row_to_json, to_json};
pub use outside::{Outside, Setting};
pub use pass::{Ended, Memo, Pass};

/// What a function does: arguments in, value out. The empty value of its kind stands for a missing answer.
type Call = fn(&mut Pass, &[Value]) -> Result<Value, String>;

/// Whether a template that names a service so asks this.
#[must_use]
pub fn asks(name: &str, query: &consul::Query) -> bool {
    syntax::service(&[name], false).is_ok_and(|(asked, _)| asked == *query)
}

/// A template function.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its name and what it takes.
    pub signature: Signature,
    /// What it returns.
    pub gives: Type,
    /// What that is, in words.
    pub about: &'static str,
    /// A template, as a Go template.
    pub example: &'static str,
    /// The text that the example gives; empty where that depends on Consul or the machine.
    pub result: &'static str,
    call: Call,
}

/// Why a function could not return a value.
#[derive(Debug, thiserror::Error)]
#[error("{function}: {why}")]
pub struct FunctionError {
    /// The function's name.
    pub function: &'static str,
    /// What is wrong, and what would be right.
    pub why: String,
}

/// A row of the table: a function of exactly these arguments.
const fn row(
    name: &'static str,
    takes: &'static [Type],
    gives: Type,
    about: &'static str,
    example: (&'static str, &'static str),
    call: Call,
) -> Function {
    let signature = Signature { name, takes, more: None };
    Function { signature, gives, about, example: example.0, result: example.1, call }
}

/// A row of the table: a function that takes any number of further arguments.
const fn open_row(
    name: &'static str,
    (takes, more): (&'static [Type], Type),
    gives: Type,
    about: &'static str,
    example: (&'static str, &'static str),
    call: Call,
) -> Function {
    let signature = Signature { name, takes, more: Some(more) };
    Function { signature, gives, about, example: example.0, result: example.1, call }
}

/// All functions but Sprig's, by topic.
const TOPICS: [(&str, &[Function]); 11] = [
    ("Services and nodes", catalog::TABLE),
    ("Key-value store", kv::TABLE),
    ("Service mesh and peers", mesh::TABLE),
    ("Environment and files", environment::TABLE),
    ("Text", text::TABLE),
    ("Lists", lists::TABLE),
    ("Maps", maps::TABLE),
    ("Reading and writing formats", convert::TABLE),
    ("Hashes and encodings", hash::TABLE),
    ("Numbers", math::TABLE),
    ("Scratch, time and debugging", scratch::TABLE),
];

/// All functions, by topic.
fn topics() -> impl Iterator<Item = (&'static str, &'static [Function])> {
    TOPICS.into_iter().chain(sprig::TABLES)
}

/// Functions of consul-template that are not here, and why.
pub const ELSEWHERE: [(&str, &str); 31] = [
    ("secret", VAULT),
    ("secrets", VAULT),
    ("pkiCert", VAULT),
    ("nomadServices", NOMAD),
    ("nomadService", NOMAD),
    ("nomadVarList", NOMAD),
    ("nomadVarListSafe", NOMAD),
    ("nomadVar", NOMAD),
    ("nomadVarExists", NOMAD),
    (
        "writeToFile",
        "a function writes nothing here; use `directory` in the template {} block, and begin each file with {{ toFile \"NAME\" }}",
    ),
    ("spew_dump", "it prints beside the file; use spew_sdump, which prints into it"),
    ("spew_printf", "it prints beside the file; use spew_sprintf, which prints into it"),
    ("sprig_ago", sprig::DATES),
    ("sprig_toDate", sprig::DATES),
    ("sprig_mustToDate", sprig::DATES),
    ("sprig_mustDateModify", sprig::DATES),
    ("sprig_must_date_modify", sprig::DATES),
    ("sprig_unixEpoch", sprig::DATES),
    ("sprig_bcrypt", sprig::NOT_THE_SAME_TWICE),
    ("sprig_htpasswd", sprig::NOT_THE_SAME_TWICE),
    ("sprig_genCA", sprig::NOT_THE_SAME_TWICE),
    ("sprig_genCAWithKey", sprig::NOT_THE_SAME_TWICE),
    ("sprig_genPrivateKey", sprig::NOT_THE_SAME_TWICE),
    ("sprig_genSelfSignedCert", sprig::NOT_THE_SAME_TWICE),
    ("sprig_genSelfSignedCertWithKey", sprig::NOT_THE_SAME_TWICE),
    ("sprig_genSignedCert", sprig::NOT_THE_SAME_TWICE),
    ("sprig_genSignedCertWithKey", sprig::NOT_THE_SAME_TWICE),
    ("sprig_encryptAES", sprig::NOT_THE_SAME_TWICE),
    ("sprig_buildCustomCert", sprig::NOT_THE_SAME_TWICE),
    ("sprig_decryptAES", sprig::SECRETS),
    ("sprig_derivePassword", sprig::SECRETS),
];
const VAULT: &str = "it reads Vault; rolecall renders what Consul says and does not speak to Vault";
const NOMAD: &str = "it reads Nomad; rolecall renders what Consul says and does not speak to Nomad";

static BY_NAME: LazyLock<BTreeMap<&'static str, &'static Function>> = LazyLock::new(|| {
    topics().flat_map(|(_, table)| table).map(|function| (function.signature.name, function)).collect()
});

/// What stands in for functions that a template may not use.
static DENIED: LazyLock<BTreeMap<&'static str, Function>> = LazyLock::new(|| {
    let denied = |function: &&'static Function| {
        let signature = Signature { takes: &[], more: Some(Type::Str), ..function.signature };
        let call: Call = |_, _| Err("function is disabled".into());
        (signature.name, Function { signature, call, ..**function })
    };
    BY_NAME.values().copied().chain([&EXECUTE_TEMPLATE]).map(|function| denied(&function)).collect()
});

/// The language runs this one itself, where a template may use it.
static EXECUTE_TEMPLATE: Function =
    row("executeTemplate", &[], Type::Str, "", ("", ""), |_, _| Err("the language runs it".into()));

/// Whether a function asks Consul.
#[must_use]
pub fn asks_consul(name: &str) -> bool {
    let tables = [catalog::TABLE, kv::TABLE, mesh::TABLE];
    tables.iter().any(|table| table.iter().any(|function| function.signature.name == name))
}

/// A function by its name; one that the template may not use says so when it is called.
#[must_use]
pub fn find(name: &str, setting: &Setting) -> Option<&'static Function> {
    match setting.denies(name) {
        true => DENIED.get(name),
        false => BY_NAME.get(name).copied(),
    }
}

/// A function by its name, whatever a template may use.
#[must_use]
pub fn known(name: &str) -> Option<&'static Function> {
    BY_NAME.get(name).copied()
}

/// What to say of a function of consul-template that is not here, for Go's complaint about it.
#[must_use]
pub fn elsewhere(what: &str) -> Option<String> {
    let name = what.strip_prefix("function \"")?.strip_suffix("\" not defined")?;
    let (name, why) = ELSEWHERE.iter().find(|(known, _)| *known == name)?;
    Some(format!("{name} is not in rolecall: {why}"))
}

/// All functions, by name.
pub fn all() -> impl Iterator<Item = &'static Function> {
    BY_NAME.values().copied()
}

/// Runs a method of a value; `None` when it has no such method.
pub fn method(of: &Value, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    match of {
        Value::Object(object) => object.call(name, arguments),
        _ => catalog::method(of, name, arguments),
    }
}

impl Function {
    /// Calls the function with arguments that fit its signature.
    pub fn call(&self, pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
        let value = (self.call)(pass, arguments);
        pass.record(|| self.written(arguments));
        value
    }

    /// A call as a template has it.
    fn written(&self, arguments: &[Value]) -> String {
        let mut call = self.signature.name.to_owned();
        for argument in arguments {
            let text = argument.as_str().map(|text| gotemplate::quote(text, false));
            let _ = write!(call, " {}", text.unwrap_or_else(|| gotemplate::print::plain(argument)));
        }
        call
    }

    /// Calls the function with what a dialect without types has: checked and bent to the signature.
    pub fn call_loosely(&self, pass: &mut Pass, arguments: Vec<Value>) -> Result<Value, FunctionError> {
        let fail = |why| FunctionError { function: self.signature.name, why };
        let Signature { takes, more, .. } = self.signature;
        if arguments.len() < takes.len() || (more.is_none() && arguments.len() > takes.len()) {
            let used = self.usage();
            return Err(fail(format!("got {} arguments; it is used as `{used}`", arguments.len())));
        }
        let mut bent = Vec::with_capacity(arguments.len());
        for (n, argument) in arguments.into_iter().enumerate() {
            let wanted = takes.get(n).copied().or(more).unwrap_or(Type::Any);
            bent.push(loose::bend(argument, wanted, n + 1).map_err(fail)?);
        }
        match self.call(pass, &bent).map_err(fail)? {
            Value::Str(text) if text.len() > gotemplate::print::LONGEST => {
                Err(fail("the text grew beyond 16 MiB and was stopped".into()))
            }
            value => Ok(value),
        }
    }

    /// The function with the types of its arguments and of its value: `split string string → list of string`.
    #[must_use]
    pub fn usage(&self) -> String {
        let mut usage = self.signature.name.to_owned();
        for kind in self.signature.takes {
            let _ = write!(usage, " {}", in_words(*kind));
        }
        if let Some(kind) = self.signature.more {
            let _ = write!(usage, " {}…", in_words(kind));
        }
        let _ = write!(usage, " → {}", in_words(self.gives));
        usage
    }
}

/// A type for people.
fn in_words(kind: Type) -> String {
    match kind.under() {
        Type::Any => "any".into(),
        Type::Bool => "bool".into(),
        Type::Int(_) | Type::Uint(_) => "int".into(),
        Type::Float => "number".into(),
        Type::Str => "text".into(),
        Type::Slice(Type::Any) => "list".into(),
        Type::Slice(item) => format!("list-of-{}", in_words(*item)),
        Type::Map(_, Type::Any) => "map".into(),
        Type::Map(_, item) => format!("map-of-{}", in_words(*item)),
        Type::Struct(shape) | Type::Ptr(shape) => {
            shape.name.rsplit('.').next().unwrap_or(shape.name).to_owned()
        }
        Type::Named(name, _) | Type::Opaque(name) => name.to_owned(),
    }
}

/// The reference of all functions, for templates/README.md and `rolecall render functions`.
#[must_use]
pub fn reference(name: Option<&str>) -> Option<String> {
    let mut out = String::new();
    match name {
        Some(name) => {
            if let Some((_, why)) = ELSEWHERE.iter().find(|(other, _)| *other == name) {
                return Some(format!("{name} is not in rolecall: {why}\n"));
            }
            let function = BY_NAME.get(name)?;
            let _ = writeln!(out, "{}\n    {}", function.usage(), function.about);
            if !function.example.is_empty() {
                let _ = write!(out, "    {}", function.example);
                let result = function.result;
                let _ = if result.is_empty() { writeln!(out) } else { writeln!(out, " gives {result:?}") };
            }
        }
        None => {
            for (title, table) in topics() {
                let _ = writeln!(out, "### {title}\n\n| function | what it gives | example |\n|---|---|---|");
                for function in table {
                    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
                    let example = match (function.example, function.result) {
                        ("", _) => String::new(),
                        (example, "") => format!("`{}`", cell(example)),
                        (example, result) => {
                            format!(
                                "`{}` gives `{}`",
                                cell(example),
                                cell(&result.escape_debug().to_string())
                            )
                        }
                    };
                    let _ =
                        writeln!(out, "| `{}` | {} | {example} |", function.usage(), cell(function.about));
                }
                out.push('\n');
            }
        }
    }
    Some(out)
}

/// The argument at `n` as text; empty when it is not there.
fn text_at(arguments: &[Value], n: usize) -> &str {
    arguments.get(n).and_then(Value::as_str).unwrap_or_default()
}

/// The argument at `n` as a whole number.
fn int_at(arguments: &[Value], n: usize) -> i64 {
    match arguments.get(n) {
        Some(Value::Int(_, n)) => *n,
        Some(Value::Uint(_, n)) => i64::try_from(*n).unwrap_or(i64::MAX),
        Some(Value::Float(n)) => *n as i64,
        _ => 0,
    }
}

/// The argument at `n`, or nil.
fn at(arguments: &[Value], n: usize) -> &Value {
    arguments.get(n).unwrap_or(&Value::Nil)
}

#[cfg(test)]
pub(crate) mod tests;
