//! The services that the templates ask for, as Consul tells them and as `render` believes them: who is what, since which
//! epoch, and who of several masters counts.

use crate::{facts::Facts, functions, ledger::Followed};
use consul::{
    Instance, Query,
    election::{Election, Epoch, elect, present},
    instance::meta,
    wire,
};
use serde_json::{Value, json};

/// One entry for each question about a service, in the order of the questions. `followed` are the epochs of the masters
/// that were followed, by the names that templates ask for.
#[must_use]
pub fn services(facts: &Facts, followed: &Followed) -> Vec<Value> {
    let asked = facts.iter().filter_map(|(query, watched)| {
        let Query::Health { service, .. } = query else { return None };
        let rows = wire::instances(watched.value.as_deref()?);
        let name = followed.keys().find(|name| functions::asks(name, query)).unwrap_or(service);
        Some(service_of(name, query, &rows, followed.get(name).copied()))
    });
    asked.collect()
}

fn service_of(name: &str, query: &Query, rows: &[Instance], followed: Option<Epoch>) -> Value {
    let believed = believed(rows, followed);
    let instances = rows.iter().enumerate().map(|(n, row)| instance(row, believed.contains(&n)));
    json!({
        "name": name,
        "query": query.to_string(),
        "followed": followed.map(Epoch::show),
        "instances": instances.collect::<Vec<_>>(),
    })
}

fn instance(row: &Instance, believed: bool) -> Value {
    let epoch = row.epoch();
    json!({
        "id": row.id,
        "node": row.node,
        "address": row.address,
        "port": row.port,
        "role": role(row),
        "epoch": epoch.map(|epoch| epoch.number),
        "generation": epoch.map(|epoch| epoch.generation),
        "status": row.status,
        "believed": row.claims_master().then_some(believed),
    })
}

/// What it is, in the words of its Meta `role`; none where it tells nothing.
fn role(row: &Instance) -> Option<&str> {
    let said = row.meta.get(meta::ROLE).map(String::as_str);
    match said {
        Some("candidate" | "fenced") => said,
        _ if row.claims_master() => Some("primary"),
        _ if row.claims_replica() => Some("replica"),
        _ => None,
    }
}

/// The rows whose word is taken for it that they are masters.
fn believed(rows: &[Instance], followed: Option<Epoch>) -> Vec<usize> {
    let counts = |n: &usize| rows[*n].status == "passing" && rows[*n].claims_master();
    let claims: Vec<usize> = present(rows).into_iter().filter(counts).collect();
    match elect(&claims.iter().map(|n| &rows[*n]).collect::<Vec<_>>(), followed) {
        Election::One(n) => vec![claims[n]],
        Election::Many(all) => all.into_iter().map(|n| claims[n]).collect(),
        Election::None | Election::Tie(_) | Election::Former(_) => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consul::Watched;
    use std::sync::Arc;

    fn row(id: &str, role: &str, epoch: Option<&str>, status: &str) -> Value {
        let mut facts = json!({"role": role});
        if let Some(epoch) = epoch {
            facts["epoch"] = epoch.into();
        }
        json!({"Node": "n", "ID": id, "Tags": [], "Address": "10.0.0.1", "Port": 6379, "ServiceMeta": facts,
               "Status": status})
    }

    fn shown(rows: Value, followed: &[(&str, u64)]) -> Value {
        let watched = Watched { value: Some(Arc::new(rows)), ..Watched::default() };
        let facts: Facts = Arc::new([(Query::health("redis", true), watched)].into());
        let followed = followed.iter().map(|(name, epoch)| ((*name).to_owned(), (*epoch).into())).collect();
        services(&facts, &followed).into()
    }

    #[test]
    fn says_who_is_believed() {
        let both =
            |one, other| json!([row("a", "primary", one, "passing"), row("b", "primary", other, "passing")]);
        for (rows, followed, believed) in [
            (both(Some("3"), Some("4")), None, json!([false, true])),
            (both(Some("4"), Some("4")), None, json!([false, false])),
            (both(Some("3"), Some("4")), Some(5), json!([false, false])),
            (json!([row("a", "primary", Some("9"), "critical")]), None, json!([false])),
            (json!([row("a", "replica", None, "passing")]), None, json!([null])),
        ] {
            let followed: Vec<_> = followed.map(|epoch| ("redis", epoch)).into_iter().collect();
            let shown = shown(rows, &followed);
            let all = shown[0]["instances"].as_array().unwrap();
            let said: Vec<_> = all.iter().map(|instance| instance["believed"].clone()).collect();
            assert_eq!(json!(said), believed, "{shown:#}");
        }
    }

    #[test]
    fn tells_each_instance_by_its_question() {
        let rows = json!([row("a", "primary", Some("7"), "passing"), row("b", "fenced", None, "passing")]);
        let shown = shown(rows, &[("redis", 7)]);
        assert_eq!(shown[0]["name"], "redis");
        assert_eq!(shown[0]["query"], "health/service/redis?passing=1");
        assert_eq!(shown[0]["followed"], json!({"generation": 0, "epoch": 7}));
        assert_eq!(
            shown[0]["instances"][0],
            json!({"id": "a", "node": "n", "address": "10.0.0.1", "port": 6379, "role": "primary", "epoch": 7,
                   "generation": 0, "status": "passing", "believed": true})
        );
        assert_eq!(shown[0]["instances"][1]["role"], "fenced");
        assert!(services(&Facts::default(), &Followed::new()).is_empty());
    }
}
