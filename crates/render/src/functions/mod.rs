//! The template functions: one table, one topic a file, shared by every dialect. A function reads and returns;
//! it never writes, runs or registers anything.

mod catalog;
mod environment;
mod kv;
mod syntax;

use crate::facts::{self, Facts};
use config::Environment;
use consul::Query;
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// One filling of a template: what its functions may read, and what they leave behind.
#[derive(Debug, Default)]
pub struct Pass {
    facts: Facts,
    env: Arc<Environment>,
    /// Every question asked.
    pub asked: BTreeSet<Query>,
    /// What there is no answer to yet, in words.
    pub missing: BTreeSet<String>,
    /// What the reader of the rendered file should know.
    pub warnings: BTreeSet<String>,
}

impl Pass {
    /// A new pass over what is known now.
    #[must_use]
    pub fn new(facts: Facts, env: Arc<Environment>) -> Self {
        Pass { facts, env, ..Pass::default() }
    }

    /// The answer to a question, which is recorded as asked; `None` while Consul has not answered.
    fn ask(&mut self, query: Query) -> Option<Arc<Value>> {
        let answer = facts::answer(&self.facts, &query).cloned();
        if answer.is_none() {
            self.missing.insert(query.to_string());
        }
        self.asked.insert(query);
        answer
    }
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

/// What a function does: arguments in, value out. The empty value of its kind stands for a missing answer.
type Call = fn(&mut Pass, &[Value]) -> Result<Value, String>;

/// A template function.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its name in templates.
    pub name: &'static str,
    /// Its arguments, for people.
    pub usage: &'static str,
    /// What it returns.
    pub about: &'static str,
    /// How many arguments it takes, at least and at most.
    arguments: (usize, usize),
    call: Call,
}

impl Function {
    /// Calls the function.
    pub fn call(&self, pass: &mut Pass, arguments: &[Value]) -> Result<Value, FunctionError> {
        let fail = |why| FunctionError { function: self.name, why };
        let (least, most) = self.arguments;
        if arguments.len() < least || arguments.len() > most {
            return Err(fail(format!("got {} arguments; it is used as `{}`", arguments.len(), self.usage)));
        }
        (self.call)(pass, arguments).map_err(fail)
    }
}

/// All functions, by topic.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "service",
        usage: r#"service "tag.name?param=x@dc~near|filter""#,
        about: "list of instances; only passing ones, unless a filter says otherwise",
        arguments: (1, 2),
        call: catalog::service,
    },
    Function {
        name: "master",
        usage: r#"master "name@dc""#,
        about: "the one passing instance that is master (of several, the highest epoch), or null",
        arguments: (1, 1),
        call: catalog::master,
    },
    Function {
        name: "primaries",
        usage: r#"primaries "name@dc""#,
        about: "list of the master, or of all masters where the service may have many",
        arguments: (1, 1),
        call: catalog::primaries,
    },
    Function {
        name: "replicas",
        usage: r#"replicas "name@dc""#,
        about: "list of passing instances that are replicas",
        arguments: (1, 1),
        call: catalog::replicas,
    },
    Function {
        name: "services",
        usage: r#"services "@dc""#,
        about: "list of all services: Name, Tags",
        arguments: (0, 1),
        call: catalog::services,
    },
    Function {
        name: "nodes",
        usage: r#"nodes "@dc~near""#,
        about: "list of all nodes",
        arguments: (0, 1),
        call: catalog::nodes,
    },
    Function {
        name: "node",
        usage: r#"node "name@dc""#,
        about: "one node (without a name the agent's own) and its services: Node, Services",
        arguments: (0, 1),
        call: catalog::node,
    },
    Function {
        name: "datacenters",
        usage: "datacenters",
        about: "list of datacenter names",
        arguments: (0, 0),
        call: catalog::datacenters,
    },
    Function {
        name: "key",
        usage: r#"key "path@dc""#,
        about: "value of a key; nothing is rendered until the key exists",
        arguments: (1, 1),
        call: kv::key,
    },
    Function {
        name: "keyExists",
        usage: r#"keyExists "path@dc""#,
        about: "whether a key exists",
        arguments: (1, 1),
        call: kv::key_exists,
    },
    Function {
        name: "keyOrDefault",
        usage: r#"keyOrDefault "path@dc" "default""#,
        about: "value of a key; the default when it is missing or empty",
        arguments: (2, 2),
        call: kv::key_or_default,
    },
    Function {
        name: "ls",
        usage: r#"ls "prefix@dc""#,
        about: "list of the keys directly under a prefix: Key, Value, Path, …",
        arguments: (1, 1),
        call: kv::ls,
    },
    Function {
        name: "tree",
        usage: r#"tree "prefix@dc""#,
        about: "list of all keys under a prefix, folders left out",
        arguments: (1, 1),
        call: kv::tree,
    },
    Function {
        name: "env",
        usage: r#"env "NAME""#,
        about: "an environment variable of rolecall; empty when it is not set",
        arguments: (1, 1),
        call: environment::env,
    },
    Function {
        name: "envOrDefault",
        usage: r#"envOrDefault "NAME" "default""#,
        about: "an environment variable; the default when it is not set (a set but empty one is kept)",
        arguments: (2, 2),
        call: environment::env_or_default,
    },
    Function {
        name: "mustEnv",
        usage: r#"mustEnv "NAME""#,
        about: "an environment variable; an error when it is not set or empty",
        arguments: (1, 1),
        call: environment::must_env,
    },
];

/// The argument at `n` as text; functions take no other kind.
fn text(arguments: &[Value], n: usize) -> Result<&str, String> {
    match arguments.get(n) {
        None => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("argument {} must be text, not `{other}`", n + 1)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use consul::Watched;
    use serde_json::json;
    use std::collections::BTreeMap;

    /// A pass over given answers.
    pub(crate) fn pass(facts: &[(Query, Value)], env: &[(&str, &str)]) -> Pass {
        let facts: BTreeMap<_, _> = facts
            .iter()
            .map(|(query, value)| {
                (query.clone(), Watched { value: Some(Arc::new(value.clone())), ..Watched::default() })
            })
            .collect();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Pass::new(Arc::new(facts), Arc::new(env))
    }

    /// Calls a function of the table by name.
    pub(crate) fn call(pass: &mut Pass, name: &str, arguments: &[Value]) -> Result<Value, String> {
        let function = FUNCTIONS.iter().find(|function| function.name == name).unwrap();
        function.call(pass, arguments).map_err(|e| e.to_string())
    }

    #[test]
    fn arguments_are_checked_for_every_function() {
        for function in FUNCTIONS {
            let many = vec![json!("x"); 9];
            let error = call(&mut pass(&[], &[]), function.name, &many).unwrap_err();
            assert!(error.contains(function.usage), "{error}");
        }
        let error = call(&mut pass(&[], &[]), "key", &[json!(1)]).unwrap_err();
        assert_eq!(error, "key: argument 1 must be text, not `1`");
    }
}
