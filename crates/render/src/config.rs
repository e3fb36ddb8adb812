//! What the user may choose: files, environment and flags, checked as a whole. Every mistake is reported at once.

mod deduplicate;
mod exec;
pub mod flags;
mod haproxy;
mod process;
mod spelling;
#[cfg(test)]
mod taken_over;
mod writing;

pub use deduplicate::Deduplicate;
pub use haproxy::HaproxyConfig;
pub use process::ProcessConfig;

use crate::{
    command::AfterWrite,
    exec::Program,
    files::{Destination, Gone},
    quiet::Patience,
    template::{Dialect, Language},
};
use config::{Environment, Mistakes, Place, Section, Setting, show_duration};
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
    /// Whether the agent's cache may answer.
    pub cached: bool,
    /// How answers are shared with other hosts.
    pub deduplicate: Option<Deduplicate>,
    /// Render each template once, then end.
    pub once: bool,
    /// Print instead of writing; run nothing.
    pub dry: bool,
    /// What concerns the process as a whole.
    pub process: ProcessConfig,
    /// A program to supervise.
    pub exec: Option<Program>,
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
    /// Where its text goes: a file, or the folder of several.
    pub destination: Destination,
    /// Whether it is a folder, and what becomes of files whose names are gone.
    pub many: Option<Gone>,
    /// The folder of the templates that it may use.
    pub partials: Option<PathBuf>,
    /// How long a burst of changes is waited out.
    pub wait: Patience,
    /// A command to run after each change.
    pub command: Option<AfterWrite>,
    /// The HAProxies that read the file.
    pub haproxies: Vec<HaproxyConfig>,
    /// Whether its failure to be filled ends the process.
    pub error_fatal: bool,
    /// Whether it is recorded which of its calls asks what; only for those who explain it.
    pub records: bool,
}

/// What templates have that say nothing of their own.
struct Defaults<'a> {
    wait: Patience,
    partials: Option<PathBuf>,
    delimiters: [Option<String>; 2],
    error_fatal: bool,
    /// Says it for all templates, whatever they say.
    forced: Option<bool>,
    /// What commands may see.
    env: &'a Environment,
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
    /// `--dry`.
    pub dry: bool,
    /// Flags that stand for a key, with what was given, in order.
    pub over: Vec<(String, String)>,
}

/// Top-level blocks that may be repeated.
pub const REPEATABLE: [&str; 1] = ["template"];
/// As in consul-template.
const MAX_STALE: Duration = Duration::from_secs(2);

