//! Files written whole or not at all: staged beside the target, swapped in by one rename, the previous one kept
//! until the new one is in use.
//!
//! While the previous file (`.NAME.previous`) exists, it is not certain that anybody uses the present one: a
//! program that was killed in between finds it at its next start and finishes the work. An empty one says that
//! there was no file before. Where several read the file, each has a previous one of its own (`.NAME.READER.previous`):
//! what it certainly used last.

mod beside;
mod folder;
mod owner;

pub use folder::{Folder, Gone, Laid, StagedFiles};
pub use owner::Owner;

use beside::{back_up, folder, keep, keep_owner, previous, put_back, replace, staged, sweep};
use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// Where a rendered text goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    path: PathBuf,
    perms: Option<u32>,
    create_folders: bool,
    owner: Owner,
    backup: bool,
    readers: Vec<String>,
}

/// Why a file could not be written or put back.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot {what}: {source}")]
pub struct FileError {
    path: PathBuf,
    what: &'static str,
    source: io::Error,
}

/// A text that lies beside its target, ready to be swapped in. Dropping it removes it.
#[derive(Debug)]
pub struct Staged {
    file: NamedTempFile,
    target: PathBuf,
    readers: Vec<String>,
    backup: bool,
}

const NEW_FILE: u32 = 0o644;

impl Destination {
    /// A destination with one reader that has no name; `perms` overrides the mode that an existing file has (0644 for
    /// a new one).
    #[must_use]
    pub fn new(path: PathBuf, perms: Option<u32>, create_folders: bool) -> Self {
        let (owner, readers) = (Owner::default(), vec![String::new()]);
        Destination { path, perms, create_folders, owner, backup: false, readers }
    }

    /// The same, owned by these.
    #[must_use]
    pub fn owned_by(self, owner: Owner) -> Self {
        Destination { owner, ..self }
    }

    /// The same; with `backup`, the text before the present one is kept beside it, as `NAME.bak`.
    #[must_use]
    pub fn with_backup(self, backup: bool) -> Self {
        Destination { backup, ..self }
    }

    /// Who shall own it.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether the text before the present one is kept.
    #[must_use]
    pub fn keeps_backup(&self) -> bool {
        self.backup
    }

    /// The same file, as far as these readers are concerned; the one that has no name is `""`.
    #[must_use]
    pub fn read_by(&self, readers: Vec<String>) -> Self {
        Destination { readers, ..self.clone() }
    }

    /// The path as configured.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The mode that is asked for, whatever the file had.
    #[must_use]
    pub fn perms(&self) -> Option<u32> {
        self.perms
    }

    /// Whether missing folders are made.
    #[must_use]
    pub fn creates_folders(&self) -> bool {
        self.create_folders
    }

