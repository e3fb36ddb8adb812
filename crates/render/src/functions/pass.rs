//! One filling of a template: what its functions may read, and what they leave behind.

use super::{outside::Setting, scratch::Scratch, shapes::typed};
use crate::{
    facts::{self, Facts},
    ledger::Trail,
};
use consul::Query;
use gotemplate::{Map, Type, Value};
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Answers as values, each made once: kept from one filling to the next until Consul says something new.
pub type Memo = BTreeMap<Query, (Arc<Json>, Value)>;

/// One filling of a template.
#[derive(Debug)]
pub struct Pass {
    facts: Facts,
    /// What this template may do.
    pub setting: Arc<Setting>,
    /// Answers as values.
    pub memo: Memo,
    /// Every question asked.
    pub asked: BTreeSet<Query>,
    /// Which calls asked each question, if that is recorded.
    pub calls: BTreeMap<Query, BTreeSet<String>>,
    /// The questions of the call at hand, if that is recorded.
    asking: Vec<Query>,
    /// The files that the text begins, in order.
    pub(super) files: Vec<String>,
    /// What there is no answer to yet, in words.
    pub missing: BTreeSet<String>,
    /// What the reader of the rendered file should know.
    pub warnings: BTreeSet<String>,
    /// What becomes of masters.
    pub trail: Trail,
    /// consul-template's `scratch`.
    pub(super) scratch: Arc<Scratch>,
    /// Maps that were changed: one that holds itself would never be dropped.
    changed: BTreeMap<usize, Arc<Map>>,
}

impl Pass {
    /// A new pass over what is known now.
    #[must_use]
    pub fn new(facts: Facts, setting: Arc<Setting>, memo: Memo) -> Self {
        Pass {
            facts,
            setting,
            memo,
            asked: BTreeSet::new(),
            calls: BTreeMap::new(),
            asking: vec![],
            files: vec![],
            missing: BTreeSet::new(),
            warnings: BTreeSet::new(),
            trail: Trail::default(),
            scratch: Arc::default(),
            changed: BTreeMap::new(),
        }
    }

    /// The answer to a question, which is recorded as asked; `None` while Consul has not answered.
    pub(super) fn ask(&mut self, query: &Query) -> Option<Arc<Json>> {
        let answer = facts::answer(&self.facts, query).cloned();
        if answer.is_none() {
            self.missing.insert(query.to_string());
        }
        self.asked.insert(query.clone());
        if self.setting.records {
            self.asking.push(query.clone());
        }
        answer
    }

    /// Records that a call asked what was asked since the last one ended.
    pub(super) fn record(&mut self, call: impl FnOnce() -> String) {
        if !self.asking.is_empty() {
            let call = call();
            for query in std::mem::take(&mut self.asking) {
                self.calls.entry(query).or_default().insert(call.clone());
            }
        }
    }

    /// The answer as a value of a type; `None` while Consul has not answered.
    pub(super) fn ask_for(&mut self, query: &Query, kind: Type) -> Option<Value> {
        let answer = self.ask(query)?;
        if let Some((known, value)) = self.memo.get(query)
            && Arc::ptr_eq(known, &answer)
        {
            return Some(value.clone());
        }
        let value = typed(&answer, kind);
        self.memo.insert(query.clone(), (answer, value.clone()));
        Some(value)
    }

    /// The answer, or the type's empty value while there is none.
    pub(super) fn list(&mut self, query: &Query, kind: Type) -> Value {
        self.ask_for(query, kind).unwrap_or_else(|| Value::slice(kind, vec![]))
    }

    /// Remembers that a map was changed.
    pub(super) fn change(&mut self, map: &Arc<Map>) {
        self.changed.entry(Arc::as_ptr(map) as usize).or_insert_with(|| Arc::clone(map));
    }

    /// Ends the pass; answers to what was not asked are forgotten.
    #[must_use]
    pub fn end(mut self) -> Ended {
        let asked = std::mem::take(&mut self.asked);
        let mut memo = std::mem::take(&mut self.memo);
        memo.retain(|query, _| asked.contains(query));
        Ended {
            asked,
            calls: std::mem::take(&mut self.calls),
            missing: std::mem::take(&mut self.missing),
            warnings: std::mem::take(&mut self.warnings),
            trail: std::mem::take(&mut self.trail),
            files: std::mem::take(&mut self.files),
            memo,
        }
    }
}

/// What a filling leaves behind, as [`Pass`] has it.
#[derive(Debug, Default)]
pub struct Ended {
    /// Every question asked.
    pub asked: BTreeSet<Query>,
    /// Which calls asked each question.
    pub calls: BTreeMap<Query, BTreeSet<String>>,
    /// What there is no answer to yet.
    pub missing: BTreeSet<String>,
    /// What the reader of the rendered file should know.
    pub warnings: BTreeSet<String>,
    /// What becomes of masters.
    pub trail: Trail,
    /// The files that the text begins, in order.
    pub files: Vec<String>,
    /// Answers as values.
    pub memo: Memo,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.scratch.clear();
        self.changed.values().for_each(|map| map.clear());
    }
}
