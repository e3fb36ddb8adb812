//! `rolecall status`: the status pages for people, plain and aligned, without colours.

use serde_json::Value;

/// How wide the names before the values are.
const NAMES: usize = 12;
/// As many changes of the past as a screen holds beside the rest.
const PAST: usize = 5;

/// A page as text.
pub fn page(status: &Value, address: &str, now_ms: f64) -> String {
    let program = format!("{} {} at {address}", text(&status["program"]), text(&status["version"]));
    let awaited = listed(&status["ready"]["awaited"]);
    let ready = if awaited.is_empty() { "ready".to_owned() } else { format!("awaits {awaited}") };
    let mut head = vec![
        format!("{program}: {ready}"),
        row("consul", &[text(&status["consul"]["address"]), text(&status["consul"]["trouble"])]),
    ];
    let troubled = all(&status["queries"]).filter(|query| !query["trouble"].is_null());
    head.extend(troubled.map(|query| row("query", &[text(&query["query"]), text(&query["trouble"])])));
    let services = all(&status["services"]).map(|service| match &service["instances"] {
        Value::Array(_) => upstream(service),
        _ => instance(service, now_ms),
    });
    let templates = all(&status["templates"]).map(|template| file(template, now_ms));
    let blocks = std::iter::once(head).chain(services).chain(templates).map(|mut block| {
        block.retain(|line| !line.is_empty());
        block.join("\n") + "\n"
    });
    blocks.collect::<Vec<_>>().join("\n")
}

fn instance(service: &Value, now_ms: f64) -> Vec<String> {
    let (probe, agent, catalog) = (&service["probe"], &service["agent"], &service["catalog"]);
    let (sentinel, drain, link) = (&service["sentinel"], &service["drain"], &service["replication"]);
    let epoch = prefixed("in epoch ", &service["epoch"]);
    let drained = if drain["state"] == "serving" { String::new() } else { text(&drain["state"]) };
    let place = format!("{}:{}", text(&service["address"]), text(&service["port"]));
    let looked = probe["latency_ms"].as_f64().map(|took| format!("{took:.1} ms")).unwrap_or_default();
    let good = if probe["ok"] == true { "ok" } else { "failed" };
    let answering = match (&sentinel["answering"], &sentinel["known"]) {
        (Value::Null, _) => String::new(),
        (answering, known) => format!("{answering} of {known} answer"),
    };
    let differs = [
        prefixed("agent says ", &catalog["agent_says"]),
        prefixed("catalog says ", &catalog["catalog_says"]),
    ];
    let differs = differs.map(|said| if catalog["since_ms"].is_null() { String::new() } else { said });
    let mut lines = vec![
        format!(
            "{} {}",
            text(&service["id"]),
            join(&[place, format!("{} {epoch}", text(&service["role"])), drained])
        ),
        row("why", &[text(&service["why"]), text(&drain["why"])]),
        row("probe", &[good.into(), looked, text(&probe["error"])]),
        row("link", &[text(&link["link"]), prefixed("lag in s ", &link["lag_s"]), text(&link["fault"])]),
        row("sentinel", &[answering, prefixed("they name ", &sentinel["named"]), text(&sentinel["error"])]),
        row(
            "agent",
            &[
                text(&agent["state"]),
                text(&agent["status"]),
                ago("heard ", &agent["last_beat_ms"], now_ms),
                text(&agent["error"]),
            ],
        ),
        row("catalog", &[text(&catalog["state"]), join(&differs), text(&catalog["hint"])]),
    ];
    lines.extend(all(&service["history"]).rev().take(PAST).map(|change| {
        let became = format!("{} {}", text(&change["role"]), prefixed("in epoch ", &change["epoch"]));
        row("history", &[ago("", &change["at_ms"], now_ms), became.trim().into(), text(&change["why"])])
    }));
    lines
}

