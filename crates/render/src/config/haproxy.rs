//! The `haproxy` blocks of a template: who reads its file, and how each of them is reached.

use crate::{
    command::AfterWrite,
    haproxy::{
        demote::Demote,
        door::{Door, Way},
        enough::{Enough, OnEmpty},
        socket::Socket,
        successor::Successor,
    },
    steer::Policy,
};
use config::{Environment, Mistakes, Section, show_duration};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// An HAProxy that reads a rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaproxyConfig {
    /// Its name; where there is more than one, each has its own.
    pub name: String,
    /// How it is reached and reloaded.
    pub door: Door,
    /// HAProxy's program, which checks each configuration before it is put in place.
    pub binary: PathBuf,
    /// When a reload is allowed.
    pub reload: Policy,
    /// The least time between two reloads.
    pub reload_interval: Duration,
    /// What its backends must be left with.
    pub enough: Enough,
    /// What becomes of sessions to a server that leaves a proxy that cuts.
    pub on_demote: Demote,
    /// How many old workers may live on; `None` for any number.
    pub max_old_workers: Option<usize>,
}

/// A reload takes some 100 ms and leaves a worker behind; a burst of changes should not leave one for each.
const RELOAD_INTERVAL: Duration = Duration::from_millis(500);
/// A command reloads, and a new process answers: a configuration that is long in the check is long in the reload.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads all `haproxy` blocks of a template.
pub(super) fn read(template: &mut Section, env: &Environment, mistakes: &mut Mistakes) -> Vec<HaproxyConfig> {
    let blocks = template.blocks("haproxy", false, mistakes);
    let several = blocks.len() > 1;
    let mut found: Vec<HaproxyConfig> = vec![];
    for (_, mut section) in blocks {
        let name = name(&mut section, several, &found, mistakes);
        found.extend(HaproxyConfig::read(section, name, env, mistakes));
    }
    found
}

/// Names stand in file names, metrics and messages.
fn name(section: &mut Section, several: bool, others: &[HaproxyConfig], mistakes: &mut Mistakes) -> String {
    let name = section.string("name", mistakes).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.chars().all(plain) {
        section.mistake("name", "may hold letters, digits, `-` and `_`", mistakes);
    } else if several && name.is_empty() {
        section.mistake("name", "is required: this template has more than one haproxy {}", mistakes);
    } else if others.iter().any(|other| other.name == name) {
        section.mistake("name", format!("two haproxy {{}} of this template are called {name}"), mistakes);
    }
    name
}

impl HaproxyConfig {
    fn read(mut section: Section, name: String, env: &Environment, mistakes: &mut Mistakes) -> Option<Self> {
        let binary: PathBuf = section.string("binary", mistakes).unwrap_or_else(|| "haproxy".into()).into();
        let reload = section.parsed("reload", policy, mistakes).unwrap_or_default();
        let door = door(&mut section, (&binary, env), reload, mistakes);
        let reload_interval = section.duration("reload_interval", mistakes).unwrap_or(RELOAD_INTERVAL);
        let least = section.integer("min_instances", 0..=100_000, mistakes);
        let on_empty = section.parsed("on_empty", on_empty, mistakes).unwrap_or_default();
        let enough =
            Enough { least: least.and_then(|least| least.try_into().ok()).unwrap_or_default(), on_empty };
        let on_demote = section.parsed("on_demote", str::parse, mistakes).unwrap_or_default();
        let max_old_workers =
            section.integer("max_old_workers", 0..=1_000, mistakes).and_then(|most| most.try_into().ok());
        section.finish(mistakes);
        Some(HaproxyConfig {
            name,
            door: door?,
            binary,
            reload,
            reload_interval,
            enough,
            on_demote,
            max_old_workers,
        })
    }

    pub(super) fn show(&self) -> Value {
        let (command, pid_file) = match &self.door.way {
            Way::Command(command) => (Some(command), None),
            Way::Successor(successor) => (None, Some(&successor.pid_file)),
            Way::Master(_) | Way::Nobody => (None, None),
        };
        json!({
            "name": self.name,
            "master_socket": self.door.master().map(ToString::to_string),
            "stats_socket": self.door.stats.as_ref().map(ToString::to_string),
            "reload_command": command.map(|command| &command.argv),
            "reload_timeout": command.map(|command| show_duration(command.timeout)),
            "pid_file": pid_file,
            "binary": self.binary,
            "reload": match self.reload {
                Policy::Never => "never",
                Policy::WhenNeeded => "when_needed",
                Policy::Always => "always",
            },
            "reload_interval": show_duration(self.reload_interval),
            "min_instances": self.enough.least,
            "on_empty": match self.enough.on_empty {
                OnEmpty::Allow => "allow",
                OnEmpty::Keep => "keep",
                OnEmpty::Fail => "fail",
            },
            "on_demote": self.on_demote.to_string(),
            "max_old_workers": self.max_old_workers,
        })
    }
}

