//! The texts that were read last: from one change to the next, the same ones are compared again.

use super::{Outline, outline};
use std::sync::Arc;

/// What runs, and what should.
const MOST: usize = 2;

/// The last outlines, the latest first.
#[derive(Debug, Default)]
pub struct Recent(Vec<(String, Arc<Outline>)>);

impl Recent {
    /// The outline of a text, which is read if it is none of the last.
    pub fn outline(&mut self, text: &str) -> Arc<Outline> {
        let known = self.0.iter().position(|(known, _)| known == text);
        let read = match known {
            Some(at) => self.0.remove(at),
            None => (text.to_owned(), Arc::new(outline(text))),
        };
        let outline = Arc::clone(&read.1);
        self.0.insert(0, read);
        self.0.truncate(MOST);
        outline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_two_texts_are_kept() {
        let mut recent = Recent::default();
        let [one, two] = ["backend a\n", "backend b\n"].map(|text| recent.outline(text));
        for (text, outline) in [("backend a\n", &one), ("backend b\n", &two), ("backend a\n", &one)] {
            assert!(Arc::ptr_eq(&recent.outline(text), outline), "{text}");
        }
        assert_eq!(recent.outline("backend c\n").to_string(), "backend c\n");
        assert!(Arc::ptr_eq(&recent.outline("backend a\n"), &one));
        assert!(!Arc::ptr_eq(&recent.outline("backend b\n"), &two), "it was kept");
        assert_eq!(recent.0.len(), MOST);
    }
}
