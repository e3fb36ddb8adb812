//! Fills a template from recorded answers, as often as it takes until it asks nothing new.

use super::recorded::{Recorded, nothing};
use crate::{
    facts::Facts,
    ledger::Followed,
    template::{Draft, Template},
};
use consul::{Query, Watched};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What came of it.
#[derive(Debug)]
pub struct Filled {
    /// The last filling.
    pub draft: Draft,
    /// What is known in the end.
    pub facts: Facts,
    /// Questions for which nothing was recorded.
    pub unrecorded: BTreeSet<Query>,
}

/// A template that asks something new at every turn ends here; each turn is one question deeper.
const TURNS: usize = 100;

/// Fills it. What was not recorded does not exist, or with `waits` has no answer yet.
pub fn fill(template: &dyn Template, recorded: &Recorded, waits: bool) -> Result<Filled, String> {
    let (mut known, mut unrecorded) = (BTreeMap::<Query, Watched>::new(), BTreeSet::new());
    for _ in 0..TURNS {
        let facts: Facts = Arc::new(known.clone());
        let draft = template.fill(&facts, &Followed::new());
        let mut news = false;
        for query in draft.asked.iter().filter(|query| !facts.contains_key(query)) {
            let value = match recorded.answer(query) {
                Some(answer) => Some(answer?),
                None => {
                    unrecorded.insert(query.clone());
                    (!waits).then(|| nothing(query))
                }
            };
            if let Some(value) = value {
                let answered = Watched { value: Some(Arc::new(value)), ..Watched::default() };
                news |= known.insert(query.clone(), answered).is_none();
            }
        }
        if !news {
            return Ok(Filled { draft, facts, unrecorded });
        }
    }
    Err(format!("it still asks something new after {TURNS} turns"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        functions::tests::setting,
        template::{Dialect, parse},
    };
    use serde_json::json;
    use std::path::Path;

    fn filled(template: &str, waits: bool) -> Filled {
        let data = json!([{"consul_http": [
            {"path": "/v1/kv/name", "body": [{"Key": "name", "Value": "d2Vi"}]},
            {"path": "/v1/health/service/web", "query": {"passing": "1"},
             "body": [{"Node": {"Node": "n"}, "Service": {"ID": "web-1", "Service": "web"}, "Checks": []}]},
        ]}]);
        let setting = Arc::new(setting(&[]));
        let template = parse(Path::new("t.hbs"), template, &Dialect::default(), setting).unwrap();
        fill(&*template, &Recorded::read(&data).unwrap(), waits).unwrap()
    }

    #[test]
    fn questions_that_come_of_answers_are_answered_too() {
        let filled = filled("{{#each (service (key \"name\"))}}{{ID}}{{/each}}", false);
        assert_eq!(filled.draft.text.unwrap(), "web-1");
        assert_eq!((filled.draft.asked.len(), filled.unrecorded.len()), (2, 0));
    }

    #[test]
    fn what_was_not_recorded_does_not_exist_or_is_waited_for() {
        let template = "{{keyOrDefault \"other\" \"none\"}}";
        assert_eq!(filled(template, false).draft.text.unwrap(), "none");
        let waiting = filled(template, true);
        assert_eq!((waiting.draft.missing.len(), waiting.unrecorded.len()), (1, 1));
    }
}
