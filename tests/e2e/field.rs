//! Configurations and templates as they are in the field (`templates/field/`), in both dialects: the same bytes from the
//! program at work over HTTP, from `rolecall render test` without it, and as they are kept.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::tempdir;
use tests::{Outcome, Trouble, binary, replay::Replay, when};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/field")
}

fn test(path: &Path) -> Outcome<Output> {
    Ok(Command::new(binary()?).args(["render", "test"]).arg(path).output()?)
}

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("the folder").map(|entry| entry.expect("an entry").path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

/// What the program prints for a configuration that is where its templates are.
fn at_work(case: &Path, what: &Value, config: &str) -> Outcome<String> {
    let consul = Replay::of(what["data"].clone())?;
    let mut render = Command::new(binary()?);
    render.args(["render", "--once", "--dry", "--consul-addr", &consul.address.to_string(), "-c", config]);
    render.current_dir(case).env_clear();
    let env = what["env"].as_array().into_iter().flatten().filter_map(Value::as_str);
    render.envs(env.filter_map(|pair| pair.split_once('=')));
    let ran = render.output()?;
    when(ran.status.success(), || String::from_utf8_lossy(&ran.stderr).into_owned())?;
    let text = String::from_utf8(ran.stdout).map_err(Trouble::new)?;
    let rest = text.split_once('\n').filter(|(first, _)| first.starts_with("> /"));
    Ok(rest.ok_or_else(|| Trouble::new(&text))?.1.to_owned())
}

#[test]
fn both_dialects_give_the_same_bytes_at_work() -> Outcome {
    let cases = cases();
    assert_eq!(cases.len(), 20);
    for case in cases {
        let what: Value = serde_json::from_str(&fs::read_to_string(case.join("case.json"))?)?;
        let expected = fs::read_to_string(case.join(what["expected_file"].as_str().unwrap_or_default()))?;
        for config in ["consul-template.hcl", "rolecall.hcl"] {
            let text = at_work(&case, &what, config).map_err(|t| t.during(case.join(config).display()))?;
            assert!(text == expected, "{}: {config} gives\n{text}\nin place of\n{expected}", case.display());
        }
    }
    Ok(())
}

#[test]
fn templates_are_tried_without_consul() -> Outcome {
    let tried = test(&folder())?;
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert_eq!(tried.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&tried.stderr));
    assert!(said.ends_with("20 passed, 0 failed, 0 left out\n"), "{said}");
    Ok(())
}

/// The only one that is cut otherwise.
const OTHER_DELIMITERS: &str = "prometheus-rules";

#[test]
fn migrated_templates_give_the_same_bytes() -> Outcome {
    let home = tempdir()?;
    for case in cases() {
        let name = case.file_name().unwrap_or_default();
        let copy = home.path().join(name);
        fs::create_dir(&copy)?;
        let mut template = PathBuf::new();
        for entry in fs::read_dir(&case)? {
            let path = entry?.path();
            fs::copy(&path, copy.join(path.file_name().unwrap_or_default()))?;
            if path.extension().is_some_and(|ending| ending == "ctmpl") {
                template = path;
            }
        }
        let mut migrate = Command::new(binary()?);
        migrate.args(["render", "migrate"]).arg(&template);
        if name == OTHER_DELIMITERS {
            migrate.args(["--left-delimiter", "[[", "--right-delimiter", "]]"]);
        }
        let migrated = migrate.output()?;
        let said = String::from_utf8_lossy(&migrated.stderr).into_owned();
        assert_eq!((migrated.status.code(), said.as_str()), (Some(0), ""), "{}", template.display());
        let target = copy.join(template.with_extension("hbs").file_name().unwrap_or_default());
        fs::write(target, migrated.stdout)?;
    }
    let tried = test(home.path())?;
    assert_eq!(tried.status.code(), Some(0), "{}", String::from_utf8_lossy(&tried.stdout));
    fs::write(home.path().join("x.ctmpl"), "\n{{ range loop 3 }}{{ break }}{{ end }}")?;
    let gap =
        Command::new(binary()?).args(["render", "migrate", "x.ctmpl"]).current_dir(home.path()).output()?;
    assert_eq!(gap.status.code(), Some(1));
    let said = String::from_utf8_lossy(&gap.stderr).into_owned();
    assert!(
        said.starts_with("x.ctmpl:2:10: no way to say this in Handlebars: a loop that is left"),
        "{said}"
    );
    Ok(())
}

#[test]
fn questions_are_explained_with_a_consul_and_without() -> Outcome {
    let case = folder().join("haproxy-by-host");
    let what: Value = serde_json::from_str(&fs::read_to_string(case.join("case.json"))?)?;
    let explain = |more: &[&str]| -> Outcome<Value> {
        let mut explain = Command::new(binary()?);
        explain.args(["render", "explain", "--json", "-c", "rolecall.hcl"]).args(more).current_dir(&case);
        let told = explain.env_clear().output()?;
        when(told.status.success(), || String::from_utf8_lossy(&told.stderr).into_owned())?;
        Ok(serde_json::from_slice(&told.stdout)?)
    };
    let told = explain(&[])?;
    assert_eq!(told["questions"].as_array().map(Vec::len), Some(1), "{told:#}");
    assert_eq!(told["depends_on_answers"].as_array().map(Vec::len), Some(3), "{told:#}");
    let consul = Replay::of(what["data"].clone())?;
    let told = explain(&["--live", "--consul-addr", &consul.address.to_string()])?;
    let questions = told["questions"].as_array().cloned().unwrap_or_default();
    let paths: Vec<_> = questions.iter().filter_map(|question| question["path"].as_str()).collect();
    let expected = [
        "/v1/health/service/api?passing=1",
        "/v1/health/service/web-shop?passing=1",
        "/v1/catalog/services",
        "/v1/kv/haproxy/check/api",
        "/v1/kv/haproxy/check/web-shop",
        "/v1/kv/haproxy/domain",
    ];
    assert_eq!(paths, expected);
    assert!(questions.iter().all(|question| question["bytes"].as_u64() > Some(0)), "{told:#}");
    assert_eq!(told["connections"]["held"], 6);
    Ok(())
}

#[test]
fn a_text_that_is_another_one_is_shown_and_is_a_failure() -> Outcome {
    let home = tempdir()?;
    let case = serde_json::json!([
        {"name": "good", "template": "{{ key \"a\" }}", "expected": "x",
         "data": [{"consul_http": [{"path": "/v1/kv/a", "body": [{"Key": "a", "Value": "eA=="}]}]}]},
        {"name": "other", "template": "a\n{{ keyOrDefault \"a\" \"b\" }}\n", "expected": "a\nc\n"},
        {"name": "waits", "template": "{{ key \"a\" }}", "expected": ""},
    ]);
    fs::write(home.path().join("templates.json"), case.to_string())?;
    let tried = test(home.path())?;
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert_eq!(tried.status.code(), Some(1), "{said}");
    for part in [
        "passed good\n",
        "FAILED other\ncontents → out: the text is another one\n--- expected\n+++ rendered\n@@ -1,2 +1,2 @@\n a\n-c\n+b\n",
        "asked, and not recorded: /v1/kv/a\n",
        "nothing would be written; it waits for kv/a (the key does not exist)",
        "1 passed, 2 failed, 0 left out\n",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    fs::write(home.path().join("templates.json"), "[{\"template\": \"x\"}]")?;
    let refused = test(home.path())?;
    assert_eq!(refused.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("say what must come of it"));
    assert_eq!(test(&home.path().join("nowhere"))?.status.code(), Some(64));
    Ok(())
}