/// How an HAProxy is reached, and the one way in which it is reloaded.
fn door(
    section: &mut Section,
    (binary, env): (&Path, &Environment),
    reload: Policy,
    mistakes: &mut Mistakes,
) -> Option<Door> {
    let written = ["master_socket", "reload_command", "pid_file"].map(|key| section.has(key));
    let has_stats = section.has("stats_socket");
    let master = section.parsed("master_socket", str::parse::<Socket>, mistakes);
    let stats = section.parsed("stats_socket", str::parse::<Socket>, mistakes);
    let timeout = section.duration("reload_timeout", mistakes).unwrap_or(RELOAD_TIMEOUT);
    if timeout.is_zero() {
        section.mistake("reload_timeout", "must be more than zero: a reload is waited for", mistakes);
    }
    let argv = section.words("reload_command", mistakes);
    let pid_file = section.string("pid_file", mistakes).map(PathBuf::from);
    match written.iter().filter(|written| **written).count() {
        0 if reload != Policy::Never || !has_stats => {
            let why = "is missing: the socket of `haproxy -W -S SOCKET,level,admin`. For an HAProxy without a master, \
                       stats_socket and reload_command or pid_file in its place";
            section.mistake("master_socket", why, mistakes);
        }
        0 | 1 => {}
        _ => section.mistake(
            "reload_command",
            "master_socket, reload_command and pid_file are three ways to reload: write one of them",
            mistakes,
        ),
    }
    if !written[0] && !has_stats && written.contains(&true) {
        let why =
            "is missing: without a master_socket, it is how HAProxy is steered and seen to have reloaded";
        section.mistake("stats_socket", why, mistakes);
    }
    let way = match (master, argv, pid_file) {
        (Some(socket), ..) => Way::Master(socket),
        (None, Some(argv), _) => Way::Command(AfterWrite { argv, timeout, env: env.clone() }),
        (None, None, Some(pid_file)) => Way::Successor(Successor { binary: binary.into(), pid_file }),
        (None, None, None) => Way::Nobody,
    };
    (matches!(way, Way::Master(_)) || stats.is_some()).then_some(Door { stats, way })
}

fn policy(word: &str) -> Result<Policy, String> {
    match word {
        "never" => Ok(Policy::Never),
        "when_needed" => Ok(Policy::WhenNeeded),
        "always" => Ok(Policy::Always),
        _ => Err("must be \"never\", \"when_needed\" or \"always\"".into()),
    }
}

fn on_empty(word: &str) -> Result<OnEmpty, String> {
    match word {
        "allow" => Ok(OnEmpty::Allow),
        "keep" => Ok(OnEmpty::Keep),
        "fail" => Ok(OnEmpty::Fail),
        _ => Err("must be \"keep\", \"fail\" or \"allow\"".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &str) -> (Vec<HaproxyConfig>, String) {
        let mut mistakes = Mistakes::default();
        let mut top = config::parse("r.hcl", text, &mut mistakes);
        let found = read(&mut top, &Environment::default(), &mut mistakes);
        (found, mistakes.to_string())
    }

    #[test]
    fn each_way_to_run_haproxy_is_read() {
        for (text, way) in [
            ("master_socket = \"/run/m.sock\"", "Master"),
            ("master_socket = \"tcp://127.0.0.1:9000\"\n stats_socket = \"ipv4@127.0.0.1:9001\"", "Master"),
            ("stats_socket = \"/s\"\n reload_command = [\"systemctl\", \"reload\", \"haproxy\"]", "Command"),
            ("stats_socket = \"/s\"\n pid_file = \"/run/haproxy.pid\"", "Successor"),
            ("stats_socket = \"/s\"\n reload = \"never\"", "Nobody"),
        ] {
            let (found, mistakes) = blocks(&format!("haproxy {{\n {text}\n}}\n"));
            assert_eq!(mistakes, "", "{text}");
            assert!(format!("{:?}", found[0].door.way).starts_with(way), "{text}: {:?}", found[0]);
        }
    }

    #[test]
    fn what_is_missing_or_too_much_is_said() {
        for (text, expected) in [
            ("haproxy {}", "haproxy.master_socket: is missing"),
            ("haproxy { stats_socket = \"/s\" }", "haproxy.master_socket: is missing"),
            ("haproxy { pid_file = \"/p\" }", "haproxy.stats_socket: is missing"),
            ("haproxy {\n master_socket = \"/m\"\n pid_file = \"/p\"\n}", "write one of them"),
            ("haproxy { master_socket = \"*:99\" }", "write 127.0.0.1:99"),
            (
                "haproxy {\n stats_socket = \"/s\"\n reload_command = \"r\"\n reload_timeout = \"0s\"\n}",
                "haproxy.reload_timeout: must be more than zero",
            ),
            (
                "haproxy { master_socket = \"/m\" }\nhaproxy { master_socket = \"/n\" }",
                "haproxy.name: is required",
            ),
            (
                "haproxy {\n name = \"a\"\n master_socket = \"/m\"\n}\nhaproxy {\n name = \"a\"\n master_socket = \"/n\"\n}",
                "two haproxy {} of this template are called a",
            ),
            ("haproxy {\n name = \"a/b\"\n master_socket = \"/m\"\n}", "may hold letters"),
            ("haproxy {\n on_empty = \"no\"\n master_socket = \"/m\"\n}", "must be \"keep\""),
        ] {
            let (_, mistakes) = blocks(text);
            assert!(mistakes.contains(expected), "{text}: {mistakes}");
        }
    }
}
