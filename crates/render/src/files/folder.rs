//! A folder with the files that one template gives: each is written as any file is, and those whose names are gone are
//! removed. Only what was written here before is ever removed: its names are kept in the folder (`.rolecall.files`).

use super::{
    Destination, FileError, Staged,
    beside::{folder, sweep},
};
use crate::parts;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// What becomes of a file whose name is gone from the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gone {
    /// It is removed.
    #[default]
    Removed,
    /// It stays, and is nobody's from then on.
    Kept,
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Its path, and how each file is written.
    like: Destination,
    gone: Gone,
}

/// Files that lie beside their targets, and what is to be removed.
#[derive(Debug)]
pub struct StagedFiles {
    staged: Vec<Staged>,
    gone: Vec<PathBuf>,
    folder: Folder,
    before: BTreeSet<String>,
    names: BTreeSet<String>,
}

/// What is left to do for a text of several files.
#[derive(Debug)]
pub enum Laid {
    /// All is there, and in use.
    Unchanged,
    /// All is there, and it is not certain that it is in use.
    Unfinished,
    /// Something is to be put in its place, or to be removed.
    Staged(Box<StagedFiles>),
}

/// The names of the files that were written, and whether it is uncertain that they are in use.
#[derive(Debug, Default, PartialEq, Eq)]
struct List {
    names: BTreeSet<String>,
    pending: bool,
}

/// Its file's name.
const LIST: &str = ".rolecall.files";
/// Its layout.
const VERSION: u64 = 1;

impl Folder {
    /// The folder at the path of `like`; its files are written as that says.
    #[must_use]
    pub fn new(like: Destination, gone: Gone) -> Folder {
        // The list says what is in use, for all of them.
        Folder { like: like.read_by(vec![]), gone }
    }

    fn file(&self, name: &str) -> Destination {
        Destination { path: self.like.path.join(name), ..self.like.clone() }
    }

    /// Compares the files of a text with what is there, and lays those that differ beside their places.
    pub fn lay(&self, text: &str) -> Result<Laid, FileError> {
        let before = self.list()?;
        let (mut other, mut names) = (vec![], BTreeSet::new());
        for (name, text) in parts::split(text) {
            let file = self.file(name);
            let bytes = octets::bytes(text);
            if file.read()?.as_deref() == Some(&*bytes) {
                file.repair()?;
            } else {
                other.push((file, bytes));
            }
            names.insert(name.to_owned());
        }
        sweep_all(other.iter().map(|(file, _)| file.target()));
        let staged = other.iter().map(|(file, bytes)| file.stage(bytes)).collect::<Result<Vec<_>, _>>()?;
        let gone: Vec<PathBuf> = match self.gone {
            Gone::Removed => before.names.difference(&names).map(|name| self.like.path.join(name)).collect(),
            Gone::Kept => vec![],
        };
        if staged.is_empty() && before.names == names {
            return Ok(if before.pending { Laid::Unfinished } else { Laid::Unchanged });
        }
        let folder = self.clone();
        Ok(Laid::Staged(Box::new(StagedFiles { staged, gone, folder, before: before.names, names })))
    }

    /// The files are in use.
    pub fn settle(&self) -> Result<(), FileError> {
        let list = self.list()?;
        if list.pending { self.write(&List { pending: false, ..list }) } else { Ok(()) }
    }

    fn list(&self) -> Result<List, FileError> {
        let path = self.like.path.join(LIST);
        let error = |source| FileError { path: path.clone(), what: "be read as the list of files", source };
        match fs::read(&path) {
            Ok(text) => parse(&text).map_err(|why| error(io::Error::other(why))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(List::default()),
            Err(e) => Err(error(e)),
        }
    }

    fn write(&self, list: &List) -> Result<(), FileError> {
        let path = self.like.path.join(LIST);
        let write = || -> io::Result<()> {
            if self.like.create_folders {
                fs::create_dir_all(&self.like.path)?;
            }
            let mut file = NamedTempFile::new_in(&self.like.path)?;
            io::Write::write_all(&mut file, show(list).as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map(drop).map_err(|e| e.error)
        };
        write().map_err(|source| FileError { path, what: "be written", source })
    }
}

/// Removes what runs that were killed left staged for these files; each folder is read once.
fn sweep_all(targets: impl Iterator<Item = PathBuf>) {
    let targets: BTreeSet<PathBuf> = targets.collect();
    for place in targets.iter().map(|target| folder(target)).collect::<BTreeSet<_>>() {
        sweep(place, |name| targets.contains(&place.join(name)));
    }
}

impl StagedFiles {
    /// Puts the files in their places, then removes those that are gone. The list has a name from before its file is
    /// there until after it is not: whenever this is interrupted, nothing is forgotten.
    pub fn swap(self) -> Result<(), FileError> {
        let StagedFiles { staged, gone, folder, before, names } = self;
        folder.write(&List { names: before.union(&names).cloned().collect(), pending: true })?;
        staged.into_iter().try_for_each(Staged::swap)?;
        for path in &gone {
            match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(FileError { path: path.clone(), what: "be removed", source: e });
                }
                _ => {
                    tracing::info!(file = %path.display(), "removed: the template does not give it any more")
                }
            }
            remove_empty(path.parent(), &folder.like.path);
        }
        folder.write(&List { names, pending: true })
    }
}

