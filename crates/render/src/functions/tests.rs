use super::*;
use crate::facts::Facts;
use config::Environment;
use consul::{Query, Watched};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// A machine of which everything is known beforehand.
#[derive(Debug, Default)]
pub(crate) struct Still;

impl Outside for Still {
    fn now(&self) -> (i64, u32) {
        (0, 0)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        if path == "/there" { Ok("text\n".into()) } else { Err(format!("{path}: no such file")) }
    }

    fn real_path(&self, path: &str) -> Result<String, String> {
        Ok(path.to_owned())
    }

    fn plugin(&self, argv: &[String]) -> Result<String, String> {
        Ok(argv.join(" "))
    }

    fn addresses(&self) -> Vec<(String, std::net::IpAddr)> {
        vec![("lo".into(), [127, 0, 0, 1].into()), ("eth0".into(), [10, 0, 0, 7].into())]
    }
}

/// What a template may do in tests.
pub(crate) fn setting(env: &[(&str, &str)]) -> Setting {
    let env: Environment = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Setting {
        env: Arc::new(env),
        outside: Arc::new(Still),
        denied: vec![],
        sandbox: None,
        plugins: false,
        many: true,
        records: true,
    }
}

/// Answers that are known.
pub(crate) fn facts(facts: &[(Query, Json)]) -> Facts {
    let watched = |value: &Json| Watched { value: Some(Arc::new(value.clone())), ..Watched::default() };
    Arc::new(facts.iter().map(|(query, value)| (query.clone(), watched(value))).collect())
}

/// A pass over given answers.
pub(crate) fn pass(known: &[(Query, Json)], env: &[(&str, &str)]) -> Pass {
    Pass::new(facts(known), Arc::new(setting(env)), Memo::new())
}

/// Calls a function of the table by name.
pub(crate) fn call(pass: &mut Pass, name: &str, arguments: &[Json]) -> Result<Json, String> {
    let function = find(name, &pass.setting).unwrap();
    let arguments = arguments.iter().map(from_json).collect();
    let value = function.call_loosely(pass, arguments).map_err(|e| e.to_string())?;
    to_json(&value, &mut 100_000, 0)
}

#[test]
fn arguments_are_checked_for_every_function() {
    for function in all().filter(|function| function.signature.more.is_none()) {
        let many = vec![json!("x"); 9];
        let error = call(&mut pass(&[], &[]), function.signature.name, &many).unwrap_err();
        assert!(error.contains(&function.usage()), "{error}");
    }
    let error = call(&mut pass(&[], &[]), "key", &[json!(1)]).unwrap_err();
    assert_eq!(error, "key: argument 1 must be text, not `1`");
}

#[test]
fn every_function_says_what_it_gives_and_no_name_is_there_twice() {
    let rows: Vec<_> = topics().flat_map(|(_, table)| table).collect();
    assert_eq!(rows.len(), all().count(), "a name is there twice");
    for function in rows {
        let name = function.signature.name;
        assert!(
            !function.about.is_empty() && function.example.contains(name),
            "{name} has no example of its own"
        );
    }
}

#[test]
fn set_empty_and_unset_differ() {
    let env = &[("SET", "x"), ("EMPTY", "")];
    for (function, arguments, value) in [
        ("env", vec![json!("SET")], Ok(json!("x"))),
        ("env", vec![json!("UNSET")], Ok(json!(""))),
        ("envOrDefault", vec![json!("EMPTY"), json!("d")], Ok(json!(""))),
        ("envOrDefault", vec![json!("UNSET"), json!("d")], Ok(json!("d"))),
        ("mustEnv", vec![json!("SET")], Ok(json!("x"))),
    ] {
        assert_eq!(call(&mut pass(&[], env), function, &arguments), value, "{function} {arguments:?}");
    }
    let error = call(&mut pass(&[], env), "mustEnv", &[json!("EMPTY")]).unwrap_err();
    assert!(error.contains("EMPTY"), "{error}");
}

#[test]
fn a_template_can_be_denied_functions_files_and_programs() {
    let mut setting = setting(&[]);
    setting.denied = vec!["sprig_*".into(), "key*Def*".into()];
    for (name, denied) in [
        ("sprig_hello", true),
        ("keyOrDefault", true),
        ("key", false),
        ("keyExists", false),
        ("sprig", false),
    ] {
        assert_eq!(setting.denies(name), denied, "{name}");
    }
    let mut pass = pass(&[], &[]);
    let error = call(&mut pass, "plugin", &[json!("true")]).unwrap_err();
    assert!(error.contains("plugins = true"), "{error}");
    assert_eq!(call(&mut pass, "file", &[json!("/there")]), Ok(json!("text\n")));
    Arc::make_mut(&mut pass.setting).sandbox = Some("/srv".into());
    for path in ["/there", "/srv/../there", "/srvx/a"] {
        let error = call(&mut pass, "file", &[json!(path)]).unwrap_err();
        assert!(error.contains("outside of sandbox"), "{path}: {error}");
    }
    Arc::make_mut(&mut pass.setting).plugins = true;
    assert_eq!(call(&mut pass, "plugin", &[json!(" a "), json!(""), json!("b")]), Ok(json!("a b")));
    assert_eq!(call(&mut pass, "sockaddr", &[json!("GetPrivateIP")]), Ok(json!("10.0.0.7")));
}

#[test]
fn the_reference_in_the_templates_readme_is_the_table() {
    let readme = include_str!("../../../../templates/README.md");
    let reference = reference(None).unwrap();
    assert!(
        readme.contains(&reference),
        "templates/README.md is behind: put what `rolecall render functions` prints under \"All functions\""
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_question_is_asked_or_refused(words in proptest::collection::vec("[a-z.?=&@~|,/:_ -]{0,12}|\\PC{0,8}", 0..4)) {
        let mut pass = pass(&[], &[]);
        for name in ["service", "connect", "services", "nodes", "node", "key", "ls", "tree", "preparedQuery", "peerings"] {
            let words: Vec<Json> = words.iter().map(|word| json!(word)).collect();
            let _asked_or_refused = call(&mut pass, name, &words);
        }
        for query in &pass.asked {
            prop_assert!(!query.to_string().is_empty());
        }
    }

    #[test]
    fn any_body_is_read_or_refused(body in "[\\[\\]{}:,\"a-zA-Z0-9. ]{0,60}") {
        let queries = [
            Query::health("a", true),
            Query::Services(Default::default()),
            Query::Nodes { near: None, scope: Default::default() },
            Query::Node { name: None, scope: Default::default() },
            Query::Key { key: "a".into(), scope: Default::default() },
            Query::Tree { prefix: "a".into(), scope: Default::default() },
            Query::CaRoots,
            Query::CaLeaf("a".into()),
            Query::Peerings(Default::default()),
            Query::Prepared { name: "a".into(), near: None, scope: Default::default() },
        ];
        for query in queries {
            let _read_or_refused = consul::wire::read(&query, body.as_bytes());
        }
        let _any = super::json::write(&from_json(&json!(body)), super::json::Style { pretty: true, escaped: true });
        let _yaml = super::yaml::read(&body);
    }
}
