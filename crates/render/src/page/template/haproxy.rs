//! What one HAProxy runs beside what was rendered, and what is wrong with it.

use super::{each, facts, state};
use daemon::{
    html::{Html, element, text, worded},
    view::{list, long_table, moment, said},
};
use serde_json::Value;

/// What is not as it should be; with its name before it, where it has one.
pub(super) fn blocks(haproxy: &Value) -> Vec<String> {
    let mut all = each(haproxy, "error", "");
    all.extend(each(haproxy, "reload_needed", "somebody has to reload HAProxy: "));
    all.extend(each(haproxy, "drift", "ran otherwise than the file says: "));
    all.extend(each(&haproxy["processes"], "trouble", "HAProxy cannot be looked at: "));
    if haproxy["state"] == "pending" && haproxy["reload_needed"].is_null() {
        let runs = haproxy["processes"]["running"] == true;
        let why = if runs {
            "the newest text is on its way"
        } else {
            "written; HAProxy does not run, and reads it when it starts"
        };
        all.push(why.into());
    }
    match said(&haproxy["name"]) {
        "" => all,
        name => all.into_iter().map(|what| format!("{name}: {what}")).collect(),
    }
}

/// All about it.
pub(super) fn haproxy(haproxy: &Value) -> Html {
    let (name, runs) = (said(&haproxy["name"]), &haproxy["processes"]);
    let title = match name {
        "" => worded("h3", "", "HAProxy"),
        name => element(
            "h3",
            "",
            [text("HAProxy "), worded("span", "code", name), text(" "), state(said(&haproxy["state"]))],
        ),
    };
    // Alone, it did what the template's counts say.
    let did = [("by orders", "steers"), ("reloads", "reloads"), ("failed reloads", "reload_failures")];
    let did =
        did.into_iter().filter(|_| !name.is_empty()).map(|(name, key)| (name, haproxy[key].to_string()));
    if runs["running"] != true {
        let gone = element("p", "", [worded("span", "warn", "does not run")]);
        return [title, facts(did), gone].into_iter().collect();
    }
    let number = |key: &str| runs[key].as_u64().map(|number| number.to_string()).unwrap_or_default();
    let about = [
        ("version", said(&runs["version"]).to_owned()),
        ("worker", number("worker_pid")),
        ("reloads seen", number("reloads")),
        ("old workers", number("old_workers")),
        ("leaving servers", haproxy["leaving_servers"].to_string()),
    ];
    let as_of = match (haproxy["state"].as_str(), runs["compared_ms"].as_f64()) {
        (Some("applied"), _) | (_, None) => Html::default(),
        (_, Some(at)) => worded("p", "faint", format!("compared at {}", moment(at))),
    };
    [title, facts(did.chain(about)), servers(runs), as_of].into_iter().collect()
}

fn servers(runs: &Value) -> Html {
    let mut rows: Vec<&Value> = list(&runs["servers"]).collect();
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
    long_table(&["Server", "Rendered", "HAProxy runs", "Compared"], shown)
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
