//! `probe "file"`: another program writes the role into a file, which is read at each look.

use super::{Look, Probe, ProbeError, said::Said, slow::Slow};
use config::show_duration;
use daemon::clock::{rfc3339, unix_millis};
use std::{
    fs::{self, File, metadata},
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

/// A role and an epoch are a line.
const MOST_BYTES: u64 = 4096;

/// Reads a file.
#[derive(Debug)]
pub struct FileProbe {
    path: PathBuf,
    stale_after: Option<Duration>,
    slow: Slow,
}

impl FileProbe {
    /// Will read this file, giving each look `limit`; what was written longer ago than `stale_after` is a failure.
    #[must_use]
    pub fn new(path: PathBuf, stale_after: Option<Duration>, limit: Duration) -> FileProbe {
        FileProbe { path, stale_after, slow: Slow::new(limit) }
    }

    /// What the file says; nothing where it is not there.
    pub async fn read(&mut self) -> Result<Option<Said>, ProbeError> {
        let path = self.path.clone();
        let (text, written) = match self.slow.run(move || read(&path)).await {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(format!("cannot be read: {error}"))),
        };
        let age = Duration::from_secs_f64(unix_millis() / 1000.0).saturating_sub(written);
        if let Some(limit) = self.stale_after.filter(|limit| age > *limit) {
            let (at, limit) = (rfc3339(written.as_secs_f64() * 1000.0), show_duration(limit));
            return Err(self.failed(format!("was last written at {at}; stale_after is {limit}")));
        }
        Said::read(&text).map(Some).map_err(|why| self.failed(why))
    }

    /// Has the file say this.
    pub async fn write(&mut self, said: &Said) -> Result<(), ProbeError> {
        let (path, line) = (self.path.clone(), format!("{said}\n"));
        let written = self.slow.run(move || write(&path, &line)).await;
        written.map_err(|error| self.failed(format!("cannot be written: {error}")))
    }

    fn failed(&self, why: impl std::fmt::Display) -> ProbeError {
        ProbeError::Other(format!("{}: {why}", self.path.display()))
    }
}

impl Probe for FileProbe {
    async fn look(&mut self) -> Result<Look, ProbeError> {
        let said = self.read().await?;
        said.map(Look::from).ok_or_else(|| self.failed("is not there; nobody has said the role yet"))
    }

    async fn disturbed(&mut self) {
        std::future::pending().await
    }
}

/// The beginning of a file, and when it was written, since 1970.
fn read(path: &Path) -> io::Result<(String, Duration)> {
    // To open a pipe that nobody writes into would never end.
    if !metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let file = File::open(path)?;
    let written = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut text = vec![];
    file.take(MOST_BYTES).read_to_end(&mut text)?;
    Ok((String::from_utf8_lossy(&text).into_owned(), written))
}

/// The whole text or none of it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use consul::Role;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_file_says_the_role_until_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("role");
        let mut probe = FileProbe::new(path.clone(), Some(Duration::from_secs(60)), LONG);
        assert!(probe.look().await.unwrap_err().to_string().contains("nobody has said the role yet"));
        for (text, seen) in [
            ("role=primary epoch=3\n", Ok((Role::Master, Some(3)))),
            ("{\"role\": \"replica\"}", Ok((Role::Replica, None))),
            ("", Err("expected role=primary")),
        ] {
            std::fs::write(&path, text).unwrap();
            match (probe.look().await, seen) {
                (Err(why), Err(part)) => assert!(why.to_string().contains(part), "{why}"),
                (look, seen) => {
                    assert_eq!(look.ok().map(|look| (look.role, look.epoch)), seen.ok(), "{text}")
                }
            }
        }
        std::fs::write(&path, "role=primary").unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(file.metadata().unwrap().modified().unwrap() - Duration::from_secs(3600)).unwrap();
        let why = probe.look().await.unwrap_err().to_string();
        assert!(why.contains("was last written at 2") && why.contains("stale_after is 1m"), "{why}");
        assert_eq!(probe.look().await.unwrap_err().to_string(), why, "one trouble, one text");
        probe.stale_after = None;
        assert_eq!(probe.look().await.unwrap().role, Role::Master);
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [folder.path().to_owned(), pipe] {
            let look = FileProbe::new(path, None, LONG).look().await;
            assert!(look.unwrap_err().to_string().contains("cannot be read: it is no regular file"));
        }
    }
}
