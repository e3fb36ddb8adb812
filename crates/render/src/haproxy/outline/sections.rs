//! Lines and the sections they stand in.

use super::words::words;

/// A line as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// Its text, with its end.
    pub raw: String,
    /// Its words; `None` when only HAProxy can tell them.
    pub words: Option<Vec<String>>,
    /// Whether it is a server's line that was understood: then it is no part of the skeleton.
    pub server: bool,
}

/// A section: its first line, which names it, and all others. What stands before the first one is a section too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Its lines; the first one names it, unless it is what stands before the first section.
    pub lines: Vec<Line>,
    /// Whether a condition (`.if`) decides what it holds, so that only HAProxy can tell.
    pub conditional: bool,
    headed: bool,
}

/// Words that begin a section, in HAProxy 2.6 to 3.5.
const SECTIONS: [&str; 20] = [
    "acme",
    "backend",
    "cache",
    "crt-store",
    "defaults",
    "fcgi-app",
    "frontend",
    "global",
    "healthcheck",
    "http-errors",
    "listen",
    "log-forward",
    "log-profile",
    "mailers",
    "namespace_list",
    "peers",
    "resolvers",
    "ring",
    "traces",
    "userlist",
];

impl Line {
    fn new(number: usize, raw: &str) -> Line {
        Line { number, raw: raw.to_owned(), words: words(raw), server: false }
    }

    /// Its words, if they are known.
    pub fn spoken(&self) -> Option<Vec<&str>> {
        self.words.as_ref().map(|words| words.iter().map(String::as_str).collect())
    }

    /// Its words, or what comes close when only HAProxy can tell them.
    pub fn roughly(&self) -> Vec<&str> {
        self.spoken().unwrap_or_else(|| self.raw.split_whitespace().collect())
    }

    /// Whether it says something.
    pub fn speaks(&self) -> bool {
        self.words.as_ref().is_none_or(|words| !words.is_empty())
    }

    fn first(&self) -> &str {
        match &self.words {
            Some(words) => words.first().map_or("", String::as_str),
            None => self.raw.split_whitespace().next().unwrap_or_default(),
        }
    }
}

impl Section {
    /// The line that names it.
    pub fn head(&self) -> Option<&Line> {
        self.lines.first().filter(|_| self.headed)
    }

    /// Its kind, such as `backend`; empty for what stands before the first section.
    pub fn kind(&self) -> &str {
        self.head().map_or("", Line::first)
    }

    /// Its name, if it has one that is known.
    pub fn name(&self) -> Option<&str> {
        self.head()?.words.as_ref()?.get(1).map(String::as_str)
    }

    /// How it is called.
    pub fn title(&self) -> String {
        match (self.kind(), self.name()) {
            ("", _) => "the lines before the first section".into(),
            (kind, Some(name)) => format!("{kind} {name}"),
            (kind, None) => kind.to_owned(),
        }
    }

    /// The lines below the one that names it.
    pub fn body(&self) -> &[Line] {
        &self.lines[usize::from(self.headed)..]
    }
}

/// Parts a text into sections.
pub(super) fn sections(text: &str) -> Vec<Section> {
    let mut sections = vec![Section::default()];
    let (mut depth, mut begun_at, mut lost) = (0_usize, 0, false);
    for (index, raw) in text.split_inclusive('\n').enumerate() {
        let line = Line::new(index + 1, raw);
        let headed = SECTIONS.contains(&line.first());
        if headed {
            if depth > 0 && !lost {
                // Which section the lines below belong to is HAProxy's to say, from here to the end.
                sections[begun_at..].iter_mut().for_each(|section| section.conditional = true);
                lost = true;
            }
            sections.push(Section { headed: true, conditional: lost, ..Section::default() });
        }
        let last = sections.len() - 1;
        match line.first() {
            ".if" => {
                if depth == 0 {
                    begun_at = last;
                }
                depth += 1;
                sections[last].conditional = true;
            }
            ".elif" | ".else" | ".endif" => {
                depth -= usize::from(depth > 0 && line.first() == ".endif");
                sections[last].conditional = true;
            }
            _ => {}
        }
        sections[last].lines.push(line);
    }
    sections
}
