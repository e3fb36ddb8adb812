//! consul-template's way to write a question, `tag.name?param=value@dc~near|filter`, and what is asked beyond it.

use consul::{Query, query::Scope};
use gotemplate::quote;
use regex::{Captures, Regex};
use std::{collections::BTreeSet, sync::LazyLock};

/// Which instances are wanted of those that Consul names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    states: BTreeSet<&'static str>,
    /// All of these tags.
    tags: Vec<String>,
    /// For each of these lists, one of its tags.
    some_tags: Vec<Vec<String>>,
    /// Meta keys and their values.
    meta: Vec<(String, String)>,
}

const STATES: [&str; 4] = ["passing", "warning", "critical", "maintenance"];
/// Parameters that are handed on to Consul.
const PARAMETERS: [&str; 4] = ["ns", "peer", "partition", "sameness-group"];

/// Each part is as consul-template reads it: its documentation gives these letters for each.
static SERVICE: LazyLock<Regex> = LazyLock::new(|| {
    let tag = r"((?P<tag>[[:word:]=:.\-]+)\.)?";
    compiled(&format!(r"{tag}(?P<name>[[:word:]\-]+){PARAMS}{DC}{NEAR}(\|(?P<filter>[[:word:],]+))?"))
});
static NODE: LazyLock<Regex> = LazyLock::new(|| compiled(&format!(r"(?P<name>[[:word:].\-]+){PARAMS}{DC}")));
static NODES: LazyLock<Regex> = LazyLock::new(|| compiled(&format!("{PARAMS}{DC}{NEAR}")));
static SERVICES: LazyLock<Regex> = LazyLock::new(|| compiled(&format!("{PARAMS}{DC}")));
static PREPARED: LazyLock<Regex> =
    LazyLock::new(|| compiled(&format!(r"(?P<name>[^@?~|]+){PARAMS}{DC}{NEAR}")));
static KEY: LazyLock<Regex> = LazyLock::new(|| compiled(&format!(r"/?(?P<name>[^@?]+){PARAMS}{DC}")));
const PARAMS: &str = r"(\?(?P<query>[[:word:]\-=&]+))?";
const DC: &str = r"(@(?P<dc>[[:word:].\-]+))?";
const NEAR: &str = r"(~(?P<near>[[:word:].\-]+))?";

fn compiled(pattern: &str) -> Regex {
    Regex::new(&format!(r"\A{pattern}\z")).expect("the patterns above are sound; the tests compile each")
}

impl Filter {
    fn of(states: &[&'static str]) -> Filter {
        Filter { states: states.iter().copied().collect(), tags: vec![], some_tags: vec![], meta: vec![] }
    }

    /// Whether everything that Consul names for the question is wanted.
    pub(super) fn keeps_all(&self) -> bool {
        self.states.contains("any")
            && self.tags.is_empty()
            && self.some_tags.is_empty()
            && self.meta.is_empty()
    }

    /// Whether an instance with this state, these tags and this Meta is wanted.
    pub(super) fn keeps(&self, status: &str, tags: &[&str], meta: impl Fn(&str) -> Option<String>) -> bool {
        let state = self.states.contains("any") || self.states.contains(status);
        let all = self.tags.iter().all(|tag| tags.contains(&tag.as_str()));
        let some = self.some_tags.iter().all(|list| list.iter().any(|tag| tags.contains(&tag.as_str())));
        state && all && some && self.meta.iter().all(|(key, value)| meta(key).as_deref() == Some(value))
    }
}

fn part(found: &Captures, name: &str) -> Option<String> {
    found.name(name).map(|part| part.as_str().to_owned())
}

fn parse<'t>(pattern: &Regex, label: &str, text: &'t str) -> Result<(Captures<'t>, Scope), String> {
    let found =
        pattern.captures(text).ok_or_else(|| format!("{label}: invalid format: {}", quote(text, false)))?;
    let query = part(&found, "query").unwrap_or_default();
    let mut more = vec![];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !PARAMETERS.contains(&key) {
            return Err(format!(
                "{label}: invalid query parameter key {} in query {}: supported keys: {}",
                quote(key, false),
                quote(&query, false),
                PARAMETERS.join(",")
            ));
        }
        more.push((key.to_owned(), value.to_owned()));
    }
    let scope = Scope { dc: part(&found, "dc"), more };
    Ok((found, scope))
}

