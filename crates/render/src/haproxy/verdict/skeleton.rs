//! What only a reload can change: everything but the servers that are understood.

use crate::haproxy::outline::Outline;
use crate::haproxy::outline::sections::{Line, Section};

/// Fails with the first difference, named by section, line and keyword. Values are left out: some are secrets.
pub(super) fn compare(live: &Outline, next: &Outline) -> Result<(), String> {
    let (live, next) = (speaking(live), speaking(next));
    for index in 0..live.len().max(next.len()) {
        match (live.get(index), next.get(index)) {
            (Some(was), Some(is)) if same(was.head(), is.head()) => within(was, is)?,
            (Some(was), Some(is)) if was.title() == is.title() => {
                return Err(format!("the first line of {} changed (line {})", is.title(), line(is)));
            }
            (_, Some(is)) if !live.iter().any(|was| same(was.head(), is.head())) => {
                return Err(format!("{} is new (line {})", is.title(), line(is)));
            }
            (Some(was), _) if !next.iter().any(|is| same(was.head(), is.head())) => {
                return Err(format!("{} is gone", was.title()));
            }
            (_, Some(is)) => return Err(format!("{} stands elsewhere (line {})", is.title(), line(is))),
            (Some(was), None) => return Err(format!("{} stands no more where it was", was.title())),
            (None, None) => {}
        }
    }
    Ok(())
}

/// The sections that say something.
fn speaking(outline: &Outline) -> Vec<&Section> {
    outline.sections().iter().filter(|section| section.lines.iter().any(Line::speaks)).collect()
}

fn line(section: &Section) -> usize {
    section.lines.first().map_or(0, |line| line.number)
}

/// Whether two lines mean the same: words are compared where they are known, blanks and comments do not matter.
fn same(one: Option<&Line>, other: Option<&Line>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => match (&one.words, &other.words) {
            (Some(one), Some(other)) => one == other,
            (None, None) => one.raw.trim() == other.raw.trim(),
            _ => false,
        },
        (None, None) => true,
        _ => false,
    }
}

fn within(was: &Section, is: &Section) -> Result<(), String> {
    let (had, has) = (rest(was), rest(is));
    let differs = |index: &usize| !same(had.get(*index).copied(), has.get(*index).copied());
    let Some(index) = (0..had.len().max(has.len())).find(differs) else { return Ok(()) };
    let holds = |lines: &[&Line], line: &Line| lines.iter().any(|other| same(Some(other), Some(line)));
    let title = is.title();
    Err(match (had.get(index).copied(), has.get(index).copied()) {
        (_, Some(new)) if !holds(&had, new) => {
            let what = if had.get(index).is_some_and(|old| keyword(old) == keyword(new)) {
                "changed"
            } else {
                "is new"
            };
            format!("{title}: `{}` {what} (line {})", keyword(new), new.number)
        }
        (Some(old), _) if !holds(&has, old) => format!("{title}: `{}` is gone", keyword(old)),
        (_, Some(moved)) => format!("{title}: `{}` stands elsewhere (line {})", keyword(moved), moved.number),
        (Some(old), None) => format!("{title}: `{}` stands there once less", keyword(old)),
        (None, None) => return Ok(()),
    })
}

/// The lines that only a reload can change.
fn rest(section: &Section) -> Vec<&Line> {
    section.body().iter().filter(|line| line.speaks() && !line.server).collect()
}

/// The words that say what a line is about, without its values.
fn keyword(line: &Line) -> String {
    let words = line.roughly();
    let many = match words.first() {
        Some(&("no" | "default")) => 3,
        Some(
            &("option" | "timeout" | "stats" | "server" | "server-template" | "tcp-check" | "http-check"
            | "acl"),
        ) => 2,
        _ => 1,
    };
    words.into_iter().take(many).collect::<Vec<_>>().join(" ")
}