impl RenderConfig {
    /// Checks what was read from the files in `top`, with the environment and flags over it.
    #[must_use]
    pub fn read(mut top: Section, env: &Environment, flags: &Flags, mistakes: &mut Mistakes) -> Self {
        let env = flags::layer(&mut top, env, &flags.over, mistakes);
        spelling::translate(&mut top, mistakes);
        spelling::set_aside(&mut top, mistakes);
        let process = ProcessConfig::read(&mut top, mistakes);
        let cached = top.part(&["consul"], &["cached"]).bool("cached", mistakes).unwrap_or_default();
        let mut consul = ConsulSettings::read(&mut top, &env, &flags.consul, mistakes);
        consul.retry.attempts = process.attempts;
        let admin = AdminSettings::read(&mut top, &env, &flags.admin, mistakes);
        let passed = passed_on(&env, &consul);
        let exec = exec::program(&mut top, &passed, mistakes);
        let wait = patience(&mut top, Patience::default(), mistakes);
        let fatal = top.bool("template_error_fatal", mistakes);
        let by_flag = top.place_of("template_error_fatal").file().starts_with("--");
        let defaults = Defaults {
            wait,
            partials: partials(&mut top, mistakes),
            delimiters: spelling::delimiters(&mut top, mistakes),
            error_fatal: fatal.unwrap_or(process.exit_on_error),
            forced: fatal.filter(|_| by_flag),
            env: &passed,
        };
        let mut templates: Vec<TemplateConfig> = top
            .blocks("template", false, mistakes)
            .into_iter()
            .filter_map(|(_, section)| TemplateConfig::read(section, &defaults, mistakes))
            .collect();
        for spec in &flags.templates {
            match TemplateConfig::parse(spec, &defaults) {
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
        for why in contested(&templates) {
            top.mistake("template.destination", why, mistakes);
        }
        let max_stale = top.duration("max_stale", mistakes).unwrap_or(MAX_STALE);
        let once = top.bool("once", mistakes).unwrap_or_default();
        if cached && max_stale.is_zero() {
            top.mistake(
                "consul.cached",
                "has no effect with max_stale = \"0s\", which asks the leader",
                mistakes,
            );
        }
        let deduplicate = Deduplicate::read(&mut top, consul.block_query_wait, mistakes);
        top.finish(mistakes);
        RenderConfig {
            consul,
            admin,
            templates,
            max_stale,
            cached,
            deduplicate,
            once,
            dry: flags.dry,
            process,
            exec,
        }
    }

    /// The effective configuration, for people; secrets are left out.
    #[must_use]
    pub fn show(&self) -> Value {
        let admin = self.admin.show();
        let process = self.process.show();
        json!({
            "consul": self.consul.show(),
            "admin": admin["admin"],
            "log": admin["log"],
            "once": self.once,
            "max_stale": show_duration(self.max_stale),
            "cached": self.cached,
            "deduplicate": self.deduplicate.as_ref().map(Deduplicate::show),
            "pid_file": process["pid_file"],
            "kill_signal": process["kill_signal"],
            "reload_signal": process["reload_signal"],
            "exit_on_error": process["exit_on_error"],
            "log_file": process["log_file"],
            "syslog": process["syslog"],
            "exec": self.exec.as_ref().map(exec::show),
            "template": self.templates.iter().map(TemplateConfig::show).collect::<Vec<_>>(),
        })
    }
}

impl TemplateConfig {
    fn read(mut section: Section, defaults: &Defaults<'_>, mistakes: &mut Mistakes) -> Option<Self> {
        let contents = section.string("contents", mistakes).filter(|text| !text.is_empty());
        let source = section.string("source", mistakes).filter(|path| !path.is_empty()).map(PathBuf::from);
        let (destination, many) = writing::destination(&mut section, mistakes);
        let partials = partials(&mut section, mistakes).or(defaults.partials.clone());
        let wait = patience(&mut section, defaults.wait, mistakes);
        let command = exec::command(&mut section, defaults.env, mistakes);
        let haproxies = haproxy::read(&mut section, defaults.env, mistakes);
        if contents.is_some() == source.is_some() {
            section.mistake("source", "is required, or contents in its place: one of the two", mistakes);
        }
        let dialect = dialect(&mut section, contents.is_some(), &defaults.delimiters, mistakes);
        let denied = section
            .words("function_denylist", mistakes)
            .or_else(|| section.words("function_blacklist", mistakes))
            .unwrap_or_default();
        let sandbox = section.string("sandbox_path", mistakes).filter(|path| !path.is_empty());
        let plugins = section.bool("plugins", mistakes).unwrap_or_default();
        let source = source.or_else(|| contents.as_ref().map(|_| "contents".into()));
        let error_fatal = section.bool("error_fatal", mistakes).unwrap_or(defaults.error_fatal);
        if many.is_some() && !haproxies.is_empty() {
            let why = "HAProxy reads one file here: give its configuration a template {} block of its own, with destination";
            section.mistake("haproxy", why, mistakes);
        }
        if command.is_some() && !haproxies.is_empty() {
            section.mistake(
                "command",
                "leave it out: haproxy {} tells HAProxy of each change itself",
                mistakes,
            );
        }
        section.finish(mistakes);
        Some(TemplateConfig {
            source: source?,
            contents,
            dialect,
            denied,
            sandbox,
            plugins,
            destination: destination?,
            many,
            partials,
            wait,
            command,
            haproxies,
            error_fatal: defaults.forced.unwrap_or(error_fatal),
            records: false,
        })
    }

    /// Reads consul-template's `SRC:DST[:CMD]` as a block with these three keys.
    fn parse(spec: &str, defaults: &Defaults<'_>) -> Result<Self, String> {
        let wrong = || "write SOURCE:DESTINATION or SOURCE:DESTINATION:COMMAND".to_owned();
        let (source, destination, command) = spelling::template(spec).ok_or_else(wrong)?;
        let mut section = Section::empty("template");
        for (key, value) in
            [("source", Some(source)), ("destination", Some(destination)), ("command", command)]
        {
            if let Some(value) = value {
                section.lay(&[key], Place::of("--template"), Setting::Text(value.into()));
            }
        }
        TemplateConfig::read(section, defaults, &mut Mistakes::default()).ok_or_else(wrong)
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
            "partials": self.partials,
            "destination": self.many.is_none().then(|| self.destination.path()),
            "directory": self.many.map(|_| self.destination.path()),
            "on_gone": self.many.map(|gone| if gone == Gone::Kept { "keep" } else { "remove" }),
            "perms": self.destination.perms().map(|mode| format!("{mode:04o}")),
            "create_dest_dirs": self.destination.creates_folders(),
            "user": self.destination.owner().user,
            "group": self.destination.owner().group,
            "backup": self.destination.keeps_backup(),
            "error_fatal": self.error_fatal,
            "wait": {"min": show_duration(self.wait.min), "max": show_duration(self.wait.max)},
            "command": self.command.as_ref().map(|command| &command.argv),
            "command_timeout": self.command.as_ref().map(|command| show_duration(command.timeout)),
            "command_env": self.command.as_ref().map(|command| exec::names(&command.env)),
            "haproxy": self.haproxies.iter().map(HaproxyConfig::show).collect::<Vec<_>>(),
        })
    }
}

