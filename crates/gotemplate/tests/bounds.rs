//! Whatever a template says, it ends: with a text or an error, in bounded stack, time and memory.

use gotemplate::{Host, Options, Signature, Template, Value};
use proptest::prelude::*;

/// No functions but the language's own.
struct Nobody;

impl Host for Nobody {
    fn function(&self, _: &str) -> Option<&'static Signature> {
        None
    }

    fn call(&mut self, _: &'static Signature, _: &[Value]) -> Result<Value, String> {
        Ok(Value::Nil)
    }

    fn method(&mut self, _: &Value, _: &str, _: &[Value]) -> Option<Result<Value, String>> {
        None
    }
}

fn render(text: &str) -> Result<String, String> {
    let template = Template::parse(text, ("", ""), Options::default(), &|_| None, &[]).map_err(|e| e.what)?;
    template.render(&mut Nobody).map_err(|e| e.what)
}

#[test]
fn recursion_is_stopped_with_an_error() {
    let nested = format!("{}{}", "{{ if true }}".repeat(40), "{{ end }}".repeat(40));
    let inside = nested.replace("{{ if true }}{{ end }}", r#"{{ if true }}{{ template "t" }}{{ end }}"#);
    for text in [
        r#"{{ define "t" }}{{ template "t" }}{{ end }}{{ template "t" }}"#.to_owned(),
        r#"{{ define "t" }}{{ executeTemplate "t" }}{{ end }}{{ template "t" }}"#.to_owned(),
        r#"{{ define "t" }}{{ print (print (print (executeTemplate "t"))) }}{{ end }}{{ template "t" }}"#.to_owned(),
        format!(r#"{{{{ define "t" }}}}{inside}{{{{ end }}}}{{{{ template "t" }}}}"#),
        r#"{{ define "t" }}{{ range 1 }}{{ with 1 }}{{ template "t" . }}{{ end }}{{ end }}{{ end }}{{ template "t" }}"#
            .to_owned(),
    ] {
        let error = render(&text).unwrap_err();
        assert!(error.contains("exceeded maximum template depth"), "{error}");
    }
}

#[test]
fn nesting_is_bounded_when_parsed() {
    for text in [
        format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000)),
        format!("{}{}", "{{ if 1 }}".repeat(5000), "{{ end }}".repeat(5000)),
        format!("{{{{ if 1 }}}}{}{{{{ end }}}}", "{{ else if 1 }}".repeat(5000)),
        "{{ define \"a\" }}".repeat(5000),
        "{{ block \"a\" . }}".repeat(5000),
    ] {
        assert!(render(&text).is_err());
    }
    let fine = format!("{{{{ {}1{} }}}}", "(".repeat(60), ")".repeat(60));
    assert_eq!(render(&fine).unwrap(), "1");
}

#[test]
fn loops_and_growth_are_stopped_with_an_error() {
    for (text, why) in [
        ("{{ range 9000000000000 }}{{ end }}", "does too much"),
        ("{{ range 9000000000000 }}xxxxxxxx{{ end }}", "grew beyond"),
        ("{{ $x := \"aaaaaaaa\" }}{{ range 60 }}{{ $x = print $x $x }}{{ end }}", "grew beyond"),
        (
            "{{ printf \"%900000d%900000d\" 1 1 }}{{ range 100 }}{{ printf \"%900000d\" 1 }}{{ end }}",
            "grew beyond",
        ),
    ] {
        let error = render(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,200}") {
        let _ = render(&text);
    }

    #[test]
    fn any_words_in_an_action_end(words in proptest::collection::vec(prop_oneof![
        Just("{{"), Just("}}"), Just("{{- "), Just(" -}}"), Just("if"), Just("range"), Just("with"), Just("end"),
        Just("else"), Just("define"), Just("block"), Just("template"), Just("\"t\""), Just("$x"), Just(":="), Just("="),
        Just("|"), Just("("), Just(")"), Just("."), Just(".A"), Just("1"), Just("-0x1p4"), Just("'a'"), Just("nil"),
        Just("true"), Just("printf"), Just("\"%[2]*.[1]*f|%d %+q %x\""), Just("index"), Just("slice"), Just("len"),
        Just("eq"), Just("and"), Just("/*"), Just("*/"), Just("é"), Just(","), Just("`"), Just("\n"), Just("break"),
    ], 0..40)) {
        let _ = render(&words.join(" "));
        let _ = render(&format!("{{{{ {} }}}}", words.join(" ")));
    }

    #[test]
    fn any_format_ends(format in "[%#0+\\-. \\[\\]0-9*vdsqxXobcUtTeEfFgGp!]{0,30}", n: i64, f: f64, s in ".{0,10}") {
        let values = [Value::int(n), Value::Float(f), Value::text(s), Value::Nil, Value::strings(["a"])];
        let text = gotemplate::print::printf(&format, &values);
        prop_assert!(text.len() < 64 << 20);
    }
}
