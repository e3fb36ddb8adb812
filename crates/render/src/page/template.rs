//! One template's part of the page.

use daemon::{
    html::{Html, element, table, text, worded},
    view::{list, long_table, moment, said},
};
use serde_json::Value;

/// So many changes fit on a page; `/status` has more.
const CHANGES: usize = 20;

/// What stands in the way of this template, or is not as it should be.
pub(super) fn blocks(template: &Value) -> Vec<String> {
    let each = |key: &str, before: &'static str| {
        list(&template[key]).map(move |what| format!("{before}{}", said(what))).collect::<Vec<_>>()
    };
    let mut all = each("missing", "waits for ");
    all.extend(each("error", ""));
    all.extend(each("reload_needed", "somebody has to reload HAProxy: "));
    all.extend(each("drift", "ran otherwise than the file says: "));
    all.extend(each("warnings", ""));
    let troubles = list(&template["haproxy"]).flat_map(|haproxy| list(&haproxy["trouble"]));
    all.extend(troubles.map(|trouble| format!("HAProxy cannot be looked at: {}", said(trouble))));
    if template["state"] == "pending" && template["reload_needed"].is_null() {
        all.push("written; HAProxy does not run, and reads it when it starts".into());
    }
    all
}

/// All about it.
pub(super) fn template(template: &Value) -> Html {
    let head = [
        element("h2", "", [worded("span", "code", said(&template["destination"]))]),
        state(said(&template["state"])),
        worded("span", "faint", format!("from {}", said(&template["source"]))),
    ];
    let parts = [element("header", "", head), counts(template)].into_iter();
    let haproxies = list(&template["haproxy"]).map(|haproxy| self::haproxy(haproxy, template));
    let tables = [changes(template), reasons(template)];
    element("section", "", parts.chain(haproxies).chain(tables))
}

fn state(state: &str) -> Html {
    let class = match state {
        "applied" => "good",
        "failed" => "bad",
        _ => "warn",
    };
    worded("span", class, state)
}

fn counts(template: &Value) -> Html {
    let counts = [
        ("written", "writes"),
        ("by orders", "steers"),
        ("reloads", "reloads"),
        ("failed reloads", "reload_failures"),
        ("times off the file", "drifts"),
        ("old sessions cut", "sessions_cut"),
    ];
    facts(counts.map(|(name, key)| (name, template[key].to_string())))
}

/// Short values beside each other.
fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> Html {
    let fact = |(name, value): (&str, String)| {
        element("span", "", [text(name), text(" "), worded("b", "", value), text(" ")])
    };
    element("p", "facts", facts.into_iter().map(fact))
}

