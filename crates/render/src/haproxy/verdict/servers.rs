//! The servers of each backend: who stays and changes, who goes, who comes.

use super::{
    ids::ids,
    steps::{Steps, Switch},
};
use crate::haproxy::{
    capability::Capabilities,
    order::{Order, State},
    outline::{Address, Algorithm, Outline, Proxy, Server, Setting},
    running::{Running, Runs},
    sessions::Server as Name,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// What has to be done in all backends.
pub(super) fn steps(
    live: &Outline,
    next: &Outline,
    running: &Running,
    can: &Capabilities,
) -> Result<Steps, String> {
    let mut steps = Steps::default();
    let (matter, known) = (next.mentions("srv_id"), live.files());
    let loaded = |path: &str| known.contains_key(path);
    for (name, is) in next.proxies() {
        let Some(was) = live.proxies().get(name) else { continue };
        let (texts, runs) = (by_name(was), running.of(name).map(|(name, runs)| (name.1.as_str(), runs)));
        let runs = runs.collect();
        Backend { was, is, texts, runs, running, can, matter, loaded: &loaded }.plan(&mut steps)?;
    }
    Ok(steps)
}

/// Whether both say the same of all servers.
pub(super) fn same(one: &Outline, other: &Outline) -> bool {
    one.servers().map(said).eq(other.servers().map(said))
}

/// What a server is, wherever its line stands.
fn said(server: &Server) -> (&str, &str, &Address, Option<u32>, &[Setting]) {
    (&server.proxy, &server.name, &server.address, server.id, &server.settings)
}

fn by_name(proxy: &Proxy) -> BTreeMap<&str, &Server> {
    proxy.servers.iter().map(|server| (server.name.as_str(), server)).collect()
}

/// A backend of both texts. A thousand servers may change at once: each is looked up by its name.
struct Backend<'a> {
    was: &'a Proxy,
    is: &'a Proxy,
    texts: BTreeMap<&'a str, &'a Server>,
    runs: BTreeMap<&'a str, &'a Runs>,
    running: &'a Running,
    can: &'a Capabilities,
    matter: bool,
    loaded: &'a dyn Fn(&str) -> bool,
}

/// HAProxy takes 64 words in a line.
const WORDS: usize = 60;

