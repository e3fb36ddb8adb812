//! What a template makes of given answers, byte by byte (`golden/CASE/`): `facts.json` holds the template, the
//! environment and Consul's answers, `expected.cfg` the text, which its reader must find sound: a real HAProxy, or
//! for `*.json.hbs` a JSON parser. Beside them lie the files that the text names.
//!
//! After a wanted change of a template, `ROLECALL_BLESS=1` writes the expected texts anew; read the diff.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::tempdir;
use tests::{Outcome, Scene, Scripted, Trouble, binary, found};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder).expect("the cases").map(|entry| entry.expect("a case").path()).collect();
    cases.sort();
    cases
}

fn facts(case: &Path) -> Outcome<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(case.join("facts.json"))?)?)
}

/// What the text's reader says against it; a configuration finds the files that it names in the case's folder.
fn faults(template: &str, case: &Path, out: &Path) -> Outcome<String> {
    if template.ends_with(".json.hbs") {
        return Ok(serde_json::from_str::<Value>(&fs::read_to_string(out)?)
            .err()
            .map_or(String::new(), |e| e.to_string()));
    }
    let mut config = out.to_owned();
    if template.ends_with(".map.hbs") {
        config.set_extension("cfg");
        fs::write(&config, MAP.replace("FILE", &out.display().to_string()))?;
    }
    let mut check = Command::new(found("haproxy".as_ref())?);
    let checked = check.args(["-c", "-f"]).arg(config).current_dir(case).output()?;
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    Ok(if checked.status.code() == Some(0) && !said.contains("[WARNING]") { String::new() } else { said })
}

/// The least that reads a map.
const MAP: &str = "\
frontend f
    mode tcp
    timeout client 1s
    bind 127.0.0.1:1
    tcp-request connection reject if { src,map_str(FILE) x }
";

async fn rendered(facts: &Value, out: &Path) -> Outcome<String> {
    let texts = |key: &str| -> BTreeMap<String, String> {
        let all = facts[key].as_object().cloned().unwrap_or_default();
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        all.into_iter().map(|(name, value)| (name, text(value))).collect()
    };
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates");
    let template = templates.join(facts["template"].as_str().unwrap_or_default());
    let consul = Scripted::start(Scene::Answers(texts("answers"))).await?;
    let mut render = Command::new(binary()?);
    render.args(["render", "--once", "--consul-addr", consul.address(), "--template"]);
    render.arg(format!("{}:{}", template.display(), out.display())).env_clear().envs(texts("env"));
    // The server answers on this runtime, so the child must not block it.
    let ran = tokio::task::spawn_blocking(move || render.output()).await??;
    if !ran.status.success() {
        return Err(Trouble::new(String::from_utf8_lossy(&ran.stderr)));
    }
    Ok(fs::read_to_string(out)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_become_what_they_became() -> Outcome {
    let home = tempdir()?;
    for case in cases() {
        // Render remembers beside its file which masters it followed: a case must not hear of another's.
        let out = home.path().join(case.file_name().unwrap_or_default());
        let facts = facts(&case)?;
        let text = rendered(&facts, &out).await.map_err(|t| t.during(case.display()))?;
        let faults = faults(facts["template"].as_str().unwrap_or_default(), &case, &out)?;
        assert_eq!(faults, "", "{}:\n{text}", case.display());
        let blank = text.lines().find(|line| line.ends_with(char::is_whitespace));
        assert_eq!(blank, None, "{}: blanks at the end of a line", case.display());
        let expected = case.join("expected.cfg");
        if env::var_os("ROLECALL_BLESS").is_some() {
            fs::write(&expected, &text)?;
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert!(text == expected, "{}: expected\n{expected}\nand got\n{text}", case.display());
    }
    Ok(())
}
