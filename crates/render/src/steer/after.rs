//! What is done once the file is in its place, or is not: HAProxy is brought to run it, or back to what it ran.

use super::{CANNOT_BE_STEERED, Course, DID_NOT_RUN, Helm, Policy, can, obeyed};
use crate::{
    apply::{Done, Marks, Trouble},
    haproxy::{
        check::CheckError,
        master::Reload,
        runtime::Runtime,
        sessions::Server,
        socket::SocketError,
        verdict::{Verdict, verdict},
    },
};
use daemon::clock::unix_millis;

impl Helm {
    /// The text did not come into use (for this trouble, or none if that was not tried): back to what ran before.
    pub async fn back(&mut self, course: Course, text: &str, trouble: Option<&Trouble>) {
        let unsound = matches!(trouble, Some(Trouble::Check(CheckError::Unsound(_))));
        let back = match &course {
            // What could not be written, or checked, is none the less what should run.
            Course::Steered { orders: 1.., before, .. } if unsound => self.steer_back(text, before).await,
            Course::Reload { ahead, .. } if !ahead.is_empty() => match trouble {
                // HAProxy may well run the new text.
                Some(Trouble::Unreachable(_)) => return,
                _ => self.restore(ahead).await,
            },
            _ => return,
        };
        match back {
            // A failed reload leaves a doubt of its own.
            Ok(()) if self.certain && trouble.is_none_or(|trouble| !trouble.is_of_the_reader()) => {
                self.settle()
            }
            Ok(()) => {}
            Err(why) => self.warn(&format!("HAProxy could not be steered back: {why}")),
        }
    }

    async fn restore(&mut self, ahead: &[(Server, &'static str)]) -> Result<(), String> {
        let (runtime, _) = Runtime::find(&self.door).await.map_err(|error| error.to_string())?;
        self.going.retain(|server| !ahead.iter().any(|(back, _)| back == server));
        let now = runtime.turn(ahead).await.map_err(|error| error.to_string())?;
        if obeyed(&now, ahead) { Ok(()) } else { Err(now.said) }
    }

    async fn steer_back(&mut self, from: &str, to: &str) -> Result<(), String> {
        let (runtime, look) = Runtime::find(&self.door).await.map_err(|error| error.to_string())?;
        let (can, live, next) = (can(&look), self.known.configuration(from), self.known.configuration(to));
        match verdict(&live, &next, &look.running, &can) {
            Verdict::Same => {}
            Verdict::Steer(orders) => _ = self.switch(&runtime, orders, (&live, &next), &look, &can).await?,
            Verdict::Reload(why) | Verdict::Refuse(why) => return Err(why),
        }
        self.known.live = Some((look.pid, to.to_owned()));
        Ok(())
    }

    /// Brings a text into use whose file is in its place: the worker that was steered still serves, or HAProxy is
    /// reloaded.
    pub async fn bring(&self, course: &Course, marks: &mut Marks) -> Result<Done, Trouble> {
        match course {
            Course::Settled => return Ok(Done::Unchanged),
            Course::Steered { pid, orders, .. } => {
                let found = Runtime::find(&self.door).await;
                if found.is_ok_and(|(_, look)| look.pid == *pid) {
                    marks.applied = marks.steered.or(marks.renamed);
                    return Ok(match (orders, marks.renamed) {
                        (0, None) => Done::Unchanged,
                        (0, Some(_)) => Done::Written,
                        _ => Done::Steered,
                    });
                }
            }
            Course::Same => {
                marks.applied = marks.renamed;
                return Ok(Done::Written);
            }
            Course::Reload { why, .. } if may_have_started(why, marks) => {
                match self.door.started().await {
                    // It has started since, and read the file that is in its place.
                    Ok(started) if self.destination.is_read_by(Some(started)) => return Ok(Done::Unchanged),
                    Err(SocketError::Nobody(_)) => return Ok(Done::NotRunning),
                    _ => {}
                }
            }
            Course::Reload { .. } => {}
        }
        if self.policy == Policy::Never {
            return match self.door.look().await {
                Ok(_) => Ok(Done::Held),
                Err(SocketError::Nobody(_)) => Ok(Done::NotRunning),
                Err(error) => Err(Trouble::Unreachable(error.to_string())),
            };
        }
        let done = match self.door.reload(self.destination.path()).await {
            Reload::Done => Done::Reloaded,
            Reload::NotRunning => return Ok(Done::NotRunning),
            Reload::Unreachable(why) => return Err(Trouble::Unreachable(why)),
            Reload::Failed(why) => return Err(Trouble::Reload { why, back: String::new() }),
        };
        marks.applied = Some(unix_millis());
        Ok(done)
    }

    /// HAProxy runs what the file says.
    pub fn settle(&mut self) {
        let file = self.file().ok().flatten();
        _ = self.known.live.take_if(|(_, text)| Some(&*text) != file.as_ref());
        self.ahead.clear();
        if let Err(error) = self.destination.settle() {
            self.warn(&error);
        }
    }

    /// HAProxy's reload failed: puts the file back that it runs. Empty when there was none before.
    pub fn put_back(&self) -> String {
        match self.destination.put_back() {
            Ok(true) => ", the previous file is back in place".into(),
            Ok(false) => String::new(),
            Err(error) => format!(" ({error})"),
        }
    }
}

/// Whether HAProxy, which was not seen for this reason, may have read the file that is in its place: one that hangs began
/// before a file that was placed just now.
fn may_have_started(why: &str, marks: &Marks) -> bool {
    why == DID_NOT_RUN || (why.starts_with(CANNOT_BE_STEERED) && marks.renamed.is_none())
}
