//! What the agent says against what the catalog says: a `200 OK` from the agent does not mean that others see it.

use crate::{
    diagnosis::{Cause, several},
    plan::Known,
};
use consul::{Instance, Status, instance::meta, wire};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// How the catalog compares with the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// One of both is not known.
    #[default]
    Unknown,
    /// Both say the same.
    InSync,
    /// The agent holds the entry, the catalog does not show it.
    Missing,
    /// Both show the entry, but not the same.
    Differs,
}

impl Sync {
    /// The word on the status page.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Sync::Unknown => "unknown",
            Sync::InSync => "in sync",
            Sync::Missing => "missing",
            Sync::Differs => "differs",
        }
    }

    /// Whether others see something else than the agent says.
    #[must_use]
    pub fn lies(self) -> bool {
        matches!(self, Sync::Missing | Sync::Differs)
    }
}

/// The comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// The verdict.
    pub state: Sync,
    /// The agent's word.
    pub agent_says: Option<String>,
    /// The catalog's.
    pub catalog_says: Option<String>,
    /// What may be behind a difference, and what to do.
    pub hint: Option<String>,
    /// The reason, once it was found out.
    pub cause: Option<Cause>,
    /// The catalog's rows under our id.
    pub rows: Vec<Instance>,
    /// Since when both differ, and the same in Unix milliseconds.
    pub since: Option<(Instant, f64)>,
}

/// A change needs 10–30 ms from the agent to the catalog; what lasts longer than this is a lie.
pub const GRACE: Duration = Duration::from_secs(2);

impl Drift {
    /// Carries over since when both differ, and why as far as it was found out.
    #[must_use]
    pub fn after(self, before: &Drift, now: (Instant, f64)) -> Drift {
        let since = self.state.lies().then(|| before.since.unwrap_or(now));
        let next = Drift { since, ..self };
        match before.cause.clone().filter(|_| next.state.lies() && next.cause.is_none()) {
            Some(cause) => Drift { hint: before.hint.clone(), cause: Some(cause), ..next },
            None => next,
        }
    }

    /// The same with its reason, or without one.
    #[must_use]
    pub fn explained(self, cause: Option<Cause>, service: &str) -> Drift {
        let hint = cause.as_ref().map(|cause| cause.remedy(service)).or_else(|| self.hint.clone());
        Drift { cause, hint, ..self }
    }

    /// Whether both have differed for longer than a change needs.
    #[must_use]
    pub fn lasts(&self, now: Instant) -> bool {
        self.since.is_some_and(|(since, _)| now >= since + GRACE)
    }
}

/// Compares what the agent holds under `id`, with the status it last accepted for `check`, with the catalog's rows
/// of the service.
#[must_use]
pub fn compare(check: &str, known: &Known, said: Option<Status>, rows: Option<&Value>) -> Drift {
    let (Known::Held(held, _), Some(rows)) = (known, rows.and_then(Value::as_array)) else {
        return Drift::default();
    };
    let agent = Side {
        tags: sorted(&held.tags),
        address: &held.address,
        port: held.port,
        meta: &held.meta,
        status: said.map(|status| status.word().to_owned()),
    };
    let ours: Vec<(Instance, Option<String>)> = rows
        .iter()
        .map(|row| (wire::instance(row), status_of(row, check)))
        .filter(|(row, _)| row.id == held.id)
        .collect();
    let sides: Vec<Side> = ours.iter().map(|(row, status)| Side::of(row, status.clone())).collect();
    let rows_of_ours = ours.iter().map(|(row, _)| row.clone()).collect();
    let drift = Drift { agent_says: Some(agent.to_string()), rows: rows_of_ours, ..Drift::default() };
    if let Some(at) = sides.iter().position(|side| side.same(&agent)) {
        let other = ours.iter().enumerate().find(|(place, _)| *place != at);
        let hint = other.map(|(_, (row, _))| ghost(row));
        let cause = several(&drift.rows);
        let said = Some(sides[at].to_string());
        return Drift { state: Sync::InSync, catalog_says: said, hint, ..drift }.explained(cause, &held.name);
    }
    match sides.first() {
        None => Drift { state: Sync::Missing, hint: Some(missing(&held.name, rows.is_empty())), ..drift },
        Some(side) => Drift {
            state: Sync::Differs,
            catalog_says: Some(format!("{side} on node {}", ours[0].0.node)),
            hint: Some(NOT_SYNCED.into()),
            ..drift
        },
    }
}

const NOT_SYNCED: &str = "the agent took the entry but did not bring it to the servers. Look in its log: \"blocked by ACLs\" means \
     that the token lost service:write; \"Node name … is reserved by node …\" means that the agent came back with an \
     empty data directory and a new node id: give it a stable -node-id, and remove the old node once with \
     PUT /v1/catalog/deregister {\"Node\": …}";

