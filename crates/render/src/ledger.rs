//! The epochs in which masters were followed, kept beside the rendered file (`.NAME.epochs`): neither a restart nor an
//! answer of yesterday leads back to a former master. An operator may reset them at any time: the file is the memory.

use consul::election::Epoch;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The latest epoch that was followed of each service, by the name that the template asks for.
pub type Followed = BTreeMap<String, Epoch>;

/// What became of masters in one filling of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// The epochs that were followed before.
    pub followed: Followed,
    /// Those that are followed now.
    pub follows: Followed,
    /// Whether a master was refused since one in a later epoch was followed.
    pub former: bool,
}

/// The layout of the file.
const VERSION: u64 = 1;

/// Where the epochs of one rendered file are kept.
#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
}

impl Ledger {
    /// The ledger of a rendered file.
    #[must_use]
    pub fn of(destination: &Path) -> Ledger {
        let name = destination.file_name().unwrap_or_default().to_string_lossy();
        Ledger { path: destination.with_file_name(format!(".{name}.epochs")) }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was followed; nothing when there is no file.
    pub fn read(&self) -> Result<Followed, String> {
        match fs::read(&self.path) {
            Ok(text) => parse(&text).map_err(|why| self.wrong("is not what rolecall wrote", &why)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Followed::new()),
            Err(e) => Err(self.wrong("cannot be read", &e)),
        }
    }

    /// Keeps these, whole or not at all; makes the folder first if it may.
    pub fn write(&self, followed: &Followed, create: bool) -> Result<(), String> {
        let folder = self.path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let write = || -> io::Result<()> {
            if create {
                fs::create_dir_all(folder)?;
            }
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            io::Write::write_all(&mut file, show(followed).as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&self.path).map(drop).map_err(|e| e.error)
        };
        write().map_err(|e| self.wrong("cannot be written", &e))
    }

    fn wrong(&self, what: &str, why: &dyn std::fmt::Display) -> String {
        format!("{}, which keeps the epochs of masters, {what}: {why}", self.path.display())
    }
}

fn parse(text: &[u8]) -> Result<Followed, String> {
    let value: Value = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let services = value["services"].as_object().filter(|_| value["version"] == VERSION);
    let services = services.ok_or_else(|| format!("expected version {VERSION} with services"))?;
    let epochs = services.iter().map(|(name, epoch)| {
        Epoch::read(epoch).map(|epoch| (name.clone(), epoch)).ok_or_else(|| format!("{name} has no epoch"))
    });
    epochs.collect()
}

fn show(followed: &Followed) -> String {
    let services: BTreeMap<_, _> = followed.iter().map(|(name, epoch)| (name, epoch.show())).collect();
    format!("{:#}\n", json!({"version": VERSION, "services": services}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_followed_survives_and_can_be_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::of(&folder.path().join("haproxy.cfg"));
        assert_eq!(ledger.read(), Ok(Followed::new()), "before the first master");
        let followed = Followed::from([("redis@dc2".into(), Epoch { generation: 1, number: 7 })]);
        ledger.write(&followed, true).unwrap();
        assert_eq!(Ledger::of(&folder.path().join("haproxy.cfg")).read(), Ok(followed));
        assert_eq!(ledger.path().file_name().unwrap(), ".haproxy.cfg.epochs");
        for broken in ["", "{}", "{\"version\":2,\"services\":{}}", "{\"version\":1,\"services\":{\"a\":{}}}"]
        {
            fs::write(ledger.path(), broken).unwrap();
            assert!(ledger.read().unwrap_err().contains(".haproxy.cfg.epochs"), "{broken}");
        }
        fs::remove_file(ledger.path()).unwrap();
        assert_eq!(ledger.read(), Ok(Followed::new()), "an operator's reset");
    }
}
