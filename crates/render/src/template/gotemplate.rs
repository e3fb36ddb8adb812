//! The Go dialect: consul-template's templates as they are, over the same table of functions.

use super::{Dialect, Draft, Mention, Partial, Template, TemplateError};
use crate::{
    facts::Facts,
    functions::{self, Ended, Memo, Pass, Setting},
    ledger::Followed,
    parts,
};
use gotemplate::{Failure, Host, Options, Signature, Value};
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// A parsed Go template.
pub(super) struct GoTemplate {
    name: String,
    template: gotemplate::Template,
    setting: Arc<Setting>,
    memo: Mutex<Memo>,
}

impl GoTemplate {
    pub(super) fn parse(
        path: &Path,
        text: &str,
        dialect: &Dialect,
        setting: Arc<Setting>,
    ) -> Result<Self, TemplateError> {
        let name = path.display().to_string();
        let options = Options { missing_is_error: dialect.missing_is_error, strict: dialect.strict };
        let find = |name: &str| functions::find(name, &setting).map(|function| &function.signature);
        let delimiters = (dialect.left.as_str(), dialect.right.as_str());
        let partials: Vec<_> = dialect.partials.iter().map(partial).collect();
        match gotemplate::Template::parse(text, delimiters, options, &find, &partials) {
            Ok(template) => Ok(GoTemplate { name, template, setting, memo: Mutex::default() }),
            Err(Failure { file, line, column, what, .. }) => {
                let reason = functions::elsewhere(&what).unwrap_or(what);
                let name = file.map_or(name, |file| file.to_string());
                Err(TemplateError { name, line, column, reason })
            }
        }
    }
}

fn partial(partial: &Partial) -> gotemplate::Partial<'_> {
    gotemplate::Partial { name: &partial.name, file: &partial.file, text: &partial.text }
}

impl Template for GoTemplate {
    fn fill(&self, facts: &Facts, followed: &Followed) -> Draft {
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pass = Pass::new(Arc::clone(facts), Arc::clone(&self.setting), std::mem::take(&mut *memo));
        pass.trail.followed.clone_from(followed);
        let mut host = Functions(pass);
        let text = self.template.render(&mut host);
        let Ended { asked, calls, mut missing, warnings, trail, memo: kept, files } = host.0.end();
        *memo = kept;
        if text.as_ref().is_err_and(|failure| failure.certain) {
            // No answer will mend it.
            missing.clear();
        }
        let text = text.map_err(|Failure { file, line, column, what, .. }| TemplateError {
            name: file.map_or_else(|| self.name.clone(), |file| file.to_string()),
            line,
            column,
            reason: what,
        });
        let text = text.and_then(|text| {
            parts::check(text, &files).map_err(|reason| TemplateError::of(&self.name, reason))
        });
        Draft { text, asked, calls, missing, warnings, trail }
    }

    fn mentions(&self) -> Vec<Mention> {
        let mention = |mention: gotemplate::Mention| Mention {
            file: mention.file.map_or_else(|| self.name.clone(), |file| file.to_string()),
            line: mention.line,
            column: mention.column,
            function: mention.function.to_owned(),
            call: mention.call,
        };
        self.template.calls().into_iter().map(mention).collect()
    }
}

/// The table of functions, as the language calls it.
struct Functions(Pass);