/// What HAProxy runs beside what was rendered; nothing where there is no HAProxy.
fn haproxy(haproxy: &Value, template: &Value) -> Html {
    if haproxy["running"] != true {
        return Html::default();
    }
    let number = |key: &str| haproxy[key].as_u64().map(|number| number.to_string()).unwrap_or_default();
    let about = [
        ("version", said(&haproxy["version"]).to_owned()),
        ("worker", number("worker_pid")),
        ("reloads seen", number("reloads")),
        ("old workers", number("old_workers")),
        ("leaving servers", template["leaving_servers"].to_string()),
    ];
    let servers = haproxy["servers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut rows: Vec<&Value> = servers.iter().collect();
    // What differs comes first.
    rows.sort_by_key(|server| server["same"] == true);
    let shown = rows.iter().map(|server| {
        vec![
            text(format!("{}/{}", said(&server["proxy"]), said(&server["server"]))),
            side(&server["rendered"], "not there"),
            side(&server["runs"], "does not run"),
            if server["same"] == true { worded("span", "good", "same") } else { differs(server) },
        ]
    });
    let table = long_table(&["Server", "Rendered", "HAProxy runs", "Compared"], shown);
    let as_of = match (template["state"].as_str(), haproxy["compared_ms"].as_f64()) {
        (Some("applied"), _) | (_, None) => Html::default(),
        (_, Some(at)) => worded("p", "faint", format!("compared at {}", moment(at))),
    };
    [worded("h3", "", "HAProxy"), facts(about), table, as_of].into_iter().collect()
}

fn differs(server: &Value) -> Html {
    match (server["rendered"].is_null(), server["runs"]["state"] == "maint") {
        // Out of use, and deleted after its last connection.
        (true, true) => worded("span", "second", "leaving"),
        (true, false) => worded("span", "warn", "not in the file"),
        _ => worded("span", "bad", "differs"),
    }
}

fn side(side: &Value, none: &'static str) -> Html {
    if side.is_null() {
        return worded("span", "faint", none);
    }
    let mut words = said(&side["address"]).to_owned();
    if side["weight"] != 1 {
        words += &format!(" weight {}", side["weight"]);
    }
    if side["state"] != "ready" {
        words += &format!(" {}", said(&side["state"]));
    }
    worded("span", "code", words)
}

fn changes(template: &Value) -> Html {
    let history = template["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    if history.is_empty() {
        return Html::default();
    }
    let rows = history.iter().rev().take(CHANGES).map(|change| {
        vec![
            text(change["at_ms"].as_f64().map(moment).unwrap_or_default()),
            outcome(said(&change["outcome"])),
            text(between(change, "heard_ms", "applied_ms").map(took).unwrap_or_default()),
            text(steps(change)),
            text(said(&change["error"])),
        ]
    });
    let table = table(&["When (UTC)", "How", "Took", "Of which", "What went wrong"], rows);
    [worded("h3", "", "Last changes, from Consul's answer until it was in use"), table].into_iter().collect()
}

fn outcome(outcome: &str) -> Html {
    let (class, words) = match outcome {
        "steered" => ("good", "by orders"),
        "reloaded" => ("second", "by a reload"),
        "written" => ("second", "written"),
        "pending" => ("warn", "pending"),
        other => ("bad", other),
    };
    worded("span", class, words)
}

fn steps(change: &Value) -> String {
    let steps = [
        ("orders", "rendered_ms", "steered_ms"),
        ("check", "staged_ms", "checked_ms"),
        ("reload", "renamed_ms", "applied_ms"),
    ];
    // What is in use by orders is checked after.
    let check = if change["outcome"] == "steered" { "then check" } else { "check" };
    let mut words: Vec<String> = steps
        .into_iter()
        // What was steered was in use before its file was in place.
        .filter_map(|(name, from, to)| between(change, from, to).filter(|ms| *ms >= 0.0).map(|ms| (name, ms)))
        .map(|(name, millis)| (if name == "check" { check } else { name }, millis))
        .map(|(name, millis)| format!("{name} {}", took(millis)))
        .collect();
    if let Some(cut @ 1..) = change["sessions_cut"].as_u64() {
        words.push(format!("{cut} old sessions cut"));
    }
    words.join(", ")
}

fn reasons(template: &Value) -> Html {
    let reasons = template["reload_reasons"].as_array().map(Vec::as_slice).unwrap_or_default();
    if reasons.is_empty() {
        return Html::default();
    }
    let rows = reasons.iter().map(|reason| vec![text(&reason["count"]), text(said(&reason["why"]))]);
    [worded("h3", "", "Reloads by reason"), table(&["Times", "Why"], rows)].into_iter().collect()
}

fn between(change: &Value, from: &str, to: &str) -> Option<f64> {
    Some(change[to].as_f64()? - change[from].as_f64()?)
}

fn took(millis: f64) -> String {
    match millis {
        ..10.0 => format!("{millis:.1} ms"),
        ..1_000.0 => format!("{millis:.0} ms"),
        ..120_000.0 => format!("{:.1} s", millis / 1e3),
        _ => format!("{:.0} min", millis / 6e4),
    }
}
