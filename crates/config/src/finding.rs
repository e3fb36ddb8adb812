//! What an examination of a setting found: a line for people, and the same for machines.

use std::fmt;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// As it should be.
    Ok,
    /// It works, and may not be what is meant.
    Warning,
    /// It does not work.
    Failed,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub health: Health,
    /// What was looked at, such as `Consul`.
    pub what: String,
    /// What was seen; with what to do where that is needed.
    pub told: String,
}

impl Finding {
    /// As it should be.
    pub fn ok(what: impl Into<String>, told: impl Into<String>) -> Finding {
        Finding { health: Health::Ok, what: what.into(), told: told.into() }
    }

    /// It works, and may not be what is meant.
    pub fn warning(what: impl Into<String>, told: impl Into<String>) -> Finding {
        Finding { health: Health::Warning, what: what.into(), told: told.into() }
    }

    /// It does not work.
    pub fn failed(what: impl Into<String>, told: impl Into<String>) -> Finding {
        Finding { health: Health::Failed, what: what.into(), told: told.into() }
    }
}

impl Health {
    /// The word for machines.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Health::Ok => "ok",
            Health::Warning => "warning",
            Health::Failed => "failed",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.health == Health::Failed { "FAILED" } else { self.health.word() };
        write!(f, "{word:<8}{}: {}", self.what, self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_catches_the_eye() {
        assert_eq!(Finding::ok("Consul", "1.8.7").to_string(), "ok      Consul: 1.8.7");
        assert_eq!(Finding::failed("Consul", "away").to_string(), "FAILED  Consul: away");
    }
}