    /// The present text; `None` when there is no file.
    pub fn read(&self) -> Result<Option<Vec<u8>>, FileError> {
        match fs::read(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.error("be read", e)),
        }
    }

    /// Writes `text` beside the target (behind symbolic links), with the target's mode and owner, on the disk.
    pub fn stage(&self, text: &[u8]) -> Result<Staged, FileError> {
        let target = self.target();
        let folder = folder(&target);
        if self.create_folders {
            fs::create_dir_all(folder).map_err(|e| self.error("create its folder", e))?;
        }
        let existing = fs::metadata(&target).ok();
        let mode = self.perms.or(existing.as_ref().map(|meta| meta.mode() & 0o7777)).unwrap_or(NEW_FILE);
        let (user, group) = self.owner.ids().map_err(|e| self.error("be given to its owner", e))?;
        let write = || -> io::Result<NamedTempFile> {
            let mut file = staged(&target)?;
            file.write_all(text)?;
            if let Some(owner) = &existing {
                keep_owner(file.as_file(), owner)?;
            }
            fchown(file.as_file(), user, group)?;
            // After the owner, whose change takes special bits away.
            file.as_file().set_permissions(Permissions::from_mode(mode))?;
            file.as_file().sync_all()?;
            Ok(file)
        };
        let (readers, backup) = (self.readers.clone(), self.backup);
        write()
            .map(|file| Staged { file, target: target.clone(), readers, backup })
            .map_err(|e| self.error("be written", e))
    }

    /// Removes what runs that were killed left beside the target. Nothing is lost when that fails.
    pub fn sweep(&self) {
        let target = self.target();
        sweep(folder(&target), |name| name == target.file_name().unwrap_or_default());
    }

    /// Puts mode and owner right where they are not what is asked for; true when they were not.
    pub fn repair(&self) -> Result<bool, FileError> {
        let repair = || -> io::Result<bool> {
            let (user, group) = self.owner.ids()?;
            let file = File::open(&self.path)?;
            let meta = file.metadata()?;
            let other = |wanted: Option<u32>, present: u32| wanted.is_some_and(|wanted| wanted != present);
            let owner = other(user, meta.uid()) || other(group, meta.gid());
            if owner {
                fchown(&file, user, group)?;
            }
            let mode = self.perms.filter(|mode| owner || *mode != meta.mode() & 0o7777);
            if let Some(mode) = mode {
                file.set_permissions(Permissions::from_mode(mode))?;
            }
            Ok(owner || mode.is_some())
        };
        repair().map_err(|e| self.error("be given its mode and owner", e))
    }

    /// Says from now on that it is uncertain whether the present file is in use as it stands.
    pub fn doubt(&self) -> Result<(), FileError> {
        let doubt = |previous: PathBuf| keep(&self.target(), &previous);
        self.previous().try_for_each(doubt).map_err(|e| self.error("keep the previous file", e))
    }

    /// Whether it is uncertain that the present file is in use.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.previous().any(|previous| previous.exists())
    }

    /// The present file is in use: forget the previous one.
    pub fn settle(&self) -> Result<(), FileError> {
        self.previous().try_for_each(|previous| match fs::remove_file(previous) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(self.error("forget the previous file", e)),
            _ => Ok(()),
        })
    }

    /// Puts the previous file back, and keeps it as the previous one: which of the two HAProxy runs is certain only
    /// after the next reload that works. False when there was none before, which leaves the present one: it passed
    /// every check that there is, and no file at all would help nobody.
    pub fn put_back(&self) -> Result<bool, FileError> {
        let back = || -> io::Result<bool> {
            let Some(previous) = self.previous().next() else { return Ok(false) };
            if fs::metadata(&previous)?.len() == 0 {
                return Ok(false);
            }
            put_back(&self.target(), &previous)?;
            Ok(true)
        };
        back().map_err(|e| self.error("be put back as it was", e))
    }

    /// What each reader certainly used last.
    fn previous(&self) -> impl Iterator<Item = PathBuf> {
        let target = self.target();
        self.readers.iter().map(move |reader| previous(&target, reader))
    }

    /// When the present file was put in place, in whole seconds of Unix time: of its times, only that of the
    /// last change of the inode is touched by a rename.
    fn placed(&self) -> Option<u64> {
        fs::metadata(&self.path).ok()?.ctime().try_into().ok()
    }

    /// Whether a process has read the present file that started then, in whole seconds of Unix time, and reads it at
    /// its start. In the second of the placing it may have read the file of before, unless there was none.
    #[must_use]
    pub fn is_read_by(&self, started: Option<u64>) -> bool {
        let (Some(started), Some(placed)) = (started, self.placed()) else { return false };
        started > placed || (started == placed && self.is_first())
    }

    /// Whether the present file is the first one: what says that there was none before was made after this file was
    /// written, and before another one could be.
    fn is_first(&self) -> bool {
        let previous = self.previous().find_map(|previous| fs::metadata(previous).ok());
        let none = previous.filter(|none| none.len() == 0);
        let (Some(none), Ok(file)) = (none, fs::metadata(&self.path)) else { return false };
        matches!((file.modified(), none.modified()), (Ok(file), Ok(none)) if file < none)
    }

    /// The file behind symbolic links: a link stays a link.
    fn target(&self) -> PathBuf {
        let mut path = self.path.clone();
        // As many links as the kernel would follow.
        for _ in 0..40 {
            let Ok(next) = fs::read_link(&path) else { break };
            path = folder(&path).join(next);
        }
        path
    }

    fn error(&self, what: &'static str, source: io::Error) -> FileError {
        FileError { path: self.path.clone(), what, source }
    }
}

