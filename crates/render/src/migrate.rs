//! Says a Go template in Handlebars (`rolecall render migrate`): the door that reads it.

use crate::{functions, template::TemplateError};
use gotemplate::{Failure, Migrated, Options, Template};
use std::{fs, path::Path};

/// Helpers that Handlebars has of its own.
const HELPERS: [&str; 17] = [
    "and", "each", "eq", "gt", "gte", "if", "len", "log", "lookup", "lt", "lte", "ne", "not", "or", "raw",
    "unless", "with",
];

/// The template in the file, which is cut by these delimiters (empty for `{{` and `}}`), in Handlebars.
pub fn migrate(path: &Path, delimiters: (&str, &str)) -> Result<Migrated, TemplateError> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|e| TemplateError::of(name.clone(), format!("the template cannot be read: {e}")))?;
    let find = |name: &str| functions::known(name).map(|function| &function.signature);
    let template = Template::parse(&text, delimiters, Options::default(), &find, &[]);
    let template = template.map_err(|Failure { line, column, what, .. }| TemplateError {
        name: name.clone(),
        line,
        column,
        reason: functions::elsewhere(&what).unwrap_or(what),
    })?;
    Ok(template.migrate(&|name| functions::known(name).is_some() || HELPERS.contains(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        functions::tests::{facts, setting},
        ledger::Followed,
        template::{Dialect, Language, parse},
    };
    use consul::Query;
    use serde_json::json;
    use std::sync::Arc;

    fn migrated(template: &str) -> Migrated {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("t.ctmpl");
        fs::write(&path, template).unwrap();
        migrate(&path, ("", "")).unwrap()
    }

    fn filled(text: &str, language: Language) -> String {
        let rows = json!([
            {"ID": "a", "Node": "n1", "Address": "10.0.0.1", "Port": 80, "Tags": ["x", "y"], "ServiceMeta": {"m": "1"}},
            {"ID": "b", "Node": "n2", "Address": "10.0.0.2", "Port": 81, "Tags": ["y"], "ServiceMeta": {}},
        ]);
        let known = facts(&[(Query::health("web", true), rows), (Query::health("none", true), json!([]))]);
        let dialect = Dialect { language: Some(language), ..Dialect::default() };
        let template = parse(Path::new("t"), text, &dialect, Arc::new(setting(&[("A", "a")])));
        let filled = template.unwrap_or_else(|e| panic!("{text}\n{e}")).fill(&known, &Followed::new());
        filled.text.unwrap_or_else(|e| panic!("{text}\n{e}"))
    }

    #[test]
    fn the_other_language_gives_the_same_bytes() {
        for template in [
            "a\n{{- range service \"web\" }}\n  {{ .ID }} {{ .Port }}\n{{- else }}\n none\n{{- end }}\nb\n",
            "a\n{{- range service \"none\" }}\n  {{ .ID }}\n{{- else }}\n none\n{{- end }}\nb\n",
            "{{ range service \"web\" -}}\n{{ .ID }}\n{{ end -}}\nend",
            "{{ range service \"web\" }}\n{{ .ID }}\n{{ end }}\nend\n",
            "x {{ range $i, $s := service \"web\" }}{{ if $i }}, {{ end }}{{ $s.ID }}{{ end }} y",
            "  {{ if env \"A\" }}\n  yes\n  {{ else if env \"B\" }}\n  b\n  {{ else }}\n  no\n  {{ end }}\n",
            "{{ if env \"B\" }}\n  yes\n{{ end }}",
            "{{ $x := env \"A\" }}{{ $y := 3 }}{{ range service \"web\" }}{{ $y = add $y .Port }}{{ $x }}{{ end }}{{ $y }}",
            "{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}",
            "{{ range service \"web\" }}{{ if .Tags.Contains \"x\" }}{{ .ID }}{{ end }}{{ .Tags | join \",\" }};{{ end }}",
            "{{ (index (service \"web\") 1).Node }} {{ with index (service \"web\") 0 }}{{ .Node }}{{ end }}",
            "{{ range service \"web\" }}{{ with .ServiceMeta.m }}{{ . }}{{ else }}-{{ end }}{{ or .ServiceMeta.m .Port }} {{ end }}",
            "{{ define \"t\" }}<{{ . }}>{{ end }}{{ range split \",\" \"a,b\" }}{{ template \"t\" . }}\n{{ end }}",
            "{{ define \"t\" }}\n<{{ .ID }}>\n{{ end }}{{ template \"t\" index (service \"web\") 0 }}",
            "{{ scratch.Set \"n\" 1 }}{{ scratch.Get \"n\" }} {{ \"lit\" }} {{ 3 }}{{ true }}",
            "{ {{ env \"A\" }} } {{ \"{{\" }} \\{{ env \"A\" }} { {{- env \"A\" -}} }",
            "{{ range loop 3 }}{{ . }}{{ end }}{{ range 2 }}x{{ end }}{{ if eq \"b\" \"a\" \"b\" }}in{{ end }}",
            "{{ if and (le 1 2) (not false) }}\nyes\n{{ end }}{{ `say \"hi\"` | toJSON }}{{ \"a\\tb\" }}",
            "{{ range $k, $v := parseJSON \"{\\\"env\\\":{\\\"key\\\":1}}\" }}{{ $k }}{{ $v.key }}{{ end }}",
            "{{ with parseJSON \"{\\\"key\\\":\\\"v\\\",\\\"if\\\":2}\" }}{{ .key }}{{ .if }}{{ end }}",
            "a\r\n{{ if true }}\r\nb\r\n{{ end }}\r\n",
            "{{ if true }}{{ if true }}\nx\n{{ end }}{{ end }}\n\n{{ if false }}y{{ end }}\n",
            "\n{{ with env \"A\" }}\n\n{{ . }}\n\n{{ end }}\n\n",
        ] {
            let Migrated { text, gaps } = migrated(template);
            assert_eq!(gaps, [], "{template}");
            let (go, hbs) = (filled(template, Language::Go), filled(&text, Language::Handlebars));
            assert_eq!(hbs, go, "{template}\nbecame\n{text}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_named_with_its_place() {
        for (template, line, column, what) in [
            ("\n {{ range loop 3 }}{{ if . }}{{ break }}{{ end }}{{ end }}", 2, 11, "a loop that is left"),
            ("{{ define \"t\" }}{{ end }}{{ $x := executeTemplate \"t\" 1 }}", 1, 35, "executeTemplate"),
            ("{{ if $x := env \"A\" }}{{ end }}", 1, 7, "a variable that {{if …}} gives a value to"),
            ("{{ define \"a b\" }}x{{ end }}{{ template \"a b\" }}", 1, 41, "a template of the name"),
            ("{{ range service \"web\" }}{{ .Nope 1 }}{{ end }}", 1, 29, "the method .Nope"),
        ] {
            let Migrated { text, gaps } = migrated(template);
            let [gap] = &gaps[..] else { panic!("{template}: {gaps:?}") };
            assert!(gap.what.starts_with(what), "{template}: {gap:?}");
            assert_eq!((gap.line, gap.column), (line, column), "{template}: {gap:?}");
            assert!(text.contains(&format!("{{{{!-- line {line}: no way to say this")), "{text}");
        }
        let error = migrate(Path::new("/nowhere/t.ctmpl"), ("", "")).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
