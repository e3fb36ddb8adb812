//! One template with the answers that it may get: the text must be the recorded one, or the error.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Map, Value, json};
use tests::{Outcome, replay::Replay};

use crate::Verdict;

/// Settings of a case that are settings of the template block too.
const SETTINGS: [&str; 5] =
    ["error_on_missing_key", "function_denylist", "left_delimiter", "right_delimiter", "sandbox_path"];

/// Replays a case.
pub fn replay(binary: &Path, case: &Value) -> Outcome<Verdict> {
    if case["blackbox"] == "not run" {
        return Ok(Verdict::NotReplayed);
    }
    let consul = Replay::of(case["data"].clone())?;
    let directory = tempfile::tempdir()?;
    let destination = directory.path().join("out");
    let mut template = Map::new();
    template.insert("contents".into(), case["template"].clone());
    template.insert("destination".into(), json!(destination));
    for key in SETTINGS {
        if let Some(value) = case.get(key).filter(|value| !value.is_null()) {
            template.insert(key.into(), value.clone());
        }
    }
    let config = json!({
        "consul": {"address": consul.address.to_string(), "block_query_wait": "60s"},
        "template": [template],
    });
    let file = directory.path().join("render.json");
    fs::write(&file, config.to_string())?;
    let mut command = Command::new(binary);
    command.args(["render", "--once", "-c"]).arg(&file).env_clear().stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for pair in case["env"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if let Some((key, value)) = pair.split_once('=') {
            command.env(key, value);
        }
    }
    let ended = limited(command)?;
    let wrote = fs::read_to_string(&destination).ok();
    let Some((success, said)) = ended else {
        let open: Vec<_> = consul.asked().iter().map(|request| request.path.clone()).collect();
        return Ok(Verdict::Failed(format!("it did not end within 20 s; it asked {open:?}")));
    };
    Ok(if case["error"] == true { error(case, success, &said) } else { text(case, wrote.as_deref(), &said) })
}

/// Runs a command to its end: whether it did well, and what it said. `None` when it had to be killed.
fn limited(mut command: Command) -> Outcome<Option<(bool, String)>> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let pid = child.id();
    let (ended, waits) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        let late = waits.recv_timeout(std::time::Duration::from_secs(20)).is_err();
        if late {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
            pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        }
        late
    });
    let mut said = String::new();
    for mut pipe in [
        child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn std::io::Read>),
        child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn std::io::Read>),
    ]
    .into_iter()
    .flatten()
    {
        let mut bytes = vec![];
        pipe.read_to_end(&mut bytes)?;
        said.push_str(&String::from_utf8_lossy(&bytes));
    }
    let status = child.wait()?;
    let _gone = ended.send(());
    let late = guard.join().unwrap_or(true);
    Ok((!late).then(|| (status.success(), said)))
}

fn text(case: &Value, wrote: Option<&str>, said: &str) -> Verdict {
    let expected = case["expected"].as_str().unwrap_or_default();
    match wrote {
        Some(wrote) if wrote == expected => Verdict::Passed { exactly: true },
        Some(wrote) => Verdict::Failed(format!("wrote {wrote:?}\n    in place of {expected:?}")),
        None => Verdict::Failed(format!("wrote nothing; it said {}", said.trim())),
    }
}

/// It must fail, and at the recorded place. The words are counted.
fn error(case: &Value, success: bool, said: &str) -> Verdict {
    let recorded = case["error_text"].as_str().unwrap_or_default();
    let place = recorded.split_once("template: ").map_or(recorded, |(_, place)| place);
    let position = place.split(": ").next().unwrap_or_default();
    if success {
        return Verdict::Failed(format!("did not fail; recorded is {recorded:?}"));
    }
    if !said.contains(position) {
        return Verdict::Failed(format!("failed elsewhere: {}\n    in place of {recorded:?}", said.trim()));
    }
    let first = place.trim().lines().next().unwrap_or_default();
    Verdict::Passed {
        exactly: said
            .replace("\\\"", "\"")
            .contains(first.split_once(": ").map_or(first, |(_, words)| words)),
    }
}
