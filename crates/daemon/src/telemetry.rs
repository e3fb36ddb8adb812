//! The log: one line an event on standard error, with UTC time; where that is wanted, in a file and in syslog too.

mod log_file;
mod syslog;

pub use log_file::LogFile;
pub use syslog::{Syslog, facility};

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};
use tracing::{Level, Metadata};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The crates that are this product. Of others only warnings are of interest to its users.
const OURS: [&str; 6] = ["rolecall", "register", "render", "consul", "daemon", "config"];

/// Where the log goes besides standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// A file.
    pub file: Option<LogFile>,
    /// The machine's syslog.
    pub syslog: Option<Syslog>,
}

/// Begins to log at `level`, as plain text or as JSON. Only the first call counts.
pub fn init(level: Level, json: bool) {
    begin(level, json, Places::default());
}

/// The same, to more places; the error names the one that cannot be written to.
pub fn init_with(level: Level, json: bool, more: &More) -> Result<(), String> {
    let file = more.file.as_ref().map(|file| {
        file.open().map_err(|e| format!("{}: the log cannot be written: {e}", file.path.display()))
    });
    let syslog = more
        .syslog
        .as_ref()
        .map(|syslog| syslog.open().map_err(|e| format!("syslog cannot be reached: {e}")));
    let places = Places { file: file.transpose()?.map(Mutex::new), syslog: syslog.transpose()? };
    begin(level, json, places);
    Ok(())
}

fn begin(level: Level, json: bool, places: Places) {
    // A log that cannot be written must not end the program: internal errors would go to the same stderr.
    let writer = Everywhere(Arc::new(places));
    let lines = fmt::layer().with_writer(writer).with_ansi(false).log_internal_errors(false);
    let lines = if json { lines.json().flatten_event(true).boxed() } else { lines.boxed() };
    let others = LevelFilter::from_level(level.min(Level::WARN));
    let wanted = Targets::new().with_default(others).with_targets(OURS.map(|name| (name, level)));
    let _first_call_counts = tracing_subscriber::registry().with(lines.with_filter(wanted)).try_init();
}

#[derive(Debug, Default)]
struct Places {
    file: Option<Mutex<log_file::Open>>,
    syslog: Option<syslog::Open>,
}

/// Standard error and all other places.
struct Everywhere(Arc<Places>);

/// Writes one line of a level.
struct Line {
    places: Arc<Places>,
    level: Level,
}

impl<'a> MakeWriter<'a> for Everywhere {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { places: Arc::clone(&self.0), level: Level::INFO }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line {
        Line { level: *about.level(), ..self.make_writer() }
    }
}

impl Write for Line {
    /// A place that fails does not keep the line from the others.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(file) = &self.places.file {
            _ = file.lock().unwrap_or_else(PoisonError::into_inner).write(line);
        }
        if let Some(syslog) = &self.places.syslog {
            _ = syslog.write(self.level, line);
        }
        io::stderr().write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
