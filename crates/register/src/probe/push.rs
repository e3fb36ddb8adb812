//! `probe "push"`: somebody else knows the role and tells it: `PUT /role/ID` on the admin pages.

use super::{Look, Probe, ProbeError, file::FileProbe, said::Said};
use daemon::admin::{Order, Reply, Taker};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// What reading or writing what is kept may take.
const LIMIT: Duration = Duration::from_secs(1);

/// What was told last, and when.
pub type Told = Option<(Said, Instant)>;

/// Says what it was told.
#[derive(Debug)]
pub struct PushProbe {
    told: watch::Receiver<Told>,
    keep: Option<FileProbe>,
    stale_after: Option<Duration>,
    /// How to tell it, for people.
    how: String,
}

impl PushProbe {
    /// Waits to be told the role of the instance with this id. What it was told is kept in that file, where there is
    /// one, over a restart of this program.
    #[must_use]
    pub fn new(
        id: &str,
        told: watch::Receiver<Told>,
        keep: Option<&Path>,
        stale_after: Option<Duration>,
    ) -> PushProbe {
        let keep = keep.map(|path| FileProbe::new(path.into(), stale_after, LIMIT));
        let how = format!("PUT role=primary or role=replica to /role/{id} on the admin address");
        PushProbe { told, keep, stale_after, how }
    }
}

impl Probe for PushProbe {
    async fn look(&mut self) -> Result<Look, ProbeError> {
        let news = self.told.has_changed().unwrap_or_default();
        let told = self.told.borrow_and_update().clone();
        match (told, &mut self.keep) {
            (Some((said, at)), keep) => {
                if let (true, Some(keep)) = (news, keep) {
                    // Looked at again, and then tried again.
                    keep.write(&said).await.inspect_err(|_| self.told.mark_changed())?;
                }
                let old = self.stale_after.filter(|limit| at.elapsed() > *limit);
                old.map_or(Ok(said.into()), |limit| {
                    Err(ProbeError::Other(format!("nobody told its role for {limit:?}; {}", self.how)))
                })
            }
            (None, keep) => {
                let kept = if let Some(keep) = keep { keep.read().await? } else { None };
                let nobody = || ProbeError::Other(format!("nobody told its role yet; {}", self.how));
                kept.map(Look::from).ok_or_else(nobody)
            }
        }
    }

    async fn disturbed(&mut self) {
        if self.told.changed().await.is_err() {
            std::future::pending().await
        }
        self.told.mark_changed();
    }
}

/// Takes orders of the form `PUT /role/ID` for the services that wait for them.
#[must_use]
pub fn taker(services: BTreeMap<String, watch::Sender<Told>>) -> Taker {
    Arc::new(move |order: Order| {
        let Some(service) = services.get(&order.about) else {
            let known: Vec<_> = services.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Reply::Nobody(format!(
                "no probe \"push\" has the id {:?}; there is {known}",
                order.about
            ));
        };
        match Said::read(&order.text) {
            Ok(said) => {
                let taken = format!("{}: {said}", order.about);
                service.send_replace(Some((said, Instant::now())));
                Reply::Taken(taken)
            }
            Err(why) => Reply::Wrong(why),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use consul::Role;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn what_was_told_is_said_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("role");
        let minute = Duration::from_secs(60);
        let (tell, told) = watch::channel(None);
        let start = || PushProbe::new("pg-0", told.clone(), Some(&file), Some(minute));
        let mut probe = start();
        let why = probe.look().await.unwrap_err().to_string();
        assert!(why.contains("nobody told its role yet") && why.contains("/role/pg-0"), "{why}");

        let take = taker([("pg-0".to_owned(), tell.clone())].into());
        let order = |about: &str, text: &str| Order { about: about.into(), text: text.into() };
        assert!(
            matches!(take(order("pg-1", "role=master")), Reply::Nobody(why) if why.contains("there is pg-0"))
        );
        assert!(
            matches!(take(order("pg-0", "boss")), Reply::Wrong(why) if why.contains("expected role=primary"))
        );
        assert!(tell.borrow().is_none());
        assert_eq!(
            take(order("pg-0", "role=master epoch=3")),
            Reply::Taken("pg-0: role=master epoch=3".into())
        );
        probe.disturbed().await;
        let look = probe.look().await.unwrap();
        assert_eq!((look.role, look.word.as_str(), look.epoch), (Role::Master, "master", Some(3)));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "role=master epoch=3\n");

        sleep(minute * 2).await;
        assert!(probe.look().await.unwrap_err().to_string().contains("nobody told its role for 60s"));

        tell.send_replace(None);
        let look = start().look().await.unwrap();
        assert_eq!((look.role, look.epoch), (Role::Master, Some(3)), "a restart remembers");
    }
}
