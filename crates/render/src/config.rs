//! What the user may choose: files, environment and flags, checked as a whole. Every mistake is reported at once.

use crate::{
    command::AfterWrite,
    files::Destination,
    haproxy::{demote::Demote, socket::Socket},
    quiet::Patience,
    steer::Policy,
    template::{Dialect, Language},
};
use config::{Environment, Mistakes, Place, Section, show_duration};
use consul::{ConsulSettings, settings};
use daemon::settings::{AdminFlags, AdminSettings};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

/// The checked configuration of `rolecall render`.
#[derive(Clone, Debug)]
pub struct RenderConfig {
    /// How to reach Consul.
    pub consul: ConsulSettings,
    /// Admin pages and log.
    pub admin: AdminSettings,
    /// What to render; at least one.
    pub templates: Vec<TemplateConfig>,
    /// How old an answer may be that a server of Consul gives without asking its leader; zero for not at all.
    pub max_stale: Duration,
    /// Render each template once, then end.
    pub once: bool,
    /// Print instead of writing; run nothing.
    pub dry: bool,
}

/// One template and what is done with its text.
#[derive(Clone, Debug)]
pub struct TemplateConfig {
    /// The template file, or a name for `contents`.
    pub source: PathBuf,
    /// The template itself, in place of a file.
    pub contents: Option<String>,
    /// Its language.
    pub dialect: Dialect,
    /// Functions that it may not use; `*` stands for anything.
    pub denied: Vec<String>,
    /// The folder that its `file` function may read from.
    pub sandbox: Option<String>,
    /// Whether its `plugin` function may run programs.
    pub plugins: bool,
    /// Where its text goes.
    pub destination: Destination,
    /// How long a burst of changes is waited out.
    pub wait: Patience,
    /// A command to run after each change.
    pub command: Option<AfterWrite>,
    /// The HAProxy that reads the file.
    pub haproxy: Option<HaproxyConfig>,
}

/// The HAProxy that reads a rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaproxyConfig {
    /// Socket of the master process (`haproxy -W -S …`), for reloads.
    pub master_socket: Socket,
    /// Stats socket of the rendered configuration.
    pub stats_socket: Option<Socket>,
    /// HAProxy's program, which checks each configuration before it is put in place.
    pub binary: PathBuf,
    /// When a reload is allowed.
    pub reload: Policy,
    /// The least time between two reloads.
    pub reload_interval: Duration,
    /// A backend that had so many servers never gets fewer.
    pub min_instances: usize,
    /// What becomes of sessions to a server that leaves a proxy that cuts.
    pub on_demote: Demote,
    /// How many old workers may live on; `None` for any number.
    pub max_old_workers: Option<usize>,
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// Of Consul.
    pub consul: settings::Flags,
    /// Of the admin pages and the log.
    pub admin: AdminFlags,
    /// `--template SRC:DST[:CMD]`, each.
    pub templates: Vec<String>,
    /// `--once`.
    pub once: bool,
    /// `--dry`.
    pub dry: bool,
}

/// Top-level blocks that may be repeated.
pub const REPEATABLE: [&str; 1] = ["template"];
/// As in consul-template.
const MAX_STALE: Duration = Duration::from_secs(2);
/// As in consul-template.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// A reload takes some 100 ms and leaves a worker behind; a burst of changes should not leave one for each.
const RELOAD_INTERVAL: Duration = Duration::from_millis(500);