/// Folders below `root` that nothing is left in.
fn remove_empty(mut folder: Option<&Path>, root: &Path) {
    while let Some(path) = folder.filter(|path| *path != root && path.starts_with(root)) {
        if fs::remove_dir(path).is_err() {
            return;
        }
        folder = path.parent();
    }
}

fn parse(text: &[u8]) -> Result<List, String> {
    let value: Value = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let names = value["files"].as_array().filter(|_| value["version"] == VERSION);
    let names = names.ok_or_else(|| format!("expected version {VERSION} with files"))?;
    let name = |name: &Value| {
        let name = name.as_str().ok_or("a name is no text")?;
        parts::allow(name).map(|()| name.to_owned())
    };
    Ok(List { names: names.iter().map(name).collect::<Result<_, _>>()?, pending: value["pending"] == true })
}

fn show(list: &List) -> String {
    format!("{:#}\n", json!({"version": VERSION, "files": list.names, "pending": list.pending}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(files: &[(&str, &str)]) -> String {
        files.iter().map(|(name, text)| format!("{}\n{text}", parts::mark(name))).collect()
    }

    fn folder(path: &Path, gone: Gone) -> Folder {
        Folder::new(Destination::new(path.to_owned(), Some(0o640), true), gone)
    }

    fn put(folder: &Folder, files: &[(&str, &str)]) -> bool {
        let Laid::Staged(staged) = folder.lay(&text(files)).unwrap() else { return false };
        staged.swap().unwrap();
        folder.settle().unwrap();
        true
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_gone_is_removed_and_what_is_not_ours_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("conf.d");
        let folder = folder(&path, Gone::Removed);
        assert!(put(&folder, &[("a.conf", "a\n"), ("sub/b.conf", "b\n")]));
        assert_eq!(fs::read_to_string(path.join("sub/b.conf")).unwrap(), "b\n");
        assert!(!put(&folder, &[("a.conf", "a\n"), ("sub/b.conf", "b\n")]), "nothing new");
        fs::write(path.join("foreign.conf"), "x").unwrap();
        assert!(put(&folder, &[("a.conf", "a2\n"), ("c.conf", "")]));
        assert_eq!(names(&path), [".rolecall.files", "a.conf", "c.conf", "foreign.conf"]);
        fs::write(path.join(".a.conf.staged-aB3xY9"), "left by one that was killed").unwrap();
        fs::write(path.join(".foreign.conf.staged-aB3xY9"), "x").unwrap();
        assert!(put(&folder, &[("a.conf", "a3\n")]));
        fs::remove_file(path.join(".foreign.conf.staged-aB3xY9")).unwrap();
        assert_eq!(names(&path), [".rolecall.files", "a.conf", "foreign.conf"]);
        assert!(put(&folder, &[]));
        assert_eq!(names(&path), [".rolecall.files", "foreign.conf"]);
    }

    #[test]
    fn what_is_gone_may_stay() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path(), Gone::Kept);
        assert!(put(&folder, &[("a", "1"), ("b", "1")]) && put(&folder, &[("b", "1")]));
        assert_eq!(names(home.path()), [".rolecall.files", "a", "b"]);
    }

    #[test]
    fn an_interrupted_change_is_finished_at_the_next_start() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path(), Gone::Removed);
        put(&folder, &[("a", "1")]);
        let Laid::Staged(staged) = folder.lay(&text(&[("b", "1")])).unwrap() else { panic!("nothing to do") };
        staged.swap().unwrap();
        assert!(matches!(folder.lay(&text(&[("b", "1")])), Ok(Laid::Unfinished)), "nobody was told");
        folder.settle().unwrap();
        // Killed between the first list and the removal: the old name is still known.
        let both = ["a", "b"].map(str::to_owned).into();
        folder.write(&List { names: both, pending: true }).unwrap();
        fs::write(home.path().join("a"), "1").unwrap();
        assert!(put(&folder, &[("b", "1")]));
        assert_eq!(names(home.path()), [".rolecall.files", "b"]);
    }

    #[test]
    fn a_list_that_was_not_written_here_stops_all() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path(), Gone::Removed);
        for list in ["", "{}", r#"{"version":1,"files":["../x"]}"#, r#"{"version":2,"files":[]}"#] {
            fs::write(home.path().join(LIST), list).unwrap();
            let error = folder.lay(&text(&[("a", "1")])).unwrap_err().to_string();
            assert!(error.contains(LIST), "{error}");
        }
    }
}
