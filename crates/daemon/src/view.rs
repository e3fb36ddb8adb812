//! What the front pages of all programs have in common: their head, what blocks, long tables, and how values of a
//! status are read.

use crate::{
    clock::rfc3339,
    html::{Html, element, table, text, worded},
};
use serde_json::Value;

/// A longer list has its beginning on the page, and all of it in `/status`.
pub const MOST_ROWS: usize = 200;

/// The program and how it is, from what every status has: `program`, `version`, `pid`, `ready`, `consul`.
#[must_use]
pub fn head(status: &Value) -> Html {
    let ready = match status["ready"]["ok"].as_bool() {
        Some(true) => worded("span", "good", "ready"),
        _ => worded("span", "warn", "not ready"),
    };
    let about = format!(
        "{} · process {} · Consul at {}",
        said(&status["version"]),
        status["pid"],
        said(&status["consul"]["address"])
    );
    let name = worded("h1", "", format!("rolecall {}", said(&status["program"])));
    element("header", "", [name, ready, worded("span", "faint", about)])
}

/// What stands in the way of something, or is not as it should be: what is awaited, and these troubles, each with where
/// it is.
#[must_use]
pub fn blocks<'a>(status: &'a Value, troubles: impl IntoIterator<Item = (&'a str, String)>) -> Html {
    let awaited =
        list(&status["ready"]["awaited"]).map(|what| ("ready", format!("waits for {}", said(what))));
    let entry =
        |(of, what): (&str, String)| element("li", "", [worded("b", "code", of), text(" "), text(what)]);
    let entries: Vec<Html> = awaited.chain(troubles).map(entry).collect();
    let inside = match entries.is_empty() {
        true => worded("p", "", "Nothing."),
        false => element("ul", "", entries),
    };
    element("section", "", [worded("h2", "", "What blocks"), inside])
}

/// A table that is cut short and says so; nothing at all without rows.
#[must_use]
pub fn long_table(columns: &[&'static str], rows: impl ExactSizeIterator<Item = Vec<Html>>) -> Html {
    let left = rows.len().saturating_sub(MOST_ROWS);
    let shown = match rows.len() {
        0 => Html::default(),
        _ => table(columns, rows.take(MOST_ROWS)),
    };
    let more = match left {
        0 => Html::default(),
        _ => worded("p", "faint", format!("… and {left} more, in /status")),
    };
    [shown, more].into_iter().collect()
}

/// A text of the status; empty where there is none.
#[must_use]
pub fn said(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The members of a list; anything else but null is a list of one.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    let members = match value {
        Value::Array(members) => members.as_slice(),
        Value::Null => &[],
        one => std::slice::from_ref(one),
    };
    members.iter()
}

/// Host and port of a status' `address` and `port`.
#[must_use]
pub fn address(of: &Value) -> String {
    match said(&of["address"]) {
        "" => String::new(),
        host if host.contains(':') => format!("[{host}]:{}", of["port"]),
        host => format!("{host}:{}", of["port"]),
    }
}

/// An epoch, of what has `epoch` and `generation`; empty where it has none.
#[must_use]
pub fn epoch(of: &Value) -> String {
    match (of["epoch"].as_u64(), of["generation"].as_u64()) {
        (Some(epoch), Some(generation @ 1..)) => format!("{epoch} of generation {generation}"),
        (Some(epoch), _) => epoch.to_string(),
        _ => String::new(),
    }
}

/// A state of Consul's checks.
#[must_use]
pub fn health(status: &str) -> Html {
    let class = match status {
        "" => return Html::default(),
        "passing" => "good",
        "warning" => "warn",
        _ => "bad",
    };
    worded("span", class, status)
}

/// Date and time of day in UTC, to the millisecond.
#[must_use]
pub fn moment(unix_millis: f64) -> String {
    rfc3339(unix_millis).replace('T', " ").trim_end_matches('Z').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_read_as_they_come() {
        assert_eq!(said(&json!("a")), "a");
        assert_eq!(said(&json!(null)), "");
        let count = |value: Value| list(&value).count();
        assert_eq!(
            [count(json!(null)), count(json!("a")), count(json!({})), count(json!([1, 2]))],
            [0, 1, 1, 2]
        );
        assert_eq!(address(&json!({"address": "10.0.0.1", "port": 1})), "10.0.0.1:1");
        assert_eq!(address(&json!({"address": "fd00::1", "port": 1})), "[fd00::1]:1");
        assert_eq!(address(&json!({"address": null, "port": 1})), "");
        assert_eq!(epoch(&json!({"epoch": 7, "generation": 0})), "7");
        assert_eq!(epoch(&json!({"epoch": 7, "generation": 2})), "7 of generation 2");
        assert_eq!(epoch(&json!({"epoch": null})), "");
        assert_eq!(moment(1_790_000_000_123.0), "2026-09-21 14:13:20.123");
    }

    #[test]
    fn a_long_table_is_cut_short_and_says_so() {
        let rows = |count: usize| long_table(&["A"], (0..count).map(|n| vec![text(n)])).source();
        assert_eq!(rows(0), "");
        assert!(!rows(MOST_ROWS).contains("more"));
        let cut = rows(MOST_ROWS + 5);
        assert!(cut.contains("… and 5 more, in /status"));
        assert_eq!(cut.matches("<td").count(), MOST_ROWS);
    }
}
