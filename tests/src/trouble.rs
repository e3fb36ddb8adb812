//! The one error of the harness: a sentence for the person who reads a failed story.

use std::{error::Error, fmt};

/// What went wrong, in plain English. A test that returns it fails with that text.
pub struct Trouble(String);

/// What a part of the harness gives back.
pub type Outcome<T = ()> = Result<T, Trouble>;

impl Trouble {
    /// Says `what`.
    pub fn new(what: impl fmt::Display) -> Trouble {
        Trouble(what.to_string())
    }

    /// Puts what was being done before what went wrong.
    #[must_use]
    pub fn during(self, what: impl fmt::Display) -> Trouble {
        Trouble(format!("{what}: {}", self.0))
    }
}

impl<E: Error> From<E> for Trouble {
    fn from(error: E) -> Trouble {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(deeper) = source {
            let more = deeper.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            source = deeper.source();
        }
        Trouble(text)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

// A failed test prints its error with Debug; people read sentences, not structures.
impl fmt::Debug for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
