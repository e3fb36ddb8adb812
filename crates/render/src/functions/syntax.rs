//! consul-template's way to write a question: `tag.name?param=value@dc~near|filter`.

use consul::{Query, query::Scope};
use std::collections::BTreeSet;

/// Which states of health are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter(BTreeSet<String>);

const STATES: [&str; 4] = ["passing", "warning", "critical", "maintenance"];
/// Parameters that are handed on to Consul.
const PARAMETERS: [&str; 4] = ["ns", "peer", "partition", "sameness-group"];

impl Filter {
    /// Whether an instance in this state is wanted.
    pub(super) fn keeps(&self, status: &str) -> bool {
        self.0.contains(status)
    }

    fn parse(text: &str) -> Result<Filter, String> {
        let mut states = BTreeSet::new();
        for word in text.split([',', '|']).map(str::trim) {
            match word {
                "any" => states.extend(STATES.map(str::to_owned)),
                _ if STATES.contains(&word) => _ = states.insert(word.to_owned()),
                _ => return Err(format!("invalid filter `{word}`; use any, {}", STATES.join(", "))),
            }
        }
        Ok(Filter(states))
    }
}

/// Reads `tag.name?param=value@dc~near|filter`.
pub(super) fn service(text: &str) -> Result<(Query, Filter), String> {
    let (rest, filter) = match text.split_once('|') {
        Some((rest, filter)) => (rest, Filter::parse(filter)?),
        None => (text, Filter::parse("passing")?),
    };
    let (name, near, scope) = parts(rest)?;
    // Consul sorts out what does not pass; any other wish needs all rows.
    let passing = filter == Filter::parse("passing")?;
    let (tag, service) = match name.rsplit_once('.') {
        Some((tag, service)) => (Some(tag.to_owned()), service),
        None => (None, name),
    };
    if service.is_empty() || service.contains(char::is_whitespace) || tag.as_deref() == Some("") {
        return Err(format!("`{text}` names no service; write `name`, `tag.name` or `tag.name@dc|any`"));
    }
    Ok((Query::Health { service: service.to_owned(), tag, passing, near, scope }, filter))
}

/// Reads `name?param=value@dc~near` of a node; each part may be left out.
pub(super) fn node(text: &str) -> Result<(Option<String>, Option<String>, Scope), String> {
    let (name, near, scope) = parts(text)?;
    Ok((Some(name.to_owned()).filter(|name| !name.is_empty()), near, scope))
}

/// Reads `path?param=value@dc` of a key; a leading slash means nothing.
pub(super) fn path(text: &str) -> Result<(String, Scope), String> {
    let (path, dc) = cut(text, '@')?;
    let (path, more) = parameters(path)?;
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.is_empty() {
        return Err(format!("`{text}` names no key"));
    }
    Ok((path.to_owned(), Scope { dc, more }))
}

fn parts(text: &str) -> Result<(&str, Option<String>, Scope), String> {
    let (rest, near) = cut(text, '~')?;
    let (rest, dc) = cut(rest, '@')?;
    let (name, more) = parameters(rest)?;
    Ok((name, near, Scope { dc, more }))
}

fn cut(text: &str, mark: char) -> Result<(&str, Option<String>), String> {
    match text.split_once(mark) {
        Some((_, "")) => Err(format!("`{text}` has nothing after its `{mark}`")),
        Some((rest, part)) => Ok((rest, Some(part.to_owned()))),
        None => Ok((text, None)),
    }
}

/// Parameters as Consul takes them: names and values.
type Parameters = Vec<(String, String)>;

fn parameters(text: &str) -> Result<(&str, Parameters), String> {
    let Some((rest, list)) = text.split_once('?') else { return Ok((text, vec![])) };
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match PARAMETERS.contains(&key) {
            true => Ok((key.to_owned(), value.to_owned())),
            false => Err(format!("`{key}` is no parameter here; use {}", PARAMETERS.join(", "))),
        }
    };
    Ok((rest, list.split('&').map(pair).collect::<Result<_, _>>()?))
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
            assert_eq!(service(text).unwrap().0.to_string(), name, "{text}");
        }
        assert!(service("redis|warning").unwrap().1.keeps("warning"));
        assert!(!service("redis|warning").unwrap().1.keeps("passing"));
        let (key, scope) = path("/a/b@dc2").unwrap();
        assert_eq!((key.as_str(), scope.dc.as_deref()), ("a/b", Some("dc2")));
        assert_eq!(node("").unwrap(), (None, None, Scope::default()));
    }

    #[test]
    fn a_question_that_says_nothing_is_refused() {
        for text in
            ["", "|any", "redis|", "redis@", "redis~", ".redis", "tag.", "a b", "redis|bogus", "redis?x=1"]
        {
            assert!(service(text).is_err(), "{text}");
        }
        assert!(path("/").is_err());
    }
}
