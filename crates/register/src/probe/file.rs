//! `probe "file"`: another program writes the role into a file, which is read at each look.

use super::{Look, Probe, ProbeError, said::Said};
use config::show_duration;
use daemon::clock::unix_millis;
use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};
use tokio::{fs::File, io::AsyncReadExt};

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
        let (text, age) = read(&self.path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => failed("is not there; nobody has said the role yet".into()),
            _ => failed(format!("cannot be read: {error}")),
        })?;
        let old = self.stale_after.filter(|limit| age > *limit);
        if let Some(limit) = old {
            let (age, limit) = (Duration::from_secs(age.as_secs()), show_duration(limit));
            return Err(failed(format!(
                "was not written for {}; stale_after is {limit}",
                show_duration(age)
            )));
        }
        Said::read(&text).map(Look::from).map_err(failed)
    }

    async fn disturbed(&mut self) {
        std::future::pending().await
    }
}

/// The beginning of a file, and how long ago it was written.
async fn read(path: &Path) -> io::Result<(String, Duration)> {
    let file = File::open(path).await?;
    let written = file.metadata().await?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Duration::from_secs_f64(unix_millis() / 1000.0);
    let mut text = vec![];
    file.take(MOST_BYTES).read_to_end(&mut text).await?;
    Ok((String::from_utf8_lossy(&text).into_owned(), now.saturating_sub(written)))
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
        assert!(why.contains("was not written for 1h") && why.contains("stale_after is 1m"), "{why}");
        probe.stale_after = None;
        assert_eq!(probe.look().await.unwrap().role, Role::Master);
        let folder = FileProbe { path: folder.path().into(), stale_after: None }.look().await;
        assert!(folder.unwrap_err().to_string().contains("cannot be read"));
    }
}
