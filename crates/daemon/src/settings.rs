//! What a user can choose of a process's manners: the admin address and the log.

use config::{Environment, Mistakes, Section, layered};
use std::{net::SocketAddr, path::PathBuf};
use tracing::Level;

/// The checked choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Where the admin pages listen; nowhere when absent.
    pub address: Option<SocketAddr>,
    /// Holds the token that an order must bring; without it, orders are taken from this machine alone.
    pub token_file: Option<PathBuf>,
    /// The least important events that are logged; `info` when not chosen.
    pub level: Level,
    /// True for a log in JSON; plain text when not chosen.
    pub json: bool,
}

/// The same choices as given by flags.
#[derive(Clone, Debug, Default)]
pub struct AdminFlags {
    /// `--admin-addr`
    pub address: Option<String>,
    /// `--log-level`
    pub level: Option<String>,
    /// `--log-format`
    pub format: Option<String>,
}

impl Default for AdminSettings {
    fn default() -> AdminSettings {
        AdminSettings { address: None, token_file: None, level: Level::INFO, json: false }
    }
}

impl AdminSettings {
    /// The choices for people, as `--print-config` shows them.
    #[must_use]
    pub fn show(&self) -> serde_json::Value {
        serde_json::json!({
            "admin": {"address": self.address.map(|address| address.to_string()), "token_file": self.token_file},
            "log": {
                "level": self.level.to_string().to_lowercase(),
                "format": if self.json { "json" } else { "text" },
            },
        })
    }

    /// Takes `admin { address  token_file }` and `log { level  format }` out of the top section; the environment goes
    /// before the files and flags before both.
    pub fn read(
        top: &mut Section,
        env: &Environment,
        flags: &AdminFlags,
        mistakes: &mut Mistakes,
    ) -> AdminSettings {
        let default = AdminSettings::default();
        let var = |name: &str| env.get(name).map(String::as_str);
        let mut admin = top.block("admin", mistakes).unwrap_or_else(|| Section::empty("admin"));
        let over = [
            ("--admin-addr", flags.address.as_deref()),
            ("$ROLECALL_ADMIN_ADDRESS", var("ROLECALL_ADMIN_ADDRESS")),
        ];
        let address = layered(&mut admin, "address", &over, parse_address, mistakes);
        let token_file = admin.string("token_file", mistakes).map(PathBuf::from);
        admin.finish(mistakes);

        let mut log = top.block("log", mistakes).unwrap_or_else(|| Section::empty("log"));
        let over =
            [("--log-level", flags.level.as_deref()), ("$ROLECALL_LOG_LEVEL", var("ROLECALL_LOG_LEVEL"))];
        let level = layered(&mut log, "level", &over, parse_level, mistakes);
        let over =
            [("--log-format", flags.format.as_deref()), ("$ROLECALL_LOG_FORMAT", var("ROLECALL_LOG_FORMAT"))];
        let json = layered(&mut log, "format", &over, parse_format, mistakes);
        log.finish(mistakes);
        let (level, json) = (level.unwrap_or(default.level), json.unwrap_or(default.json));
        AdminSettings { address, token_file, level, json }
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected IP:PORT such as \"127.0.0.1:9500\", found {text:?}"))
}

/// In any case, and with consul-template's `ERR`.
fn parse_level(text: &str) -> Result<Level, String> {
    let lower = text.to_ascii_lowercase();
    let word = if lower == "err" { "error" } else { &lower };
    let known = ["error", "warn", "info", "debug", "trace"].contains(&word);
    let level = word.parse().ok().filter(|_| known);
    level.ok_or_else(|| format!("expected error, warn, info, debug or trace, found {text:?}"))
}

fn parse_format(text: &str) -> Result<bool, String> {
    match text {
        "text" => Ok(false),
        "json" => Ok(true),
        _ => Err(format!("expected text or json, found {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "admin {\n address = \"127.0.0.1:9000\"\n token_file = \"/t\"\n}\nlog { level = \"error\" }";

    fn read(file: &str, env: &[(&str, &str)], flags: &AdminFlags) -> Result<AdminSettings, String> {
        let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let mut mistakes = Mistakes::default();
        let mut top = config::parse("f", file, &mut mistakes);
        let settings = AdminSettings::read(&mut top, &env, flags, &mut mistakes);
        mistakes.into_result(settings).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn flags_go_before_the_environment_and_it_before_files() {
        let none = AdminFlags::default();
        assert_eq!(read("", &[], &none), Ok(AdminSettings::default()));
        let token_file = Some("/t".into());
        let in_file = AdminSettings {
            address: "127.0.0.1:9000".parse().ok(),
            token_file: token_file.clone(),
            level: Level::ERROR,
            json: false,
        };
        assert_eq!(read(FILE, &[], &none), Ok(in_file));
        let env = [
            ("ROLECALL_ADMIN_ADDRESS", "127.0.0.1:9500"),
            ("ROLECALL_LOG_LEVEL", "debug"),
            ("ROLECALL_LOG_FORMAT", "json"),
        ];
        let address = "127.0.0.1:9500".parse().ok();
        let wanted = AdminSettings { address, token_file, level: Level::DEBUG, json: true };
        assert_eq!(read(FILE, &env, &none), Ok(wanted.clone()));
        let flags = AdminFlags { level: Some("warn".into()), ..none };
        assert_eq!(read(FILE, &env, &flags), Ok(AdminSettings { level: Level::WARN, ..wanted }));
    }

    #[test]
    fn names_the_flag_variable_or_line_that_is_wrong() {
        let flags = AdminFlags { level: Some("3".into()), ..AdminFlags::default() };
        let env = [("ROLECALL_ADMIN_ADDRESS", "localhost:9500"), ("ROLECALL_LOG_FORMAT", "xml")];
        let file = "log {\n  level = \"loud\"\n  fromat = \"text\"\n}";
        let wanted = [
            "$ROLECALL_ADMIN_ADDRESS: admin.address: expected IP:PORT such as \"127.0.0.1:9500\", found \"localhost:9500\"",
            "$ROLECALL_LOG_FORMAT: log.format: expected text or json, found \"xml\"",
            "--log-level: log.level: expected error, warn, info, debug or trace, found \"3\"",
            "f:2: log.level: expected error, warn, info, debug or trace, found \"loud\"",
            "f:3: log.fromat: unknown key; did you mean format?",
        ];
        assert_eq!(read(file, &env, &flags).unwrap_err().lines().collect::<Vec<_>>(), wanted);
    }
}
