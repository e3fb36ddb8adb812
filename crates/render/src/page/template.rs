//! One template's part of the page.

mod haproxy;

use daemon::{
    html::{Html, element, table, text, worded},
    view::{list, moment, said},
};
use serde_json::Value;

/// So many changes fit on a page; `/status` has more.
const CHANGES: usize = 20;

/// What stands in the way of this template, or is not as it should be.
pub(super) fn blocks(template: &Value) -> Vec<String> {
    let mut all = each(template, "missing", "waits for ");
    all.extend(each(template, "held_back", ""));
    let haproxies: Vec<String> = list(&template["haproxies"]).flat_map(haproxy::blocks).collect();
    // The error of the template may be that of its first HAProxy.
    all.extend(each(template, "error", "").into_iter().filter(|error| !haproxies.contains(error)));
    all.extend(haproxies);
    all.extend(each(template, "warnings", ""));
    all
}

fn each(of: &Value, key: &str, before: &str) -> Vec<String> {
    list(&of[key]).map(|what| format!("{before}{}", said(what))).collect()
}

/// All about it.
pub(super) fn template(template: &Value) -> Html {
    let head = [
        element("h2", "", [worded("span", "code", said(&template["destination"]))]),
        state(said(&template["state"])),
        worded("span", "faint", format!("from {}", said(&template["source"]))),
    ];
    let parts = [element("header", "", head), counts(template), moments(template)].into_iter();
    let haproxies = list(&template["haproxies"]).map(haproxy::haproxy);
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

fn moments(template: &Value) -> Html {
    let known = [("evaluated (UTC)", "evaluated_ms"), ("changed (UTC)", "changed_ms")];
    let known = known.into_iter().filter_map(|(name, key)| Some((name, moment(template[key].as_f64()?))));
    let times = [("times evaluated", template["evaluations"].to_string())];
    let place = template["deduplicate"]["place"].as_str().map(|place| ("shared answers", place.to_owned()));
    facts(known.chain(times).chain(place))
}

/// Short values beside each other.
fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> Html {
    let fact = |(name, value): (&str, String)| {
        element("span", "", [text(name), text(" "), worded("b", "", value), text(" ")])
    };
    element("p", "facts", facts.into_iter().map(fact))
}

fn changes(template: &Value) -> Html {
    let history = template["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    if history.is_empty() {
        return Html::default();
    }
    let rows = history.iter().rev().take(CHANGES).map(|change| {
        vec![
            text(change["at_ms"].as_f64().map(moment).unwrap_or_default()),
            element("span", "", [outcome(said(&change["outcome"])), text(of(change))]),
            text(between(change, "heard_ms", "applied_ms").map(took).unwrap_or_default()),
            text(steps(change)),
            text(said(&change["error"])),
        ]
    });
    let table = table(&["When (UTC)", "How", "Took", "Of which", "What went wrong"], rows);
    [worded("h3", "", "Last changes, from Consul's answer until it was in use"), table].into_iter().collect()
}

/// Which HAProxy it is about, where they have names.
fn of(change: &Value) -> String {
    match said(&change["haproxy"]) {
        "" => String::new(),
        name => format!(" in {name}"),
    }
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
    // What is in use by orders is checked after.
    let check = if change["outcome"] == "steered" { "then check" } else { "check" };
    let follow = if change["outcome"] == "reloaded" { "reload" } else { "command" };
    let steps = [
        ("orders", "rendered_ms", "steered_ms"),
        (check, "staged_ms", "checked_ms"),
        (follow, "renamed_ms", "applied_ms"),
    ];
    let mut words: Vec<String> = steps
        .into_iter()
        // What was steered was in use before its file was in place; what nobody is told of, with it.
        .filter_map(|(name, from, to)| between(change, from, to).filter(|ms| *ms > 0.0).map(|ms| (name, ms)))
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
