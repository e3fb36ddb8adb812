//! A case as its file says it: what to render, over which answers, and what must come of it.

use super::recorded::Recorded;
use config::Environment;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, path::Path};

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What is rendered.
    pub subjects: Vec<Subject>,
    /// The whole environment that templates see.
    pub env: Environment,
    /// What Consul says.
    pub recorded: Recorded,
    /// What must come of it.
    pub wanted: Wanted,
    /// Questions without a recorded answer have none yet, where they otherwise ask for what does not exist.
    pub waits: bool,
    /// Cases that need a clock that stands still, or the like.
    pub is_left_out: bool,
}

/// One thing to render.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// All templates of a configuration file.
    Config(String),
    /// One template: the keys of its block.
    Template(Map<String, Value>),
}

/// What must come of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This text.
    Text(String),
    /// What this file holds.
    File(String),
    /// By the path that is written to, what this file holds.
    Files(BTreeMap<String, String>),
    /// An error that says this.
    Error(String),
}

/// Keys of a template block that a case may have.
const SETTINGS: [&str; 10] = [
    "dialect",
    "strict",
    "error_on_missing_key",
    "function_denylist",
    "left_delimiter",
    "right_delimiter",
    "sandbox_path",
    "partials",
    "directory",
    "destination",
];
/// The other keys; the last ones are for people.
const KEYS: [&str; 17] = [
    "name",
    "config",
    "template",
    "source",
    "env",
    "data",
    "expected",
    "expected_file",
    "expected_files",
    "error",
    "error_text",
    "missing_deps",
    "blackbox",
    "group",
    "used_deps",
    "notes",
    "about",
];

impl Case {
    /// Reads a case.
    pub fn read(case: &Value, position: usize) -> Result<Case, String> {
        let Value::Object(keys) = case else { return Err("a case must be an object".into()) };
        let known = |key: &str| KEYS.contains(&key) || SETTINGS.contains(&key);
        if let Some(key) = keys.keys().find(|key| !known(key)) {
            return Err(format!(
                "unknown key {key:?}; there are {}, {}",
                KEYS.join(", "),
                SETTINGS.join(", ")
            ));
        }
        let name = case["name"].as_str().map_or_else(|| format!("case {}", position + 1), str::to_owned);
        Ok(Case {
            name,
            subjects: subjects(case)?,
            env: environment(&case["env"])?,
            recorded: Recorded::read(&case["data"])?,
            wanted: wanted(case)?,
            waits: case["missing_deps"].as_array().is_some_and(|missing| !missing.is_empty()),
            is_left_out: case["blackbox"] == "not run" && case["missing_deps"].is_null(),
        })
    }
}

/// A text, or a list of them.
fn texts(key: &str, value: &Value) -> Result<Vec<String>, String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = match value {
        Value::Null => Some(vec![]),
        Value::Array(list) => list.iter().map(text).collect(),
        one => text(one).map(|text| vec![text]),
    };
    list.ok_or_else(|| format!("{key}: must be a text or a list of texts"))
}

fn subjects(case: &Value) -> Result<Vec<Subject>, String> {
    let block = |key: &str, text: &str| {
        let mut block: Map<String, Value> = SETTINGS
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), case.get(*key).filter(|v| !v.is_null())?.clone())))
            .collect();
        block.insert(key.to_owned(), text.into());
        if !block.contains_key("directory") {
            block.entry("destination").or_insert("out".into());
        }
        Subject::Template(block)
    };
    let mut all: Vec<Subject> = texts("config", &case["config"])?.into_iter().map(Subject::Config).collect();
    all.extend(texts("source", &case["source"])?.iter().map(|path| block("source", path)));
    match &case["template"] {
        Value::Null => {}
        Value::String(text) if text.is_empty() => return Err("template: is empty".into()),
        Value::String(text) => all.push(block("contents", text)),
        _ => return Err("template: must be a text".into()),
    }
    if all.is_empty() {
        return Err("nothing to render: give template, source or config".into());
    }
    Ok(all)
}