impl Backend<'_> {
    fn plan(&self, steps: &mut Steps) -> Result<(), String> {
        if self.is.disabled {
            return self.unlisted();
        }
        let mut switch = Switch::default();
        let added: Vec<&Server> = self.is.servers.iter().filter(|server| self.comes(server)).collect();
        let leaving = self.leaving();
        let order = |proxy: &Proxy| proxy.servers.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
        let ids = if added.is_empty() && leaving.is_empty() && order(self.was) == order(self.is) {
            BTreeMap::new()
        } else {
            self.may_change()?;
            self.backups_keep_their_order(&added)?;
            ids(self.is, &added, self.running, self.matter)?
        };
        for server in &self.is.servers {
            match (self.text(&server.name), self.runs(&server.name)) {
                (Some(text), Some(runs)) => self.stays(text, server, runs, &mut switch, steps)?,
                (None, Some(_)) => {
                    // It left before, and was not yet tidied away.
                    steps.prepare.push(Order::Delete(self.name(&server.name)));
                    self.enters(server, &ids, &mut switch, steps)?;
                }
                (_, None) => self.enters(server, &ids, &mut switch, steps)?,
            }
        }
        let mut cuts = self.is.servers.iter().any(Server::cuts);
        for name in leaving {
            cuts |= self.leaves(&name, &mut switch, steps);
        }
        steps.switch.extend(switch.orders(cuts));
        Ok(())
    }

    /// HAProxy does not list the servers of a section that is `disabled`, and steers none.
    fn unlisted(&self) -> Result<(), String> {
        let said = |proxy: &Proxy| -> Vec<(String, Address, Vec<Setting>)> {
            proxy.servers.iter().map(|s| (s.name.clone(), s.address.clone(), s.settings.clone())).collect()
        };
        let (name, line) = (&self.is.name, self.is.line);
        if said(self.was) == said(self.is) {
            return Ok(());
        }
        Err(format!("the servers of {name} (line {line}) changed, and it is `disabled` itself"))
    }

    fn name(&self, server: &str) -> Name {
        (self.is.name.clone(), server.to_owned())
    }

    fn text(&self, name: &str) -> Option<&Server> {
        self.texts.get(name).copied()
    }

    fn runs(&self, name: &str) -> Option<&Runs> {
        self.runs.get(name).copied()
    }

    fn comes(&self, server: &Server) -> bool {
        self.text(&server.name).is_none() || self.runs(&server.name).is_none()
    }

    /// Those that run and are not in the next text. Where not every line is understood, only those that the live
    /// text has.
    fn leaving(&self) -> Vec<String> {
        let stay = by_name(self.is);
        let known = |name: &str| (self.was.whole && self.is.whole) || self.text(name).is_some();
        let mut leaving: Vec<(&str, &Runs)> = self
            .runs
            .iter()
            .map(|(name, runs)| (*name, *runs))
            .filter(|(name, _)| !stay.contains_key(name) && known(name))
            .collect();
        leaving.sort_by_key(|(_, runs)| runs.place);
        leaving.into_iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// Whether servers can come, go and change places at all.
    fn may_change(&self) -> Result<(), String> {
        let (name, line) = (&self.is.name, self.is.line);
        if self.is.algorithm == Algorithm::Static {
            return Err(format!(
                "the servers of {name} (line {line}) changed, and its balance algorithm is laid down at the start"
            ));
        }
        let ordered = self.matter || self.is.sticks || self.is.algorithm != Algorithm::Even;
        if !self.is.whole && ordered {
            return Err(format!(
                "the servers of {name} (line {line}) changed, and others there are of a kind that only HAProxy reads"
            ));
        }
        Ok(())
    }

    /// Only the first backup server is used, and what is added stands last.
    fn backups_keep_their_order(&self, added: &[&Server]) -> Result<(), String> {
        if !self.is.one_backup {
            return Ok(());
        }
        let backups = self.is.servers.iter().filter(|server| server.says("backup"));
        let added: BTreeSet<&str> = added.iter().map(|server| server.name.as_str()).collect();
        let stood =
            |server: &Server| self.runs(&server.name).filter(|_| !added.contains(server.name.as_str()));
        let places = backups.map(|server| stood(server).map_or(usize::MAX, |runs| runs.place));
        if places.is_sorted() {
            return Ok(());
        }
        Err(format!(
            "the backup servers of {} (line {}) would stand in another order, and only the first one is used",
            self.is.name, self.is.line
        ))
    }

    fn stays(
        &self,
        text: &Server,
        next: &Server,
        runs: &Runs,
        switch: &mut Switch,
        steps: &mut Steps,
    ) -> Result<(), String> {
        self.same_settings(text, next)?;
        let name = self.name(&next.name);
        let mut enter = vec![];
        // The agent may have changed what runs, and a tracked server too.
        let own = !next.says("agent-check") && !next.says("track");
        if let Some((ip, port)) = self.moves(text, next, runs)? {
            enter.push(Order::Address(name.clone(), ip, port));
            if next.says("check") && !next.says("disabled") && own {
                enter.push(Order::HealthUp(name.clone()));
            }
            if next.cuts() {
                steps.cut.push(Order::Cut(name.clone()));
            }
        }
        let weight = self.weight(next)?;
        if weight != self.weight(text)? || (own && weight != runs.weight) {
            if self.is.algorithm == Algorithm::Static {
                return Err(format!(
                    "{}: its `weight` changed, which `balance` allows at a start only",
                    at(next)
                ));
            }
            enter.push(Order::Weight(name.clone(), weight));
        }
        if let Some(most) = maxconn(text, next)? {
            enter.push(Order::MaxConn(name.clone(), most));
        }
        let (was, off) = (text.says("disabled"), next.says("disabled"));
        // What was added out of use has no checks yet, or somebody ended them.
        if !off && next.says("check") && own && !runs.checks {
            enter.push(Order::EnableHealth(name.clone()));
        }
        if !off && next.says("agent-check") && !runs.agent {
            enter.push(Order::EnableAgent(name.clone()));
        }
        if off && (own || !was) && !runs.maint {
            switch.leave.push(vec![Order::State(name.clone(), State::Maint)]);
            if next.cuts() {
                steps.cut.push(Order::Cut(name));
            }
        } else if !off && (was || own) && (runs.maint || runs.drain) {
            enter.push(Order::State(name, State::Ready));
        }
        if !enter.is_empty() {
            switch.enter.push(enter);
        }
        Ok(())
    }

    /// Where it has to be pointed, if it is not there.
    fn moves(&self, text: &Server, next: &Server, runs: &Runs) -> Result<Option<(IpAddr, u16)>, String> {
        let resolved = next.says("resolvers");
        let (ip, port) = match &next.address {
            Address::Ip(ip, port) if !resolved => (*ip, *port),
            address if *address == text.address => return Ok(None),
            _ if resolved => {
                return Err(format!("{}: its address changed, and it has `resolvers`", at(next)));
            }
            _ => return Err(format!("{}: its address changed, which only a start can read", at(next))),
        };
        let same = runs.ip == Some(ip) && runs.port == port;
        if same && text.address == next.address {
            return Ok(None);
        }
        if !matches!(text.address, Address::Ip(..)) {
            return Err(format!("{}: its address was of another kind", at(next)));
        }
        if self.is.address_cookies || next.says("hash-key") {
            return Err(format!("{}: its address changed, and cookies or hashes are made from it", at(next)));
        }
        Ok((!same).then_some((ip, port)))
    }

    fn weight(&self, server: &Server) -> Result<u16, String> {
        server.weight().ok_or_else(|| format!("{}: its `weight` is none", at(server)))
    }

    fn same_settings(&self, text: &Server, next: &Server) -> Result<(), String> {
        if text.settings == next.settings {
            return Ok(());
        }
        let (had, has) = (fixed(text), fixed(next));
        let differs = had.keys().chain(has.keys()).find(|matter| had.get(*matter) != has.get(*matter));
        differs.map_or(Ok(()), |matter| Err(format!("{}: its `{matter}` changed", at(next))))
    }

    fn enters(
        &self,
        server: &Server,
        ids: &BTreeMap<String, u32>,
        switch: &mut Switch,
        steps: &mut Steps,
    ) -> Result<(), String> {
        let name = self.name(&server.name);
        let (ip, port, mut settings) = self.can_be_added(server)?;
        if let Some(id) = ids.get(&server.name) {
            settings.extend(["id".to_owned(), id.to_string()]);
        }
        steps.prepare.push(Order::Add { server: name.clone(), address: (ip, port), settings });
        // One that is not in use is not checked; its checks begin when it is.
        if server.says("disabled") {
            return Ok(());
        }
        if server.says("check") {
            steps.prepare.push(Order::EnableHealth(name.clone()));
        }
        let mut enter = vec![Order::State(name.clone(), State::Ready)];
        if server.says("agent-check") {
            enter.push(Order::EnableAgent(name));
        }
        switch.enter.push(enter);
        Ok(())
    }

    fn can_be_added(&self, server: &Server) -> Result<(IpAddr, u16, Vec<String>), String> {
        let new = |why: String| Err(format!("{} is new, {why}", at(server)));
        let Address::Ip(ip, port) = server.address else {
            return new("and its address can be read by a start only".into());
        };
        if self.is.algorithm == Algorithm::Ring {
            return new(
                "and HAProxy gives an added server a wrong place in a hash ring (haproxy#3413)".into()
            );
        }
        if self.is.http && !self.can.added_servers_reuse() {
            return new(format!(
                "and HAProxy {} never reuses the connections of an added HTTP server",
                self.can.version()
            ));
        }
        self.weight(server)?;
        let settings = match server.to_add(self.can) {
            Ok(settings) => settings,
            Err(keyword) => {
                return new(format!("and HAProxy {} does not take `{keyword}` then", self.can.version()));
            }
        };
        let unread = ["crt", "ca-file", "crl-file"].iter().filter_map(|keyword| server.value(keyword));
        if let Some(path) = unread.into_iter().find(|path| !(self.loaded)(path)) {
            return new(format!("and HAProxy has not read {path}"));
        }
        if server.says("track") {
            return new("and it tracks another".into());
        }
        let sayable = |word: &String| !word.is_empty() && !word.contains(char::is_control) && word != "<<";
        if settings.len() > WORDS || !settings.iter().all(sayable) {
            return new("and its line cannot be said in the runtime API".into());
        }
        Ok((ip, port, settings))
    }

    /// Takes a server out; whether its sessions are cut.
    fn leaves(&self, server: &str, switch: &mut Switch, steps: &mut Steps) -> bool {
        let name = self.name(server);
        let text = self.text(server);
        let mut leave = vec![];
        if text.is_some_and(|text| text.says("agent-check")) {
            leave.push(Order::DisableAgent(name.clone()));
        }
        if self.runs(server).is_some_and(|runs| !runs.maint) {
            leave.push(Order::State(name.clone(), State::Maint));
        }
        if !leave.is_empty() {
            switch.leave.push(leave);
        }
        let cuts = text.is_some_and(Server::cuts);
        if cuts {
            steps.cut.push(Order::Cut(name.clone()));
        }
        steps.tidy.push(Order::Delete(name));
        cuts
    }
}

fn maxconn(text: &Server, next: &Server) -> Result<Option<u32>, String> {
    if text.value("maxconn") == next.value("maxconn") {
        return Ok(None);
    }
    match next.maxconn() {
        Some(most) if !next.says("minconn") => Ok(Some(most)),
        _ => Err(format!("{}: its `maxconn` changed, and `minconn` goes by it", at(next))),
    }
}

/// What cannot be changed at run time, by what it is about.
fn fixed(server: &Server) -> BTreeMap<&str, &Setting> {
    let fixed = server.settings.iter().filter(|setting| setting.is_fixed());
    fixed.map(|setting| (setting.matter(), setting)).collect()
}

/// How a server is called in a reason.
pub(super) fn at(server: &Server) -> String {
    format!("server {}/{} (line {})", server.proxy, server.name, server.line)
}
