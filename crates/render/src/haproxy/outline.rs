//! Reads a HAProxy configuration back: whose sessions its author wants cut.

use std::collections::{BTreeMap, BTreeSet};

/// The proxies (backend or listen) whose servers carry `on-marked-down shutdown-sessions`: the author's word that
/// sessions must not outlive a server there. A server that leaves such a proxy is treated like one marked down.
#[must_use]
pub fn cutting(config: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut section = Section::Other;
    let mut defaults = Defaults::default();
    for line in config.lines() {
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["defaults", rest @ ..] => {
                defaults.begin(rest);
                section = Section::Defaults;
            }
            ["backend" | "listen", name, rest @ ..] => {
                section = Section::Proxy((*name).into());
                if defaults.cuts(rest) {
                    out.insert((*name).into());
                }
            }
            [word, ..] if SECTIONS.contains(word) => section = Section::Other,
            ["default-server" | "server" | "server-template", options @ ..] if cuts(options) => {
                match &section {
                    Section::Defaults if words[0] == "default-server" => defaults.set(),
                    Section::Proxy(name) => _ = out.insert(name.clone()),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    out
}

/// Where a line stands.
enum Section {
    Defaults,
    Proxy(String),
    Other,
}

/// Which `defaults` sections cut, by name; the last one holds for proxies that name none with `from`.
#[derive(Default)]
struct Defaults {
    known: BTreeMap<String, bool>,
    last: String,
}

impl Defaults {
    /// `defaults [NAME] [from OTHER]`
    fn begin(&mut self, rest: &[&str]) {
        let (name, inherited) = match rest {
            ["from", from, ..] => ("", self.known(from)),
            [name, "from", from, ..] => (*name, self.known(from)),
            [name, ..] => (*name, false),
            [] => ("", false),
        };
        name.clone_into(&mut self.last);
        self.known.insert(self.last.clone(), inherited);
    }

    fn set(&mut self) {
        self.known.insert(self.last.clone(), true);
    }

    /// For what follows a proxy's name: perhaps `from NAME`.
    fn cuts(&self, rest: &[&str]) -> bool {
        match rest {
            ["from", name, ..] => self.known(name),
            _ => self.known(&self.last),
        }
    }

    fn known(&self, name: &str) -> bool {
        self.known.get(name).copied().unwrap_or_default()
    }
}

/// Words that begin a section without servers of our interest.
const SECTIONS: [&str; 12] = [
    "global",
    "frontend",
    "userlist",
    "peers",
    "mailers",
    "resolvers",
    "cache",
    "program",
    "http-errors",
    "ring",
    "fcgi-app",
    "log-forward",
];

fn cuts(options: &[&str]) -> bool {
    options.windows(2).any(|pair| pair == ["on-marked-down", "shutdown-sessions"])
}

/// HAProxy's words: blanks part them, quotes and backslashes keep blanks, `#` begins a comment.
pub(super) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (vec![], String::new(), None, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.extend(chars.next()),
            ('\'' | '"', None) => quote = Some(c),
            (_, Some(q)) if q == c => quote = None,
            ('#', None) => break,
            (c, None) if c.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
                continue;
            }
            (c, _) => word.push(c),
        }
        begun = true;
    }
    if begun {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUTS: &str = "  default-server on-marked-down shutdown-sessions\n";

    #[test]
    fn the_author_says_whose_sessions_are_cut() {
        for (config, expected) in [
            ("backend a\n  default-server inter 1s on-marked-down shutdown-sessions\n", "a"),
            ("listen b\n  server x [::1]:80\n  server \"y z\" h:81 on-marked-down shutdown-sessions\n", "b"),
            ("backend a\n  server-template t 1-9 h:1 on-marked-down shutdown-sessions\n", "a"),
            ("backend a\n  server r-0 10.0.0.1:6379 check # on-marked-down shutdown-sessions\n", ""),
            ("frontend f\n  server x 1.1.1.1:1 on-marked-down shutdown-sessions\n", ""),
            (&format!("defaults\n{CUTS}backend a\nfrontend f\nlisten b\ndefaults\nbackend c\n"), "a b"),
            (&format!("defaults d\n{CUTS}defaults e\nbackend a from d\nbackend b\nbackend c from e\n"), "a"),
            (&format!("defaults d\n{CUTS}defaults e from d\nbackend a\nlisten b from e\n"), "a b"),
            (&format!("defaults d\n{CUTS}defaults from d\nbackend a\nbackend b from nobody\n"), "a"),
        ] {
            let found: Vec<_> = cutting(config).into_iter().collect();
            assert_eq!(found.join(" "), expected, "{config}");
        }
    }
}
