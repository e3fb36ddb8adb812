//! Reads the files that a configuration names.

use super::outline::{Outline, Use};
use std::{collections::BTreeMap, fs, path::Path};

/// More than any map or certificate, to bound the memory.
const MOST: u64 = 64 << 20;

/// What they hold, by the names that the text uses. Those that are no plain text, or relative to a folder that only
/// HAProxy knows, are left out, and so are those whose change no order could follow.
#[must_use]
pub fn contents(outline: &Outline) -> BTreeMap<String, String> {
    let files = outline.files().into_iter().filter(|(_, named)| named.r#use != Use::Start);
    files.filter_map(|(name, _)| read(&name).map(|text| (name, text))).collect()
}

fn read(name: &str) -> Option<String> {
    let path = Path::new(name);
    let usable =
        path.is_absolute() && fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= MOST);
    usable.then(|| fs::read_to_string(path).ok()).flatten()
}
