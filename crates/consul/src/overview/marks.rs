//! What the lists of all services and of all checks tell of each service: whether something of it changed.
//!
//! Which list moves when was measured on Consul 1.8: a check's status, the tags of a service that has checks, and what
//! happens to its node move the list of checks, whose rows say which service it was. An address or Meta moves the list of
//! services alone, which says of nobody that it was he.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};

/// A number for each service, another one when something of it changed. That of `""` stands for all that have none.
pub type Marks = BTreeMap<String, u64>;

/// Of the list of services (`/v1/catalog/services`).
#[must_use]
pub fn of_services(list: &Value) -> Marks {
    let mark = |tags: &Value| number(&tags.to_string());
    list.as_object().into_iter().flatten().map(|(name, tags)| (name.clone(), mark(tags))).collect()
}

/// Of the list of checks (`/v1/health/state/any`). A node's checks are those of all services on it.
#[must_use]
pub fn of_checks(list: &Value) -> Marks {
    let (mut marks, mut nodes, mut places) = (Marks::new(), BTreeMap::new(), BTreeSet::new());
    for row in list.as_array().into_iter().flatten() {
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        let (node, service) = (text("Node"), text("ServiceName"));
        let mark = number(&(node, text("CheckID"), row["ModifyIndex"].as_u64()));
        if service.is_empty() {
            add(nodes.entry(node).or_default(), mark);
        } else {
            add(marks.entry(service.to_owned()).or_default(), mark);
            places.insert((service, node));
        }
    }
    for (service, node) in places {
        let checks = nodes.get(node).copied().unwrap_or_default();
        add(marks.entry(service.to_owned()).or_default(), checks);
    }
    // Where services without checks are is not told.
    let rest = nodes.values().fold(0_u64, |sum, mark| sum.wrapping_add(*mark));
    marks.insert(String::new(), rest);
    marks
}

/// Whether something of `service` changed between two answers of one list.
#[must_use]
pub fn differ(before: &Marks, now: &Marks, service: &str) -> bool {
    let of = |marks: &Marks| marks.get(service).or_else(|| marks.get("")).copied();
    of(before) != of(now)
}

fn number(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The order of the rows is of no matter.
fn add(to: &mut u64, mark: u64) {
    *to = to.wrapping_add(mark);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changed(before: &Marks, now: &Marks) -> Vec<&'static str> {
        ["web", "db", "plain"].into_iter().filter(|service| differ(before, now, service)).collect()
    }

    #[test]
    fn checks_name_the_service_they_are_of_and_a_node_all_that_are_on_it() {
        let check = |node: &str, id: &str, service: &str, index: u64| json!({"Node": node, "CheckID": id, "ServiceName": service, "ModifyIndex": index});
        let list = |web: u64, one: u64, two: u64| {
            json!([
                check("one", "serfHealth", "", one),
                check("two", "serfHealth", "", two),
                check("one", "web", "web", web),
                check("two", "db", "db", 3),
            ])
        };
        let before = of_checks(&list(5, 1, 2));
        for (now, expected) in [
            (list(5, 1, 2), &[][..]),
            (list(9, 1, 2), &["web"]),
            (list(5, 9, 2), &["web", "plain"]),
            (list(5, 1, 9), &["db", "plain"]),
            (json!([check("two", "serfHealth", "", 2), check("two", "db", "db", 3)]), &["web", "plain"]),
        ] {
            assert_eq!(changed(&before, &of_checks(&now)), expected, "{now}");
        }
        let mut turned = list(5, 1, 2);
        turned.as_array_mut().unwrap().reverse();
        assert_eq!(changed(&before, &of_checks(&turned)), [""; 0], "the order is of no matter");
    }

    #[test]
    fn the_list_of_services_names_those_whose_tags_change() {
        let before = of_services(&json!({"web": ["a"], "db": [], "plain": []}));
        for (now, expected) in [
            (json!({"web": ["a"], "db": [], "plain": []}), &[][..]),
            (json!({"web": ["b"], "db": [], "plain": []}), &["web"]),
            (json!({"web": ["a"], "plain": []}), &["db"]),
        ] {
            assert_eq!(changed(&before, &of_services(&now)), expected, "{now}");
        }
    }
}
