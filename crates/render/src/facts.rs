//! Everything heard so far, as one value that is cheap to copy.

use consul::{Query, Watched};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// What is known of each question that is being asked.
pub type Facts = Arc<BTreeMap<Query, Watched>>;

/// The last good answer to a question; `None` before the first.
#[must_use]
pub fn answer<'a>(facts: &'a Facts, query: &Query) -> Option<&'a Arc<Value>> {
    facts.get(query).and_then(|watched| watched.value.as_ref())
}
