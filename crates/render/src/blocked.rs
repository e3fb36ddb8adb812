//! What keeps a template from its newest text: each question without an answer to go by, and why; and when that is said.

use crate::facts::Facts;
use consul::{Query, Watched};
use std::{
    collections::BTreeSet,
    fmt::{self, Write},
    time::Duration,
};
use tokio::time::Instant;

/// One thing that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The question, or the file of another template.
    pub what: String,
    /// Why it is waited for.
    pub why: Why,
    /// Since when, where that is known.
    pub since: Option<Instant>,
}

/// Why there is no answer to go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Consul has not answered yet.
    Unanswered,
    /// It answered, and what the template cannot do without is not there.
    Absent(String),
    /// An answer came that is not believed; the last value is used.
    Quarantined(String),
    /// Asking fails; the last value is used, if there is one.
    Unreachable(String),
}

impl Why {
    /// The word on the status page.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Why::Unanswered => "unanswered",
            Why::Absent(_) => "absent",
            Why::Quarantined(_) => "quarantined",
            Why::Unreachable(_) => "unreachable",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Unanswered => out.write_str("Consul has not answered yet"),
            Why::Absent(why) | Why::Quarantined(why) | Why::Unreachable(why) => out.write_str(why),
        }
    }
}

/// What a template waits for that asked these and lacks these, as its last filling told them.
#[must_use]
pub fn blocks(asked: &BTreeSet<Query>, missing: &BTreeSet<String>, facts: &Facts) -> Vec<Block> {
    let mut named = BTreeSet::new();
    let mut blocks: Vec<Block> = asked
        .iter()
        .filter_map(|query| {
            let (watched, what) = (facts.get(query), query.to_string());
            let lacks = missing.iter().find_map(|one| Some((one, lack(one, &what)?)));
            named.extend(lacks.map(|(one, _)| one));
            let (why, since) = reason(watched, lacks.map(|(_, why)| why))?;
            Some(Block { what, why, since })
        })
        .collect();
    // A file of another template is no question.
    let others = missing.iter().filter(|one| !named.contains(one)).map(|one| {
        let (what, why) = one.split_once(" (").unwrap_or((one, ""));
        Block { what: what.into(), why: Why::Absent(why.trim_end_matches(')').into()), since: None }
    });
    blocks.extend(others);
    blocks
}

/// What a missing thing says of a question: `QUESTION` or `QUESTION (WHY)`.
fn lack<'a>(missing: &'a str, question: &str) -> Option<&'a str> {
    match missing.strip_prefix(question)? {
        "" => Some(""),
        why => why.strip_prefix(" (")?.strip_suffix(')'),
    }
}

fn reason(watched: Option<&Watched>, lack: Option<&str>) -> Option<(Why, Option<Instant>)> {
    let since = watched.and_then(|watched| watched.since);
    match (watched, lack) {
        (Some(Watched { trouble: Some(why), doubted: true, troubled, .. }), _) => {
            Some((Why::Quarantined(why.clone()), *troubled))
        }
        (Some(Watched { trouble: Some(why), troubled, .. }), _) => {
            Some((Why::Unreachable(why.clone()), *troubled))
        }
        (Some(Watched { heard, .. }), Some(why)) if !why.is_empty() => {
            Some((Why::Absent(why.into()), *heard))
        }
        (Some(Watched { value: Some(_), .. }), _) | (None, None) => None,
        _ => Some((Why::Unanswered, since)),
    }
}

/// So many are named in one line; the status page names all.
const NAMED: usize = 5;

/// The blocks as one line, with how long each has lasted.
#[must_use]
pub fn line(blocks: &[Block], now: Instant) -> String {
    let mut line = String::new();
    for Block { what, why, since } in blocks.iter().take(NAMED) {
        let comma = if line.is_empty() { "" } else { "; " };
        let lasted = since.map(|since| format!(" for {} s", (now - since).as_secs())).unwrap_or_default();
        _ = write!(line, "{comma}{what}{lasted} ({why})");
    }
    if blocks.len() > NAMED {
        _ = write!(line, "; and {} more", blocks.len() - NAMED);
    }
    line
}

/// What waits shorter than this is no news.
const FIRST: Duration = Duration::from_secs(10);
/// And it is said again after as long as it has lasted, but after this at the latest.
const LONGEST: Duration = Duration::from_secs(600);

/// One template's wait, and what was said of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait(Option<Waiting>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    since: Instant,
    due: Instant,
    told: bool,
}

/// What is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// It has waited for so long.
    Waits(Duration),
    /// It waits no more, after so long.
    Over(Duration),
}

