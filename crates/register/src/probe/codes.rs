//! Numbers that mean a role: exit codes of a program, status codes of an HTTP answer.

use consul::Role;
use std::ops::RangeInclusive;

/// Which numbers mean which role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codes {
    /// Takes writes.
    pub primary: Vec<RangeInclusive<u16>>,
    /// Follows.
    pub replica: Vec<RangeInclusive<u16>>,
}

impl Codes {
    /// The role that a number means; the same for the same number, whatever else is listed.
    #[must_use]
    pub fn role(&self, code: u16) -> Option<Role> {
        let among = |codes: &[RangeInclusive<u16>]| codes.iter().any(|range| range.contains(&code));
        match (among(&self.primary), among(&self.replica)) {
            (true, false) => Some(Role::Master),
            (false, true) => Some(Role::Replica),
            _ => None,
        }
    }

    /// Whether a number would mean both.
    #[must_use]
    pub fn overlap(&self) -> bool {
        let meets = |one: &RangeInclusive<u16>, other: &RangeInclusive<u16>| {
            one.start() <= other.end() && other.start() <= one.end()
        };
        self.primary.iter().any(|one| self.replica.iter().any(|other| meets(one, other)))
    }
}

/// A number, or a range such as `200-299`, within these bounds.
pub fn range(text: &str, bounds: &RangeInclusive<u16>) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |digits: &str| digits.parse().ok().filter(|code| bounds.contains(code));
    match (code(first), code(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => {
            let (least, most) = (bounds.start(), bounds.end());
            Err(format!(
                "expected a number from {least} to {most}, or a range such as \"{least}-{most}\", found {text:?}"
            ))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn codes(primary: &[&str], replica: &[&str]) -> Codes {
        let all = |texts: &[&str]| texts.iter().map(|text| range(text, &(0..=599)).unwrap()).collect();
        Codes { primary: all(primary), replica: all(replica) }
    }

    #[test]
    fn a_number_means_one_role_or_none() {
        let vault = codes(&["200"], &["429", "472-473"]);
        for (code, role) in [
            (200, Some(Role::Master)),
            (429, Some(Role::Replica)),
            (472, Some(Role::Replica)),
            (473, Some(Role::Replica)),
            (474, None),
            (503, None),
        ] {
            assert_eq!(vault.role(code), role, "{code}");
        }
        assert!(!vault.overlap() && codes(&["200-299"], &["250-260"]).overlap());
        assert_eq!(codes(&["1-5"], &["5"]).role(5), None);
    }

    #[test]
    fn ranges() {
        for (text, read) in [
            ("200", Some(200..=200)),
            ("200-299", Some(200..=299)),
            ("299-200", None),
            ("99", None),
            ("600", None),
            ("2xx", None),
            ("", None),
        ] {
            assert_eq!(range(text, &(100..=599)).ok(), read, "{text}");
        }
    }
}
