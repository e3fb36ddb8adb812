//! Logs in by an auth method, again and again before the token ends, and gives each token back when it is no longer
//! needed. A token that ends while it is in use leaves entries in Consul that nobody may remove.

use crate::{
    Client, ClientError,
    access::secret,
    settings::Login,
    wire::{self, moment},
};
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

/// A login for as long as the program runs; nothing where the configuration names none.
#[derive(Debug)]
pub struct Session {
    client: Client,
    /// The task, and the token that is not given back yet.
    running: Option<(JoinHandle<()>, watch::Receiver<Option<HeaderValue>>)>,
}

/// A token of a login, and how long it lives; `None` for ever.
pub(crate) struct Granted {
    pub(crate) token: HeaderValue,
    pub(crate) life: Option<Duration>,
}

/// Part of its life after which a token is renewed: time for many tries is left. Drawn, so that many programs that
/// began together do not come together.
const RENEW: std::ops::Range<f64> = 0.55..0.67;
/// An agent remembers for 30 s that it does not know a token; a login for each refused call would not help.
const LEAST_PAUSE: Duration = Duration::from_secs(5);
/// Calls that were sent with the old token end by then.
const LINGER: Duration = Duration::from_secs(5);
const LOGOUT: Duration = Duration::from_secs(2);

impl Session {
    /// Begins; calls of `client` wait for the first login.
    #[must_use]
    pub fn start(client: &Client) -> Session {
        let running = client.settings().login.clone().map(|login| {
            let (owed, owing) = watch::channel(None);
            let client = client.clone();
            (tokio::spawn(async move { keep(&client, &login, &owed).await }), owing)
        });
        Session { client: client.clone(), running }
    }

    /// Gives back what was granted, after all that was written with it is gone.
    pub async fn end(self) {
        let Some((task, owing)) = self.running else { return };
        task.abort();
        let old = owing.borrow().clone();
        for token in old.into_iter().chain(self.client.access().present()) {
            give_back(&self.client, token).await;
        }
    }
}

async fn keep(client: &Client, login: &Login, owed: &watch::Sender<Option<HeaderValue>>) {
    let mut backoff = client.backoff();
    loop {
        let granted = match client.log_in(login).await {
            Ok(granted) => granted,
            Err(error) => {
                let why = explain(login, &error);
                if client.access().tell(Err(why.clone())) {
                    tracing::warn!(why, "cannot log in to Consul; trying again");
                }
                sleep(backoff.pause()).await;
                continue;
            }
        };
        backoff.reset();
        let began = Instant::now();
        let part = RENEW.start + (RENEW.end - RENEW.start) * fastrand::f64();
        let renew = granted.life.map(|life| began + life.mul_f64(part));
        let life = granted.life.map(config::show_duration);
        tracing::info!(method = login.method, life, "logged in to Consul");
        let old = client.access().take(granted.token);
        client.access().tell(Ok(()));
        owed.send_replace(old.clone());
        tokio::select! {
            () = at(renew) => {}
            () = refused(client, began) => {
                tracing::warn!("Consul does not know the token of the login any more; logging in again");
            }
            () = retire(client, old, owed) => {}
        }
    }
}

/// Gives back the old token once nobody needs it; never ends.
async fn retire(client: &Client, old: Option<HeaderValue>, owed: &watch::Sender<Option<HeaderValue>>) {
    if let Some(old) = old {
        let version = *client.tokens().borrow();
        client.access().held(version).await;
        sleep(LINGER).await;
        owed.send_replace(None);
        give_back(client, old).await;
    }
    std::future::pending().await
}

async fn give_back(client: &Client, token: HeaderValue) {
    match timeout(LOGOUT, client.log_out(token)).await {
        Ok(Ok(())) => tracing::info!("logged out of Consul"),
        Ok(Err(error)) => tracing::warn!(%error, "a token of Consul was not given back; it ends by itself"),
        Err(_) => tracing::warn!("a token of Consul was not given back in time; it ends by itself"),
    }
}

async fn refused(client: &Client, began: Instant) {
    loop {
        client.access().is_refused().await;
        if began.elapsed() >= LEAST_PAUSE {
            return;
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// What is sent to log in.
pub(crate) fn request(login: &Login, bearer: &str) -> Value {
    json!({"AuthMethod": login.method, "BearerToken": bearer.trim(), "Meta": login.meta})
}

/// What a login granted. Both moments are of the servers' clock, so ours does not matter.
pub(crate) fn granted(body: &[u8]) -> Result<Granted, String> {
    let value = wire::parse(body).map_err(|e| e.to_string())?;
    let token = value["SecretID"].as_str().and_then(secret).ok_or("it carries no SecretID")?;
    let time = |key: &str| value[key].as_str().and_then(moment);
    let life = time("ExpirationTime").zip(time("CreateTime")).map(|(ends, began)| ends.saturating_sub(began));
    Ok(Granted { token, life })
}

/// Consul's refusals of a login, and what to do about them.
fn explain(login: &Login, error: &ClientError) -> String {
    let method = &login.method;
    let remedy = match error {
        ClientError::Refused { said, .. } if said.contains("expired") => format!(
            "the bearer token in {} has ended: is it still written anew, as Kubernetes does with a projected token?",
            login.bearer_token_file.display()
        ),
        ClientError::Refused { said, .. } if said.contains("audience") => {
            "the bearer token is for another audience: auth methods of type kubernetes want the API server's own, type \
             jwt what BoundAudiences says"
                .to_owned()
        }
        ClientError::Refused { said, .. } if said.contains("not found") => {
            format!("is there an auth method {method:?}? See consul acl auth-method list")
        }
        ClientError::Refused { status: 403, .. } => {
            format!(
                "no binding rule of it fits this bearer token: see consul acl binding-rule list -method={method}"
            )
        }
        _ => return format!("login by auth method {method:?}: {error}"),
    };
    format!("login by auth method {method:?}: {error}; {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_as_long_as_the_servers_say() {
        let body = |ends: &str| {
            format!(r#"{{"SecretID": "s", "CreateTime": "2026-11-23T10:00:00.5+01:00"{ends}}}"#).into_bytes()
        };
        let life = |body: Vec<u8>| granted(&body).ok().and_then(|granted| granted.life);
        assert_eq!(
            life(body(r#", "ExpirationTime": "2026-11-23T09:01:00.5Z""#)),
            Some(Duration::from_secs(60))
        );
        assert_eq!(life(body("")), None);
        assert!(granted(b"{}").is_err());
        let shown = granted(&body("")).map(|granted| format!("{:?}", granted.token));
        assert_eq!(shown.as_deref(), Ok("Sensitive"));
    }

    #[test]
    fn a_refused_login_comes_with_its_remedy() {
        let login = Login { method: "k8s".into(), bearer_token_file: "/jwt".into(), meta: [].into() };
        for (status, said, remedy) in [
            (500, "token is expired (exp)", "in /jwt has ended"),
            (500, "invalid audience (aud)", "another audience"),
            (403, "Permission denied", "no binding rule"),
            (500, "auth method \"k8s\" not found", "is there an auth method"),
            (403, "ACL not found", "is there an auth method"),
        ] {
            let error = ClientError::Refused { status, asked: "POST acl/login".into(), said: said.into() };
            let told = explain(&login, &error);
            assert!(told.contains(remedy) && told.contains(said), "{told}");
        }
    }
}
