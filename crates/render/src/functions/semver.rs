//! Versions and ranges of them: `^1.2`, `~1.2.3`, `1.x`, `>=1.0, <2`, `1.2 - 1.4`, joined with `||`.

use gotemplate::{Object, UintKind, Value};
use std::{cmp::Ordering, sync::Arc};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    pre: String,
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => by_parts(&self.pre, &other.pre),
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn by_parts(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, _) => Ordering::Less,
            (_, None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// A version, how many of its numbers were given, and what follows its `+`.
fn version(text: &str) -> Option<(Version, usize, &str)> {
    let (rest, metadata) = text.split_once('+').unwrap_or((text, ""));
    let (rest, pre) = rest.split_once('-').unwrap_or((rest, ""));
    let rest = rest.strip_prefix('v').unwrap_or(rest);
    let mut numbers = [0; 3];
    let mut given = 0;
    for part in rest.split('.') {
        if matches!(part, "x" | "X" | "*") {
            break;
        }
        *numbers.get_mut(given)? = part.parse().ok()?;
        given += 1;
    }
    Some((Version { numbers, pre: pre.into() }, given, metadata))
}

/// A version as a template sees it.
#[derive(Debug)]
struct Parts {
    version: Version,
    metadata: String,
    original: String,
}

impl Object for Parts {
    fn kind(&self) -> &'static str {
        "*semver.Version"
    }

    fn text(&self) -> String {
        let [major, minor, patch] = self.version.numbers;
        let mark =
            |mark: &str, text: &str| if text.is_empty() { String::new() } else { format!("{mark}{text}") };
        format!("{major}.{minor}.{patch}{}{}", mark("-", &self.version.pre), mark("+", &self.metadata))
    }

    fn call(&self, method: &str, _: &[Value]) -> Option<Result<Value, String>> {
        let number = |n: usize| Value::Uint(UintKind::U64, self.version.numbers[n]);
        Some(Ok(match method {
            "Major" => number(0),
            "Minor" => number(1),
            "Patch" => number(2),
            "Prerelease" => self.version.pre.as_str().into(),
            "Metadata" => self.metadata.as_str().into(),
            "Original" => self.original.as_str().into(),
            _ => return None,
        }))
    }
}

/// The parts of a version.
pub(super) fn parts(text: &str) -> Result<Value, String> {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    let found = version(text).filter(|(_, given, _)| *given > 0 && !numbers.contains(['x', 'X', '*']));
    let (version, _, metadata) = found.ok_or("Invalid Semantic Version")?;
    let parts = Parts { version, metadata: metadata.into(), original: text.into() };
    Ok(Value::Object(Arc::new(parts)))
}

/// Whether a version fits a range.
pub(super) fn fits(range: &str, text: &str) -> Result<bool, String> {
    let (version, ..) = version(text).ok_or("Invalid Semantic Version")?;
    let mut any = false;
    for group in range.split("||") {
        any |= fits_all(group, &version).ok_or_else(|| format!("improper constraint: {range}"))?;
    }
    Ok(any)
}

fn fits_all(group: &str, found: &Version) -> Option<bool> {
    if let Some((from, to)) = group.split_once(" - ") {
        return Some(one(&format!(">={}", from.trim()), found)? && one(&format!("<={}", to.trim()), found)?);
    }
    let mut spaced = String::new();
    for c in group.chars() {
        // A blank between an operator and its version means nothing.
        match c {
            ' ' if spaced.ends_with(['=', '>', '<', '~', '^', '!']) => {}
            c => spaced.push(c),
        }
    }
    spaced
        .split([',', ' '])
        .filter(|part| !part.is_empty())
        .try_fold(true, |all, part| Some(one(part, found)? && all))
}

fn one(constraint: &str, found: &Version) -> Option<bool> {
    let end = constraint.find(|c: char| !"=!<>~^".contains(c))?;
    let (operator, text) = constraint.split_at(end);
    let (wanted, given, _) = version(text)?;
    // A pre-release fits only a range that speaks of one.
    if !found.pre.is_empty() && wanted.pre.is_empty() {
        return Some(false);
    }
    let below = |place: usize| {
        let mut next = wanted.numbers;
        next[place] += 1;
        next[place + 1..].fill(0);
        found.numbers < next
    };
    let at_least = *found >= wanted;
    Some(match (operator, given) {
        ("" | "=" | "~" | "~>" | "^" | ">=" | "=>" | "<=" | "=<", 0) => true,
        ("" | "=", 3) => *found == wanted,
        ("" | "=" | "~" | "~>", 1) => at_least && below(0),
        ("" | "=" | "~" | "~>", _) => at_least && below(1),
        ("!=", 3) => *found != wanted,
        ("!=", given) => found.numbers[..given] != wanted.numbers[..given],
        (">", 3) => *found > wanted,
        (">", given) => at_least && !below(given.saturating_sub(1)),
        (">=" | "=>", _) => at_least,
        ("<", _) => *found < wanted,
        ("<=" | "=<", 3) => *found <= wanted,
        ("<=" | "=<", given) => below(given - 1),
        ("^", given) => {
            let first = wanted.numbers[..given].iter().position(|n| *n > 0).unwrap_or(given - 1);
            at_least && below(first)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_sprig_reads_them() {
        for (range, version, fits) in [
            ("^1.2.0", "1.9.9", true),
            ("^1.2.0", "2.0.0", false),
            ("^0.2.3", "0.2.9", true),
            ("^0.2.3", "0.3.0", false),
            ("~1.2.3", "1.2.9", true),
            ("~1.2.3", "1.3.0", false),
            ("~1", "1.9.0", true),
            (">=1.0, <2", "1.5.0", true),
            (">= 1.0 < 2", "2.0.0", false),
            ("1.2.x", "1.2.7", true),
            ("1.2 - 1.4.5", "1.4.0", true),
            ("1.1 || 2.x", "2.3.0", true),
            ("!=1.2.3", "1.2.3", false),
            (">1", "2.0.0", true),
            (">1", "1.5.0", false),
            (">=1.0.0", "1.5.0-beta", false),
            (">=1.0.0-0", "1.5.0-beta", true),
            ("*", "3.0.0", true),
        ] {
            assert_eq!(self::fits(range, version), Ok(fits), "{range} {version}");
        }
        assert!(self::fits("nonsense", "1.0.0").is_err() && parts("x").is_err());
    }
}
