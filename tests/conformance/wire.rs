//! One call and the requests that it makes: the first, and the one that waits for a change.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tests::{
    Outcome,
    replay::{Answer, Replay, Request},
};

use crate::Verdict;

/// Replays a case.
pub fn replay(binary: &Path, case: &Value) -> Outcome<Verdict> {
    let consul = Replay::start(answer)?;
    let directory = tempfile::tempdir()?;
    let call = case["call"].as_str().unwrap_or_default();
    let config = json!({
        "consul": {"address": consul.address.to_string(), "block_query_wait": "60s"},
        "template": [{
            "contents": format!("{{{{ $answer := {call} }}}}"),
            "destination": directory.path().join("out"),
        }],
    });
    let file = directory.path().join("render.json");
    fs::write(&file, config.to_string())?;
    let mut wanted = vec![&case["first"]];
    wanted.extend(case["then"].as_array().into_iter().flatten());
    let mut child = Command::new(binary)
        .args(["render", "-c"])
        .arg(&file)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    // At most ten seconds.
    for _ in 0..5_000 {
        if consul.asked().len() >= wanted.len() {
            break;
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    child.wait()?;
    let asked = consul.asked();
    for (n, wanted) in wanted.into_iter().enumerate() {
        match asked.get(n) {
            Some(request) if same(request, wanted) => {}
            Some(request) => {
                return Ok(Verdict::Failed(format!(
                    "request {} is {request:?}\n    in place of {wanted}",
                    n + 1
                )));
            }
            None => return Ok(Verdict::Failed(format!("request {} was not made: {wanted}", n + 1))),
        }
    }
    Ok(Verdict::Passed { exactly: true })
}

fn same(request: &Request, wanted: &Value) -> bool {
    let query = request.query.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    wanted["path"] == request.path && wanted["query"] == Value::Object(query)
}

/// Something of the right shape for each endpoint.
fn answer(request: &Request) -> Answer {
    let body = match request.path.as_str() {
        "/v1/agent/self" => json!({"Config": {"NodeName": "local"}}),
        "/v1/catalog/services" => json!({}),
        "/v1/agent/connect/ca/roots" => json!({"Roots": []}),
        path if path.starts_with("/v1/agent/connect/ca/leaf/") => json!({"Service": "web"}),
        path if path.starts_with("/v1/catalog/node/") => json!({"Node": {"Node": "local"}, "Services": {}}),
        path if path.starts_with("/v1/kv/") => json!([{"Key": "a", "Value": "eA=="}]),
        _ => json!([]),
    };
    (200, body.to_string())
}
