//! What a text has to pass before anything is done with it for HAProxy's sake: the files that it names exist, it is none
//! that must not reach HAProxy, HAProxy could listen where it says, and it leaves each backend enough servers.

use crate::{
    apply::Trouble,
    files::Destination,
    haproxy::{
        enough::{Enough, TooFew},
        outline::Recent,
        preflight::preflight,
        verdict::refusal,
    },
    status::{State, TemplateStatus},
};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::watch;

/// The gate of one template. That of one without an HAProxy is open.
#[derive(Debug, Default)]
pub struct Gate {
    /// What each HAProxy wants its backends to be left with.
    enough: Vec<Enough>,
    /// The files of the templates that HAProxy may read beside its configuration, and how these templates fare.
    pub beside: Arc<[(PathBuf, watch::Receiver<TemplateStatus>)]>,
    /// The texts that were read last.
    pub recent: Recent,
}

/// The text that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// This one, or that of before.
    pub text: Arc<str>,
    /// Why it is that of before.
    pub held: Option<String>,
}

impl Gate {
    /// For HAProxies that want this.
    pub fn new(enough: impl IntoIterator<Item = Enough>) -> Self {
        Gate { enough: enough.into_iter().collect(), ..Gate::default() }
    }

    /// The files that a text names and that do not exist, since another template has yet to write them: HAProxy would
    /// refuse the text.
    pub fn unwritten(&mut self, text: &str) -> Vec<String> {
        if self.enough.is_empty() || self.beside.is_empty() {
            return vec![];
        }
        let outline = self.recent.outline(text);
        let named = outline.files();
        let due = self.beside.iter().filter(|(path, status)| {
            path.to_str().is_some_and(|path| named.contains_key(path))
                && status.borrow().state == State::Waiting
                && !path.exists()
        });
        due.map(|(path, _)| format!("{} (another template writes it)", path.display())).collect()
    }

    /// The text that may be used in the place of what HAProxy was `told` last, if the file does not say that yet; else of
    /// what the file says.
    pub fn pass(
        &mut self,
        text: &str,
        told: Option<Arc<str>>,
        destination: &Destination,
    ) -> Result<Passed, Trouble> {
        if self.enough.is_empty() {
            return Ok(Passed { text: text.into(), held: None });
        }
        let next = self.recent.outline(text);
        if let Some(why) = refusal(&next) {
            return Err(Trouble::Refused(why));
        }
        let before = match told {
            Some(told) => told,
            None => octets::text(&destination.read()?.unwrap_or_default()).into(),
        };
        let had = self.recent.outline(&before);
        // What runs is not known while a change waits to be in use.
        let runs = Some(&had).filter(|_| !destination.is_pending());
        if let Some(why) = runs.and_then(|runs| preflight(runs, &next, destination.path())) {
            return Err(Trouble::Refused(why));
        }
        let mut held = None;
        for misses in self.enough.iter().filter_map(|enough| enough.misses(&had, &next)) {
            match misses {
                TooFew::Fail(why) => return Err(Trouble::Refused(why)),
                TooFew::Keep(why) => held = Some(why),
            }
        }
        Ok(Passed { text: if held.is_some() { before } else { text.into() }, held })
    }
}
