//! What is known of a worker: the text that it runs, what it holds of the files that this names, and the servers that
//! left it and may still be there.

use crate::haproxy::{
    capability::Capabilities,
    contents::{contents, read_at},
    order::Order,
    outline::{self, Recent},
    runtime::Look,
    sessions::Server,
    verdict::{Configuration, Files, says_the_same},
};
use std::collections::{BTreeMap, BTreeSet};

/// What is known, each with the worker's process id.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What a worker is known to run, whether the file says that or not.
    pub live: Option<(u32, String)>,
    /// What the files hold that the configuration names, as the worker read them or was told.
    pub files: Option<(u32, Files)>,
    /// What they held before the last reload that was needed.
    pub before: Files,
    /// What the servers were that were steered out of use in a worker, and may still be there.
    pub left: (u32, BTreeMap<Server, Vec<String>>),
    /// The texts that were compared last.
    pub recent: Recent,
}

impl Known {
    /// What the worker holds of the files that its configuration names.
    pub(super) fn holds(&mut self, live: &outline::Outline, look: &Look) -> Files {
        let known = self.files.take().filter(|(pid, _)| *pid == look.pid);
        let known = known.unwrap_or_else(|| (look.pid, read_at(live, look.started, &self.before)));
        self.files.insert(known).1.clone()
    }

    /// Whether a worker is known to run something else than the file.
    pub(super) fn is_ahead(&self, file: &str) -> bool {
        self.live.as_ref().is_some_and(|(_, text)| text != file)
    }

    /// Whether a file that the text names holds something else than the worker knows.
    pub(super) fn other_files(&self, next: &Configuration) -> bool {
        self.files.as_ref().is_some_and(|(_, files)| {
            next.files.iter().any(|(name, is)| files.get(name).is_some_and(|was| was != is))
        })
    }

    /// A text with the files that it names, as they are now.
    pub(super) fn configuration(&self, text: &str) -> Configuration {
        let outline = self.recent.outline(text);
        Configuration { files: contents(&outline), outline }
    }

    /// Whether a text says what the file says. It is not known if the file names others whose content no worker was
    /// looked at for.
    pub(super) fn says_the_same(&self, file: &str, next: &Configuration) -> bool {
        let outline = self.recent.outline(file);
        let files = self.files.as_ref().map(|(_, files)| files.clone());
        let known = files.is_some() || next.files.is_empty();
        known && says_the_same(&Configuration { outline, files: files.unwrap_or_default() }, next)
    }

    /// The proxies of a text whose sessions are cut.
    pub(super) fn cutting(&self, text: &str) -> BTreeSet<String> {
        self.recent.outline(text).cutting().clone()
    }

    /// What the worker runs: what was steered there, or the file if it surely read that; else nothing is certain.
    pub(super) fn runs(&mut self, look: &Look, file: &str, is_read: impl FnOnce() -> bool) -> Option<String> {
        if let Some((_, text)) = self.live.take_if(|(pid, _)| *pid == look.pid) {
            self.live = Some((look.pid, text.clone()));
            return Some(text);
        }
        self.live = None;
        is_read().then(|| file.to_owned())
    }

    /// Remembers what the servers were that left: one that comes back before its last connection ended is still there.
    pub(super) fn remember(
        &mut self,
        pid: u32,
        before: &Configuration,
        next: &Configuration,
        can: &Capabilities,
    ) {
        if self.left.0 != pid {
            self.left = (pid, BTreeMap::new());
        }
        let name = |server: &outline::Server| (server.proxy.clone(), server.name.clone());
        let gone =
            before.outline.servers().filter_map(|server| Some((name(server), server.to_add(can).ok()?)));
        self.left.1.extend(gone);
        for server in next.outline.servers() {
            self.left.1.remove(&name(server));
        }
    }

    /// The servers that come back as what they were, to a worker that still has them: they need not be made anew.
    pub(super) fn revived(&self, orders: &[Order], look: &Look) -> BTreeSet<Server> {
        let same = |order: &Order| {
            let Order::Add { server, address: (ip, port), settings } = order else { return None };
            let runs = look.running.servers.get(server)?;
            let (words, id) = match settings.as_slice() {
                [words @ .., id, number] if id == "id" => (words, Some(number)),
                words => (words, None),
            };
            let was = self.left.1.get(server).filter(|_| self.left.0 == look.pid)?;
            let same = was == words
                && (runs.ip, runs.port) == (Some(*ip), *port)
                && id.is_none_or(|id| *id == runs.id.to_string());
            same.then(|| server.clone())
        };
        orders.iter().filter_map(same).collect()
    }
}
