//! A configuration file's text: from byte offsets to places.

use crate::Place;
use std::sync::Arc;

/// Text with the name it is known by.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) file: Arc<str>,
    pub(crate) text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(file: &str, text: &'a str) -> Source<'a> {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Source { file: file.into(), text, line_starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// The line that holds a byte.
    pub(crate) fn place(&self, offset: usize) -> Place {
        Place::at(self.file.clone(), self.line(offset))
    }

    /// The line and the column of a byte.
    pub(crate) fn exact_place(&self, offset: usize) -> Place {
        let start = self.line_starts[self.line(offset) - 1];
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or_default();
        self.place(offset).column(before.chars().count() + 1)
    }

    fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_and_characters_from_one() {
        let source = Source::new("f", "a\nµb\n\nc");
        for (offset, place) in [
            (0, "f:1:1"),
            (1, "f:1:2"),
            (2, "f:2:1"),
            (4, "f:2:2"),
            (6, "f:3:1"),
            (7, "f:4:1"),
            (99, "f:4:2"),
        ] {
            assert_eq!(source.exact_place(offset).to_string(), place, "{offset}");
        }
        assert_eq!(source.place(4).to_string(), "f:2");
    }
}