fn missing(service: &str, nothing_at_all: bool) -> String {
    if nothing_at_all {
        return format!(
            "the catalog shows no instance of {service:?} at all: the token may not read it (it needs service:read on \
             {service} and node:read; Consul answers an empty list instead of an error), or {NOT_SYNCED}"
        );
    }
    NOT_SYNCED.into()
}

fn ghost(row: &Instance) -> String {
    format!(
        "node {} shows another entry with this id at {}:{} ({}): an earlier life of this instance, which \
         deregister_critical_after removes",
        row.node, row.address, row.port, row.status
    )
}

fn status_of(row: &Value, check: &str) -> Option<String> {
    let checks = row["Checks"].as_array()?;
    let ours = checks.iter().find(|found| found["CheckID"] == check)?;
    ours["Status"].as_str().map(str::to_owned)
}

fn sorted(tags: &[String]) -> Vec<String> {
    let mut tags = tags.to_vec();
    tags.sort();
    tags
}

/// What one side says.
struct Side<'a> {
    tags: Vec<String>,
    address: &'a str,
    port: u16,
    meta: &'a std::collections::BTreeMap<String, String>,
    status: Option<String>,
}

impl<'a> Side<'a> {
    fn of(row: &'a Instance, status: Option<String>) -> Self {
        Side { tags: sorted(&row.tags), address: &row.address, port: row.port, meta: &row.meta, status }
    }

    fn same(&self, agent: &Side) -> bool {
        let status = agent.status.is_none() || self.status == agent.status;
        status
            && (&self.tags, self.address, self.port, self.meta)
                == (&agent.tags, agent.address, agent.port, agent.meta)
    }
}

impl std::fmt::Display for Side<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} [{}]", self.address, self.port, self.tags.join(", "))?;
        for key in [meta::EPOCH, meta::RUN_ID] {
            if let Some(value) = self.meta.get(key) {
                write!(f, " {key} {value}")?;
            }
        }
        self.status.as_ref().map_or(Ok(()), |status| write!(f, " {status}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{
        desired,
        tests::{entry, held, me, seen},
    };
    use consul::Role;
    use serde_json::json;

    fn row(node: &str, role: &str, status: &str) -> Value {
        json!({
            "Node": node, "ID": "redis-0", "Name": "redis", "Tags": [role, "v7"], "Address": "10.0.0.7", "Port": 6379,
            "ServiceMeta": {"pod": "redis-0", "role": Role::read(role).unwrap().word(), "says": "master", "run_id": "abc"},
            "Status": "critical",
            "Checks": [{"CheckID": "serfHealth", "Status": "critical"}, {"CheckID": "rolecall:redis-0", "Status": status}],
        })
    }

    fn other() -> Value {
        json!({"Node": "n9", "ID": "redis-9", "Tags": [], "Address": "10.0.0.9", "Port": 6379})
    }

    #[test]
    fn a_lie_is_told_apart_from_a_delay() {
        let known = held(&entry(&desired(&me(), &seen(Role::Master))));
        let compare = |known: &Known, rows: Option<Value>| {
            compare("rolecall:redis-0", known, Some(Status::Passing), rows.as_ref())
        };
        for (rows, state, hint) in [
            (None, Sync::Unknown, None),
            (Some(json!([row("n1", "master", "passing")])), Sync::InSync, None),
            (Some(json!([row("n1", "master", "critical")])), Sync::Differs, Some("reserved by node")),
            (Some(json!([row("n1", "replica", "passing")])), Sync::Differs, Some("blocked by ACLs")),
            (Some(json!([])), Sync::Missing, Some("node:read")),
            (Some(json!([other()])), Sync::Missing, Some("blocked by ACLs")),
            (
                Some(json!([row("n2", "replica", "passing"), row("n1", "master", "passing")])),
                Sync::InSync,
                Some("node n2 shows another"),
            ),
        ] {
            let drift = compare(&known, rows);
            assert_eq!(drift.state, state, "{drift:?}");
            assert_eq!(drift.hint.is_some(), hint.is_some(), "{drift:?}");
            assert!(drift.hint.unwrap_or_default().contains(hint.unwrap_or_default()));
        }
        assert_eq!(compare(&Known::Absent, Some(json!([]))).state, Sync::Unknown);
        let says = compare(&known, Some(json!([row("n1", "replica", "passing")])));
        assert_eq!(says.agent_says.as_deref(), Some("10.0.0.7:6379 [master, v7] run_id abc passing"));
        assert_eq!(
            says.catalog_says.as_deref(),
            Some("10.0.0.7:6379 [replica, v7] run_id abc passing on node n1")
        );

        let now = Instant::now();
        let began = says.clone().after(&Drift::default(), (now, 5.0));
        let goes_on = says.after(&began, (now + GRACE, 9.0));
        assert_eq!(goes_on.since, Some((now, 5.0)));
        assert!(!goes_on.lasts(now) && goes_on.lasts(now + GRACE));
    }
}
