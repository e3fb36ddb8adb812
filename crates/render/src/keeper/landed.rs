//! What HAProxies come back with.

use super::Keeper;
use crate::{
    apply::{Done, Marks, Trouble},
    follow::{Follower, Landed},
};
use daemon::exit::Exit;
use std::time::Duration;
use tokio::time::Instant;

/// After a change, and while servers that left wait for their last connections.
const LOOK_SOON: Duration = Duration::from_secs(1);

impl Keeper {
    /// One HAProxy ended what it did.
    pub(super) fn land(&mut self, position: usize, mut follower: Follower, landed: Landed) -> Option<Exit> {
        match landed {
            Landed::Came(came, marks) => {
                self.memory.ended = true;
                self.came(position, &mut follower, came, marks);
            }
            Landed::Waits | Landed::Withdrawn | Landed::Looked(None) => {}
            Landed::Looked(Some(looked)) => {
                follower.report.looked_after(&looked);
                if looked.other_files {
                    self.memory.wake = Some(Instant::now());
                }
                if looked.leaving > 0 {
                    self.look_within(LOOK_SOON);
                }
                if follower.needs_mending(&looked) {
                    self.fleet.mend(position, follower, looked.drift);
                    return None;
                }
            }
            Landed::Mended(Ok(done), marks) => {
                if done == Done::Reloaded && self.memory.placed.as_ref() == Some(&follower.text) {
                    follower.helm.settle();
                }
                follower.report.came(done, marks);
            }
            Landed::Mended(Err(trouble), _) => tracing::warn!("{trouble}"),
        }
        let late = self.memory.placed.as_ref().is_some_and(|placed| *placed != follower.text);
        if std::mem::take(&mut self.memory.behind) || late {
            self.memory.wake = Some(Instant::now());
        }
        self.fleet.moor(position, follower);
        let failed = self.fleet.free().any(|follower| follower.again.is_some());
        (self.memory.ended && self.fleet.is_home()).then_some(if failed { Exit::Failed } else { Exit::Done })
    }

    /// A text came into use in one HAProxy, or did not.
    fn came(&mut self, position: usize, follower: &mut Follower, came: Result<Done, Trouble>, marks: Marks) {
        // What a text does in one HAProxy does not get better by our being unready for the others.
        self.awaited = None;
        match came {
            Ok(done) => {
                // A later text may be in the file by now.
                let is_in_place = self.memory.placed.as_ref() == Some(&follower.text);
                if is_in_place && !matches!(done, Done::Held | Done::NotRunning) {
                    follower.helm.settle();
                }
                follower.succeed(done, marks);
                // The first look comes at once: an earlier run may have been killed.
                let first = self.memory.look.is_none();
                let overruled = done == Done::Reloaded && follower.helm.is_overruled(&follower.text);
                self.look_within(if first || overruled { Duration::ZERO } else { LOOK_SOON });
            }
            Err(Trouble::Reload { why, .. }) => {
                let back = if self.fleet.another_runs(position, &follower.text) {
                    "; the new file stays, another HAProxy may run it".into()
                } else {
                    self.memory.placed = None;
                    follower.helm.put_back()
                };
                follower.stumble(&Trouble::Reload { why, back }, marks);
            }
            Err(trouble) => follower.stumble(&trouble, marks),
        }
    }

    fn look_within(&mut self, pause: Duration) {
        let soon = Instant::now() + pause;
        self.memory.look = Some(self.memory.look.map_or(soon, |look| look.min(soon)));
    }
}
