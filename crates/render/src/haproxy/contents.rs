//! Reads the files that a configuration names.

use super::{
    outline::{Outline, Use},
    verdict::Files,
};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// More than any map or certificate, to bound the memory.
const MOST: u64 = 64 << 20;

/// What they hold. Those that are no plain text, or relative to a folder that only HAProxy knows, are left out, and so
/// are those whose change no order could follow.
#[must_use]
pub fn contents(outline: &Outline) -> Files {
    let files = outline.files().into_iter().filter(|(_, named)| named.r#use != Use::Start);
    files.filter_map(|(name, _)| read(&name).map(|text| (name, Some(text)))).collect()
}

/// What a worker holds of them that read them when it started, in seconds of Unix time. It is not known of those that
/// changed in that second or later, unless they are what they were `before` it was started.
#[must_use]
pub fn read_at(outline: &Outline, started: Option<u64>, before: &Files) -> Files {
    let mut files = contents(outline);
    for (name, text) in &mut files {
        let changed = fs::metadata(name).ok().and_then(|meta| u64::try_from(meta.ctime()).ok());
        let other = before.get(name) != Some(text);
        text.take_if(|_| other && (changed.is_none() || changed >= started));
    }
    files
}

fn read(name: &str) -> Option<String> {
    let path = Path::new(name);
    let usable =
        path.is_absolute() && fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= MOST);
    usable.then(|| fs::read_to_string(path).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{super::outline::outline, *};

    #[test]
    fn what_a_worker_read_is_known_of_older_files_only() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "1 a\n").unwrap();
        let name = file.path().display().to_string();
        let outline = outline(&format!("frontend f\n use_backend %[int(1),map_int({name},b)]\n"));
        let changed = u64::try_from(fs::metadata(&file).unwrap().ctime()).unwrap();
        for (started, known) in
            [(Some(changed + 1), true), (Some(changed), false), (Some(changed - 1), false), (None, false)]
        {
            let text = known.then(|| "1 a\n".to_owned());
            let read = Files::from([(name.clone(), text)]);
            assert_eq!(read_at(&outline, started, &Files::new()), read, "{started:?}");
            let other = Files::from([(name.clone(), Some(String::new()))]);
            assert_eq!(read_at(&outline, started, &other), read, "{started:?}");
        }
        let before = contents(&outline);
        assert_eq!(read_at(&outline, None, &before), before);
    }
}
