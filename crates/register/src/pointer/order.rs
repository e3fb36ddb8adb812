//! `rolecall epoch` for the epoch pointers: shows them, or lets an operator begin a new generation.

use super::{Pointer, Sight, key};
use crate::RegisterConfig;
use consul::{Client, ClientError, Query, Session, Watched, election::Epoch, query::Scope};
use std::collections::BTreeSet;

/// Why a pointer could not be shown or reset.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// Nothing could be asked.
    #[error("cannot prepare the connection to Consul: {0}")]
    Consul(ClientError),
    /// No service has a pointer, or none that was asked for.
    #[error("{0}")]
    Nothing(String),
    /// It could not be read or written.
    #[error("the epoch pointer {key}: {why}")]
    Key {
        /// Which key.
        key: String,
        /// What happened.
        why: String,
    },
}

/// Tells what the pointer of each service (of `only`, by its name) holds, and with `reset` puts it back to nobody in a new
/// generation: the next master, in whatever epoch, is later than all before.
pub async fn obey(
    config: &RegisterConfig,
    only: Option<&str>,
    reset: bool,
    say: impl Fn(&str),
) -> Result<(), OrderError> {
    let services = config.services.iter().filter(|service| only.is_none_or(|name| service.name == name));
    let keys: BTreeSet<String> =
        services.filter_map(|service| Some(key(service.lock.as_ref()?, &service.name))).collect();
    if keys.is_empty() {
        let who = only.map_or("no service".into(), |name| format!("no service \"{name}\""));
        return Err(OrderError::Nothing(format!(
            "{who} with a lock {{}} block, so there is no epoch pointer"
        )));
    }
    let client = Client::new(&config.consul).map_err(OrderError::Consul)?;
    let session = Session::start(&client);
    let mut done = Ok(());
    for key in keys {
        done = done.and(one(&client, &key, reset, &say).await);
    }
    session.end().await;
    done
}

async fn one(client: &Client, key: &str, reset: bool, say: &impl Fn(&str)) -> Result<(), OrderError> {
    let failed = |why: String| OrderError::Key { key: key.to_owned(), why };
    let query = Query::Key { key: key.to_owned(), scope: Scope::default() };
    let answer = client.ask(&query, 0).await.map_err(|error| failed(error.to_string()))?;
    let heard = Watched { value: Some(answer.value), ..Watched::default() };
    let (present, index) = match Sight::of(&heard) {
        Sight::Read(present, index) => (present, index),
        Sight::Trouble(why) => return Err(failed(why)),
        Sight::None | Sight::Unread => (None, 0),
    };
    let Some(present) = present else {
        say(&format!("{key}: nobody was master yet"));
        return Ok(());
    };
    say(&format!("{key}: {present}"));
    if !reset {
        return Ok(());
    }
    let next = anew(&present);
    match client.compare_and_set(key, &next.show(), index).await {
        Ok(true) => {
            say(&format!("{key}: {next}; the next master is later than all before"));
            Ok(())
        }
        Ok(false) => Err(failed("somebody else wrote it meanwhile; look at it, and order again".into())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Nobody, in the generation after this one.
fn anew(present: &Pointer) -> Pointer {
    Pointer { epoch: Epoch { generation: present.epoch.generation + 1, number: 0 }, holder: None }
}

#[cfg(test)]
mod tests {
    use super::{super::Holder, *};

    #[test]
    fn a_reset_is_later_than_whatever_was_and_names_nobody() {
        let holder = Holder { id: "redis-1".into(), run_id: None, address: "10.0.0.8:6379".into() };
        let present = Pointer { epoch: Epoch { generation: 2, number: 9 }, holder: Some(holder) };
        assert_eq!(present.to_string(), "redis-1 (10.0.0.8:6379) became master in epoch 9 of generation 2");
        let next = anew(&present);
        assert!(next.epoch > present.epoch && next.holder.is_none());
        assert_eq!(next.to_string(), "nobody is master in epoch 0 of generation 3");
        assert_eq!(Pointer::parse(&next.show()), Ok(next), "registers read it");
    }
}
