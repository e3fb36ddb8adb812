//! Follows what others see of this instance in the catalog, and holds it against what the agent says.

use crate::{
    beat::Beats,
    drift::{Drift, GRACE, compare},
    reconcile::Actual,
};
use consul::Watched;
use daemon::clock::unix_millis;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Compares whenever one side changes, until the sender of `actual` is gone.
pub async fn read_back(
    id: &str,
    check: &str,
    mut catalog: watch::Receiver<Watched>,
    mut actual: watch::Receiver<Actual>,
    mut beats: watch::Receiver<Beats>,
    drift: &watch::Sender<Drift>,
) {
    let mut told = false;
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
        let next = found.after(&drift.borrow(), (now, unix_millis()));
        told = tell(id, &next, told, now);
        let grace = next.since.map(|(since, _)| since + GRACE).filter(|_| !told);
        drift.send_if_modified(|known| {
            let news = *known != next;
            *known = next;
            news
        });
        tokio::select! {
            Ok(()) = catalog.changed() => {}
            changed = actual.changed() => if changed.is_err() { return },
            Ok(()) = beats.changed() => {}
            () = sleep_until(grace.unwrap_or(now)), if grace.is_some() => {}
        }
    }
}

/// Warns once of a lie that lasts; true while it does.
fn tell(id: &str, drift: &Drift, told: bool, now: Instant) -> bool {
    let lasts = drift.lasts(now);
    let shown = |says: &Option<String>| says.clone().unwrap_or_else(|| "nothing".into());
    if lasts && !told {
        let (agent, catalog) = (shown(&drift.agent_says), shown(&drift.catalog_says));
        let hint = drift.hint.as_deref().unwrap_or_default();
        tracing::warn!(
            id,
            agent_says = agent,
            catalog_says = catalog,
            hint,
            "others do not see what the agent says"
        );
    } else if told && !lasts {
        tracing::info!(
            id,
            state = drift.state.word(),
            "the catalog says what the agent says, or is not known"
        );
    }
    lasts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        drift::Sync,
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
        tokio::spawn(async move { read_back("redis-0", "c", rows, is, said, &tell).await });

        actual.send_modify(|actual| actual.known = held(&entry(&desired(&me(), &seen(Role::Master)))));
        catalog.send_modify(|catalog| catalog.value = Some(Arc::new(json!([]))));
        let began = drift.wait_for(|drift| drift.state == Sync::Missing).await.unwrap().since.unwrap().0;
        assert_eq!(began, Instant::now());

        catalog.send_modify(|catalog| catalog.trouble = Some("down".into()));
        let unknown = drift.wait_for(|drift| drift.state == Sync::Unknown).await.unwrap().clone();
        assert_eq!((unknown.since, unknown.hint.as_deref()), (None, Some("down")));
        drop(beats);
    }
}