/// Reads `tag.name?param=value@dc~near|filter` with its further arguments: filters, and selectors as `tag=a`,
/// `tags=a,b`, `meta=key:value`, `filter=EXPRESSION`, `name=dotted.name`, `dc=`, `near=`.
pub(super) fn service(arguments: &[&str], connect: bool) -> Result<(Query, Filter), String> {
    let label = "health.service";
    let selects = |argument: &&&str| SELECTORS.iter().any(|key| argument.starts_with(key));
    let (first, rest) = arguments.split_first().unwrap_or((&"", &[]));
    let words: Vec<&str> =
        std::iter::once(*first).chain(rest.iter().filter(|a| !selects(a)).copied()).collect();
    let selectors: Vec<&str> = rest.iter().filter(selects).copied().collect();
    let dotted = selectors.iter().find_map(|selector| selector.strip_prefix("name="));
    // A name with dots cannot be told from a tag with a name: it comes as an argument of its own.
    let text = match dotted {
        Some(_) => format!("x{}", words.join("|")),
        None => words.join("|"),
    };
    let (found, mut scope) = parse(&SERVICE, label, &text)?;
    let both = ["peer", "sameness-group"].iter().all(|key| scope.more.iter().any(|(k, _)| k == key));
    if both {
        return Err(format!("{label}: cannot specify both peer and sameness-group"));
    }
    let mut filter = states(part(&found, "filter").as_deref(), label, &text)?;
    let mut tag = part(&found, "tag");
    let mut near = part(&found, "near");
    let name = dotted.map(str::to_owned).or_else(|| part(&found, "name")).unwrap_or_default();
    for selector in selectors {
        let (key, value) = selector.split_once('=').unwrap_or((selector, ""));
        if value.is_empty() {
            return Err(format!("{label}: {selector} says nothing"));
        }
        match key {
            // Consul sorts out the first tag, we the others.
            "tag" if tag.is_none() => tag = Some(value.to_owned()),
            "tag" => filter.tags.push(value.to_owned()),
            "tags" => filter.some_tags.push(value.split(',').map(str::to_owned).collect()),
            "meta" => {
                let pair = value.split_once(':').ok_or_else(|| format!("{label}: write meta=key:value"))?;
                filter.meta.push((pair.0.to_owned(), pair.1.to_owned()));
            }
            "filter" => scope.more.push(("filter".to_owned(), value.to_owned())),
            "dc" => scope.dc = Some(value.to_owned()),
            "near" => near = Some(value.to_owned()),
            _ => {}
        }
    }
    let passing = filter.states.iter().eq(["passing"].iter());
    if passing {
        // Consul leaves out what does not pass.
        filter.states = BTreeSet::from(["any"]);
    }
    Ok((Query::Health { service: name, tag, passing, connect, near, scope }, filter))
}

const SELECTORS: [&str; 7] = ["name=", "tag=", "tags=", "meta=", "filter=", "dc=", "near="];

fn states(text: Option<&str>, label: &str, whole: &str) -> Result<Filter, String> {
    let Some(text) = text else { return Ok(Filter::of(&["passing"])) };
    let mut filter = Filter::of(&[]);
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match STATES.iter().chain(&["any"]).find(|state| **state == word) {
            Some(state) => _ = filter.states.insert(state),
            None => {
                let (word, whole) = (quote(word, false), quote(whole, false));
                return Err(format!("{label}: invalid filter: {word} in {whole}"));
            }
        }
    }
    Ok(filter)
}

/// Reads `name?param=value@dc` of a node; nothing at all is the agent's own.
pub(super) fn node(text: &str) -> Result<(Option<String>, Scope), String> {
    if text.is_empty() {
        return Ok((None, Scope::default()));
    }
    let (found, scope) = parse(&NODE, "catalog.node", text)?;
    Ok((part(&found, "name"), scope))
}

/// Reads `?param=value@dc~near`.
pub(super) fn nodes(text: &str) -> Result<(Option<String>, Scope), String> {
    let (found, scope) = parse(&NODES, "catalog.nodes", text)?;
    Ok((part(&found, "near"), scope))
}

/// Reads `?param=value@dc`.
pub(super) fn scope(label: &str, text: &str) -> Result<Scope, String> {
    Ok(parse(&SERVICES, label, text)?.1)
}

/// Reads `name?param=value@dc~near` of a prepared query.
pub(super) fn prepared(text: &str) -> Result<(String, Option<String>, Scope), String> {
    let (found, scope) = parse(&PREPARED, "query", text)?;
    Ok((part(&found, "name").unwrap_or_default(), part(&found, "near"), scope))
}

