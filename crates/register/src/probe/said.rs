//! What a program, a file or a person says of an instance: `role=primary epoch=3`, or the same as JSON.

use super::Look;
use crate::{quality::Replication, role::Life};
use consul::Role;
use serde_json::Value;

/// A role, in whose word, and perhaps an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What the word means.
    pub role: Role,
    /// The word.
    pub word: String,
    /// The epoch.
    pub epoch: Option<u64>,
}

/// The words that mean something, for people.
pub const WORDS: &str =
    "primary, master and leader, or replica, slave, standby, follower and secondary, are the words";

impl Said {
    /// A role by one of the field's words, in any case of letters.
    pub fn word(word: &str, epoch: Option<u64>) -> Result<Said, String> {
        let word = word.trim();
        match Role::read(&word.to_ascii_lowercase()) {
            Some(role) => Ok(Said { role, word: word.to_owned(), epoch }),
            None => Err(format!("{:?} is no role: {WORDS}", shorten(word))),
        }
    }

    /// One line or one JSON object, with `role` and perhaps `epoch`. Whatever else is in it is left alone.
    pub fn read(text: &str) -> Result<Said, String> {
        let text = text.trim();
        if text.starts_with('{') {
            let value: Value =
                serde_json::from_str(text).map_err(|e| format!("{:?} is no JSON: {e}", shorten(text)))?;
            let word = value["role"].as_str().ok_or_else(|| nothing(text))?;
            return Said::word(word, number(value.get("epoch"))?);
        }
        let mut lines = text.lines().map(str::trim).filter(|line| line.starts_with("role="));
        let line = lines.next().ok_or_else(|| nothing(text))?;
        let part =
            |key: &str| line.split_whitespace().find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let epoch = part("epoch").map(Value::from);
        Said::word(part("role").unwrap_or_default(), number(epoch.as_ref())?)
    }
}

/// An epoch as JSON has it: a whole number, or a text with one. Missing and null are none.
pub fn number(value: Option<&Value>) -> Result<Option<u64>, String> {
    let read = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(digits)) => digits.parse().ok(),
        Some(value) => value.as_u64(),
    };
    read.map(Some).ok_or_else(|| {
        format!("{} is no epoch: a whole number from 0 is expected", value.unwrap_or(&Value::Null))
    })
}

fn nothing(text: &str) -> String {
    format!(
        "expected role=primary (or replica, with epoch=NUMBER behind it where it is known) or {{\"role\": …}}, \
         found {:?}",
        shorten(text)
    )
}

/// Foreign text in an error: its beginning will do.
#[must_use]
pub fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// As [`Said::read`] reads it.
impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "role={}", self.word)?;
        self.epoch.map_or(Ok(()), |epoch| write!(f, " epoch={epoch}"))
    }
}

impl From<Said> for Look {
    fn from(Said { role, word, epoch }: Said) -> Look {
        // Such a source does not tell one life of the instance from the next.
        Look {
            role,
            word,
            epoch,
            life: Life { run_id: None, connection: 0 },
            replication: Replication::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_or_an_object_says_a_role() {
        let primary = |word: &str, epoch| Some((Role::Master, word.to_owned(), epoch));
        let replica = |word: &str, epoch| Some((Role::Replica, word.to_owned(), epoch));
        for (text, read) in [
            ("role=primary", primary("primary", None)),
            ("role=master epoch=3\n", primary("master", Some(3))),
            ("  epoch=3 role=x\nrole=standby  epoch=12 lag=0\nrole=primary", replica("standby", Some(12))),
            ("checking…\nrole=LEADER", primary("LEADER", None)),
            (r#"{"role": "replica", "epoch": 7, "lag": 3}"#, replica("replica", Some(7))),
            (r#"{"role": "Secondary", "epoch": "7"}"#, replica("Secondary", Some(7))),
            (r#"{"role": "primary", "epoch": null}"#, primary("primary", None)),
            ("", None),
            ("primary", None),
            ("role=", None),
            ("role=boss", None),
            ("role=primary epoch=", None),
            ("role=primary epoch=-1", None),
            (r#"{"role": "primary", "epoch": 1.5}"#, None),
            (r#"{"epoch": 1}"#, None),
            (r#"{"role": 1}"#, None),
            (r#"{"role": "primary""#, None),
        ] {
            let said = Said::read(text);
            assert_eq!(said.clone().ok().map(|s| (s.role, s.word, s.epoch)), read, "{text:?}: {said:?}");
        }
        assert!(Said::read("role=boss").unwrap_err().contains("\"boss\" is no role"));
        assert!(Said::read("hello").unwrap_err().contains("expected role=primary"));
    }
}