/// A service as render sees it.
fn upstream(service: &Value) -> Vec<String> {
    let followed = prefixed("followed in epoch ", &service["followed"]["epoch"]);
    let instances = all(&service["instances"]).map(|seen| {
        let place = format!("{}:{}", text(&seen["address"]), text(&seen["port"]));
        let role = format!("{} {}", text(&seen["role"]), prefixed("in epoch ", &seen["epoch"]));
        let doubt = if seen["believed"] == false { "not believed".to_owned() } else { String::new() };
        row(&text(&seen["id"]), &[place, role, text(&seen["status"]), doubt])
    });
    std::iter::once(join(&[text(&service["name"]), followed])).chain(instances).collect()
}

fn file(template: &Value, now_ms: f64) -> Vec<String> {
    let last = &template["last"];
    let counts = format!(
        "{} writes, {} reloads, {} failed",
        template["writes"], template["reloads"], template["reload_failures"]
    );
    let mut lines = vec![
        format!(
            "{} {}",
            text(&template["destination"]),
            join(&[text(&template["state"]), prefixed("from ", &template["source"])])
        ),
        row("missing", &[listed(&template["missing"])]),
        row("error", &[text(&template["error"])]),
        row("warning", &[listed(&template["warnings"])]),
        row("changes", &[counts]),
        row("last", &[text(&last["outcome"]), ago("", &last["rendered_ms"], now_ms), text(&last["error"])]),
        row("held back", &[text(&template["held_back"])]),
    ];
    let haproxies: Vec<&Value> = all(&template["haproxies"]).collect();
    match haproxies.as_slice() {
        [] | [_] => lines.push(row("haproxy", &runs(&template["haproxy"]))),
        several => lines.extend(several.iter().map(|haproxy| {
            let stands = [format!("{} {}", text(&haproxy["name"]), text(&haproxy["state"]))];
            row("haproxy", &[&stands[..], &runs(&haproxy["processes"])].concat())
        })),
    }
    lines
}

fn runs(haproxy: &Value) -> [String; 3] {
    [
        prefixed("version ", &haproxy["version"]),
        prefixed("old workers: ", &haproxy["old_workers"]),
        text(&haproxy["trouble"]),
    ]
}

/// A name and what is known under it; nothing when that is nothing.
fn row(name: &str, values: &[String]) -> String {
    let values = join(values);
    if values.is_empty() { String::new() } else { format!("  {name:NAMES$}{values}") }
}

fn join(values: &[String]) -> String {
    let values = values.iter().map(|value| value.trim()).filter(|value| !value.is_empty());
    values.collect::<Vec<_>>().join(", ")
}

