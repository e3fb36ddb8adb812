//! A log file that is begun anew after some bytes or some time, as consul-template names and keeps them:
//! `NAME-NANOSECONDS.log`.

use crate::clock::unix_millis;
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// The name, into which the time of its beginning is put.
    pub path: PathBuf,
    /// Begun anew after so many bytes; 0 for any number.
    pub bytes: u64,
    /// Begun anew after this time.
    pub every: Duration,
    /// So many files that are over are kept; 0 for all, a negative number for none.
    pub keep: i64,
}

/// The file that is written to.
#[derive(Debug)]
pub(super) struct Open {
    of: LogFile,
    file: File,
    written: u64,
    began: f64,
}

impl LogFile {
    pub(super) fn open(&self) -> io::Result<Open> {
        self.prune()?;
        self.begin()
    }

    fn begin(&self) -> io::Result<Open> {
        let began = unix_millis();
        let (folder, stem, ending) = self.parts();
        let name = format!("{stem}-{:.0}.{ending}", began * 1e6);
        let mut options = File::options();
        let file = options.create(true).append(true).mode(0o640).open(folder.join(name))?;
        Ok(Open { of: self.clone(), file, written: 0, began })
    }

    fn parts(&self) -> (&Path, String, String) {
        let folder = self.path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let text = |part: Option<&std::ffi::OsStr>, default: &str| {
            part.map_or(default.to_owned(), |part| part.to_string_lossy().into_owned())
        };
        (folder, text(self.path.file_stem(), "rolecall"), text(self.path.extension(), "log"))
    }

    /// Removes the oldest files that are over.
    fn prune(&self) -> io::Result<()> {
        let (folder, stem, ending) = self.parts();
        let ours = |name: &str| {
            let time = name.strip_prefix(&format!("{stem}-"))?.strip_suffix(&format!(".{ending}"))?;
            time.bytes().all(|digit| digit.is_ascii_digit()).then(|| name.to_owned())
        };
        let mut names = vec![];
        for entry in fs::read_dir(folder)? {
            names.extend(entry?.file_name().to_str().and_then(ours));
        }
        names.sort();
        let kept = match self.keep {
            0 => names.len(),
            keep => usize::try_from(keep).unwrap_or(0),
        };
        let over = names.len().saturating_sub(kept);
        names[..over].iter().try_for_each(|name| fs::remove_file(folder.join(name)))
    }
}

impl Open {
    /// Writes a line, into a new file when it is time.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let full = self.of.bytes > 0 && self.written >= self.of.bytes;
        let old = unix_millis() - self.began >= self.of.every.as_secs_f64() * 1e3;
        if full || old {
            *self = self.of.open()?;
        }
        self.file.write_all(line)?;
        self.written += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_full_is_over_and_few_are_kept() {
        for (keep, left) in [(0, 5), (2, 3), (-1, 1)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("render.log");
            fs::write(folder.path().join("render-notes.log"), "").unwrap();
            let log = LogFile { path, bytes: 4, every: Duration::from_secs(3600), keep };
            let mut open = log.open().unwrap();
            for line in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
                // Names differ by the time in milliseconds at least.
                let now = unix_millis().floor();
                while unix_millis().floor() <= now {}
                open.write(line.as_bytes()).unwrap();
            }
            let mut names: Vec<_> =
                fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.sort();
            names.pop();
            assert_eq!(names.len(), left, "{keep}: {names:?}");
            assert_eq!(fs::read_to_string(names.last().unwrap()).unwrap(), "five\n");
        }
    }

    #[test]
    fn a_name_without_an_ending_gets_one() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile { path: folder.path().join("x"), bytes: 0, every: Duration::from_secs(9), keep: 0 };
        log.open().unwrap();
        let name = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().file_name();
        assert!(name.to_str().unwrap().ends_with(".log"), "{name:?}");
    }
}
