//! What an overview tells of one question, and what that means for it: here is your answer, ask for it now, or rest.

use serde_json::Value;
use std::sync::Arc;

/// What was told last.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Told {
    /// Nothing that counts now.
    #[default]
    Nothing,
    /// The key's pair, which is the answer; `None` where there is none. That one is no answer: the token may lack a right.
    Pair(Option<Arc<Value>>),
    /// How often something of the service changed, by its entries and by its checks; `None` where that is not told now.
    Changed(Touched),
}

/// How often something of a service changed: as the list of services tells it, and as that of checks does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Its entries.
    pub entries: Option<u64>,
    /// Their checks.
    pub checks: Option<u64>,
}

/// For how long a question need not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It is to be asked at once.
    None,
    /// As without an overview.
    Usual,
    /// The overview would tell.
    Long,
    /// The overview gives its answers.
    Answered,
}

impl Told {
    /// The answer that is told.
    #[must_use]
    pub fn pair(&self) -> Option<&Arc<Value>> {
        if let Told::Pair(Some(pair)) = self { Some(pair) } else { None }
    }

    /// How long a question rests whose key was written at `known`; `news` is whether it has not been asked since this was
    /// told.
    #[must_use]
    pub fn rest(&self, news: bool, known: Option<u64>) -> Rest {
        match self {
            Told::Pair(Some(pair)) if written(pair) >= known => Rest::Answered,
            Told::Pair(None) if known.is_none() => Rest::Long,
            Told::Pair(None) if news => Rest::None,
            Told::Changed(Touched { entries: Some(_), checks: Some(_) }) => {
                if news {
                    Rest::None
                } else {
                    Rest::Long
                }
            }
            // Its own answer is newer: another server gave it. Or nobody would tell.
            Told::Nothing | Told::Pair(_) | Told::Changed(_) => Rest::Usual,
        }
    }
}

/// When a key was written, as Consul's index.
#[must_use]
pub fn written(pair: &Value) -> Option<u64> {
    pair["ModifyIndex"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_question_is_asked_only_where_its_overview_does_not_answer() {
        let pair = |index: u64| Told::Pair(Some(Arc::new(json!({"ModifyIndex": index}))));
        let touched = |entries, checks| Told::Changed(Touched { entries, checks });
        for (told, news, known, expected) in [
            (Told::Nothing, true, Some(7), Rest::Usual),
            (pair(7), true, None, Rest::Answered),
            (pair(7), false, Some(7), Rest::Answered),
            (pair(8), true, Some(7), Rest::Answered),
            (pair(6), true, Some(7), Rest::Usual),
            (Told::Pair(None), true, None, Rest::Long),
            (Told::Pair(None), true, Some(7), Rest::None),
            (Told::Pair(None), false, Some(7), Rest::Usual),
            (touched(Some(1), Some(1)), true, None, Rest::None),
            (touched(Some(1), Some(1)), false, None, Rest::Long),
            (touched(Some(1), None), true, None, Rest::Usual),
            (touched(None, Some(1)), false, None, Rest::Usual),
        ] {
            assert_eq!(told.rest(news, known), expected, "{told:?} {news} {known:?}");
        }
    }
}
