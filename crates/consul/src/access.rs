//! As whom Consul is spoken to: the token of the next call, and which of several it is.
//!
//! A registration belongs to the token that made it: the agent brings it to the servers with that token, long after
//! the call. So a new token is told ([`Access::version`]), and the old one of a login is given back only when
//! everybody who holds something wrote it again.

use crate::{ClientError, ConsulSettings};
use reqwest::header::HeaderValue;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

/// The token in use, shared by all clients of one program.
#[derive(Debug)]
pub(crate) struct Access {
    token: Mutex<Option<HeaderValue>>,
    /// Counts the tokens that were in use.
    version: watch::Sender<u64>,
    /// What came of the last login; `None` before it.
    login: watch::Sender<Option<Result<(), String>>>,
    /// Under which token each holder last wrote what it holds.
    holders: watch::Sender<BTreeMap<String, u64>>,
    refused: Notify,
}

impl Access {
    pub(crate) fn new(settings: &ConsulSettings) -> Result<Access, ClientError> {
        let none = || ClientError::Setup("the token cannot be one: blanks or letters beyond ASCII".into());
        let token = settings.token.as_ref().map(|token| secret(token.expose()).ok_or_else(none));
        Ok(Access {
            token: Mutex::new(token.transpose()?),
            version: watch::Sender::default(),
            login: watch::Sender::default(),
            holders: watch::Sender::default(),
            refused: Notify::new(),
        })
    }

    /// The token for the next call, within `limit`.
    pub(crate) async fn token(
        &self,
        settings: &ConsulSettings,
        limit: Duration,
    ) -> Result<Option<HeaderValue>, ClientError> {
        if let Some(file) = &settings.token_file {
            self.read(file).await?;
        }
        if settings.login.is_some() {
            self.logged_in(limit).await?;
        }
        Ok(self.present())
    }

    pub(crate) fn present(&self) -> Option<HeaderValue> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// A token file that is gone or empty for a moment, while somebody rotates it, leaves the token that was there.
    async fn read(&self, file: &Path) -> Result<(), ClientError> {
        let trouble = match tokio::fs::read_to_string(file).await {
            Ok(text) => match secret(text.trim()) {
                Some(token) => {
                    self.take(token);
                    return Ok(());
                }
                None => format!("token_file {} holds no token", file.display()),
            },
            Err(error) => format!("token_file {}: {error}", file.display()),
        };
        if self.present().is_some() { Ok(()) } else { Err(ClientError::Setup(trouble)) }
    }

    /// Uses this token from now on; the one before it, when it was another.
    pub(crate) fn take(&self, token: HeaderValue) -> Option<HeaderValue> {
        let before = {
            let mut present = self.token.lock().unwrap_or_else(PoisonError::into_inner);
            if present.as_ref() == Some(&token) {
                return None;
            }
            present.replace(token)
        };
        if before.is_some() {
            self.version.send_modify(|version| *version += 1);
        }
        before
    }

    async fn logged_in(&self, limit: Duration) -> Result<(), ClientError> {
        if self.present().is_some() {
            return Ok(());
        }
        let mut login = self.login.subscribe();
        let told = timeout(limit, login.wait_for(Option::is_some)).await;
        match told.ok().and_then(Result::ok).and_then(|told| told.clone()) {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(ClientError::NotLoggedIn(why)),
            None => Err(ClientError::NotLoggedIn("Consul has not answered the login yet".into())),
        }
    }

    /// Says what came of a login; true when that is new.
    pub(crate) fn tell(&self, outcome: Result<(), String>) -> bool {
        self.login.send_if_modified(|told| {
            let news = told.as_ref() != Some(&outcome);
            *told = Some(outcome);
            news
        })
    }

    /// A call was refused since Consul does not know the token.
    pub(crate) fn refused(&self) {
        self.refused.notify_one();
    }

    /// Waits until a call is refused so.
    pub(crate) async fn is_refused(&self) {
        self.refused.notified().await;
    }

    /// Notes that what `holder` holds was written under this token, and is seen.
    pub(crate) fn hold(&self, holder: &str, version: u64) {
        self.holders.send_if_modified(|all| all.insert(holder.to_owned(), version) != Some(version));
    }

    /// Waits until nobody holds anything under an older token than this.
    pub(crate) async fn held(&self, version: u64) {
        let mut holders = self.holders.subscribe();
        let _sender_is_ours = holders.wait_for(|all| all.values().all(|held| *held >= version)).await;
    }
}

/// A token as a header whose value no log shows; `None` for what cannot be a token.
pub(crate) fn secret(token: &str) -> Option<HeaderValue> {
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return None;
    }
    let mut value = HeaderValue::from_str(token).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_to_nobody() {
        let value = secret("b1gs-ee7").expect("a token");
        assert!(value.is_sensitive() && !format!("{value:?}").contains("b1gs"), "{value:?}");
        for none in ["", "two words", "zwölf", "line\n"] {
            assert_eq!(secret(none), None, "{none:?}");
        }
    }

    #[tokio::test]
    async fn a_rotated_file_is_a_new_token_and_a_half_written_one_is_none() {
        let file = std::env::temp_dir().join(format!("rolecall-token-{}", std::process::id()));
        let settings =
            ConsulSettings { token_file: Some(file.clone()), ..crate::settings::tests::defaults() };
        let access = Access::new(&settings).unwrap();
        let limit = Duration::from_secs(1);
        let mut tokens = vec![];
        for text in ["", "one\n", "one", "", "two"] {
            std::fs::write(&file, text).unwrap();
            let token = access.token(&settings, limit).await.ok().flatten();
            let token = token.map(|token| token.to_str().unwrap().to_owned()).unwrap_or_default();
            tokens.push((token, *access.version().borrow()));
        }
        std::fs::remove_file(&file).unwrap();
        let tokens: Vec<_> = tokens.iter().map(|(token, version)| (token.as_str(), *version)).collect();
        assert_eq!(tokens, [("", 0), ("one", 0), ("one", 0), ("one", 0), ("two", 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_token_is_free_when_each_holder_wrote_under_the_new_one() {
        let access = Access::new(&crate::settings::tests::defaults()).unwrap();
        access.held(1).await;
        access.hold("a", 0);
        access.hold("b", 1);
        let soon = Duration::from_secs(1);
        assert!(timeout(soon, access.held(1)).await.is_err(), "a still holds by the old one");
        access.hold("a", 1);
        access.held(1).await;
    }
}
