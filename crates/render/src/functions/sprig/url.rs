//! URLs, taken apart and put together.

use super::strval;
use gotemplate::Value;

pub(super) fn parse(text: &str) -> Result<Value, String> {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let letters = |scheme: &str| scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let (scheme, rest) = match rest.split_once(':') {
        Some(("", _)) => {
            return Err(format!(
                "unable to parse url: parse {}: missing protocol scheme",
                gotemplate::quote(text, false)
            ));
        }
        Some((scheme, rest)) if letters(scheme) && scheme.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            (scheme.to_lowercase(), rest)
        }
        _ => (String::new(), rest),
    };
    let (mut authority, mut path, mut opaque) = ("", rest, "");
    if let Some(after) = rest.strip_prefix("//") {
        let end = after.find('/').unwrap_or(after.len());
        (authority, path) = (&after[..end], &after[end..]);
    } else if !scheme.is_empty() && !rest.starts_with('/') {
        (opaque, path) = (rest, "");
    }
    let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let hostname = match host.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    Ok(Value::dict([
        ("scheme", scheme.into()),
        ("host", host.into()),
        ("hostname", hostname.into()),
        ("path", path.into()),
        ("query", query.into()),
        ("opaque", opaque.into()),
        ("fragment", fragment.into()),
        ("userinfo", Value::from(userinfo)),
    ]))
}

pub(super) fn join(parts: &Value) -> String {
    let part = |name: &str| parts.field(name).map(|value| strval(&value)).unwrap_or_default();
    let mut out = String::new();
    if !part("scheme").is_empty() {
        out.push_str(&format!("{}:", part("scheme")));
    }
    if !part("opaque").is_empty() {
        out.push_str(&part("opaque"));
    } else {
        if !part("host").is_empty() || !part("userinfo").is_empty() {
            let at = if part("userinfo").is_empty() { "" } else { "@" };
            out.push_str(&format!("//{}{at}{}", part("userinfo"), part("host")));
            if !part("path").is_empty() && !part("path").starts_with('/') {
                out.push('/');
            }
        }
        out.push_str(&part("path"));
    }
    for (mark, name) in [('?', "query"), ('#', "fragment")] {
        if !part(name).is_empty() {
            out.push_str(&format!("{mark}{}", part(name)));
        }
    }
    out
}
