//! The status as a page for people: what blocks, who is what in Consul, and for each template what HAProxy runs and what
//! became of the last changes. It shows nothing that `/status` does not say.

mod template;

use daemon::{
    html::{Html, element, text, worded},
    view::{address, blocks, epoch, head, health, list, long_table, moment, said},
};
use serde_json::Value;

/// The page's content, made of a status as `/status` shows it.
#[must_use]
pub fn page(status: &Value) -> String {
    let parts = [head(status), blocks(status, troubles(status)), services(status)].into_iter();
    let templates = list(&status["templates"]).map(template::template);
    let page: Html = parts.chain(templates).chain([questions(status)]).collect();
    page.source()
}

fn troubles(status: &Value) -> Vec<(&str, String)> {
    let queries = list(&status["queries"]).filter(|query| !query["trouble"].is_null());
    let queries = queries.map(|query| (said(&query["query"]), said(&query["trouble"]).to_owned()));
    let templates = list(&status["templates"]).flat_map(|template| {
        template::blocks(template).into_iter().map(|what| (said(&template["destination"]), what))
    });
    queries.chain(templates).collect()
}

fn services(status: &Value) -> Html {
    let mut rows: Vec<(u8, &str, &Value)> = list(&status["services"])
        .flat_map(|service| list(&service["instances"]).map(|row| (rank(row), said(&service["name"]), row)))
        .collect();
    rows.sort_by_key(|(rank, service, row)| (*service, *rank, said(&row["id"])));
    let empty = list(&status["services"]).filter(|service| list(&service["instances"]).next().is_none());
    let empty = empty.map(|service| worded("p", "", format!("{}: no instance", said(&service["name"]))));
    let columns = ["Service", "Instance", "Role", "Epoch", "Health", "Address", "Node"];
    let row = |(_, service, row): &(u8, &str, &Value)| {
        vec![
            text(service),
            worded("b", "", said(&row["id"])),
            role(row),
            text(epoch(row)),
            health(said(&row["status"])),
            worded("span", "code", address(row)),
            text(said(&row["node"])),
        ]
    };
    let parts = [worded("h2", "", "Services in Consul"), long_table(&columns, rows.iter().map(row))];
    element("section", "", parts.into_iter().chain(empty))
}

fn questions(status: &Value) -> Html {
    let mut rows: Vec<&Value> = list(&status["queries"]).collect();
    rows.sort_by_key(|query| query["trouble"].is_null());
    let columns = ["Question", "Index", "Last answer", "Present value since (UTC)", "Last error"];
    let ago = |query: &Value| query["age_ms"].as_f64().map(|age| format!("{:.0} s ago", age / 1e3));
    let since = |of: &Value, key: &str| of[key].as_f64().map(moment).unwrap_or_default();
    let error = |query: &Value| match &query["last_error"] {
        Value::Null => String::new(),
        error => format!("{} {}", since(error, "at_ms"), said(&error["said"])),
    };
    let row = |query: &&Value| {
        vec![
            worded("span", "code", said(&query["query"])),
            text(query["index"].as_u64().map(|index| index.to_string()).unwrap_or_default()),
            text(ago(query).unwrap_or_else(|| "none yet".into())),
            text(since(query, "heard_ms")),
            text(error(query)),
        ]
    };
    let parts = [worded("h2", "", "Questions to Consul"), long_table(&columns, rows.iter().map(row))];
    element("section", "", parts)
}

/// Who matters most comes first.
fn rank(row: &Value) -> u8 {
    match (row["believed"].as_bool(), row["role"].as_str()) {
        (Some(true), _) => 0,
        (Some(false), _) => 1,
        (_, Some("fenced" | "candidate")) => 2,
        (_, Some(_)) => 3,
        _ => 4,
    }
}

fn role(row: &Value) -> Html {
    match (row["believed"].as_bool(), row["role"].as_str()) {
        (Some(true), role) => worded("span", "first", role.unwrap_or("primary")),
        (Some(false), role) => worded("span", "bad", format!("{}, not believed", role.unwrap_or("primary"))),
        (_, Some(role @ ("fenced" | "candidate"))) => worded("span", "warn", role),
        (_, Some(role)) => worded("span", "second", role),
        _ => Html::default(),
    }
}

#[cfg(test)]
mod tests;
