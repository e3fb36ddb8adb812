//! Reads a HAProxy configuration back: a skeleton that only a reload can change, and in it what can be told to a
//! HAProxy that runs. Nothing is lost: an outline prints as the text it was made from, and what is not understood
//! stays in the skeleton as it stands.

mod address;
mod binds;
mod files;
mod keywords;
mod proxies;
mod recent;
pub(super) mod sections;
mod server;
mod words;

pub use address::Address;
pub use binds::{Bind, Place};
pub use files::{Named, Use};
pub use proxies::{Algorithm, Proxy};
pub use recent::Recent;
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

    /// Whether HAProxy takes addresses and states of servers from a file when it starts, whatever the text says of them
    /// (seen on 2.6.12, 3.0.11 and 3.2.26).
    #[must_use]
    pub fn loads_states(&self) -> bool {
        let mut lines = self.sections.iter().flat_map(|section| &section.lines);
        lines.any(|line| matches!(line.roughly().as_slice(), ["load-server-state-from-file", from, ..] if *from != "none"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_stands_in_the_text_is_found() {
        let text = "global\n stats socket /run/a.sock mode 600 level admin\n stats socket ipv4@127.0.0.1:9\n \
            hard-stop-after 1h\n hard-stop-after 2h\nfrontend f\n use_backend %[src,lower,map_str_ip(/n.map,b),map(/m.map)] if \
            { src -f /x.lst }\n acl y src -M -f /y.lst\n bind :1 ssl crt /c.pem ca-file /ca.pem\n errorfile 503 /e.http\n\
            backend remap\n server a 10.0.0.1:1 crt /c.pem crl-file /crl.pem # map(/no.map)\n";
        let outline = outline(text);
        let sockets: Vec<_> = outline.stats_sockets().into_iter().map(|s| (s.address, s.admin)).collect();
        assert_eq!(sockets, [("/run/a.sock".to_owned(), true), ("ipv4@127.0.0.1:9".to_owned(), false)]);
        assert_eq!(outline.global_value("hard-stop-after"), Some("2h"));
        assert_eq!(outline.global_value("tune.bufsize"), None);
        let files: Vec<_> =
            outline.files().into_iter().map(|(name, named)| (name, named.r#use, named.line)).collect();
        let expected = [
            ("/c.pem", Use::Cert, 9),
            ("/ca.pem", Use::Ca, 9),
            ("/crl.pem", Use::Crl, 12),
            ("/e.http", Use::Start, 10),
            ("/m.map", Use::Map, 7),
            ("/n.map", Use::Map, 7),
            ("/x.lst", Use::Acl, 7),
            ("/y.lst", Use::Start, 8),
        ];
        assert_eq!(files, expected.map(|(name, r#use, line)| (name.to_owned(), r#use, line)));
    }

    #[test]
    fn a_text_may_be_overruled_by_a_file_of_states() {
        for (text, expected) in [
            ("defaults\n load-server-state-from-file global\n", true),
            ("backend b\n load-server-state-from-file local\n", true),
            ("backend b\n load-server-state-from-file none\n", false),
            ("global\n server-state-file /run/states\nbackend b\n", false),
            ("backend b\n # load-server-state-from-file global\n", false),
        ] {
            assert_eq!(outline(text).loads_states(), expected, "{text}");
        }
    }

    /// Lines that look like a configuration, whole and broken.
    fn lines() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            "[a-z0-9:./-]{1,8}",
            "[ -~]{0,6}",
            Just("10.0.0.1:80".to_owned()),
            Just("\"$X\"".to_owned()),
            prop::sample::select(vec![
                "check",
                "weight",
                "on-marked-down",
                "shutdown-sessions",
                "from",
                "id",
                "7",
                "disabled"
            ])
            .prop_map(str::to_owned),
        ];
        let first = prop::sample::select(vec![
            "backend",
            "defaults",
            "listen",
            "frontend",
            "global",
            "server",
            "default-server",
            "server-template",
            ".if",
            ".else",
            ".endif",
            "balance",
            "hash-type",
            "mode",
            "stick",
            "bind",
            "",
            "#",
            "  server",
            "\tmode",
        ]);
        let end = prop::sample::select(vec!["\n", "\n", "\n", "\r\n", ""]);
        let line = (first, prop::collection::vec(word, 0..5), end)
            .prop_map(|(first, words, end)| format!("{first} {}{end}", words.join(" ")));
        prop::collection::vec(line, 0..30).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in prop_oneof![lines(), "\\PC*", any::<String>()]) {
            prop_assert_eq!(outline(&text).to_string(), text);
        }

        #[test]
        fn any_two_texts_have_a_verdict(live in lines(), next in lines(), version in "[23]\\.[0-9]") {
            use crate::haproxy::{capability::capabilities, running::Running, verdict::{Configuration, Verdict, verdict}};
            let can = capabilities(&version).unwrap();
            let [live, next] = [live, next].map(|text| Configuration::new(&text));
            let running = Running::fresh(&live.outline);
            if let Verdict::Steer(orders) = verdict(&live, &next, &running, &can) {
                prop_assert!(orders.iter().flat_map(|order| order.commands()).all(|line| !line.contains(" enabled")));
            }
            let again = verdict(&next, &next, &Running::fresh(&next.outline), &can);
            // One that HAProxy refuses at a start: the check before the reload says so.
            let unsound = next.outline.servers().any(|server| server.weight().is_none() || server.maxconn().is_none());
            prop_assert!(unsound || matches!(again, Verdict::Same | Verdict::Refuse(_)), "{}", again);
        }
    }
}
