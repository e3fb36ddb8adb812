//! Backends and listen sections: their servers with everything that they inherit, and how connections are spread.

use super::{
    Address,
    sections::{Line, Section},
    server::{Server, Setting, merge, settings},
};
use std::collections::{BTreeMap, BTreeSet};

/// A backend or listen section that is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its name.
    pub name: String,
    /// The line that names it.
    pub line: usize,
    /// Its servers that are understood, in order.
    pub servers: Vec<Server>,
    /// Whether there are no others: templates, lines with environment variables or unknown words.
    pub whole: bool,
    /// How connections are spread.
    pub algorithm: Algorithm,
    /// Whether it is switched off as a whole (`disabled`).
    pub disabled: bool,
    /// Whether it speaks HTTP, and so keeps connections to its servers.
    pub http: bool,
    /// Whether something remembers servers by their ids (`stick`).
    pub sticks: bool,
    /// Whether clients may still get to a server that takes nothing new: by a cookie, a table or a rule.
    pub persists: bool,
    /// Whether only the first backup server is used.
    pub one_backup: bool,
    /// Whether the cookies of its servers are made from their addresses.
    pub address_cookies: bool,
}

/// How connections are spread over servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// By turns or load; neither ids nor order matter.
    #[default]
    Even,
    /// At random: as even, and kept as a ring of ids.
    Random,
    /// The one of lowest id that has room.
    First,
    /// By a hash on a ring of ids.
    Ring,
    /// Laid down at the start: servers cannot come, go or be weighed.
    Static,
}

/// What a section says that others inherit.
#[derive(Clone, Debug, Default)]
struct Says {
    settings: Vec<Setting>,
    balance: Vec<String>,
    hash_type: Vec<String>,
    http: bool,
    disabled: bool,
    allbackups: bool,
    address_cookies: bool,
    /// Whether something was said that is not understood.
    unknown: bool,
    cuts: bool,
    persists: bool,
}

#[derive(Default)]
struct Defaults {
    known: BTreeMap<String, Says>,
    last: String,
}

/// Reads the proxies, marks the lines of the servers that are understood, and finds those that cut sessions.
pub(super) fn proxies(sections: &mut [Section]) -> (BTreeMap<String, Proxy>, BTreeSet<String>) {
    let (mut proxies, mut cutting) = (BTreeMap::new(), BTreeSet::new());
    let mut defaults = Defaults::default();
    for section in sections {
        match section.kind() {
            "defaults" => defaults.take(section),
            "backend" | "listen" => {
                let mut says = defaults.inherited(section);
                let proxy = proxy(section, &mut says);
                let Some(name) = section.name().map(str::to_owned) else { continue };
                if says.cuts {
                    cutting.insert(name.clone());
                }
                let readable = !section.conditional && !proxies.contains_key(&name);
                if readable {
                    let numbers: BTreeSet<usize> = proxy.servers.iter().map(|server| server.line).collect();
                    section.lines.iter_mut().for_each(|line| line.server = numbers.contains(&line.number));
                    proxies.insert(name, proxy);
                }
            }
            _ => {}
        }
    }
    (proxies, cutting)
}

impl Defaults {
    /// `defaults [NAME] [from OTHER]`
    fn take(&mut self, section: &Section) {
        let head = section.head().map(Line::roughly).unwrap_or_default();
        let (name, mut says) = match head.as_slice() {
            [_, "from", from, ..] => ("", self.named(from)),
            [_, name, "from", from, ..] => (*name, self.named(from)),
            [_, name, ..] => (*name, Says::default()),
            _ => ("", Says::default()),
        };
        says.unknown |= section.conditional;
        section.body().iter().for_each(|line| says.hear(line));
        name.clone_into(&mut self.last);
        self.known.insert(self.last.clone(), says);
    }

    /// What a proxy begins with: what it names with `from`, else the last `defaults` above it.
    fn inherited(&self, section: &Section) -> Says {
        match section.head().map(Line::roughly).unwrap_or_default().as_slice() {
            [_, _, "from", name, ..] => self.named(name),
            _ => self.named(&self.last),
        }
    }

