//! The configuration of `rolecall register`, checked as a whole: every mistake is found at once.

mod address;
mod print;
mod probe;

pub use address::AddressConfig;
pub use probe::{Kind, ProbeConfig, RedisConfig, SentinelConfig};

use crate::{identity, probe::link::Address, words::Words};
use config::{Environment, Mistakes, Section};
use consul::{
    ConsulSettings, Role,
    instance::{MANY, meta},
};
use daemon::settings::{AdminFlags, AdminSettings};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Everything `rolecall register` was told.
#[derive(Clone, Debug)]
pub struct RegisterConfig {
    /// How to reach Consul.
    pub consul: ConsulSettings,
    /// Admin pages and log.
    pub admin: AdminSettings,
    /// How long leaving may take, from the signal to the verified end.
    pub leave_timeout: Duration,
    /// The instances to keep, one for each `service` block.
    pub services: Vec<ServiceConfig>,
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct RegisterFlags {
    /// `--consul-addr` and `--consul-token-file`.
    pub consul: consul::settings::Flags,
    /// `--admin-addr`, `--log-level` and `--log-format`.
    pub admin: AdminFlags,
}

/// One `service` block.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Consul service name.
    pub name: String,
    /// Consul service id.
    pub id: String,
    /// Where clients reach it.
    pub address: AddressConfig,
    /// Its port there.
    pub port: u16,
    /// Tags beside the role tag.
    pub tags: Vec<String>,
    /// Meta beside role, epoch and run id.
    pub meta: BTreeMap<String, String>,
    /// What its roles are called.
    pub words: Words,
    /// Whether several instances may be master at once.
    pub many: bool,
    /// Under which prefix of Consul's keys the epoch pointer is; none by default.
    pub lock: Option<String>,
    /// How long Consul believes a heartbeat.
    pub ttl: Duration,
    /// After how long in critical Consul removes the entry by itself.
    pub deregister_critical_after: Duration,
    /// How the role is learned.
    pub probe: ProbeConfig,
}

const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
const TTL: Duration = Duration::from_secs(10);
/// Below this, one slow heartbeat makes an instance flap.
const LEAST_TTL: Duration = Duration::from_secs(1);
/// Consul raises anything less to this by itself.
const LEAST_DEREGISTER_AFTER: Duration = Duration::from_secs(60);

impl RegisterConfig {
    /// Reads and checks the whole configuration: files (and directories of files) from left to right, then the
    /// environment, then flags.
    pub fn load(paths: &[PathBuf], env: &Environment, flags: &RegisterFlags) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let top = config::read(paths, &["service"], &mut mistakes);
        let config = Self::read(top, env, flags, &mut mistakes);
        mistakes.into_result(config)
    }

    fn read(mut top: Section, env: &Environment, flags: &RegisterFlags, mistakes: &mut Mistakes) -> Self {
        let consul = ConsulSettings::read(&mut top, env, &flags.consul, mistakes);
        let admin = AdminSettings::read(&mut top, env, &flags.admin, mistakes);
        let leave_timeout = top.duration("leave_timeout", mistakes).unwrap_or(LEAVE_TIMEOUT);
        if leave_timeout.is_zero() {
            top.mistake("leave_timeout", "must be more than zero", mistakes);
        }
        let blocks = top.blocks("service", true, mistakes);
        if blocks.is_empty() && mistakes.is_empty() {
            let why =
                "there is no service block, so there is nothing to register: write service \"NAME\" { … }";
            top.mistake("service", why, mistakes);
        }
        let mut services: Vec<ServiceConfig> = vec![];
        for (name, section) in blocks {
            let place = section.place().clone();
            let service = ServiceConfig::read(name.unwrap_or_default(), section, env, mistakes);
            if services.iter().any(|other| other.id == service.id) {
                let why =
                    format!("another service block has the id \"{}\" too: give each its own", service.id);
                mistakes.note(place, format!("service.{}.id", service.name), why);
            }
            services.push(service);
        }
        if admin.address.is_none() && services.iter().any(|service| service.probe.is_told()) {
            let why = "is needed: probe \"push\" is told the role there";
            mistakes.note(top.place().clone(), "admin.address".to_owned(), why);
        }
        top.finish(mistakes);
        Self { consul, admin, leave_timeout, services }
    }
}

impl ServiceConfig {
    fn read(name: String, mut section: Section, env: &Environment, mistakes: &mut Mistakes) -> Self {
        if name.trim().is_empty() {
            section.mistake("", "needs a name: service \"NAME\" { … }", mistakes);
        }
        let id = section.string("id", mistakes).or_else(|| {
            let own = identity::own_name(env);
            if own.is_none() && !section.has("id") {
                section.mistake(
                    "id",
                    "is needed, since neither $POD_NAME nor the host's name is known",
                    mistakes,
                );
            }
            own.map(|own| format!("{name}-{own}"))
        });
        // An agent takes such an entry, and does not find it again by its name.
        for (key, text) in std::iter::once(("", &name)).chain(id.as_ref().map(|id| ("id", id))) {
            if text.contains(char::is_control) {
                section.mistake(key, format!("{text:?} has control characters"), mistakes);
            }
        }
        let address = address::read(&mut section, env, mistakes);
        let meta = facts(&mut section, env, mistakes);
        let ttl = at_least("ttl", TTL, LEAST_TTL, &mut section, mistakes);
        let after = "deregister_critical_after";
        let deregister_critical_after =
            at_least(after, LEAST_DEREGISTER_AFTER, LEAST_DEREGISTER_AFTER, &mut section, mistakes);
        let has_port = section.has("port");
        let port = section.integer("port", 1..=65535, mistakes).and_then(|port| u16::try_from(port).ok());
        let probe = probe::read(&mut section, mistakes);
        let port = match (port, &probe) {
            (None, Some(probe)) if !has_port => match probe.address() {
                Some(Address::Tcp(_, probed)) => probed,
                Some(Address::Unix(_)) => {
                    section.mistake("port", "is needed, since the probe's unix socket has none", mistakes);
                    0
                }
                None => {
                    section.mistake("port", "is needed, since the probe connects to none", mistakes);
                    0
                }
            },
            (port, _) => port.unwrap_or_default(),
        };
        let probe = probe.unwrap_or_default();
        let words = words(&mut section, probe.words(), mistakes);
        let tags = tags(&mut section, &words, mistakes);
        let many = cardinality(&mut section, mistakes);
        if many && probe.sentinel().is_some() {
            section.mistake("cardinality", "is \"many\", yet Sentinel keeps one master", mistakes);
        }
        let lock = lock(&mut section, many, mistakes);
        section.finish(mistakes);
        let id = id.unwrap_or_default();
        Self { name, id, address, port, tags, meta, words, many, lock, ttl, deregister_critical_after, probe }
    }
}

