//! Puts a text in its place, and has HAProxy follow, or the command run.

use super::Keeper;
use crate::{
    again::Again,
    apply::{Done, Marks, Placed, Target, Trouble},
    follow::{Placing, Wish},
    gate::Passed,
    parts,
};
use daemon::{exit::Exit, shutdown::Leaving};
use std::{
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

/// Steering goes before the check, which would take the processor from it. It takes a millisecond or two; that of a
/// thousand servers takes longer, and HAProxy answers all the while. One that hangs is not waited for.
pub(super) const HEAD_START: Duration = Duration::from_millis(50);

/// What became of a text that was to be put in its place.
enum Turn {
    /// It had its turn, or waits for it.
    Ended(Option<Exit>),
    /// A later one is there.
    Superseded(String, Marks),
}

impl Keeper {
    /// Puts a text into its place and has HAProxy follow, or the command run, unless its turn has not come again. No
    /// exit when told to leave before, or while HAProxy is under way with it. A text that comes meanwhile is next.
    pub(super) async fn apply(
        &mut self,
        mut text: String,
        mut marks: Marks,
        leaving: &mut Leaving,
    ) -> Option<Exit> {
        loop {
            match self.try_to_apply(&text, marks, leaving).await {
                Turn::Ended(exit) => return exit,
                Turn::Superseded(later, its_marks) => (text, marks) = (later, its_marks),
            }
        }
    }

    async fn try_to_apply(&mut self, text: &str, mut marks: Marks, leaving: &mut Leaving) -> Turn {
        if let Some(again) = self.memory.again.as_ref().filter(|again| again.forbids(text, Instant::now())) {
            self.memory.wake = again.due();
            _ = self.report.is_wrong(&again.error);
            return Turn::Ended(Some(Exit::Failed));
        }
        let told = self.memory.skipped.as_ref().map(|skipped| Arc::clone(&skipped.text));
        let wanted = text;
        let Passed { text, held } = match self.gate.pass(wanted, told, &self.target.destination) {
            Ok(passed) => passed,
            Err(trouble) => return Turn::Ended(Some(self.stumble(&trouble, wanted, marks))),
        };
        if self.fleet.is_away() {
            self.memory.behind = true;
            return Turn::Ended(None);
        }
        if self.fleet.forbids(&text, Instant::now()) {
            return Turn::Ended(Some(Exit::Failed));
        }
        let again = self.memory.again.as_ref().is_some_and(|again| again.is_about(&text));
        let (file, placing) = watch::channel(Placing::Awaited);
        self.steer(&text, marks, again, placing).await;
        let (target, hurries) = (self.target.clone(), self.hurries());
        let prepared = tokio::select! {
            biased;
            prepared = target.prepare(&text, &mut marks) => prepared,
            () = leaving.signaled() => return Turn::Ended(None),
            (later, marks) = self.later(wanted), if hurries => {
                self.skip(text, &file).await;
                return Turn::Superseded(later, marks);
            }
        };
        Turn::Ended(match prepared.and_then(|prepared| Target::place(prepared, &mut marks)) {
            Ok(placed) => self.settle(placed, text, (marks, held), &file).await,
            Err(trouble) => {
                let trouble = Arc::new(trouble);
                file.send_replace(Placing::Refused(Arc::clone(&trouble)));
                Some(self.stumble(&trouble, &text, marks))
            }
        })
    }

    /// Sends each HAProxy that is free after a text, and gives it a moment to be steered, from each answer to the next.
    async fn steer(&mut self, text: &Arc<str>, marks: Marks, again: bool, file: watch::Receiver<Placing>) {
        let (steering, mut steered) = mpsc::channel(1);
        self.fleet.follow(&Wish { text: Arc::clone(text), marks, again, file, steering });
        if !self.fleet.is_empty() {
            while let Ok(Some(())) = timeout(HEAD_START, steered.recv()).await {}
        }
    }

    /// The text is in its place: the rest is for HAProxy, or the command.
    async fn settle(
        &mut self,
        placed: Placed,
        text: Arc<str>,
        (mut marks, held): (Marks, Option<String>),
        file: &watch::Sender<Placing>,
    ) -> Option<Exit> {
        self.memory.again = None;
        if !self.fleet.is_empty() {
            self.report.placed(marks, held);
            (self.memory.placed, self.memory.skipped) = (Some(text), None);
            file.send_replace(Placing::InPlace(marks));
            return None;
        }
        let ran = self.target.run(placed, &mut marks).await;
        self.awaited = None;
        match ran {
            Ok(done) => {
                self.report.came(done, marks);
                if done != Done::Unchanged {
                    self.tell_readers();
                }
                Some(Exit::Done)
            }
            Err(trouble) => Some(self.stumble(&trouble, &text, marks)),
        }
    }

    /// HAProxy may read this file beside its configuration: it is another one, or its first text failed.
    pub(super) fn tell_readers(&self) {
        if self.fleet.is_empty() {
            self.readers.iter().for_each(|reader| reader.notify_one());
        }
    }

    /// The text did not get into its place, or its command failed.
    fn stumble(&mut self, trouble: &Trouble, text: &str, marks: Marks) -> Exit {
        let (before, now) = (self.memory.again.take(), Instant::now());
        let again = Again::after(before, text, trouble.to_string(), trouble.again(), now);
        self.memory.wake = again.due();
        self.memory.again = Some(again);
        self.report.stumbled(trouble, marks);
        Exit::Failed
    }

    /// Prints a new text; nobody who reads any more is the end of it.
    pub(super) fn print(&mut self, text: String) -> Option<Exit> {
        self.awaited = None;
        self.report.printed();
        if self.memory.printed.as_ref() == Some(&text) {
            return Some(Exit::Done);
        }
        let mut out = io::stdout().lock();
        let path = self.target.destination.path();
        let files = match self.target.folder {
            Some(_) => parts::split(&text).into_iter().map(|(name, text)| (path.join(name), text)).collect(),
            None => vec![(path.to_owned(), text.as_str())],
        };
        let each = |(path, text): &(PathBuf, &str)| {
            writeln!(out, "> {}", path.display()).and_then(|()| out.write_all(&octets::bytes(text)))
        };
        let printed = files.iter().try_for_each(each).and_then(|()| out.flush());
        if let Err(error) = printed.as_ref().map_err(io::Error::kind)
            && error != io::ErrorKind::BrokenPipe
        {
            self.report.failed("failed", Marks::default(), "the text cannot be printed");
            return Some(Exit::Failed);
        }
        self.memory.printed = Some(text);
        Some(Exit::Done)
    }
}