    fn named(&self, name: &str) -> Says {
        self.known.get(name).cloned().unwrap_or_default()
    }
}

impl Says {
    fn hear(&mut self, line: &Line) {
        let rough = line.roughly();
        self.cuts |= matches!(rough.first(), Some(&("default-server" | "server" | "server-template")))
            && rough.windows(2).any(|pair| pair == ["on-marked-down", "shutdown-sessions"]);
        self.persists |= matches!(
            rough.as_slice(),
            ["cookie" | "stick" | "persist" | "force-persist" | "use-server", ..] | ["option", "persist", ..]
        );
        let Some(words) = &line.words else {
            self.unknown |=
                matches!(rough.first(), Some(&("default-server" | "balance" | "hash-type" | "mode")));
            return;
        };
        match rough.as_slice() {
            ["default-server", ..] => match settings(&words[1..]) {
                Some(more) => merge(&mut self.settings, &more),
                None => self.unknown = true,
            },
            ["balance", ..] => self.balance = words[1..].to_vec(),
            ["hash-type", ..] => self.hash_type = words[1..].to_vec(),
            ["mode", mode, ..] => self.http = *mode == "http",
            ["disabled"] => self.disabled = true,
            ["enabled"] => self.disabled = false,
            ["option", "allbackups", ..] => self.allbackups = true,
            ["no" | "default", "option", "allbackups", ..] => self.allbackups = false,
            ["dynamic-cookie-key", ..] => self.address_cookies = true,
            _ => {}
        }
    }

    fn algorithm(&self) -> Algorithm {
        let consistent = self.hash_type.iter().any(|word| word == "consistent");
        match self.balance.first().map(String::as_str) {
            None | Some("roundrobin" | "leastconn") => Algorithm::Even,
            Some("first") => Algorithm::First,
            Some(random) if random.starts_with("random") => Algorithm::Random,
            Some("static-rr") => Algorithm::Static,
            Some(_) if consistent => Algorithm::Ring,
            Some(_) => Algorithm::Static,
        }
    }
}

