//! What lies beside a file: staged texts, the previous one, and what they have in common with it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, fchown},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// Followed by six letters and digits.
const STAGED: &str = ".staged-";

pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

pub(super) fn previous(target: &Path, reader: &str) -> PathBuf {
    let reader = if reader.is_empty() { String::new() } else { format!(".{reader}") };
    folder(target).join(hidden(target, &format!("{reader}.previous")))
}

/// Keeps the present text under this name, unless an earlier one is kept there.
pub(super) fn keep(target: &Path, previous: &Path) -> io::Result<()> {
    match fs::hard_link(target, previous) {
        Err(_) if previous.exists() => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(e),
        // Not every file system has hard links.
        Err(_) => copy(target, previous),
        Ok(()) => Ok(()),
    }
}

/// `.NAME` with an ending: hidden, and with no ending that HAProxy would read from a folder of configurations.
fn hidden(target: &Path, ending: &str) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    format!(".{name}{ending}")
}

/// An empty staged file; dropping it removes it.
pub(super) fn staged(target: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(&hidden(target, STAGED)).tempfile_in(folder(target))
}

/// Group and owner one by one: a member may give a file to its group, only root gives it to another user.
pub(super) fn keep_owner(file: &File, owner: &fs::Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    let group = (own.gid() != owner.gid()).then(|| fchown(file, None, Some(owner.gid())));
    let user = (own.uid() != owner.uid()).then(|| fchown(file, Some(owner.uid()), None));
    for (what, kept) in [("group", group), ("owner", user)] {
        match kept.unwrap_or(Ok(())) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                tracing::warn!("the file's {what} cannot be kept without root");
            }
            other => other?,
        }
    }
    Ok(())
}

/// Copies under a name of its own first, so that a half-written copy is never taken for the previous file.
fn copy(target: &Path, previous: &Path) -> io::Result<()> {
    let copy = staged(target)?;
    fs::copy(target, copy.path())?;
    copy.as_file().sync_all()?;
    copy.persist(previous).map(drop).map_err(|e| e.error)
}

/// Removes what runs that were killed left staged in a folder, for files of these names.
pub(super) fn sweep(folder: &Path, of: impl Fn(&OsStr) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if staged_for(&entry.file_name()).is_some_and(|name| of(OsStr::new(name))) {
            _ = fs::remove_file(entry.path());
        }
    }
}

/// The name of the file that this one was staged for, if it was.
fn staged_for(name: &OsStr) -> Option<&str> {
    let (name, random) = name.to_str()?.strip_prefix('.')?.rsplit_once(STAGED)?;
    let is_random = random.len() == 6 && random.chars().all(char::is_alphanumeric);
    is_random.then_some(name)
}

/// Puts the previous file in the place of `target`, and keeps it as the previous one.
pub(super) fn put_back(target: &Path, previous: &Path) -> io::Result<()> {
    let staged = folder(target).join(hidden(target, STAGED) + "return");
    _ = fs::remove_file(&staged);
    // Not every file system has hard links.
    fs::hard_link(previous, &staged).or_else(|_| fs::copy(previous, &staged).map(drop))?;
    replace(&staged, target)
}

/// Puts a file in the place of another, on the disk. A file that is a mount of its own, as containers have them,
/// cannot be replaced: it is written over.
pub(super) fn replace(from: &Path, target: &Path) -> io::Result<()> {
    match fs::rename(from, target) {
        Ok(()) => File::open(folder(target))?.sync_all(),
        Err(e) if matches!(e.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices) => {
            write_over(from, target)?;
            fs::remove_file(from)
        }
        Err(e) => Err(e),
    }
}

/// The text, mode and owner of `from`, in the file that is there. Not at once: a reader may see half of it.
fn write_over(from: &Path, target: &Path) -> io::Result<()> {
    let (mut from, mut target) = (File::open(from)?, File::options().write(true).open(target)?);
    let length = io::copy(&mut from, &mut target)?;
    target.set_len(length)?;
    let meta = from.metadata()?;
    keep_owner(&target, &meta)?;
    target.set_permissions(meta.permissions())?;
    target.sync_all()
}

/// Keeps the present file as `NAME.bak`, in place of an earlier one.
pub(super) fn back_up(target: &Path) -> io::Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let (backup, staged) =
        (folder(target).join(format!("{name}.bak")), folder(target).join(hidden(target, STAGED) + "backup"));
    _ = fs::remove_file(&staged);
    match fs::hard_link(target, &staged) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Not every file system has hard links.
        Err(_) => fs::copy(target, &staged).map(drop)?,
        Ok(()) => {}
    }
    fs::rename(staged, backup)
}
