//! Whatever a template says, in either dialect, it ends: with a text or an error, in bounded stack, time and memory.

use super::{Dialect, Language, parse};
use crate::{
    functions::tests::{facts, setting},
    ledger::Followed,
};
use consul::Query;
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};

fn fill(language: Language, text: &str) -> Result<String, String> {
    let row =
        json!({"ID": "a", "Node": "n", "Address": "10.0.0.1", "Port": 1, "Tags": ["x"], "ServiceMeta": {}});
    let known = [
        (Query::health("web", true), json!([row, row])),
        (Query::Key { key: "k".into(), scope: Default::default() }, json!({"Key": "k", "Value": "[1,[2]]"})),
    ];
    fill_from(language, text, &known)
}

fn fill_from(language: Language, text: &str, known: &[(Query, Value)]) -> Result<String, String> {
    let dialect = Dialect { language: Some(language), ..Dialect::default() };
    let template =
        parse(Path::new("t"), text, &dialect, Arc::new(setting(&[]))).map_err(|e| e.to_string())?;
    template.fill(&facts(known), &Followed::new()).text.map_err(|e| e.to_string())
}

/// How deep, in levels, is fine to read; how many, of anything, never is.
const MANY: usize = 5_000;

#[test]
fn what_includes_itself_loops_or_grows_is_stopped_with_an_error() {
    let doubled = "{{#with (print a a) as |a|}}".repeat(60) + &"{{/with}}".repeat(60);
    let doubled = format!("{{{{#with \"aaaaaaaa\" as |a|}}}}{doubled}{{{{/with}}}}");
    let chain: String =
        (0..200).map(|n| format!("{{{{#*inline \"p{n}\"}}}}{{{{> p{}}}}}{{{{/inline}}}}", n + 1)).collect();
    let in_loops = |body: &str| {
        format!(
            "{{{{#with (split \",\" (sprig_repeat 4000 \"a,\")) as |l|}}}}{{{{#each l}}}}{{{{#each l}}}}{body}{{{{/each}}}}{{{{/each}}}}{{{{/with}}}}"
        )
    };
    let held = format!(
        "{{{{#*inline \"p\"}}}}{{{{/inline}}}}{{{{#> p}}}}{}{{{{/p}}}}",
        in_loops(&"x".repeat(9_000))
    );
    use Language::{Go, Handlebars};
    let mut wrong = vec![];
    for (language, text, why) in [
        (Handlebars, r#"{{#*inline "p"}}{{> p}}{{/inline}}{{> p}}"#.to_owned(), "includes itself"),
        (Handlebars, r#"{{#*inline "p"}}{{> q}}{{/inline}}{{#*inline "q"}}{{#if 1}}{{> p}}{{/if}}{{/inline}}{{> p}}"#.into(), "includes itself"),
        (Handlebars, r#"{{#*inline "p"}}{{> (print "p")}}{{/inline}}{{> p}}"#.into(), "includes itself"),
        (Handlebars, r#"{{#*inline (print "p")}}{{> p}}{{/inline}}{{> p}}"#.into(), "needs a name"),
        // The template itself is none of its partials.
        (Handlebars, "{{> t}}".into(), "there is no partial `t`"),
        (Handlebars, chain + "{{> p0}}", "too deep in each other"),
        (Handlebars, "{{#if 1}}".repeat(MANY), "too deep in each other"),
        (Handlebars, format!("{{{{#if 1}}}}{}{{{{/if}}}}", "{{else if 1}}".repeat(MANY)), "too deep in each other"),
        (Handlebars, format!("{{{{print {}1{}}}}}", "(print ".repeat(MANY), ")".repeat(MANY)), "too deep in each other"),
        (Handlebars, in_loops(""), "does too much"),
        (Handlebars, in_loops(&"x".repeat(400)), "grew beyond"),
        (Handlebars, held, "grew beyond"),
        (Handlebars, "{{#each (loop 0 9000000000000)}}{{/each}}".into(), "too many"),
        (Handlebars, doubled, "grew beyond"),
        (Handlebars, "{{sprig_repeat 9000000000 \"x\"}}".into(), "grew beyond"),
        (Handlebars, "{{#with (sprig_repeat 1000000 \"x\") as |x|}}{{replaceAll \"x\" x x}}{{/with}}".into(), "grew beyond"),
        (Handlebars, "{{#with (sprig_repeat 1000000 \"x\") as |x|}}{{regexReplaceAll \"x\" x x}}{{/with}}".into(), "grew beyond"),
        (Handlebars, "{{#with (sprig_repeat 1000000 \"x\") as |x|}}{{sprig_wrapWith 1 x x}}{{/with}}".into(), "grew beyond"),
        (Handlebars, "{{#with (sprig_repeat 100000 \"x,\") as |x|}}{{join x (split \",\" x)}}{{/with}}".into(), "grew beyond"),
        (Handlebars, "{{indent 1000000 (sprig_repeat 1000000 \"\\n\")}}".into(), "too many"),
        (Go, r#"{{ define "p" }}{{ template "p" }}{{ end }}{{ template "p" }}"#.into(), "exceeded maximum template depth"),
        (Go, r#"{{ define "p" }}{{ executeTemplate "q" }}{{ end }}{{ define "q" }}{{ executeTemplate "p" }}{{ end }}{{ template "p" }}"#.into(), "exceeded maximum template depth"),
        (Go, "{{ if 1 }}".repeat(MANY), ""),
        (Go, "{{ sprig_repeat 9000000000 \"x\" }}".into(), "grew beyond"),
        (Go, "{{ $x := sprig_repeat 1000000 \"x\" }}{{ $x | replaceAll \"x\" $x }}".into(), "grew beyond"),
        (Go, "{{ $x := sprig_repeat 1000000 \"x\" }}{{ $x | regexReplaceAll \"x\" $x }}".into(), "grew beyond"),
        (Go, "{{ $x := sprig_repeat 1000000 \"x\" }}{{ sprig_wrapWith 1 $x $x }}".into(), "grew beyond"),
        (Go, "{{ $x := sprig_repeat 1000000 \"x,\" }}{{ split \",\" $x | join $x }}".into(), "grew beyond"),
        (Go, "{{ sprig_repeat 1000000 \"\\n\" | indent 1000000 }}".into(), "too many"),
        (Go, "{{ range loop 9000000000000 }}{{ $x := sprig_repeat 16000000 \"x\" }}{{ end }}".into(), "does too much"),
        (Go, "{{ range loop 9000000000000 }}{{ scratch.Set \"a\" (sprig_repeat 16000000 \"x\") }}{{ end }}".into(), "does too much"),
        (Go, "{{ range $i := loop 9000000000000 }}{{ scratch.Set (print $i) (sprig_repeat 16000000 \"x\") }}{{ end }}".into(), ""),
    ] {
        let found = fill(language, &text).map(|text| text.len());
        if !found.as_ref().is_err_and(|error| error.contains(why)) {
            let shown: String = text.chars().take(120).collect();
            wrong.push(format!("{language:?} {shown}: {found:?}, not {why:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn loops_are_as_in_handlebars() {
    for (text, wanted) in [
        (
            "{{#each (split \",\" \"a,b\")}}{{@index}}{{@first}}{{@last}}{{this}} {{/each}}",
            "0truefalsea 1falsetrueb ",
        ),
        ("{{#each (split \",\" \"a,b\") as |x i|}}{{i}}{{x}} {{/each}}", "0a 1b "),
        (
            "{{#each (parseJSON \"{\\\"a\\\":1,\\\"b\\\":2}\") as |v k|}}{{k}}{{v}}{{@key}}{{@index}} {{/each}}",
            "a1a0 b2b1 ",
        ),
        (
            "{{#each (service \"web\")}}{{#each Tags}}{{this}}{{../ID}}{{@../index}}{{/each}} {{/each}}",
            "xa0 xa1 ",
        ),
        (
            "{{#each (service \"web\") as |s|}}{{#each s.Tags as |t|}}{{t}}{{s.ID}}{{/each}} {{/each}}",
            "xa xa ",
        ),
        ("{{#with (service \"web\") as |l|}}{{#each l as |s|}}{{s.Port}}{{/each}}{{/with}}", "11"),
        ("{{#each (parseJSON \"[]\")}}x{{else}}none{{/each}}{{#each (parseJSON \"[]\")}}x{{/each}}", "none"),
        ("{{#*inline \"p\"}}[{{ID}}]{{/inline}}{{#each (service \"web\")}}{{> p}}{{/each}}", "[a][a]"),
        (
            "{{#*inline \"p\"}}<{{> @partial-block}}>{{/inline}}{{#> p}}{{#each (service \"web\")}}{{ID}}{{/each}}{{/p}}",
            "<aa>",
        ),
    ] {
        assert_eq!(fill(Language::Handlebars, text).as_deref(), Ok(wanted), "{text}");
    }
    let error = fill(Language::Handlebars, "{{#each nope}}x{{/each}}").unwrap_err();
    assert!(error.contains("`nope` does not exist here"), "{error}");
}

/// Words of both languages, and what functions take.
fn words() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::collection::vec(
        select(vec![
            "{{",
            "}}",
            "{{#each ",
            "{{/each}}",
            "{{#if ",
            "{{/if}}",
            "{{else}}",
            "{{else if ",
            "{{#with ",
            "{{/with}}",
            "{{> p}}",
            "{{#*inline \"p\"}}",
            "{{/inline}}",
            "{{#> p}}",
            "{{/p}}",
            "{{> @partial-block}}",
            "{{~",
            "~}}",
            "{{!--",
            "--}}",
            "{{{",
            "}}}",
            "{{{{raw}}}}",
            "{{{{/raw}}}}",
            "(",
            ")",
            " as |x|",
            " as |x y|",
            "x",
            "this",
            "../",
            "@index",
            "(service \"web\")",
            "(key \"k\")",
            "(parseJSON (key \"k\"))",
            "(loop 0 5)",
            "\"web\"",
            "3",
            "-1",
            "=",
            ".",
            "..",
            "[",
            "]",
            "'",
            "é",
            "\\",
            "\n",
            "{{ range ",
            "{{ end }}",
            "{{ define \"p\" }}",
            "{{ template \"p\" . }}",
            "{{ $x := ",
            "$x",
            "|",
            "service \"web\"",
            "key \"k\"",
            "print",
            "index",
            "len",
            "scratch.Set \"a\" ",
            "sprig_dict",
            "explode (tree \"k\")",
            "toJSON",
            "toYAML",
            "byTag",
            "split \",\"",
            "join \",\"",
            "regexMatch \"(\"",
            "indent 3",
            "executeTemplate \"p\"",
            "printf \"%*v\"",
            "{{ break }}",
            "{{ block \"p\" . }}",
            "{{- ",
            " -}}",
            "{{/* ",
            " */}}",
        ]),
        0..40,
    )
}

/// Answers of any shape, with the names that Consul's have.
fn answers() -> impl Strategy<Value = Value> {
    let words = select(vec!["", "a", "master", "passing", "3", "aGVsbG8=", "???", "10.0.0.1", "<html>", "é"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        words.prop_map(Value::from)
    ];
    let names = select(vec![
        "Node",
        "Service",
        "Checks",
        "ID",
        "Address",
        "Port",
        "Tags",
        "Meta",
        "Status",
        "Key",
        "Value",
        "ModifyIndex",
        "Nodes",
        "Services",
        "TaggedAddresses",
        "Weights",
        "epoch",
        "role",
        "Roots",
        "TTL",
        "",
    ]);
    leaf.prop_recursive(6, 80, 6, move |inner| {
        let object = proptest::collection::btree_map(names.clone(), inner.clone(), 0..6);
        let list = proptest::collection::vec(inner, 0..4);
        prop_oneof![
            list.prop_map(Value::from),
            object.prop_map(|all| Value::Object(all.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()))
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_template_is_filled_or_refused(words in words(), text in "\\PC{0,20}") {
        let joined = words.concat();
        for language in [Language::Go, Language::Handlebars] {
            let _filled_or_refused = fill(language, &joined);
            let _filled_or_refused = fill(language, &format!("{}{text}", words.join(" ")));
        }
    }

    #[test]
    fn any_answer_is_read_and_shown_or_refused(answer in answers(), rows in 0..3_usize) {
        let scope = consul::query::Scope::default;
        let body = if rows == 0 { answer.to_string() } else { json!(vec![answer; rows]).to_string() };
        for (query, hbs, go) in [
            (Query::health("w", true), "{{#each (service \"w\")}}{{ID}}{{#each Tags}}{{this}}{{/each}}{{/each}}{{#with (master \"w\")}}{{Port}}{{/with}}", "{{ service \"w\" }}{{ range service \"w\" | byTag }}{{ . }}{{ end }}"),
            (Query::Key { key: "k".into(), scope: scope() }, "{{key \"k\"}}", "{{ key \"k\" }}"),
            (Query::Tree { prefix: "k".into(), scope: scope() }, "{{#each (tree \"k\")}}{{Key}}{{Value}}{{/each}}", "{{ tree \"k\" | explode }}{{ ls \"k\" }}"),
            (Query::Services(scope()), "{{#each (services)}}{{Name}}{{/each}}", "{{ services }}"),
            (Query::Nodes { near: None, scope: scope() }, "{{#each (nodes)}}{{Node}}{{/each}}", "{{ nodes }}"),
            (Query::Node { name: None, scope: scope() }, "{{#with (node)}}{{Node.Address}}{{/with}}", "{{ with node }}{{ .Node.Address }}{{ .Services }}{{ end }}"),
            (Query::CaRoots, "{{#each (caRoots)}}{{ID}}{{/each}}", "{{ caRoots }}"),
        ] {
            if let Ok(value) = consul::wire::read(&query, body.as_bytes()) {
                let known = [(query, value)];
                let _shown_or_refused = fill_from(Language::Handlebars, hbs, &known);
                let _shown_or_refused = fill_from(Language::Go, go, &known);
            }
        }
    }

    #[test]
    fn any_call_in_any_dialect_ends(name in select(names()), values in proptest::collection::vec(select(vec![
        "\"\"", "\"a,b\"", "\"%d\"", "\"[1]\"", "\"(a\"", "0", "-1", "9223372036854775807", "1.5", "true", "(parseJSON \"[1,2]\")",
        "(parseJSON \"{\\\"a\\\":1}\")", "(service \"web\")", "(key \"k\")", "(sprig_list 1 \"a\")", "\"1.2.3\"", "\"é\"",
    ]), 0..5)) {
        let call = format!("{name} {}", values.join(" "));
        let _ends = fill(Language::Go, &format!("{{{{ {call} }}}}{{{{ range {call} }}}}{{{{ . }}}}{{{{ end }}}}"));
        let _ends = fill(Language::Handlebars, &format!("{{{{{call}}}}}"));
        let _ends = fill(Language::Handlebars, &format!("{{{{#each ({call})}}}}{{{{this}}}}{{{{/each}}}}"));
    }
}

fn names() -> Vec<&'static str> {
    crate::functions::all().map(|function| function.signature.name).collect()
}