fn tags(section: &mut Section, words: &Words, mistakes: &mut Mistakes) -> Vec<String> {
    let tags = section.strings("tags", mistakes).unwrap_or_default();
    for tag in &tags {
        let own = [&words.primary, &words.replica].contains(&tag);
        if own || Role::read(tag).is_some() {
            let why = format!(
                "\"{tag}\" says a role, and is written by rolecall itself from what it sees; take it out"
            );
            section.mistake("tags", why, mistakes);
        }
    }
    tags
}

/// The tags of the two roles.
fn words(section: &mut Section, default: Words, mistakes: &mut Mistakes) -> Words {
    let Some(mut block) = section.block("roles", mistakes) else { return default };
    let primary = block.string("primary", mistakes).unwrap_or(default.primary);
    let replica = block.string("replica", mistakes).unwrap_or(default.replica);
    for (key, word, other) in [("primary", &primary, Role::Replica), ("replica", &replica, Role::Master)] {
        if word.trim().is_empty() {
            block.mistake(key, "must not be empty", mistakes);
        } else if Role::read(word) == Some(other) {
            let why = format!("\"{word}\" is what the field calls a {other}; choose another tag");
            block.mistake(key, why, mistakes);
        }
    }
    if primary == replica {
        block.mistake("replica", "is the same tag as that of the primary", mistakes);
    }
    block.finish(mistakes);
    Words { primary, replica }
}

/// The prefix of the epoch pointer.
fn lock(section: &mut Section, many: bool, mistakes: &mut Mistakes) -> Option<String> {
    let mut block = section.block("lock", mistakes)?;
    let has_prefix = block.has("prefix");
    let prefix = block.string("prefix", mistakes);
    let why = match prefix.as_deref() {
        None if has_prefix => None,
        None => Some("is needed: the beginning of the key that names the master, such as \"rolecall/prod\""),
        Some(prefix) if prefix.trim_matches('/').is_empty() => Some("must not be empty"),
        Some(_) if many => Some("names one master, yet cardinality is \"many\""),
        Some(_) => None,
    };
    if let Some(why) = why {
        block.mistake("prefix", why, mistakes);
    }
    block.finish(mistakes);
    prefix.map(|prefix| prefix.trim_matches('/').to_owned())
}

/// Whether there may be many masters; there is one unless chosen.
fn cardinality(section: &mut Section, mistakes: &mut Mistakes) -> bool {
    let read = |word: &str| match word {
        "one" => Ok(false),
        MANY => Ok(true),
        _ => Err(format!("expected \"one\" or \"{MANY}\", found {word:?}")),
    };
    section.parsed("cardinality", read, mistakes).unwrap_or_default()
}

/// The limits of Consul's agent, which refuses the whole registration otherwise.
fn facts(section: &mut Section, env: &Environment, mistakes: &mut Mistakes) -> BTreeMap<String, String> {
    const OURS: [&str; 14] = [
        meta::ROLE,
        meta::SAYS,
        meta::CARDINALITY,
        meta::EPOCH,
        meta::LAST_EPOCH,
        meta::GENERATION,
        meta::RUN_ID,
        meta::LINK,
        meta::REPLID,
        meta::POD,
        meta::POD_UID,
        meta::NAMESPACE,
        meta::NODE,
        meta::REGISTRAR,
    ];
    let mut facts = section.string_map("meta", mistakes).unwrap_or_default();
    for (key, value) in &facts {
        let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let why = match key.as_str() {
            ours if OURS.contains(&ours) => "is written by rolecall itself; take it out",
            key if key.starts_with("consul-") => "begins with consul-, which Consul keeps for itself",
            key if !plain || key.len() > 128 => {
                "is no key that Consul takes: letters, digits, _ and -, at most 128"
            }
            _ if value.len() > 512 => "is longer than the 512 bytes that Consul takes",
            _ => continue,
        };
        section.mistake("meta", format!("\"{key}\" {why}"), mistakes);
    }
    if facts.len() > 64 - OURS.len() {
        let (all, ours) = (64, OURS.len());
        let why =
            format!("has more than {} keys: Consul takes {all}, of which rolecall writes {ours}", all - ours);
        section.mistake("meta", why, mistakes);
    }
    facts.extend(identity::place(env));
    facts
}

fn at_least(
    key: &str,
    default: Duration,
    least: Duration,
    section: &mut Section,
    mistakes: &mut Mistakes,
) -> Duration {
    let given = section.duration(key, mistakes).unwrap_or(default);
    if given < least {
        section.mistake(key, format!("must be {} or more", config::show_duration(least)), mistakes);
    }
    given
}

#[cfg(test)]
mod tests;
