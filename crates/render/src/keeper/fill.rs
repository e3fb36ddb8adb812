//! Fills the template, and tells what it asks and lacks.

use super::{Keeper, Quiet};
use crate::{apply::Marks, facts::Facts, ledger::Followed, template::Draft};
use consul::Query;
use daemon::{clock::unix_millis, exit::Exit, shutdown::Leaving};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How soon an operator's reset is seen while a master is refused.
const RESET: Duration = Duration::from_secs(2);

impl Keeper {
    /// Fills the template and brings the text into use; an exit when the first text is done with.
    pub(super) async fn act(&mut self, leaving: &mut Leaving) -> Option<Exit> {
        self.memory.wake = None;
        match self.refill() {
            Err(exit) => exit,
            Ok((text, _)) if self.dry => self.print(text),
            Ok((text, marks)) => self.apply(text, marks, leaving).await,
        }
    }

    /// Fills the template with what is known now; the exit where that does not make a text.
    pub(super) fn refill(&mut self) -> Result<(String, Marks), Option<Exit>> {
        self.memory.quiet = Quiet::default();
        let facts = self.facts.borrow_and_update().clone();
        let mut draft = self.fill(&facts);
        let mut marks = Marks { rendered: Some(unix_millis()), ..Marks::default() };
        let asked = self.publish(&mut draft);
        self.memory.seen = moments(&asked, &facts);
        if !draft.missing.is_empty() {
            return Err(None);
        }
        if draft.trail.former {
            self.memory.wake = Some(Instant::now() + RESET);
        }
        let newest = self.memory.seen.iter().flatten().max();
        marks.heard = newest.map(|heard| unix_millis() - heard.elapsed().as_secs_f64() * 1e3);
        self.memory.unfilled = draft.text.is_err();
        draft.text.map(|text| (text, marks)).map_err(|error| {
            self.report.failed("refused", Marks::default(), &error.to_string());
            Some(Exit::Failed)
        })
    }

    /// Fills the template, over the epochs that were followed so far. The file is the memory of these, so that an operator
    /// can reset it; one that cannot be read protects nobody, and must not take the master away either.
    fn fill(&mut self, facts: &Facts) -> Draft {
        let (followed, unread) = match self.ledger.read() {
            Ok(followed) => (followed, None),
            Err(why) => (Followed::new(), Some(why)),
        };
        let mut draft = self.template.fill(facts, &followed);
        draft.warnings.extend(unread);
        if let (Ok(text), false) = (&draft.text, self.dry) {
            draft.missing.extend(self.gate.unwritten(text));
        }
        let mut next = followed.clone();
        next.extend(draft.trail.follows.clone());
        // Before the text is in use: rather once too often than to forget.
        if draft.text.is_ok() && draft.missing.is_empty() && !self.dry && next != followed {
            let create = self.target.destination.creates_folders();
            draft.warnings.extend(self.ledger.write(&next, create).err());
        }
        draft
    }

    /// Tells what the template asks, lacks and warns of. A template that failed did not come to its last
    /// question, so its earlier ones stand.
    fn publish(&self, draft: &mut Draft) -> Arc<BTreeSet<Query>> {
        let (mut asked, before) = (std::mem::take(&mut draft.asked), self.asks.present());
        if draft.text.is_err() {
            asked.extend(before.iter().cloned());
        }
        // One set is kept by all who know of it.
        let asked = if *before == asked { before } else { Arc::new(asked) };
        self.asks.publish(&asked);
        self.report.filled(draft, &asked);
        asked
    }
}

/// One question is looked up in the time in which some so many are gone through.
const LOOKUP: usize = 16;

/// When each question was answered with its present value.
pub(super) fn moments(asked: &BTreeSet<Query>, facts: &Facts) -> Vec<Option<Instant>> {
    // One of many templates asks few of all the questions.
    if asked.len() * LOOKUP < facts.len() {
        return asked.iter().map(|query| facts.get(query).and_then(|watched| watched.heard)).collect();
    }
    // Both are in the same order.
    let mut facts = facts.iter().peekable();
    let mut moment = |query: &Query| {
        while facts.next_if(|(known, _)| *known < query).is_some() {}
        facts.next_if(|(known, _)| *known == query).and_then(|(_, watched)| watched.heard)
    };
    asked.iter().map(&mut moment).collect()
}