impl Staged {
    /// Where the text lies now.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Puts the text in place; the file that was there becomes the previous one, unless an earlier one is still
    /// kept: that is the last which was certainly in use.
    pub fn swap(self) -> Result<(), FileError> {
        let Staged { file, target, readers, backup } = self;
        let error = |what, source| FileError { path: target.clone(), what, source };
        for reader in &readers {
            let previous = previous(&target, reader);
            let kept = match keep(&target, &previous) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => File::create_new(&previous).map(drop),
                other => other,
            };
            kept.map_err(|e| error("keep the previous file", e))?;
        }
        if backup {
            back_up(&target).map_err(|e| error("keep a backup", e))?;
        }
        replace(&file.into_temp_path(), &target).map_err(|e| error("be put in place", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        os::unix::fs::symlink,
        time::{Duration, UNIX_EPOCH},
    };

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn write(destination: &Destination, text: &str) {
        destination.stage(text.as_bytes()).unwrap().swap().unwrap();
    }

    #[test]
    fn a_file_keeps_its_mode_and_its_previous_text_until_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.cfg");
        fs::write(&path, "one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let destination = Destination::new(path.clone(), None, false);

        write(&destination, "two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert!(destination.is_pending());
        write(&destination, "three");
        assert!(destination.put_back().unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one", "the last text that was certainly in use");
        assert!(destination.is_pending(), "it is not certain that it is in use again");

        write(&destination, "four");
        destination.settle().unwrap();
        assert_eq!(
            (fs::read_to_string(&path).unwrap().as_str(), names(folder.path())),
            ("four", vec!["h.cfg".into()])
        );
    }

    #[test]
    fn a_first_file_has_nothing_to_go_back_to() {
        let folder = tempfile::tempdir().unwrap();
        let destination = Destination::new(folder.path().join("a/b/h.cfg"), Some(0o600), true);
        assert!(destination.read().unwrap().is_none());
        write(&destination, "one");
        assert_eq!(fs::metadata(destination.path()).unwrap().mode() & 0o777, 0o600);
        assert!(!destination.put_back().unwrap());
        assert!(destination.is_pending() && destination.read().unwrap().is_some());
    }

    #[test]
    fn mode_and_owner_are_put_right_and_a_backup_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.cfg");
        let me = fs::metadata(folder.path()).unwrap();
        let owner = Owner { user: Some(me.uid().to_string()), group: Some(me.gid().to_string()) };
        let destination =
            Destination::new(path.clone(), Some(0o640), false).owned_by(owner).with_backup(true);
        write(&destination, "one");
        destination.settle().unwrap();
        assert_eq!(names(folder.path()), ["h.cfg"], "there was nothing to keep");
        for (text, backup) in [("two", "one"), ("three", "two")] {
            write(&destination, text);
            destination.settle().unwrap();
            assert_eq!(fs::read_to_string(folder.path().join("h.cfg.bak")).unwrap(), backup);
            assert_eq!(names(folder.path()), ["h.cfg", "h.cfg.bak"]);
        }
        assert!(!destination.repair().unwrap());
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert!(destination.repair().unwrap());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    }

    #[test]
    fn a_file_is_given_to_whom_it_shall_belong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.cfg");
        let given = |user: &str| {
            let owner = Owner { user: Some(user.into()), group: None };
            Destination::new(path.clone(), None, false).owned_by(owner).stage(b"x").map(drop)
        };
        let error = given("no-such-user").unwrap_err().to_string();
        assert!(error.contains("h.cfg: cannot be given to its owner: there is no no-such-user"), "{error}");
        // Only root may give files away.
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            write(
                &Destination::new(path.clone(), None, false)
                    .owned_by(Owner { user: Some("12345".into()), group: Some("54321".into()) }),
                "x",
            );
            let meta = fs::metadata(&path).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (12345, 54321));
        } else {
            assert!(given("0").unwrap_err().to_string().contains("cannot be written"));
        }
    }

    #[test]
    fn a_link_stays_a_link_and_a_dropped_stage_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.cfg"), folder.path().join("h.cfg"));
        symlink("real.cfg", &link).unwrap();
        let destination = Destination::new(link.clone(), None, false);
        write(&destination, "one");
        destination.settle().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(real).unwrap(), "one");
        drop(destination.stage(b"two").unwrap());
        assert_eq!(names(folder.path()), ["h.cfg", "real.cfg"]);
    }

    #[test]
    fn a_file_is_as_old_as_its_rename_and_killed_runs_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let destination = Destination::new(folder.path().join("h.cfg"), None, false);
        let staged = destination.stage(b"one").unwrap();
        let long_ago = UNIX_EPOCH + Duration::from_secs(1000);
        File::options().write(true).open(staged.path()).unwrap().set_modified(long_ago).unwrap();
        staged.swap().unwrap();
        let placed = destination.placed().unwrap();
        assert!(placed > 1_700_000_000, "{placed}");

        for name in [".h.cfg.staged-aB3xY9", ".h.cfg.staged-notes", "other.staged-aB3xY9"] {
            fs::write(folder.path().join(name), "left").unwrap();
        }
        destination.sweep();
        let expected = [".h.cfg.previous", ".h.cfg.staged-notes", "h.cfg", "other.staged-aB3xY9"];
        assert_eq!(names(folder.path()), expected);
    }

    #[test]
    fn who_started_in_the_second_of_the_placing_has_read_the_first_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let destination = Destination::new(folder.path().join("h.cfg"), None, false);
        assert!(!destination.is_read_by(Some(u64::MAX)), "there is no file");
        let reads = |starts: [i64; 3]| {
            let placed = destination.placed().unwrap();
            starts.map(|after| destination.is_read_by(placed.checked_add_signed(after)))
        };
        // Before and after what says that there was none before.
        let write_at = |text: &[u8], seconds| {
            let staged = destination.stage(text).unwrap();
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            File::options().write(true).open(staged.path()).unwrap().set_modified(at).unwrap();
            staged.swap().unwrap();
        };
        write_at(b"one", 1_000);
        assert_eq!(reads([-1, 0, 1]), [false, true, true]);
        assert!(!destination.is_read_by(None));
        write_at(b"two", 4_000_000_000);
        assert_eq!(reads([-1, 0, 1]), [false, false, true], "the first one may have been read");
        destination.settle().unwrap();
        write(&destination, "three");
        assert_eq!(reads([-1, 0, 1]), [false, false, true]);
    }

    #[test]
    fn an_error_names_the_file_and_what_failed() {
        let folder = tempfile::tempdir().unwrap();
        let destination = Destination::new(folder.path().join("no/h.cfg"), None, false);
        let error = destination.stage(b"x").unwrap_err().to_string();
        assert!(error.contains("no/h.cfg: cannot be written: No such file"), "{error}");
    }
}
