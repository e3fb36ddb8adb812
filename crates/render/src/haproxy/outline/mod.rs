//! Reads a HAProxy configuration back: a skeleton that only a reload can change, and in it what can be told to a
//! HAProxy that runs. Nothing is lost: an outline prints as the text it was made from, and what is not understood
//! stays in the skeleton as it stands.

mod address;
mod files;
mod keywords;
mod proxies;
pub(super) mod sections;
mod server;
mod words;

pub use address::Address;
pub use files::{Named, Use};
pub use proxies::{Algorithm, Proxy};
pub use server::{Server, Setting};

use sections::{Line, Section};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A configuration, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    sections: Vec<Section>,
    proxies: BTreeMap<String, Proxy>,
    cutting: BTreeSet<String>,
}

/// A socket that the configuration opens for orders (`stats socket`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsSocket {
    /// Its address, as the configuration says it.
    pub address: String,
    /// Whether it takes orders (`level admin`).
    pub admin: bool,
}

/// Reads a configuration. Any text has an outline; whether HAProxy takes it is not asked here.
#[must_use]
pub fn outline(text: &str) -> Outline {
    let mut sections = sections::sections(text);
    let (proxies, cutting) = proxies::proxies(&mut sections);
    Outline { sections, proxies, cutting }
}

/// The words of a line, or what comes close when only HAProxy can tell them.
pub(super) fn roughly(line: &str) -> Vec<String> {
    words::words(line).unwrap_or_else(|| line.split_whitespace().map(str::to_owned).collect())
}

impl Outline {
    /// The backends and listen sections, by name, that are understood.
    #[must_use]
    pub fn proxies(&self) -> &BTreeMap<String, Proxy> {
        &self.proxies
    }

    /// The servers that are understood, with what holds for each.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.proxies.values().flat_map(|proxy| &proxy.servers)
    }

    /// The proxies (backend or listen) whose servers carry `on-marked-down shutdown-sessions`: the author's word that
    /// sessions must not outlive a server there. A server that leaves such a proxy is treated like one marked down.
    #[must_use]
    pub fn cutting(&self) -> &BTreeSet<String> {
        &self.cutting
    }

    /// The sockets that it opens for orders.
    #[must_use]
    pub fn stats_sockets(&self) -> Vec<StatsSocket> {
        let read = |words: &[&str]| match words {
            ["stats", "socket", address, rest @ ..] => Some(StatsSocket {
                address: (*address).to_owned(),
                admin: rest.windows(2).any(|pair| pair == ["level", "admin"]),
            }),
            _ => None,
        };
        self.global().filter_map(|words| read(&words)).collect()
    }

    /// The value of a line of the global section, such as `hard-stop-after` or `tune.bufsize`; the last one counts.
    #[must_use]
    pub fn global_value(&self, keyword: &str) -> Option<&str> {
        self.sections
            .iter()
            .filter(|section| section.kind() == "global")
            .flat_map(|section| &section.lines)
            .filter_map(|line| match line.words.as_deref() {
                Some([first, value, ..]) if first == keyword => Some(value.as_str()),
                _ => None,
            })
            .next_back()
    }

    fn global(&self) -> impl Iterator<Item = Vec<&str>> {
        let global = self.sections.iter().filter(|section| section.kind() == "global");
        global.flat_map(|section| &section.lines).filter_map(Line::spoken)
    }

    /// Whether a word holds this text.
    #[must_use]
    pub fn mentions(&self, text: &str) -> bool {
        let lines = self.sections.iter().flat_map(|section| &section.lines).filter(|line| line.speaks());
        lines.flat_map(Line::roughly).any(|word| word.contains(text))
    }

    pub(super) fn sections(&self) -> &[Section] {
        &self.sections
    }
}

impl fmt::Display for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sections.iter().flat_map(|section| &section.lines).try_for_each(|line| f.write_str(&line.raw))
    }
}