impl Host for Functions {
    fn function(&self, name: &str) -> Option<&'static Signature> {
        functions::find(name, &self.0.setting).map(|function| &function.signature)
    }

    fn call(&mut self, signature: &'static Signature, arguments: &[Value]) -> Result<Value, String> {
        match functions::find(signature.name, &self.0.setting) {
            Some(function) => function.call(&mut self.0, arguments),
            None => Err("there is no such function".into()),
        }
    }

    fn method(&mut self, of: &Value, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        functions::method(of, name, arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::tests::{facts, setting};
    use consul::Query;
    use serde_json::json;

    fn fill(text: &str, strict: bool) -> Draft {
        let row = |id: &str, tag: &str| {
            json!({"Node": "n", "ID": id, "Address": "10.0.0.1", "Port": 6379, "Tags": [tag], "Status": "passing",
                   "ServiceMeta": {"role": tag}, "Datacenter": "dc1", "ModifyIndex": 7})
        };
        let known =
            facts(&[(Query::health("redis", true), json!([row("a", "master"), row("b", "replica")]))]);
        let dialect = Dialect { strict, ..Dialect::default() };
        match GoTemplate::parse(Path::new("t.ctmpl"), text, &dialect, Arc::new(setting(&[]))) {
            Ok(template) => template.fill(&known, &Followed::new()),
            Err(error) => Draft {
                text: Err(error),
                asked: Default::default(),
                calls: Default::default(),
                missing: Default::default(),
                warnings: Default::default(),
                trail: Default::default(),
            },
        }
    }

    fn text(template: &str) -> Result<String, String> {
        fill(template, false).text.map_err(|error| error.to_string())
    }

    #[test]
    fn every_example_in_the_table_gives_what_it_says() {
        let examples = functions::all().filter(|function| !function.result.is_empty());
        let wrong: Vec<String> = examples
            .filter_map(|function| {
                let found = text(function.example);
                (found.as_deref() != Ok(function.result)).then(|| {
                    format!("{}: {found:?} in place of {:?}", function.signature.name, function.result)
                })
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Templates of ours, with what consul-template 0.42.1 made of each.
    #[test]
    fn templates_give_what_consul_template_gives() {
        let cases: Vec<serde_json::Value> = serde_json::from_str(include_str!("go_cases.json")).unwrap();
        let wrong: Vec<String> = cases
            .iter()
            .filter_map(|case| {
                let found = text(case["template"].as_str().unwrap());
                let right = match (&found, case["text"].as_str(), case["error"].as_str()) {
                    // Two halves of a letter are the letter, once they are bytes in a file.
                    (Ok(found), Some(text), _) => *octets::bytes(found) == *text.as_bytes(),
                    (Err(found), _, Some(error)) => found.ends_with(error),
                    _ => false,
                };
                (!right).then(|| format!("{case}: {found:?}"))
            })
            .collect();
        assert!(wrong.is_empty() && cases.len() > 100, "{}", wrong.join("\n"));
    }

    #[test]
    fn services_are_as_in_consul_template_and_say_more() {
        for (template, expected) in [
            (
                r#"{{ range service "redis" }}{{ .ID }}={{ .Address }}:{{ .Port }} {{ end }}"#,
                "a=10.0.0.1:6379 b=10.0.0.1:6379 ",
            ),
            (
                r#"{{ range service "redis" }}{{ if .Tags.Contains "master" }}{{ .ID }}{{ end }}{{ end }}"#,
                "a",
            ),
            (r#"{{ range service "redis" "tag=replica" }}{{ .ID }}{{ end }}"#, ""),
            (r#"{{ range service "redis" "meta=role:replica" }}{{ .ID }}{{ end }}"#, "b"),
            (r#"{{ range service "redis" "tags=master,x" }}{{ .ID }}{{ end }}"#, "a"),
            (
                r#"{{ with master "redis" }}{{ .ID }} {{ .Datacenter }} {{ .ModifyIndex }}{{ end }}"#,
                "a dc1 7",
            ),
            (
                r#"{{ range $role, $all := service "redis" | byMeta "role" }}{{ $role }}{{ len $all }} {{ end }}"#,
                "master1 replica1 ",
            ),
            (r#"{{ (index (service "redis") 0).ServiceMeta.nope }}|"#, "|"),
            (
                r#"{{ with index (service "redis") 0 }}{{ .Checks.AggregatedStatus }}{{ .Weights }}{{ end }}"#,
                "passing{0 0}",
            ),
        ] {
            let draft = fill(template, false);
            if template.contains("tag=replica") {
                assert_eq!(draft.missing.len(), 1, "Consul is asked for the tag");
            }
            assert_eq!(draft.text.unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn errors_are_in_gos_words_with_the_place() {
        for (template, error) in [
            (
                "a\n{{ range service \"redis\" }}{{ .Nope }}{{ end }}",
                "t.ctmpl:2:30: executing \"\" at <.Nope>: can't evaluate field Nope in type *dependency.HealthService",
            ),
            ("{{ nope }}", "t.ctmpl:1: function \"nope\" not defined"),
            ("{{ secret \"a\" }}", "t.ctmpl:1: secret is not in rolecall: it reads Vault"),
            ("{{ nomadVar \"a\" }}", "t.ctmpl:1: nomadVar is not in rolecall: it reads Nomad"),
            (
                "{{ writeToFile \"a\" }}",
                "t.ctmpl:1: writeToFile is not in rolecall: a function writes nothing here; use `directory`",
            ),
            ("{{ toUpper 1 }}", "t.ctmpl:1:11: executing \"\" at <1>: expected string; found 1"),
            (
                "{{ plugin \"true\" }}",
                "t.ctmpl:1:3: executing \"\" at <plugin \"true\">: error calling plugin: programs are not run",
            ),
        ] {
            let found = text(template).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }

    #[test]
    fn what_go_prints_and_nobody_wants_is_an_error_when_strict() {
        for template in [
            r#"{{ parseJSON "10000000" }}"#,
            r#"{{ with parseJSON "{\"b\":1}" }}{{ .a }}{{ end }}"#,
            r#"{{ parseJSON "null" }}"#,
            r#"{{ service "redis" }}"#,
            r#"{{ printf "%d" "x" }}"#,
            r#"{{ scratch.Get "x" }}"#,
        ] {
            assert!(fill(template, false).text.is_ok(), "{template}");
            let error = fill(template, true).text.unwrap_err();
            assert!(error.line == 1 && error.column > 0, "{template}: {error}");
        }
        assert_eq!(fill(r#"{{ parseJSON "5" }} {{ 7 | divide 2.0 }}"#, true).text.unwrap(), "5 3.5");
    }

    #[test]
    fn a_mistake_that_no_answer_mends_does_not_wait_for_answers() {
        let draft = fill("{{ (key \"a\").Foo }}", false);
        assert!(draft.text.is_err() && draft.missing.is_empty());
        let draft = fill("{{ index (service \"web\") 0 }}", false);
        assert!(draft.text.is_err() && !draft.missing.is_empty(), "it may be well with an answer");
    }

    #[test]
    fn maps_that_hold_themselves_end_too() {
        for template in [
            r#"{{ $d := sprig_dict }}{{ $_ := sprig_set $d "a" $d }}{{ len (print $d) }}"#,
            r#"{{ $d := sprig_dict }}{{ $_ := sprig_set $d "a" $d }}{{ toJSON $d }}"#,
            r#"{{ $d := sprig_dict }}{{ $_ := sprig_set $d "a" $d }}{{ toYAML $d }}{{ toTOML $d }}"#,
            r#"{{ $d := sprig_dict }}{{ $_ := sprig_set $d "a" $d }}{{ sprig_deepCopy $d }}{{ spew_sdump $d }}"#,
            r#"{{ $d := sprig_dict }}{{ $e := $d }}{{ range 100000 }}{{ $n := sprig_dict }}{{ $_ := sprig_set $e "a" $n }}{{ $e = $n }}{{ end }}"#,
            r#"{{ $d := sprig_list }}{{ range 100000 }}{{ $d = sprig_list $d }}{{ end }}"#,
            r#"{{ $d := sprig_list 1 }}{{ range 64 }}{{ $d = sprig_list $d $d }}{{ end }}{{ toJSON $d }}"#,
        ] {
            let _ended = fill(template, false);
            let _ended = fill(template, true);
        }
    }

    fn with_partials(template: &str, partials: &[(&str, &str)]) -> Result<String, String> {
        let partial = |(name, text): &(&str, &str)| Partial {
            name: (*name).into(),
            file: format!("p/{name}.ctmpl"),
            text: (*text).into(),
        };
        let dialect = Dialect { partials: partials.iter().map(partial).collect(), ..Dialect::default() };
        let template = GoTemplate::parse(Path::new("t.ctmpl"), template, &dialect, Arc::new(setting(&[])));
        let draft = template.map_err(|e| e.to_string())?.fill(&facts(&[]), &Followed::new());
        draft.text.map_err(|e| e.to_string())
    }

    #[test]
    fn partials_are_templates_by_their_names() {
        let partials = [("a/b", "{{ . }}{{ template \"c\" }}{{ define \"d\" }}D{{ end }}"), ("c", "C")];
        let text = with_partials("{{ template \"a/b\" 1 }}{{ template \"d\" }}", &partials);
        assert_eq!(text.unwrap(), "1CD");
        let text = with_partials("{{ define \"c\" }}own{{ end }}{{ template \"a/b\" 1 }}", &partials);
        assert_eq!(text.unwrap(), "1own", "the file's own goes first");
        for (template, partials, error) in [
            (
                "a\n{{ template \"nope\" }}",
                vec![("c", "")],
                "t.ctmpl:2:12: template \"nope\" not defined; there are c",
            ),
            (
                "{{ template \"a\" }}",
                vec![("a", "\n{{ template \"b\" }}")],
                "p/a.ctmpl:2:12: template \"b\" not defined",
            ),
            (
                "{{ template \"a\" }}",
                vec![("a", "{{ template \"a\" }}")],
                "p/a.ctmpl:1:12: executing \"a\" at",
            ),
            ("{{ template \"a\" }}", vec![("a", "{{ if }}")], "p/a.ctmpl:1: missing value for if"),
            (
                "{{ template \"a\" 1 }}",
                vec![("a", "\n{{ .Nope }}")],
                "p/a.ctmpl:2:3: executing \"a\" at <.Nope>",
            ),
        ] {
            let found = with_partials(template, &partials).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }

    #[test]
    fn one_text_may_be_several_files() {
        let text =
            text("{{ range loop 2 }}{{ toFile (printf \"%d.conf\" .) }}\nfile {{ . }}\n{{ end }}").unwrap();
        assert_eq!(parts::split(&text), [("0.conf", "file 0\n"), ("1.conf", "file 1\n")]);
        for (template, error) in [
            ("{{ toFile \"../x\" }}", "is no name for a file"),
            ("x{{ toFile \"a\" }}", "stands before the first toFile"),
            ("{{ $a := toFile \"a\" }}", "print what it returns"),
            ("{{ toFile \"a\" }}{{ toFile \"a\" }}", "toFile begins a twice"),
        ] {
            let found = self::text(template).unwrap_err();
            assert!(found.contains(error), "{found}");
        }
    }
}
