//! What is wrong with a configuration, and where.

use std::{fmt, sync::Arc};

/// Where a value was given: a line of a file, a flag (`--log-level`) or a variable (`$CONSUL_HTTP_ADDR`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    file: Arc<str>,
    line: usize,
    column: usize,
}

impl Place {
    /// A flag, a variable, or a file as a whole.
    pub fn of(name: impl Into<Arc<str>>) -> Place {
        Place::at(name, 0)
    }

    /// A line of a file, counted from 1.
    pub fn at(file: impl Into<Arc<str>>, line: usize) -> Place {
        Place { file: file.into(), line, column: 0 }
    }

    /// The same line with a column, counted in characters from 1.
    #[must_use]
    pub fn column(self, column: usize) -> Place {
        Place { column, ..self }
    }

    /// The file, flag or variable.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, counted from 1; 0 where there is none.
    pub fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.file)?;
        [self.line, self.column].iter().filter(|n| **n > 0).try_for_each(|n| write!(out, ":{n}"))
    }
}

/// One thing that is wrong, shown as `FILE:LINE: KEY: WHY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is.
    pub place: Place,
    /// The dotted path of the key, such as `service.redis.ttl`; empty when it concerns a whole file.
    pub key: String,
    /// What is wrong and what to do.
    pub why: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mistake { place, key, why } = self;
        match key.is_empty() {
            true => write!(out, "{place}: {why}"),
            false => write!(out, "{place}: {key}: {why}"),
        }
    }
}

/// All mistakes found so far; shown one a line, sorted by file and line. Beside them, what is no mistake and yet not
/// what its writer may think.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    found: Vec<Mistake>,
    warnings: Vec<Mistake>,
}

impl Mistakes {
    /// Adds one.
    pub fn push(&mut self, mistake: Mistake) {
        let at = self.found.partition_point(|known| known.place <= mistake.place);
        self.found.insert(at, mistake);
    }

    /// Adds a warning, which refuses nothing.
    pub fn warn(&mut self, place: Place, key: impl Into<String>, why: impl Into<String>) {
        let warning = Mistake { place, key: key.into(), why: why.into() };
        let at = self.warnings.partition_point(|known| known.place <= warning.place);
        self.warnings.insert(at, warning);
    }

    /// The warnings, sorted by file and line.
    pub fn warnings(&self) -> &[Mistake] {
        &self.warnings
    }

    /// Adds one by its parts.
    pub fn note(&mut self, place: Place, key: impl Into<String>, why: impl Into<String>) {
        self.push(Mistake { place, key: key.into(), why: why.into() });
    }

    /// True when nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The mistakes, sorted by file and line.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.found.iter()
    }

    /// The value if nothing is wrong, otherwise everything that is.
    pub fn into_result<T>(self, value: T) -> Result<T, Mistakes> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.found.iter().enumerate() {
            write!(out, "{}{mistake}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_by_file_and_line_whatever_the_order_of_finding() {
        let mut mistakes = Mistakes::default();
        mistakes.warn(Place::at("a.hcl", 1), "w", "is no mistake");
        assert!(mistakes.clone().into_result(()).is_ok());
        assert_eq!(mistakes.warnings()[0].to_string(), "a.hcl:1: w: is no mistake");
        mistakes.note(Place::at("b.hcl", 2), "y", "late");
        mistakes.note(Place::at("a.hcl", 10), "x", "second");
        mistakes.note(Place::at("a.hcl", 2).column(7), "", "syntax");
        mistakes.note(Place::of("--level"), "log.level", "flag");
        mistakes.note(Place::at("b.hcl", 2), "z", "found later on the same line");
        let shown = mistakes.into_result(()).unwrap_err().to_string();
        let wanted = [
            "--level: log.level: flag",
            "a.hcl:2:7: syntax",
            "a.hcl:10: x: second",
            "b.hcl:2: y: late",
            "b.hcl:2: z: found later on the same line",
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), wanted);
    }
}
