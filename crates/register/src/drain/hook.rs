//! `rolecall register drain`: gives the order to the register that runs on this machine, and waits until it is done.
//! It is the whole preStop hook: no shell, no curl.

use daemon::admin::{AskError, Caller};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Why it is not done.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// No register, or it did not take the order.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// It answered something else.
    #[error("the answer is not that of a rolecall register: {0}")]
    Stranger(String),
    /// These could not hand over.
    #[error("refused, it stays in service: {0}")]
    Refused(String),
    /// The order stands, and is not seen to be carried out yet.
    #[error("ordered, but not done within {limit:?}: {still}")]
    TooLong {
        /// The time that was given.
        limit: Duration,
        /// What is missing.
        still: String,
    },
}

/// How often it is looked whether it is done.
const LOOK: Duration = Duration::from_millis(50);
/// For Consul, after the time that the hand-over may take.
const CONSUL: Duration = Duration::from_secs(5);

/// Drains the register, and waits until the catalog shows it. With `hand_over`, masters hand over first.
pub async fn drain(
    caller: &Caller,
    hand_over: bool,
    limit: Duration,
    say: impl Fn(&str),
) -> Result<(), DrainError> {
    let text = if hand_over { format!("hand-over {}", config::show_duration(limit)) } else { String::new() };
    let until = Instant::now() + limit + CONSUL;
    let order = number(&caller.order("/drain", &text).await.map_err(stranger)?)?;
    let mut shown = vec![];
    loop {
        let services = services(caller, order).await?;
        let news: Vec<String> = services.iter().map(Service::to_string).collect();
        news.iter().filter(|line| !shown.contains(*line)).for_each(|line| say(line));
        shown = news;
        let all = |state: &str| services.iter().filter(|service| service.state == state).count();
        match () {
            () if all("drained") == services.len() => return Ok(()),
            () if all("drained") + all("refused") == services.len() => {
                let refused = services.iter().filter(|service| service.state == "refused");
                let why: Vec<_> = refused.map(|service| format!("{}: {}", service.id, service.why)).collect();
                return Err(DrainError::Refused(why.join("; ")));
            }
            () if Instant::now() > until => {
                let limit = limit + CONSUL;
                return Err(DrainError::TooLong { limit, still: shown.join("; ") });
            }
            () => sleep(LOOK).await,
        }
    }
}

/// Takes the order back.
pub async fn undrain(caller: &Caller) -> Result<(), DrainError> {
    number(&caller.order("/undrain", "").await.map_err(stranger)?).map(drop)
}

/// Whoever does not know the order, as render's pages or Consul's own, is no register.
fn stranger(error: AskError) -> DrainError {
    match error {
        AskError::Refused { address, status: 404 | 405, .. } => {
            let why = format!("{address} takes no such orders; name the admin.address of register");
            DrainError::Stranger(why)
        }
        error => error.into(),
    }
}

/// One service on the status page.
struct Service {
    id: String,
    state: String,
    why: String,
}

impl std::fmt::Display for Service {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.id, self.state)?;
        if self.why.is_empty() { Ok(()) } else { write!(out, " ({})", self.why) }
    }
}

fn number(answer: &str) -> Result<u64, DrainError> {
    let order = serde_json::from_str(answer).ok().and_then(|answer: Value| answer["order"].as_u64());
    order.ok_or_else(|| DrainError::Stranger(answer.trim().to_owned()))
}

async fn services(caller: &Caller, order: u64) -> Result<Vec<Service>, DrainError> {
    let page = caller.get("/status").await?;
    let page: Value = serde_json::from_str(&page).map_err(|_| DrainError::Stranger(page.clone()))?;
    let services = page["services"].as_array().ok_or_else(|| DrainError::Stranger(page.to_string()))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let read = |service: &Value| {
        let drain = &service["drain"];
        let old = drain["order"].as_u64() < Some(order);
        let trouble = text(&service["agent"]["error"]);
        Service {
            id: text(&service["id"]),
            state: if old { "ordered".into() } else { text(&drain["state"]) },
            why: if drain["why"].is_null() { trouble } else { text(&drain["why"]) },
        }
    };
    Ok(services.iter().map(read).collect())
}