impl RenderConfig {
    /// Checks what was read from the files in `top`, with the environment and flags over it.
    #[must_use]
    pub fn read(mut top: Section, env: &Environment, flags: &Flags, mistakes: &mut Mistakes) -> Self {
        let consul = ConsulSettings::read(&mut top, env, &flags.consul, mistakes);
        let admin = AdminSettings::read(&mut top, env, &flags.admin, mistakes);
        let wait = patience(&mut top, Patience::default(), mistakes);
        let mut templates: Vec<TemplateConfig> = top
            .blocks("template", false, mistakes)
            .into_iter()
            .filter_map(|(_, section)| TemplateConfig::read(section, wait, mistakes))
            .collect();
        for spec in &flags.templates {
            match TemplateConfig::parse(spec, wait) {
                Ok(template) => templates.push(template),
                Err(why) => mistakes.note(Place::of("--template"), spec, why),
            }
        }
        if templates.is_empty() && mistakes.is_empty() {
            top.mistake(
                "template",
                "nothing to render: write a template {} block or give --template",
                mistakes,
            );
        }
        // Two readers of one file would each take the other's unfinished work for their own.
        for (n, template) in templates.iter().enumerate() {
            let path = template.destination.path();
            if templates[..n].iter().any(|other| other.destination.path() == path) {
                let why = format!("two templates write to {}", path.display());
                top.mistake("template.destination", why, mistakes);
            }
        }
        let max_stale = top.duration("max_stale", mistakes).unwrap_or(MAX_STALE);
        let once = top.bool("once", mistakes).unwrap_or_default() || flags.once;
        top.finish(mistakes);
        RenderConfig { consul, admin, templates, max_stale, once, dry: flags.dry }
    }

    /// The effective configuration, for people; secrets are left out.
    #[must_use]
    pub fn show(&self) -> Value {
        let admin = self.admin.show();
        json!({
            "consul": self.consul.show(),
            "admin": admin["admin"],
            "log": admin["log"],
            "once": self.once,
            "max_stale": show_duration(self.max_stale),
            "template": self.templates.iter().map(TemplateConfig::show).collect::<Vec<_>>(),
        })
    }
}

impl TemplateConfig {
    fn read(mut section: Section, wait: Patience, mistakes: &mut Mistakes) -> Option<Self> {
        let contents = section.string("contents", mistakes);
        let source = section.string("source", mistakes).map(PathBuf::from);
        let path = section.string("destination", mistakes).map(PathBuf::from);
        let perms = section.string("perms", mistakes).and_then(|perms| {
            let mode = u32::from_str_radix(&perms, 8).ok().filter(|mode| *mode <= 0o7777);
            if mode.is_none() {
                section.mistake("perms", "must be an octal mode in quotes, such as \"0640\"", mistakes);
            }
            mode
        });
        let create = section.bool("create_dest_dirs", mistakes).unwrap_or(true);
        let wait = patience(&mut section, wait, mistakes);
        let command = command(&mut section, mistakes);
        let haproxy =
            section.block("haproxy", mistakes).and_then(|haproxy| HaproxyConfig::read(haproxy, mistakes));
        if contents.is_some() == source.is_some() && (contents.is_some() || path.is_some()) {
            section.mistake("source", "is required, or contents in its place: one of the two", mistakes);
        }
        let dialect = dialect(&mut section, contents.is_some(), mistakes);
        let denied = section
            .words("function_denylist", mistakes)
            .or_else(|| section.words("function_blacklist", mistakes))
            .unwrap_or_default();
        let sandbox = section.string("sandbox_path", mistakes).filter(|path| !path.is_empty());
        let plugins = section.bool("plugins", mistakes).unwrap_or_default();
        let source = source.or_else(|| contents.as_ref().map(|_| "contents".into()));
        for (key, value) in [("source", &source), ("destination", &path)] {
            if value.as_ref().is_none_or(|path| path.as_os_str().is_empty()) {
                section.mistake(key, "is required", mistakes);
            }
        }
        if command.is_some() && haproxy.is_some() {
            section.mistake(
                "command",
                "leave it out: haproxy {} tells HAProxy of each change itself",
                mistakes,
            );
        }
        section.finish(mistakes);
        let destination = Destination::new(path?, perms, create);
        Some(TemplateConfig {
            source: source?,
            contents,
            dialect,
            denied,
            sandbox,
            plugins,
            destination,
            wait,
            command,
            haproxy,
        })
    }

