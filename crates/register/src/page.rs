//! The status as a page for people: what each instance is and why, and what Consul makes of it. It shows nothing that
//! `/status` does not say.

use daemon::{
    html::{Html, element, table, text, worded},
    view::{address, blocks, epoch, head, health, list, long_table, moment, said},
};
use serde_json::Value;

/// So many changes of a role fit on a page; `/status` has more.
const CHANGES: usize = 10;

/// The page's content, made of a status as `/status` shows it.
#[must_use]
pub fn page(status: &Value) -> String {
    let parts = [head(status), blocks(status, troubles(status)), services(status)].into_iter();
    let page: Html = parts.chain(list(&status["services"]).map(history)).collect();
    page.source()
}

fn troubles(status: &Value) -> Vec<(&str, String)> {
    let paths = [
        "/probe/error",
        "/replication/fault",
        "/sentinel/error",
        "/pointer/error",
        "/drain/why",
        "/agent/error",
        "/catalog/hint",
    ];
    let of = |service: &'_ Value| {
        let told = paths.iter().filter_map(|path| service.pointer(path)?.as_str().map(str::to_owned));
        told.collect::<Vec<_>>()
    };
    let services = list(&status["services"]);
    services.flat_map(|service| of(service).into_iter().map(|what| (said(&service["id"]), what))).collect()
}

fn services(status: &Value) -> Html {
    let services: Vec<&Value> = list(&status["services"]).collect();
    let columns = ["Instance", "Role", "Epoch", "Why", "Address", "Health", "Agent", "Catalog", "Drain"];
    let row = |service: &&Value| {
        vec![
            text(said(&service["id"])),
            role(service["role"].as_str()),
            text(epoch(service)),
            text(said(&service["why"])),
            worded("span", "code", address(service)),
            health(said(&service["agent"]["status"])),
            agrees(said(&service["agent"]["state"])),
            agrees(said(&service["catalog"]["state"])),
            text(
                Some(said(&service["drain"]["state"]))
                    .filter(|state| *state != "serving")
                    .unwrap_or_default(),
            ),
        ]
    };
    let table = long_table(&columns, services.iter().map(row));
    element("section", "", [worded("h2", "", "Instances"), table])
}

fn role(role: Option<&str>) -> Html {
    worded("span", if role.is_some() { "second" } else { "warn" }, role.unwrap_or("unknown"))
}

fn agrees(state: &str) -> Html {
    worded("span", if state == "in sync" { "good" } else { "warn" }, state)
}

fn history(service: &Value) -> Html {
    let changes: Vec<&Value> = list(&service["history"]).collect();
    let rows = changes.iter().rev().take(CHANGES).map(|change| {
        let known = |key: &str| change[key].as_str().unwrap_or("unknown");
        vec![
            text(change["at_ms"].as_f64().map(moment).unwrap_or_default()),
            text(format!("{} → {}", known("was"), known("role"))),
            text(epoch(change)),
            text(said(&change["why"])),
        ]
    });
    let title = format!("Last changes of {}", said(&service["id"]));
    match changes.is_empty() {
        true => Html::default(),
        false => element(
            "section",
            "",
            [worded("h2", "", title), table(&["When (UTC)", "Role", "Epoch", "Why"], rows)],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{self, tests::board};

    #[test]
    fn people_see_what_it_is_and_what_consul_makes_of_it() {
        let status = status::page("2026-11-23T00:00:00.000Z", "http://127.0.0.1:8500", &[], &[board()]);
        let page = page(&status);
        for what in [
            "<h1>rolecall register</h1>",
            "<td data-is=\"Instance\">redis-0</td>",
            "<span class=\"second\">master</span>",
            "<td data-is=\"Epoch\">3</td>",
            "10.0.0.7:6379",
            "<span class=\"good\">passing</span>",
            "<span class=\"good\">in sync</span>",
            "<b class=\"code\">redis-0</b> t: down",
            "Last changes of redis-0",
            "unknown → master",
        ] {
            assert!(page.contains(what), "{what}\n{page}");
        }
    }

    #[test]
    fn no_name_becomes_code() {
        let mut board = board();
        board.id = "<img src=x onerror=alert(1)>".into();
        let page = page(&status::page("", "<img>", &["<img>".into()], &[board]));
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;") && !page.contains("<img"), "{page}");
    }
}
