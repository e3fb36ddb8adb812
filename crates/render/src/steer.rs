//! Steers HAProxy ahead of a text whose check and reload would take too long for the clients of a server that it
//! takes out; and back, when the text does not come into use.

use crate::{
    apply::{Marks, Reader, Target, Trouble},
    haproxy::{
        ahead::{leaving, takes_out},
        runtime::Runtime,
        sessions::Server,
    },
};
use daemon::clock::unix_millis;

/// What was steered ahead of a text.
#[derive(Debug, Default)]
pub struct Ahead {
    /// Each server with the state that it was in.
    before: Vec<(Server, &'static str)>,
    /// The file whose servers they are, and which was certainly in use.
    certain: Option<Vec<u8>>,
}

impl Ahead {
    /// Whether anything was steered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.before.is_empty()
    }
}

impl Target {
    /// Points new traffic away from servers that `text` takes out of a proxy that cuts, and cuts their sessions. If
    /// this fails, the reload still does its work.
    pub async fn ahead(&self, text: &str, marks: &mut Marks) -> Ahead {
        let Reader::Haproxy { master, .. } = &self.reader else { return Ahead::default() };
        let Ok(Some(live)) = self.destination.read() else { return Ahead::default() };
        let present = String::from_utf8_lossy(&live);
        if !takes_out(&present, text) {
            return Ahead::default();
        }
        let runtime = Runtime::of(master);
        let leaving = match runtime.servers().await {
            Ok(worker) => leaving(&worker, &present, text),
            Err(error) => return self.cannot(&error),
        };
        if leaving.is_empty() {
            return Ahead::default();
        }
        // From here on the worker does not run what the file says: a next run must know, if this one is killed.
        let certain = match self.destination.doubt() {
            Ok(certain) => certain.then_some(live),
            Err(error) => return self.cannot(&error),
        };
        let out: Vec<_> = leaving.keys().map(|server| (server.clone(), "maint")).collect();
        match runtime.turn(&out).await {
            Ok(now) if leaving.keys().all(|server| now.get(server).is_none_or(|seen| seen.is_out())) => {
                marks.steered = Some(unix_millis());
            }
            Ok(_) => _ = self.cannot(&"HAProxy did not obey; has the socket `level admin`?"),
            Err(error) => _ = self.cannot(&error),
        }
        let before = leaving.into_iter().map(|(server, seen)| (server, seen.state())).collect();
        Ahead { before, certain }
    }

    /// The text did not come into use (for this trouble, or none if nothing was tried): the servers serve again.
    pub async fn undo(&self, ahead: Ahead, trouble: Option<&Trouble>) {
        let Reader::Haproxy { master, .. } = &self.reader else { return };
        if ahead.is_empty() || matches!(trouble, Some(Trouble::Unreachable(_))) {
            return;
        }
        let undone = Runtime::of(master).turn(&ahead.before).await;
        let undone = undone.map(|now| {
            ahead
                .before
                .iter()
                .all(|(server, state)| now.get(server).is_none_or(|seen| seen.state() == *state))
        });
        match undone {
            Ok(true) if self.destination.read().is_ok_and(|text| text == ahead.certain) => {
                // A failed reload leaves a doubt of its own.
                if trouble.is_none_or(|trouble| !trouble.is_of_the_reader())
                    && let Err(error) = self.destination.settle()
                {
                    tracing::warn!("{error}");
                }
            }
            Ok(true) => {}
            Ok(false) => _ = self.cannot(&"HAProxy did not put its servers back to work"),
            Err(error) => _ = self.cannot(&error),
        }
    }

    fn cannot(&self, why: &dyn std::fmt::Display) -> Ahead {
        let destination = self.destination.path().display().to_string();
        tracing::warn!(destination, "could not steer HAProxy ahead of its reload: {why}");
        Ahead::default()
    }
}