fn all(list: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn listed(list: &Value) -> String {
    all(list).map(text).collect::<Vec<_>>().join("; ")
}

/// A line may hold anything that a server said: nothing of it reaches the terminal but printable text.
fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn prefixed(prefix: &str, value: &Value) -> String {
    if value.is_null() { String::new() } else { format!("{prefix}{}", text(value)) }
}

fn ago(prefix: &str, at_ms: &Value, now_ms: f64) -> String {
    let Some(at) = at_ms.as_f64() else { return String::new() };
    let seconds = ((now_ms - at).max(0.0) / 1000.0) as u64;
    let (count, unit) = match seconds {
        0..100 => (seconds, "s"),
        100..6000 => (seconds / 60, "min"),
        6000..172_800 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{prefix}{count} {unit} ago")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_register_is_shown() {
        let status = json!({
            "program": "register", "version": "0.1.0",
            "ready": {"ok": false, "awaited": ["registration of redis-0 at the Consul agent"]},
            "consul": {"address": "http://127.0.0.1:8500", "trouble": "refused"},
            "services": [{
                "id": "redis-0", "address": "10.0.0.7", "port": 6379, "role": "master", "epoch": 3,
                "why": "3 of 3 known Sentinels name it master",
                "probe": {"ok": true, "latency_ms": 0.42, "error": null},
                "replication": {"link": "down", "lag_s": 12, "replid": "86fa", "fault": "its link is down"},
                "sentinel": {"answering": 3, "known": 3, "named": "10.0.0.7:6379", "error": null},
                "drain": {"state": "draining", "why": null},
                "agent": {"state": "in sync", "status": "critical", "last_beat_ms": 7000.0, "error": null},
                "catalog": {"state": "differs", "agent_says": "master", "catalog_says": "replica\u{1b}[31m", "since_ms": 1.0, "hint": null},
                "history": [
                    {"at_ms": 0.0, "was": null, "role": "replica", "epoch": null, "why": "it says replica"},
                    {"at_ms": 9000.0, "was": "replica", "role": "master", "epoch": 3, "why": "Sentinel promotes it"},
                ],
            }],
        });
        let wanted = "\
register 0.1.0 at 127.0.0.1:9500: awaits registration of redis-0 at the Consul agent
  consul      http://127.0.0.1:8500, refused

redis-0 10.0.0.7:6379, master in epoch 3, draining
  why         3 of 3 known Sentinels name it master
  probe       ok, 0.4 ms
  link        down, lag in s 12, its link is down
  sentinel    3 of 3 answer, they name 10.0.0.7:6379
  agent       in sync, critical, heard 3 s ago
  catalog     differs, agent says master, catalog says replica [31m
  history     1 s ago, master in epoch 3, Sentinel promotes it
  history     10 s ago, replica, it says replica
";
        assert_eq!(page(&status, "127.0.0.1:9500", 10_000.0), wanted);
    }

    #[test]
    fn a_render_is_shown() {
        let status = json!({
            "program": "render", "version": "0.1.0", "ready": {"ok": true, "awaited": []},
            "consul": {"address": "http://127.0.0.1:8500"},
            "services": [{"name": "redis", "query": "health/service/redis", "followed": {"epoch": 3, "generation": 0}, "instances": [
                {"id": "redis-0", "address": "10.0.0.7", "port": 6379, "role": "primary", "epoch": 3, "status": "passing", "believed": true},
                {"id": "redis-1", "address": "10.0.0.8", "port": 6379, "role": "primary", "epoch": 2, "status": "passing", "believed": false},
                {"id": "redis-2", "address": "10.0.0.9", "port": 6379, "role": "replica", "epoch": null, "status": "warning", "believed": null},
            ]}],
            "queries": [{"query": "health/service/redis", "trouble": null}, {"query": "kv/a", "trouble": "no such right"}],
            "templates": [{
                "source": "/etc/t.hbs", "destination": "/run/haproxy.cfg", "state": "applied", "missing": [],
                "error": null, "warnings": ["two masters"], "writes": 3, "reloads": 2, "reload_failures": 1,
                "haproxy": {"version": "2.6.12", "old_workers": 1, "trouble": null},
                "last": {"outcome": "reloaded", "rendered_ms": 0.0, "error": null},
            }, {
                "source": "/etc/u.hbs", "destination": "/run/two.cfg", "state": "failed", "error": "b: gone",
                "writes": 1, "reloads": 0, "reload_failures": 0, "held_back": "m would lose its last server",
                "haproxies": [
                    {"name": "a", "state": "applied", "processes": {"version": "3.2.1", "old_workers": 0}},
                    {"name": "b", "state": "failed", "processes": {"trouble": "it hangs"}},
                ],
            }],
        });
        let wanted = "\
render 0.1.0 at [::1]:9501: ready
  consul      http://127.0.0.1:8500
  query       kv/a, no such right

redis, followed in epoch 3
  redis-0     10.0.0.7:6379, primary in epoch 3, passing
  redis-1     10.0.0.8:6379, primary in epoch 2, passing, not believed
  redis-2     10.0.0.9:6379, replica, warning

/run/haproxy.cfg applied, from /etc/t.hbs
  warning     two masters
  changes     3 writes, 2 reloads, 1 failed
  last        reloaded, 2 h ago
  haproxy     version 2.6.12, old workers: 1

/run/two.cfg failed, from /etc/u.hbs
  error       b: gone
  changes     1 writes, 0 reloads, 0 failed
  held back   m would lose its last server
  haproxy     a applied, version 3.2.1, old workers: 0
  haproxy     b failed, it hangs
";
        assert_eq!(page(&status, "[::1]:9501", 7_200_000.0), wanted);
    }
}
