//! `probe "file"`: another program writes the role into a file, which is read at each look.

use super::{Look, Probe, ProbeError, said::Said};
use config::show_duration;
use daemon::clock::{rfc3339, unix_millis};
use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};
use tokio::{
    fs::{File, metadata},
    io::AsyncReadExt,
};

/// A role and an epoch are a line.
const MOST_BYTES: u64 = 4096;

/// Reads a file.
#[derive(Clone, Debug)]
pub struct FileProbe {
    /// Which.
    pub path: PathBuf,
    /// How old what it says may be.
    pub stale_after: Option<Duration>,
}

impl Probe for FileProbe {
    async fn look(&mut self) -> Result<Look, ProbeError> {
        let path = self.path.display();
        let failed = |why: String| ProbeError::Other(format!("{path}: {why}"));
        let (text, written) = read(&self.path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => failed("is not there; nobody has said the role yet".into()),
            _ => failed(format!("cannot be read: {error}")),
        })?;
        let age = Duration::from_secs_f64(unix_millis() / 1000.0).saturating_sub(written);
        if let Some(limit) = self.stale_after.filter(|limit| age > *limit) {
            let (at, limit) = (rfc3339(written.as_secs_f64() * 1000.0), show_duration(limit));
            return Err(failed(format!("was last written at {at}; stale_after is {limit}")));
        }
        Said::read(&text).map(Look::from).map_err(failed)
    }

    async fn disturbed(&mut self) {
        std::future::pending().await
    }
}

/// The beginning of a file, and when it was written, since 1970.
async fn read(path: &Path) -> io::Result<(String, Duration)> {
    // To open a pipe that nobody writes into would never end.
    if !metadata(path).await?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let file = File::open(path).await?;
    let written = file.metadata().await?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut text = vec![];
    file.take(MOST_BYTES).read_to_end(&mut text).await?;
    Ok((String::from_utf8_lossy(&text).into_owned(), written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use consul::Role;

    #[tokio::test]
    async fn a_file_says_the_role_until_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("role");
        let mut probe = FileProbe { path: path.clone(), stale_after: Some(Duration::from_secs(60)) };
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
            let look = FileProbe { path, stale_after: None }.look().await;
            assert!(look.unwrap_err().to_string().contains("cannot be read: it is no regular file"));
        }
    }
}