/// Two writers of one file would each take the other's unfinished work for their own.
fn contested(templates: &[TemplateConfig]) -> Vec<String> {
    let mut found = vec![];
    for (n, template) in templates.iter().enumerate() {
        let path = template.destination.path();
        let others = || templates.iter().enumerate().filter(|(other, _)| *other != n);
        if templates[..n].iter().any(|other| other.destination.path() == path) {
            found.push(format!("two templates write to {}", path.display()));
        } else if template.many.is_some()
            && let Some((_, other)) = others().find(|(_, other)| other.destination.path().starts_with(path))
        {
            let (path, other) = (path.display(), other.destination.path().display());
            found.push(format!("{other} lies in {path}, which is the directory of another template"));
        }
    }
    found
}

/// The folder of partials, by either of its names.
fn partials(section: &mut Section, mistakes: &mut Mistakes) -> Option<PathBuf> {
    let (name, other) = (section.string("partials", mistakes), section.string("templates", mistakes));
    if name.is_some() && other.is_some() {
        section.mistake("templates", "is another name of partials: give one of them", mistakes);
    }
    name.or(other).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// `wait { min  max }`, or consul-template's `wait = "MIN[:MAX]"`.
fn patience(section: &mut Section, default: Patience, mistakes: &mut Mistakes) -> Patience {
    if let Some(text) = section.text("wait").map(str::to_owned) {
        let (place, (min, max)) = (section.place_of("wait").clone(), wait_parts(&text));
        let mut wait = Section::empty(&section.path_of("wait"));
        let parts = [("min", Some(min)), ("max", max)];
        for (key, part) in parts {
            if let Some(part) = part {
                wait.lay(&[key], place.clone(), Setting::Text(part.trim().into()));
            }
        }
        _ = section.string("wait", mistakes);
        return waited(wait, default, mistakes);
    }
    match section.block("wait", mistakes) {
        Some(wait) => waited(wait, default, mistakes),
        None => default,
    }
}

fn wait_parts(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(min, max)| (min, Some(max)))
}

fn waited(mut wait: Section, default: Patience, mistakes: &mut Mistakes) -> Patience {
    // consul-template's own name for it is `bool`, by a slip.
    let enabled = wait.bool("enabled", mistakes).or(wait.bool("bool", mistakes)).unwrap_or(true);
    let given = wait.has("min") || wait.has("max");
    let min = wait.duration("min", mistakes).unwrap_or_default();
    // As in consul-template.
    let max = wait.duration("max", mistakes).unwrap_or(min * 4);
    if max < min {
        wait.mistake("max", "must not be less than min", mistakes);
    }
    wait.finish(mistakes);
    match (enabled, given) {
        (false, _) => Patience::default(),
        (true, true) => Patience { min, max },
        (true, false) => default,
    }
}

/// The environment as programs that render starts may see it: how to reach Consul, and not by which token.
fn passed_on(env: &Environment, consul: &ConsulSettings) -> Environment {
    let mut passed = env.clone();
    daemon::child::SECRETS.iter().for_each(|name| _ = passed.remove(*name));
    passed.insert("CONSUL_HTTP_ADDR".into(), consul.address.clone());
    passed
}

fn dialect(
    section: &mut Section,
    inline: bool,
    [left, right]: &[Option<String>; 2],
    mistakes: &mut Mistakes,
) -> Dialect {
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
        left: section.string("left_delimiter", mistakes).or(left.clone()).unwrap_or_default(),
        right: section.string("right_delimiter", mistakes).or(right.clone()).unwrap_or_default(),
        missing_is_error: section.bool("error_on_missing_key", mistakes).unwrap_or_default(),
        strict: section.bool("strict", mistakes).unwrap_or_default(),
        partials: vec![],
    }
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
        assert_eq!(config.templates[0].haproxies[0].binary, PathBuf::from("haproxy"));
        assert_eq!(config.show()["template"][0]["haproxy"][0]["master_socket"], "/run/m.sock");
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
            "template.haproxy.master_socket: is missing",
            "template.destination: is required",
            "r.hcl:9: once:",
            "--template: nothing: write SOURCE:DESTINATION",
        ] {
            assert!(mistakes.contains(expected), "{expected} is not in:\n{mistakes}");
        }
        assert!(read("", &Flags::default()).1.contains("nothing to render"));
    }
}
