//! Follows what others see of this instance in the catalog, and holds it against what the agent says.

use crate::{
    agent::Agent,
    beat::Beats,
    diagnosis::{Cause, cause},
    drift::{Drift, GRACE, compare},
    reconcile::Actual,
};
use consul::Watched;
use daemon::clock::unix_millis;
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// How often it is found out anew why the catalog lies: somebody is mending it.
const AGAIN: Duration = Duration::from_secs(5);

/// Compares whenever one side changes, until the sender of `actual` is gone, and asks `agent` for the reason of what
/// lasts.
pub async fn read_back(
    agent: &impl Agent,
    (service, id): (&str, &str),
    check: &str,
    mut catalog: watch::Receiver<Watched>,
    mut actual: watch::Receiver<Actual>,
    mut beats: watch::Receiver<Beats>,
    drift: &watch::Sender<Drift>,
) {
    let mut told = Told::default();
    let mut ask = None;
    loop {
        let found = {
            let (seen, is, said) =
                (catalog.borrow_and_update(), actual.borrow_and_update(), beats.borrow_and_update());
            match &seen.trouble {
                Some(trouble) => Drift { hint: Some(trouble.clone()), ..Drift::default() },
                None => compare(check, &is.known, said.said, seen.value.as_deref()),
            }
        };
        let now = Instant::now();
        let mut next = found.after(&drift.borrow(), (now, unix_millis()));
        if next.lasts(now) && ask.is_none_or(|ask| now >= ask) {
            let node = next.rows.first().map(|row| row.node.as_str());
            let witness = agent.witness(service, node).await;
            let lasted = next.since.map_or(Duration::ZERO, |(since, _)| since.elapsed());
            let why = cause(&next.rows, &witness, lasted);
            next = next.explained(why, service);
            ask = Some(Instant::now() + AGAIN);
        }
        told.tell(id, &next, now);
        let wake = next.since.map(|(since, _)| ask.map_or(since + GRACE, |ask| ask.max(since + GRACE)));
        drift.send_if_modified(|known| {
            let news = *known != next;
            *known = next;
            news
        });
        tokio::select! {
            Ok(()) = catalog.changed() => {}
            changed = actual.changed() => if changed.is_err() { return },
            Ok(()) = beats.changed() => {}
            () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
        }
    }
}

/// What the log was told, so that it is told once.
#[derive(Default)]
struct Told {
    lasts: bool,
    cause: Option<Cause>,
}

impl Told {
    fn tell(&mut self, id: &str, drift: &Drift, now: Instant) {
        let before = std::mem::replace(self, Told { lasts: drift.lasts(now), cause: drift.cause.clone() });
        let says = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".into());
        let hint = drift.hint.as_deref().unwrap_or_default();
        let cause = drift.cause.as_ref().map(Cause::word);
        if self.lasts && (!before.lasts || self.cause != before.cause) {
            let (agent, catalog) = (says(&drift.agent_says), says(&drift.catalog_says));
            let since = drift.since.map_or(0, |(since, _)| (now - since).as_secs());
            tracing::warn!(id, cause, hint, "agent says {agent}, catalog says {catalog} since {since} s");
        } else if self.cause.is_some() && self.cause != before.cause {
            tracing::warn!(id, cause, hint, "the catalog shows this entry more than once");
        } else if before.lasts && !self.lasts {
            let state = drift.state.word();
            tracing::info!(id, state, "the catalog says what the agent says, or is not known");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnosis::Witness,
        drift::Sync,
        memory::Memory,
        plan::{
            desired,
            tests::{entry, held, me, seen},
        },
    };
    use consul::Role;
    use serde_json::json;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn a_catalog_that_lies_is_seen_and_a_catalog_out_of_reach_is_not_called_a_liar() {
        let (catalog, rows) = watch::channel(Watched::default());
        let (actual, is) = watch::channel(Actual::default());
        let (beats, said) = watch::channel(Beats::default());
        let (tell, mut drift) = watch::channel(Drift::default());
        let agent = Memory::default();
        agent.witness(Witness { may_write: Some(false), ..Witness::default() });
        tokio::spawn(
            async move { read_back(&agent, ("redis", "redis-0"), "c", rows, is, said, &tell).await },
        );

        actual.send_modify(|actual| actual.known = held(&entry(&desired(&me(), &seen(Role::Master)))));
        catalog.send_modify(|catalog| catalog.value = Some(Arc::new(json!([]))));
        let began = drift.wait_for(|drift| drift.state == Sync::Missing).await.unwrap().since.unwrap().0;
        assert_eq!(began, Instant::now());
        let named = drift.wait_for(|drift| drift.cause.is_some()).await.unwrap().clone();
        assert_eq!(
            (named.cause, began.elapsed()),
            (Some(Cause::LostRight), GRACE),
            "a reason is looked for once it lasts"
        );

        catalog.send_modify(|catalog| catalog.trouble = Some("down".into()));
        let unknown = drift.wait_for(|drift| drift.state == Sync::Unknown).await.unwrap().clone();
        assert_eq!((unknown.since, unknown.hint.as_deref()), (None, Some("down")));
        drop(beats);
    }
}
