//! The texts that were read last: from one change to the next, and by all that look at them, the same ones are compared
//! again.

use super::{Outline, outline};
use std::sync::{Arc, Mutex, PoisonError};

/// What should run, and what runs in two HAProxies of which one is late.
const MOST: usize = 3;

/// The last outlines, the latest first; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Mutex<Vec<Read>>>);

/// A text that was read.
type Read = (String, Arc<Outline>);

impl Recent {
    /// The outline of a text, which is read if it is none of the last.
    #[must_use]
    pub fn outline(&self, text: &str) -> Arc<Outline> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.iter().position(|(known, _)| known == text);
        let read = match known {
            Some(at) => last.remove(at),
            None => (text.to_owned(), Arc::new(outline(text))),
        };
        let outline = Arc::clone(&read.1);
        last.insert(0, read);
        last.truncate(MOST);
        outline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_texts_are_kept() {
        let recent = Recent::default();
        let [one, two] = ["backend a\n", "backend b\n"].map(|text| recent.outline(text));
        for (text, outline) in [("backend a\n", &one), ("backend b\n", &two), ("backend a\n", &one)] {
            assert!(Arc::ptr_eq(&recent.clone().outline(text), outline), "{text}");
        }
        for text in ["backend c\n", "backend d\n"] {
            assert_eq!(recent.outline(text).to_string(), text);
        }
        assert!(Arc::ptr_eq(&recent.outline("backend a\n"), &one));
        assert!(!Arc::ptr_eq(&recent.outline("backend b\n"), &two), "it was kept");
    }
}
