//! What concerns the process as a whole: signals, its id in a file, and when a failure ends it.

use super::spelling;
use config::{Mistakes, Section, show_duration};
use daemon::{
    signal::{self, Signal},
    telemetry::{LogFile, More, Syslog, facility},
};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

/// The checked choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessConfig {
    /// Holds the process id while it runs.
    pub pid_file: Option<PathBuf>,
    /// Asks it to end, besides SIGTERM and SIGINT.
    pub kill_signal: Option<Signal>,
    /// Makes it read configuration and templates again; `None` for never.
    pub reload_signal: Option<Signal>,
    /// Any failure ends it.
    pub exit_on_error: bool,
    /// After so many failures in a row a question ends it; 0 for never.
    pub attempts: u32,
    /// Where the log goes besides standard error.
    pub log: More,
}

/// As in consul-template.
const LOG_FILE_AGE: Duration = Duration::from_secs(24 * 3600);
/// LOCAL0, as in consul-template.
const FACILITY: u8 = 16;

impl Default for ProcessConfig {
    fn default() -> Self {
        ProcessConfig {
            pid_file: None,
            kill_signal: None,
            reload_signal: Some(Signal::HUP),
            exit_on_error: false,
            attempts: 0,
            log: More::default(),
        }
    }
}

impl ProcessConfig {
    pub(super) fn read(top: &mut Section, mistakes: &mut Mistakes) -> Self {
        let default = ProcessConfig::default();
        let pid_file = top.string("pid_file", mistakes).filter(|path| !path.is_empty()).map(PathBuf::from);
        let kill_signal = listened(top, "kill_signal", mistakes).flatten();
        let reload_signal = listened(top, "reload_signal", mistakes).unwrap_or(default.reload_signal);
        if kill_signal.is_some() && kill_signal == reload_signal {
            top.mistake("kill_signal", "is the reload_signal too: give one of them another signal", mistakes);
        }
        if reload_signal.is_some_and(|signal| [Signal::TERM, Signal::INT].contains(&signal)) {
            top.mistake("reload_signal", "ends the process; give another signal", mistakes);
        }
        let exit_on_error = top.bool("exit_on_error", mistakes).unwrap_or_default();
        let attempts = spelling::attempts(top, exit_on_error, mistakes);
        let log = More { file: log_file(top, mistakes), syslog: syslog(top, mistakes) };
        ProcessConfig { pid_file, kill_signal, reload_signal, exit_on_error, attempts, log }
    }

    pub(super) fn show(&self) -> Value {
        json!({
            "pid_file": self.pid_file,
            "kill_signal": self.kill_signal.map(signal::name),
            "reload_signal": self.reload_signal.map(signal::name),
            "exit_on_error": self.exit_on_error,
            "log_file": self.log.file.as_ref().map(|file| json!({
                "path": file.path,
                "log_rotate_bytes": file.bytes,
                "log_rotate_duration": show_duration(file.every),
                "log_rotate_max_files": file.keep,
            })),
            "syslog": self.log.syslog.as_ref().map(|syslog| json!({
                "facility": syslog.facility,
                "name": syslog.name,
            })),
        })
    }
}

fn log_file(top: &mut Section, mistakes: &mut Mistakes) -> Option<LogFile> {
    let mut section = top.block("log_file", mistakes)?;
    let path = section.string("path", mistakes).filter(|path| !path.is_empty()).map(PathBuf::from);
    let bytes = section.integer("log_rotate_bytes", 0..=i64::MAX, mistakes);
    let every = section.duration("log_rotate_duration", mistakes).filter(|every| !every.is_zero());
    let keep = section.integer("log_rotate_max_files", i64::MIN..=i64::MAX, mistakes).unwrap_or_default();
    section.finish(mistakes);
    Some(LogFile {
        path: path?,
        bytes: bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or_default(),
        every: every.unwrap_or(LOG_FILE_AGE),
        keep,
    })
}

fn syslog(top: &mut Section, mistakes: &mut Mistakes) -> Option<Syslog> {
    let mut section = top.block("syslog", mistakes)?;
    let given = section.parsed("facility", facility, mistakes);
    let name = section.string("name", mistakes).filter(|name| !name.is_empty());
    let enabled = section.bool("enabled", mistakes).unwrap_or(given.is_some() || name.is_some());
    section.finish(mistakes);
    let name = name.unwrap_or_else(|| "rolecall".into());
    enabled.then_some(Syslog { facility: given.unwrap_or(FACILITY), name })
}

/// A signal that this process can listen for; nothing where the key is not set.
fn listened(section: &mut Section, key: &str, mistakes: &mut Mistakes) -> Option<Option<Signal>> {
    let signal = section.parsed(key, signal::named, mistakes)?;
    if signal.is_some_and(|signal| signal::heard(signal).is_none()) {
        section.mistake(key, "cannot be listened for; give another signal", mistakes);
    }
    Some(signal)
}
