//! A later text takes the turn of an earlier one, whose check is given up: what HAProxy is told must not wait until that has
//! ended. What HAProxy was told is put in its place all the same, where the later text cannot be used.

use super::{Keeper, at, place::HEAD_START};
use crate::{apply::Marks, follow::Placing};
use daemon::shutdown::Leaving;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// For so long, checks are given up for later texts; the next one is waited for, or the file would never be written.
const HURRY: Duration = Duration::from_secs(1);

/// A text that HAProxy was told, and whose check was given up for a later one.
pub(super) struct Skipped {
    /// The text.
    pub text: Arc<str>,
    /// The first time in a row.
    since: Instant,
}

impl Keeper {
    /// Whether a check is given up for a later text: what HAProxy is told must not wait until it has ended.
    pub(super) fn hurries(&self) -> bool {
        let skipped = self.memory.skipped.as_ref();
        let in_time = skipped.map_or(self.memory.placed.is_some(), |skipped| skipped.since.elapsed() < HURRY);
        in_time && !self.fleet.is_empty() && !self.once
    }

    /// The text that comes after this one, as soon as there is one. A template that cannot be filled now is filled again
    /// once this one has had its turn.
    pub(super) async fn later(&mut self, text: &str) -> (String, Marks) {
        loop {
            tokio::select! {
                Ok(()) = self.facts.changed() => {
                    self.hear();
                }
                () = at(self.memory.quiet.due()) => match self.refill() {
                    Ok((later, marks)) if later != text => return (later, marks),
                    Ok(_) => {}
                    Err(_) => {
                        self.memory.wake = Some(Instant::now());
                        return std::future::pending().await;
                    }
                },
                else => return std::future::pending().await,
            }
        }
    }

    /// Gives up the check of a text for a later one. An HAProxy that hangs with it is not waited for.
    pub(super) async fn skip(&mut self, text: Arc<str>, file: &watch::Sender<Placing>) {
        file.send_replace(Placing::Superseded);
        let since = self.memory.skipped.as_ref().map_or_else(Instant::now, |skipped| skipped.since);
        (self.memory.skipped, self.memory.placed) = (Some(Skipped { text, since }), None);
        while !self.fleet.is_home()
            && let Ok((position, follower, landed)) = timeout(HEAD_START, self.fleet.landed()).await
        {
            _ = self.land(position, follower, landed);
        }
    }

    /// Puts the text in its place that HAProxy was told, where no later one could be used.
    pub(super) async fn catch_up(&mut self, leaving: &mut Leaving) {
        if self.fleet.is_away() {
            self.memory.behind |= self.memory.skipped.is_some();
        } else if let Some(skipped) = self.memory.skipped.take() {
            _ = self.apply(skipped.text.to_string(), Marks::default(), leaving).await;
        }
    }
}