/// A list of `NAME=value`, or an object.
fn environment(env: &Value) -> Result<Environment, String> {
    let wrong = || "env: must be a list of NAME=value, or an object of texts".to_owned();
    match env {
        Value::Null => Ok(Environment::new()),
        Value::Object(all) => all
            .iter()
            .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(wrong),
        list => texts("env", list)?
            .iter()
            .map(|pair| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(wrong),
    }
}

fn wanted(case: &Value) -> Result<Wanted, String> {
    let files = case["expected_files"].as_object().map(|files| {
        let file = |(path, file): (&String, &Value)| Some((path.clone(), file.as_str()?.to_owned()));
        files.iter().map(file).collect::<Option<BTreeMap<_, _>>>()
    });
    let ways = [
        (case["error"] == true)
            .then(|| Ok(Wanted::Error(case["error_text"].as_str().unwrap_or_default().to_owned()))),
        case["expected"].as_str().map(|text| Ok(Wanted::Text(text.to_owned()))),
        case["expected_file"].as_str().map(|file| Ok(Wanted::File(file.to_owned()))),
        files.map(|files| {
            files.map(Wanted::Files).ok_or_else(|| "expected_files: must hold names of files".to_owned())
        }),
    ];
    let mut given = ways.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(wanted), None) => wanted,
        _ => {
            Err("say what must come of it: expected, expected_file, expected_files or error, one of them"
                .into())
        }
    }
}

impl Wanted {
    /// The paths that something must be written to.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let files = if let Wanted::Files(files) = self { Some(files) } else { None };
        files.into_iter().flat_map(|files| files.keys()).map(Path::new)
    }

    /// Whether an error is the one that is wanted. A recorded one of consul-template counts by its place: the words are
    /// those of each program.
    #[must_use]
    pub fn is_told_by(&self, error: &str) -> bool {
        let Wanted::Error(wanted) = self else { return false };
        match wanted.split_once("template: ") {
            Some((_, place)) => error.contains(place.split(": ").next().unwrap_or_default()),
            None => error.contains(wanted.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_case_says_what_to_render_and_what_must_come_of_it() {
        let case = json!({"name": "a", "source": ["a.ctmpl", "a.hbs"], "config": "c.hcl", "strict": true,
                          "env": ["A=b=c"], "expected_file": "a.cfg", "missing_deps": ["x"]});
        let case = Case::read(&case, 0).unwrap();
        assert_eq!(case.subjects.len(), 3);
        let block = json!({"source": "a.hbs", "strict": true, "destination": "out"});
        assert_eq!(case.subjects[2], Subject::Template(block.as_object().unwrap().clone()));
        assert_eq!((case.env["A"].as_str(), case.waits, case.is_left_out), ("b=c", true, false));
        assert_eq!(case.wanted, Wanted::File("a.cfg".into()));
    }

    #[test]
    fn a_case_that_says_nothing_sure_is_refused() {
        for (case, why) in [
            (json!([]), "must be an object"),
            (json!({"template": "x", "expected": "x", "tempalte": 1}), "unknown key \"tempalte\""),
            (json!({"expected": "x"}), "nothing to render"),
            (json!({"template": "x"}), "say what must come of it"),
            (json!({"template": "x", "expected": "x", "error": true}), "one of them"),
            (json!({"template": "x", "expected": "x", "env": ["A"]}), "env: must be"),
            (json!({"template": 1, "expected": "x"}), "template: must be a text"),
        ] {
            let found = Case::read(&case, 0).unwrap_err();
            assert!(found.contains(why), "{case}: {found}");
        }
    }

    #[test]
    fn an_error_counts_by_its_place_or_by_what_it_says() {
        let recorded = Wanted::Error("execute: template: :1:9: executing \"\" at <x>: no".into());
        assert!(recorded.is_told_by("contents:1:9: nope") && !recorded.is_told_by("contents:1:8: nope"));
        assert!(Wanted::Error("no such".into()).is_told_by("a: no such thing"));
    }
}