fn proxy(section: &Section, says: &mut Says) -> Proxy {
    let name = section.name().unwrap_or_default();
    let (mut servers, mut whole, mut sticks) = (vec![], true, false);
    for line in section.body() {
        says.hear(line);
        match line.roughly().first() {
            Some(&"server") => match server(name, line, says) {
                Some(server) => servers.push(server),
                None => whole = false,
            },
            Some(&"server-template") => whole = false,
            Some(&("stick" | "stick-table")) => sticks = true,
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    let twice = servers.iter().any(|server| !names.insert(server.name.as_str()));
    if says.unknown || twice {
        (servers, whole) = (vec![], false);
    }
    if whole {
        number(&mut servers);
    }
    Proxy {
        name: name.to_owned(),
        line: section.head().map_or(0, |line| line.number),
        servers,
        whole,
        algorithm: says.algorithm(),
        disabled: says.disabled,
        http: says.http,
        sticks,
        persists: says.persists,
        one_backup: !says.allbackups,
        address_cookies: says.address_cookies,
    }
}

fn server(proxy: &str, line: &Line, says: &Says) -> Option<Server> {
    let [_, name, address, rest @ ..] = line.words.as_deref()? else { return None };
    let mut holds = says.settings.clone();
    merge(&mut holds, &settings(rest)?);
    Some(Server {
        proxy: proxy.to_owned(),
        name: name.clone(),
        line: line.number,
        address: Address::read(address),
        id: None,
        settings: holds,
    })
}

/// Gives each server the id that a fresh start gives it: its own, or the next free one at its place.
fn number(servers: &mut [Server]) {
    let own = |server: &Server| server.value("id").and_then(|id| id.parse::<u32>().ok());
    let mut used: BTreeSet<u32> = servers.iter().filter_map(own).collect();
    let mut next = 1;
    for server in servers {
        server.id = own(server);
        if server.id.is_none() {
            while used.contains(&next) {
                next += 1;
            }
            used.insert(next);
            server.id = Some(next);
        }
        next += 1;
    }
}

#[cfg(test)]
mod tests {
    use crate::haproxy::outline::outline;

    const CUTS: &str = "  default-server on-marked-down shutdown-sessions\n";

    #[test]
    fn the_author_says_whose_sessions_are_cut() {
        for (config, expected) in [
            ("backend a\n  default-server inter 1s on-marked-down shutdown-sessions\n", "a"),
            ("listen b\n  server x [::1]:80\n  server \"y z\" h:81 on-marked-down shutdown-sessions\n", "b"),
            ("listen b\n  server x \"${HOST}:80\" on-marked-down shutdown-sessions\n", "b"),
            ("backend a\n  server-template t 1-9 h:1 on-marked-down shutdown-sessions\n", "a"),
            ("backend a\n  server r-0 10.0.0.1:6379 check # on-marked-down shutdown-sessions\n", ""),
            ("frontend f\n  server x 1.1.1.1:1 on-marked-down shutdown-sessions\n", ""),
            (&format!("defaults\n{CUTS}backend a\nfrontend f\nlisten b\ndefaults\nbackend c\n"), "a b"),
            (&format!("defaults d\n{CUTS}defaults e\nbackend a from d\nbackend b\nbackend c from e\n"), "a"),
            (&format!("defaults d\n{CUTS}defaults e from d\nbackend a\nlisten b from e\n"), "a b"),
            (&format!("defaults d\n{CUTS}defaults from d\nbackend a\nbackend b from nobody\n"), "a"),
        ] {
            let found: Vec<_> = outline(config).cutting().iter().cloned().collect();
            assert_eq!(found.join(" "), expected, "{config}");
        }
    }

    #[test]
    fn a_server_has_what_it_inherits_and_its_own_word_last() {
        let text = "defaults d\n default-server inter 1s check weight 5\nbackend b from d\n server a 10.0.0.1:80\n \
            default-server no-check inter 2s\n server b 10.0.0.2:80 weight 7 disabled\n server c 10.0.0.3:80 id 2 check\n \
            server d h:80 enabled\n";
        let said = |settings: &[super::Setting]| {
            settings.iter().flat_map(super::Setting::words).cloned().collect::<Vec<_>>().join(" ")
        };
        let found: Vec<_> = outline(text)
            .servers()
            .map(|s| format!("{} {} {}", s.name, s.id.unwrap(), said(&s.settings)))
            .collect();
        assert_eq!(
            found,
            [
                "a 1 inter 1s check weight 5",
                "b 3 no-check inter 2s weight 7 disabled",
                "c 2 weight 5 inter 2s id 2 check",
                "d 5 weight 5 no-check inter 2s enabled"
            ]
        );
    }

    #[test]
    fn what_only_haproxy_can_tell_is_left_alone() {
        for text in [
            "backend b\n server a \"${A}:80\"\n",
            "backend b\n server a 10.0.0.1:80 source 1.1.1.1\n",
            "backend b\n server-template a 1-3 10.0.0.1:80\n",
            "backend b\n .if defined(X)\n server a 10.0.0.1:80\n .endif\n",
            ".if defined(X)\nbackend b\n.else\nbackend c\n.endif\n server a 10.0.0.1:80\n",
            "defaults\n default-server source 1.1.1.1\nbackend b\n server a 10.0.0.1:80\n",
            "defaults\n .if defined(X)\n default-server check\n .endif\nbackend b\n server a 10.0.0.1:80\n",
            "backend b\n server a 10.0.0.1:80\n server a 10.0.0.2:80\n",
        ] {
            let outline = outline(text);
            assert_eq!(outline.servers().count(), 0, "{text}");
            assert!(outline.proxies().values().all(|proxy| !proxy.whole), "{text}");
        }
        let text = "backend b\n server a 10.0.0.1:80\nbackend b\n server c 10.0.0.2:80\n";
        assert_eq!(outline(text).servers().map(|server| server.name.as_str()).collect::<Vec<_>>(), ["a"]);
    }
}