    /// Reads consul-template's `SRC:DST[:CMD]`; the command may hold further colons.
    fn parse(spec: &str, wait: Patience) -> Result<Self, String> {
        let mut parts = spec.splitn(3, ':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(source), Some(destination), command) if !source.is_empty() && !destination.is_empty() => {
                let command = command.filter(|command| !command.is_empty());
                Ok(TemplateConfig {
                    source: source.into(),
                    contents: None,
                    dialect: Dialect::default(),
                    denied: vec![],
                    sandbox: None,
                    plugins: false,
                    destination: Destination::new(destination.into(), None, true),
                    wait,
                    command: command
                        .map(|line| AfterWrite { argv: vec![line.to_owned()], timeout: COMMAND_TIMEOUT }),
                    haproxy: None,
                })
            }
            _ => Err("write SOURCE:DESTINATION or SOURCE:DESTINATION:COMMAND".into()),
        }
    }

    fn show(&self) -> Value {
        json!({
            "source": self.source,
            "dialect": self.dialect.language.unwrap_or_else(|| Language::of(&self.source)).name(),
            "strict": self.dialect.strict,
            "error_on_missing_key": self.dialect.missing_is_error,
            "function_denylist": self.denied,
            "sandbox_path": self.sandbox,
            "plugins": self.plugins,
            "destination": self.destination.path(),
            "perms": self.destination.perms().map(|mode| format!("{mode:04o}")),
            "create_dest_dirs": self.destination.creates_folders(),
            "wait": {"min": show_duration(self.wait.min), "max": show_duration(self.wait.max)},
            "command": self.command.as_ref().map(|command| &command.argv),
            "command_timeout": self.command.as_ref().map(|command| show_duration(command.timeout)),
            "haproxy": self.haproxy.as_ref().map(|haproxy| json!({
                "master_socket": haproxy.master_socket.to_string(),
                "stats_socket": haproxy.stats_socket.as_ref().map(ToString::to_string),
                "binary": haproxy.binary,
                "reload": match haproxy.reload {
                    Policy::Never => "never",
                    Policy::WhenNeeded => "when_needed",
                    Policy::Always => "always",
                },
                "reload_interval": show_duration(haproxy.reload_interval),
                "min_instances": haproxy.min_instances,
                "on_demote": haproxy.on_demote.to_string(),
                "max_old_workers": haproxy.max_old_workers,
            })),
        })
    }
}

impl HaproxyConfig {
    fn read(mut section: Section, mistakes: &mut Mistakes) -> Option<Self> {
        let master_socket = section.parsed("master_socket", str::parse::<Socket>, mistakes);
        if master_socket.is_none() && !section.has("master_socket") {
            let why = "is required: the socket that `haproxy -W -S SOCKET,level,admin` listens on";
            section.mistake("master_socket", why, mistakes);
        }
        let stats_socket = section.parsed("stats_socket", str::parse::<Socket>, mistakes);
        let binary = section.string("binary", mistakes).unwrap_or_else(|| "haproxy".into()).into();
        let reload = section.parsed("reload", policy, mistakes).unwrap_or_default();
        let reload_interval = section.duration("reload_interval", mistakes).unwrap_or(RELOAD_INTERVAL);
        let min_instances = section
            .integer("min_instances", 0..=100_000, mistakes)
            .and_then(|least| least.try_into().ok())
            .unwrap_or_default();
        let on_demote = section.parsed("on_demote", str::parse, mistakes).unwrap_or_default();
        let max_old_workers =
            section.integer("max_old_workers", 0..=1_000, mistakes).and_then(|most| most.try_into().ok());
        section.finish(mistakes);
        Some(HaproxyConfig {
            master_socket: master_socket?,
            stats_socket,
            binary,
            reload,
            reload_interval,
            min_instances,
            on_demote,
            max_old_workers,
        })
    }
}

fn policy(word: &str) -> Result<Policy, String> {
    match word {
        "never" => Ok(Policy::Never),
        "when_needed" => Ok(Policy::WhenNeeded),
        "always" => Ok(Policy::Always),
        _ => Err("must be \"never\", \"when_needed\" or \"always\"".into()),
    }
}

fn patience(section: &mut Section, default: Patience, mistakes: &mut Mistakes) -> Patience {
    let Some(mut wait) = section.block("wait", mistakes) else { return default };
    let min = wait.duration("min", mistakes).unwrap_or_default();
    // As in consul-template.
    let max = wait.duration("max", mistakes).unwrap_or(min * 4);
    if max < min {
        wait.mistake("max", "must not be less than min", mistakes);
    }
    wait.finish(mistakes);
    Patience { min, max }
}

