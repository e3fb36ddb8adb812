//! Where a template's text goes, and as whose.

use crate::files::{Destination, Gone, Owner};
use config::{Mistakes, Section};
use std::path::PathBuf;

/// The keys of a template that say how its file is written, or its files: then also what becomes of those that are gone.
pub(super) fn destination(
    section: &mut Section,
    mistakes: &mut Mistakes,
) -> (Option<Destination>, Option<Gone>) {
    let path = |path: Option<String>| path.filter(|path| !path.is_empty()).map(PathBuf::from);
    let one = path(section.string("destination", mistakes));
    let many = path(section.string("directory", mistakes));
    if one.is_some() == many.is_some() {
        section.mistake(
            "destination",
            "is required, or directory in its place for several files: one of the two",
            mistakes,
        );
    }
    let gone = match section.string("on_gone", mistakes).as_deref() {
        None | Some("remove") => Gone::Removed,
        Some("keep") => Gone::Kept,
        Some(_) => {
            section.mistake("on_gone", "must be \"remove\" or \"keep\"", mistakes);
            Gone::Removed
        }
    };
    let gone = many.as_ref().map(|_| gone);
    let perms = perms(section, mistakes);
    let create = section.bool("create_dest_dirs", mistakes).unwrap_or(true);
    let backup = section.bool("backup", mistakes).unwrap_or_default();
    let user = who(section, "user", "uid", mistakes);
    let group = who(section, "group", "gid", mistakes);
    let written =
        |path| Destination::new(path, perms, create).owned_by(Owner { user, group }).with_backup(backup);
    (one.or(many).map(written), gone)
}

/// A mode as octal text, or as a number; 0 is none, as in consul-template.
fn perms(section: &mut Section, mistakes: &mut Mistakes) -> Option<u32> {
    let mode = if section.number("perms").is_some() {
        section.integer("perms", 0..=0o7777, mistakes)?.try_into().ok()
    } else {
        let text = section.string("perms", mistakes)?;
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o7777);
        if mode.is_none() {
            section.mistake("perms", "must be an octal mode, such as \"0640\"", mistakes);
        }
        mode
    };
    mode.filter(|mode| *mode > 0)
}

/// A user or group by name or number; the old key takes a number, and a negative one is none.
fn who(section: &mut Section, key: &str, old: &str, mistakes: &mut Mistakes) -> Option<String> {
    let name = section.string(key, mistakes).filter(|name| !name.is_empty());
    let number = section.integer(old, -1..=i64::from(u32::MAX), mistakes).filter(|number| *number >= 0);
    name.or(number.map(|number| number.to_string()))
}