/// Reads `path?param=value@dc` of a key; leading slashes mean nothing, and nothing but them is the whole store.
pub(super) fn path(label: &str, text: &str) -> Result<(String, Scope), String> {
    // A plain path, as nearly all are, needs no pattern: a template may ask for thousands at each change.
    if !text.is_empty() && !text.contains(['@', '?']) {
        return Ok((without_slash(without_slash(text)).to_owned(), Scope::default()));
    }
    let (found, scope) = parse(&KEY, label, text)?;
    let name = part(&found, "name").unwrap_or_default();
    Ok((without_slash(&name).to_owned(), scope))
}

fn without_slash(text: &str) -> &str {
    text.strip_prefix('/').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_written_as_in_consul_template() {
        for (text, name) in [
            ("redis", "health/service/redis?passing=1"),
            ("redis|passing", "health/service/redis?passing=1"),
            ("redis|any", "health/service/redis"),
            ("redis|passing,warning", "health/service/redis"),
            ("master.redis", "health/service/redis?passing=1&tag=master"),
            ("a.b.redis", "health/service/redis?passing=1&tag=a.b"),
            ("v1.redis?ns=a@dc2~_agent|any", "health/service/redis?tag=v1&near=_agent&dc=dc2&ns=a"),
        ] {
            assert_eq!(service(&[text], false).unwrap().0.to_string(), name, "{text}");
        }
        let (_, filter) = service(&["redis", "warning"], false).unwrap();
        assert!(filter.keeps("warning", &[], |_| None) && !filter.keeps("passing", &[], |_| None));
        assert_eq!(
            path("kv.get", "/a/b@dc2").unwrap(),
            ("a/b".into(), Scope { dc: Some("dc2".into()), more: vec![] })
        );
        for (text, name) in [
            ("a", "a"),
            ("/a/b", "a/b"),
            ("//a", "a"),
            ("///a", "/a"),
            ("/", ""),
            ("//", ""),
            ("a\nb", "a\nb"),
        ] {
            let by_pattern =
                parse(&KEY, "kv.get", text).map(|(found, _)| part(&found, "name")).unwrap().unwrap();
            assert_eq!(
                (path("kv.get", text).unwrap().0.as_str(), without_slash(&by_pattern)),
                (name, name),
                "{text}"
            );
        }
        assert!(path("kv.get", "").is_err());
        assert_eq!(node("").unwrap(), (None, Scope::default()));
        assert_eq!(nodes("@dc2~n").unwrap().0.as_deref(), Some("n"));
        assert_eq!(prepared("near redis@dc2").unwrap().0, "near redis");
        assert!(scope("catalog.services", "?ns=a").is_ok());
    }

    #[test]
    fn a_question_can_say_what_consul_template_cannot() {
        for (arguments, name) in [
            (vec!["redis", "tag=a", "tag=b"], "health/service/redis?passing=1&tag=a"),
            (vec!["", "name=my.dotted.name"], "health/service/my.dotted.name?passing=1"),
            (vec!["@dc2|any", "name=my.dotted.name"], "health/service/my.dotted.name?dc=dc2"),
            (
                vec!["redis", "filter=Service.Meta.role == master", "dc=dc3", "near=_agent"],
                "health/service/redis?passing=1&near=_agent&dc=dc3&filter=Service.Meta.role == master",
            ),
        ] {
            assert_eq!(service(&arguments, false).unwrap().0.to_string(), name, "{arguments:?}");
        }
        let (_, filter) =
            service(&["redis", "tag=a", "tag=b", "tags=x,y", "meta=role:master"], false).unwrap();
        let role = |key: &str| (key == "role").then(|| "master".to_owned());
        assert!(filter.keeps("passing", &["b", "y"], role));
        assert!(!filter.keeps("passing", &["b"], role), "one of x and y");
        assert!(!filter.keeps("passing", &["y"], role), "b as well");
        assert!(!filter.keeps("passing", &["b", "y"], |_| None), "and the role");
        assert!(service(&["redis", "tag="], false).is_err() && service(&["redis", "meta=x"], false).is_err());
    }

    #[test]
    fn a_question_that_says_nothing_is_refused() {
        for text in [
            "",
            "|any",
            "redis|",
            "redis@",
            "redis~",
            ".redis",
            "tag.",
            "a b",
            "redis|bogus",
            "redis?x=1",
            "redis~a@b",
            "redis?peer=a&sameness-group=b",
        ] {
            assert!(service(&[text], false).is_err(), "{text}");
        }
        assert!(path("kv.get", "").is_err() && path("kv.get", "a@b@c").is_err());
    }
}