impl Wait {
    /// Takes in whether anything blocks now.
    #[must_use]
    pub fn after(self, blocked: bool, now: Instant) -> (Wait, Option<Say>) {
        match (self.0, blocked) {
            (None, false) => (self, None),
            (None, true) => (Wait(Some(Waiting { since: now, due: now + FIRST, told: false })), None),
            (Some(waiting), false) => (Wait(None), waiting.told.then(|| Say::Over(now - waiting.since))),
            (Some(waiting), true) if now < waiting.due => (self, None),
            (Some(Waiting { since, .. }), true) => {
                let lasted = now - since;
                let due = now + lasted.min(LONGEST);
                (Wait(Some(Waiting { since, due, told: true })), Some(Say::Waits(lasted)))
            }
        }
    }

    /// When it is to be said, or said again.
    #[must_use]
    pub fn due(self) -> Option<Instant> {
        self.0.map(|waiting| waiting.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::{collections::BTreeMap, sync::Arc};

    fn key(key: &str) -> Query {
        Query::Key { key: key.into(), scope: consul::query::Scope::default() }
    }

    #[test]
    fn each_block_has_its_reason() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let heard = |value: Value| Watched {
            value: Some(Arc::new(value)),
            heard: Some(after(1)),
            since: Some(now),
            ..Watched::default()
        };
        let failing = |doubted, watched| Watched {
            trouble: Some("it fails".into()),
            troubled: Some(after(2)),
            doubted,
            ..watched
        };
        let new = || Watched { since: Some(now), ..Watched::default() };
        let (a, absent) = ("kv/a", "kv/a (the key does not exist)");
        for (watched, missing, expected) in [
            (None, Some(a), Some((Why::Unanswered, None))),
            (Some(new()), Some(a), Some((Why::Unanswered, Some(now)))),
            (
                Some(failing(false, new())),
                Some(a),
                Some((Why::Unreachable("it fails".into()), Some(after(2)))),
            ),
            (
                Some(heard(json!(null))),
                Some(absent),
                Some((Why::Absent("the key does not exist".into()), Some(after(1)))),
            ),
            (
                Some(failing(true, heard(json!(1)))),
                None,
                Some((Why::Quarantined("it fails".into()), Some(after(2)))),
            ),
            (
                Some(failing(false, heard(json!(1)))),
                None,
                Some((Why::Unreachable("it fails".into()), Some(after(2)))),
            ),
            (Some(heard(json!(1))), None, None),
            // Answered since the filling.
            (Some(heard(json!(1))), Some(a), None),
        ] {
            let facts = Arc::new(watched.clone().map(|watched| (key("a"), watched)).into_iter().collect());
            let missing = missing.map(str::to_owned).into_iter().collect();
            let found = blocks(&[key("a")].into(), &missing, &facts);
            let expected: Vec<_> =
                expected.map(|(why, since)| Block { what: a.into(), why, since }).into_iter().collect();
            assert_eq!(found, expected, "{watched:?}");
        }
    }

    #[test]
    fn a_file_is_a_block_too_and_a_longer_name_is_another_question() {
        let facts = Arc::new(BTreeMap::new());
        let missing = ["kv/ab".to_owned(), "/run/m (another template writes it)".to_owned()].into();
        let found = blocks(&[key("a"), key("ab")].into(), &missing, &facts);
        let found: Vec<_> = found.iter().map(|block| (block.what.as_str(), block.why.to_string())).collect();
        assert_eq!(
            found,
            [
                ("kv/ab", "Consul has not answered yet".to_owned()),
                ("/run/m", "another template writes it".to_owned())
            ]
        );
    }

    #[test]
    fn a_line_names_the_first_ones() {
        let now = Instant::now();
        let block = |n: u64| Block {
            what: format!("kv/{n}"),
            why: Why::Unanswered,
            since: Some(now - Duration::from_secs(n)),
        };
        assert_eq!(line(&[block(10)], now), "kv/10 for 10 s (Consul has not answered yet)");
        let many: Vec<_> = (0..7).map(block).collect();
        assert!(line(&many, now).ends_with("; and 2 more"), "{}", line(&many, now));
    }

    #[test]
    fn it_is_said_ever_less_often_but_never_not_at_all() {
        let start = Instant::now();
        let (mut wait, mut said) = (Wait::default(), vec![]);
        for second in 0..3 * 3600 {
            let (next, say) = wait.after(true, start + Duration::from_secs(second));
            said.extend(say.map(|say| match say {
                Say::Waits(lasted) => lasted.as_secs(),
                Say::Over(_) => panic!("it still waits"),
            }));
            wait = next;
        }
        assert_eq!(
            said[..8],
            [10, 20, 40, 80, 160, 320, 640, 1240],
            "as long as it lasted, then each 10 min"
        );
        assert_eq!(said.last().unwrap() - said[said.len() - 2], 600);
        let end = start + Duration::from_secs(3 * 3600);
        assert_eq!(wait.after(false, end).1, Some(Say::Over(Duration::from_secs(3 * 3600))));
        let short = Wait::default().after(true, start).0.after(false, start + Duration::from_secs(9));
        assert_eq!(short, (Wait::default(), None), "what was not said is not taken back");
    }
}