fn dialect(section: &mut Section, inline: bool, mistakes: &mut Mistakes) -> Dialect {
    let language = section.string("dialect", mistakes).and_then(|name| match name.as_str() {
        "handlebars" => Some(Language::Handlebars),
        "go" => Some(Language::Go),
        _ => {
            section.mistake("dialect", "must be \"handlebars\" or \"go\"", mistakes);
            None
        }
    });
    Dialect {
        // Whoever writes a template into the configuration does so as in consul-template.
        language: language.or(inline.then_some(Language::Go)),
        left: section.string("left_delimiter", mistakes).unwrap_or_default(),
        right: section.string("right_delimiter", mistakes).unwrap_or_default(),
        missing_is_error: section.bool("error_on_missing_key", mistakes).unwrap_or_default(),
        strict: section.bool("strict", mistakes).unwrap_or_default(),
    }
}

fn command(section: &mut Section, mistakes: &mut Mistakes) -> Option<AfterWrite> {
    let timeout = section.duration("command_timeout", mistakes).unwrap_or(COMMAND_TIMEOUT);
    if timeout.is_zero() {
        section.mistake("command_timeout", "must be more than zero: a command is waited for", mistakes);
    }
    let argv = section.words("command", mistakes)?;
    Some(AfterWrite { argv, timeout })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, flags: &Flags) -> (RenderConfig, String) {
        let mut mistakes = Mistakes::default();
        let top = config::parse("r.hcl", text, &mut mistakes);
        let config = RenderConfig::read(top, &Environment::new(), flags, &mut mistakes);
        (config, mistakes.to_string())
    }

    #[test]
    fn a_whole_configuration_is_read() {
        let (config, mistakes) = read(
            r#"
            consul { address = "10.0.0.1:8500" }
            wait { min = "1s" }
            template {
              source = "a.hbs"
              destination = "/run/a.cfg"
              perms = "0640"
              wait { min = "0s"  max = "1s" }
              haproxy { master_socket = "/run/m.sock"  stats_socket = "127.0.0.1:9999" }
            }
            template {
              source = "b.hbs"
              destination = "/run/b.cfg"
              command = "echo a b"
            }
            template {
              source = "d.hbs"
              destination = "/run/d.cfg"
              command = ["systemctl", "reload", "x"]
            }"#,
            &Flags { templates: vec!["c.hbs:/run/c.cfg:echo a:b".into()], ..Flags::default() },
        );
        assert_eq!(mistakes, "");
        let waits: Vec<_> =
            config.templates.iter().map(|t| (t.wait.min.as_secs(), t.wait.max.as_secs())).collect();
        assert_eq!(waits, [(0, 1), (1, 4), (1, 4), (1, 4)]);
        let commands: Vec<_> =
            config.templates[1..].iter().map(|t| t.command.clone().unwrap().argv).collect();
        assert_eq!(commands, [vec!["echo a b"], vec!["systemctl", "reload", "x"], vec!["echo a:b"]]);
        assert_eq!(config.templates[0].haproxy.as_ref().unwrap().binary, PathBuf::from("haproxy"));
        assert_eq!(config.show()["template"][0]["haproxy"]["master_socket"], "/run/m.sock");
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let (_, mistakes) = read(
            "template {\n source = \"a\"\n destinatoin = \"b\"\n perms = \"0999\"\n wait { min = \"5\" }\n haproxy {}\n command = \"x\"\n}\n\
             once = \"yes\"\n",
            &Flags { templates: vec!["nothing".into()], ..Flags::default() },
        );
        for expected in [
            "r.hcl:3: template.destinatoin: unknown key; did you mean destination?",
            "r.hcl:4: template.perms: must be an octal mode",
            "r.hcl:5: template.wait.min:",
            "template.haproxy.master_socket: is required",
            "template.destination: is required",
            "r.hcl:9: once:",
            "--template: nothing: write SOURCE:DESTINATION",
        ] {
            assert!(mistakes.contains(expected), "{expected} is not in:\n{mistakes}");
        }
        assert!(read("", &Flags::default()).1.contains("nothing to render"));
    }
}
